//! Values while a formula is evaluated.

use smol_str::SmolStr;

use super::{EvalError, type_error};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::trace::{Shape, Tensor, Trace};
use crate::value::Value;

/// A value while a formula is evaluated.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantity {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// An exact integer, possibly symbolic.
    Int(Dim),
    /// The quotient of two symbolic integers.
    Ratio(Dim, Dim),
    /// A float.
    Float(f64),
    /// A string.
    Str(SmolStr),
    /// A tuple, a list or a shape.
    Seq(Vec<Quantity>),
    /// A tensor: what formulas may ask of it.
    Tensor {
        /// `t.shape`, if the rank is known.
        shape: Option<Shape>,
        /// `t.dtype`
        dtype: Option<DType>,
    },
    /// Something that formulas cannot look into.
    Opaque(SmolStr),
}

impl Quantity {
    /// Whether everything about it is known: no symbol, no unknown shape, nothing opaque.
    pub fn is_known(&self) -> bool {
        match self {
            Quantity::None | Quantity::Bool(_) | Quantity::Float(_) | Quantity::Str(_) => true,
            Quantity::Int(dim) => dim.is_const(),
            Quantity::Seq(items) => items.iter().all(Quantity::is_known),
            Quantity::Tensor { shape, .. } => shape
                .as_ref()
                .is_some_and(|shape| shape.iter().all(Dim::is_const)),
            Quantity::Ratio(..) | Quantity::Opaque(_) => false,
        }
    }

    /// What a formula sees of a tensor.
    pub fn of_tensor(tensor: &Tensor) -> Quantity {
        Quantity::Tensor {
            shape: tensor.shape.clone(),
            dtype: tensor.dtype,
        }
    }

    /// What a formula sees of a value.
    pub fn of_value(trace: &Trace, value: &Value) -> Quantity {
        match value {
            Value::None => Quantity::None,
            Value::Bool(value) => Quantity::Bool(*value),
            Value::Int(dim) => Quantity::Int(dim.clone()),
            Value::Float(value) => Quantity::Float(*value),
            Value::Str(value) => Quantity::Str(value.clone()),
            Value::DType(dtype) => Quantity::Str(dtype.name().into()),
            Value::Tensor(id) => Quantity::of_tensor(trace.tensor(*id)),
            Value::Tuple(items) | Value::List(items) => Quantity::Seq(
                items
                    .iter()
                    .map(|item| Quantity::of_value(trace, item))
                    .collect(),
            ),
            Value::Dict(items) => Quantity::Seq(
                items
                    .iter()
                    .map(|(_, item)| Quantity::of_value(trace, item))
                    .collect(),
            ),
            Value::Opaque(text) => Quantity::Opaque(text.clone()),
        }
    }
}

pub(super) fn kind_of(quantity: &Quantity) -> &'static str {
    match quantity {
        Quantity::None => "None",
        Quantity::Bool(_) => "a bool",
        Quantity::Int(_) | Quantity::Ratio(..) | Quantity::Float(_) => "a number",
        Quantity::Str(_) => "a string",
        Quantity::Seq(_) => "a sequence",
        Quantity::Tensor { .. } => "a tensor",
        Quantity::Opaque(_) => "an object",
    }
}

pub(super) fn truthy(quantity: &Quantity) -> Result<bool, EvalError> {
    Ok(match quantity {
        Quantity::None => false,
        Quantity::Bool(value) => *value,
        Quantity::Int(Dim::Const(value)) => *value != 0,
        // A free dimension is a size, and sizes are positive.
        Quantity::Int(_) | Quantity::Ratio(..) => true,
        Quantity::Float(value) => *value != 0.0,
        Quantity::Str(value) => !value.is_empty(),
        Quantity::Seq(items) => !items.is_empty(),
        Quantity::Tensor { .. } => return type_error("a tensor is neither true nor false"),
        Quantity::Opaque(_) => true,
    })
}

pub(super) fn as_float(quantity: &Quantity) -> Option<f64> {
    match quantity {
        Quantity::Int(dim) => dim.as_const().map(|value| value as f64),
        Quantity::Float(value) => Some(*value),
        Quantity::Bool(value) => Some(*value as i32 as f64),
        _ => None,
    }
}

pub(super) fn integer(quantity: &Quantity) -> Result<i64, EvalError> {
    match quantity {
        Quantity::Int(dim) => dim
            .as_i64()
            .ok_or_else(|| EvalError::Type(format!("an index must be a known integer, not {dim}"))),
        other => type_error(format!(
            "an index must be an integer, not {}",
            kind_of(other)
        )),
    }
}

pub(super) fn truncate(value: f64) -> Result<Dim, EvalError> {
    // f64 to i128 is exact up to 2^127; NaN and infinities have no integer.
    if value.is_finite() && value.abs() < 1.7e38 {
        Ok(Dim::Const(value as i128))
    } else {
        Err(EvalError::Overflow)
    }
}
