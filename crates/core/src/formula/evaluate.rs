//! What an expression gives in a scope.

use std::cmp::Ordering;

use super::functions::built_in;
use super::quantity::{as_float, integer, kind_of, truthy};
use super::{EvalError, Quantity, Scope, type_error};
use crate::dim::Dim;
use crate::expr::{BinaryOp, CompareOp, Expr, ExprKind, UnaryOp};
use crate::trace::Shape;

pub(super) fn eval(expr: &Expr, scope: &dyn Scope) -> Result<Quantity, EvalError> {
    Ok(match &expr.kind {
        ExprKind::None => Quantity::None,
        ExprKind::Bool(value) => Quantity::Bool(*value),
        ExprKind::Int(value) => Quantity::Int(Dim::Const(*value)),
        ExprKind::Float(value) => Quantity::Float(*value),
        ExprKind::Str(value) => Quantity::Str(value.clone()),
        ExprKind::Name(name) => scope.get(name)?,
        ExprKind::Tuple(items) | ExprKind::List(items) => Quantity::Seq(
            items
                .iter()
                .map(|item| eval(item, scope))
                .collect::<Result<_, _>>()?,
        ),
        ExprKind::Unary(UnaryOp::Not, operand) => Quantity::Bool(!truthy(&eval(operand, scope)?)?),
        ExprKind::Unary(UnaryOp::Neg, operand) => binary(
            BinaryOp::Sub,
            Quantity::Int(Dim::ZERO),
            eval(operand, scope)?,
        )?,
        ExprKind::Unary(UnaryOp::Pos, operand) => eval(operand, scope)?,
        ExprKind::Binary(op, a, b) => binary(*op, eval(a, scope)?, eval(b, scope)?)?,
        ExprKind::And(a, b) => {
            let left = eval(a, scope)?;
            if truthy(&left)? {
                eval(b, scope)?
            } else {
                left
            }
        }
        ExprKind::Or(a, b) => {
            let left = eval(a, scope)?;
            if truthy(&left)? {
                left
            } else {
                eval(b, scope)?
            }
        }
        ExprKind::IfElse {
            test,
            then,
            otherwise,
        } => {
            if truthy(&eval(test, scope)?)? {
                eval(then, scope)?
            } else {
                eval(otherwise, scope)?
            }
        }
        ExprKind::Compare(first, rest) => {
            let mut left = eval(first, scope)?;
            for (op, operand) in rest {
                let right = eval(operand, scope)?;
                if !compare(*op, &left, &right)? {
                    return Ok(Quantity::Bool(false));
                }
                left = right;
            }
            Quantity::Bool(true)
        }
        ExprKind::Attribute(base, attribute) => {
            attribute_of(eval(base, scope)?, &attribute.name, base)?
        }
        ExprKind::Subscript(base, indices) => subscript(eval(base, scope)?, indices, scope)?,
        ExprKind::Call(function, arguments) => {
            let ExprKind::Name(name) = &function.kind else {
                return type_error("only functions by name can be called");
            };
            let values: Vec<_> = arguments
                .iter()
                .map(|argument| eval(&argument.value, scope))
                .collect::<Result<_, _>>()?;
            match scope.call(name, &values) {
                Some(result) => result?,
                None => built_in(name, &values)?,
            }
        }
        ExprKind::Slice(..)
        | ExprKind::Ellipsis
        | ExprKind::Unary(UnaryOp::Invert, _)
        | ExprKind::Error => {
            return type_error("this has no value in a formula");
        }
    })
}

