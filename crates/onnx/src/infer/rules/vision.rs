//! Regions, patches and decoded images.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::{MICROSOFT, Row};
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    ("", "RoiAlign", roi_align),
    ("", "MaxRoiPool", max_roi_pool),
    ("", "Col2Im", col2im),
    ("", "ImageDecoder", image_decoder),
    (MICROSOFT, "CropAndResize", crop_and_resize),
];

/// A small image for each region.
fn roi_align(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let regions = op
        .shape(1)
        .or(op.shape(2))
        .and_then(|shape| shape.first().cloned());
    let channels = op.shape(0).and_then(|shape| shape.get(1).cloned());
    let out = vec![
        regions.unwrap_or_else(|| op.fresh()),
        channels.unwrap_or_else(|| op.fresh()),
        Dim::from(op.attr_int_or("output_height", 1)),
        Dim::from(op.attr_int_or("output_width", 1)),
    ];
    op.set_shape(0, out);
    Some(())
}

fn max_roi_pool(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let regions = op.shape(1)?.first()?.clone();
    let channels = op.shape(0)?.get(1)?.clone();
    let mut out = vec![regions, channels];
    out.extend(
        op.attr_ints("pooled_shape")?
            .iter()
            .map(|size| Dim::from(*size)),
    );
    op.set_shape(0, out);
    Some(())
}

/// Columns of patches put back into an image.
fn col2im(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let image = op.items(1)?;
    let block = op.ints(2);
    let shape = op.shape(0);
    let batch = shape.and_then(|shape| shape.first().cloned());
    let channels = match (shape.and_then(|shape| shape.get(1)), &block) {
        (Some(columns), Some(block)) => Some(columns.floor_div(&Dim::product(block))),
        _ => None,
    };
    let mut out = vec![
        batch.unwrap_or_else(|| op.fresh()),
        channels.unwrap_or_else(|| op.fresh()),
    ];
    for size in &image {
        out.push(size.int().unwrap_or_else(|| op.fresh()));
    }
    op.set_shape(0, out);
    Some(())
}

/// An image whose size is in the encoded bytes.
fn image_decoder(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::UInt8);
    let channels = match op.attr_str("pixel_format").unwrap_or("RGB") {
        "Grayscale" => Dim::ONE,
        _ => Dim::Const(3),
    };
    op.set_shape(0, vec![op.fresh(), op.fresh(), channels]);
    Some(())
}

fn crop_and_resize(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let channels = op.shape(0)?.get(1)?.clone();
    let regions = op.shape(1)?.first()?.clone();
    let sizes = op.items(3)?;
    let mut out = vec![regions, channels];
    for size in &sizes {
        out.push(size.int().unwrap_or_else(|| op.fresh()));
    }
    op.set_shape(0, out);
    Some(())
}
