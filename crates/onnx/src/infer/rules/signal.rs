//! Fourier transforms.

use modelcost_core::dim::Dim;

use super::{MICROSOFT, Row};
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    ("", "DFT", dft),
    ("", "STFT", stft),
    (MICROSOFT, "Rfft", rfft),
    (MICROSOFT, "Irfft", irfft),
    (MICROSOFT, "ComplexMul", |op| op.same(0, 0)),
    (MICROSOFT, "ComplexMulConj", |op| op.same(0, 0)),
];

/// The transform along an axis. The last dimension holds real and imaginary parts.
fn dft(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let mut shape = op.shape(0)?.to_vec();
    let rank = shape.len();
    let one_sided = op.attr_int_or("onesided", 0) != 0;
    let inverse = op.attr_int_or("inverse", 0) != 0;
    let parts = if one_sided && inverse {
        Dim::ONE
    } else {
        Dim::Const(2)
    };
    *shape.last_mut()? = parts;
    // The axis was an attribute until version 20.
    let axis = if op.version < 20 {
        Some(op.attr_int_or("axis", 1))
    } else if op.has(2) {
        op.int(2).and_then(|axis| axis.as_i64())
    } else {
        Some(-2)
    };
    let Some(axis) = axis else {
        // Any dimension may change, unless the length stays.
        if one_sided || op.has(1) {
            let last = shape.pop()?;
            shape = op.fresh_shape(rank - 1);
            shape.push(last);
        }
        op.set_shape(0, shape);
        return None;
    };
    let axis = op.axis(axis, rank)?;
    let given = match op.has(1) {
        true => Some(op.int(1).unwrap_or_else(|| op.fresh())),
        false => None,
    };
    let size = shape[axis].clone();
    shape[axis] = match (one_sided, inverse, given) {
        (true, false, length) => length.unwrap_or(size).floor_div(&Dim::Const(2)) + 1,
        (true, true, None) => (size - Dim::ONE) * 2,
        (_, _, Some(length)) => length,
        (false, _, None) => size,
    };
    op.set_shape(0, shape);
    Some(())
}

/// Transforms of overlapping frames of a signal.
fn stft(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0);
    let batch = shape.and_then(|shape| shape.first().cloned());
    let length = shape.and_then(|shape| shape.get(1).cloned());
    let frame = match (op.has(3), op.has(2)) {
        (true, _) => op.int(3),
        (false, true) => op.shape(2).and_then(|shape| shape.first().cloned()),
        (false, false) => None,
    };
    let frames = match (&length, &frame, op.int(1)) {
        (Some(length), Some(frame), Some(step)) => Some((length - frame).floor_div(&step) + 1),
        _ => None,
    };
    let bins = frame.map(|frame| match op.attr_int_or("onesided", 1) {
        0 => frame,
        _ => frame.floor_div(&Dim::Const(2)) + 1,
    });
    let out = [batch, frames, bins, Some(Dim::Const(2))]
        .into_iter()
        .map(|size| size.unwrap_or_else(|| op.fresh()))
        .collect();
    op.set_shape(0, out);
    Some(())
}

/// A real transform over the last dimensions, with the parts in one more.
fn rfft(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let mut shape = op.shape(0)?.to_vec();
    let last = shape.last_mut()?;
    *last = last.floor_div(&Dim::Const(2)) + 1;
    shape.push(Dim::Const(2));
    op.set_shape(0, shape);
    Some(())
}

/// The inverse of a real transform.
fn irfft(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let mut shape = op.shape(0)?.to_vec();
    shape.pop()?;
    let last = shape.last_mut()?;
    *last = (&*last - Dim::ONE) * 2;
    op.set_shape(0, shape);
    Some(())
}