pub(super) fn binary(op: BinaryOp, a: Quantity, b: Quantity) -> Result<Quantity, EvalError> {
    use Quantity::{Bool, Float, Int, Ratio, Seq};
    Ok(match (a, b) {
        (Seq(mut a), Seq(b)) if op == BinaryOp::Add => {
            a.extend(b);
            Seq(a)
        }
        (Seq(mut a), Seq(b)) if a.len() == 1 && b.len() > 1 => binary(op, a.remove(0), Seq(b))?,
        (Seq(a), Seq(mut b)) if b.len() == 1 && a.len() > 1 => binary(op, Seq(a), b.remove(0))?,
        (Seq(a), Seq(b)) => {
            if a.len() != b.len() {
                return type_error(format!(
                    "shapes of {} and {} dimensions do not go together",
                    a.len(),
                    b.len()
                ));
            }
            Seq(a
                .into_iter()
                .zip(b)
                .map(|(x, y)| binary(op, x, y))
                .collect::<Result<_, _>>()?)
        }
        (Seq(a), b) => Seq(a
            .into_iter()
            .map(|x| binary(op, x, b.clone()))
            .collect::<Result<_, _>>()?),
        (a, Seq(b)) => Seq(b
            .into_iter()
            .map(|y| binary(op, a.clone(), y))
            .collect::<Result<_, _>>()?),
        (Bool(a), b) => binary(op, Int(Dim::from(a as i32)), b)?,
        (a, Bool(b)) => binary(op, a, Int(Dim::from(b as i32)))?,
        (Int(a), Int(b)) => match op {
            BinaryOp::Add => Int(a + b),
            BinaryOp::Sub => Int(a - b),
            BinaryOp::Mul => Int(a * b),
            BinaryOp::FloorDiv if b == Dim::ZERO => return Err(EvalError::DivisionByZero),
            BinaryOp::FloorDiv => Int(a.floor_div(&b)),
            BinaryOp::Mod if b == Dim::ZERO => return Err(EvalError::DivisionByZero),
            BinaryOp::Mod => Int(a.modulo(&b)),
            BinaryOp::Div if b == Dim::ZERO => return Err(EvalError::DivisionByZero),
            BinaryOp::Div => match (a.as_const(), b.as_const()) {
                (Some(a), Some(b)) => Float(a as f64 / b as f64),
                _ => a
                    .exact_div(&b)
                    .map_or_else(|| Ratio(a.clone(), b.clone()), Int),
            },
            BinaryOp::Pow => match b
                .as_const()
                .and_then(|exponent| u32::try_from(exponent).ok())
            {
                Some(exponent) if exponent <= 64 => Int(a.pow(exponent)),
                _ => return type_error("an exponent must be an integer from 0 to 64"),
            },
            BinaryOp::MatMul | BinaryOp::BitAnd | BinaryOp::BitOr => {
                return type_error(format!("'{}' has no meaning in a formula", op.symbol()));
            }
        },
        // A float that meets a symbol is the fraction that it is.
        (Float(a), b @ (Int(Dim::Poly(_)) | Ratio(..))) => binary(op, dyadic(a)?, b)?,
        (a @ (Int(Dim::Poly(_)) | Ratio(..)), Float(b)) => binary(op, a, dyadic(b)?)?,
        (Ratio(a, b), Int(c)) => ratio(op, (a, b), (c, Dim::ONE))?,
        (Int(c), Ratio(a, b)) => ratio(op, (c, Dim::ONE), (a, b))?,
        (Ratio(a, b), Ratio(c, d)) => ratio(op, (a, b), (c, d))?,
        (a, b) => {
            let (Some(a), Some(b)) = (as_float(&a), as_float(&b)) else {
                return type_error(format!(
                    "'{}' does not go with {} and {}",
                    op.symbol(),
                    kind_of(&a),
                    kind_of(&b)
                ));
            };
            Float(match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Div if b == 0.0 => return Err(EvalError::DivisionByZero),
                BinaryOp::Div => a / b,
                BinaryOp::FloorDiv => (a / b).floor(),
                BinaryOp::Mod => a - (a / b).floor() * b,
                BinaryOp::Pow => a.powf(b),
                _ => return type_error(format!("'{}' has no meaning in a formula", op.symbol())),
            })
        }
    })
}

/// A float as a fraction with a small power of two below.
fn dyadic(value: f64) -> Result<Quantity, EvalError> {
    let powers = (0..=20).map(|power| f64::from(1u32 << power));
    let fraction = powers
        .map(|power| (value * power, power))
        .find(|(above, _)| above.fract() == 0.0 && above.abs() < 9e15);
    match fraction {
        Some((above, 1.0)) => Ok(Quantity::Int(Dim::Const(above as i128))),
        Some((above, below)) => Ok(Quantity::Ratio(
            Dim::Const(above as i128),
            Dim::Const(below as i128),
        )),
        None => type_error(format!("{value} has no exact product with a free size")),
    }
}

fn ratio(op: BinaryOp, (a, b): (Dim, Dim), (c, d): (Dim, Dim)) -> Result<Quantity, EvalError> {
    let (numerator, denominator) = match op {
        BinaryOp::Add => (&a * &d + &c * &b, &b * &d),
        BinaryOp::Sub => (&a * &d - &c * &b, &b * &d),
        BinaryOp::Mul => (&a * &c, &b * &d),
        BinaryOp::Div => (&a * &d, &b * &c),
        BinaryOp::FloorDiv => return Ok(Quantity::Int((&a * &d).floor_div(&(&b * &c)))),
        _ => {
            return type_error(format!(
                "'{}' does not go with symbolic fractions",
                op.symbol()
            ));
        }
    };
    Ok(match numerator.exact_div(&denominator) {
        Some(whole) => Quantity::Int(whole),
        None => Quantity::Ratio(numerator, denominator),
    })
}

