//! What a line of Python mentions: calls and infix operators.

use modelcost_core::expr::{Expr, ExprKind, assigned, parse};

use super::super::piece::{BUILTIN, FUNCTION, METHOD};
use super::tables::{METHODS, Origin, SIGNS};

/// A call in a line of Python.
pub struct Call<'a> {
    /// What stands before the last dot.
    pub owner: &'a str,
    pub name: &'a str,
    /// Where it is closed.
    pub end: usize,
}

impl Call<'_> {
    pub fn functional(&self) -> bool {
        matches!(
            self.owner,
            "" | "F" | "nn.functional" | "torch.nn.functional" | "functional"
        )
    }

    pub fn kind(&self, known: Option<&Origin>) -> &'static str {
        match self.owner {
            "torch" | "torch.special" | "torch.linalg" | "_VF" | "torch._VF" => {
                if matches!(
                    self.name,
                    "einsum" | "split" | "norm" | "stft" | "cdist" | "tensordot"
                ) {
                    FUNCTION
                } else {
                    BUILTIN
                }
            }
            "" => match known {
                Some(origin) if origin.kind == FUNCTION => FUNCTION,
                _ => BUILTIN,
            },
            _ if self.functional() => match self.name {
                name if METHODS.contains(&name) => METHOD,
                name if modelcost_fx::is_builtin_functional(name) => BUILTIN,
                _ => FUNCTION,
            },
            _ => METHOD,
        }
    }
}

/// The calls of a line from left to right.
pub fn calls(line: &str) -> impl Iterator<Item = Call<'_>> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices('(').filter_map(move |(open, _)| {
        let before = &line[..open];
        let start = before
            .rfind(|c: char| !(word(c) || c == '.'))
            .map_or(0, |at| {
                at + before[at..].chars().next().map_or(1, char::len_utf8)
            });
        let dotted = &before[start..];
        let (owner, name) = match dotted.rsplit_once('.') {
            Some(("", name)) => (")", name),
            Some((owner, name)) => (owner, name),
            None => ("", dotted),
        };
        (!name.is_empty()).then(|| Call {
            owner,
            name,
            end: closing(line, open),
        })
    })
}

/// The position of the parenthesis that closes the one at `open`; the end of the line if it goes on
/// on another one.
fn closing(line: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in line.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    line.len()
}

/// Where a line's infix operators end that call an operator of ATen, and whether each is one that
/// changes its left side, `x += y`.
pub fn signs(op: &str, line: &str) -> Vec<(usize, bool)> {
    let Some((_, sign)) = SIGNS.iter().find(|(name, _)| *name == op) else {
        return Vec::new();
    };
    let (value, augmented) = assigned(line);
    let start = line.len() - value.len();
    let parsed = parse(value);
    let mut out = Vec::new();
    if parsed.errors.is_empty() {
        infix(&parsed.expr, sign, &mut out);
        out.iter_mut().for_each(|end| *end += start);
        out.sort_unstable();
    } else {
        out.extend(scanned(value, sign).map(|at| at + start));
    }
    let mut out: Vec<(usize, bool)> = out.into_iter().map(|end| (end, false)).collect();
    if augmented.and_then(|operator| operator.strip_suffix('=')) == Some(*sign) {
        out.push((line.len(), true));
    }
    out
}

/// Collects the ends of the operations with a sign. Those inside an index are on numbers.
fn infix(expr: &Expr, sign: &str, out: &mut Vec<usize>) {
    match &expr.kind {
        ExprKind::Subscript(base, _) => infix(base, sign, out),
        ExprKind::Attribute(base, _) => infix(base, sign, out),
        ExprKind::Unary(_, operand) => {
            let literal = matches!(operand.kind, ExprKind::Int(_) | ExprKind::Float(_));
            if sign == "-" && !literal {
                out.push(expr.span.range().end);
            }
            infix(operand, sign, out);
        }
        ExprKind::Binary(operator, a, b) => {
            infix(a, sign, out);
            infix(b, sign, out);
            if operator.symbol() == sign {
                out.push(expr.span.range().end);
            }
        }
        ExprKind::Call(function, arguments) => {
            infix(function, sign, out);
            let values = arguments.iter().map(|argument| &argument.value);
            values.for_each(|value| infix(value, sign, out));
        }
        ExprKind::Tuple(items) | ExprKind::List(items) => {
            items.iter().for_each(|item| infix(item, sign, out));
        }
        ExprKind::IfElse {
            then, otherwise, ..
        } => {
            infix(then, sign, out);
            infix(otherwise, sign, out);
        }
        _ => {}
    }
}

/// Where a sign stands between two operands, in half a statement or in what the parser does not
/// know: `f(*x)`, `dim=-1` and `x ** 2` have another one.
fn scanned<'l>(line: &'l str, sign: &'l str) -> impl Iterator<Item = usize> + 'l {
    line.match_indices(sign).filter_map(move |(at, _)| {
        let left = line[..at].trim_end().chars().next_back();
        let right = line[at + sign.len()..].chars().next();
        let binary = left.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ')' | ']'));
        let alone = right.is_some_and(|c| !sign.ends_with(c) && c != '=');
        (binary && alone).then_some(at)
    })
}
