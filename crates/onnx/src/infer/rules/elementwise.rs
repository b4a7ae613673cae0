//! Operators that work element by element, with their values for small tensors.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::util::{broadcast_inputs, map_broadcast};
use super::{MICROSOFT, Row};
use crate::infer::arithmetic as arith;
use crate::infer::fact::{Content, Scalar};
use crate::infer::op::Op;
use crate::model::ElemType;

pub(super) const RULES: &[Row] = &[
    ("", "Abs", |op| {
        unary(op, |x| match x {
            Scalar::Int(value) if crate::infer::bounds::lower(value) >= Some(0) => x.clone(),
            _ => arith::on_float(x, f64::abs),
        })
    }),
    ("", "Neg", |op| {
        unary(op, |x| arith::sub(&Scalar::Int(Dim::ZERO), x))
    }),
    ("", "Floor", |op| unary(op, arith::floor)),
    ("", "Ceil", |op| unary(op, arith::ceil)),
    ("", "Round", |op| unary(op, arith::round)),
    ("", "Sqrt", |op| {
        unary(op, |x| arith::on_float(x, f64::sqrt))
    }),
    ("", "Exp", |op| unary(op, |x| arith::on_float(x, f64::exp))),
    ("", "Log", |op| unary(op, |x| arith::on_float(x, f64::ln))),
    ("", "Reciprocal", |op| {
        unary(op, |x| arith::div_float(&Scalar::Int(Dim::ONE), x))
    }),
    ("", "Sign", |op| unary(op, sign)),
    ("", "Not", |op| {
        unary(op, |x| Scalar::maybe(x.truth().map(|truth| !truth)))
    }),
    ("", "BitwiseNot", |op| {
        unary(op, |x| {
            bitwise(x, &Scalar::Int(Dim::Const(-1)), |a, b| a ^ b)
        })
    }),
    ("", "Relu", |op| {
        unary(op, |x| arith::maximum(x, &Scalar::Int(Dim::ZERO)))
    }),
    ("", "Identity", identity),
    ("", "Acos", same),
    ("", "Acosh", same),
    ("", "Asin", same),
    ("", "Asinh", same),
    ("", "Atan", same),
    ("", "Atanh", same),
    ("", "Celu", same),
    ("", "Cos", same),
    ("", "Cosh", same),
    ("", "Elu", same),
    ("", "Erf", same),
    ("", "Gelu", same),
    ("", "HardSigmoid", same),
    ("", "HardSwish", same),
    ("", "Hardmax", same),
    ("", "LeakyRelu", same),
    ("", "LogSoftmax", same),
    ("", "LpNormalization", same),
    ("", "LRN", same),
    ("", "MeanVarianceNormalization", same),
    ("", "Mish", same),
    ("", "Selu", same),
    ("", "Shrink", same),
    ("", "Sigmoid", same),
    ("", "Sin", same),
    ("", "Sinh", same),
    ("", "Softmax", same),
    ("", "Softplus", same),
    ("", "Softsign", same),
    ("", "SwiGLU", |op| binary(op, |_, _| Scalar::Unknown)),
    ("", "Swish", same),
    ("", "Tan", same),
    ("", "Tanh", same),
    ("", "ThresholdedRelu", same),
    ("", "Trilu", trilu),
    ("", "PRelu", same),
    ("", "ReverseSequence", same),
    ("", "IsInf", |op| {
        predicate(op, |x| x.float().map(f64::is_infinite))
    }),
    ("", "IsNaN", |op| {
        predicate(op, |x| x.float().map(f64::is_nan))
    }),
    ("", "Add", |op| binary(op, arith::add)),
    ("", "Sub", |op| binary(op, arith::sub)),
    ("", "Mul", |op| binary(op, arith::mul)),
    ("", "Div", div),
    ("", "Mod", |op| {
        let fmod = op.attr_int_or("fmod", 0) != 0;
        if fmod {
            binary(op, |a, b| arith::modulo(a, b, true))
        } else {
            binary(op, |a, b| arith::modulo(a, b, false))
        }
    }),
    ("", "Pow", |op| binary(op, arith::power)),
    ("", "BitShift", bit_shift),
    ("", "BitwiseAnd", |op| {
        binary(op, |a, b| bitwise(a, b, |a, b| a & b))
    }),
    ("", "BitwiseOr", |op| {
        binary(op, |a, b| bitwise(a, b, |a, b| a | b))
    }),
    ("", "BitwiseXor", |op| {
        binary(op, |a, b| bitwise(a, b, |a, b| a ^ b))
    }),
    ("", "Equal", |op| compare(op, arith::equal)),
    ("", "Less", |op| compare(op, arith::less)),
    ("", "Greater", |op| compare(op, |a, b| arith::less(b, a))),
    ("", "LessOrEqual", |op| {
        compare(op, |a, b| Some(!arith::less(b, a)?))
    }),
    ("", "GreaterOrEqual", |op| {
        compare(op, |a, b| Some(!arith::less(a, b)?))
    }),
    ("", "And", |op| compare(op, and)),
    ("", "Or", |op| compare(op, |a, b| Some(!and_not(a, b)?))),
    ("", "Xor", |op| {
        compare(op, |a, b| Some(a.truth()? != b.truth()?))
    }),
    ("", "Max", |op| variadic(op, Some(arith::maximum))),
    ("", "Min", |op| variadic(op, Some(arith::minimum))),
    ("", "Sum", |op| variadic(op, Some(arith::add))),
    ("", "Mean", |op| variadic(op, None)),
    ("", "Where", where_),
    ("", "Clip", clip),
    ("", "Cast", cast),
    ("", "CastLike", cast_like),
    ("", "BitCast", bit_cast),
    ("", "Dropout", dropout),
    ("", "Bernoulli", typed_like),
    ("", "RandomNormalLike", typed_like),
    ("", "RandomUniformLike", typed_like),
    (MICROSOFT, "Gelu", same),
    (MICROSOFT, "FastGelu", same),
    (MICROSOFT, "QuickGelu", same),
    (MICROSOFT, "BiasGelu", same),
    (MICROSOFT, "BiasAdd", same),
    (MICROSOFT, "Trilu", trilu),
    (MICROSOFT, "Inverse", same),
    (MICROSOFT, "BiasDropout", dropout),
    (MICROSOFT, "BitmaskDropout", dropout),
    (MICROSOFT, "BiasSoftmax", same),
];

