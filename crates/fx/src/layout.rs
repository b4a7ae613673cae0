//! Strides that a program has otherwise than the machine.
//!
//! A program is traced with tensors that have no data. What those say of the stride of a dimension
//! of one element is not always what `view` makes of it on real tensors, and a convolution of one
//! image decides by that stride whether its output is channels last. Nor do some operators return what they are said to.

use foldhash::HashSet;

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Origin, TensorId, Trace};
use modelcost_torch::dispatch::layout::{
    channels_last, dense_strides, follows, is_channels_last, is_dense, viewed,
};

use crate::flat::Flat;

/// Corrects such strides, and forgets those that follow from them; they are put back from the views.
pub fn mend(trace: &mut Trace, nodes: &[Flat<'_>]) {
    let mut wrong: HashSet<TensorId> = HashSet::default();
    for (index, node) in nodes.iter().enumerate() {
        let op = node.op.strip_prefix("aten.").unwrap_or("");
        if !wrong.is_empty() && follows(op) {
            let mut given = node.arguments.iter().filter_map(|a| a.value.tensor());
            if given.any(|input| wrong.contains(&input)) {
                for output in node.output.tensors() {
                    trace.tensors[output.index()].strides = None;
                    wrong.insert(output);
                }
                continue;
            }
        }
        let (Some(input), Some(output)) = (input(node), node.output.tensor()) else {
            continue;
        };
        let otherwise = match op {
            "conv2d" => falls_back(trace, nodes, index, input, output),
            "batch_norm" | "upsample_nearest1d" => is_written_densely(trace, output),
            "max_pool1d" => {
                is_not_dense(trace, output) && !gradients(trace, nodes).contains(&input)
            }
            "im2col" | "log_sigmoid" | "one_hot" | "rrelu" => is_not_dense(trace, output),
            "conv3d" | "pad" | "roll" | "channel_shuffle" => {
                let tensor = trace.tensor(output);
                if keeps_channels_last(trace, input, output)
                    && let Some(shape) = tensor.shape.as_deref()
                {
                    let strides = channels_last(shape);
                    trace.tensors[output.index()].strides = Some(strides);
                    wrong.insert(output);
                }
                false
            }
            _ => false,
        };
        if otherwise {
            let tensor = &mut trace.tensors[output.index()];
            tensor.strides = tensor.shape.as_deref().map(dense_strides);
            wrong.insert(output);
        }
    }
}

/// Whether an operator that returns dense or channels last tensors has another one in the program: traced without
/// data, it keeps the strides that it is given (torch 2.15.0).
fn is_written_densely(trace: &Trace, output: TensorId) -> bool {
    let output = trace.tensor(output);
    let (Some(shape), Some(strides)) = (&output.shape, &output.strides) else {
        return false;
    };
    let last = shape.len() > 3 && strides[1] == Dim::ONE;
    !last && !is_dense(shape, strides)
}

fn is_not_dense(trace: &Trace, output: TensorId) -> bool {
    let output = trace.tensor(output);
    (output.shape.as_ref().zip(output.strides.as_ref()))
        .is_some_and(|(shape, strides)| !is_dense(shape, strides))
}

/// Whether a tensor is channels last on the machine, and dense in the program (torch 2.15.0).
fn keeps_channels_last(trace: &Trace, input: TensorId, output: TensorId) -> bool {
    let (input, output) = (trace.tensor(input), trace.tensor(output));
    let given = input.shape.as_ref().zip(input.strides.as_ref());
    let made = output.shape.as_ref().zip(output.strides.as_ref());
    given.is_some_and(|(shape, strides)| is_channels_last(shape, strides))
        && made.is_some_and(|(shape, strides)| shape.len() > 3 && is_dense(shape, strides))
}

/// The tensors that a gradient flows to.
fn gradients(trace: &Trace, nodes: &[Flat<'_>]) -> HashSet<TensorId> {
    let mut with: HashSet<TensorId> = HashSet::default();
    let flows = |with: &HashSet<TensorId>, id: TensorId| {
        let tensor = trace.tensor(id);
        let trains = match tensor.origin {
            Origin::Parameter(parameter) => trace.parameter(parameter).requires_grad,
            _ => with.contains(&id),
        };
        trains && tensor.dtype.is_none_or(|dtype| dtype.is_floating_point())
    };
    for node in nodes {
        let mut given = node.arguments.iter().flat_map(|a| a.value.tensors());
        if given.any(|id| flows(&with, id)) {
            let made = node.output.tensors().into_iter();
            with.extend(made.filter(|id| !trace.tensor(*id).without_gradient));
        }
    }
    with
}

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
    match viewed(old, from, shape) {
        Some(real) => match (real[0].as_i64(), image.as_i64()) {
            (Some(batch), Some(image)) => batch < image,
            _ => false,
        },
        None => false,
    }
}
