//! Modules as values: given to constructors, copied, and named anew.

use std::collections::{HashMap, HashSet};

use modelcost_core::SmolStr;
use modelcost_core::trace::{Module, ModuleId};
use modelcost_core::value::Value;

use crate::error::{Result, TorchError};
use crate::tracer::{MAX_MODULES, Tracer};

/// How a module looks as a value.
const MODULE_VALUE: &str = "torch.nn.Module#";

/// Whether an opaque value is a module.
pub(crate) fn is_module(text: &str) -> bool {
    text.starts_with(MODULE_VALUE)
}

impl Tracer {
    /// A module as an argument of a constructor, as in `Sequential(Linear(2, 3), ReLU())`.
    pub fn module_value(module: ModuleId) -> Value {
        Value::Opaque(format!("{MODULE_VALUE}{}", module.index()).into())
    }

    /// The module that a value stands for.
    pub fn module_of(&self, value: &Value) -> Option<ModuleId> {
        let Value::Opaque(text) = value else {
            return None;
        };
        let index: usize = text.strip_prefix(MODULE_VALUE)?.parse().ok()?;
        (index < self.builder.trace().modules.len()).then(|| ModuleId::new(index))
    }

    /// A deep copy of a module, as `copy.deepcopy` makes it: its own parameters, no tensor shared
    /// with the original. `path` is the copy's full name.
    pub fn copy_module(&mut self, module: ModuleId, path: &str) -> Result<ModuleId> {
        let copy = self.copy_once(module, &mut HashMap::new())?;
        self.set_path(copy, path);
        Ok(copy)
    }

    fn copy_once(
        &mut self,
        module: ModuleId,
        copies: &mut HashMap<ModuleId, ModuleId>,
    ) -> Result<ModuleId> {
        if let Some(copy) = copies.get(&module) {
            return Ok(*copy);
        }
        if self.builder.trace().modules.len() >= MAX_MODULES {
            return Err(TorchError::new(format!("more than {MAX_MODULES} modules")));
        }
        let original = self.builder.trace().module(module).clone();
        let copy = self.builder.module(Module {
            parameters: Vec::new(),
            buffers: Vec::new(),
            children: Vec::new(),
            ..original.clone()
        });
        copies.insert(module, copy);
        self.instances.resize_with(copy.index() + 1, || None);
        let mut instance = self.instance(module).cloned();
        if let Some(instance) = &mut instance {
            // Its tensors are elsewhere than the original's.
            instance.source = None;
        }
        self.instances[copy.index()] = instance;
        for (name, parameter) in original.parameters {
            let Some(parameter) = parameter else {
                self.builder.no_parameter(copy, name);
                continue;
            };
            let known = self.builder.trace().parameter(parameter).clone();
            let id = self
                .builder
                .parameter(copy, name, known.name, known.shape, known.dtype);
            let parameters = &mut self.builder.trace_mut().parameters;
            parameters[id.index()].requires_grad = known.requires_grad;
        }
        for (name, buffer) in original.buffers {
            let known = self.builder.trace().buffers[buffer.index()].clone();
            self.builder
                .buffer(copy, name, known.name, known.shape, known.dtype);
        }
        for (name, child) in original.children {
            let child = self.copy_once(child, copies)?;
            self.builder.add_child(copy, name, child);
        }
        Ok(copy)
    }

    /// Names a module and all inside it anew, for one that was made before its place was known.
    pub fn set_path(&mut self, module: ModuleId, path: &str) {
        let mut waiting = vec![(module, SmolStr::from(path))];
        let mut seen = HashSet::new();
        while let Some((module, path)) = waiting.pop() {
            if !seen.insert(module) {
                continue;
            }
            let full = |name: &str| -> SmolStr {
                match path.as_str() {
                    "" => name.into(),
                    path => format!("{path}.{name}").into(),
                }
            };
            let trace = self.builder.trace_mut();
            let Module {
                parameters,
                buffers,
                children,
                ..
            } = trace.module(module).clone();
            for (name, parameter) in parameters {
                if let Some(id) = parameter {
                    trace.parameters[id.index()].name = full(&name);
                }
            }
            for (name, buffer) in buffers {
                trace.buffers[buffer.index()].name = full(&name);
            }
            let children = children.iter().rev();
            waiting.extend(children.map(|(name, child)| (*child, full(name))));
            if let Some(Some(instance)) = self.instances.get_mut(module.index()) {
                instance.path = path;
            }
        }
    }
}
