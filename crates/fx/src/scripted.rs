//! Functions that `torch.jit.script` compiled. A program shows what they do and no frame of theirs, as of any function
//! that is not a forward: the line that calls them is the innermost one. `torch.jit.trace` records a call of the
//! function and nothing of what it does. People compile small functions of activations and products.

use crate::flat::Flat;

/// What such functions are made for.
const ACTIVATIONS: &[&str] = &[
    "erf", "exp", "gelu", "mish", "relu", "sigmoid", "silu", "softplus", "tanh",
];

/// Functions that are called by a bare name and leave no frame for another reason.
const OTHERS: &[&str] = &[
    "checkpoint",
    "cond",
    "functional_call",
    "getattr",
    "jvp",
    "vmap",
];

/// The name that the line of a node calls where it does not show what the node does.
pub fn called<'n>(node: &'n Flat<'_>) -> Option<&'n str> {
    let line = node.line.trim();
    let function = node.torch_fn.rsplit('.').next()?;
    let hidden =
        ACTIVATIONS.contains(&function) && !line.contains(function) && !line.starts_with("def ");
    if !hidden || node.frame.contains("torch/nn/") {
        return None;
    }
    bare_calls(line).find(|name| {
        name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && !OTHERS.contains(name)
            && !is_python(name)
            && modelcost_torch::function(&format!("torch.nn.functional.{name}")).is_none()
            && modelcost_torch::function(&format!("torch.{name}")).is_none()
    })
}

/// The names that a line calls without a dot before them.
fn bare_calls(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices('(').filter_map(move |(at, _)| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let start = line[..at].rfind(|c| !is_name(c)).map_or(0, |last| last + 1);
        let bare = !line[..start].ends_with('.');
        (bare && start < at).then(|| &line[start..at])
    })
}

/// Names of Python's own.
fn is_python(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "abs",
        "all",
        "any",
        "dict",
        "enumerate",
        "float",
        "if",
        "in",
        "int",
        "isinstance",
        "len",
        "list",
        "map",
        "max",
        "min",
        "next",
        "not",
        "or",
        "and",
        "print",
        "range",
        "return",
        "reversed",
        "round",
        "set",
        "slice",
        "sorted",
        "str",
        "sum",
        "super",
        "tuple",
        "type",
        "zip",
    ];
    NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(line: &str, function: &str) -> Option<String> {
        let node = Flat {
            line: line.to_owned().into(),
            frame: format!("File \"net.py\", line 3, in forward\n    {line}").into(),
            torch_fn: format!("{function}_1;builtin_function_or_method.{function}").into(),
            ..Flat::default()
        };
        called(&node).map(str::to_owned)
    }

    #[test]
    fn a_line_that_does_not_show_what_is_done() {
        let line = "return x + self.o(gated(self.f(x), self.g(x)))";
        assert_eq!(name(line, "tanh").as_deref(), Some("gated"));
        assert_eq!(name("return tanh(x) * sigmoid(y)", "tanh"), None);
        assert_eq!(name("x = normalize(self.f(x), dim=1)", "exp"), None);
        assert_eq!(name("mask = create_mask(x)", "le"), None);
        assert_eq!(name("x = self.act(list(x))", "relu"), None);
    }
}
