//! Recurrent layers and cells that the exporter unrolled.

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Argument, Origin, TensorId, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::Flat;

use super::recompose::{Call, Uses, argument, external, is_parameter, positions};

/// `nn.LSTMCell` and its like: two products, then elementwise gates.
pub(super) fn cell(
    builder: &mut TraceBuilder,
    name: &str,
    run: &[Flat<'_>],
    uses: &Uses,
) -> Option<Call> {
    let products: Vec<&Flat<'_>> = run.iter().filter(|flat| flat.op == "aten.linear").collect();
    let is_hidden = |flat: &Flat<'_>| {
        argument(flat, "weight")
            .tensor()
            .and_then(|id| is_parameter(builder, id))
            .is_some_and(|name| name.ends_with("hh"))
    };
    let folded;
    let (input, hidden) = match products.as_slice() {
        [first, second] if is_hidden(first) => (*second, *first),
        [first, second] => (*first, *second),
        // The product with a state of zeros was computed beforehand.
        [input] => {
            folded = folded_product(builder, input, run)?;
            (*input, &folded)
        }
        _ => return None,
    };
    let state = argument(hidden, "input");
    let known: Vec<TensorId> = [input, hidden]
        .iter()
        .flat_map(|flat| flat.arguments.iter().flat_map(|a| a.value.tensors()))
        .collect();
    let hx = if name == "lstm_cell" {
        let rest = external(run).into_iter().find(|id| !known.contains(id));
        // One tensor may be both states: `h = c = torch.zeros(…)`.
        let rest = rest.map_or_else(|| state.clone(), Value::Tensor);
        Value::List(vec![state, rest])
    } else {
        state
    };
    let output = run.last()?.output.clone();
    let output = if name == "lstm_cell" {
        // The new cell state is the last sum.
        let sum = run.iter().rev().find(|flat| flat.op == "aten.add")?;
        Value::List(vec![output, sum.output.clone()])
    } else {
        output
    };
    let _ = uses;
    Some(Call {
        op: format!("aten.{name}").into(),
        arguments: positions([
            ("input", argument(input, "input")),
            ("hx", hx),
            ("w_ih", argument(input, "weight")),
            ("w_hh", argument(hidden, "weight")),
            ("b_ih", argument(input, "bias")),
            ("b_hh", argument(hidden, "bias")),
        ]),
        output,
    })
}

/// The product of a cell's hidden state, which is a constant, put back from that of its input.
fn folded_product<'a>(
    builder: &TraceBuilder,
    input: &Flat<'a>,
    run: &[Flat<'a>],
) -> Option<Flat<'a>> {
    let trace = builder.trace();
    let sibling = |name: &str| {
        let own = is_parameter(builder, argument(input, name).tensor()?)?;
        let wanted = own.replace("_ih", "_hh");
        let found = trace
            .parameters
            .iter()
            .find(|parameter| parameter.name == wanted)?;
        Some(found.tensor)
    };
    let weight = sibling("weight")?;
    let hidden = trace.tensor(weight).shape.as_ref()?.last()?.clone();
    let state = external(run).into_iter().find(|id| {
        let shape = trace.tensor(*id).shape.as_deref();
        shape.is_some_and(|shape| shape.last() == Some(&hidden))
            && is_parameter(builder, *id).is_none()
            && argument(input, "input").tensor() != Some(*id)
    })?;
    Some(Flat {
        op: "aten.linear".into(),
        arguments: positions([
            ("input", Value::Tensor(state)),
            ("weight", Value::Tensor(weight)),
            ("bias", sibling("bias").into()),
        ]),
        ..Flat::default()
    })
}

