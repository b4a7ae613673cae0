//! Named dimensions: `batch`, and the expressions that exporters write, such as `12*batch`.

use modelcost_core::dim::Dim;
use modelcost_core::expr::{self, BinaryOp, Expr, ExprKind, UnaryOp};

/// Longer texts are not expressions that an exporter wrote.
const MAX_LENGTH: usize = 400;

/// A dimension's name or expression as a symbolic integer. A text that is no expression is a name.
/// A name that starts with `?` says that the size is unknown, so it gives `None`.
pub(crate) fn parse(text: &str) -> Option<Dim> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('?') {
        return None;
    }
    let plain = text.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !plain
        && text.len() <= MAX_LENGTH
        && let Ok(tree) = expr::parse(text).ok()
        && let Some(dim) = convert(&tree)
        && !dim.is_overflow()
    {
        return Some(dim);
    }
    match text.parse::<i64>() {
        Ok(size) => Some(Dim::from(size)),
        Err(_) => Some(Dim::symbol(text)),
    }
}

fn convert(tree: &Expr) -> Option<Dim> {
    match &tree.kind {
        ExprKind::Int(value) => Some(Dim::Const(*value)),
        ExprKind::Name(name) => Some(Dim::symbol(name.clone())),
        ExprKind::Unary(UnaryOp::Neg, operand) => Some(-convert(operand)?),
        ExprKind::Binary(op, a, b) => {
            let (left, right) = (convert(a)?, convert(b)?);
            match op {
                BinaryOp::Add => Some(left + right),
                BinaryOp::Sub => Some(left - right),
                BinaryOp::Mul => Some(left * right),
                BinaryOp::FloorDiv => Some(left.floor_div(&right)),
                BinaryOp::Div => left.exact_div(&right),
                BinaryOp::Mod => Some(left.modulo(&right)),
                BinaryOp::Pow => Some(left.pow(right.as_usize().filter(|e| *e <= 8)? as u32)),
                _ => None,
            }
        }
        ExprKind::Call(function, arguments) => {
            let name = function.dotted_name()?;
            let args: Vec<&Expr> = arguments.iter().map(|argument| &argument.value).collect();
            match (name.to_ascii_lowercase().as_str(), args.as_slice()) {
                ("max", [a, b]) => Some(Dim::maximum(&convert(a)?, &convert(b)?)),
                ("min", [a, b]) => Some(Dim::minimum(&convert(a)?, &convert(b)?)),
                ("floor" | "ceiling" | "ceil", [quotient]) => {
                    let ExprKind::Binary(BinaryOp::Div, a, b) = &quotient.kind else {
                        return convert(quotient);
                    };
                    let (a, b) = (convert(a)?, convert(b)?);
                    Some(if name.eq_ignore_ascii_case("floor") {
                        a.floor_div(&b)
                    } else {
                        a.ceil_div(&b)
                    })
                }
                ("floordiv", [a, b]) => Some(convert(a)?.floor_div(&convert(b)?)),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exporters_expressions() {
        let text = |source: &str| parse(source).map(|dim| dim.to_string());
        assert_eq!(text("12*batch").unwrap(), "12*batch");
        assert_eq!(text("floor(s0/2) + 1").unwrap(), "(s0//2) + 1");
        assert_eq!(
            text("past_sequence_length + 1").unwrap(),
            "past_sequence_length + 1"
        );
        assert_eq!(text("Conv3_dim_2").unwrap(), "Conv3_dim_2");
        assert_eq!(text("a weird name!").unwrap(), "a weird name!");
        assert_eq!(text("7").unwrap(), "7");
        assert_eq!(text("?"), None);
    }
}
