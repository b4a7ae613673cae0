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
    nested(value, &|item| match item {
        Value::Tensor(id) => match &trace.tensor(*id).shape {
            Some(sizes) if sizes.is_empty() => "a scalar tensor".into(),
            Some(sizes) => format!("a tensor of {}", shape(sizes)),
            None => "a tensor".into(),
        },
        other => plain(other),
    })
}

/// A value without looking into the trace.
pub fn plain(value: &Value) -> String {
    nested(value, &|item| match item {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(dim) => dim.to_string(),
        Value::Float(number) => float(*number),
        Value::Str(text) => format!("'{text}'"),
        Value::DType(dtype) => format!("torch.{dtype}"),
        Value::Tensor(_) => "a tensor".into(),
        Value::Dict(_) => "a mapping".into(),
        Value::Opaque(text) => text.to_string(),
        Value::Tuple(_) | Value::List(_) => String::new(),
    })
}

/// Tuples and lists in Python's brackets, and what is in them as `item` shows it.
pub fn nested(value: &Value, item: &dyn Fn(&Value) -> String) -> String {
    let all = |items: &[Value]| -> String {
        let items: Vec<String> = items.iter().map(|value| nested(value, item)).collect();
        items.join(", ")
    };
    match value {
        Value::Tuple(items) if items.len() == 1 => format!("({},)", all(items)),
        Value::Tuple(items) => format!("({})", all(items)),
        Value::List(items) => format!("[{}]", all(items)),
        other => item(other),
    }
}

/// Python's notation: `1e-05`, not `1e-5`.
fn float(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() {
            "nan".into()
        } else if number > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    let text = format!("{number:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{}e{sign}{digits:0>2}", mantissa.trim_end_matches(".0"))
}
