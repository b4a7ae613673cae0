//! Values and shapes as sentences show them.

use modelcost_core::dim::Dim;
use modelcost_core::trace::Trace;
use modelcost_core::value::Value;

/// `1×3×224×224`.
pub fn shape(shape: &[Dim]) -> String {
    if shape.is_empty() {
        return "a scalar".into();
    }
    let sizes: Vec<String> = shape.iter().map(Dim::to_string).collect();
    sizes.join("×")
}

/// A value as Python would print it; a tensor by its shape.
pub fn value(trace: &Trace, value: &Value) -> String {
    let list = |items: &[Value]| -> String {
        let items: Vec<String> = items.iter().map(|item| self::value(trace, item)).collect();
        items.join(", ")
    };
    match value {
        Value::Tensor(id) => match &trace.tensor(*id).shape {
            Some(sizes) if sizes.is_empty() => "a scalar tensor".into(),
            Some(sizes) => format!("a tensor of {}", shape(sizes)),
            None => "a tensor".into(),
        },
        Value::Tuple(items) if items.len() == 1 => format!("({},)", list(items)),
        Value::Tuple(items) => format!("({})", list(items)),
        Value::List(items) => format!("[{}]", list(items)),
        other => plain(other),
    }
}

/// A value without looking into the trace.
pub fn plain(value: &Value) -> String {
    match value {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(dim) => dim.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Str(text) => format!("'{text}'"),
        Value::DType(dtype) => format!("torch.{dtype}"),
        Value::Tensor(_) => "a tensor".into(),
        Value::Tuple(items) | Value::List(items) => {
            let inner: Vec<String> = items.iter().map(plain).collect();
            format!("({})", inner.join(", "))
        }
        Value::Dict(_) => "a mapping".into(),
        Value::Opaque(text) => text.to_string(),
    }
}
