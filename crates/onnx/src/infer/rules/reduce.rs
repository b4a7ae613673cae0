//! Reductions over axes.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::Row;
use super::util::{axes, list};
use crate::infer::arithmetic as arith;
use crate::infer::fact::{Content, Scalar, indices};
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    ("", "ReduceL1", |op| reduce(op, 18, None)),
    ("", "ReduceL2", |op| reduce(op, 18, None)),
    ("", "ReduceLogSum", |op| reduce(op, 18, None)),
    ("", "ReduceLogSumExp", |op| reduce(op, 18, None)),
    ("", "ReduceMax", |op| reduce(op, 18, Some(arith::maximum))),
    ("", "ReduceMean", |op| reduce(op, 18, None)),
    ("", "ReduceMin", |op| reduce(op, 18, Some(arith::minimum))),
    ("", "ReduceProd", |op| reduce(op, 18, Some(arith::mul))),
    ("", "ReduceSum", |op| reduce(op, 13, Some(arith::add))),
    ("", "ReduceSumSquare", |op| reduce(op, 18, None)),
    ("", "ArgMax", |op| arg_extreme(op, |a, b| arith::less(b, a))),
    ("", "ArgMin", |op| arg_extreme(op, arith::less)),
    ("", "CumSum", |op| cumulative(op, Some(arith::add))),
    ("", "CumProd", |op| cumulative(op, Some(arith::mul))),
];

/// The output shape of a reduction: reduced axes become one or go away.
fn reduced(shape: &[Dim], axes: &[usize], keep: bool) -> Vec<Dim> {
    shape
        .iter()
        .enumerate()
        .filter_map(|(axis, size)| match axes.contains(&axis) {
            false => Some(size.clone()),
            true => keep.then_some(Dim::ONE),
        })
        .collect()
}

/// A reduction; `axes` became an input in `since`.
fn reduce(
    op: &mut Op<'_, '_>,
    since: i64,
    fold: Option<fn(&Scalar, &Scalar) -> Scalar>,
) -> Option<()> {
    let dtype = op.dtype(0);
    op.set_dtype(0, dtype);
    let shape = op.shape(0)?.to_vec();
    let keep = op.attr_int_or("keepdims", 1) != 0;
    let input = if op.version >= since { 1 } else { usize::MAX };
    let given = match list(op, "axes", input) {
        Ok(given) => given.unwrap_or_default(),
        Err(count) => {
            // Which axes are reduced is unknown; how many decides the rank, and none may mean all.
            if keep {
                op.set_shape(0, op.fresh_shape(shape.len()));
            } else if let Some(count) = count.filter(|count| (1..=shape.len()).contains(count)) {
                op.set_shape(0, op.fresh_shape(shape.len() - count));
            }
            return None;
        }
    };
    if given.is_empty() && op.attr_int_or("noop_with_empty_axes", 0) != 0 {
        return op.same(0, 0);
    }
    let all: Vec<usize> = (0..shape.len()).collect();
    let axes = if given.is_empty() {
        all
    } else {
        axes(op, &given, shape.len())?
    };
    op.set_shape(0, reduced(&shape, &axes, keep));
    let (fold, content) = (fold?, op.content(0)?);
    let sizes: Vec<usize> = content
        .shape
        .iter()
        .enumerate()
        .map(|(axis, size)| if axes.contains(&axis) { 1 } else { *size })
        .collect();
    let mut items: Vec<Option<Scalar>> = vec![None; sizes.iter().product()];
    for (index, item) in indices(&content.shape).zip(&content.items) {
        let at = index.iter().zip(&sizes).fold(0, |at, (i, size)| {
            at * size + if *size == 1 { 0 } else { *i }
        });
        let slot = items.get_mut(at)?;
        *slot = Some(match slot.take() {
            Some(sum) => arith::round_to(dtype, fold(&sum, item)),
            None => item.clone(),
        });
    }
    let kept = sizes
        .iter()
        .enumerate()
        .filter(|(axis, _)| keep || !axes.contains(axis))
        .map(|(_, size)| *size)
        .collect();
    let items = items.into_iter().map(Option::unwrap_or_default).collect();
    op.set_content(0, Content { shape: kept, items });
    Some(())
}

/// Where along an axis the extreme element is.
fn arg_extreme(op: &mut Op<'_, '_>, better: fn(&Scalar, &Scalar) -> Option<bool>) -> Option<()> {
    op.set_dtype(0, DType::Int64);
    let shape = op.shape(0)?.to_vec();
    let axis = op.axis(op.attr_int_or("axis", 0), shape.len())?;
    let keep = op.attr_int_or("keepdims", 1) != 0;
    op.set_shape(0, reduced(&shape, &[axis], keep));
    let content = op.content(0).filter(|content| content.shape.len() == 1)?;
    let last = op.attr_int_or("select_last_index", 0) != 0;
    let mut best = 0;
    for at in 1..content.items.len() {
        let (item, champion) = (content.items.get(at)?, content.items.get(best)?);
        if better(item, champion)? || (last && arith::equal(item, champion)?) {
            best = at;
        }
    }
    let result = Scalar::Int(Dim::from(best));
    op.set_content(
        0,
        if keep {
            Content::vector(vec![result])
        } else {
            Content::scalar(result)
        },
    );
    Some(())
}

/// Running sums or products along an axis.
fn cumulative(op: &mut Op<'_, '_>, fold: Option<fn(&Scalar, &Scalar) -> Scalar>) -> Option<()> {
    op.same(0, 0)?;
    let plain = op.attr_int_or("exclusive", 0) == 0 && op.attr_int_or("reverse", 0) == 0;
    let content = op
        .content(0)
        .filter(|content| plain && content.shape.len() == 1)?;
    let fold = fold?;
    let mut sum: Option<Scalar> = None;
    let items: Vec<Scalar> = content
        .items
        .iter()
        .map(|item| {
            let next = sum.as_ref().map_or(item.clone(), |sum| fold(sum, item));
            sum = Some(next.clone());
            next
        })
        .collect();
    op.set_content(0, Content::vector(items));
    Some(())
}
