//! Modules as their constructors made them.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::FixedState;
use modelcost_core::SmolStr;
use modelcost_core::trace::{
    Buffer, BufferId, Module, ModuleId, Origin, Parameter, ParameterId, Tensor, TensorId,
};

use super::{Advice, Source, Start, hash_data, is_data};
use crate::classes::{self, MAX_PARAMETERS};
use crate::error::Result;
use crate::signature::Arguments;
use crate::tracer::{Instance, MAX_MODULES, Tracer};

/// A class and the arguments of its constructor.
#[derive(Debug)]
pub struct ConstructedKey {
    class: &'static str,
    arguments: Arguments,
}

/// A module with all that is inside it, with ids that count from its own and names that begin at its path.
#[derive(Debug)]
pub struct Constructed {
    pub(super) modules: Vec<Module>,
    instances: Vec<Option<Instance>>,
    parameters: Vec<Parameter>,
    buffers: Vec<Buffer>,
    pub(super) tensors: Vec<Tensor>,
}

impl Tracer {
    /// Makes a module, from what is known if it was made before.
    pub(crate) fn construct_once(
        &mut self,
        class: &'static classes::Entry,
        args: &Arguments,
        path: &str,
    ) -> Result<ModuleId> {
        match self.look_up_constructed(class, args) {
            Advice::Take(index, piece) if self.has_room(&piece) => {
                Ok(self.place_module(index, &piece, path))
            }
            Advice::Keep(hash) => {
                let start = Start::of(self);
                let module = self.construct_new(class, args, path)?;
                if let Some(piece) = self.cut_module(&start, path)
                    && let Some(memo) = &mut self.memo
                {
                    let key = ConstructedKey {
                        class: class.name,
                        arguments: args.clone(),
                    };
                    let source = Source {
                        piece: memo.constructed.keep(hash, key, piece),
                        tensors: start.tensors,
                    };
                    if let Some(Some(instance)) = self.instances.get_mut(module.index()) {
                        instance.source = Some(source);
                    }
                }
                Ok(module)
            }
            _ => self.construct_new(class, args, path),
        }
    }

    fn look_up_constructed(
        &mut self,
        class: &'static classes::Entry,
        args: &Arguments,
    ) -> Advice<Constructed> {
        let Some(memo) = &mut self.memo else {
            return Advice::Pass;
        };
        let mut state = FixedState::default().build_hasher();
        class.name.hash(&mut state);
        let mut is_plain = args.positional.iter().all(|v| hash_data(v, &mut state));
        for (name, value) in &args.keyword {
            name.hash(&mut state);
            is_plain &= hash_data(value, &mut state);
        }
        if !is_plain {
            return Advice::Pass;
        }
        memo.constructed.look_up(state.finish(), |key, _| {
            key.class == class.name && key.arguments == *args
        })
    }

    fn has_room(&self, piece: &Constructed) -> bool {
        let trace = self.builder.trace();
        trace.modules.len() + piece.modules.len() < MAX_MODULES
            && trace.parameters.len() + piece.parameters.len() < MAX_PARAMETERS
    }

