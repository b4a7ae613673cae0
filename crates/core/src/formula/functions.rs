//! The functions that every formula has.

use super::evaluate::binary;
use super::quantity::{as_float, kind_of, truncate};
use super::{EvalError, Quantity, type_error};
use crate::dim::Dim;
use crate::expr::BinaryOp;
use crate::trace::Shape;

pub(super) fn built_in(name: &str, arguments: &[Quantity]) -> Result<Quantity, EvalError> {
    let fold = |op: BinaryOp, items: &[Quantity], start: i128| {
        items
            .iter()
            .try_fold(Quantity::Int(Dim::Const(start)), |acc, item| {
                binary(op, acc, item.clone())
            })
    };
    match (name, arguments) {
        ("numel", [Quantity::Tensor { shape, .. }]) => match shape {
            Some(shape) => Ok(Quantity::Int(Dim::product(shape))),
            None => Err(EvalError::UnknownShape("a tensor".into())),
        },
        // A shape's elements, and 1 for a plain number, as `prod` of a scalar is the scalar.
        ("prod", [Quantity::Seq(items)]) => fold(BinaryOp::Mul, items, 1),
        ("prod", [number @ (Quantity::Int(_) | Quantity::Float(_))]) => Ok(number.clone()),
        ("sum", [Quantity::Seq(items)]) => fold(BinaryOp::Add, items, 0),
        ("len", [Quantity::Seq(items)]) => Ok(Quantity::Int(Dim::from(items.len()))),
        (
            "len",
            [
                Quantity::Tensor {
                    shape: Some(shape), ..
                },
            ],
        ) => shape
            .first()
            .cloned()
            .map(Quantity::Int)
            .ok_or_else(|| EvalError::Type("len() of a 0-d tensor".into())),
        ("int", [Quantity::Float(value)]) => truncate(*value).map(Quantity::Int),
        ("int" | "floor", [Quantity::Ratio(a, b)]) => Ok(Quantity::Int(a.floor_div(b))),
        // Recurrent operators take all their parameters as one list; the matrices among them multiply.
        ("matrix_elements", [Quantity::Seq(tensors)]) => {
            matrices(tensors, |shape| Dim::product(shape))
        }
        ("matrix_rows", [Quantity::Seq(tensors)]) => {
            matrices(tensors, |shape| shape.first().cloned().unwrap_or_default())
        }
        ("ceil", [Quantity::Ratio(a, b)]) => Ok(Quantity::Int(a.ceil_div(b))),
        ("floor", [Quantity::Float(value)]) => truncate(value.floor()).map(Quantity::Int),
        ("ceil", [Quantity::Float(value)]) => truncate(value.ceil()).map(Quantity::Int),
        ("int" | "floor" | "ceil", [Quantity::Int(value)]) => Ok(Quantity::Int(value.clone())),
        ("int", [Quantity::Bool(value)]) => Ok(Quantity::Int(Dim::from(*value as i32))),
        ("float", [number]) => match as_float(number) {
            Some(value) => Ok(Quantity::Float(value)),
            None => Ok(number.clone()),
        },
        ("max" | "min", [Quantity::Seq(items)]) => built_in(name, items),
        ("max" | "min", [first, rest @ ..]) => {
            rest.iter()
                .try_fold(first.clone(), |acc, item| match (&acc, item) {
                    (Quantity::Int(a), Quantity::Int(b)) => Ok(Quantity::Int(if name == "max" {
                        a.maximum(b)
                    } else {
                        a.minimum(b)
                    })),
                    (a, b) => match (as_float(a), as_float(b)) {
                        (Some(x), Some(y)) => Ok(if (x >= y) == (name == "max") {
                            a.clone()
                        } else {
                            b.clone()
                        }),
                        _ => type_error(format!("{name}() of {} and {}", kind_of(a), kind_of(b))),
                    },
                })
        }
        // A number for every one of `n` dimensions, or the sequence as it is: torch's `_ntuple`.
        ("ntuple", [Quantity::Seq(items), _]) => Ok(Quantity::Seq(items.clone())),
        ("ntuple", [value, Quantity::Int(n)]) => match n.as_usize() {
            Some(n) if n <= 64 => Ok(Quantity::Seq(vec![value.clone(); n])),
            _ => type_error("ntuple() needs a small number of dimensions"),
        },
        ("is_tensor", [value]) => Ok(Quantity::Bool(matches!(value, Quantity::Tensor { .. }))),
        ("is_sequence", [value]) => Ok(Quantity::Bool(matches!(value, Quantity::Seq(_)))),
        ("broadcast", shapes) => broadcast_all(shapes),
        // Where the tool raises an error instead of giving a number.
        ("raises", [Quantity::Str(reason)]) => Err(EvalError::Raises(reason.clone())),
        ("numel" | "prod" | "sum" | "len" | "int" | "floor" | "ceil", [other]) => {
            type_error(format!("{name}() of {}", kind_of(other)))
        }
        _ => Err(EvalError::UnknownName(format!("{name}()").into())),
    }
}

fn matrices(tensors: &[Quantity], of: impl Fn(&Shape) -> Dim) -> Result<Quantity, EvalError> {
    let mut sum = Dim::ZERO;
    for tensor in tensors {
        match tensor {
            Quantity::Tensor {
                shape: Some(shape), ..
            } if shape.len() >= 2 => sum += of(shape),
            Quantity::Tensor { shape: Some(_), .. } | Quantity::None => {}
            _ => return Err(EvalError::UnknownShape("a parameter".into())),
        }
    }
    Ok(Quantity::Int(sum))
}

fn broadcast_all(shapes: &[Quantity]) -> Result<Quantity, EvalError> {
    let mut out: Vec<Dim> = Vec::new();
    for shape in shapes {
        let Quantity::Seq(items) = shape else {
            return type_error("broadcast() takes shapes");
        };
        let dims = items.iter().map(|item| match item {
            Quantity::Int(dim) => Ok(dim.clone()),
            other => type_error(format!("broadcast() of {}", kind_of(other))),
        });
        let dims: Vec<Dim> = dims.collect::<Result<_, _>>()?;
        out = broadcast(&out, &dims)
            .ok_or_else(|| EvalError::Type("these shapes do not broadcast".into()))?;
    }
    Ok(Quantity::Seq(out.into_iter().map(Quantity::Int).collect()))
}

/// NumPy's broadcasting of two shapes; `None` if they do not fit. A symbol is taken to fit the
/// size that it meets.
pub fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let at = |shape: &[Dim], index: usize| -> Dim {
        (index + shape.len())
            .checked_sub(rank)
            .map_or(Dim::ONE, |index| shape[index].clone())
    };
    (0..rank)
        .map(|index| match (at(a, index), at(b, index)) {
            (x, y) if x == y => Some(x),
            (Dim::Const(1), y) => Some(y),
            (x, Dim::Const(1)) => Some(x),
            (Dim::Const(_), Dim::Const(_)) => None,
            (x @ Dim::Const(_), _) | (_, x @ Dim::Const(_)) => Some(x),
            (x, _) => Some(x),
        })
        .collect()
}
