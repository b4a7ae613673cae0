//! Values as Python writes them.

use modelcost_core::value::Value;

/// A value in the spec's notation.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        // `x[..., :9223372036854775807]` is how a program writes `x[..., :]`.
        Value::Int(dim) => dim.to_string(),
        Value::Float(number) => float(*number),
        Value::Str(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::DType(dtype) => format!("torch.{dtype}"),
        Value::Tuple(items) if items.len() == 1 => format!("({},)", self::value(&items[0])),
        Value::Tuple(items) => format!("({})", list(items)),
        Value::List(items) => format!("[{}]", list(items)),
        Value::Dict(items) => {
            let item = |(name, item): &(_, Value)| format!("{name}={}", self::value(item));
            let items: Vec<String> = items.iter().map(item).collect();
            format!("dict({})", items.join(", "))
        }
        Value::Opaque(text) => match text.strip_prefix("functools.") {
            Some(partial) => class_names(partial),
            None => class_names(text),
        },
        Value::Tensor(_) => "None".into(),
    }
}

fn list(items: &[Value]) -> String {
    items.iter().map(value).collect::<Vec<_>>().join(", ")
}

/// `torch.nn.ReLU` is `ReLU` in a spec.
fn class_names(text: &str) -> String {
    text.replace("torch.nn.functional.", "F.")
        .replace("torch.nn.", "")
}

fn float(number: f64) -> String {
    let text = modelcost_torch::show::plain(&Value::Float(number));
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
