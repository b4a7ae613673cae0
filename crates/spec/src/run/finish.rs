//! What is done when everything is made: shared and frozen parameters, and modules never called.

use modelcost_core::diagnostic::Diagnostic;
use modelcost_core::expr::{Ident, Span};
use modelcost_core::trace::{Module, ModuleId, Origin, ParameterId, Target, Trace};

use modelcost_torch::recover;

use super::construct::is_container;
use super::{Fail, Kind, MAX_DEPTH, Made, Result, Run, Traced, error};
use crate::catalogue;
use crate::document::Body;

/// `tie = { "head.weight" = "emb.weight" }` of one module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tie<'d> {
    module: ModuleId,
    target: &'d Ident,
    source: &'d Ident,
    done: bool,
}

/// `freeze = ["conv1"]` of one module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frozen<'d> {
    module: ModuleId,
    path: &'d Ident,
}

/// What a path leads to.
enum Found {
    Module(ModuleId),
    Parameter(ModuleId, ParameterId),
}

impl<'d> Run<'d> {
    /// Notes what of a body's parameters is shared or frozen.
    pub(super) fn note_parameters(&mut self, module: ModuleId, body: &'d Body) {
        for (target, source) in &body.ties {
            self.ties.push(Tie {
                module,
                target,
                source,
                done: false,
            });
        }
        for path in &body.freeze {
            self.frozen.push(Frozen { module, path });
        }
    }

    /// Shares parameters as soon as both sides exist, before calls see two of them.
    pub(super) fn tie_what_exists(&mut self) -> Result<()> {
        for index in 0..self.ties.len() {
            let tie = self.ties[index];
            if tie.done {
                continue;
            }
            let target = self.find(tie.module, &tie.target.name);
            let source = self.find(tie.module, &tie.source.name);
            let (Some(Found::Parameter(owner, a)), Some(Found::Parameter(other, b))) =
                (target, source)
            else {
                continue;
            };
            self.ties[index].done = true;
            if a == b {
                continue;
            }
            let (shape, other_shape) = {
                let trace = self.trace();
                (&trace.parameter(a).shape, &trace.parameter(b).shape)
            };
            if shape != other_shape {
                let show = modelcost_torch::show::shape;
                let message = format!(
                    "{} is {}, but {} is {}: they cannot be the same",
                    tie.target.name,
                    show(shape),
                    tie.source.name,
                    show(other_shape)
                );
                return error(message, tie.target.span);
            }
            // The earlier one stays: calls may have seen it.
            let (keep, owner, path) = match a.index() < b.index() {
                true => (a, other, tie.source),
                false => (b, owner, tie.target),
            };
            let name = path.name.rsplit('.').next().unwrap_or_default();
            self.tracer.tie_parameter(owner, name, keep);
            self.tied = true;
        }
        Ok(())
    }

    /// The module or parameter that a path leads to from a module.
    fn find(&self, module: ModuleId, path: &str) -> Option<Found> {
        let (parents, last) = match path.rsplit_once('.') {
            Some((parents, last)) => (parents, last),
            None => ("", path),
        };
        let mut at = module;
        for name in parents.split('.').filter(|name| !name.is_empty()) {
            at = self.child(at, name)?;
        }
        let parameters = &self.trace().module(at).parameters;
        if let Some((_, Some(id))) = parameters.iter().find(|(name, _)| name == last) {
            return Some(Found::Parameter(at, *id));
        }
        self.child(at, last).map(Found::Module)
    }

