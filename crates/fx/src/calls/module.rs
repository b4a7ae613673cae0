//! What a module is called with and returns, and which tensors are its own.

use modelcost_core::trace::{Argument, Class, ModuleId, Origin, Passed, TensorId, Trace};
use modelcost_core::value::Value;
use smol_str::SmolStr;

use super::{Emitter, first_tensor};
use crate::classes;
use crate::doubts::Doubt;
use crate::frames::{Frame, Item};
use crate::known;
use crate::operators;
use crate::site::{Shown, Site, site};

impl<'a> Emitter<'_, 'a> {
    /// Whether a tensor is a parameter or buffer of a module or of one inside it.
    fn owned_by(&self, tensor: TensorId, path: &str) -> bool {
        let from = self.owners.partition_point(|(other, _)| *other < tensor);
        let mut owners = self.owners[from..]
            .iter()
            .take_while(|(other, _)| *other == tensor);
        owners.any(|(_, owner)| {
            let rest = owner.strip_prefix(path);
            path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// A layer that computes with a parameter owns it, though the program may know the parameter
    /// only by the name of another owner.
    pub(super) fn tie(&mut self, module: ModuleId, class: &Class, frame: &Frame<'a>) {
        if !classes::is_torch(class) {
            return;
        }
        let only_nodes = frame.items.iter().all(|item| matches!(item, Item::Node(_)));
        let plain = |(name, _): &(SmolStr, _)| name == "weight" || name == "bias";
        let own = &self.builder.trace().module(module).parameters;
        let holds_others = !self.builder.trace().module(module).children.is_empty();
        if !only_nodes || holds_others || !own.iter().all(plain) {
            return;
        }
        for item in &frame.items {
            let Item::Node(node) = item else { continue };
            for argument in &self.nodes[*node].arguments {
                if argument.name != "weight" && argument.name != "bias" {
                    continue;
                }
                let Value::Tensor(tensor) = argument.value else {
                    continue;
                };
                let trace = self.builder.trace();
                let Origin::Parameter(parameter) = trace.tensor(tensor).origin else {
                    continue;
                };
                let own = &trace.module(module).parameters;
                if !own.iter().any(|(name, _)| *name == argument.name) {
                    self.builder
                        .tie_parameter(module, argument.name.clone(), parameter);
                }
            }
        }
    }

    /// What a module is called with: the tensors that come from outside, under the names of the
    /// class's `forward` where that is known.
    pub(super) fn module_arguments(
        &mut self,
        class: &Class,
        frame: &Frame<'a>,
        path: &str,
        site: Option<&Site>,
    ) -> Vec<Argument> {
        if let Some(mut arguments) = operators::special_arguments(self, class, frame) {
            if let Some(site) = site {
                arguments.truncate(site.positional.len() + site.keywords.len());
                site.passed(&mut arguments);
            }
            self.folded(class, &arguments);
            return arguments;
        }
        let torch = classes::is_torch(class);
        let leaf = frame.items.iter().all(|item| matches!(item, Item::Node(_)));
        let is_state = |tensor: TensorId| {
            let origin = self.builder.trace().tensor(tensor).origin;
            match origin {
                Origin::Parameter(_) | Origin::Buffer(_) => {
                    self.owned_by(tensor, path) || torch && leaf && self.is_weight(frame, tensor)
                }
                // What calls and inputs make has another origin by now: the module holds this
                // itself, as a part of its code or folded by an optimizer.
                Origin::Constant => true,
                // A weight that was computed, or changed in place.
                _ => {
                    self.replaced.contains(&tensor)
                        || torch && leaf && self.is_weight(frame, tensor)
                }
            }
        };
        let inputs = frame
            .inputs
            .iter()
            .copied()
            .filter(|tensor| !is_state(*tensor));
        let known = modelcost_torch::class(&class.name).filter(|info| info.name() == class.name);
        let parameters = known.map_or(&[][..], |info| &info.forward_signature().parameters);
        let name = |at: usize| {
            let parameter = parameters.get(at);
            parameter.map_or_else(SmolStr::default, |parameter| parameter.name.clone())
        };
        let named = |(at, tensor): (usize, TensorId)| Argument {
            name: name(at),
            value: Value::Tensor(tensor),
            passed: Passed::Position,
        };
        let inputs: Vec<TensorId> = inputs.collect();
        let mut out: Vec<Argument> = match site {
            Some(site) => site.arguments(&inputs, &name),
            None => inputs.into_iter().enumerate().map(named).collect(),
        };
        if known::takes_grid(class) {
            out.push(Argument {
                name: SmolStr::new_static("thw"),
                value: known::grid(),
                passed: Passed::Position,
            });
        }
        out
    }

    /// An exporter that folds constants leaves open whether the state that a recurrent layer begins
    /// with was passed or made inside.
    fn folded(&mut self, class: &Class, arguments: &[Argument]) {
        let constant = |id: &TensorId| {
            let origin = self.builder.trace().tensor(*id).origin;
            matches!(origin, Origin::Constant)
        };
        let state = arguments.iter().find(|argument| argument.name == "hx");
        if state.is_some_and(|state| state.value.tensors().iter().any(constant)) {
            self.doubts.add(Doubt::Folded, || class.short_name().into());
        }
    }

    /// The call of a module as its caller's source has it.
    pub(super) fn site(&mut self, frame: &Frame<'a>, path: &str) -> Option<Site> {
        let first = self.nodes.get(frame.start)?;
        let entries = self.stacks.get(first.stack?);
        let at = entries.iter().position(|entry| *entry == frame.entry)?;
        let name = path.rsplit('.').next()?;
        let caller = entries.get(at.checked_sub(1)?)?.class;
        match site(&first.frame, name, at - 1, entries.len()) {
            Shown::Once(site) => Some(site),
            Shown::Unclear if !known::is_library(caller) => {
                self.doubts.add(Doubt::Site, || format!("those of {path}"));
                None
            }
            Shown::Unclear | Shown::Nothing => None,
        }
    }

    /// Whether the layer uses a tensor as its weight and not as what it is applied to.
    fn is_weight(&self, frame: &Frame<'a>, tensor: TensorId) -> bool {
        let uses = frame.items.iter().filter_map(|item| match item {
            Item::Node(node) => Some(&self.nodes[*node].arguments),
            Item::Frame(_) => None,
        });
        uses.flatten().any(|argument| {
            argument.value == Value::Tensor(tensor)
                && matches!(
                    argument.name.as_str(),
                    "weight" | "bias" | "running_mean" | "running_var"
                )
        })
    }

    pub(super) fn module_output(&mut self, class: &Class, frame: &Frame<'a>) -> Value {
        if let Some(output) = operators::special_output(self, class, frame) {
            return output;
        }
        let root = &self.builder.trace().module(Trace::ROOT).class;
        if let Some(output) = known::output(class, root, &frame.outputs) {
            return output;
        }
        match frame.outputs.as_slice() {
            [single] => Value::Tensor(*single),
            // Nobody uses it: what was computed last.
            [] => {
                let last = self.nodes[frame.start..frame.end].last();
                last.map_or(Value::None, |node| first_tensor(&node.output))
            }
            // What a block is for is computed last and returned first.
            [others @ .., main] => {
                if !known::is_library(&class.name) {
                    self.doubts
                        .add(Doubt::Outputs, || class.short_name().into());
                }
                let all = std::iter::once(main).chain(others);
                Value::Tuple(all.map(|id| Value::Tensor(*id)).collect())
            }
        }
    }
}
