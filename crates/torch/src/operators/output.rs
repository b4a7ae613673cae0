//! The shapes that an operator gives, by themselves.

use modelcost_core::SmolStr;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{Argument, Origin, Shape, Target, TensorId};
use modelcost_core::value::Value;

use super::{Op, find};
use crate::error::{Result, TorchError};
use crate::signature::Arguments;
use crate::tracer::Tracer;

/// The shapes of the tensors that an operator returns, in order, from its arguments under the names
/// of its schema. `tensor` gives the shape and type of each of theirs. Arguments that no rule looks
/// at, such as a device, are left out. Shapes that hold for some sizes of free dimensions only, or
/// that depend on data, are an error.
pub fn output_shapes(
    operator: &str,
    arguments: &[Argument],
    tensor: &dyn Fn(TensorId) -> Option<(Shape, DType)>,
) -> Result<Vec<Shape>> {
    let (entry, in_place) = find(operator)?;
    let signature = entry.signature();
    let mut tracer = Tracer::new("", "");
    let mut given = Arguments::new();
    for (at, argument) in arguments.iter().enumerate() {
        let known = |name: &SmolStr| signature.parameters.iter().any(|own| own.name == *name);
        let name = match signature.parameters.first() {
            // `dropout_(self, p, train)` is the in-place form of `dropout(input, p, train)`.
            Some(first) if in_place && at == 0 => &first.name,
            _ => &argument.name,
        };
        if known(name) {
            let value = moved(&mut tracer, &argument.value, tensor);
            given.keyword.push((name.clone(), value));
        }
    }
    let bound = signature.bind(given, &[])?;
    // Errors name the call that is being made.
    let target = Target::Operator(entry.name(in_place).clone());
    tracer.builder.begin(target, Vec::new(), None);
    let output = (entry.shape)(&mut Op {
        tracer: &mut tracer,
        args: &bound,
    })?;
    // What holds for some sizes only is no answer here.
    if let Some(note) = tracer.builder.trace().fidelity.notes.first() {
        return Err(TorchError::new(note.clone()));
    }
    let tensors = output.tensors().into_iter();
    Ok(tensors.map(|id| tracer.shape(id)).collect())
}

/// A value with its tensors in a trace of their own.
fn moved(
    tracer: &mut Tracer,
    value: &Value,
    tensor: &dyn Fn(TensorId) -> Option<(Shape, DType)>,
) -> Value {
    let mut all = |items: &[Value]| {
        let items = items.iter();
        items.map(|item| moved(tracer, item, tensor)).collect()
    };
    match value {
        Value::Tensor(id) => match tensor(*id) {
            Some((shape, dtype)) => {
                let builder = &mut tracer.builder;
                Value::Tensor(builder.tensor(Some(shape), Some(dtype), Origin::Input))
            }
            None => Value::Opaque("tensor".into()),
        },
        Value::List(items) => Value::List(all(items)),
        Value::Tuple(items) => Value::Tuple(all(items)),
        other => other.clone(),
    }
}
