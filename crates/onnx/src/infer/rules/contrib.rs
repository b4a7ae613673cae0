//! The rest of onnxruntime's contrib operators (`com.microsoft`).

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::elementwise::same;
use super::{MICROSOFT, Row};
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    (MICROSOFT, "BiasSplitGelu", bias_split_gelu),
    (MICROSOFT, "CDist", cdist),
    (MICROSOFT, "ExpandDims", expand_dims),
    (MICROSOFT, "MoE", same),
    (MICROSOFT, "QMoE", same),
    (MICROSOFT, "NGramRepeatBlock", |op| op.same(0, 1)),
    (MICROSOFT, "RemovePadding", remove_padding),
    (MICROSOFT, "RestorePadding", restore_padding),
    (MICROSOFT, "SampleOp", same),
    (MICROSOFT, "Unique", unique),
    (MICROSOFT, "UnfoldTensor", unfold),
    (MICROSOFT, "IsAllFinite", is_all_finite),
    (MICROSOFT, "GatherND", gather_nd),
];

/// A gate over the halves of the last dimension.
fn bias_split_gelu(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let mut shape = op.shape(0)?.to_vec();
    let last = shape.last_mut()?;
    *last = last.floor_div(&Dim::Const(2));
    op.set_shape(0, shape);
    Some(())
}

/// Distances between the rows of two matrices.
fn cdist(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let out = vec![op.shape(0)?.first()?.clone(), op.shape(1)?.first()?.clone()];
    op.set_shape(0, out);
    Some(())
}

/// A dimension of size one at an axis that is an input.
fn expand_dims(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let mut shape = op.shape(0)?.to_vec();
    let rank = shape.len() + 1;
    op.set_shape(0, op.fresh_shape(rank));
    let axis = op.axis(op.int(1)?.as_i64()?, rank)?;
    shape.insert(axis, Dim::ONE);
    op.set_shape(0, shape);
    Some(())
}

/// The tokens that are not padding, and where they stand.
fn remove_padding(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    for index in 1..4 {
        op.set_dtype(index, DType::Int32);
    }
    let [batch, length, hidden] = op.shape(0)? else {
        return None;
    };
    let out = vec![op.fresh(), hidden.clone()];
    op.set_shape(1, vec![batch.clone(), length.clone()]);
    op.set_shape(2, vec![batch + Dim::ONE]);
    op.set_shape(3, vec![Dim::ONE]);
    op.set_shape(0, out);
    Some(())
}

fn restore_padding(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let ([_, hidden], [batch, length]) = (op.shape(0)?, op.shape(1)?) else {
        return None;
    };
    op.set_shape(0, vec![batch.clone(), length.clone(), hidden.clone()]);
    Some(())
}

/// Distinct elements of a vector, where each element went, and how many there are of each.
fn unique(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    op.set_dtype(1, DType::Int64);
    op.set_dtype(2, DType::Int64);
    let count = op.fresh();
    op.set_shape(2, vec![count.clone()]);
    op.set_shape(0, vec![count]);
    op.set_shape(1, op.shape(0)?.to_vec());
    Some(())
}

/// Overlapping windows along a dimension, in one more.
fn unfold(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let mut shape = op.shape(0)?.to_vec();
    let axis = op.axis(op.attr_int_or("dim", -1), shape.len())?;
    let size = Dim::from(op.attr_int("size")?);
    let step = Dim::from(op.attr_int_or("step", 1).max(1));
    shape[axis] = (&shape[axis] - &size).floor_div(&step) + 1;
    shape.push(size);
    op.set_shape(0, shape);
    Some(())
}

fn is_all_finite(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Bool);
    op.set_shape(0, Vec::new());
    Some(())
}

fn gather_nd(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let (data, at) = (op.shape(0)?, op.shape(1)?);
    let (tuple, leading) = at.split_last()?;
    let mut out = leading.to_vec();
    out.extend_from_slice(data.get(tuple.as_usize()?..)?);
    op.set_shape(0, out);
    Some(())
}
