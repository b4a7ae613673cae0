//! Values as Python writes them.

use modelcost_core::SmolStr;
use modelcost_core::value::Value;
use modelcost_torch::show;

/// A value in the spec's notation.
pub(super) fn value(value: &Value) -> String {
    show::nested(value, &|item| match item {
        Value::Float(number) => float(*number),
        Value::Str(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::Dict(items) => {
            let (open, close) = dict(items.iter().map(|(name, _)| name));
            let item = |(name, item): &(SmolStr, Value)| entry(open, name) + &self::value(item);
            let items: Vec<String> = items.iter().map(item).collect();
            format!("{open}{}{close}", items.join(", "))
        }
        Value::Opaque(text) => class_names(text.strip_prefix("functools.").unwrap_or(text)),
        Value::Tensor(_) => "None".into(),
        other => show::plain(other),
    })
}

/// What stands around the entries of a dictionary: `dict(out=x)`, or braces where a key is no name.
pub(super) fn dict<'n>(
    mut names: impl Iterator<Item = &'n SmolStr>,
) -> (&'static str, &'static str) {
    match names.all(|name| is_identifier(name)) {
        true => ("dict(", ")"),
        false => ("{", "}"),
    }
}

/// What stands before a value of a dictionary that begins so.
pub(super) fn entry(open: &str, name: &str) -> String {
    match open {
        "{" => format!("'{name}': "),
        _ => format!("{name}="),
    }
}

/// `torch.nn.ReLU` is `ReLU` in a spec.
fn class_names(text: &str) -> String {
    text.replace("torch.nn.functional.", "F.")
        .replace("torch.nn.", "")
}

fn float(number: f64) -> String {
    let text = show::plain(&Value::Float(number));
    match text.as_str() {
        "inf" => "math.inf".into(),
        "-inf" => "-math.inf".into(),
        "nan" => "float('nan')".into(),
        _ => text,
    }
}

/// A name behind what it belongs to: `.conv`, `[3]`, `['conv-1']`.
pub(super) fn behind(name: &str) -> String {
    match (is_identifier(name), name.parse::<usize>()) {
        (true, _) => format!(".{name}"),
        (false, Ok(at)) => format!("[{at}]"),
        (false, Err(_)) => format!("['{name}']"),
    }
}

/// Whether a name can stand in an expression.
pub(super) fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    first && chars.all(|c| c.is_alphanumeric() || c == '_') && !KEYWORDS.contains(&name)
}

/// Words that mean something else in an expression.
const KEYWORDS: &[&str] = &[
    "None", "True", "False", "and", "or", "not", "if", "else", "in", "is", "for", "lambda", "_",
];
