//! Losses and optimisers.

use super::{Row, TRAINING};
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    ("", "NegativeLogLikelihoodLoss", loss),
    ("", "SoftmaxCrossEntropyLoss", loss),
    (TRAINING, "Adagrad", |op| updates(op, 3, &[0, 2])),
    (TRAINING, "Adam", |op| updates(op, 4, &[0, 2, 3])),
    (TRAINING, "Momentum", |op| updates(op, 3, &[0, 2])),
    (TRAINING, "Gradient", gradient),
];

/// The loss, one number unless it is not reduced, and the log probabilities.
fn loss(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    if op.wants(1) {
        op.same(1, 0);
    }
    if op.attr_str("reduction").unwrap_or("mean") != "none" {
        op.set_shape(0, Vec::new());
        return Some(());
    }
    let shape = match (op.shape(1), op.shape(0)) {
        (Some(target), _) => target.to_vec(),
        (None, Some([batch, _, rest @ ..])) => [std::slice::from_ref(batch), rest].concat(),
        _ => return None,
    };
    op.set_shape(0, shape);
    Some(())
}

/// New tensors and states. The inputs after the rate and the step are `groups` lists one after
/// the other; the outputs are those of `kept`.
fn updates(op: &mut Op<'_, '_>, groups: usize, kept: &[usize]) -> Option<()> {
    let count = op.inputs.len().checked_sub(2)? / groups;
    for (at, group) in kept.iter().enumerate() {
        for index in 0..count {
            op.same(at * count + index, 2 + group * count + index);
        }
    }
    Some(())
}

/// A gradient has the shape of what it is taken for.
fn gradient(op: &mut Op<'_, '_>) -> Option<()> {
    for index in 0..op.outputs.len() {
        op.same(index, index);
    }
    Some(())
}
