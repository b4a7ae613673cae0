//! Strides that a program has otherwise than the machine.
//!
//! A program is traced with tensors that have no data. What those say of the stride of a dimension
//! of one element is not always what `view` makes of it on real tensors, and a convolution of one
//! image decides by that stride whether its output is channels last.

use foldhash::HashSet;

use modelcost_core::dim::Dim;
use modelcost_core::trace::{TensorId, Trace};

use crate::flat::Flat;

/// Forgets the strides of what follows from such a stride; they are put back from the views.
pub fn mend(trace: &mut Trace, nodes: &[Flat<'_>]) {
    let mut wrong: HashSet<TensorId> = HashSet::default();
    for (index, node) in nodes.iter().enumerate() {
        let (Some(input), Some(output)) = (input(node), node.output.tensor()) else {
            continue;
        };
        let op = node.op.strip_prefix("aten.").unwrap_or("");
        let follows = wrong.contains(&input) && KEEP.contains(&op);
        if follows || op == "conv2d" && falls_back(trace, nodes, index, input, output) {
            trace.tensors[output.index()].strides = None;
            wrong.insert(output);
        }
    }
}

/// Operators whose output is laid out as their input is.
const KEEP: &[&str] = &[
    "flatten",
    "view",
    "reshape",
    "transpose",
    "permute",
    "gelu",
    "relu",
    "silu",
    "dropout",
    "add",
    "mul",
    "contiguous",
];

fn input(node: &Flat<'_>) -> Option<TensorId> {
    node.arguments.first()?.value.tensor()
}

/// Whether a convolution of one image gives a dense output though the program has it channels last.
fn falls_back(
    trace: &Trace,
    nodes: &[Flat<'_>],
    at: usize,
    input: TensorId,
    output: TensorId,
) -> bool {
    let (Some(shape), Some(strides)) = (&trace.tensor(input).shape, &trace.tensor(input).strides)
    else {
        return false;
    };
    let last = |tensor: TensorId| {
        let strides = trace.tensor(tensor).strides.as_ref();
        strides.is_some_and(|strides| strides.len() == 4 && strides[1] == Dim::ONE)
    };
    let one = shape.len() == 4 && shape[0] == Dim::ONE && shape[1] != Dim::ONE;
    if !one || !last(input) || !last(output) {
        return false;
    }
    let made = nodes[..at]
        .iter()
        .rev()
        .find(|node| node.output.tensor() == Some(input));
    let Some(view) = made.filter(|node| node.op == "aten.view" || node.op == "aten.reshape") else {
        return false;
    };
    let Some(of) = self::input(view).map(|of| trace.tensor(of)) else {
        return false;
    };
    let (Some(old), Some(from)) = (&of.shape, &of.strides) else {
        return false;
    };
    // `is_channels_last_strides_2d` of c10/core/MemoryFormat.h asks for a batch's stride of at
    // least an image.
    let image = &strides[2] * &shape[2];
    match view_strides(old, from, shape) {
        Some(real) => match (real[0].as_i64(), image.as_i64()) {
            (Some(batch), Some(image)) => batch < image,
            _ => false,
        },
        None => false,
    }
}

/// The strides of a view, as `computeStride` of aten/src/ATen/TensorUtils.cpp finds them.
fn view_strides(old: &[Dim], from: &[Dim], new: &[Dim]) -> Option<Vec<Dim>> {
    let mut out = vec![Dim::ONE; new.len()];
    let mut next = new.len();
    let mut base = from.last()?.clone();
    let (mut elements, mut seen) = (Dim::ONE, Dim::ONE);
    for at in (0..old.len()).rev() {
        elements *= &old[at];
        let ends = at == 0 || old[at - 1] != Dim::ONE && from[at - 1] != &elements * &base;
        if !ends {
            continue;
        }
        while next > 0 && (seen != elements || new[next - 1] == Dim::ONE) {
            out[next - 1] = &seen * &base;
            seen *= &new[next - 1];
            next -= 1;
        }
        if seen != elements {
            return None;
        }
        if at > 0 {
            base = from[at - 1].clone();
            elements = Dim::ONE;
            seen = Dim::ONE;
        }
    }
    (next == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(sizes: &[i64]) -> Vec<Dim> {
        sizes.iter().map(|size| Dim::from(*size)).collect()
    }

    #[test]
    fn views_of_one_image() {
        let old = (dims(&[1, 64, 256]), dims(&[16384, 1, 64]));
        let strides = view_strides(&old.0, &old.1, &dims(&[1, 64, 16, 16]));
        assert_eq!(strides, Some(dims(&[64, 1, 1024, 64])));
        let dense = view_strides(&dims(&[2, 12]), &dims(&[12, 1]), &dims(&[2, 3, 4]));
        assert_eq!(dense, Some(dims(&[12, 4, 1])));
        let torn = view_strides(&dims(&[4, 6]), &dims(&[1, 4]), &dims(&[24]));
        assert_eq!(torn, None);
    }
}