    /// The trace and all that is known about it.
    pub(super) fn finish(mut self, halted: bool) -> Traced {
        if !halted {
            // A second failure here is reported like any other; there is nothing after it to stop.
            let result = self.make_what_was_never_called();
            let result = result.and_then(|()| self.settle_parameters());
            if let Err(fail) = result {
                let _ = self.report(fail);
            }
        }
        let lazy: Vec<ModuleId> = (0..self.trace().modules.len())
            .map(ModuleId::new)
            .filter(|module| self.tracer.is_lazy(*module))
            .collect();
        for module in lazy {
            self.unknown_parameters(module);
        }
        let root = self.root.unwrap_or(Trace::ROOT);
        let derived = self.derived_layers();
        let mut trace = self.tracer.finish();
        if !derived.is_empty() {
            derived.iter().for_each(|id| has_no_bias(&mut trace, *id));
            recover::fill(&mut trace, derived);
        }
        if self.tied {
            drop_unowned(&mut trace);
        }
        if trace.modules.is_empty() {
            trace.modules.push(Module::default());
        }
        if root != Trace::ROOT {
            swap_modules(&mut trace, &mut self.made, root);
        }
        self.diagnostics
            .sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| span.start));
        Traced {
            trace,
            diagnostics: self.diagnostics,
            made: self.made,
            complete: self.complete,
        }
    }

    /// Blocks that derive from a layer of PyTorch and have a forward of their own.
    fn derived_layers(&self) -> Vec<ModuleId> {
        let modules = self.trace().modules.iter().enumerate();
        modules
            .filter(|(_, module)| {
                let class = &module.class;
                let known = |name: &str| {
                    let layer = catalogue::class(name).filter(|layer| layer.name() == name);
                    layer.is_some() && !is_container(name)
                };
                known(&class.name) || class.bases.iter().any(|base| known(base))
            })
            .map(|(at, _)| ModuleId::new(at))
            .filter(|id| {
                let instance = self.instance(*id);
                instance.is_some_and(|instance| matches!(instance.kind, Kind::Body(_)))
            })
            .collect()
    }

    /// The children of bodies that never ran, for their parameters.
    fn make_what_was_never_called(&mut self) -> Result<()> {
        self.dry = true;
        // Depth first, as bodies that run make theirs: a block that contains itself then ends at
        // the limit of depth, and not at that of modules.
        let mut open: Vec<(ModuleId, usize)> = Vec::new();
        let new = |from: usize, to: usize| (from..to).rev().map(ModuleId::new);
        open.extend(new(0, self.instances.len()).map(|module| (module, 0)));
        let mut blocks = Vec::new();
        while let Some((module, depth)) = open.pop() {
            let Some(instance) = self.instance(module) else {
                continue;
            };
            let (Kind::Body(body), false) = (instance.kind, instance.built) else {
                continue;
            };
            let block = instance.block;
            let span = self.trace().module(module).span.unwrap_or(body.span);
            let name = block.map(|index| self.document.blocks[index].name.name.clone());
            blocks.truncate(depth);
            blocks.push((name.unwrap_or_default(), span));
            if depth >= MAX_DEPTH {
                self.stack = blocks;
                return self.too_deep(span);
            }
            let before = self.instances.len();
            let result = self.nested(span, |run| run.body(module, body, None, span));
            if let Err(fail) = result {
                self.report(fail)?;
            }
            self.complete(module);
            open.extend(new(before, self.instances.len()).map(|module| (module, depth + 1)));
        }
        Ok(())
    }

    /// Makes the children of a body before it first runs, for whoever asks for them from outside.
    pub(super) fn make_early(&mut self, module: ModuleId) -> Result<()> {
        let Some(instance) = self.instance(module) else {
            return Ok(());
        };
        let (Kind::Body(body), false) = (instance.kind, instance.built) else {
            return Ok(());
        };
        if self.is_running(module) || self.dry {
            return Ok(());
        }
        let span = self.trace().module(module).span.unwrap_or(body.span);
        let (slot, current) = (self.slot.take(), self.current.take());
        self.dry = true;
        let result = self.nested(span, |run| run.body(module, body, None, span));
        self.dry = false;
        (self.slot, self.current) = (slot, current);
        match result {
            Err(fail @ Fail::Halt(_)) => Err(fail),
            // What is wrong in it is said when it runs.
            _ => {
                self.complete(module);
                Ok(())
            }
        }
    }

    /// Whether a call of a module has begun and not ended.
    fn is_running(&self, module: ModuleId) -> bool {
        let mut open = self.tracer.builder.innermost();
        while let Some(id) = open {
            let call = self.trace().call(id);
            if call.target == Target::Module(module) {
                return true;
            }
            open = call.parent;
        }
        false
    }

    fn settle_parameters(&mut self) -> Result<()> {
        self.tie_what_exists()?;
        let complete = self.diagnostics.is_empty();
        for tie in self.ties.clone() {
            if tie.done || !complete {
                continue;
            }
            for path in [tie.target, tie.source] {
                if !matches!(
                    self.find(tie.module, &path.name),
                    Some(Found::Parameter(..))
                ) {
                    self.report(no_such(path, "parameter"))?;
                }
            }
        }
        for frozen in self.frozen.clone() {
            match self.find(frozen.module, &frozen.path.name) {
                Some(found) => self.freeze(found),
                None if complete => self.report(no_such(frozen.path, "parameter or module"))?,
                None => {}
            }
        }
        let flagged: Vec<ModuleId> = self
            .document
            .layers
            .iter()
            .filter(|layer| layer.freeze)
            .flat_map(|layer| &self.made[layer.id.index()])
            .filter_map(|made| made.module)
            .collect();
        for module in flagged {
            self.freeze(Found::Module(module));
        }
        Ok(())
    }

    fn freeze(&mut self, found: Found) {
        let ids = match found {
            Found::Parameter(_, id) => vec![id],
            Found::Module(module) => {
                let named = self.trace().named_parameters(module);
                named.into_iter().map(|(_, id)| id).collect()
            }
        };
        let parameters = &mut self.tracer.builder.trace_mut().parameters;
        for id in ids {
            parameters[id.index()].requires_grad = false;
        }
    }
}

