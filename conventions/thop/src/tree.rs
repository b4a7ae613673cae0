//! Walks over the module tree, which is a directed acyclic graph once modules are shared.

use modelcost_core::dim::Dim;
use modelcost_core::trace::{ModuleId, Trace};

/// Every module that the root reaches, each once, after all modules inside it.
pub fn children_first(trace: &Trace) -> Vec<ModuleId> {
    let mut seen = vec![false; trace.modules.len()];
    let mut order = Vec::with_capacity(trace.modules.len());
    let mut open = Vec::new();
    if !trace.modules.is_empty() {
        open.push((Trace::ROOT, false));
    }
    while let Some((module, is_done)) = open.pop() {
        if is_done {
            order.push(module);
            continue;
        }
        if std::mem::replace(&mut seen[module.index()], true) {
            continue;
        }
        open.push((module, true));
        let children: Vec<_> = trace.named_children(module).collect();
        open.extend(children.into_iter().rev().map(|(_, child)| (child, false)));
    }
    order
}

/// In how many places of the tree each module stands, when the walk descends into the modules for
/// which `descends` holds. A parent that holds a module under two names is one place, as
/// `torch.nn.Module.children()` has it.
pub fn multiplicity(trace: &Trace, descends: impl Fn(ModuleId) -> bool) -> Vec<Dim> {
    let mut places = vec![Dim::ZERO; trace.modules.len()];
    if let Some(root) = places.first_mut() {
        *root = Dim::ONE;
    }
    for module in children_first(trace).into_iter().rev() {
        let count = places[module.index()].clone();
        if count == Dim::ZERO || !descends(module) {
            continue;
        }
        for (_, child) in trace.named_children(module) {
            places[child.index()] += &count;
        }
    }
    places
}

/// `isinstance(m, (nn.Sequential, nn.ModuleList))`
pub fn is_container(trace: &Trace, module: ModuleId) -> bool {
    let class = &trace.module(module).class;
    class.is("torch.nn.Sequential") || class.is("torch.nn.ModuleList")
}

/// The nearest integer that a float64 holds. Symbols stay what they are.
pub fn float64(value: Dim) -> Dim {
    match value {
        Dim::Const(value) => Dim::Const(value as f64 as i128),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelcost_core::trace::{Class, Module, TraceBuilder};

    #[test]
    fn shared_modules_stand_in_several_places() {
        let mut builder = TraceBuilder::new("m", "test");
        let module = |builder: &mut TraceBuilder, class: &str| {
            builder.module(Module {
                class: Class::new(class),
                ..Module::default()
            })
        };
        let root = module(&mut builder, "Root");
        let left = module(&mut builder, "Block");
        let right = module(&mut builder, "Block");
        let leaf = module(&mut builder, "torch.nn.ReLU");
        builder.add_child(root, "left", left);
        builder.add_child(root, "right", right);
        builder.add_child(left, "act", leaf);
        builder.add_child(left, "act_again", leaf);
        builder.add_child(right, "act", leaf);
        let trace = builder.finish();
        assert_eq!(children_first(&trace), [leaf, left, right, root]);
        assert_eq!(multiplicity(&trace, |_| true), [1, 1, 1, 2].map(Dim::from));
        let not_right = |module| module != right;
        assert_eq!(multiplicity(&trace, not_right)[leaf.index()], Dim::ONE);
    }

    #[test]
    fn float64_rounds_to_even() {
        assert_eq!(float64(Dim::from((1i64 << 53) + 1)), Dim::from(1i64 << 53));
    }
}
