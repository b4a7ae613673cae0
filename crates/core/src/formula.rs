//! Formulas over the named quantities of a call.
//!
//! One formula gives the number, the symbolic polynomial, and the text with the values filled in
//! that `explain`, the hover and the docs show. It is written as Python:
//!
//! ```text
//! numel(out) * (in.shape[1] // groups) * prod(kernel_size)
//! ```
//!
//! Arithmetic on shapes is element by element, as in NumPy, except `+`, which joins two of them as
//! Python does with lists. `/` is what a tool does in float64; `int()` truncates. Where the
//! operands are symbolic, a quotient stays an exact fraction until `int()`, `floor()` or `ceil()`.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use smol_str::SmolStr;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::expr::{self, BinaryOp, CompareOp, Expr, ExprKind, SyntaxError, UnaryOp};
use crate::trace::{CallId, Shape, Target, Tensor, TensorId, Trace};
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

/// Why a formula has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum EvalError {
    #[error("'{0}' is not known for this call")]
    UnknownName(SmolStr),
    #[error("the shape of {0} is not known")]
    UnknownShape(SmolStr),
    #[error("{0}")]
    Type(String),
    #[error("index {index} is out of range for {length} elements")]
    Index { index: i64, length: usize },
    #[error("division by zero")]
    DivisionByZero,
    #[error("the result does not fit in 128 bits")]
    Overflow,
    #[error("{0}")]
    Raises(SmolStr),
}

fn type_error<T>(message: impl Into<String>) -> Result<T, EvalError> {
    Err(EvalError::Type(message.into()))
}

/// Where a formula's names get their values.
pub trait Scope {
    /// The value of a name; an error says why it has none.
    fn get(&self, name: &str) -> Result<Quantity, EvalError>;

    /// A function beyond the built-in ones; `None` if there is no such function.
    fn call(&self, name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
        let _ = (name, arguments);
        None
    }
}

/// A parsed formula.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    text: SmolStr,
    expr: Expr,
}

impl Formula {
    /// Parses a formula.
    pub fn parse(text: &str) -> Result<Formula, SyntaxError> {
        Ok(Formula {
            text: text.into(),
            expr: expr::parse(text).ok()?,
        })
    }

    /// The formula as it was written.
    pub fn text(&self) -> &SmolStr {
        &self.text
    }

    /// The names it uses, functions left out.
    pub fn names(&self) -> BTreeSet<SmolStr> {
        let mut names = BTreeSet::new();
        let mut functions = BTreeSet::new();
        self.expr.walk(&mut |expr| match &expr.kind {
            ExprKind::Name(name) => {
                names.insert((name.clone(), expr.span));
            }
            ExprKind::Call(function, _) => {
                functions.insert(function.span);
            }
            _ => {}
        });
        names
            .into_iter()
            .filter(|(_, span)| !functions.contains(span))
            .map(|(name, _)| name)
            .collect()
    }

    /// The value.
    pub fn eval(&self, scope: &dyn Scope) -> Result<Quantity, EvalError> {
        eval(&self.expr, scope)
    }

    /// The value as a count: an integer, exact or symbolic.
    pub fn count(&self, scope: &dyn Scope) -> Result<Dim, EvalError> {
        match self.eval(scope)? {
            Quantity::Int(Dim::Overflow) => Err(EvalError::Overflow),
            Quantity::Int(dim) => Ok(dim),
            Quantity::Bool(value) => Ok(Dim::from(value as i32)),
            // Tools hold counts in floats and print them whole.
            Quantity::Float(value) => truncate(value),
            Quantity::Ratio(a, b) => Ok(a.floor_div(&b)),
            other => type_error(format!(
                "'{}' gives {}, not a number",
                self.text,
                kind_of(&other)
            )),
        }
    }

    /// Whether a condition holds.
    pub fn holds(&self, scope: &dyn Scope) -> Result<bool, EvalError> {
        truthy(&self.eval(scope)?)
    }