    /// What was made since the start, if it can be made elsewhere.
    fn cut_module(&self, start: &Start, path: &str) -> Option<Constructed> {
        let trace = self.builder.trace();
        if trace.calls.len() != start.calls || self.notes != start.notes {
            return None;
        }
        let suffix = |name: &SmolStr| -> Option<SmolStr> {
            let inside = name.strip_prefix(path)?;
            let separator = if path.is_empty() || inside.is_empty() {
                ""
            } else {
                "."
            };
            inside.strip_prefix(separator).map(SmolStr::from)
        };
        let tensor = |id: TensorId| id.index().checked_sub(start.tensors).map(TensorId::new);
        let module = |module: &Module| {
            if !module.attributes.iter().all(|(_, value)| is_data(value)) {
                return None;
            }
            let mut module = module.clone();
            for (_, child) in &mut module.children {
                *child = start.module(*child)?;
            }
            for id in module
                .parameters
                .iter_mut()
                .filter_map(|(_, id)| id.as_mut())
            {
                *id = start.parameter(*id)?;
            }
            for (_, id) in &mut module.buffers {
                *id = start.buffer(*id)?;
            }
            Some(module)
        };
        let instance = |at: usize| {
            let Some(Some(instance)) = self.instances.get(at) else {
                return None;
            };
            let mut instance = instance.clone();
            if !instance.is_plain() {
                return None;
            }
            instance.path = suffix(&instance.path)?;
            if let Some(source) = &mut instance.source {
                source.tensors = source.tensors.checked_sub(start.tensors)?;
            }
            Some(Some(instance))
        };
        let parameter = |parameter: &Parameter| {
            Some(Parameter {
                name: suffix(&parameter.name)?,
                tensor: tensor(parameter.tensor)?,
                ..parameter.clone()
            })
        };
        let buffer = |buffer: &Buffer| {
            Some(Buffer {
                name: suffix(&buffer.name)?,
                tensor: tensor(buffer.tensor)?,
                ..buffer.clone()
            })
        };
        let made = |tensor: &Tensor| {
            let origin = match tensor.origin {
                Origin::Parameter(id) => Origin::Parameter(start.parameter(id)?),
                Origin::Buffer(id) => Origin::Buffer(start.buffer(id)?),
                _ => return None,
            };
            Some(Tensor {
                origin,
                ..tensor.clone()
            })
        };
        Some(Constructed {
            modules: trace.modules[start.modules..]
                .iter()
                .map(module)
                .collect::<Option<_>>()?,
            instances: (start.modules..trace.modules.len())
                .map(instance)
                .collect::<Option<_>>()?,
            parameters: trace.parameters[start.parameters..]
                .iter()
                .map(parameter)
                .collect::<Option<_>>()?,
            buffers: trace.buffers[start.buffers..]
                .iter()
                .map(buffer)
                .collect::<Option<_>>()?,
            tensors: trace.tensors[start.tensors..]
                .iter()
                .map(made)
                .collect::<Option<_>>()?,
        })
    }

    /// Makes a module that is known.
    fn place_module(&mut self, index: u32, piece: &Constructed, path: &str) -> ModuleId {
        let start = Start::of(self);
        let full = |suffix: &SmolStr| -> SmolStr {
            match (path, suffix.as_str()) {
                ("", _) => suffix.clone(),
                (path, "") => path.into(),
                (path, suffix) => format!("{path}.{suffix}").into(),
            }
        };
        let moved_tensor = |id: TensorId| TensorId::new(id.index() + start.tensors);
        let moved_parameter = |id: ParameterId| ParameterId::new(id.index() + start.parameters);
        let moved_buffer = |id: BufferId| BufferId::new(id.index() + start.buffers);
        let trace = self.builder.trace_mut();
        trace.modules.extend(piece.modules.iter().map(|module| {
            let mut module = module.clone();
            for (_, child) in &mut module.children {
                *child = ModuleId::new(child.index() + start.modules);
            }
            for id in module
                .parameters
                .iter_mut()
                .filter_map(|(_, id)| id.as_mut())
            {
                *id = moved_parameter(*id);
            }
            for (_, id) in &mut module.buffers {
                *id = moved_buffer(*id);
            }
            module
        }));
        let parameters = piece.parameters.iter().map(|parameter| Parameter {
            name: full(&parameter.name),
            shape: parameter.shape.clone(),
            tensor: moved_tensor(parameter.tensor),
            ..*parameter
        });
        trace.parameters.extend(parameters);
        let buffers = piece.buffers.iter().map(|buffer| Buffer {
            name: full(&buffer.name),
            shape: buffer.shape.clone(),
            tensor: moved_tensor(buffer.tensor),
            ..*buffer
        });
        trace.buffers.extend(buffers);
        trace.tensors.extend(piece.tensors.iter().map(|tensor| {
            let origin = match tensor.origin {
                Origin::Parameter(id) => Origin::Parameter(moved_parameter(id)),
                Origin::Buffer(id) => Origin::Buffer(moved_buffer(id)),
                other => other,
            };
            Tensor {
                origin,
                ..tensor.clone()
            }
        }));
        self.instances.resize_with(start.modules, || None);
        self.instances
            .extend(piece.instances.iter().map(|instance| {
                let mut instance = instance.clone()?;
                instance.path = full(&instance.path);
                if let Some(source) = &mut instance.source {
                    source.tensors += start.tensors;
                }
                Some(instance)
            }));
        if let Some(Some(instance)) = self.instances.get_mut(start.modules) {
            instance.source = Some(Source {
                piece: index,
                tensors: start.tensors,
            });
        }
        ModuleId::new(start.modules)
    }
}
