//! Names for what has none.

use std::collections::HashSet;

use modelcost_core::SmolStr;
use modelcost_core::trace::Trace;

use super::pieces::{Piece, Pieces};
use super::python::is_identifier;

/// Names that mean something in every expression.
const RESERVED: &[&str] = &[
    "i",
    "torch",
    "F",
    "nn",
    "math",
    "operator",
    "einops",
    "torchvision",
    "ops",
    "input",
    "Tensor",
];

/// What the values of functions are called, where not by the function's name.
const CALLED: &[(&str, &str)] = &[
    ("add", "sum"),
    ("iadd", "sum"),
    ("sub", "difference"),
    ("mul", "product"),
    ("imul", "product"),
    ("matmul", "product"),
    ("bmm", "product"),
    ("truediv", "quotient"),
    ("getitem", "part"),
    ("scaled_dot_product_attention", "attention"),
    ("adaptive_avg_pool2d", "pool"),
    ("max_pool2d", "pool"),
    ("avg_pool2d", "pool"),
    ("split", "part"),
    ("chunk", "part"),
    ("unbind", "part"),
    ("tensor_split", "part"),
    ("_native_multi_head_attention", "attention"),
];

/// Inputs whose names say nothing.
const USUAL_INPUTS: &[&str] = &["x", "input", "input_1", "args_0", "X", "inputs"];

/// The names of a model's inputs as a spec has them.
pub(super) fn inputs(trace: &Trace) -> Vec<SmolStr> {
    let root = trace.modules.first();
    let is_child =
        |name: &str| root.is_some_and(|root| root.children.iter().any(|(child, _)| child == name));
    if let [(name, _)] = trace.inputs.as_slice()
        && USUAL_INPUTS.contains(&name.as_str())
        && !is_child("input")
    {
        return vec![SmolStr::new_static("input")];
    }
    let mut taken: HashSet<SmolStr> = HashSet::new();
    let mut out = Vec::new();
    for (name, _) in &trace.inputs {
        let word = |c: char| if c.is_alphanumeric() { c } else { '_' };
        let word: String = name.chars().map(word).collect();
        let base = if is_child(&word) {
            format!("{word}_")
        } else {
            word
        };
        let name = match taken.contains(base.as_str()) || !is_identifier(&base) {
            true => fresh(&base, &taken),
            false => base.into(),
        };
        taken.insert(name.clone());
        out.push(name);
    }
    out
}

/// `layer12` as `layer` and 12.
pub(super) fn numbered(name: &str) -> Option<(&str, usize)> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &name[stem.len()..];
    let usual = number == "0" || !number.starts_with('0');
    (!stem.is_empty() && usual).then_some(())?;
    Some((stem, number.parse().ok()?))
}

/// A name that nothing has yet.
pub(super) fn fresh(base: &str, taken: &HashSet<SmolStr>) -> SmolStr {
    let base = match is_identifier(base) {
        true => base,
        false => "x",
    };
    if !taken.contains(base) && !RESERVED.contains(&base) {
        return base.into();
    }
    fresh_from(base, taken, 2)
}

/// A name with a number, the first of several.
pub(super) fn fresh_numbered(base: &str, taken: &HashSet<SmolStr>) -> SmolStr {
    fresh_from(base, taken, 1)
}

fn fresh_from(base: &str, taken: &HashSet<SmolStr>, first: usize) -> SmolStr {
    let candidates = (first..).map(|number| SmolStr::from(format!("{base}{number}")));
    let mut free = candidates.filter(|name| !taken.contains(name));
    free.next().unwrap_or_default()
}

/// What the value of a function is called.
pub(super) fn for_function(short: &str) -> &str {
    let called = CALLED.iter().find(|(own, _)| *own == short);
    called
        .map_or(short, |(_, name)| name)
        .trim_start_matches('_')
}

/// What the value of an expression is called: after its outermost function.
pub(super) fn for_expression(pieces: &Pieces) -> String {
    let text = super::blocks::plain(pieces);
    match outermost(&text) {
        Some(word) => for_function(&word).to_string(),
        None if text.contains(" @ ") || text.contains(" * ") => "product".into(),
        None if text.contains(" + ") => "sum".into(),
        None if text.ends_with(']') => "part".into(),
        None => "x".into(),
    }
}

/// Whether an expression is the call of a function, whose name will do.
pub(super) fn names_itself(pieces: &Pieces) -> bool {
    let [.., last] = pieces.as_slice() else {
        return false;
    };
    let closed = matches!(last, Piece::Text(text) if text == ")");
    let text = super::blocks::plain(pieces);
    let word = outermost(&text);
    closed && word.is_some_and(|word| !["relu", "matmul", "add"].contains(&word.as_str()))
}

/// The name before the last bracket that is open to the end.
fn outermost(text: &str) -> Option<String> {
    let inner = text.strip_suffix(')')?;
    let mut depth = 1;
    for (at, c) in inner.char_indices().rev() {
        match c {
            ')' | ']' => depth += 1,
            '(' | '[' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let before = &inner[..at];
            let start = before
                .rfind(|c: char| !c.is_alphanumeric() && c != '_')
                .map_or(0, |at| at + 1);
            let word = &before[start..];
            // `a + f(x)` is not a call of f.
            let alone =
                !before.contains(" + ") && !before.contains(" @ ") && !before.contains(" * ");
            return (is_identifier(word) && alone).then(|| word.trim_end_matches('_').to_string());
        }
    }
    None
}
