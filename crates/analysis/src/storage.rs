//! Which tensor's memory a tensor lies in.

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Call, Target, Tensor, TensorId, Trace};
use modelcost_core::value::Value;
use modelcost_core::views::{Views, written};

/// Operators that give their input back when there is nothing to do.
const MAY_RETURN_INPUT: &[&str] = &[
    "alpha_dropout",
    "contiguous",
    "dropout",
    "feature_alpha_dropout",
    "feature_dropout",
    "identity",
    "to",
    "type_as",
];

/// Operators that give a view where strides allow it and copy where they do not.
const MAY_COPY: &[&str] = &["flatten", "reshape"];

/// The owners of all memory.
pub struct Storage {
    views: Views,
    returned: Vec<Option<TensorId>>,
    copied: Vec<bool>,
}

impl Storage {
    /// Follows every operator of a trace. Where a trace has no strides, tensors count as contiguous.
    pub fn new(trace: &Trace) -> Storage {
        let mut storage = Storage {
            views: Views::new(trace),
            returned: vec![None; trace.tensors.len()],
            copied: vec![false; trace.tensors.len()],
        };
        for (_, call) in trace.calls() {
            let Some(input) = call.arguments.first().and_then(|a| a.value.tensor()) else {
                continue;
            };
            let Some(output) = call.output.tensor().filter(|output| *output != input) else {
                continue;
            };
            if returns_input(trace, call, input, output) {
                storage.returned[output.index()] = Some(input);
            } else if copies(trace, call, input, output) {
                storage.copied[output.index()] = true;
            }
        }
        storage
    }

    /// The tensor whose memory a tensor lies in; itself, if it has its own.
    pub fn owner(&self, tensor: TensorId) -> TensorId {
        // Each step goes to an earlier tensor, so there are fewer than tensors.
        let mut at = tensor;
        for _ in 0..self.copied.len() {
            if self.copied[at.index()] {
                return at;
            }
            let next = self.returned[at.index()].unwrap_or_else(|| self.views.base(at));
            if next == at {
                return at;
            }
            at = next;
        }
        at
    }

    /// Whether an operator moves no data: all that it gives lies in other tensors' memory, and it
    /// writes to none.
    pub fn moves_nothing(&self, call: &Call) -> bool {
        let outputs = call.output.tensors();
        let is_shared = |output: &TensorId| self.owner(*output) != *output;
        written(call).is_none() && !outputs.is_empty() && outputs.iter().all(is_shared)
    }
}

fn short_name(call: &Call) -> Option<&str> {
    match &call.target {
        Target::Operator(name) => name.strip_prefix("aten."),
        _ => None,
    }
}

fn returns_input(trace: &Trace, call: &Call, input: TensorId, output: TensorId) -> bool {
    let Some(name) = short_name(call).filter(|name| MAY_RETURN_INPUT.contains(name)) else {
        return false;
    };
    let (input, output) = (trace.tensor(input), trace.tensor(output));
    match name {
        "contiguous" => is_dense(input),
        "to" | "type_as" => input.dtype.is_some() && input.dtype == output.dtype,
        "identity" => true,
        _ => call.argument("train") != Some(&Value::Bool(true)),
    }
}

fn copies(trace: &Trace, call: &Call, input: TensorId, output: TensorId) -> bool {
    if !short_name(call).is_some_and(|name| MAY_COPY.contains(&name)) {
        return false;
    }
    let (input, output) = (trace.tensor(input), trace.tensor(output));
    match (&input.shape, &input.strides, &output.shape) {
        (Some(shape), Some(strides), Some(wanted)) => !can_view(shape, strides, wanted),
        _ => false,
    }
}

fn is_dense(tensor: &Tensor) -> bool {
    let (Some(shape), Some(strides)) = (&tensor.shape, &tensor.strides) else {
        return true;
    };
    let mut expected = Dim::ONE;
    shape.iter().zip(strides).rev().all(|(size, stride)| {
        let fits = *size == Dim::ONE || *stride == expected;
        expected = &expected * size;
        fits
    })
}

/// Whether a tensor can be seen in another shape without a copy: every run of dimensions that are
/// dense among themselves must be cut into whole new dimensions.
fn can_view(shape: &[Dim], strides: &[Dim], wanted: &[Dim]) -> bool {
    let mut wanted = wanted
        .iter()
        .rev()
        .filter(|size| **size != Dim::ONE)
        .peekable();
    let mut old = shape
        .iter()
        .zip(strides)
        .rev()
        .filter(|(size, _)| **size != Dim::ONE)
        .peekable();
    while let Some((size, stride)) = old.next() {
        let (mut run, mut last) = (size.clone(), (size, stride));
        while let Some((size, stride)) = old.peek().copied()
            && *stride == last.0 * last.1
        {
            run = &run * size;
            last = (size, stride);
            old.next();
        }
        let mut covered = Dim::ONE;
        while covered != run {
            let Some(size) = wanted.next() else {
                return false;
            };
            covered = &covered * size;
            if let (Some(covered), Some(run)) = (covered.as_const(), run.as_const())
                && covered > run
            {
                return false;
            }
        }
    }
    wanted.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(sizes: &[i64]) -> Vec<Dim> {
        sizes.iter().map(|size| Dim::from(*size)).collect()
    }

    fn view(shape: &[i64], strides: &[i64], wanted: &[i64]) -> bool {
        can_view(&dims(shape), &dims(strides), &dims(wanted))
    }

    /// As `torch.Tensor.view` of torch 2.15.0 allows or raises.
    #[test]
    fn views_need_whole_runs() {
        assert!(view(&[2, 3, 4], &[12, 4, 1], &[6, 4]));
        assert!(view(&[2, 3, 4], &[12, 4, 1], &[24]));
        // Transposed: (3, 2) with strides (1, 3).
        assert!(!view(&[3, 2], &[1, 3], &[6]));
        assert!(view(&[3, 2], &[1, 3], &[3, 1, 2]));
        // A channel dimension of a permuted image cut in two.
        assert!(view(&[1, 196, 768], &[150528, 1, 196], &[1, 196, 12, 64]));
        assert!(!view(&[1, 196, 768], &[150528, 1, 196], &[196 * 768]));
        assert!(view(&[1], &[1], &[1, 1]));
    }
}
