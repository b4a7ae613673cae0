//! A formula with its values filled in.

use std::fmt::Write as _;

use super::evaluate::eval;
use super::quantity::truthy;
use super::{Quantity, Scope};
use crate::dim::Dim;
use crate::expr::{BinaryOp, Expr, ExprKind, UnaryOp};

pub(super) fn write_with_values(expr: &Expr, scope: &dyn Scope, power: u8, out: &mut String) {
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
