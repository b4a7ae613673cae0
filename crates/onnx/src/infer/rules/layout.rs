//! Operators that move, join, cut, repeat or pad.

use modelcost_core::dim::Dim;

use super::util::{axes_or_all, list, small_sizes};
use super::{MICROSOFT, Row};
use crate::infer::bounds;
use crate::infer::fact::{Content, Scalar};
use crate::infer::op::{MAX_RANK, Op};

pub(super) const RULES: &[Row] = &[
    ("", "Transpose", transpose),
    ("", "Concat", concat),
    ("", "Split", split),
    ("", "Tile", tile),
    ("", "Pad", pad),
    ("", "DepthToSpace", depth_to_space),
    ("", "SpaceToDepth", space_to_depth),
    ("", "CenterCropPad", center_crop_pad),
    ("", "TensorScatter", |op| op.same(0, 0)),
    (MICROSOFT, "Pad", pad),
];

/// Dimensions in another order; reversed by default.
fn transpose(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let rank = match op.rank(0) {
        Some(rank) => rank,
        None => {
            let rank = op.attr_ints("perm")?.len();
            op.set_shape(0, op.fresh_shape(rank));
            return None;
        }
    };
    let order: Vec<usize> = match op.attr_ints("perm") {
        Some(perm) => perm
            .iter()
            .map(|axis| op.axis(*axis, rank))
            .collect::<Option<_>>()?,
        None => (0..rank).rev().collect(),
    };
    if order.len() != rank {
        return None;
    }
    let shape = op.shape(0)?;
    op.set_shape(0, order.iter().map(|axis| shape[*axis].clone()).collect());
    let content = op.content(0)?;
    let sizes: Vec<usize> = order
        .iter()
        .map(|axis| content.shape.get(*axis).copied())
        .collect::<Option<_>>()?;
    let out = content.pick(sizes, |index| {
        let mut source = vec![0; rank];
        for (at, axis) in order.iter().enumerate() {
            source[*axis] = index[at];
        }
        Some(content.offset(&source))
    });
    op.set_content(0, out);
    Some(())
}

/// Joins along an axis.
fn concat(op: &mut Op<'_, '_>) -> Option<()> {
    let count = op.inputs.len();
    let dtype = (0..count).find_map(|index| op.dtype(index));
    op.set_dtype(0, dtype);
    // The inputs agree in rank and in every other size, so the best known one serves.
    let rank = (0..count).find_map(|index| op.rank(index))?;
    let default = if op.version < 4 { 1 } else { 0 };
    let axis = op.axis(op.attr_int_or("axis", default), rank)?;
    let mut out: Vec<Dim> = Vec::new();
    for at in 0..rank {
        let mut sizes = (0..count).map(|index| op.shape(index).and_then(|shape| shape.get(at)));
        out.push(if at == axis {
            let sum: Option<Dim> = sizes.map(|size| size.cloned()).sum::<Option<Dim>>();
            sum.unwrap_or_else(|| op.fresh())
        } else {
            let known: Vec<&Dim> = sizes.by_ref().flatten().collect();
            known
                .iter()
                .find(|size| size.is_const())
                .or(known.iter().find(|size| !size.has_unknown()))
                .or(known.first())
                .map(|size| (*size).clone())
                .unwrap_or_else(|| op.fresh())
        });
    }
    op.set_shape(0, out.clone());
    // Vectors join element by element even where some are unknown: a shape with one free size.
    if rank == 1 {
        let items: Vec<Scalar> = (0..count)
            .map(|index| op.items(index))
            .collect::<Option<Vec<_>>>()?
            .concat();
        op.set_content(0, Content::vector(items));
        return Some(());
    }
    let contents: Vec<&Content> = (0..count)
        .map(|index| op.content(index))
        .collect::<Option<_>>()?;
    let joined = Content::fill(small_sizes(&out)?, |index| {
        let mut index = index.to_vec();
        for content in &contents {
            if index[axis] < content.shape[axis] {
                return content.items.get(content.offset(&index)).cloned();
            }
            index[axis] -= content.shape[axis];
        }
        None
    });
    op.set_content(0, joined);
    Some(())
}

/// Cuts along an axis.
fn split(op: &mut Op<'_, '_>) -> Option<()> {
    let count = op.outputs.len();
    for index in 0..count {
        op.set_dtype(index, op.dtype(0));
    }
    let shape = op.shape(0)?.to_vec();
    let axis = op.axis(op.attr_int_or("axis", 0), shape.len())?;
    let size = &shape[axis];
    let pieces: Vec<Dim> = match list(op, "split", 1) {
        Ok(Some(sizes)) => sizes.into_iter().map(Dim::from).collect(),
        Ok(None) => {
            let parts = op.attr_int_or("num_outputs", count as i64);
            let parts = i128::from(parts.max(1));
            // Equal pieces; the last one is smaller when they do not divide.
            let piece = size.ceil_div(&Dim::Const(parts));
            let last = size - &piece * (parts - 1);
            let exact = size.exact_div(&Dim::Const(parts));
            (0..parts.min(count as i128))
                .map(|at| match &exact {
                    Some(exact) => exact.clone(),
                    None if at == parts - 1 => last.clone(),
                    None => piece.clone(),
                })
                .collect()
        }
        Err(_) => op.ints(1).unwrap_or_default(),
    };
    let content = op.content(0);
    let mut from = Dim::ZERO;
    for index in 0..count {
        let mut out = shape.clone();
        out[axis] = match pieces.get(index) {
            Some(piece) if bounds::lower(piece).is_some_and(|low| low >= 0) => piece.clone(),
            _ => op.fresh(),
        };
        let piece = out[axis].clone();
        op.set_shape(index, out.clone());
        if let (Some(content), Some(start), Some(sizes)) =
            (content, from.as_usize(), small_sizes(&out))
        {
            let part = content.pick(sizes, |at| {
                let mut at = at.to_vec();
                at[axis] += start;
                Some(content.offset(&at))
            });
            op.set_content(index, part);
        }
        from += piece;
    }
    Some(())
}

