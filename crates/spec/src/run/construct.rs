//! Modules in the making.

use std::rc::Rc;

use modelcost_core::SmolStr;
use modelcost_core::expr::{Argument, Expr, ExprKind, Span};
use modelcost_core::trace::{Class, Module, ModuleId};

use super::scope::{Binding, Scope};
use super::{Context, Fail, Instance, Kind, Result, Run, Slot, Val, error};
use modelcost_torch::Parametrization;

use crate::catalogue;
use crate::document::{Block, Body, Content, Key, LayerId, Layers};

impl<'d> Run<'d> {
    /// Makes the module that `Class(arguments)` stands for, in the place of the current line.
    pub(super) fn construct(
        &mut self,
        class: &str,
        expr: &'d Expr,
        callee: &'d Expr,
        arguments: &'d [Argument],
        context: &Context,
    ) -> Result<Val> {
        let Some(slot) = self.slot.take() else {
            let message = match self.current {
                Some(_) => "a line makes one module: give this one a line of its own",
                None => "a module cannot be made here: give it a line of its own",
            };
            return error(message, expr.span);
        };
        if let Some(module) = self.existing(&slot)? {
            self.current = Some(module);
            return Ok(Val::Module(module));
        }
        let module = match self.blocks.get(class) {
            Some(index) => self.block(*index, arguments, &slot, context, expr.span)?,
            None if is_container(class) => {
                self.inline_container(class, arguments, &slot, context)?
            }
            None => self.torch_module(class, arguments, &slot, context, callee.span, expr.span)?,
        };
        self.current = Some(module);
        Ok(Val::Module(module))
    }

    /// Makes the layer of `nn.utils.parametrizations.weight_norm(Conv1d(8, 8, 3))`.
    pub(super) fn wrapped(
        &mut self,
        how: Parametrization,
        arguments: &'d [Argument],
        span: Span,
        context: &Context,
    ) -> Result<Val> {
        let inner = match arguments.split_first() {
            Some((first, rest)) if self.is_constructor(&first.value, context) => (first, rest),
            _ => {
                let message = "this is for a layer that is made in it, as in nn.utils.parametrizations.weight_norm(Conv1d(8, 8, 3))";
                return error(message, span);
            }
        };
        let (first, rest) = inner;
        let before = self.trace().modules.len();
        let Val::Module(module) = self.eval(&first.value, context)? else {
            return Err(Fail::Poisoned);
        };
        // The layer of an earlier run of the same body is what it was made to be.
        if module.index() >= before {
            let given = self.arguments(rest, context)?;
            let made = self.tracer.parametrize(module, how, &given.arguments());
            made.map_err(|torch| self.torch_error(torch, &given, span))?;
        }
        Ok(Val::Module(module))
    }

    /// The module that an earlier run of the same body made in this place.
    fn existing(&self, slot: &Slot) -> Result<Option<ModuleId>> {
        let Some(owner) = slot.owner else {
            return Ok(None);
        };
        let built = self.instance(owner).is_some_and(|instance| instance.built);
        match self.child(owner, &slot.name) {
            Some(module) if built => Ok(Some(module)),
            Some(_) => {
                let layer = slot.layer.map(|layer| &self.document.layer(layer).key);
                match layer {
                    // Seen when the document was read.
                    Some(Key::Name(_)) => Err(Fail::Poisoned),
                    _ => error(format!("the name {} is used twice", slot.name), slot.span),
                }
            }
            None => Ok(None),
        }
    }

    pub(super) fn add_child(&mut self, slot: &Slot, module: ModuleId) {
        if let Some(owner) = slot.owner {
            let name = slot.name.clone();
            self.tracer.builder.add_child(owner, name.clone(), module);
            self.children.insert((owner, name), module);
        }
    }

    /// Notes which line made a module.
    fn made_here(&mut self, slot: &Slot, module: ModuleId) {
        if let Some(layer) = slot.layer {
            if self.makers.len() <= module.index() {
                self.makers.resize(module.index() + 1, None);
            }
            let made = self.made[layer.index()].len();
            self.makers[module.index()] = Some((layer, made));
        }
        let trace = self.tracer.builder.trace_mut();
        trace.modules[module.index()].span = Some(slot.span);
    }

    fn torch_module(
        &mut self,
        class: &str,
        arguments: &'d [Argument],
        slot: &Slot,
        context: &Context,
        name: Span,
        span: Span,
    ) -> Result<ModuleId> {
        let given = self.arguments(arguments, context)?;
        let path = self.path(slot.owner, &slot.name);
        match self.tracer.construct(class, &given.arguments(), &path) {
            Ok(module) => {
                self.made_here(slot, module);
                self.add_child(slot, module);
                self.step(1, span)?;
                self.tie_what_exists()?;
                Ok(module)
            }
            Err(torch) => {
                let place = if torch.argument.is_some() { span } else { name };
                Err(self.torch_error(torch, &given, place))
            }
        }
    }

