//! How a program's flat inputs and outputs were nested: `torch.utils._pytree` specs as JSON.

use modelcost_core::trace::{Argument, Passed};
use modelcost_core::value::Value;
use serde_json::Value as Json;
use smol_str::SmolStr;

/// Deeper nesting than anyone passes to a model.
const MAX_DEPTH: usize = 64;

/// The root call's arguments: positional ones under the names of `forward`, then keywords.
pub fn arguments(
    spec: Option<&str>,
    flat: &[Value],
    names: &[SmolStr],
    fallback: &[SmolStr],
) -> Vec<Argument> {
    let nested = spec.and_then(|spec| nest(spec, flat));
    let Some(Value::Tuple(parts)) = nested else {
        return positional(flat.iter().cloned(), fallback);
    };
    let [Value::Tuple(args), Value::Dict(kwargs)] = parts.as_slice() else {
        return positional(flat.iter().cloned(), fallback);
    };
    let names = if names.is_empty() { fallback } else { names };
    let mut out = positional(args.iter().cloned(), names);
    out.extend(kwargs.iter().map(|(name, value)| Argument {
        name: name.clone(),
        value: value.clone(),
        passed: Passed::Keyword,
    }));
    out
}

fn positional(values: impl Iterator<Item = Value>, names: &[SmolStr]) -> Vec<Argument> {
    let named = |(at, value)| Argument {
        name: names.get(at).cloned().unwrap_or_default(),
        value,
        passed: Passed::Position,
    };
    values.enumerate().map(named).collect()
}

/// What the program returns.
pub fn output(spec: Option<&str>, mut flat: Vec<Value>) -> Value {
    if let Some(value) = spec.and_then(|spec| nest(spec, &flat)) {
        return value;
    }
    match flat.len() {
        0 => Value::None,
        1 => flat.remove(0),
        _ => Value::Tuple(flat),
    }
}

/// Nests values as a spec says; `None` if the spec does not fit them.
fn nest(spec: &str, flat: &[Value]) -> Option<Value> {
    let json: Json = serde_json::from_str(spec).ok()?;
    // A version number stands in front.
    let root = json.as_array()?.get(1)?;
    let mut rest = flat.iter();
    let value = build(root, &mut rest, 0)?;
    rest.next().is_none().then_some(value)
}

fn build(spec: &Json, rest: &mut std::slice::Iter<'_, Value>, depth: usize) -> Option<Value> {
    let kind = spec.get("type")?;
    let Some(kind) = kind.as_str() else {
        return rest.next().cloned();
    };
    if depth > MAX_DEPTH {
        return None;
    }
    let children = spec.get("children_spec")?.as_array()?;
    let mut values = Vec::with_capacity(children.len());
    for child in children {
        values.push(build(child, rest, depth + 1)?);
    }
    let keys = || -> Option<Vec<SmolStr>> {
        let context = spec.get("context")?.as_str()?;
        let keys: Json = serde_json::from_str(context).ok()?;
        let keys = keys.as_array()?.iter();
        Some(
            keys.filter_map(|key| key.as_str().map(SmolStr::new))
                .collect(),
        )
    };
    Some(match kind {
        "builtins.list" => Value::List(values),
        "builtins.dict" | "collections.OrderedDict" => match keys() {
            Some(keys) if keys.len() == values.len() => {
                Value::Dict(keys.into_iter().zip(values).collect())
            }
            _ => Value::Tuple(values),
        },
        "builtins.tuple" => Value::Tuple(values),
        // Data classes and model outputs are given their fields' names where they are written.
        _ => match keys() {
            Some(keys) if keys.len() == values.len() && !keys.is_empty() => {
                Value::Dict(keys.into_iter().zip(values).collect())
            }
            _ => Value::Tuple(values),
        },
    })
}
