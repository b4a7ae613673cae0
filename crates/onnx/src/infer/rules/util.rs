//! What the rules of several families share.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use crate::infer::arithmetic::round_to;
use crate::infer::bounds;
use crate::infer::fact::{Content, MAX_ITEMS, Scalar};
use crate::infer::op::Op;

/// One dimension of two broadcast against each other.
pub(super) fn broadcast_dim(a: &Dim, b: &Dim) -> Option<Dim> {
    match (a.as_const(), b.as_const()) {
        _ if a == b => Some(a.clone()),
        (Some(1), _) => Some(b.clone()),
        (_, Some(1)) => Some(a.clone()),
        (Some(_), Some(_)) => None,
        // A known size other than one decides: the other is one or the same.
        (Some(_), None) => Some(a.clone()),
        (None, Some(_)) => Some(b.clone()),
        _ if bounds::lower(a) > Some(1) => Some(a.clone()),
        _ if bounds::lower(b) > Some(1) => Some(b.clone()),
        _ => Some(Dim::maximum(a, b)),
    }
}

/// NumPy's broadcasting. A conflict gives an unknown size.
pub(super) fn broadcast(op: &Op<'_, '_>, a: &[Dim], b: &[Dim]) -> Vec<Dim> {
    let rank = a.len().max(b.len());
    let at = |shape: &[Dim], index: usize| {
        (index + shape.len())
            .checked_sub(rank)
            .map_or(Dim::ONE, |index| shape[index].clone())
    };
    (0..rank)
        .map(|index| broadcast_dim(&at(a, index), &at(b, index)).unwrap_or_else(|| op.fresh()))
        .collect()
}

/// All inputs from `first` on broadcast together.
pub(super) fn broadcast_inputs(op: &Op<'_, '_>, first: usize) -> Option<Vec<Dim>> {
    let mut out: Vec<Dim> = op.shape(first)?.to_vec();
    for index in first + 1..op.inputs.len() {
        out = broadcast(op, &out, op.shape(index)?);
    }
    Some(out)
}

/// Sizes of a shape that is known to the last dimension and small enough to go through.
pub(super) fn small_sizes(shape: &[Dim]) -> Option<Vec<usize>> {
    let sizes: Vec<usize> = shape.iter().map(Dim::as_usize).collect::<Option<_>>()?;
    let numel = sizes
        .iter()
        .try_fold(1usize, |numel, size| numel.checked_mul(*size))?;
    (numel <= MAX_ITEMS).then_some(sizes)
}

/// Computes a small output element by element from broadcast inputs.
pub(super) fn map_broadcast(
    op: &mut Op<'_, '_>,
    contents: &[&Content],
    shape: &[Dim],
    dtype: Option<DType>,
    function: impl Fn(&[Scalar]) -> Scalar,
) -> Option<()> {
    let mapped = Content::fill(small_sizes(shape)?, |index| {
        let arguments: Vec<Scalar> = contents.iter().map(|c| c.broadcast_at(index)).collect();
        Some(round_to(dtype, function(&arguments)))
    });
    op.set_content(0, mapped);
    Some(())
}

/// Axes as indices below `rank`, without duplicates. `None` if one is out of range.
pub(super) fn axes(op: &Op<'_, '_>, axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    let mut out: Vec<usize> = axes
        .iter()
        .map(|axis| op.axis(*axis, rank))
        .collect::<Option<_>>()?;
    out.sort_unstable();
    out.dedup();
    (out.len() == axes.len()).then_some(out)
}

/// The attribute `axes` as indices below `rank`; without it, all of them.
pub(super) fn axes_or_all(op: &Op<'_, '_>, rank: usize) -> Option<Vec<usize>> {
    match op.attr_ints("axes") {
        Some(axes) => axes.iter().map(|axis| op.axis(*axis, rank)).collect(),
        None => Some((0..rank).collect()),
    }
}

/// An attribute or, in later versions, an input that lists integers. `Ok(None)` when not given,
/// `Err` when given but unknown; the error is the number of integers, if known.
pub(super) fn list(
    op: &Op<'_, '_>,
    attribute: &str,
    input: usize,
) -> Result<Option<Vec<i64>>, Option<usize>> {
    if let Some(values) = op.attr_ints(attribute) {
        return Ok(Some(values.to_vec()));
    }
    if !op.has(input) {
        return Ok(None);
    }
    match op.const_ints(input) {
        Some(values) => Ok(Some(values)),
        None => Err(match op.shape(input) {
            Some([length]) => length.as_usize(),
            _ => None,
        }),
    }
}