    fn block(
        &mut self,
        index: usize,
        arguments: &'d [Argument],
        slot: &Slot,
        context: &Context,
        span: Span,
    ) -> Result<ModuleId> {
        let document = self.document;
        let block = &document.blocks[index];
        let given = self.arguments(arguments, context)?;
        let scope = Scope::inside(&self.globals);
        let inner = Context {
            scope: scope.clone(),
            owner: slot.owner.unwrap_or(ModuleId::new(0)),
        };
        self.bind_parameters(&block.name.name, &block.args, Some(&given), &inner, span)?;
        if let Layers::Single(layer) = block.body.layers {
            return self.subclass(block, layer, slot, &inner, span);
        }
        let module = self.body_module(&block.body, &block.name.name, slot, scope, span)?;
        if let Some(instance) = self.instances[module.index()].as_mut() {
            instance.block = Some(index);
        }
        Ok(module)
    }

    /// Makes the module of a block that is one layer of PyTorch under another name.
    fn subclass(
        &mut self,
        block: &'d Block,
        layer: LayerId,
        slot: &Slot,
        context: &Context,
        span: Span,
    ) -> Result<ModuleId> {
        let layer = self.document.layer(layer);
        let constructor = match &layer.content {
            Content::Expr(expr) if self.is_constructor(expr, context) => Some(expr),
            _ => None,
        };
        self.slot = Some(slot.clone());
        let module = match constructor.map(|expr| self.eval(expr, context)) {
            Some(Ok(Val::Module(module))) => module,
            Some(Err(fail)) => return Err(fail),
            _ => {
                let message =
                    "a block of one line is a module, as in layers = \"Conv2d(3, 64, 3)\"";
                return error(message, layer.span);
            }
        };
        if self.instance(module).is_some() || self.tracer.is_lazy(module) {
            let message = "a block of one line is a layer of PyTorch with all its sizes";
            return error(message, layer.span);
        }
        let name = class_of(&block.body, &block.name.name).name;
        let class = &mut self.tracer.builder.trace_mut().modules[module.index()].class;
        let base = std::mem::replace(class, Class::new(name));
        class.bases = std::iter::once(base.name).chain(base.bases).collect();
        self.trace_span(module, span);
        Ok(module)
    }

    fn trace_span(&mut self, module: ModuleId, span: Span) {
        let trace = self.tracer.builder.trace_mut();
        trace.modules[module.index()].span = Some(span);
    }

    /// Makes the module of a block or container; its layers are made when it first runs.
    pub(super) fn body_module(
        &mut self,
        body: &'d Body,
        default_class: &str,
        slot: &Slot,
        scope: Rc<Scope>,
        span: Span,
    ) -> Result<ModuleId> {
        let class = class_of(body, default_class);
        let path = self.path(slot.owner, &slot.name);
        let kind = Run::kind_of(&class.name, body, false);
        let module = self.tracer.builder.module(Module {
            class,
            ..Module::default()
        });
        self.made_here(slot, module);
        self.add_child(slot, module);
        self.set_instance(
            module,
            Instance {
                kind,
                path,
                scope: scope.clone(),
                built: false,
                block: None,
                broken: None,
            },
        );
        self.step(1, span)?;
        let context = Context {
            scope,
            owner: module,
        };
        self.tensors(body, &context)?;
        self.note_parameters(module, body);
        self.tie_what_exists()?;
        Ok(module)
    }

    /// Makes the module of an array or a table among the layers.
    pub(super) fn container(
        &mut self,
        body: &'d Body,
        slot: Slot,
        context: &Context,
    ) -> Result<ModuleId> {
        if let Some(module) = self.existing(&slot)? {
            // Its names are those of the latest run around it.
            if let Some(instance) = self.instances[module.index()].as_mut() {
                instance.scope = context.scope.clone();
            }
            self.current = Some(module);
            return Ok(module);
        }
        let chain = self.is_chain(body, context);
        let default = match chain {
            true => "torch.nn.Sequential",
            false => slot.name.as_str(),
        };
        let span = slot.span;
        let module = self.body_module(body, default, &slot, context.scope.clone(), span)?;
        let class = self.trace().module(module).class.name.clone();
        let kind = Run::kind_of(&class, body, chain);
        if let Some(instance) = self.instances[module.index()].as_mut() {
            instance.kind = kind;
        }
        match kind {
            Kind::Body(_) => {}
            Kind::Items | Kind::List => {
                self.nested(span, |run| {
                    run.build_items(body.layers.ids(), module, context)
                })?;
                self.complete(module);
            }
        }
        self.current = Some(module);
        Ok(module)
    }