fn compare(op: CompareOp, a: &Quantity, b: &Quantity) -> Result<bool, EvalError> {
    let same = |a: &Quantity, b: &Quantity| match (as_float(a), as_float(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    };
    let order = |a: &Quantity, b: &Quantity| -> Result<Ordering, EvalError> {
        if let (Quantity::Int(a), Quantity::Int(b)) = (a, b) {
            if let Some(difference) = (a.clone() - b).as_const() {
                return Ok(difference.cmp(&0));
            }
            return type_error(format!(
                "whether {a} is larger than {b} depends on the sizes"
            ));
        }
        match (as_float(a), as_float(b)) {
            (Some(a), Some(b)) => a
                .partial_cmp(&b)
                .ok_or_else(|| EvalError::Type("NaN has no order".into())),
            _ => type_error(format!("{} and {} have no order", kind_of(a), kind_of(b))),
        }
    };
    Ok(match op {
        CompareOp::Eq => same(a, b),
        CompareOp::Ne => !same(a, b),
        CompareOp::Is => {
            matches!((a, b), (Quantity::None, Quantity::None))
                || (same(a, b) && *a != Quantity::None)
        }
        CompareOp::IsNot => return compare(CompareOp::Is, a, b).map(|is| !is),
        CompareOp::Lt => order(a, b)? == Ordering::Less,
        CompareOp::Le => order(a, b)? != Ordering::Greater,
        CompareOp::Gt => order(a, b)? == Ordering::Greater,
        CompareOp::Ge => order(a, b)? != Ordering::Less,
        CompareOp::In | CompareOp::NotIn => {
            let found = match (a, b) {
                (_, Quantity::Seq(items)) => items.iter().any(|item| same(a, item)),
                (Quantity::Str(part), Quantity::Str(whole)) => whole.contains(part.as_str()),
                _ => return type_error("'in' needs a sequence or a string on its right"),
            };
            found == (op == CompareOp::In)
        }
    })
}

fn shape_of(shape: Option<Shape>, what: &Expr) -> Result<Vec<Quantity>, EvalError> {
    match shape {
        Some(shape) => Ok(shape.into_iter().map(Quantity::Int).collect()),
        None => Err(EvalError::UnknownShape(
            what.dotted_name().unwrap_or_else(|| "a tensor".into()),
        )),
    }
}

fn attribute_of(base: Quantity, attribute: &str, what: &Expr) -> Result<Quantity, EvalError> {
    match (base, attribute) {
        (Quantity::Tensor { shape, .. }, "shape") => Ok(Quantity::Seq(shape_of(shape, what)?)),
        (Quantity::Tensor { shape, .. }, "ndim") => {
            Ok(Quantity::Int(Dim::from(shape_of(shape, what)?.len())))
        }
        (
            Quantity::Tensor {
                dtype: Some(dtype), ..
            },
            "itemsize",
        ) => Ok(Quantity::Int(Dim::from(dtype.bytes()))),
        (
            Quantity::Tensor {
                dtype: Some(dtype), ..
            },
            "dtype",
        ) => Ok(Quantity::Str(dtype.name().into())),
        (base, _) => type_error(format!("{} has no attribute '{attribute}'", kind_of(&base))),
    }
}

fn subscript(base: Quantity, indices: &[Expr], scope: &dyn Scope) -> Result<Quantity, EvalError> {
    let (Quantity::Seq(items), [index]) = (base, indices) else {
        return type_error("only a shape, a tuple or a list can be indexed, with one index");
    };
    let length = items.len();
    let bound = |expr: &Option<Box<Expr>>, default: i64| -> Result<i64, EvalError> {
        match expr {
            None => Ok(default),
            Some(expr) => integer(&eval(expr, scope)?),
        }
    };
    if let ExprKind::Slice(lower, upper, step) = &index.kind {
        if step.is_some() {
            return type_error("a slice in a formula has no step");
        }
        let clamp = |value: i64| {
            if value < 0 {
                (value + length as i64).max(0)
            } else {
                value.min(length as i64)
            }
        };
        let (lower, upper) = (clamp(bound(lower, 0)?), clamp(bound(upper, length as i64)?));
        return Ok(Quantity::Seq(
            items
                .get(lower as usize..upper as usize)
                .unwrap_or(&[])
                .to_vec(),
        ));
    }
    let at = integer(&eval(index, scope)?)?;
    let position = if at < 0 { at + length as i64 } else { at };
    let item = usize::try_from(position)
        .ok()
        .and_then(|position| items.get(position));
    item.cloned().ok_or(EvalError::Index { index: at, length })
}
