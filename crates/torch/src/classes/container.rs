//! Containers.

use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;

use super::{Construct, Entry};
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::signature::Arguments;
use crate::tracer::Tracer;

pub(super) static CLASSES: [Entry; 5] = [
    Entry::new(
        "torch.nn.Sequential",
        "Sequential(*args)",
        "Calls its children one after the other.",
    )
    .construct(members)
    .forward_code(sequential),
    Entry::new(
        "torch.nn.ModuleList",
        "ModuleList(*modules)",
        "Holds modules by number; its owner calls them.",
    )
    .construct(members)
    .forward_code(|_, _, _| Err(not_callable("ModuleList"))),
    Entry::new(
        "torch.nn.ModuleDict",
        "ModuleDict()",
        "Holds modules by name; its owner calls them.",
    )
    .construct(members)
    .forward_code(|_, _, _| Err(not_callable("ModuleDict"))),
    Entry::new(
        "torch.nn.ParameterList",
        "ParameterList()",
        "Holds parameters by number, for its owner to use.",
    )
    .forward_code(|_, _, _| Err(holds_parameters("ParameterList"))),
    Entry::new(
        "torch.nn.ParameterDict",
        "ParameterDict()",
        "Holds parameters by name, for its owner to use.",
    )
    .forward_code(|_, _, _| Err(holds_parameters("ParameterDict"))),
];

fn not_callable(class: &str) -> TorchError {
    TorchError::new(format!("a {class} cannot be called; its modules can"))
}

fn holds_parameters(class: &str) -> TorchError {
    TorchError::new(format!(
        "a {class} cannot be called; its parameters are its items"
    ))
}

/// Children given as values; see [`Tracer::module_value`].
fn members(c: &mut Construct<'_>) -> Result<()> {
    let items: Vec<Value> = c
        .arguments
        .arguments()
        .iter()
        .flat_map(|argument| argument.value.items().unwrap_or_default().to_vec())
        .collect();
    for (index, item) in items.iter().enumerate() {
        let Some(child) = c.tracer.module_of(item) else {
            return Err(TorchError::new(format!(
                "{} holds modules, and its argument {} is none",
                c.arguments.callee(),
                index + 1
            )));
        };
        c.adopt(index.to_string(), child);
    }
    Ok(())
}

pub(super) fn sequential(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    let children = t.builder.trace().module(module).children.clone();
    let mut value = args.value("input").clone();
    for (_, child) in children {
        value = t.call_module(child, &Arguments::of([value]), None)?;
    }
    Ok(value)
}
