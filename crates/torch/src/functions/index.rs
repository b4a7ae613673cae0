//! Indexing, `x[…]`, and cutting into pieces.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::Origin;
use modelcost_core::value::Value;

use super::{BOTH, Entry, OPERATOR};
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::show;
use crate::signature::Arguments;
use crate::tracer::Tracer;

pub(super) static FUNCTIONS: [Entry; 2] = [
    Entry::code(
        OPERATOR,
        "getitem(a, b)",
        getitem,
        "x[…]: picks by index, slice or mask.",
    ),
    Entry::code(
        BOTH,
        "split(input, split_size_or_sections, dim=0)",
        split,
        "Cuts a dimension into pieces of given sizes.",
    ),
];

/// `start:stop:step` as a value, for `operator.getitem`.
pub fn slice(start: Value, stop: Value, step: Value) -> Value {
    Value::Dict(vec![
        ("start".into(), start),
        ("stop".into(), stop),
        ("step".into(), step),
    ])
}

/// `...` as a value, for `operator.getitem`.
pub fn ellipsis() -> Value {
    Value::Opaque("...".into())
}

fn split(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let sizes = args.value("split_size_or_sections").clone();
    let operator = match sizes.items() {
        Some(_) => "aten.split_with_sizes",
        None => "aten.split",
    };
    let arguments = Arguments::of([
        args.value("input").clone(),
        sizes,
        args.value("dim").clone(),
    ]);
    t.call_operator(operator, &arguments)
}

/// What one index takes of the input's dimensions.
fn dimensions_taken(t: &Tracer, index: &Value) -> usize {
    match index {
        Value::None => 0,
        Value::Opaque(text) if text == "..." => 0,
        Value::Tensor(id) if t.dtype(*id) == DType::Bool => t.shape(*id).len(),
        _ => 1,
    }
}

fn getitem(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let index = args.value("b").clone();
    if let Some(items) = args.value("a").items() {
        return element(items, &index, args);
    }
    let mut value = args.value("a").clone();
    let shape = t.shape(args.tensor("a")?);
    let indices = match &index {
        Value::Tuple(items) => items.clone(),
        other => vec![other.clone()],
    };
    let taken: usize = indices.iter().map(|index| dimensions_taken(t, index)).sum();
    if taken > shape.len() {
        return Err(args.error(
            "b",
            format!("{taken} indices for an input of {}", show::shape(&shape)),
        ));
    }
    let mut dim = 0usize;
    let mut picked: Vec<Value> = Vec::new();
    // A mask of several dimensions is one entry of the list.
    let mut behind = 0usize;
    for index in indices {
        let at = Value::from(dim);
        match index {
            Value::None => {
                value = t.call_operator("aten.unsqueeze", &Arguments::of([value, at]))?;
                dim += 1;
            }
            Value::Opaque(text) if text == "..." => dim += shape.len() - taken,
            Value::Int(_) | Value::Bool(_) => {
                value = t.call_operator("aten.select", &Arguments::of([value, at, index]))?;
            }
            Value::Dict(bounds) => {
                let bound = |name: &str| {
                    let found = bounds.iter().find(|(key, _)| key == name);
                    found.map(|(_, value)| value.clone()).unwrap_or_default()
                };
                let (start, stop, step) = (bound("start"), bound("stop"), bound("step"));
                let step = if step.is_none() { 1.into() } else { step };
                // `:` alone takes everything and is no operator.
                if !(start.is_none() && stop.is_none() && step == Value::from(1)) {
                    let arguments = Arguments::of([value, at, start, stop, step]);
                    value = t.call_operator("aten.slice", &arguments)?;
                }
                dim += 1;
            }
            Value::Tensor(_) | Value::List(_) => {
                let index = constant(t, index);
                picked.resize(dim - behind, Value::None);
                let taken = dimensions_taken(t, &index).max(1);
                dim += taken;
                behind += taken - 1;
                picked.push(index);
            }
            other => {
                return Err(args.error(
                    "b",
                    format!("a tensor cannot be indexed by {}", show::plain(&other)),
                ));
            }
        }
    }
    if picked.is_empty() {
        return Ok(value);
    }
    t.call_operator("aten.index", &Arguments::of([value, Value::List(picked)]))
}

/// A list of integers as an index is a constant tensor.
fn constant(t: &mut Tracer, index: Value) -> Value {
    let Value::List(items) = index else {
        return index;
    };
    let shape = vec![Dim::from(items.len())];
    let tensor = t
        .builder
        .tensor(Some(shape), Some(DType::Int64), Origin::Constant);
    tensor.into()
}

fn element(items: &[Value], index: &Value, args: &Bound) -> Result<Value> {
    let count = items.len() as i64;
    let wanted = index.int().and_then(|index| index.as_i64());
    let Some(wanted) = wanted else {
        return Err(TorchError::new("a tuple is indexed by a known integer"));
    };
    let at = if wanted < 0 {
        wanted.saturating_add(count)
    } else {
        wanted
    };
    let found = usize::try_from(at).ok().and_then(|at| items.get(at));
    found
        .cloned()
        .ok_or_else(|| args.error("b", format!("takes element {wanted} of {count}")))
}
