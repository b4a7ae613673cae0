//! How sizes are written in the source line that made a node.
//!
//! A program holds numbers only: whether the 1 of `x.view(1, -1)` was written or was the batch, the
//! line of the model's code tells.

use modelcost_core::expr::{Argument, BinaryOp, Expr, ExprKind, UnaryOp, assigned, parse};

use crate::flat::Flat;
use crate::site;

/// How one size is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// A number, or what the module keeps: `7`, `self.width`.
    Constant,
    /// One size divided by another: `height // window`.
    Quotient,
    /// Sizes multiplied: `batch * heads`.
    Product,
    /// Anything else: `batch`, `x.size(0)`.
    Computed,
    /// The line does not show it.
    Unknown,
}

/// Calls whose line is that of PyTorch's own function, which does not stand in a program.
const ATTENTION: &str = "multi_head_attention_forward";

/// How the `count` sizes of a call of one of `names` are written.
pub fn sizes(node: &Flat<'_>, names: &[&str], count: usize) -> Vec<Written> {
    if node.torch_fn.ends_with(ATTENTION) {
        // `view(tgt_len, bsz * num_heads, head_dim)` and `view(tgt_len * bsz, embed_dim)`.
        return match count {
            2 => vec![Written::Product, Written::Computed],
            3 => vec![Written::Computed, Written::Product, Written::Computed],
            _ => vec![Written::Computed; count],
        };
    }
    let mut found: Option<Vec<Written>> = None;
    let has_operand = node
        .arguments
        .first()
        .is_some_and(|first| first.value.tensor().is_some());
    calls(node, names, &mut |arguments, is_method| {
        let Some(written) = in_call(arguments, has_operand && !is_method, count) else {
            found = Some(vec![Written::Unknown; count]);
            return;
        };
        found = Some(match found.take() {
            None => written,
            Some(before) => before.iter().zip(&written).map(both).collect(),
        });
    });
    found.unwrap_or_else(|| vec![Written::Unknown; count])
}

fn both((a, b): (&Written, &Written)) -> Written {
    match a == b {
        true => *a,
        false => Written::Unknown,
    }
}

/// How a bound of a slice is written, given its value.
pub fn bound(node: &Flat<'_>, value: i128) -> Written {
    let mut shown = Written::Unknown;
    items(node, &mut |item| {
        let ExprKind::Slice(start, end, _) = &item.kind else {
            return;
        };
        for side in [start, end].into_iter().flatten() {
            match side.kind {
                ExprKind::Int(number) if number == value => shown = Written::Constant,
                _ if shown == Written::Unknown && !is_constant(side) => {
                    shown = Written::Computed;
                }
                _ => {}
            }
        }
    });
    shown
}

/// How the index of an element is written, given its value.
pub fn index(node: &Flat<'_>, value: i128) -> Written {
    let mut shown = Written::Unknown;
    items(node, &mut |item| {
        let number = match &item.kind {
            ExprKind::Slice(..) | ExprKind::Ellipsis | ExprKind::None => return,
            ExprKind::Int(number) => Some(*number),
            ExprKind::Unary(UnaryOp::Neg, operand) => match operand.kind {
                ExprKind::Int(number) => Some(-number),
                _ => None,
            },
            _ => None,
        };
        match number {
            Some(number) if number == value => shown = Written::Constant,
            None if shown == Written::Unknown => shown = Written::Computed,
            _ => {}
        }
    });
    shown
}

/// What stands between the brackets of `x[a, b:c]`.
fn items(node: &Flat<'_>, see: &mut dyn FnMut(&Expr)) {
    walk(node, &mut |expr| {
        if let ExprKind::Subscript(_, items) = &expr.kind {
            items.iter().for_each(&mut *see);
        }
    });
}

fn walk(node: &Flat<'_>, see: &mut dyn FnMut(&Expr)) {
    let lines = site::lines(&node.frame);
    let line = lines.last().copied().unwrap_or(&node.line);
    for statement in line.split(';') {
        let parsed = parse(assigned(statement.trim()).0);
        if parsed.errors.is_empty() {
            parsed.expr.walk(&mut |expr| see(expr));
        }
    }
}

/// Every call of one of the names on the line, and whether it is that of a method: `x.view(…)`, and
/// not `torch.reshape(x, …)`.
fn calls(node: &Flat<'_>, names: &[&str], see: &mut dyn FnMut(&[Argument], bool)) {
    walk(node, &mut |expr| {
        if let ExprKind::Call(callee, arguments) = &expr.kind {
            let (name, is_method) = match &callee.kind {
                ExprKind::Attribute(base, name) => (name.name.as_str(), !is_namespace(base)),
                ExprKind::Name(name) => (name.as_str(), false),
                _ => return,
            };
            if names.contains(&name) {
                see(arguments, is_method);
            }
        }
    });
}

fn is_namespace(expr: &Expr) -> bool {
    let name = expr.dotted_name();
    matches!(
        name.as_deref(),
        Some("F" | "torch" | "functional" | "nn.functional" | "torch.nn.functional")
    )
}

