//! What one asks of a trace.

use smol_str::SmolStr;

use super::{
    Call, CallId, Module, ModuleId, Parameter, ParameterId, Shape, Target, Tensor, TensorId, Trace,
};
use crate::dim::Dim;
use crate::fidelity::{Fidelity, Level};
use crate::value::Value;

impl Trace {
    /// Whether a call is inside the forward of a `torch.autograd.Function`.
    pub fn is_applied(&self, call: CallId) -> bool {
        let after = self.applied.partition_point(|(start, _)| *start <= call);
        self.applied[..after]
            .last()
            .is_some_and(|(_, end)| call < *end)
    }

    /// The root module.
    pub const ROOT: ModuleId = ModuleId(0);

    /// A module.
    pub fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.index()]
    }

    /// A parameter.
    pub fn parameter(&self, id: ParameterId) -> &Parameter {
        &self.parameters[id.index()]
    }

    /// A tensor.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// A call.
    pub fn call(&self, id: CallId) -> &Call {
        &self.calls[id.index()]
    }

    /// All calls with their ids, in order.
    pub fn calls(&self) -> impl Iterator<Item = (CallId, &Call)> {
        self.calls
            .iter()
            .enumerate()
            .map(|(index, call)| (CallId::new(index), call))
    }

    /// The calls inside a call, at every depth, in order.
    pub fn inside(&self, id: CallId) -> impl Iterator<Item = (CallId, &Call)> {
        let end = self.call(id).end.index();
        (id.index() + 1..end).map(|index| (CallId::new(index), &self.calls[index]))
    }

    /// The calls made directly by a call.
    pub fn direct(&self, id: CallId) -> impl Iterator<Item = (CallId, &Call)> {
        let end = self.call(id).end;
        let mut next = CallId::new(id.index() + 1);
        std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let (current, call) = (next, self.call(next));
            next = call.end;
            Some((current, call))
        })
    }

    /// The call of the root module.
    pub fn root_call(&self) -> Option<CallId> {
        (!self.calls.is_empty()).then(|| CallId::new(0))
    }

    /// The tensors that the model returns.
    pub fn outputs(&self) -> Vec<TensorId> {
        let returned = self.output.tensors();
        match self.calls.first() {
            Some(root) if returned.is_empty() => root.output.tensors(),
            _ => returned,
        }
    }

    /// The module whose forward makes a call: the nearest module call around it, or itself.
    pub fn enclosing_module(&self, id: CallId) -> ModuleId {
        match self
            .module_call_around(id)
            .map(|around| &self.call(around).target)
        {
            Some(Target::Module(module)) => *module,
            _ => Trace::ROOT,
        }
    }

    /// The nearest call of a module around a call, or itself.
    pub fn module_call_around(&self, id: CallId) -> Option<CallId> {
        let mut at = Some(id);
        while let Some(current) = at {
            let call = self.calls.get(current.index())?;
            if let Target::Module(_) = call.target {
                return Some(current);
            }
            at = call.parent;
        }
        None
    }

    /// The calls of each module in order, indexed by [`ModuleId::index`].
    pub fn calls_by_module(&self) -> Vec<Vec<CallId>> {
        let mut out = vec![Vec::new(); self.modules.len()];
        for (id, call) in self.calls() {
            if let Target::Module(module) = call.target {
                out[module.index()].push(id);
            }
        }
        out
    }

    /// Every module once with its path, parents before children, in the order of
    /// `torch.nn.Module.named_modules()`. The root's path is empty.
    pub fn named_modules(&self) -> Vec<(String, ModuleId)> {
        let mut seen = vec![false; self.modules.len()];
        let mut out = Vec::new();
        if !self.modules.is_empty() {
            self.walk_modules(Trace::ROOT, String::new(), &mut seen, &mut out);
        }
        out
    }

    /// A module and all modules inside it, each once: those of `m.modules()`, nearer ones first.
    pub fn modules_inside(&self, id: ModuleId) -> Vec<ModuleId> {
        if self.module(id).children.is_empty() {
            return vec![id];
        }
        let mut seen = vec![false; self.modules.len()];
        let mut out = vec![id];
        seen[id.index()] = true;
        let mut at = 0;
        while let Some(module) = out.get(at).copied() {
            at += 1;
            for (_, child) in &self.module(module).children {
                if !std::mem::replace(&mut seen[child.index()], true) {
                    out.push(*child);
                }
            }
        }
        out
    }

    fn walk_modules(
        &self,
        id: ModuleId,
        path: String,
        seen: &mut [bool],
        out: &mut Vec<(String, ModuleId)>,
    ) {
        if std::mem::replace(&mut seen[id.index()], true) {
            return;
        }
        out.push((path.clone(), id));
        for (name, child) in &self.module(id).children {
            let child_path = if path.is_empty() {
                name.to_string()
            } else {
                format!("{path}.{name}")
            };
            self.walk_modules(*child, child_path, seen, out);
        }
    }

    /// The distinct children of a module, in order, as `torch.nn.Module.named_children()` gives them.
    pub fn named_children(&self, id: ModuleId) -> impl Iterator<Item = (&SmolStr, ModuleId)> {
        let mut seen = std::collections::HashSet::new();
        let children = self.module(id).children.iter();
        children.filter_map(move |(name, child)| seen.insert(*child).then_some((name, *child)))
    }

    /// The distinct parameters of a module and all modules inside it, as `m.named_parameters()`
    /// gives them: with the path from `m`.
    pub fn named_parameters(&self, id: ModuleId) -> Vec<(String, ParameterId)> {
        let mut seen_modules = vec![false; self.modules.len()];
        let mut seen = std::collections::HashSet::new();
        let mut modules = Vec::new();
        self.walk_modules(id, String::new(), &mut seen_modules, &mut modules);
        let mut out = Vec::new();
        for (path, module) in modules {
            for (name, parameter) in &self.module(module).parameters {
                let Some(parameter) = parameter else { continue };
                if seen.insert(*parameter) {
                    let full = if path.is_empty() {
                        name.to_string()
                    } else {
                        format!("{path}.{name}")
                    };
                    out.push((full, *parameter));
                }
            }
        }
        out
    }

    /// The parameters in a module and inside it, each storage once: all, and the trainable ones.
    pub fn parameter_count(&self, id: ModuleId) -> (Dim, Dim) {
        let mut total = Dim::ZERO;
        let mut trainable = Dim::ZERO;
        let modules = self.modules_inside(id);
        let mut parameters: Vec<ParameterId> = modules
            .into_iter()
            .flat_map(|module| &self.module(module).parameters)
            .filter_map(|(_, parameter)| *parameter)
            .collect();
        parameters.sort_unstable();
        parameters.dedup();
        for parameter in parameters {
            let parameter = self.parameter(parameter);
            let numel = Dim::product(&parameter.shape);
            if parameter.requires_grad {
                trainable += &numel;
            }
            total += numel;
        }
        (total, trainable)
    }

    /// Notes that the parameters which a figure goes by are only taken to be trained, where the file
    /// does not say. `level` is how much of the main number hangs on it.
    pub fn note_frozen(&self, fidelity: &mut Fidelity, level: Level) {
        if self.frozen_unknown && !self.parameters.is_empty() {
            let note =
                "the file does not say which parameters are frozen: all are taken to be trained";
            fidelity.note(level, note);
        }
    }

    /// The attribute `m.name` of a module.
    pub fn attribute(&self, id: ModuleId, name: &str) -> Option<&Value> {
        self.module(id)
            .attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Replaces symbols by sizes everywhere.
    pub fn bind(&mut self, bindings: &dyn Fn(&str) -> Option<Dim>) {
        let bind_shape = |shape: &mut Shape| {
            for dim in shape.iter_mut().filter(|dim| !dim.is_const()) {
                *dim = dim.substitute(bindings);
            }
        };
        self.tensors
            .iter_mut()
            .flat_map(|tensor| tensor.shape.iter_mut().chain(tensor.strides.iter_mut()))
            .for_each(bind_shape);
        self.parameters
            .iter_mut()
            .for_each(|parameter| bind_shape(&mut parameter.shape));
        self.buffers
            .iter_mut()
            .for_each(|buffer| bind_shape(&mut buffer.shape));
        for module in &mut self.modules {
            module
                .attributes
                .iter_mut()
                .for_each(|(_, value)| bind_value(value, bindings));
        }
        for call in &mut self.calls {
            call.arguments
                .iter_mut()
                .for_each(|argument| bind_value(&mut argument.value, bindings));
            bind_value(&mut call.output, bindings);
        }
    }
}

fn bind_value(value: &mut Value, bindings: &dyn Fn(&str) -> Option<Dim>) {
    match value {
        Value::Int(dim) if !dim.is_const() => *dim = dim.substitute(bindings),
        Value::Tuple(items) | Value::List(items) => {
            items.iter_mut().for_each(|item| bind_value(item, bindings))
        }
        Value::Dict(items) => items
            .iter_mut()
            .for_each(|(_, item)| bind_value(item, bindings)),
        _ => {}
    }
}