/// The output has the first input's type and shape.
pub(super) fn same(op: &mut Op<'_, '_>) -> Option<()> {
    op.same(0, 0)
}

/// The output is the input, whatever it is.
fn identity(op: &mut Op<'_, '_>) -> Option<()> {
    let fact = op.fact(0)?.clone();
    op.set(0, fact);
    Some(())
}

/// A function of each element.
fn unary(op: &mut Op<'_, '_>, function: fn(&Scalar) -> Scalar) -> Option<()> {
    op.same(0, 0)?;
    let dtype = op.dtype(0);
    let content = op.content(0)?;
    let items = content
        .items
        .iter()
        .map(|item| arith::round_to(dtype, function(item)))
        .collect();
    let shape = content.shape.clone();
    op.set_content(0, Content { shape, items });
    Some(())
}

/// A truth value for each element.
fn predicate(op: &mut Op<'_, '_>, function: fn(&Scalar) -> Option<bool>) -> Option<()> {
    op.set_dtype(0, DType::Bool);
    let shape = op.shape(0)?.to_vec();
    op.set_shape(0, shape);
    let content = op.content(0)?;
    let items = content
        .items
        .iter()
        .map(|x| Scalar::maybe(function(x)))
        .collect();
    let shape = content.shape.clone();
    op.set_content(0, Content { shape, items });
    Some(())
}

/// Before version 7, the second operand was aligned by `axis` and could only be smaller.
fn operand_shape(op: &mut Op<'_, '_>) -> Option<Vec<Dim>> {
    if op.version < 7 {
        return op.shape(0).map(<[Dim]>::to_vec);
    }
    broadcast_inputs(op, 0)
}