/// Repeats along every dimension.
fn tile(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?.to_vec();
    op.set_shape(0, op.fresh_shape(shape.len()));
    if op.has(2) && op.version < 6 {
        // Version 1: how often, and along which axis.
        let (times, axis) = (op.int(1)?, op.int(2)?.as_i64()?);
        let mut out = shape.clone();
        let axis = op.axis(axis, shape.len())?;
        out[axis] = &out[axis] * times;
        op.set_shape(0, out);
        return Some(());
    }
    let times = op.items(1)?;
    let out: Vec<Dim> = shape
        .iter()
        .zip(&times)
        .map(|(size, times)| times.int().map_or_else(|| op.fresh(), |times| size * times))
        .collect();
    if times.len() != shape.len() {
        return None;
    }
    op.set_shape(0, out.clone());
    let content = op.content(0)?;
    let sizes = small_sizes(&out)?;
    let tiled = content.pick(sizes, |index| {
        let source: Vec<usize> = index
            .iter()
            .zip(&content.shape)
            .map(|(i, size)| i.checked_rem(*size))
            .collect::<Option<_>>()?;
        Some(content.offset(&source))
    });
    op.set_content(0, tiled);
    Some(())
}

/// Adds elements before and after along each dimension; a negative count cuts.
fn pad(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?.to_vec();
    let rank = shape.len();
    op.set_shape(0, op.fresh_shape(rank));
    let attribute = op.attr_ints("pads").or_else(|| op.attr_ints("paddings"));
    let pads: Vec<Scalar> = match attribute {
        Some(pads) => pads.iter().map(|v| Scalar::Int(Dim::from(*v))).collect(),
        None => {
            let items = op.items(1)?;
            if items.len() > 2 * MAX_RANK {
                return None;
            }
            items
        }
    };
    let axes: Vec<usize> = if op.has(3) {
        let given = op.const_ints(3)?;
        given
            .iter()
            .map(|axis| op.axis(*axis, rank))
            .collect::<Option<_>>()?
    } else {
        (0..rank).collect()
    };
    if pads.len() != 2 * axes.len() {
        return None;
    }
    let mut out = shape;
    for (at, axis) in axes.iter().enumerate() {
        out[*axis] = match (pads[at].int(), pads[at + axes.len()].int()) {
            (Some(before), Some(after)) => &out[*axis] + before + after,
            _ => op.fresh(),
        };
    }
    op.set_shape(0, out.clone());
    // Padded vectors of sizes: PyTorch's exporter builds the pads of F.pad this way.
    let content = op.content(0).filter(|content| content.shape.len() == 1)?;
    let constant = op.attr_str("mode").unwrap_or("constant") == "constant";
    let before = pads.first()?.int()?.as_i64()?;
    let length = out
        .first()?
        .as_usize()
        .filter(|length| *length <= 64 && constant)?;
    let fill = match op.has(2) {
        true => op.content(2)?.items.first()?.clone(),
        false => Scalar::Int(Dim::ZERO),
    };
    let items = (0..length as i64)
        .map(|at| {
            usize::try_from(at - before)
                .ok()
                .and_then(|at| content.items.get(at).cloned())
                .unwrap_or_else(|| fill.clone())
        })
        .collect();
    op.set_content(0, Content::vector(items));
    Some(())
}

/// Channels become blocks of pixels.
fn depth_to_space(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let [n, c, h, w] = op.shape(0)? else {
        return None;
    };
    let block = Dim::from(op.attr_int("blocksize")?.max(1));
    let channels = c.floor_div(&block.pow(2));
    op.set_shape(0, vec![n.clone(), channels, h * &block, w * &block]);
    Some(())
}

/// Blocks of pixels become channels.
fn space_to_depth(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let [n, c, h, w] = op.shape(0)? else {
        return None;
    };
    let block = Dim::from(op.attr_int("blocksize")?.max(1));
    let (h, w) = (h.floor_div(&block), w.floor_div(&block));
    op.set_shape(0, vec![n.clone(), c * block.pow(2), h, w]);
    Some(())
}

/// Crops or pads to given sizes along given axes.
fn center_crop_pad(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let mut shape = op.shape(0)?.to_vec();
    let rank = shape.len();
    let axes = axes_or_all(op, rank)?;
    let sizes = op.items(1).unwrap_or_default();
    for (at, axis) in axes.iter().enumerate() {
        shape[*axis] = sizes
            .get(at)
            .and_then(Scalar::int)
            .unwrap_or_else(|| op.fresh());
    }
    op.set_shape(0, shape);
    Some(())
}
