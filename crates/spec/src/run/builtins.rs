//! The few functions of Python itself that sizes are worked out with.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::value::Value;

use super::arithmetic::{self, MAX_LIST, Result, describe};

/// The functions, for completion.
pub(crate) const FUNCTIONS: &[&str] = &[
    "int", "float", "bool", "round", "abs", "min", "max", "sum", "len", "range", "list", "tuple",
    DICT, PARTIAL, HOOKED,
];

/// Several values by name, as models return them.
pub(crate) const DICT: &str = "dict";

/// What a module gave when it was last called, as a forward hook on it sees that.
pub(crate) const HOOKED: &str = "hooked";

/// A class with some of its arguments, as `functools` makes it.
pub(crate) const PARTIAL: &str = "partial";

/// The functions of `math`.
const MATH: &[&str] = &["ceil", "floor", "sqrt", "log2", "log", "prod"];

/// Whether a name is a function of Python.
pub(crate) fn is_function(name: &str) -> bool {
    let math = name.strip_prefix("math.");
    FUNCTIONS.contains(&name) || math.is_some_and(|name| MATH.contains(&name))
}

/// `math.pi`, `torch.int64`.
pub(crate) fn constant(name: &str) -> Option<Value> {
    match name {
        "math.pi" | "torch.pi" => Some(Value::Float(std::f64::consts::PI)),
        "math.e" | "torch.e" => Some(Value::Float(std::f64::consts::E)),
        "math.inf" | "torch.inf" => Some(Value::Float(f64::INFINITY)),
        "math.nan" | "torch.nan" => Some(Value::Float(f64::NAN)),
        _ => {
            let dtype: DType = name.strip_prefix("torch.")?.parse().ok()?;
            Some(Value::DType(dtype))
        }
    }
}

/// Calls a function of Python.
pub(crate) fn call(name: &str, arguments: &[Value]) -> Result<Value> {
    let name = name.strip_prefix("math.").unwrap_or(name);
    match (name, arguments) {
        ("int", [value]) => truncated(value, f64::trunc),
        ("floor", [value]) => truncated(value, f64::floor),
        ("ceil", [value]) => truncated(value, f64::ceil),
        ("round", [value]) => truncated(value, f64::round_ties_even),
        ("float", [Value::Str(text)]) => match text.trim().parse() {
            Ok(value) => Ok(Value::Float(value)),
            Err(_) => Err(format!("'{text}' is not a number")),
        },
        ("float", [value]) => number(value).map(Value::Float),
        ("sqrt", [value]) => positive(value, name).map(|x| Value::Float(x.sqrt())),
        ("log2", [value]) => positive(value, name).map(|x| Value::Float(x.log2())),
        ("log", [value]) => positive(value, name).map(|x| Value::Float(x.ln())),
        ("bool", [value]) => arithmetic::truth(value).map(Value::Bool),
        ("abs", [Value::Float(value)]) => Ok(Value::Float(value.abs())),
        ("abs", [value]) => {
            let value = arithmetic::index(value)?;
            Ok(Value::from(value.saturating_abs()))
        }
        ("len", [value]) => match value {
            Value::Str(text) => Ok(Value::from(text.chars().count())),
            Value::Dict(items) => Ok(Value::from(items.len())),
            _ => items(value).map(|items| Value::from(items.len())),
        },
        ("sum", [value]) => fold(
            items(value)?,
            Value::from(0),
            modelcost_core::expr::BinaryOp::Add,
        ),
        ("prod", [value]) => fold(
            items(value)?,
            Value::from(1),
            modelcost_core::expr::BinaryOp::Mul,
        ),
        ("min" | "max", [value]) if value.items().is_some() => extreme(name, items(value)?),
        ("min" | "max", values) => extreme(name, values),
        ("list", [value]) => Ok(Value::List(items(value)?.to_vec())),
        ("tuple", [value]) => Ok(Value::Tuple(items(value)?.to_vec())),
        ("range", [stop]) => range(0, arithmetic::index(stop)?, 1),
        ("range", [start, stop]) => range(arithmetic::index(start)?, arithmetic::index(stop)?, 1),
        ("range", [start, stop, step]) => range(
            arithmetic::index(start)?,
            arithmetic::index(stop)?,
            arithmetic::index(step)?,
        ),
        _ => Err(format!(
            "{name} does not take {} arguments",
            arguments.len()
        )),
    }
}

fn number(value: &Value) -> Result<f64> {
    if let Some(value) = arithmetic::float(value) {
        return Ok(value);
    }
    Err(match value.int() {
        Some(dim) => arithmetic::unbound(&dim),
        None => format!("expected a number, not {}", describe(value)),
    })
}

