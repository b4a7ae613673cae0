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
