//! Python's arithmetic on integers (symbolic ones too), floats, strings, tuples and lists.

use std::cmp::Ordering;

use modelcost_core::dim::Dim;
use modelcost_core::expr::{BinaryOp, CompareOp, UnaryOp};
use modelcost_core::value::Value;

/// Why an operation has no result: a sentence.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// Longer lists than any network has.
pub(crate) const MAX_LIST: usize = 100_000;

/// Sizes with more terms than this mean nothing to anyone, and take long to compute with.
const MAX_TERMS: usize = 200;

/// `a + b` and the like, neither being a tensor.
pub(crate) fn binary(op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    if let (Some(x), Some(y)) = (a.int(), b.int()) {
        return on_integers(op, &x, &y);
    }
    if let (Some(x), Some(y)) = (float(a), float(b)) {
        return on_floats(op, x, y);
    }
    match (op, a, b) {
        (BinaryOp::Add, Value::List(x), Value::List(y)) => {
            Ok(Value::List(limited(x.iter().chain(y).cloned())?))
        }
        (BinaryOp::Add, Value::Tuple(x), Value::Tuple(y)) => {
            Ok(Value::Tuple(limited(x.iter().chain(y).cloned())?))
        }
        (BinaryOp::Mul, Value::List(x), n) | (BinaryOp::Mul, n, Value::List(x)) => {
            Ok(Value::List(repeated(x, n)?))
        }
        (BinaryOp::Mul, Value::Tuple(x), n) | (BinaryOp::Mul, n, Value::Tuple(x)) => {
            Ok(Value::Tuple(repeated(x, n)?))
        }
        _ => {
            for value in [a, b] {
                if let Some(dim) = value.int().filter(|dim| !dim.is_const()) {
                    return Err(unbound(&dim));
                }
            }
            Err(format!(
                "{} {} {} has no meaning",
                describe(a),
                op.symbol(),
                describe(b)
            ))
        }
    }
}

fn limited(items: impl Iterator<Item = Value>) -> Result<Vec<Value>> {
    let out: Vec<Value> = items.take(MAX_LIST + 1).collect();
    match out.len() > MAX_LIST {
        true => Err(format!("a list of more than {MAX_LIST} items")),
        false => Ok(out),
    }
}

fn repeated(items: &[Value], times: &Value) -> Result<Vec<Value>> {
    let times = index(times)?.max(0) as usize;
    match times.saturating_mul(items.len().max(1)) > MAX_LIST {
        true => Err(format!("a list of more than {MAX_LIST} items")),
        false => limited(std::iter::repeat_n(items, times).flatten().cloned()),
    }
}

fn on_integers(op: BinaryOp, a: &Dim, b: &Dim) -> Result<Value> {
    let zero = || Err("division by zero".to_string());
    let out = match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::FloorDiv if *b == Dim::ZERO => return zero(),
        BinaryOp::FloorDiv => a.floor_div(b),
        BinaryOp::Mod if *b == Dim::ZERO => return zero(),
        BinaryOp::Mod => a.modulo(b),
        BinaryOp::Div if *b == Dim::ZERO => return zero(),
        BinaryOp::Div => return divide(a, b),
        BinaryOp::Pow => return power(a, b),
        BinaryOp::BitAnd | BinaryOp::BitOr => {
            let (x, y) = (constant(a)?, constant(b)?);
            Dim::Const(if op == BinaryOp::BitAnd { x & y } else { x | y })
        }
        BinaryOp::MatMul => return Err("@ multiplies tensors, not numbers".into()),
    };
    finite(out).map(Value::Int)
}

/// `/` gives a float, as in Python; between symbolic sizes it must divide exactly.
fn divide(a: &Dim, b: &Dim) -> Result<Value> {
    match (a.as_const(), b.as_const()) {
        (Some(x), Some(y)) => Ok(Value::Float(x as f64 / y as f64)),
        _ => Err(format!(
            "{a} / {b} is not a whole number for every {}; write // to divide whole numbers",
            symbols(&(a + b))
        )),
    }
}

fn power(a: &Dim, b: &Dim) -> Result<Value> {
    let exponent = constant(b)?;
    if exponent < 0 {
        let base = constant(a)? as f64;
        return Ok(Value::Float(base.powf(exponent as f64)));
    }
    let exponent = u32::try_from(exponent).unwrap_or(u32::MAX);
    let out = match a.as_const() {
        Some(base) => base.checked_pow(exponent).map_or(Dim::Overflow, Dim::Const),
        None if exponent <= 32 => a.pow(exponent),
        None => Dim::Overflow,
    };
    finite(out).map(Value::Int)
}

