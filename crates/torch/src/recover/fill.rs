//! Attributes of a trace's modules, from all that was called in it.

use modelcost_core::SmolStr;
use modelcost_core::trace::{CallId, ModuleId, Target, Trace};
use modelcost_core::value::Value;

use super::{attributes, is, rule_of};

/// The outermost operator calls inside a module call, outside of the modules that it calls.
pub fn outer_operators(trace: &Trace, call: CallId) -> Vec<CallId> {
    let mut out = Vec::new();
    let mut next = call.index() + 1;
    let end = trace.call(call).end.index();
    while next < end {
        let id = CallId::new(next);
        match trace.call(id).target {
            Target::Function(_) => next += 1,
            Target::Operator(_) => {
                out.push(id);
                next = trace.call(id).end.index();
            }
            Target::Module(_) => next = trace.call(id).end.index(),
        }
    }
    out
}

/// Sets the attributes of those of these modules that are layers of known classes.
pub fn fill(trace: &mut Trace, modules: impl IntoIterator<Item = ModuleId>) {
    let called = trace.calls_by_module();
    for id in modules {
        if rule_of(&trace.module(id).class).is_none() {
            continue;
        }
        let operators = called[id.index()]
            .first()
            .map(|call| outer_operators(trace, *call))
            .unwrap_or_default();
        let found = attributes(trace, id, &operators);
        if !found.is_empty() {
            trace.modules[id.index()].attributes = found;
        }
        computed_weight(trace, id, &operators);
    }
}

/// Layers whose operator takes a weight that is a parameter of theirs, mostly.
const WEIGHTED: &[&str] = &[
    "Linear",
    "Bilinear",
    "modules.conv._ConvNd",
    "modules.batchnorm._NormBase",
    "LayerNorm",
    "GroupNorm",
    "RMSNorm",
    "Embedding",
];

/// A parametrized layer computes its weight: that is a tensor under the name, and no parameter.
fn computed_weight(trace: &mut Trace, id: ModuleId, operators: &[CallId]) {
    let parameters = &trace.module(id).parameters;
    let at = parameters.iter().position(|(name, _)| name == "weight");
    let weighted = || {
        WEIGHTED
            .iter()
            .any(|name| is(&trace.module(id).class, name))
    };
    let computes = match at {
        Some(at) => parameters[at].1.is_none(),
        None => weighted(),
    };
    if !computes {
        return;
    }
    let weight = operators
        .iter()
        .find_map(|id| match trace.call(*id).argument("weight") {
            Some(Value::Tensor(weight)) => Some(*weight),
            _ => None,
        });
    if let Some(weight) = weight {
        let module = &mut trace.modules[id.index()];
        if let Some(at) = at {
            module.parameters.remove(at);
        }
        let name = SmolStr::new_static("weight");
        module.attributes.push((name, Value::Tensor(weight)));
    }
}
