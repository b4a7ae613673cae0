//! Values as Python writes them.

use modelcost_core::value::Value;
use modelcost_torch::show;

/// A value in the spec's notation.
pub(super) fn value(value: &Value) -> String {
    show::nested(value, &|item| match item {
        Value::Float(number) => float(*number),
        Value::Str(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::Dict(items) => {
            let item = |(name, item): &(_, Value)| format!("{name}={}", self::value(item));
            let items: Vec<String> = items.iter().map(item).collect();
            format!("dict({})", items.join(", "))
        }
        Value::Opaque(text) => class_names(text.strip_prefix("functools.").unwrap_or(text)),
        Value::Tensor(_) => "None".into(),
        other => show::plain(other),
    })
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
