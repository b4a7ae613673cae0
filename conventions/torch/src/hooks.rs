//! Where the hooks that find out which module is running fail.

use std::collections::HashSet;

use modelcost_core::jit::is_outermost;
use modelcost_core::trace::{Origin, Target, TensorId, Trace};
use modelcost_core::value::Value;
use modelcost_core::views::shares_storage;

/// Whether `torch.utils.module_tracker` fails without gradients (torch 2.15.0): it puts hooks on
/// the tensors that a module is given or returns and that require a gradient. Without gradients
/// those are views of a parameter, which have no function to put a hook on.
pub fn fail(trace: &Trace) -> bool {
    let mut views: HashSet<TensorId> = HashSet::new();
    // What dropout returns in eval mode is the parameter itself.
    let mut parameters: HashSet<TensorId> = HashSet::new();
    for (index, tensor) in trace.tensors.iter().enumerate() {
        if let Origin::Parameter(id) = tensor.origin
            && trace.parameter(id).requires_grad
        {
            parameters.insert(TensorId::new(index));
        }
    }
    for (_, call) in trace.calls() {
        match &call.target {
            Target::Operator(name) if is_outermost(trace, call) => {
                let operator = name.strip_prefix("aten.").unwrap_or(name);
                let first = call.arguments.first();
                let Some(input) = first.and_then(|first| first.value.tensor()) else {
                    continue;
                };
                let returned = call.output.tensors();
                if operator.ends_with("dropout")
                    && call.argument("train") == Some(&Value::Bool(false))
                {
                    if parameters.contains(&input) {
                        parameters.extend(&returned);
                    }
                    if views.contains(&input) {
                        views.extend(returned);
                    }
                } else if operator != "detach"
                    && shares_storage(operator)
                    && (parameters.contains(&input) || views.contains(&input))
                {
                    views.extend(returned);
                }
            }
            Target::Module(_) => {
                let given = call.positional().flat_map(|value| value.tensors());
                if given.into_iter().any(|tensor| views.contains(&tensor)) {
                    return true;
                }
            }
            _ => {}
        }
    }
    let mut modules = trace
        .calls()
        .filter(|(_, call)| matches!(call.target, Target::Module(_)));
    modules.any(|(_, call)| {
        call.output
            .tensors()
            .iter()
            .any(|tensor| views.contains(tensor))
    })
}