fn finite(dim: Dim) -> Result<Dim> {
    if dim.is_overflow() {
        return Err("this number overflows 128 bits".into());
    }
    if !dim.is_const() && dim.terms().len() > MAX_TERMS {
        return Err("this size is too complicated an expression".into());
    }
    Ok(dim)
}

fn on_floats(op: BinaryOp, a: f64, b: f64) -> Result<Value> {
    let by_zero = b == 0.0;
    let out = match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div | BinaryOp::FloorDiv | BinaryOp::Mod if by_zero => {
            return Err("division by zero".into());
        }
        BinaryOp::Div => a / b,
        BinaryOp::FloorDiv => (a / b).floor(),
        BinaryOp::Mod => a - (a / b).floor() * b,
        BinaryOp::Pow => a.powf(b),
        _ => return Err(format!("{} has no meaning between floats", op.symbol())),
    };
    Ok(Value::Float(out))
}

/// `-x`, `not x`.
pub(crate) fn unary(op: UnaryOp, a: &Value) -> Result<Value> {
    match (op, a) {
        (UnaryOp::Not, _) => truth(a).map(|truth| Value::Bool(!truth)),
        (UnaryOp::Neg, Value::Float(x)) => Ok(Value::Float(-x)),
        (UnaryOp::Pos, Value::Float(x)) => Ok(Value::Float(*x)),
        (op, _) => match (op, a.int()) {
            (UnaryOp::Neg, Some(dim)) => finite(-dim).map(Value::Int),
            (UnaryOp::Pos, Some(dim)) => Ok(Value::Int(dim)),
            (UnaryOp::Invert, Some(dim)) => finite(-dim - 1).map(Value::Int),
            _ => Err(format!("{} has no sign", describe(a))),
        },
    }
}

/// `a < b` and the like.
pub(crate) fn compare(op: CompareOp, a: &Value, b: &Value) -> Result<bool> {
    match op {
        CompareOp::Eq => equal(a, b),
        CompareOp::Ne => equal(a, b).map(|equal| !equal),
        CompareOp::Is => Ok(identical(a, b)),
        CompareOp::IsNot => Ok(!identical(a, b)),
        CompareOp::In => contains(b, a),
        CompareOp::NotIn => contains(b, a).map(|inside| !inside),
        CompareOp::Lt => order(a, b).map(|o| o == Some(Ordering::Less)),
        CompareOp::Gt => order(a, b).map(|o| o == Some(Ordering::Greater)),
        CompareOp::Le => order(a, b).map(|o| matches!(o, Some(Ordering::Less | Ordering::Equal))),
        CompareOp::Ge => {
            order(a, b).map(|o| matches!(o, Some(Ordering::Greater | Ordering::Equal)))
        }
    }
}

fn identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::None, Value::None) => true,
        (Value::None, _) | (_, Value::None) => false,
        _ => a == b,
    }
}

