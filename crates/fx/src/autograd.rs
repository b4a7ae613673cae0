//! What source lines say of gradients.

use modelcost_core::trace::TensorId;

use crate::flat::Flat;
use crate::stack::Stacks;

/// The line that applies the `torch.autograd.Function` in which a node stands, and whether a module is called
/// between that line and the node.
pub fn own_backward<'n>(node: &'n Flat<'_>, stacks: &Stacks<'_>) -> Option<(&'n str, bool)> {
    if !node.frame.contains(".apply(") {
        return None;
    }
    let lines: Vec<&str> = node.frame.lines().map(str::trim).collect();
    let apply = lines.windows(2).position(|pair| {
        pair[0].contains(".apply(")
            && pair[1].starts_with("File \"")
            && pair[1].ends_with("in forward")
    })?;
    // One `forward` is the function's own.
    let inside = lines[apply + 1..]
        .iter()
        .filter(|line| line.starts_with("File \"") && line.ends_with("in forward"));
    let deep = node.stack.is_some_and(|stack| stacks.get(stack).len() > 1);
    Some((lines[apply], deep && inside.count() > 1))
}

/// The tensor that a node makes for a gradient to flow to: `x.clone().detach().requires_grad_()`. No node tells of the
/// last call.
pub fn leaf(node: &Flat<'_>) -> Option<TensorId> {
    let asks = ".requires_grad_(";
    if node.op != "aten.detach" || !node.line.contains(asks) {
        return None;
    }
    let asked = node.line.split(asks).skip(1);
    let wants = asked
        .map(str::trim_start)
        .any(|rest| !rest.starts_with("False"));
    wants.then(|| node.output.tensor()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelcost_core::value::Value;

    fn made(op: &str, line: &str) -> Option<TensorId> {
        leaf(&Flat {
            op: op.into(),
            line: line.to_owned().into(),
            output: Value::Tensor(TensorId::new(3)),
            ..Flat::default()
        })
    }

    #[test]
    fn leaves() {
        let line = "coords = coords.clone().detach().requires_grad_(True)";
        assert_eq!(made("aten.detach", line), Some(TensorId::new(3)));
        assert_eq!(made("aten.clone", line), None);
        assert_eq!(made("aten.detach", "x = x.detach()"), None);
        assert_eq!(
            made("aten.detach", "x = x.detach().requires_grad_(False)"),
            None
        );
    }
}
