//! Which Python function made an FX node.
//!
//! The ONNX exporter keeps the source line of a node but not `torch_fn`, which programs of
//! `torch.export` have. The line says it nearly always: `return F.relu(input, …)`. Where it shows
//! only a function around it, the operator has one that PyTorch's own code calls it by.

mod line;
mod tables;

use self::line::{Call, calls, signs};
use self::tables::{COMPOSITE, INFIX, ORIGINS, RECURRENT, SIGNS, TAKEN_APART, is_operator};
use super::piece::{BUILTIN, FUNCTION, METHOD};

pub(super) use self::tables::is_elementary;

/// The function of a node, in the form of `torch_fn`: its kind and its bare name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made<'a> {
    /// `function`, `builtin_function_or_method`, `method_descriptor`, `wrapper_descriptor`.
    pub kind: &'static str,
    pub name: &'a str,
    /// Whether this function makes other operators too.
    pub composite: bool,
    /// Whether the line shows it.
    pub shown: bool,
    /// Whether another reading of the line is as likely.
    pub open: bool,
}

/// Which of the calls of an operator that a line has made a node is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// How many came before.
    pub before: usize,
    /// How many there are.
    pub total: usize,
}

/// How a line can have called an operator.
struct Way<'a> {
    kind: &'static str,
    name: &'a str,
    /// Where in the line the call is complete: what ends first is called first.
    end: usize,
    /// Whether it is a function or a method that the line names, and no sign.
    named: bool,
}

/// The function that made an operator call, from its source line, which may name several functions
/// that make it.
pub(super) fn made<'a>(op: &'a str, line: &'a str, turn: Turn) -> Made<'a> {
    found(op, line, turn, true)
}

/// As [`made`], where no function around the call can have made it: the line's has an operator of its own in the file.
pub(super) fn beside<'a>(op: &'a str, line: &'a str, turn: Turn) -> Made<'a> {
    found(op, line, turn, false)
}

fn found<'a>(op: &'a str, line: &'a str, turn: Turn, inside: bool) -> Made<'a> {
    let short = op.rsplit('.').next().unwrap_or(op);
    let known = ORIGINS.iter().find(|origin| origin.op == short);
    let plain = known.map_or(short, |origin| origin.name);
    let ways = ways(short, line);
    let mut open = false;
    if let Some((kind, whole)) = taken_apart(line).filter(|_| inside) {
        let after = ways.iter().filter(|way| way.end > whole.end).count();
        let before = ways.len() - after;
        open = turn.total > ways.len() && !ways.is_empty();
        let own = turn.before < before || turn.before + after >= turn.total;
        if ways.is_empty() || open && !own {
            return Made {
                kind,
                name: whole.name,
                composite: true,
                shown: true,
                open,
            };
        }
    }
    let named = ways.iter().filter(|way| way.named).count();
    if named > 0 {
        // Signs between numbers look like those between tensors.
        let of_tensors = turn.total != named;
        open |= of_tensors && named < ways.len() && !turn.total.is_multiple_of(ways.len());
        let count = if of_tensors { ways.len() } else { named };
        let mut taken = ways.iter().filter(|way| of_tensors || way.named);
        if let Some(way) = taken.nth(turn.before % count) {
            return Made {
                kind: way.kind,
                name: way.name,
                composite: false,
                shown: true,
                open,
            };
        }
    }
    // As many calls as signs: those are what the line has beside the function.
    let signed = !ways.is_empty() && turn.total == ways.len();
    if let Some((kind, name)) = around(short, line).filter(|_| inside && !signed) {
        return Made {
            kind,
            name,
            composite: true,
            shown: true,
            open,
        };
    }
    // `x += y` runs the in-place operator, which the exporter has replaced by the other.
    if let Some((_, sign, in_place)) = INFIX.iter().find(|(name, ..)| *name == short)
        && line.contains(sign)
    {
        return Made {
            kind: METHOD,
            name: in_place,
            composite: false,
            shown: true,
            open,
        };
    }
    Made {
        kind: known.map_or(BUILTIN, |origin| origin.kind),
        name: plain,
        composite: false,
        shown: SIGNS
            .iter()
            .any(|(name, sign)| *name == short && line.contains(sign)),
        open,
    }
}

