//! Which function calls a tool sees that replaces functions by name.
//!
//! `F.relu(x)` looks the name up when it is called, and so finds the replacement. A reference taken
//! before, `self.act = F.relu` or `from torch.nn.functional import relu`, is the original.

use modelcost_core::trace::Class;

use crate::doubts::Doubt;
use crate::known;
use crate::site;

/// How a function call is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// By name: tools that replace the function see it.
    Yes,
    /// By a reference that was taken before.
    No,
    /// The line does not say for certain; whether it was taken to be seen, and why it is open.
    Perhaps(bool, Doubt),
}

/// Functions of `torch` that tools replace.
const PATCHED: &[&str] = &[
    "matmul", "add", "mul", "mm", "bmm", "addmm", "baddbmm", "einsum",
];

/// How a call of `function` is seen that stands in a line of a forward. `is_module` says whether a
/// name is that of a module of the caller.
pub fn seen(
    class: &Class,
    function: &str,
    line: &str,
    trace: &str,
    is_module: impl Fn(&str) -> bool,
) -> Seen {
    if known::keeps_activation(class, function) {
        return Seen::No;
    }
    let short = match function.strip_prefix("torch.nn.functional.") {
        Some(short) => short,
        None => match function.strip_prefix("torch.") {
            Some(short) if PATCHED.contains(&short) => short,
            _ => return Seen::Yes,
        },
    };
    let file = site::innermost_file(trace).unwrap_or("");
    if known::is_library(&class.name) || file.contains("torch/nn/") || file.contains("torchvision/")
    {
        return Seen::Yes;
    }
    let mut bare = false;
    for (at, _) in line.match_indices(&format!("{short}(")) {
        let before = &line[..at];
        if before.ends_with("self.") {
            continue;
        }
        match before.chars().next_back() {
            Some('.') => return Seen::Yes,
            Some(c) if c.is_alphanumeric() || c == '_' => {}
            _ => bare = true,
        }
    }
    if bare {
        return Seen::Perhaps(false, Doubt::Imported);
    }
    let attribute = |part: &str| {
        ["act", "nonlin", "relu", "gelu"]
            .iter()
            .any(|hint| part.contains(hint))
            || part == short
    };
    let called = line.match_indices("self.").filter_map(|(at, _)| {
        let name = &line[at + "self.".len()..];
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        name[end..].starts_with('(').then(|| &name[..end])
    });
    let kept = called
        .into_iter()
        .any(|name| attribute(name) && !is_module(name));
    match kept {
        true if known::keeps_function(class) => Seen::No,
        true => Seen::Perhaps(false, Doubt::Kept),
        // A longer statement may show the name on another of its lines, and a program that kept no
        // lines shows nothing.
        false if known::calls_by_name(line) => Seen::Yes,
        false => Seen::Perhaps(true, Doubt::Hidden),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str) -> Class {
        Class {
            name: name.into(),
            bases: Vec::new(),
        }
    }

    fn call(line: &str) -> Seen {
        let trace = format!("File \"net.py\", line 3, in forward\n    {line}");
        let relu = "torch.nn.functional.relu";
        seen(&class("net.Net"), relu, line, &trace, |name| {
            name == "block"
        })
    }

    #[test]
    fn by_name_or_by_reference() {
        assert_eq!(call("x = F.relu(self.conv(x))"), Seen::Yes);
        assert_eq!(
            call("x = relu(self.conv(x))"),
            Seen::Perhaps(false, Doubt::Imported)
        );
        assert_eq!(
            call("x = self.activate(x)"),
            Seen::Perhaps(false, Doubt::Kept)
        );
        assert_eq!(
            call("x = helper(x, self.block(x))"),
            Seen::Perhaps(true, Doubt::Hidden)
        );
        let trace = "File \"lib/site-packages/torch/nn/modules/conv.py\", line 9, in forward\n    return self._conv_forward(x)";
        let conv = "torch.nn.functional.conv2d";
        let own = seen(
            &class("torch.nn.Conv2d"),
            conv,
            "return self._conv_forward(x)",
            trace,
            |_| false,
        );
        assert_eq!(own, Seen::Yes);
    }
}