/// A function of two broadcast operands.
fn binary(op: &mut Op<'_, '_>, function: fn(&Scalar, &Scalar) -> Scalar) -> Option<()> {
    let dtype = op.dtype(0);
    op.set_dtype(0, dtype);
    let shape = operand_shape(op)?;
    op.set_shape(0, shape.clone());
    let contents = [op.content(0)?, op.content(1)?];
    map_broadcast(op, &contents, &shape, dtype, |items| {
        function(&items[0], &items[1])
    })
}

/// A comparison of two broadcast operands.
fn compare(op: &mut Op<'_, '_>, function: fn(&Scalar, &Scalar) -> Option<bool>) -> Option<()> {
    op.set_dtype(0, DType::Bool);
    let shape = operand_shape(op)?;
    op.set_shape(0, shape.clone());
    let contents = [op.content(0)?, op.content(1)?];
    map_broadcast(op, &contents, &shape, Some(DType::Bool), |items| {
        Scalar::maybe(function(&items[0], &items[1]))
    })
}

fn and(a: &Scalar, b: &Scalar) -> Option<bool> {
    match (a.truth(), b.truth()) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// `not a and not b`
fn and_not(a: &Scalar, b: &Scalar) -> Option<bool> {
    match (a.truth(), b.truth()) {
        (Some(true), _) | (_, Some(true)) => Some(false),
        (Some(false), Some(false)) => Some(true),
        _ => None,
    }
}

fn div(op: &mut Op<'_, '_>) -> Option<()> {
    if op.dtype(0).is_some_and(DType::is_floating_point) {
        binary(op, arith::div_float)
    } else {
        binary(op, arith::div_int)
    }
}

/// A function folded over any number of broadcast operands.
fn variadic(op: &mut Op<'_, '_>, function: Option<fn(&Scalar, &Scalar) -> Scalar>) -> Option<()> {
    let dtype = op.dtype(0);
    op.set_dtype(0, dtype);
    let shape = broadcast_inputs(op, 0)?;
    op.set_shape(0, shape.clone());
    let function = function?;
    let contents: Vec<&Content> = (0..op.inputs.len())
        .map(|index| op.content(index))
        .collect::<Option<_>>()?;
    map_broadcast(op, &contents, &shape, dtype, |items| {
        items
            .iter()
            .cloned()
            .reduce(|a, b| function(&a, &b))
            .unwrap_or_default()
    })
}

/// Elements of the second input where the condition holds, else of the third.
fn where_(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.dtype(1).or(op.dtype(2));
    op.set_dtype(0, dtype);
    let shape = broadcast_inputs(op, 0)?;
    op.set_shape(0, shape.clone());
    let contents = [op.content(0)?, op.content(1)?, op.content(2)?];
    map_broadcast(op, &contents, &shape, dtype, |items| {
        match items[0].truth() {
            Some(true) => items[1].clone(),
            Some(false) => items[2].clone(),
            None if items[1] == items[2] => items[1].clone(),
            None => Scalar::Unknown,
        }
    })
}

/// Limits each element to a range.
fn clip(op: &mut Op<'_, '_>) -> Option<()> {
    op.same(0, 0)?;
    let bound = |op: &Op<'_, '_>, index: usize| match op.has(index) {
        true => op
            .content(index)
            .and_then(|c| c.items.first().cloned())
            .map(Some),
        false => Some(None),
    };
    let (low, high) = (bound(op, 1)?, bound(op, 2)?);
    if op.attr("min").is_some() || op.attr("max").is_some() {
        return None;
    }
    let content = op.content(0)?;
    let items = content
        .items
        .iter()
        .map(|item| {
            let item = low
                .as_ref()
                .map_or(item.clone(), |low| arith::maximum(item, low));
            high.as_ref()
                .map_or(item.clone(), |high| arith::minimum(&item, high))
        })
        .collect();
    let shape = content.shape.clone();
    op.set_content(0, Content { shape, items });
    Some(())
}

fn cast_to(op: &mut Op<'_, '_>, to: Option<DType>) -> Option<()> {
    op.set_dtype(0, to);
    let shape = op.shape(0)?.to_vec();
    op.set_shape(0, shape);
    let (to, content) = (to?, op.content(0)?);
    let items = content
        .items
        .iter()
        .map(|item| arith::cast(to, item))
        .collect();
    let shape = content.shape.clone();
    op.set_content(0, Content { shape, items });
    Some(())
}

/// Another element type; version 1 names it as text.
fn cast(op: &mut Op<'_, '_>) -> Option<()> {
    let to = op.attr_dtype("to").or_else(|| {
        let name = op.attr_str("to")?.to_ascii_lowercase();
        ElemType::from_name(&name)?.dtype()
    });
    cast_to(op, to)
}

fn cast_like(op: &mut Op<'_, '_>) -> Option<()> {
    let to = op.dtype(1);
    cast_to(op, to)
}

/// The same bits as another element type of the same width.
fn bit_cast(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.attr_dtype("to"));
    let shape = op.shape(0)?.to_vec();
    op.set_shape(0, shape);
    Some(())
}

