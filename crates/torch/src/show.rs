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
        Value::Float(number) => float(*number),
        Value::Str(text) => format!("'{text}'"),
        Value::DType(dtype) => format!("torch.{dtype}"),
        Value::Tensor(_) => "a tensor".into(),
        Value::Tuple(items) if items.len() == 1 => format!("({},)", plain(&items[0])),
        Value::Tuple(items) => format!("({})", join(items)),
        Value::List(items) => format!("[{}]", join(items)),
        Value::Dict(_) => "a mapping".into(),
        Value::Opaque(text) => text.to_string(),
    }
}

fn join(items: &[Value]) -> String {
    let items: Vec<String> = items.iter().map(plain).collect();
    items.join(", ")
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