/// The sizes among a call's arguments: a tuple or list of them, as many numbers as there are sizes,
/// or one expression for all. `with_operand` if the first argument is what the call is applied to.
fn in_call(arguments: &[Argument], with_operand: bool, count: usize) -> Option<Vec<Written>> {
    let arguments = match arguments {
        [first, rest @ ..] if with_operand && first.name.is_none() => rest,
        all => all,
    };
    if arguments.iter().any(|argument| argument.starred) {
        return None;
    }
    let values = || arguments.iter().map(|argument| &argument.value);
    let listed = values().find_map(|value| match &value.kind {
        ExprKind::Tuple(items) | ExprKind::List(items) if items.len() == count => Some(items),
        _ => None,
    });
    if let Some(items) = listed {
        return Some(items.iter().map(written).collect());
    }
    let positional: Vec<&Argument> = arguments
        .iter()
        .filter(|argument| argument.name.is_none())
        .collect();
    let named = arguments.iter().find(|argument| {
        let name = argument.name.as_ref().map(|name| name.name.as_str());
        matches!(name, Some("size" | "shape" | "pad" | "output_size"))
    });
    if let Some(named) = named {
        return Some(vec![whole(&named.value); count]);
    }
    if positional.len() == count {
        let each = positional.iter();
        return Some(each.map(|argument| written(&argument.value)).collect());
    }
    // `F.pad(x, self.padding)`, `x.view(shape)`, `torch.reshape(x, shape)`.
    match positional.as_slice() {
        [first, ..] => Some(vec![whole(&first.value); count]),
        [] => None,
    }
}

/// One expression that stands for all sizes: a number, or a sequence that something computed.
fn whole(expr: &Expr) -> Written {
    match is_constant(expr) {
        true => Written::Constant,
        false => Written::Computed,
    }
}

fn written(expr: &Expr) -> Written {
    if is_constant(expr) {
        return Written::Constant;
    }
    match &expr.kind {
        ExprKind::Binary(BinaryOp::FloorDiv | BinaryOp::Div, ..) => Written::Quotient,
        ExprKind::Binary(BinaryOp::Mul, ..) => Written::Product,
        // `int(width / 2)`
        ExprKind::Call(callee, arguments) => match (&callee.kind, arguments.as_slice()) {
            (ExprKind::Name(name), [only]) if name == "int" => written(&only.value),
            _ => Written::Computed,
        },
        _ => Written::Computed,
    }
}

/// Whether an expression has one value for all inputs: numbers and attributes of the module.
fn is_constant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Bool(_) | ExprKind::Str(_) => true,
        ExprKind::None => true,
        ExprKind::Unary(UnaryOp::Neg | UnaryOp::Pos, operand) => is_constant(operand),
        ExprKind::Binary(_, a, b) => is_constant(a) && is_constant(b),
        ExprKind::Tuple(items) | ExprKind::List(items) => items.iter().all(is_constant),
        ExprKind::Subscript(base, indices) => is_constant(base) && indices.iter().all(is_constant),
        ExprKind::Attribute(base, name) => {
            // The shape of a parameter is constant too, but `self.x.shape` may be of a buffer that
            // a forward sets.
            let of_self = matches!(&base.kind, ExprKind::Name(name) if name == "self");
            (of_self || is_constant(base)) && name.name != "shape"
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str, names: &[&str], count: usize) -> Vec<Written> {
        let operand = modelcost_core::trace::Argument {
            name: "self".into(),
            value: modelcost_core::trace::TensorId::new(0).into(),
            passed: modelcost_core::trace::Passed::Position,
        };
        let node = Flat {
            frame: format!("File \"net.py\", line 3, in forward\n    {line}").into(),
            arguments: vec![operand],
            ..Flat::default()
        };
        sizes(&node, names, count)
    }

    #[test]
    fn sizes_as_they_are_written() {
        use Written::{Computed, Constant, Product, Quotient, Unknown};
        let view = &["view", "reshape"];
        assert_eq!(of("x = x.view(1, -1)", view, 2), [Constant, Constant]);
        assert_eq!(
            of("x = x.view(x.size(0), -1)", view, 2),
            [Computed, Constant]
        );
        assert_eq!(
            of(
                "return self.fc(x.view((b, self.heads, h // w, b * 2)))",
                view,
                4
            ),
            [Computed, Constant, Quotient, Product]
        );
        assert_eq!(of("x = torch.reshape(x, shape)", view, 2), [Computed; 2]);
        assert_eq!(of("x = self.flat(x)", view, 2), [Unknown; 2]);
        assert_eq!(of("x = x.view(b,", view, 2), [Unknown; 2]);
        let pad = &["pad"];
        assert_eq!(of("return F.pad(x, self.padding)", pad, 2), [Constant; 2]);
        assert_eq!(
            of("x = F.pad(x, [0, right, 0, 1])", pad, 4),
            [Constant, Computed, Constant, Constant]
        );
        let line = "q = x.view(2, 3); return self.fc(q)";
        assert_eq!(of(line, view, 2), [Constant; 2]);
        let two = "x = x.view(b, 2) + y.view(2, 2)";
        assert_eq!(of(two, view, 2), [Unknown, Constant]);
    }

    #[test]
    fn bounds_of_slices() {
        let node = |line: &str| Flat {
            frame: format!("File \"net.py\", line 3, in forward\n    {line}").into(),
            ..Flat::default()
        };
        assert_eq!(bound(&node("return x[:, 4:, :n]"), 4), Written::Constant);
        assert_eq!(bound(&node("return x[:, 4:, :n]"), 9), Written::Computed);
        assert_eq!(bound(&node("return self.cut(x)"), 9), Written::Unknown);
        assert_eq!(index(&node("return x[:, 0]"), 0), Written::Constant);
        assert_eq!(index(&node("return x[-1]"), -1), Written::Constant);
        assert_eq!(index(&node("h = self.cell(x[t], h)"), 3), Written::Computed);
    }
}
