//! Methods that have a symbol in Python: which of the two a line writes, `x.add(y)` or `x + y`.

use modelcost_core::expr::{Expr, ExprKind, UnaryOp, assigned, parse};

/// How a method or its operator stands in a line of Python, in the order of evaluation: `true` for
/// each call of the method, `false` for each operator.
pub fn written(line: &str, method: &str, symbol: &str) -> Vec<bool> {
    let code = line.split('#').next().unwrap_or("").trim();
    if code.is_empty() {
        return Vec::new();
    }
    if !code.contains(symbol) && !code.contains(&format!(".{method}(")) {
        return Vec::new();
    }
    let (value, operator) = assigned(code);
    let augmented = operator == Some(symbol);
    let parsed = parse(value);
    let mut out = Vec::new();
    if parsed.errors.is_empty() {
        evaluate(&parsed.expr, method, symbol, &mut out);
    } else {
        // Half a statement, or Python that the small parser does not know.
        out = scan(value, method, symbol);
    }
    if augmented {
        out.push(false);
    }
    out
}

/// Collects calls and operators as Python evaluates them: operands before what is done to them.
fn evaluate(expr: &Expr, method: &str, symbol: &str, out: &mut Vec<bool>) {
    match &expr.kind {
        ExprKind::Binary(op, a, b) => {
            evaluate(a, method, symbol, out);
            evaluate(b, method, symbol, out);
            if op.symbol() == symbol {
                out.push(false);
            }
        }
        ExprKind::Unary(op, operand) => {
            evaluate(operand, method, symbol, out);
            if *op == UnaryOp::Neg && method == "neg" {
                out.push(false);
            }
        }
        ExprKind::Compare(first, rest) => {
            evaluate(first, method, symbol, out);
            for (op, operand) in rest {
                evaluate(operand, method, symbol, out);
                if op.symbol() == symbol {
                    out.push(false);
                }
            }
        }
        ExprKind::Call(function, arguments) => {
            let called = match &function.kind {
                ExprKind::Attribute(owner, name) => {
                    evaluate(owner, method, symbol, out);
                    let owner = owner.dotted_name();
                    let other = owner.is_some_and(|owner| owner == "torch" || owner == "self");
                    name.name == method && !other
                }
                _ => {
                    evaluate(function, method, symbol, out);
                    false
                }
            };
            for argument in arguments {
                evaluate(&argument.value, method, symbol, out);
            }
            if called {
                out.push(true);
            }
        }
        ExprKind::Attribute(owner, _) => evaluate(owner, method, symbol, out),
        // Indices are integers, and so is the arithmetic in them.
        ExprKind::Subscript(owner, _) => evaluate(owner, method, symbol, out),
        ExprKind::Tuple(items) | ExprKind::List(items) => {
            items
                .iter()
                .for_each(|item| evaluate(item, method, symbol, out));
        }
        ExprKind::And(a, b) | ExprKind::Or(a, b) => {
            evaluate(a, method, symbol, out);
            evaluate(b, method, symbol, out);
        }
        ExprKind::IfElse {
            test,
            then,
            otherwise,
        } => {
            for part in [test, then, otherwise] {
                evaluate(part, method, symbol, out);
            }
        }
        _ => {}
    }
}

/// The same from the text alone, in the order of the text.
fn scan(code: &str, method: &str, symbol: &str) -> Vec<bool> {
    let mut found: Vec<(usize, bool)> = Vec::new();
    let call = format!(".{method}(");
    let calls = code.match_indices(&call);
    found.extend(
        calls
            .filter(|(at, _)| !code[..*at].ends_with("torch") && !code[..*at].ends_with("self"))
            .map(|(at, _)| (at, true)),
    );
    let bytes = code.as_bytes();
    for (at, _) in code.match_indices(symbol) {
        let before = at
            .checked_sub(1)
            .and_then(|at| bytes.get(at))
            .copied()
            .unwrap_or(b' ');
        let after = bytes.get(at + symbol.len()).copied().unwrap_or(b' ');
        let operand = code[..at].trim_end();
        let prefix = operand.is_empty() || operand.ends_with(['(', ',', '[', '=', '*']);
        let longer =
            after == b'=' || before == symbol.as_bytes()[0] || after == symbol.as_bytes()[0];
        if !(longer || prefix && matches!(symbol, "*" | "-" | "+")) || prefix && method == "neg" {
            found.push((at, false));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, is_method)| is_method).collect()
}