    /// `3 * Block(64)` under one name: a Sequential of three.
    pub(super) fn group(
        &mut self,
        what: &'d Expr,
        count: usize,
        slot: Slot,
        context: &Context,
    ) -> Result<ModuleId> {
        if let Some(module) = self.existing(&slot)? {
            self.current = Some(module);
            return Ok(module);
        }
        let module = self.empty_container("torch.nn.Sequential", &slot, context)?;
        for index in 0..count {
            self.group_item(what, index, module, &slot, context)?;
        }
        self.current = Some(module);
        Ok(module)
    }

    fn group_item(
        &mut self,
        what: &'d Expr,
        index: usize,
        owner: ModuleId,
        slot: &Slot,
        context: &Context,
    ) -> Result<()> {
        let scope = Scope::inside(&context.scope);
        let name = SmolStr::new_static("i");
        scope.set(name, Binding::data(index));
        let context = Context { scope, owner };
        let next = self.trace().module(owner).children.len();
        let item = Slot {
            owner: Some(owner),
            name: next.to_string().into(),
            layer: slot.layer,
            span: what.span,
        };
        self.make_item(what, item, &context).map(|_| ())
    }

    fn empty_container(&mut self, class: &str, slot: &Slot, context: &Context) -> Result<ModuleId> {
        let path = self.path(slot.owner, &slot.name);
        let kind = match class {
            "torch.nn.Sequential" => Kind::Items,
            _ => Kind::List,
        };
        let module = self.tracer.builder.module(Module {
            class: Class::new(class),
            ..Module::default()
        });
        self.made_here(slot, module);
        self.add_child(slot, module);
        self.set_instance(
            module,
            Instance {
                kind,
                path,
                scope: context.scope.clone(),
                built: true,
                block: None,
                broken: None,
            },
        );
        self.step(1, slot.span)?;
        Ok(module)
    }

    /// `Sequential(Linear(8, 8), ReLU())`, `ModuleList([3 * Block(64)])`.
    fn inline_container(
        &mut self,
        class: &str,
        arguments: &'d [Argument],
        slot: &Slot,
        context: &Context,
    ) -> Result<ModuleId> {
        let module = self.empty_container(class, slot, context)?;
        for argument in arguments {
            if let Some(name) = &argument.name {
                return error("the items of a container are given by position", name.span);
            }
            let items = match &argument.value.kind {
                ExprKind::List(items) | ExprKind::Tuple(items) => items.as_slice(),
                _ => std::slice::from_ref(&argument.value),
            };
            for item in items {
                let (count, what) = match (&item.kind, self.repeat_count(item, false, context)) {
                    (ExprKind::Binary(_, _, what), Some(count)) => {
                        (self.count(count, context)?, &**what)
                    }
                    _ => (1, item),
                };
                for index in 0..count {
                    self.group_item(what, index, module, slot, context)?;
                }
            }
        }
        Ok(module)
    }
}

pub(super) fn is_container(class: &str) -> bool {
    [
        "torch.nn.Sequential",
        "torch.nn.ModuleList",
        "torch.nn.ModuleDict",
    ]
    .contains(&class)
}

/// The class that tools are to see.
pub(super) fn class_of(body: &Body, default: &str) -> Class {
    let mut class = match &body.class {
        Some(name) => match catalogue::class(&name.name) {
            // Only as written in full, or as torch.nn's own: a block may have any name of its own.
            Some(known) if known.name() == name.name || !name.name.contains('.') => known.class(),
            _ => Class::new(name.name.clone()),
        },
        None => Class::new(default),
    };
    if let Some(base) = &body.base {
        let bases = match catalogue::class(&base.name) {
            Some(known) => {
                let known = known.class();
                std::iter::once(known.name).chain(known.bases).collect()
            }
            None => vec![base.name.clone()],
        };
        class.bases = bases;
    } else if class.bases.is_empty() && class.name == default && body.class.is_none() {
        // An array that defines a block is a Sequential under another name.
        if let (Layers::Sequence(_), false) = (&body.layers, is_container(&class.name)) {
            class.bases = vec![SmolStr::new_static("torch.nn.Sequential")];
        }
    }
    class
}

impl Run<'_> {
    /// Says that a module has all its children.
    pub(super) fn complete(&mut self, module: ModuleId) {
        let instance = self.instances.get_mut(module.index());
        if let Some(instance) = instance.and_then(Option::as_mut) {
            instance.built = true;
        }
    }
}
