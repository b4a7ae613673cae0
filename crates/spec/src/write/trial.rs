//! Whether a call, written out, gives what it gave: tried before it is written.

use std::collections::HashMap;

use modelcost_core::dim::Dim;
use modelcost_core::trace::{CallId, Target, TensorId, Trace};
use modelcost_core::value::Value;
use modelcost_torch::{Arguments, Kind, Tracer};

use super::constructor;
use super::function::{arguments, not_in_place, operator_arguments, output, short_name};

/// Whether a function, called as it will be written, gives what it gave.
pub(super) fn works(trace: &Trace, id: CallId, name: &str) -> bool {
    if name == "operator.getitem" {
        return index_works(trace, id);
    }
    let made = trace.call(id);
    let infix = not_in_place(name).is_some();
    infix && !takes_unknown(trace, id)
        || !infix
            && tried(trace, id, name, &|tracer, arguments| {
                let output = tracer.call_function(name, arguments, None).ok()?;
                Some(constructor::same_shapes(
                    trace,
                    &made.output,
                    tracer.builder.trace(),
                    &output,
                ))
            })
}

/// Whether a call is given a tensor of which not even the shape is known.
fn takes_unknown(trace: &Trace, id: CallId) -> bool {
    let arguments = trace.call(id).arguments.iter();
    let mut tensors = arguments.flat_map(|argument| argument.value.tensors());
    tensors.any(|tensor| {
        let shape = trace.tensor(tensor).shape.as_ref();
        shape.is_none_or(|shape| shape.iter().any(Dim::has_unknown))
    })
}

/// Whether a function that would give something else calls the operator of the same name and
/// nothing more, so that it can be written with what it gives.
pub(super) fn works_if_said(trace: &Trace, id: CallId, name: &str) -> bool {
    let mut inside = trace.direct(id);
    let (Some((_, operator)), None) = (inside.next(), inside.next()) else {
        return false;
    };
    let target = &trace.call(id).target;
    let same = matches!(operator.target, Target::Operator(_))
        && short_name(&operator.target) == short_name(target);
    let none = modelcost_torch::Output::Other(Value::None);
    let known = modelcost_torch::operators::signature(short_name(target)).is_some();
    same && known
        && not_in_place(name).is_none()
        && name != "operator.getitem"
        && output(trace, &trace.call(id).output).is_some()
        && tried(trace, id, name, &|tracer, arguments| {
            tracer
                .call_function_giving(name, arguments, None, &none)
                .ok()
                .map(|_| true)
        })
}

/// Whether a call of a function, as it will be written, does what is wanted of it.
fn tried(
    trace: &Trace,
    id: CallId,
    name: &str,
    call: &dyn Fn(&mut Tracer, &Arguments) -> Option<bool>,
) -> bool {
    let made = trace.call(id);
    let operators: Vec<_> = trace.direct(id).map(|(_, call)| call).collect();
    let Some(info) = modelcost_torch::function(name) else {
        return false;
    };
    let Some(given) = arguments(info, made, &operators) else {
        return false;
    };
    let mut tracer = Tracer::new("", "toml");
    let mut values = Arguments::new();
    let mut copies = HashMap::new();
    for (parameter, wanted, value) in given {
        let Some(value) = constructor::copied(trace, &value, &mut tracer, &mut copies) else {
            return false;
        };
        match parameter.kind {
            _ if !wanted => {}
            Kind::Variadic => values.positional.extend(
                value
                    .items()
                    .unwrap_or(std::slice::from_ref(&value))
                    .to_vec(),
            ),
            _ if values.keyword.is_empty() && parameter.default.is_none() => {
                values.positional.push(value);
            }
            _ => values.keyword.push((parameter.name.clone(), value)),
        }
    }
    call(&mut tracer, &values).unwrap_or(false)
}

/// Whether the operators of an index give what the index gave. An optimizer that takes calls out may
/// leave an index whose operators begin or end elsewhere.
fn index_works(trace: &Trace, id: CallId) -> bool {
    let made = trace.call(id);
    let Some(mut flow) = made.arguments.first().and_then(|base| base.value.tensor()) else {
        return true;
    };
    let shape = |tensor: TensorId| trace.tensor(tensor).shape.as_ref();
    for (id, operator) in trace.direct(id) {
        let takes = operator.arguments.first().and_then(|a| a.value.tensor());
        let Target::Operator(name) = &operator.target else {
            return true;
        };
        let Some(output) = operator.output.tensor() else {
            return true;
        };
        let follows = takes.is_none_or(|takes| takes == flow || shape(takes) == shape(flow));
        if !follows || !operator_works(trace, id, name) {
            return false;
        }
        flow = output;
    }
    // A scalar has nothing to index.
    let indexed = trace.direct(id).next().is_some() || shape(flow).is_none_or(|s| !s.is_empty());
    let ends = made.output.tensor();
    indexed && ends.is_none_or(|ends| ends == flow || shape(ends) == shape(flow))
}

/// Whether the vocabulary knows an operator and gives what it gave.
pub(super) fn operator_works(trace: &Trace, id: CallId, name: &str) -> bool {
    let made = trace.call(id);
    let mut tracer = Tracer::new("", "toml");
    let mut values = Arguments::new();
    let mut copies = HashMap::new();
    for (by_name, argument) in operator_arguments(made, name) {
        let Some(value) = constructor::copied(trace, &argument.value, &mut tracer, &mut copies)
        else {
            return false;
        };
        match by_name {
            true => values.keyword.push((argument.name.clone(), value)),
            false => values.positional.push(value),
        }
    }
    match tracer.call_operator(name, &values) {
        Ok(output) => {
            constructor::same_shapes(trace, &made.output, tracer.builder.trace(), &output)
        }
        Err(_) => false,
    }
}