/// Layers of PyTorch that have a bias or hold None in its place.
const WITH_BIAS: &[&str] = &[
    "torch.nn.Linear",
    "torch.nn.Bilinear",
    "torch.nn.modules.conv._ConvNd",
    "torch.nn.modules.batchnorm._NormBase",
    "torch.nn.LayerNorm",
    "torch.nn.GroupNorm",
];

/// A block that is such a layer and does not list a bias has none, which rules ask for.
fn has_no_bias(trace: &mut Trace, id: ModuleId) {
    let module = &mut trace.modules[id.index()];
    let class = std::iter::once(&module.class.name).chain(&module.class.bases);
    let known = class.filter_map(|name| catalogue::class(name));
    let mut names = known.flat_map(|class| {
        let class = class.class();
        std::iter::once(class.name).chain(class.bases)
    });
    if names.any(|name| WITH_BIAS.contains(&name.as_str()))
        && module.parameters.iter().all(|(name, _)| name != "bias")
    {
        module.parameters.push(("bias".into(), None));
    }
}

fn no_such(path: &Ident, what: &str) -> Fail {
    let Ident { name, span } = path;
    let span: Span = *span;
    Fail::Error(Box::new(
        Diagnostic::error(format!("there is no {what} '{name}' here"), span.range())
            .with_help("write its path from this module, as in layer1.0.conv1.weight"),
    ))
}

/// Makes a module the first. A module that is given to the root's constructor is made before it.
fn swap_modules(trace: &mut Trace, made: &mut [Vec<Made>], root: ModuleId) {
    let renamed = |id: ModuleId| match id {
        Trace::ROOT => root,
        id if id == root => Trace::ROOT,
        id => id,
    };
    trace.modules.swap(Trace::ROOT.index(), root.index());
    for (_, child) in trace
        .modules
        .iter_mut()
        .flat_map(|module| &mut module.children)
    {
        *child = renamed(*child);
    }
    for call in &mut trace.calls {
        if let Target::Module(module) = &mut call.target {
            *module = renamed(*module);
        }
    }
    for made in made.iter_mut().flatten() {
        made.module = made.module.map(renamed);
    }
}

/// Parameters that were replaced by others are no parameters any more.
fn drop_unowned(trace: &mut Trace) {
    let mut owned = vec![false; trace.parameters.len()];
    let ids = trace.modules.iter().flat_map(|module| &module.parameters);
    for id in ids.filter_map(|(_, id)| *id) {
        owned[id.index()] = true;
    }
    let mut next = 0;
    let renumbered: Vec<Option<ParameterId>> = owned
        .iter()
        .map(|owned| {
            owned.then(|| {
                next += 1;
                ParameterId::new(next - 1)
            })
        })
        .collect();
    let mut keep = owned.iter();
    trace
        .parameters
        .retain(|_| keep.next().copied().unwrap_or(true));
    for module in &mut trace.modules {
        for (_, id) in &mut module.parameters {
            *id = id.and_then(|id| renumbered[id.index()]);
        }
    }
    for tensor in &mut trace.tensors {
        if let Origin::Parameter(id) = tensor.origin {
            tensor.origin = renumbered[id.index()].map_or(Origin::Constant, Origin::Parameter);
        }
    }
}
