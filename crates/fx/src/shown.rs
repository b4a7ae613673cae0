//! Whether the source lines in a program show all that a layer right below the root takes and
//! returns. A program holds tensors only; `self.block(x, h, w)` and `x, (h, w) = self.embed(x)` say
//! that there is more, and lines of other methods than `forward` are in no program.

use modelcost_core::expr::{Expr, ExprKind, assigned, parse};
use modelcost_core::trace::TensorId;

use crate::flat::Flat;
use crate::site::Site;

/// What the root's `forward` shows of one call, of which `inputs` flow in and `outputs` out.
pub fn shown(site: Option<&Site>, inputs: usize, outputs: &[TensorId], root: &Root<'_>) -> bool {
    let Some(site) = site else { return false };
    // More than tensors, or a tensor that is not used.
    if site.expressions() > inputs {
        return false;
    }
    match site.line.as_deref().map(Target::of) {
        Some(Target::Name(name)) => {
            let returned = outputs.iter().all(|id| root.returned.contains(id));
            let uses: Vec<Use> = root.lines.iter().map(|line| uses(line, name)).collect();
            !uses.contains(&Use::Part) && (returned || uses.contains(&Use::Whole))
        }
        Some(Target::Names(count)) => count == outputs.len(),
        Some(Target::Nested) => false,
        Some(Target::Nothing) | None => !site.is_part,
    }
}

/// What is known of the root's own `forward`.
#[derive(Debug, Default)]
pub struct Root<'t> {
    /// Its lines that made something.
    lines: Vec<&'t str>,
    /// The tensors that it returns.
    returned: Vec<TensorId>,
}

impl<'t> Root<'t> {
    /// Looks at what the nodes say of it.
    pub fn new(nodes: &'t [Flat<'_>], returned: Vec<TensorId>) -> Root<'t> {
        // A trace begins with the outermost frame: its place, then its code.
        let code = |node: &'t Flat<'_>| node.frame.lines().nth(1).map(str::trim);
        let mut lines: Vec<&str> = nodes.iter().filter_map(code).collect();
        lines.dedup();
        Root { lines, returned }
    }
}

/// What a line does with the value of its expression.
#[derive(Debug, PartialEq)]
enum Target<'l> {
    /// `x = `
    Name(&'l str),
    /// `x, y = `
    Names(usize),
    /// `x, (h, w) = `, `x, *rest = `, `self.x = `
    Nested,
    /// `return`, `x +=`
    Nothing,
}

impl Target<'_> {
    fn of(line: &str) -> Target<'_> {
        let (value, operator) = assigned(line);
        if operator.is_some() {
            return Target::Nothing;
        }
        let before = line.strip_suffix(value).unwrap_or_default().trim_end();
        let Some(targets) = before.strip_suffix('=') else {
            return Target::Nothing;
        };
        let mut names = targets.split(',').map(str::trim);
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match (targets.matches(',').count(), names.clone().all(is_name)) {
            (0, true) => names.next().map_or(Target::Nested, Target::Name),
            (commas, true) => Target::Names(commas + 1),
            _ => Target::Nested,
        }
    }
}

/// How a line uses what a name stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Use {
    Nothing,
    /// As it is, or as a tensor is used.
    Whole,
    /// `out[0]`, `out.logits`.
    Part,
}

fn uses(line: &str, name: &str) -> Use {
    if !line.contains(name) {
        return Use::Nothing;
    }
    let parsed = parse(assigned(line).0);
    if !parsed.errors.is_empty() {
        return Use::Nothing;
    }
    let mut found = Use::Nothing;
    let mut callees: Vec<*const Expr> = Vec::new();
    parsed.expr.walk(&mut |expr| {
        let is_it = |expr: &Expr| matches!(&expr.kind, ExprKind::Name(own) if own == name);
        match &expr.kind {
            ExprKind::Call(function, _) => callees.push(&**function),
            ExprKind::Subscript(base, indices) if is_it(base) => {
                if matches!(indices.as_slice(), [index] if is_item(index)) {
                    found = Use::Part;
                }
            }
            ExprKind::Attribute(base, attribute) if is_it(base) => {
                let is_method = callees.contains(&(expr as *const Expr));
                if !is_method && !TENSOR.contains(&attribute.name.as_str()) {
                    found = Use::Part;
                }
            }
            _ if is_it(expr) && found == Use::Nothing => found = Use::Whole,
            _ => {}
        }
    });
    found
}

/// What a tensor has that is not a method.
const TENSOR: &[&str] = &[
    "shape", "dtype", "device", "T", "mT", "H", "ndim", "data", "real", "imag",
];

/// Whether an index takes one item: `out[0]`, `out["logits"]`.
pub fn is_item(index: &Expr) -> bool {
    matches!(
        index.kind,
        ExprKind::Int(_) | ExprKind::Unary(..) | ExprKind::Str(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        assert_eq!(Target::of("x = self.a(y)"), Target::Name("x"));
        assert_eq!(Target::of("x, _ = self.a(y=2)"), Target::Names(2));
        assert_eq!(Target::of("x, (h, w) = self.a(y)"), Target::Nested);
        assert_eq!(Target::of("x, *more = self.a(y)"), Target::Nested);
        assert_eq!(Target::of("return self.a(y)"), Target::Nothing);
        assert_eq!(Target::of("total += self.a(y)"), Target::Nothing);
    }

    #[test]
    fn what_is_done_with_a_name() {
        assert_eq!(uses("y = self.fc(out) + 1", "out"), Use::Whole);
        assert_eq!(uses("y = out.view(out.shape[0], -1)", "out"), Use::Whole);
        assert_eq!(uses("y = out[:, 0]", "out"), Use::Whole);
        assert_eq!(uses("y = self.fc(out[0])", "out"), Use::Part);
        assert_eq!(uses("y = out.logits * 2", "out"), Use::Part);
        assert_eq!(uses("y = self.out(x)", "out"), Use::Nothing);
    }
}