fn positive(value: &Value, name: &str) -> Result<f64> {
    match number(value)? {
        value if value < 0.0 || (value == 0.0 && name != "sqrt") => {
            Err(format!("{name} of {value} is not a number"))
        }
        value => Ok(value),
    }
}

fn truncated(value: &Value, round: fn(f64) -> f64) -> Result<Value> {
    if let Some(dim) = value.int() {
        return Ok(Value::Int(dim));
    }
    let value = round(number(value)?);
    // Beyond 2**53 a float is no exact integer any more.
    match value.abs() < 9e15 {
        true => Ok(Value::Int(Dim::Const(value as i128))),
        false => Err(format!("{value} is too large")),
    }
}

fn items(value: &Value) -> Result<&[Value]> {
    value
        .items()
        .ok_or_else(|| format!("{} has no items", describe(value)))
}

fn fold(items: &[Value], start: Value, op: modelcost_core::expr::BinaryOp) -> Result<Value> {
    items
        .iter()
        .try_fold(start, |total, item| arithmetic::binary(op, &total, item))
}

fn extreme(name: &str, values: &[Value]) -> Result<Value> {
    let Some((first, rest)) = values.split_first() else {
        return Err(format!("{name} of nothing"));
    };
    let mut best = first.clone();
    for value in rest {
        best = match (best.int(), value.int()) {
            (Some(a), Some(b)) => Value::Int(match name {
                "min" => a.minimum(&b),
                _ => a.maximum(&b),
            }),
            _ => {
                let (a, b) = (number(&best)?, number(value)?);
                let second = if name == "min" { b < a } else { b > a };
                if second { value.clone() } else { best }
            }
        };
    }
    Ok(best)
}

fn range(start: i64, stop: i64, step: i64) -> Result<Value> {
    if step == 0 {
        return Err("a step of zero".into());
    }
    let mut out = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        if out.len() >= MAX_LIST {
            return Err(format!("a list of more than {MAX_LIST} items"));
        }
        out.push(Value::from(at));
        at = at.saturating_add(step);
    }
    Ok(Value::List(out))
}

/// Python's `items[start:stop:step]`.
pub(crate) fn slice(
    items: &[Value],
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> Vec<Value> {
    let count = items.len() as i64;
    let clamp = |bound: i64, low: i64, high: i64| {
        let bound = if bound < 0 {
            bound.saturating_add(count)
        } else {
            bound
        };
        bound.clamp(low, high)
    };
    let (mut at, stop) = match step > 0 {
        true => (
            start.map_or(0, |start| clamp(start, 0, count)),
            stop.map_or(count, |stop| clamp(stop, 0, count)),
        ),
        false => (
            start.map_or(count - 1, |start| clamp(start, -1, count - 1)),
            stop.map_or(-1, |stop| clamp(stop, -1, count - 1)),
        ),
    };
    let mut out = Vec::new();
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        out.extend(
            usize::try_from(at)
                .ok()
                .and_then(|at| items.get(at))
                .cloned(),
        );
        at = at.saturating_add(step);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(values: &[i64]) -> Vec<Value> {
        values.iter().map(|value| Value::from(*value)).collect()
    }

    #[test]
    fn as_python() {
        assert_eq!(call("int", &[Value::Float(6.7)]), Ok(Value::from(6)));
        assert_eq!(call("round", &[Value::Float(2.5)]), Ok(Value::from(2)));
        assert_eq!(
            call("math.ceil", &[Value::Float(-1.5)]),
            Ok(Value::from(-1))
        );
        assert_eq!(
            call("sum", &[Value::List(ints(&[1, 2, 3]))]),
            Ok(Value::from(6))
        );
        assert_eq!(call("max", &ints(&[1, 3, 2])), Ok(Value::from(3)));
        assert_eq!(
            call("range", &ints(&[3, 0, -1])),
            Ok(Value::List(ints(&[3, 2, 1])))
        );
        assert!(call("range", &ints(&[i64::MAX])).is_err());
        assert!(call("int", &[Value::Float(f64::INFINITY)]).is_err());
    }

    #[test]
    fn slices() {
        let items = ints(&[0, 1, 2, 3, 4]);
        assert_eq!(slice(&items, Some(1), Some(-1), 1), ints(&[1, 2, 3]));
        assert_eq!(slice(&items, None, None, -2), ints(&[4, 2, 0]));
        assert_eq!(slice(&items, Some(9), None, 1), ints(&[]));
        assert_eq!(slice(&items, Some(-9), Some(2), 1), ints(&[0, 1]));
    }
}
