//! Where modules stand: the module tree is a directed acyclic graph once modules are shared.

use crate::dim::Dim;
use crate::trace::{ModuleId, Trace};

impl Trace {
    /// Every module that the root reaches, each once, after all modules inside it.
    pub fn children_first(&self) -> Vec<ModuleId> {
        let mut seen = vec![false; self.modules.len()];
        let mut order = Vec::with_capacity(self.modules.len());
        let mut open = Vec::new();
        if !self.modules.is_empty() {
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
            let children = self.module(module).children.iter();
            open.extend(children.rev().map(|(_, child)| (*child, false)));
        }
        order
    }

    /// In how many places of the tree each module stands, when a walk descends into the modules for
    /// which `descends` holds. A parent that holds a module under two names is one place, as
    /// `torch.nn.Module.children()` has it.
    pub fn places(&self, descends: impl Fn(ModuleId) -> bool) -> Vec<Dim> {
        let mut places = vec![Dim::ZERO; self.modules.len()];
        if let Some(root) = places.first_mut() {
            *root = Dim::ONE;
        }
        for module in self.children_first().into_iter().rev() {
            let count = places[module.index()].clone();
            if count == Dim::ZERO || !descends(module) {
                continue;
            }
            for (_, child) in self.named_children(module) {
                places[child.index()] += &count;
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Class, Module, TraceBuilder};

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
        assert_eq!(trace.children_first(), [leaf, left, right, root]);
        assert_eq!(trace.places(|_| true), [1, 1, 1, 2].map(Dim::from));
        let not_right = |module| module != right;
        assert_eq!(trace.places(not_right)[leaf.index()], Dim::ONE);
    }
}
