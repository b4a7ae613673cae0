//! Which operators the graph keeps.

use std::collections::HashSet;

use crate::jit::is_outermost;
use crate::trace::{Call, CallId, Target, TensorId, Trace};

/// For every call, whether it is an outermost operator that something uses. The tracer drops the
/// others: `torch/csrc/jit/passes/dead_code_elimination.cpp`.
pub fn operators(trace: &Trace) -> Vec<bool> {
    let mut live = vec![false; trace.calls.len()];
    let bases = Bases::new(trace);
    let outputs = trace.output.tensors();
    // A trace that does not say what the model returns keeps everything.
    let keep_all = outputs.is_empty();
    let mut needed: HashSet<TensorId> = HashSet::new();
    let need = |needed: &mut HashSet<TensorId>, tensor: TensorId| {
        needed.insert(tensor);
        needed.insert(bases.of(tensor));
    };
    outputs
        .into_iter()
        .for_each(|tensor| need(&mut needed, tensor));
    for index in (0..trace.calls.len()).rev() {
        let call = trace.call(CallId::new(index));
        if !is_outermost(trace, call) {
            continue;
        }
        let is_needed = call.output.tensors().iter().any(|id| needed.contains(id));
        let writes_to_needed = written(call).is_some_and(|id| needed.contains(&bases.of(id)));
        live[index] = keep_all || is_needed || writes_to_needed;
        if live[index] {
            let tensors = call.arguments.iter().flat_map(|a| a.value.tensors());
            tensors.for_each(|tensor| need(&mut needed, tensor));
        }
    }
    live
}

/// The tensor that an operator changes in place.
fn written(call: &Call) -> Option<TensorId> {
    let Target::Operator(name) = &call.target else {
        return None;
    };
    let in_place = name.ends_with('_') && !name.ends_with("__");
    call.arguments.first().filter(|_| in_place)?.value.tensor()
}

/// What each tensor is a view of.
struct Bases(Vec<Option<TensorId>>);

impl Bases {
    fn new(trace: &Trace) -> Bases {
        let mut bases = Bases(vec![None; trace.tensors.len()]);
        for (_, call) in trace.calls() {
            let Target::Operator(name) = &call.target else {
                continue;
            };
            let viewed = call.arguments.first().and_then(|a| a.value.tensor());
            let (Some(viewed), Some(operator)) = (viewed, name.strip_prefix("aten.")) else {
                continue;
            };
            if VIEWS.contains(&operator) || written(call).is_some() {
                let base = bases.of(viewed);
                for output in call.output.tensors() {
                    if output != base {
                        bases.0[output.index()] = Some(base);
                    }
                }
            }
        }
        bases
    }

    fn of(&self, tensor: TensorId) -> TensorId {
        self.0[tensor.index()].unwrap_or(tensor)
    }
}

/// Operators whose result shares the storage of their first argument.
const VIEWS: &[&str] = &[
    "alias",
    "as_strided",
    "chunk",
    "detach",
    "diagonal",
    "expand",
    "expand_as",
    "flatten",
    "movedim",
    "narrow",
    "numpy_T",
    "permute",
    "reshape",
    "select",
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "tensor_split",
    "transpose",
    "unbind",
    "unflatten",
    "unsqueeze",
    "view",
    "view_as",
];