/// The input, and a mask of the same shape.
fn dropout(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    if op.wants(1) {
        let old = op.node.domain.is_empty() && op.version < 10;
        let mask = if old { op.dtype(0) } else { Some(DType::Bool) };
        op.set_dtype(1, mask);
    }
    let shape = op.shape(0)?.to_vec();
    if op.wants(1) && op.node.op_type != "BitmaskDropout" {
        op.set_shape(1, shape.clone());
    }
    op.set_shape(0, shape);
    Some(())
}

/// The shape of the input; the type of the `dtype` attribute, else of the input.
fn typed_like(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.attr_dtype_or("dtype", op.dtype(0));
    op.set_dtype(0, dtype);
    let shape = op.shape(0)?.to_vec();
    op.set_shape(0, shape);
    Some(())
}

fn sign(x: &Scalar) -> Scalar {
    match x {
        Scalar::Int(value) if crate::infer::bounds::lower(value) > Some(0) => Scalar::Int(Dim::ONE),
        _ => arith::on_float(x, |value| {
            if value > 0.0 {
                1.0
            } else if value < 0.0 {
                -1.0
            } else {
                value
            }
        }),
    }
}

fn bitwise(a: &Scalar, b: &Scalar, function: fn(i128, i128) -> i128) -> Scalar {
    match (a, b) {
        (Scalar::Int(Dim::Const(a)), Scalar::Int(Dim::Const(b))) => {
            Scalar::Int(Dim::Const(function(*a, *b)))
        }
        _ => Scalar::Unknown,
    }
}

fn bit_shift(op: &mut Op<'_, '_>) -> Option<()> {
    match op.attr_str("direction") {
        Some("LEFT") => binary(op, |a, b| {
            bitwise(a, b, |a, b| if (0..64).contains(&b) { a << b } else { 0 })
        }),
        _ => binary(op, |a, b| {
            bitwise(a, b, |a, b| if (0..64).contains(&b) { a >> b } else { 0 })
        }),
    }
}

/// One triangle of each matrix; the rest is zero.
fn trilu(op: &mut Op<'_, '_>) -> Option<()> {
    op.same(0, 0)?;
    let offset = if op.has(1) { op.int(1)?.as_i64()? } else { 0 };
    let upper = op.attr_int_or("upper", 1) != 0;
    let content = op.content(0)?;
    let rank = content.shape.len();
    let items = crate::infer::fact::indices(&content.shape)
        .zip(&content.items)
        .map(|(index, item)| {
            let (row, column) = match (rank.checked_sub(2), rank.checked_sub(1)) {
                (Some(row), Some(column)) => (index[row] as i64, index[column] as i64),
                _ => return Scalar::Unknown,
            };
            let keep = if upper {
                column >= row.saturating_add(offset)
            } else {
                column <= row.saturating_add(offset)
            };
            if keep {
                item.clone()
            } else {
                Scalar::Int(Dim::ZERO)
            }
        })
        .collect();
    let shape = content.shape.clone();
    op.set_content(0, Content { shape, items });
    Some(())
}
