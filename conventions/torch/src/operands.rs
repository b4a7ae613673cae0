//! For which operands of the counted operators autograd computes gradients.

use modelcost_core::dim::Dim;
use modelcost_core::gradients::Gradients;
use modelcost_core::trace::{CallId, Target, TensorId, Trace};
use modelcost_core::value::Value;

/// Whether the two factors of a product get a gradient.
pub type Mask = [bool; 2];

/// For each counted operator inside an outermost one (or that one itself), the mask. `None` where
/// it is not known what is multiplied by what.
pub fn masks(
    trace: &Trace,
    outer: CallId,
    counted: &[CallId],
    gradients: &Gradients,
) -> Option<Vec<Mask>> {
    if !gradients.reaches(outer) {
        return Some(vec![[false; 2]; counted.len()]);
    }
    let call = trace.call(outer);
    let Target::Operator(name) = &call.target else {
        return None;
    };
    let requires = |tensor: Option<TensorId>| tensor.is_some_and(|id| gradients.requires_grad(id));
    let tensors: Vec<TensorId> = call
        .arguments
        .iter()
        .flat_map(|argument| argument.value.tensors())
        .collect();
    let pair = |first: usize| {
        [
            requires(tensors.get(first).copied()),
            requires(tensors.get(first + 1).copied()),
        ]
    };
    let all = |mask: Mask| Some(vec![mask; counted.len()]);
    match name.strip_prefix("aten.").unwrap_or(name) {
        "linear" | "matmul" | "linalg_matmul" | "mm" | "bmm" | "inner" | "tensordot" | "conv1d"
        | "conv2d" | "conv3d" | "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d"
        | "convolution" | "_convolution" | "_convolution_mode" | "cdist" => all(pair(0)),
        "affine_grid_generator" => all([requires(tensors.first().copied()), false]),
        "addmm" | "baddbmm" | "addbmm" => all(pair(1)),
        "einsum" => einsum(&tensors, counted.len(), gradients),
        "scaled_dot_product_attention" | "_scaled_dot_product_flash_attention_for_cpu" => {
            attention(trace, counted, &tensors, gradients)
        }
        "lstm_cell" | "gru_cell" | "rnn_tanh_cell" | "rnn_relu_cell" => {
            cell(trace, outer, counted, gradients)
        }
        "lstm" | "gru" | "rnn_tanh" | "rnn_relu" => recurrent(trace, outer, counted, gradients),
        _ => None,
    }
}

/// Operands are contracted from the left, each product of two with the next.
fn einsum(tensors: &[TensorId], counted: usize, gradients: &Gradients) -> Option<Vec<Mask>> {
    let requires: Vec<bool> = tensors
        .iter()
        .map(|id| gradients.requires_grad(*id))
        .collect();
    if counted + 1 != requires.len() {
        let same = requires.iter().all(|grad| *grad == requires[0]);
        return same.then(|| vec![[requires[0]; 2]; counted]);
    }
    let mut so_far = requires[0];
    let masks = requires[1..].iter().map(|next| {
        let mask = [so_far, *next];
        so_far |= next;
        mask
    });
    Some(masks.collect())
}

/// One fused operator, or a product of queries and keys and one of the weights and the values.
fn attention(
    trace: &Trace,
    counted: &[CallId],
    tensors: &[TensorId],
    gradients: &Gradients,
) -> Option<Vec<Mask>> {
    let requires = |index: usize| {
        tensors
            .get(index)
            .is_some_and(|id| gradients.requires_grad(*id))
    };
    let (query, key, value) = (requires(0), requires(1), requires(2));
    let weights = query || key || requires(3);
    match counted {
        [one] if !is_product(trace, *one) => Some(vec![[query || key, value]]),
        [_, _] => Some(vec![[query, key], [weights, value]]),
        _ => None,
    }
}

fn is_product(trace: &Trace, id: CallId) -> bool {
    matches!(&trace.call(id).target, Target::Operator(name) if name == "aten.bmm" || name == "aten.baddbmm" || name == "aten.mm")
}

/// Two linear layers: of the input, and of the state.
fn cell(
    trace: &Trace,
    outer: CallId,
    counted: &[CallId],
    gradients: &Gradients,
) -> Option<Vec<Mask>> {
    let call = trace.call(outer);
    let requires = |name: &str| {
        let tensors = call.argument(name).map_or_else(Vec::new, Value::tensors);
        tensors
            .first()
            .is_some_and(|id| gradients.requires_grad(*id))
    };
    let input = [requires("input"), requires("w_ih")];
    let state = [requires("hx"), requires("w_hh")];
    // aten/src/ATen/native/RNN.cpp: a GRU cell begins with the input, the others with the state.
    match (&call.target, counted.len()) {
        (Target::Operator(name), 2) if name == "aten.gru_cell" => Some(vec![input, state]),
        (_, 2) => Some(vec![state, input]),
        _ => None,
    }
}

/// For every layer and direction the input of all steps at once, then the state step by step, with
/// a projection after each if there is one. The state that the first step starts from is the
/// caller's; later ones depend on the weights.
fn recurrent(
    trace: &Trace,
    outer: CallId,
    counted: &[CallId],
    gradients: &Gradients,
) -> Option<Vec<Mask>> {
    let call = trace.call(outer);
    let layers = call
        .argument("num_layers")
        .and_then(Value::int)?
        .as_usize()?;
    let both = call.argument("bidirectional") == Some(&Value::Bool(true));
    let has_biases = call.argument("has_biases") != Some(&Value::Bool(false));
    let runs = layers.checked_mul(if both { 2 } else { 1 })?;
    if counted.is_empty() {
        return Some(Vec::new());
    }
    let requires = |tensors: &[TensorId]| tensors.iter().any(|id| gradients.requires_grad(*id));
    let of = |name: &str| call.argument(name).map_or_else(Vec::new, Value::tensors);
    let (input, state, weights) = (of("input"), of("hx"), of("params"));
    // A sequence of unknown length stands as one step, of which the first is no longer told apart.
    let shape = trace.tensor(*input.first()?).shape.as_ref()?;
    if !shape.iter().rev().skip(1).all(Dim::is_const) {
        return None;
    }
    let per_run = weights
        .len()
        .checked_div(runs)
        .filter(|n| n * runs == weights.len())?;
    let projects = per_run == if has_biases { 5 } else { 3 };
    let per_step = if projects { 2 } else { 1 };
    let operators = counted
        .len()
        .checked_div(runs)
        .filter(|n| n * runs == counted.len())?;
    let steps = operators.checked_sub(1)?.checked_div(per_step)?;
    if 1 + steps * per_step != operators {
        return None;
    }
    let mut masks = Vec::with_capacity(counted.len());
    let mut input = requires(&input);
    for layer in weights.chunks(per_run * runs / layers) {
        for run in layer.chunks(per_run) {
            let (w_ih, w_hh) = (requires(&run[..1]), requires(&run[1..2]));
            masks.push([input, w_ih]);
            let mut state = requires(&state);
            for _ in 0..steps {
                masks.push([state, w_hh]);
                let computed = state || input || requires(run);
                if projects {
                    masks.push([computed, requires(&run[per_run - 1..])]);
                }
                state = computed;
            }
        }
        input |= requires(layer);
    }
    Some(masks)
}
