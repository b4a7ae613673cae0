//! Quantisation.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::util::{axes_or_all, broadcast};
use super::{MICROSOFT, Row};
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    ("", "QuantizeLinear", quantize),
    ("", "DequantizeLinear", dequantize),
    ("", "DynamicQuantizeLinear", dynamic_quantize),
    (MICROSOFT, "QuantizeLinear", quantize),
    (MICROSOFT, "DequantizeLinear", dequantize),
    (MICROSOFT, "QLinearAdd", qlinear_binary),
    (MICROSOFT, "QLinearMul", qlinear_binary),
    (MICROSOFT, "QLinearSigmoid", qlinear_unary),
    (MICROSOFT, "QLinearLeakyRelu", qlinear_unary),
    (MICROSOFT, "QLinearSoftmax", qlinear_unary),
    (MICROSOFT, "QLinearConcat", qlinear_concat),
    (MICROSOFT, "QLinearReduceMean", qlinear_reduce_mean),
    (MICROSOFT, "QLinearWhere", qlinear_where),
    (MICROSOFT, "QGemm", q_gemm),
    (MICROSOFT, "GatherBlockQuantized", gather_block_quantized),
];

/// Integers for floats; the type is the zero point's.
fn quantize(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = if op.has(2) {
        op.dtype(2)
    } else if op.attr_int_or("output_dtype", 0) != 0 {
        op.attr_dtype("output_dtype")
    } else {
        Some(DType::UInt8)
    };
    op.set_dtype(0, dtype);
    op.set_shape(0, op.shape(0)?.to_vec());
    Some(())
}

/// Floats for integers; the type is the scale's.
fn dequantize(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = if op.attr_int_or("output_dtype", 0) != 0 {
        op.attr_dtype("output_dtype")
    } else {
        op.dtype(1)
    };
    op.set_dtype(0, dtype);
    op.set_shape(0, op.shape(0)?.to_vec());
    Some(())
}

/// Integers with the scale and the zero point that fit the input.
fn dynamic_quantize(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::UInt8);
    op.set_dtype(1, DType::Float32);
    op.set_dtype(2, DType::UInt8);
    op.set_shape(1, Vec::new());
    op.set_shape(2, Vec::new());
    op.set_shape(0, op.shape(0)?.to_vec());
    Some(())
}

/// Both operands come with a scale and a zero point.
fn qlinear_binary(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = broadcast(op, op.shape(0)?, op.shape(3)?);
    op.set_shape(0, shape);
    Some(())
}

fn qlinear_unary(op: &mut Op<'_, '_>) -> Option<()> {
    op.same(0, 0)
}

/// Output scale and zero point, then triples of tensor, scale and zero point.
fn qlinear_concat(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(2));
    let mut out = op.shape(2)?.to_vec();
    let axis = op.axis(op.attr_int("axis")?, out.len())?;
    for index in (5..op.inputs.len()).step_by(3) {
        out[axis] += op.shape(index)?.get(axis)?;
    }
    op.set_shape(0, out);
    Some(())
}

fn qlinear_reduce_mean(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?.to_vec();
    let axes = axes_or_all(op, shape.len())?;
    let keep = op.attr_int_or("keepdims", 1) != 0;
    let out = shape
        .into_iter()
        .enumerate()
        .filter_map(|(at, size)| match axes.contains(&at) {
            true => keep.then_some(Dim::ONE),
            false => Some(size),
        })
        .collect();
    op.set_shape(0, out);
    Some(())
}

fn qlinear_where(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(1));
    let shape = broadcast(op, op.shape(1)?, op.shape(4)?);
    let shape = broadcast(op, &shape, op.shape(0)?);
    op.set_shape(0, shape);
    Some(())
}

/// A quantised Gemm; without an output zero point the result is float.
fn q_gemm(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = if op.has(8) {
        op.dtype(8)
    } else {
        Some(DType::Float32)
    };
    op.set_dtype(0, dtype);
    let ([a, b], [c, d]) = (op.shape(0)?, op.shape(3)?) else {
        return None;
    };
    let rows = if op.attr_int_or("transA", 0) != 0 {
        b
    } else {
        a
    };
    let columns = if op.attr_int_or("transB", 0) != 0 {
        c
    } else {
        d
    };
    op.set_shape(0, vec![rows.clone(), columns.clone()]);
    Some(())
}

/// Rows of a packed table, unpacked.
fn gather_block_quantized(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(2));
    let (data, at) = (op.shape(0)?, op.shape(1)?);
    let axis = op.axis(op.attr_int_or("gather_axis", 0), data.len())?;
    // A byte holds two elements of four bits.
    let bits = Dim::from(op.attr_int_or("bits", 4).clamp(1, 8));
    let packed = if op.dtype(0) == Some(DType::UInt8) {
        Dim::Const(8).floor_div(&bits)
    } else {
        Dim::ONE
    };
    let mut data = data.to_vec();
    let last = data.last_mut()?;
    *last = &*last * packed;
    let mut out = data[..axis].to_vec();
    out.extend_from_slice(at);
    out.extend_from_slice(&data[axis + 1..]);
    op.set_shape(0, out);
    Some(())
}