    /// The formula with every quantity replaced by its value: `193600 * (3 // 1) * 121`.
    pub fn with_values(&self, scope: &dyn Scope) -> String {
        let mut out = String::new();
        write_with_values(&self.expr, scope, 0, &mut out);
        out
    }
}

fn truncate(value: f64) -> Result<Dim, EvalError> {
    // f64 to i128 is exact up to 2^127; NaN and infinities have no integer.
    if value.is_finite() && value.abs() < 1.7e38 {
        Ok(Dim::Const(value as i128))
    } else {
        Err(EvalError::Overflow)
    }
}

fn kind_of(quantity: &Quantity) -> &'static str {
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

fn truthy(quantity: &Quantity) -> Result<bool, EvalError> {
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

fn eval(expr: &Expr, scope: &dyn Scope) -> Result<Quantity, EvalError> {
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

fn binary(op: BinaryOp, a: Quantity, b: Quantity) -> Result<Quantity, EvalError> {
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

fn as_float(quantity: &Quantity) -> Option<f64> {
    match quantity {
        Quantity::Int(dim) => dim.as_const().map(|value| value as f64),
        Quantity::Float(value) => Some(*value),
        Quantity::Bool(value) => Some(*value as i32 as f64),
        _ => None,
    }
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

fn integer(quantity: &Quantity) -> Result<i64, EvalError> {
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

fn built_in(name: &str, arguments: &[Quantity]) -> Result<Quantity, EvalError> {
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

fn write_with_values(expr: &Expr, scope: &dyn Scope, power: u8, out: &mut String) {
    let is_quantity = match &expr.kind {
        ExprKind::Name(_) | ExprKind::Attribute(..) | ExprKind::Subscript(..) => true,
        ExprKind::Call(function, _) => {
            !matches!(&function.kind, ExprKind::Name(n) if ["int", "max", "min", "floor", "ceil"].contains(&n.as_str()))
        }
        _ => false,
    };
    if is_quantity && let Ok(value) = eval(expr, scope) {
        write_quantity(&value, out);
        return;
    }
    match &expr.kind {
        ExprKind::Binary(op, a, b) => {
            let own = match op {
                BinaryOp::Add | BinaryOp::Sub => 1,
                BinaryOp::Pow => 3,
                _ => 2,
            };
            if own < power {
                out.push('(');
            }
            write_with_values(a, scope, own, out);
            let _ = write!(out, " {} ", op.symbol());
            write_with_values(b, scope, own + 1, out);
            if own < power {
                out.push(')');
            }
        }
        ExprKind::IfElse {
            test,
            then,
            otherwise,
        } => {
            let taken = match eval(test, scope).and_then(|value| truthy(&value)) {
                Ok(true) => then,
                _ => otherwise,
            };
            write_with_values(taken, scope, power, out);
        }
        ExprKind::Call(function, arguments) => {
            let _ = write!(out, "{}(", function.dotted_name().unwrap_or_default());
            for (index, argument) in arguments.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_with_values(&argument.value, scope, 0, out);
            }
            out.push(')');
        }
        ExprKind::Unary(UnaryOp::Neg, operand) => {
            out.push('-');
            write_with_values(operand, scope, 3, out);
        }
        _ => match eval(expr, scope) {
            Ok(value) => write_quantity(&value, out),
            Err(_) => out.push('?'),
        },
    }
}

fn write_quantity(quantity: &Quantity, out: &mut String) {
    let _ = match quantity {
        Quantity::None => write!(out, "None"),
        Quantity::Bool(value) => write!(out, "{}", if *value { "True" } else { "False" }),
        Quantity::Int(dim @ (Dim::Const(_) | Dim::Overflow)) => write!(out, "{dim}"),
        Quantity::Int(dim) => {
            let text = dim.to_string();
            if text.contains(' ') {
                write!(out, "({text})")
            } else {
                write!(out, "{text}")
            }
        }
        Quantity::Ratio(a, b) => write!(out, "({a})/({b})"),
        Quantity::Float(value) => write!(out, "{value}"),
        Quantity::Str(value) => write!(out, "'{value}'"),
        Quantity::Opaque(value) => write!(out, "{value}"),
        Quantity::Tensor {
            shape: Some(shape), ..
        } => {
            write!(
                out,
                "{}",
                shape
                    .iter()
                    .map(Dim::to_string)
                    .collect::<Vec<_>>()
                    .join("×")
            )
        }
        Quantity::Tensor { shape: None, .. } => write!(out, "?"),
        Quantity::Seq(items) => {
            out.push('(');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_quantity(item, out);
            }
            out.push(')');
            Ok(())
        }
    };
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

/// The names that a formula may use about one call.
///
/// | name | value |
/// |---|---|
/// | `in` | the first positional argument, which forward hooks call `input[0]` |
/// | `out` | the output, or the first tensor of several |
/// | `inputs`, `outputs` | all of them |
/// | `training` | `False`: tools run models in eval mode |
/// | parameter names | the arguments of a function or operator; a module's forward arguments |
/// | attribute names | a module's constructor arguments, parameters and buffers |
///
/// It has the functions of an [einsum](crate::einsum::formula_function) too.
pub struct CallScope<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// The call.
    pub call: CallId,
}

impl CallScope<'_> {
    fn tensor(&self, id: TensorId) -> Quantity {
        Quantity::of_tensor(self.trace.tensor(id))
    }

    fn of_module(&self, name: &str) -> Option<Quantity> {
        let Target::Module(id) = self.trace.call(self.call).target else {
            return None;
        };
        let module = self.trace.module(id);
        if let Some((_, parameter)) = module.parameters.iter().find(|(key, _)| key == name) {
            return Some(parameter.map_or(Quantity::None, |id| {
                self.tensor(self.trace.parameter(id).tensor)
            }));
        }
        if let Some((_, value)) = module.attributes.iter().find(|(key, _)| key == name) {
            return Some(Quantity::of_value(self.trace, value));
        }
        let (_, buffer) = module.buffers.iter().find(|(key, _)| key == name)?;
        Some(self.tensor(self.trace.buffers[buffer.index()].tensor))
    }
}

impl Scope for CallScope<'_> {
    fn call(&self, name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
        crate::einsum::formula_function(name, arguments)
    }

    fn get(&self, name: &str) -> Result<Quantity, EvalError> {
        let call = self.trace.call(self.call);
        let found = match name {
            "in" => match call.positional().next() {
                Some(value) => Some(Quantity::of_value(self.trace, value)),
                // A hook is given positional arguments only: `input[0]` of none of them raises.
                None if matches!(call.target, Target::Module(_)) => {
                    return Err(EvalError::Index {
                        index: 0,
                        length: 0,
                    });
                }
                None => None,
            },
            "out" => match (&call.output, call.output.tensors().first()) {
                (Value::Tensor(id), _) | (_, Some(id)) => Some(self.tensor(*id)),
                (other, None) => Some(Quantity::of_value(self.trace, other)),
            },
            "inputs" => Some(Quantity::Seq(
                call.positional()
                    .map(|value| Quantity::of_value(self.trace, value))
                    .collect(),
            )),
            "outputs" => Some(match &call.output {
                Value::Tuple(_) | Value::List(_) | Value::Dict(_) => {
                    Quantity::of_value(self.trace, &call.output)
                }
                single => Quantity::Seq(vec![Quantity::of_value(self.trace, single)]),
            }),
            "training" => Some(Quantity::Bool(false)),
            _ => None,
        };
        found
            .or_else(|| self.of_module(name))
            .or_else(|| {
                call.argument(name)
                    .map(|value| Quantity::of_value(self.trace, value))
            })
            .ok_or_else(|| EvalError::UnknownName(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct Names(HashMap<&'static str, Quantity>);

    impl Scope for Names {
        fn get(&self, name: &str) -> Result<Quantity, EvalError> {
            self.0
                .get(name)
                .cloned()
                .ok_or_else(|| EvalError::UnknownName(name.into()))
        }
    }

    fn tensor(dims: &[i64]) -> Quantity {
        Quantity::Tensor {
            shape: Some(dims.iter().map(|d| Dim::from(*d)).collect()),
            dtype: Some(DType::Float32),
        }
    }

    fn alexnet_first_conv() -> Names {
        let kernel = Quantity::Seq(vec![
            Quantity::Int(Dim::from(11)),
            Quantity::Int(Dim::from(11)),
        ]);
        Names(HashMap::from([
            ("in", tensor(&[1, 3, 224, 224])),
            ("out", tensor(&[1, 64, 55, 55])),
            ("kernel_size", kernel),
            ("groups", Quantity::Int(Dim::ONE)),
            ("bias", tensor(&[64])),
        ]))
    }

    #[test]
    fn counts_a_convolution() {
        // AlexNet's features.0: thop 0.1.1 prints 70276800.
        let formula =
            Formula::parse("numel(out) * (in.shape[1] // groups) * prod(kernel_size)").unwrap();
        let scope = alexnet_first_conv();
        assert_eq!(formula.count(&scope), Ok(Dim::from(70_276_800)));
        assert_eq!(formula.with_values(&scope), "193600 * (3 // 1) * 121");
        assert_eq!(
            formula.names().into_iter().collect::<Vec<_>>(),
            ["groups", "in", "kernel_size", "out"]
        );
    }

    #[test]
    fn stays_symbolic() {
        let mut scope = alexnet_first_conv();
        let batch = Dim::symbol("batch");
        let shape = vec![batch, Dim::from(64), Dim::from(55), Dim::from(55)];
        scope.0.insert(
            "out",
            Quantity::Tensor {
                shape: Some(shape),
                dtype: None,
            },
        );
        let formula =
            Formula::parse("numel(out) * 363 + (numel(out) if bias is not None else 0)").unwrap();
        assert_eq!(formula.count(&scope).unwrap().to_string(), "70470400*batch");
    }

    #[test]
    fn divides_as_the_tool_does() {
        // thop 0.1.1 prints 52479 for this pooling: float64 quotients, then truncated (exactly: 52480).
        let scope = Names(HashMap::from([
            ("in", tensor(&[1, 256, 13, 13])),
            ("out", tensor(&[1, 256, 6, 6])),
        ]));
        let formula =
            Formula::parse("int((prod(in.shape[2:] / out.shape[2:]) + 1) * numel(out))").unwrap();
        assert_eq!(formula.count(&scope), Ok(Dim::from(52_479)));
    }

    #[test]
    fn floats_meet_symbols() {
        let batch = Quantity::Int(Dim::symbol("batch"));
        let scope = Names(HashMap::from([("batch", batch)]));
        let count = |text: &str| Formula::parse(text).unwrap().count(&scope);
        let text = |text: &str| count(text).unwrap().to_string();
        assert_eq!(text("int((7 / 1 * 7 + 1) * batch)"), "50*batch");
        assert_eq!(text("int(batch * 4 * 2.25)"), "9*batch");
        assert!(count("int(batch * (13 / 6))").is_err());
    }

    #[test]
    fn shapes_of_one_broadcast() {
        let formula = Formula::parse("sum((7,) // (2, 3))").unwrap();
        assert_eq!(formula.count(&alexnet_first_conv()), Ok(Dim::from(5)));
    }

    #[test]
    fn errors_are_values() {
        let scope = alexnet_first_conv();
        let error = |text: &str| Formula::parse(text).unwrap().count(&scope).unwrap_err();
        assert_eq!(error("stride"), EvalError::UnknownName("stride".into()));
        assert_eq!(error("numel(out) // 0"), EvalError::DivisionByZero);
        assert_eq!(
            error("out.shape[7]"),
            EvalError::Index {
                index: 7,
                length: 4
            }
        );
        assert_eq!(error("numel(out) ** 40"), EvalError::Overflow);
    }
}