fn equal(a: &Value, b: &Value) -> Result<bool> {
    if let (Some(x), Some(y)) = (a.int(), b.int()) {
        let difference = &x - &y;
        return match difference.as_const() {
            Some(difference) => Ok(difference == 0),
            None => Err(unbound(&difference)),
        };
    }
    if let (Some(x), Some(y)) = (float(a), float(b)) {
        return Ok(x == y);
    }
    if let (Some(x), Some(y)) = (a.items(), b.items()) {
        let same_type = matches!(a, Value::Tuple(_)) == matches!(b, Value::Tuple(_));
        if !same_type || x.len() != y.len() {
            return Ok(false);
        }
        for (x, y) in x.iter().zip(y) {
            if !equal(x, y)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    Ok(a == b)
}

fn contains(items: &Value, item: &Value) -> Result<bool> {
    match (items, item) {
        (Value::Str(text), Value::Str(part)) => Ok(text.contains(part.as_str())),
        _ => {
            let Some(items) = items.items() else {
                return Err(format!("{} has no items", describe(items)));
            };
            for other in items {
                if equal(other, item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

fn order(a: &Value, b: &Value) -> Result<Option<Ordering>> {
    if let (Some(x), Some(y)) = (a.int(), b.int()) {
        let difference = &x - &y;
        return match difference.as_const() {
            Some(difference) => Ok(Some(difference.cmp(&0))),
            None => Err(unbound(&difference)),
        };
    }
    match (float(a), float(b)) {
        (Some(x), Some(y)) => Ok(x.partial_cmp(&y)),
        _ => Err(format!("{} and {} have no order", describe(a), describe(b))),
    }
}

/// Python's truth of a value.
pub(crate) fn truth(value: &Value) -> Result<bool> {
    Ok(match value {
        Value::None => false,
        Value::Bool(value) => *value,
        Value::Int(dim) => constant(dim)? != 0,
        Value::Float(value) => *value != 0.0,
        Value::Str(text) => !text.is_empty(),
        Value::Tuple(items) | Value::List(items) => !items.is_empty(),
        Value::Dict(items) => !items.is_empty(),
        Value::DType(_) | Value::Opaque(_) => true,
        Value::Tensor(_) => return Err("the values of a tensor are not known here".into()),
    })
}

/// A number, if it is one whose value is known.
pub(crate) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        _ => value.int()?.as_const().map(|value| value as f64),
    }
}

/// An integer whose value is known.
pub(crate) fn index(value: &Value) -> Result<i64> {
    let Some(dim) = value.int() else {
        return Err(format!("expected an integer, not {}", describe(value)));
    };
    let value = constant(&dim)?;
    i64::try_from(value).map_err(|_| format!("{value} is too large"))
}

fn constant(dim: &Dim) -> Result<i128> {
    match dim {
        Dim::Const(value) => Ok(*value),
        Dim::Overflow => Err("this number overflows 128 bits".into()),
        _ => Err(unbound(dim)),
    }
}

/// What to say where a number is needed and a symbol stands.
pub(crate) fn unbound(dim: &Dim) -> String {
    format!("a number is needed here, but {} is not bound", symbols(dim))
}

fn symbols(dim: &Dim) -> String {
    let names: Vec<String> = dim
        .symbols()
        .iter()
        .map(|name| format!("'{name}'"))
        .collect();
    names.join(" and ")
}

/// A value in a sentence.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Tensor(_) => "a tensor".into(),
        Value::Tuple(_) => "a tuple".into(),
        Value::List(_) => "a list".into(),
        Value::Dict(_) => "a mapping".into(),
        other => python(other),
    }
}

/// A value as Python writes it.
pub(crate) fn python(value: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(python).collect::<Vec<_>>().join(", ");
    match value {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(dim) => dim.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Str(text) => format!("'{text}'"),
        Value::DType(dtype) => format!("torch.{dtype}"),
        Value::Tensor(_) => "tensor".into(),
        Value::Tuple(items) if items.len() == 1 => format!("({},)", list(items)),
        Value::Tuple(items) => format!("({})", list(items)),
        Value::List(items) => format!("[{}]", list(items)),
        Value::Dict(_) => "{…}".into(),
        Value::Opaque(text) => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i64) -> Value {
        Value::from(value)
    }

    #[test]
    fn as_python() {
        assert_eq!(
            binary(BinaryOp::Div, &int(7), &int(2)),
            Ok(Value::Float(3.5))
        );
        assert_eq!(binary(BinaryOp::FloorDiv, &int(-7), &int(2)), Ok(int(-4)));
        assert_eq!(
            binary(BinaryOp::Pow, &int(16), &Value::Float(-0.5)),
            Ok(Value::Float(0.25))
        );
        let list = Value::List(vec![int(1)]);
        assert_eq!(
            binary(BinaryOp::Mul, &list, &int(2)),
            Ok(Value::List(vec![int(1), int(1)]))
        );
        assert!(compare(CompareOp::In, &int(1), &list).unwrap());
        assert!(compare(CompareOp::Lt, &int(1), &Value::Float(1.5)).unwrap());
    }

    #[test]
    fn symbols_stay_symbols_until_a_number_is_needed() {
        let seq = Value::Int(Dim::symbol("seq"));
        let twice = binary(BinaryOp::Mul, &seq, &int(2)).unwrap();
        assert_eq!(python(&twice), "2*seq");
        assert!(
            compare(CompareOp::Gt, &twice, &int(3))
                .unwrap_err()
                .contains("'seq'")
        );
        let longer = binary(BinaryOp::Add, &seq, &int(1)).unwrap();
        assert!(compare(CompareOp::Gt, &longer, &seq).unwrap());
    }

    #[test]
    fn bounded() {
        let two = int(2);
        assert!(binary(BinaryOp::Pow, &two, &int(1_000_000_000)).is_err());
        let list = Value::List(vec![two.clone()]);
        assert!(binary(BinaryOp::Mul, &list, &int(i64::MAX)).is_err());
        let seq = Value::Int(Dim::symbol("seq") + 1);
        assert!(binary(BinaryOp::Pow, &seq, &int(1000)).is_err());
    }
}