/// The calls and signs of a line that call an operator, in the order in which they are made.
fn ways<'a>(op: &'a str, line: &'a str) -> Vec<Way<'a>> {
    let known = ORIGINS.iter().find(|origin| origin.op == op);
    let plain = known.map_or(op, |origin| origin.name);
    let fits = |name: &str| {
        name == op
            || name == plain
            || name.strip_suffix('_') == Some(op)
            || known.is_some_and(|origin| origin.others.contains(&name))
    };
    let mut fitting: Vec<Call<'a>> = calls(line).filter(|call| fits(call.name)).collect();
    // Of two functions that each have an operator, the one of the operator's name called it.
    if fitting.iter().any(|call| call.name == op) {
        fitting.retain(|call| call.name == op || !is_operator(call.name));
    }
    let mut out: Vec<Way<'a>> = fitting
        .iter()
        .map(|call| Way {
            kind: call.kind(known),
            name: call.name,
            end: call.end,
            named: true,
        })
        .collect();
    let in_place = INFIX.iter().find(|(name, ..)| *name == op);
    out.extend(signs(op, line).into_iter().map(|(end, changes)| Way {
        kind: known.map_or(BUILTIN, |origin| origin.kind),
        name: match in_place.filter(|_| changes) {
            Some((_, _, in_place)) => in_place,
            None => plain,
        },
        end,
        named: false,
    }));
    // Arguments are called before what they are arguments of.
    out.sort_by_key(|way| way.end);
    out
}

/// The function that a line calls and that calls several operators. A line may have both of the
/// adaptive pools, of which one is made of maxima.
fn around<'a>(op: &str, line: &'a str) -> Option<(&'static str, &'a str)> {
    calls(line)
        .filter(|call| {
            let pool = call.name.strip_prefix("adaptive_");
            pool.is_none_or(|pool| pool.starts_with("max") == op.starts_with("max_pool"))
        })
        .filter_map(|call| {
            if call.functional() && COMPOSITE.contains(&call.name) {
                return Some((FUNCTION, call.name));
            }
            let recurrent = call.owner.ends_with("_VF") && RECURRENT.contains(&call.name);
            recurrent.then_some((BUILTIN, call.name))
        })
        .last()
}

/// Whether a function is one operator for PyTorch, which the exporter takes apart.
pub(super) fn is_taken_apart(name: &str) -> bool {
    TAKEN_APART.iter().any(|(own, _)| *own == name)
}

/// The call in a line of a function that the exporter takes apart, and its kind.
fn taken_apart(line: &str) -> Option<(&'static str, Call<'_>)> {
    calls(line).find_map(|call| {
        let (_, kind) = TAKEN_APART.iter().find(|(name, _)| *name == call.name)?;
        (call.functional() || call.owner == "torch").then_some((*kind, call))
    })
}

