//! Tensors that are views of others, and operators that write to them.

use crate::trace::{Call, Target, TensorId, Trace};

/// The tensor that an operator changes in place.
pub fn written(call: &Call) -> Option<TensorId> {
    let Target::Operator(name) = &call.target else {
        return None;
    };
    let in_place = name.ends_with('_') && !name.ends_with("__");
    call.arguments.first().filter(|_| in_place)?.value.tensor()
}

/// Which tensors share storage.
pub struct Views(Vec<Option<TensorId>>);

impl Views {
    /// Follows every operator of a trace.
    pub fn new(trace: &Trace) -> Views {
        let mut views = Views(vec![None; trace.tensors.len()]);
        for (_, call) in trace.calls() {
            let Target::Operator(name) = &call.target else {
                continue;
            };
            let viewed = call.arguments.first().and_then(|a| a.value.tensor());
            let (Some(viewed), Some(operator)) = (viewed, name.strip_prefix("aten.")) else {
                continue;
            };
            if SHARING.contains(&operator) || written(call).is_some() {
                let base = views.base(viewed);
                for output in call.output.tensors() {
                    if output != base {
                        views.0[output.index()] = Some(base);
                    }
                }
            }
        }
        views
    }

    /// The tensor whose storage a tensor shares; itself, if it has its own.
    pub fn base(&self, tensor: TensorId) -> TensorId {
        self.0[tensor.index()].unwrap_or(tensor)
    }
}

/// Whether an operator, without `aten.`, returns its first argument seen differently.
pub fn shares_storage(operator: &str) -> bool {
    SHARING.contains(&operator)
}

/// Operators whose result shares the storage of their first argument.
const SHARING: &[&str] = &[
    "adjoint",
    "alias",
    "as_strided",
    "chunk",
    "detach",
    "diagonal",
    "expand",
    "expand_as",
    "flatten",
    "mH",
    "mT",
    "movedim",
    "narrow",
    "numpy_T",
    "permute",
    "reshape",
    "reshape_as",
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
