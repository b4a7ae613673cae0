//! Normalisation and softmax: shapes pass through, sizes are checked.

use modelcost_core::dim::Dim;
use modelcost_core::value::Value;

use super::{Entry, Op, compatible, row};
use crate::error::Result;
use crate::show;

pub(super) static OPERATORS: [Entry; 10] = [
    row("_weight_norm(v, g, dim=0)", |op| {
        let shape = op.shape("v")?;
        op.like("v", shape)
    }),
    row(
        "batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, \
         cudnn_enabled)",
        |op| channels(op, 2),
    ),
    row(
        "instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, \
         eps, cudnn_enabled)",
        |op| channels(op, 3),
    ),
    row(
        "group_norm(input, num_groups, weight=None, bias=None, eps=1e-05, cudnn_enabled=True)",
        group_norm,
    ),
    row(
        "layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05, cudnn_enable=True)",
        over_last,
    ),
    row(
        "rms_norm(input, normalized_shape, weight=None, eps=None)",
        over_last,
    ),
    row("softmax(self, dim, dtype=None)", softmax),
    row("log_softmax(self, dim, dtype=None)", softmax),
    row("_log_softmax(self, dim, half_to_float)", softmax),
    row("_softmax(self, dim, half_to_float)", softmax),
];

/// Statistics and affine parameters of one value for each channel.
fn channels(op: &mut Op<'_>, least: usize) -> Result<Value> {
    let input = op.shape("input")?;
    if input.len() < least {
        return Err(op.expected(format!("an input of at least {least} dimensions"), &input));
    }
    for name in ["running_mean", "weight", "bias"] {
        let Some(shape) = op.optional_shape(name)? else {
            continue;
        };
        let size = Dim::product(&shape);
        if !compatible(&size, &input[1]) {
            return Err(op.expected(format!("{size} channels"), &input));
        }
    }
    op.like("input", input)
}

fn group_norm(op: &mut Op<'_>) -> Result<Value> {
    let input = op.shape("input")?;
    if input.len() < 2 {
        return Err(op.expected("an input of at least 2 dimensions", &input));
    }
    let groups = op.args.positive("num_groups")?;
    if input[1].modulo(&groups).as_const().unwrap_or(0) != 0 {
        return Err(op.expected(
            format!("a number of channels that {groups} groups divide"),
            &input,
        ));
    }
    if let Some(weight) = op.optional_shape("weight")? {
        let size = Dim::product(&weight);
        if !compatible(&size, &input[1]) {
            return Err(op.expected(format!("{size} channels"), &input));
        }
    }
    op.like("input", input)
}

fn over_last(op: &mut Op<'_>) -> Result<Value> {
    let input = op.shape("input")?;
    let normalized = op.args.ints("normalized_shape")?;
    let fits = input.len() >= normalized.len()
        && input[input.len() - normalized.len()..]
            .iter()
            .zip(&normalized)
            .all(|(size, expected)| compatible(size, expected));
    if !fits {
        let what = match normalized.as_slice() {
            [one] => format!("{one} features in the last dimension"),
            _ => format!("last dimensions of {}", show::shape(&normalized)),
        };
        return Err(op.expected(what, &input));
    }
    op.like("input", input)
}

fn softmax(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    op.dimension("dim", shape.len())?;
    let dtype = op.dtype_or("self")?;
    op.tensor(shape, dtype)
}