/// How `aten.mean` is called by the decomposition of `adaptive_avg_pool2d` to one pixel; people
/// write the dimensions the other way round.
pub(super) const POOLED: Made<'static> = Made {
    kind: FUNCTION,
    name: "adaptive_avg_pool2d",
    composite: true,
    shown: false,
    open: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn text(op: &str, line: &str) -> String {
        let turn = Turn {
            before: 0,
            total: 1,
        };
        let made = made(op, line, turn);
        format!(
            "{}.{}{}",
            made.kind,
            made.name,
            if made.composite { "…" } else { "" }
        )
    }

    #[test]
    fn parts_of_a_function() {
        let line = "d = F.cosine_similarity(a * 2, b, dim=-1) * 10";
        let kinds: Vec<(bool, bool)> = (0..3)
            .map(|before| made("aten.mul", line, Turn { before, total: 3 }))
            .map(|made| (made.composite, made.open))
            .collect();
        assert_eq!(kinds, [(false, true), (true, true), (false, true)]);
        let own = made(
            "aten.sub",
            line,
            Turn {
                before: 0,
                total: 1,
            },
        );
        assert!(own.composite && !own.open);
    }

    #[test]
    fn two_pools_and_their_sum() {
        let line = "c = F.adaptive_avg_pool2d(b, (4, 4)) + F.adaptive_max_pool2d(b, 4)";
        let turn = Turn {
            before: 0,
            total: 1,
        };
        let name = |op| made(op, line, turn).name;
        assert_eq!(name("aten.avg_pool2d"), "adaptive_avg_pool2d");
        assert_eq!(
            made("aten.max_pool2d_with_indices", line, turn).name,
            "adaptive_max_pool2d"
        );
        assert_eq!(name("aten.add"), "add");
    }

    #[test]
    fn methods_and_signs_in_the_order_of_evaluation() {
        let line = "return torch.matmul(x, x), x.matmul(x), (x @ x)[:, n + 1].add(x)";
        let kinds: Vec<(&str, bool)> = (0..3)
            .map(|before| made("aten.matmul", line, Turn { before, total: 3 }))
            .map(|made| (made.kind, made.open))
            .collect();
        assert_eq!(kinds, [(BUILTIN, false), (METHOD, false), (METHOD, false)]);
        let add = made(
            "aten.add",
            line,
            Turn {
                before: 0,
                total: 1,
            },
        );
        assert_eq!((add.kind, add.name, add.open), (METHOD, "add", false));
    }

    #[test]
    fn each_of_two_products_is_of_its_own_operator() {
        let line = "out = out + torch.mm(adj[k], x).matmul(w[k])";
        assert_eq!(text("aten.mm", line), "builtin_function_or_method.mm");
        assert_eq!(text("aten.matmul", line), "method_descriptor.matmul");
    }

    #[test]
    fn a_product_in_the_line_of_a_view_has_an_operator_of_its_own() {
        let line = "return rearrange(scores.matmul(v), \"b h s d -> b s (h d)\")";
        assert_eq!(text("aten.matmul", line), "method_descriptor.matmul");
        assert_eq!(text("aten._unsafe_view", line), "method_descriptor.reshape");
    }

    #[test]
    fn lines_tell() {
        assert_eq!(
            text("aten.relu", "return F.relu(input, inplace=self.inplace)"),
            "function.relu"
        );
        assert_eq!(
            text("aten.relu", "x = torch.relu(x)"),
            "builtin_function_or_method.relu"
        );
        assert_eq!(
            text("aten.sigmoid", "x = F.sigmoid(x)"),
            "method_descriptor.sigmoid"
        );
        assert_eq!(
            text("aten.gelu", "x = F.gelu(x)"),
            "builtin_function_or_method.gelu"
        );
        assert_eq!(
            text("aten.hardtanh", "x = F.relu6(x) + F.hardtanh(x)"),
            "function.hardtanh"
        );
        assert_eq!(text("aten.hardtanh", "x = F.relu6(x)"), "function.relu6");
        assert_eq!(
            text("aten.mul", "return torch._weight_norm(v, g, self.dim)"),
            "builtin_function_or_method._weight_norm…"
        );
        assert_eq!(text("aten.relu", "x = x.relu()"), "method_descriptor.relu");
        assert_eq!(
            text("aten.view", "x = torch.flatten(x, 1)"),
            "builtin_function_or_method.flatten"
        );
        assert_eq!(
            text("aten.view", "return s.fc(x.view(x.size(0), -1))"),
            "method_descriptor.view"
        );
        assert_eq!(
            text("aten.add", "out += identity"),
            "method_descriptor.add_"
        );
        assert_eq!(
            text("aten.add", "out = self.a(x) + y"),
            "method_descriptor.add"
        );
        assert_eq!(
            text(
                "aten.conv2d",
                "return self._conv_forward(input, self.weight, self.bias)"
            ),
            "builtin_function_or_method.conv2d"
        );
        assert_eq!(
            text("aten.linear", "a, b = F.multi_head_attention_forward("),
            "function.multi_head_attention_forward…"
        );
        assert_eq!(
            text("aten.matmul", "x = shifted_window_attention("),
            "method_descriptor.matmul"
        );
        assert_eq!(
            text("aten.softmax", "attn = (q @ k).softmax(dim=-1)"),
            "method_descriptor.softmax"
        );
    }
}
