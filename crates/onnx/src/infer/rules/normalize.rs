//! Normalisation layers.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::{MICROSOFT, Row};
use crate::infer::op::Op;
use crate::model::ElemType;

pub(super) const RULES: &[Row] = &[
    ("", "BatchNormalization", batch_norm),
    ("", "InstanceNormalization", |op| op.same(0, 0)),
    ("", "GroupNormalization", |op| op.same(0, 0)),
    ("", "LayerNormalization", layer_norm),
    ("", "RMSNormalization", rms_norm),
    ("", "SimplifiedLayerNormalization", layer_norm),
    (MICROSOFT, "LayerNormalization", layer_norm),
    (MICROSOFT, "SimplifiedLayerNormalization", layer_norm),
    (MICROSOFT, "SkipLayerNormalization", skip_layer_norm),
    (
        MICROSOFT,
        "SkipSimplifiedLayerNormalization",
        skip_layer_norm,
    ),
    (MICROSOFT, "GroupNorm", |op| op.same(0, 0)),
    (MICROSOFT, "SkipGroupNorm", skip_group_norm),
    (MICROSOFT, "EmbedLayerNormalization", embed_layer_norm),
];

/// The normalised input, and in training the statistics of each channel.
fn batch_norm(op: &mut Op<'_, '_>) -> Option<()> {
    for index in 1..op.outputs.len() {
        let dtype = op.dtype(index.min(2) + 2).or(op.dtype(0));
        op.set_dtype(index, dtype);
        let statistics = op.shape(1).or(op.shape(3));
        if let Some(shape) = statistics {
            op.set_shape(index, shape.to_vec());
        } else if let Some(channels) = op.shape(0).and_then(|shape| shape.get(1)) {
            op.set_shape(index, vec![channels.clone()]);
        }
    }
    op.same(0, 0)
}

/// The normalised input, the mean and the inverse standard deviation.
fn layer_norm(op: &mut Op<'_, '_>) -> Option<()> {
    let stash = ElemType(op.attr_int_or("stash_type", 1) as i32).dtype();
    for index in 1..op.outputs.len() {
        op.set_dtype(index, stash);
    }
    op.same(0, 0)?;
    let mut shape = op.shape(0)?.to_vec();
    let axis = op.axis(op.attr_int_or("axis", -1), shape.len())?;
    shape[axis..].fill(Dim::ONE);
    for index in 1..op.outputs.len() {
        op.set_shape(index, shape.clone());
    }
    Some(())
}

/// The output has the type of the scale.
fn rms_norm(op: &mut Op<'_, '_>) -> Option<()> {
    op.same(0, 0)?;
    op.set_dtype(0, op.dtype(1).or(op.dtype(0)));
    Some(())
}

/// The normalised sum, the statistics, and the sum.
fn skip_layer_norm(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.dtype(0);
    op.set_dtype(0, dtype);
    op.set_dtype(1, DType::Float32);
    op.set_dtype(2, DType::Float32);
    op.set_dtype(3, dtype);
    let shape = op.shape(0)?.to_vec();
    let mut statistics = shape.clone();
    *statistics.last_mut()? = Dim::ONE;
    op.set_shape(1, statistics.clone());
    op.set_shape(2, statistics);
    op.set_shape(3, shape.clone());
    op.set_shape(0, shape);
    Some(())
}

fn skip_group_norm(op: &mut Op<'_, '_>) -> Option<()> {
    op.same(1, 0);
    op.same(0, 0)
}

/// Word, position and segment embeddings, summed and normalised.
fn embed_layer_norm(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.dtype(2);
    op.set_dtype(0, dtype);
    op.set_dtype(1, DType::Int32);
    op.set_dtype(2, dtype);
    let ids = op.shape(0)?;
    if let Some(batch) = ids.first() {
        op.set_shape(1, vec![batch.clone()]);
    }
    let mut shape = ids.to_vec();
    shape.push(op.shape(2)?.last()?.clone());
    op.set_shape(2, shape.clone());
    op.set_shape(0, shape);
    Some(())
}
