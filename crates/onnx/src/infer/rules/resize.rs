//! Resizing and resampling of images.

use modelcost_core::dim::Dim;

use super::util::axes_or_all;
use super::{MICROSOFT, Row};
use crate::infer::arithmetic as arith;
use crate::infer::fact::Scalar;
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    ("", "Resize", resize),
    ("", "Upsample", upsample),
    ("", "GridSample", grid_sample),
    ("", "AffineGrid", affine_grid),
    (MICROSOFT, "GridSample", grid_sample),
];

/// `floor(size * scale)`, in float32 as runtimes compute it.
fn scaled(size: &Dim, scale: &Scalar) -> Option<Dim> {
    if let (Some(size), Some(scale)) = (size.as_const(), scale.float()) {
        let scaled = (size as f32 * scale as f32).floor();
        return (scaled.is_finite() && scaled >= 0.0).then(|| Dim::from(scaled as i128));
    }
    arith::floor(&arith::mul(&Scalar::Int(size.clone()), scale)).int()
}

/// An image of another size, by scales or by sizes.
fn resize(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?.to_vec();
    let rank = shape.len();
    op.set_shape(0, op.fresh_shape(rank));
    // Version 10 had no region of interest.
    let (roi, scales, sizes) = if op.version < 11 {
        (None, 1, usize::MAX)
    } else {
        (op.has(1).then_some(1), 2, 3)
    };
    let axes = axes_or_all(op, rank)?;
    let mut out = shape.clone();
    let given = |index: usize| {
        // An empty tensor stands for an absent one.
        let empty = matches!(op.shape(index), Some([length]) if length.as_const() == Some(0));
        op.has(index) && !empty
    };
    if given(sizes) {
        let sizes = op.items(sizes)?;
        let policy = op.attr_str("keep_aspect_ratio_policy").unwrap_or("stretch");
        if policy != "stretch" {
            let out = keep_ratio(&shape, &axes, &sizes, policy == "not_larger")?;
            op.set_shape(0, out);
            return Some(());
        }
        for (at, axis) in axes.iter().enumerate() {
            out[*axis] = sizes
                .get(at)
                .and_then(Scalar::int)
                .unwrap_or_else(|| op.fresh());
        }
    } else if given(scales) {
        let scales = op.items(scales)?;
        let crop = op.attr_str("coordinate_transformation_mode") == Some("tf_crop_and_resize");
        // A region scales as well; what runtimes make of it differs, so it must be the whole.
        let whole = !crop || roi.is_none_or(|roi| covers_all(op, roi, axes.len()));
        for (at, axis) in axes.iter().enumerate() {
            let size = scales
                .get(at)
                .and_then(|scale| scaled(&shape[*axis], scale));
            out[*axis] = size.filter(|_| whole).unwrap_or_else(|| op.fresh());
        }
    }
    op.set_shape(0, out);
    Some(())
}

/// Whether a region of interest is the whole image.
fn covers_all(op: &Op<'_, '_>, roi: usize, count: usize) -> bool {
    let Some(bounds) = op.content(roi).and_then(|content| content.as_floats()) else {
        return false;
    };
    bounds.len() == 2 * count
        && bounds[..count].iter().all(|start| *start == 0.0)
        && bounds[count..].iter().all(|end| *end == 1.0)
}

/// Sizes with one common scale.
fn keep_ratio(
    shape: &[Dim],
    axes: &[usize],
    sizes: &[Scalar],
    not_larger: bool,
) -> Option<Vec<Dim>> {
    let mut scale: Option<f64> = None;
    for (axis, size) in axes.iter().zip(sizes) {
        let one = size.float()? / shape[*axis].as_const()? as f64;
        scale = Some(match scale {
            Some(scale) if not_larger => scale.min(one),
            Some(scale) => scale.max(one),
            None => one,
        });
    }
    let scale = scale?;
    let mut out = shape.to_vec();
    for axis in axes {
        let size = (scale * shape[*axis].as_const()? as f64).round();
        out[*axis] = Dim::from(size as i128);
    }
    Some(out)
}

/// The older form of resize.
fn upsample(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?.to_vec();
    op.set_shape(0, op.fresh_shape(shape.len()));
    let attribute = |name: &str| match op.attr(name) {
        Some(crate::model::AttributeValue::Float(value)) => Some(Scalar::Float(f64::from(*value))),
        _ => None,
    };
    let scales: Vec<Scalar> = if let Some(scales) = op.attr_floats("scales") {
        scales
            .iter()
            .map(|s| Scalar::Float(f64::from(*s)))
            .collect()
    } else if let (Some(h), Some(w)) = (attribute("height_scale"), attribute("width_scale")) {
        vec![Scalar::Int(Dim::ONE), Scalar::Int(Dim::ONE), h, w]
    } else {
        op.items(1)?
    };
    let out = shape
        .iter()
        .zip(&scales)
        .map(|(size, scale)| scaled(size, scale).unwrap_or_else(|| op.fresh()))
        .collect::<Vec<_>>();
    if out.len() == shape.len() {
        op.set_shape(0, out);
    }
    Some(())
}

/// An image sampled at the points of a grid.
fn grid_sample(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let (image, grid) = (op.shape(0)?, op.shape(1)?);
    let mut out = image.get(..2)?.to_vec();
    out.extend_from_slice(grid.get(1..grid.len().checked_sub(1)?)?);
    op.set_shape(0, out);
    Some(())
}

/// A grid of points from an affine map.
fn affine_grid(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let sizes = op.items(1)?;
    let dim = |scalar: &Scalar| scalar.int().unwrap_or_else(|| op.fresh());
    let out = match sizes.as_slice() {
        [n, _, h, w] => vec![dim(n), dim(h), dim(w), Dim::Const(2)],
        [n, _, d, h, w] => vec![dim(n), dim(d), dim(h), dim(w), Dim::Const(3)],
        _ => return None,
    };
    op.set_shape(0, out);
    Some(())
}
