//! Symbolic sizes: `Mul(Integer(4), Symbol('s77', positive=True, integer=True))` or `4*s77`.

use std::collections::HashMap;

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::expr::{BinaryOp, Expr, ExprKind, UnaryOp, parse};

use crate::json::SymInt;

/// Sizes that were read, by their text: a program repeats a few expressions thousands of times.
#[derive(Default)]
pub struct Symbols {
    read: HashMap<String, Dim>,
    /// Expressions whose value the file does not tell.
    pub unknown: Vec<String>,
}

impl Symbols {
    /// A size as a dimension.
    pub fn dim(&mut self, size: &SymInt<'_>) -> Dim {
        let (text, hint) = match size {
            SymInt::Int(value) => return Dim::from(*value),
            SymInt::Unknown => return self.not_known("size"),
            SymInt::Expr { text, hint } => (&**text, *hint),
        };
        if let Some(dim) = self.read.get(text) {
            return dim.clone();
        }
        let dim = match evaluate(&parse(text).expr) {
            Some(dim) if !dim.is_overflow() => {
                if dim.has_unknown() {
                    self.unknown.push(text.to_owned());
                }
                dim
            }
            // What cannot be expressed still had a value in the example that was exported.
            _ => hint.map_or_else(|| self.not_known(text), Dim::from),
        };
        self.read.insert(text.to_owned(), dim.clone());
        dim
    }

    fn not_known(&mut self, text: &str) -> Dim {
        self.unknown.push(text.to_owned());
        Dim::unknown(text)
    }
}

/// A symbol; `u0` and its like are sizes that depend on the data.
fn symbol(name: &str) -> Dim {
    let unbacked = name
        .strip_prefix('u')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    if unbacked {
        Dim::unknown(name)
    } else {
        Dim::symbol(name)
    }
}

fn evaluate(expr: &Expr) -> Option<Dim> {
    Some(match &expr.kind {
        ExprKind::Int(value) => Dim::Const(*value),
        ExprKind::Name(name) => symbol(name),
        ExprKind::Unary(UnaryOp::Neg, operand) => -evaluate(operand)?,
        ExprKind::Unary(UnaryOp::Pos, operand) => evaluate(operand)?,
        ExprKind::Binary(op, a, b) => {
            let (a, b) = (evaluate(a)?, evaluate(b)?);
            match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Div => a.exact_div(&b)?,
                BinaryOp::FloorDiv => a.floor_div(&b),
                BinaryOp::Mod => a.modulo(&b),
                BinaryOp::Pow => a.pow(exponent(&b)?),
                _ => return None,
            }
        }
        ExprKind::Call(function, arguments) => {
            let name = function.dotted_name()?;
            if name == "Symbol" {
                return match &arguments.first()?.value.kind {
                    ExprKind::Str(name) => Some(symbol(name)),
                    _ => None,
                };
            }
            let values = arguments
                .iter()
                .filter(|argument| argument.name.is_none())
                .map(|argument| evaluate(&argument.value))
                .collect::<Option<Vec<Dim>>>()?;
            apply(&name, &values)?
        }
        _ => return None,
    })
}

fn apply(name: &str, values: &[Dim]) -> Option<Dim> {
    Some(match (name, values) {
        ("Integer", [value]) => value.clone(),
        ("Add", _) => values.iter().fold(Dim::ZERO, |sum, value| sum + value),
        ("Mul", _) => Dim::product(values),
        ("Pow", [base, exp]) => base.pow(exponent(exp)?),
        ("FloorDiv" | "CleanDiv", [a, b]) => a.floor_div(b),
        ("CeilDiv", [a, b]) => a.ceil_div(b),
        ("Mod" | "PythonMod", [a, b]) => a.modulo(b),
        ("ModularIndexing", [a, b, c]) => a.floor_div(b).modulo(c),
        ("Max", [first, rest @ ..]) => rest
            .iter()
            .fold(first.clone(), |most, dim| most.maximum(dim)),
        ("Min", [first, rest @ ..]) => rest
            .iter()
            .fold(first.clone(), |least, dim| least.minimum(dim)),
        ("Identity", [value]) => value.clone(),
        _ => return None,
    })
}

fn exponent(dim: &Dim) -> Option<u32> {
    u32::try_from(dim.as_const()?)
        .ok()
        .filter(|exponent| *exponent <= 16)
}

/// The element type of a `ScalarType` number of the schema.
pub fn dtype(number: u32) -> Option<DType> {
    Some(match number {
        1 => DType::UInt8,
        2 => DType::Int8,
        3 => DType::Int16,
        4 => DType::Int32,
        5 => DType::Int64,
        6 => DType::Float16,
        7 => DType::Float32,
        8 => DType::Float64,
        9 => DType::Complex32,
        10 => DType::Complex64,
        11 => DType::Complex128,
        12 => DType::Bool,
        13 => DType::BFloat16,
        28 => DType::UInt16,
        29 => DType::Float8E4M3Fn,
        30 => DType::Float8E5M2,
        31 => DType::Float8E4M3FnUz,
        32 => DType::Float8E5M2FnUz,
        33 => DType::Float8E8M0Fnu,
        34 => DType::UInt32,
        35 => DType::UInt64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dim(text: &str) -> String {
        let size = SymInt::Expr {
            text: crate::json::Text(text.into()),
            hint: None,
        };
        Symbols::default().dim(&size).to_string()
    }

    #[test]
    fn both_notations() {
        let sympy = "Add(FloorDiv(Add(Symbol('s1', positive=True, integer=True), Integer(-3)), Integer(2)), Integer(1))";
        assert_eq!(dim(sympy), dim("((s1 - 3)//2) + 1"));
        assert_eq!(
            dim("Mul(Integer(4), Symbol('s28', positive=True, integer=True))"),
            "4*s28"
        );
        assert_eq!(dim("Pow(Symbol('s0'), Integer(2))"), "s0**2");
    }

    #[test]
    fn data_dependent_sizes_are_unknown() {
        assert_eq!(dim("Symbol('u0', integer=True)"), "?u0");
        assert_eq!(dim("Piecewise((1, s0 > 2))"), "?Piecewise((1, s0 > 2))");
    }
}