/// A recurrent layer that was unrolled.
pub(super) fn unrolled(
    builder: &mut TraceBuilder,
    name: &str,
    run: &[Flat<'_>],
    uses: &Uses,
) -> Option<Call> {
    let mut weights: Vec<(String, TensorId)> = Vec::new();
    let mut others = Vec::new();
    for id in external(run) {
        match is_parameter(builder, id) {
            Some(name) => weights.push((name.rsplit('.').next()?.to_owned(), id)),
            None => others.push(id),
        }
    }
    let count = |prefix: &str| {
        weights
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .count()
    };
    let bidirectional = weights.iter().any(|(name, _)| name.ends_with("_reverse"));
    let directions = 1 + usize::from(bidirectional);
    let layers = count("weight_ih") / directions;
    if layers == 0 {
        return None;
    }
    let biased = count("bias_ih") > 0;
    let mut parameters = Vec::new();
    for layer in 0..layers {
        for suffix in ["", "_reverse"].iter().take(directions) {
            for kind in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
                let wanted = format!("{kind}_l{layer}{suffix}");
                if let Some((_, id)) = weights.iter().find(|(name, _)| *name == wanted) {
                    parameters.push(Value::Tensor(*id));
                }
            }
        }
    }
    let shape = |id: TensorId| builder.trace().tensor(id).shape.clone().unwrap_or_default();
    let recurrent = parameters.get(1)?.tensor().map(shape)?;
    let hidden = recurrent.last()?.clone();
    let first = Dim::from(layers * directions);
    let is_state = |id: &TensorId| {
        let shape = shape(*id);
        shape.first() == Some(&first) && shape.last() == Some(&hidden)
    };
    let input = others
        .iter()
        .find(|id| !is_state(id))
        .or(others.first())
        .copied()?;
    let state = others
        .iter()
        .copied()
        .find(|id| *id != input && is_state(id));
    // Time comes first inside, so that with the batch first the input is transposed.
    let batch_first = run.iter().any(|flat| {
        let of = flat.arguments.first().and_then(|a| a.value.tensor());
        flat.op == "aten.transpose" && of == Some(input)
    });
    let mut outputs: Vec<TensorId> = Vec::new();
    for flat in run {
        for tensor in flat.output.tensors() {
            if uses.last.get(&tensor).is_none_or(|last| *last >= uses.end) {
                outputs.push(tensor);
            }
        }
    }
    let [batch, time] = batch_and_time(&shape(input), batch_first);
    let width = &hidden * directions as i128;
    let states = [first, batch.clone(), hidden];
    let whole = output_shape(batch, time, width, batch_first);
    let output = recurrent_output(builder, name, &outputs, &states, &whole);
    Some(Call {
        op: format!("aten.{name}").into(),
        arguments: positions([
            ("input", Value::Tensor(input)),
            ("hx", state.into()),
            ("params", Value::List(parameters)),
            ("has_biases", Value::Bool(biased)),
            ("num_layers", Value::from(layers)),
            ("dropout", Value::Float(0.0)),
            ("train", Value::Bool(false)),
            ("bidirectional", Value::Bool(bidirectional)),
            ("batch_first", Value::Bool(batch_first)),
        ]),
        output,
    })
}

/// The batch and the length of what a recurrent layer is given.
fn batch_and_time(input: &[Dim], batch_first: bool) -> [Dim; 2] {
    let size = |at: usize, name: &str| {
        let size = input.get(at).cloned();
        size.unwrap_or_else(|| Dim::unknown(name))
    };
    [
        size(usize::from(!batch_first), "batch"),
        size(usize::from(batch_first), "time"),
    ]
}

fn output_shape(batch: Dim, time: Dim, width: Dim, batch_first: bool) -> [Dim; 3] {
    if batch_first {
        [batch, time, width]
    } else {
        [time, batch, width]
    }
}

