//! Values that are written over before the backward pass reads them: autograd then raises.

use std::collections::HashSet;

use modelcost_core::gradients::Gradients;
use modelcost_core::trace::{Call, CallId, Target, TensorId, Trace};
use modelcost_core::views::{Views, written};

/// Operators whose derivative is a function of their result
/// (tools/autograd/derivatives.yaml, torch 2.15).
const KEEP_RESULT: &[&str] = &[
    "relu",
    "sigmoid",
    "tanh",
    "exp",
    "sqrt",
    "rsqrt",
    "softmax",
    "log_softmax",
];

/// Operators that keep their input for the gradient of their weight.
const KEEP_INPUT: &[&str] = &["linear", "conv1d", "conv2d", "conv3d"];

/// Operators whose derivative is a function of their input. In place they keep a copy, or their result.
const KEEP_OWN: &[&str] = &[
    "abs",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "amax",
    "atan",
    "avg_pool2d",
    "batch_norm",
    "celu",
    "clamp",
    "clamp_min",
    "cos",
    "cumprod",
    "elu",
    "erf",
    "gelu",
    "glu",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "instance_norm",
    "layer_norm",
    "leaky_relu",
    "linalg_vector_norm",
    "log",
    "log1p",
    "log_sigmoid",
    "logsumexp",
    "max_pool2d",
    "mish",
    "norm",
    "pow",
    "prelu",
    "prod",
    "relu6",
    "rms_norm",
    "selu",
    "silu",
    "sin",
    "softplus",
    "square",
    "std",
    "threshold",
    "var",
];

/// Operators that keep each of two factors for the gradient of the other.
const KEEP_FACTORS: &[&str] = &["bmm", "div", "matmul", "mm", "mul"];

/// In-place operators that leave the values alone: outside training, or by only moving dimensions.
const WRITE_NOTHING: &[&str] = &[
    "dropout",
    "alpha_dropout",
    "feature_dropout",
    "feature_alpha_dropout",
    "detach",
    "requires_grad",
    "squeeze",
    "unsqueeze",
    "t",
    "transpose",
];

/// Whether a call writes to a tensor that an earlier one has kept.
pub fn fail(trace: &Trace, gradients: &Gradients) -> bool {
    let views = Views::new(trace);
    let mut kept: HashSet<TensorId> = HashSet::new();
    let mut next = CallId::new(0);
    for (id, call) in trace.calls() {
        let Target::Operator(name) = &call.target else {
            continue;
        };
        if id < next {
            continue;
        }
        next = call.end;
        let name = name.strip_prefix("aten.").unwrap_or(name);
        let in_place = name.ends_with('_');
        let name = name.strip_suffix('_').unwrap_or(name);
        if let Some(tensor) = written(call)
            && !WRITE_NOTHING.contains(&name)
            && kept.contains(&views.base(tensor))
        {
            return true;
        }
        if KEEP_RESULT.contains(&name) && gradients.reaches(id) {
            kept.extend(call.output.tensors().iter().map(|id| views.base(*id)));
        } else if KEEP_INPUT.contains(&name) {
            kept.extend(input_kept(call, gradients).map(|id| views.base(id)));
        } else if !in_place && gradients.reaches(id) {
            let kept_here = own_kept(name, call, gradients);
            kept.extend(kept_here.into_iter().map(|id| views.base(id)));
        }
    }
    false
}

fn input_kept(call: &Call, gradients: &Gradients) -> Option<TensorId> {
    let weight = *call.argument("weight")?.tensors().first()?;
    let input = call.argument("input").or_else(|| call.argument("self"))?;
    let input = *input.tensors().first()?;
    gradients.requires_grad(weight).then_some(input)
}

/// What the derivative of an operator that writes elsewhere reads of its operands.
fn own_kept(name: &str, call: &Call, gradients: &Gradients) -> Vec<TensorId> {
    let operands = call.arguments.iter().filter_map(|a| a.value.tensor());
    let operands: Vec<TensorId> = operands.take(2).collect();
    match operands.as_slice() {
        [own, ..] if KEEP_OWN.contains(&name) && gradients.requires_grad(*own) => vec![*own],
        [a, b] if KEEP_FACTORS.contains(&name) => {
            let pairs = [(*a, *b), (*b, *a)];
            let kept = pairs
                .into_iter()
                .filter(|(_, other)| gradients.requires_grad(*other));
            kept.map(|(own, _)| own).collect()
        }
        _ => Vec::new(),
    }
}