/// All that a recurrent operator returns: the output, whose shape is `whole`, and one or two
/// states, which have `state`'s. What nobody reads is not in the file.
fn recurrent_output(
    builder: &mut TraceBuilder,
    op: &str,
    found: &[TensorId],
    state: &[Dim],
    whole: &[Dim],
) -> Value {
    let has = |id: &TensorId, wanted: &[Dim]| {
        builder.trace().tensor(*id).shape.as_deref() == Some(wanted)
    };
    // Numbers that later nodes share are none of what the operator returns.
    let found: Vec<TensorId> = found
        .iter()
        .copied()
        .filter(|id| {
            let shape = builder.trace().tensor(*id).shape.as_ref();
            shape.is_none_or(|shape| shape.len() > 1)
        })
        .collect();
    // The states come after the output; what is no state but has another shape than it should is
    // the output before a view.
    let output = found.iter().rev().copied().find(|id| has(id, whole));
    let output = output.or_else(|| {
        let wide = |id: &TensorId| {
            let shape = builder.trace().tensor(*id).shape.as_deref();
            shape.is_some_and(|shape| shape.len() == 3 && shape.last() == whole.last())
        };
        found
            .iter()
            .rev()
            .copied()
            .find(|id| wide(id) && !has(id, state))
    });
    let wanted = if op == "lstm" { 2 } else { 1 };
    let mut out: Vec<TensorId> = found
        .iter()
        .copied()
        .filter(|id| Some(*id) != output)
        .collect();
    out.truncate(wanted);
    let dtype = found.first().copied();
    let dtype = dtype.and_then(|id| builder.trace().tensor(id).dtype);
    while out.len() < wanted {
        out.push(builder.tensor(Some(state.to_vec()), dtype, Origin::Constant));
    }
    let output =
        output.unwrap_or_else(|| builder.tensor(Some(whole.to_vec()), dtype, Origin::Constant));
    out.insert(0, output);
    Value::List(out.into_iter().map(Value::Tensor).collect())
}

/// The output of a recurrent operator that the exporter kept.
pub(super) fn complete_recurrent(
    builder: &mut TraceBuilder,
    op: &str,
    arguments: &[Argument],
    output: Value,
) -> Value {
    let short = op.strip_prefix("aten.").unwrap_or(op);
    if !matches!(short, "lstm" | "gru" | "rnn_tanh" | "rnn_relu") {
        return output;
    }
    let get = |name: &str| arguments.iter().find(|argument| argument.name == name);
    let int = |name: &str| match get(name).map(|argument| &argument.value) {
        Some(Value::Int(dim)) => dim.clone(),
        _ => Dim::ONE,
    };
    let both = get("bidirectional").is_some_and(|a| a.value == Value::Bool(true));
    let directions = Dim::from(1 + i32::from(both));
    let hidden = get("params")
        .and_then(|params| params.value.items()?.get(1)?.tensor())
        .and_then(|id| builder.trace().tensor(id).shape.clone()?.last().cloned());
    let Some(hidden) = hidden else {
        return output;
    };
    let batch_first = get("batch_first").is_some_and(|a| a.value == Value::Bool(true));
    let input = get("input")
        .and_then(|input| builder.trace().tensor(input.value.tensor()?).shape.clone())
        .unwrap_or_default();
    let [batch, time] = batch_and_time(&input, batch_first);
    let gates = if short == "lstm" { 4 } else { 1 };
    let cell = get("params")
        .and_then(|params| params.value.items()?.first()?.tensor())
        .and_then(|id| builder.trace().tensor(id).shape.clone()?.first().cloned())
        .map(|rows| rows.floor_div(&Dim::from(gates)));
    let states = [
        int("num_layers") * &directions,
        batch.clone(),
        hidden.clone(),
    ];
    let whole = output_shape(batch, time, &hidden * &directions, batch_first);
    let output = recurrent_output(builder, short, &output.tensors(), &states, &whole);
    // With a projection the cell's state has another size than the hidden one.
    match (output, cell) {
        (Value::List(mut items), Some(cell)) if short == "lstm" && cell != hidden => {
            let [layers, batch, _] = states;
            let dtype = items.first().and_then(Value::tensor);
            let dtype = dtype.and_then(|id| builder.trace().tensor(id).dtype);
            let state = builder.tensor(Some(vec![layers, batch, cell]), dtype, Origin::Constant);
            if let Some(last) = items.get_mut(2) {
                *last = Value::Tensor(state);
            }
            Value::List(items)
        }
        (output, _) => output,
    }
}
