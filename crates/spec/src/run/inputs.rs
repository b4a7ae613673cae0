//! The model itself: its symbols, variables and inputs, and the call of its root.

use std::collections::BTreeSet;

use modelcost_core::SmolStr;
use modelcost_core::convention::closest;
use modelcost_core::diagnostic::Diagnostic;
use modelcost_core::dim::Dim;
use modelcost_core::expr::{Expr, ExprKind, Ident, Span};
use modelcost_core::trace::{ModuleId, Shape};
use modelcost_core::value::Value;

use super::call::Given;
use super::scope::Binding;
use super::tensors::{check_numel, check_size, dtype_of};
use super::{Context, Fail, Kind, Made, Result, Run, Slot, Val, builtins, error};
use crate::catalogue;
use crate::document::{Content, Layers};
use crate::options::{BATCH_NAMES, Options};

impl<'d> Run<'d> {
    /// Makes and calls the model.
    pub(super) fn model(&mut self, options: &Options) -> Result<()> {
        let document = self.document;
        if !document.is_spec() {
            let message = match document.is_empty() {
                true => "the file is empty: a spec has at least [model] and [layers]",
                false => "this TOML file is not a spec: it has neither [model] nor [layers]",
            };
            return Err(Fail::Halt(Box::new(Diagnostic::without_place(message))));
        }
        self.symbols(options)?;
        self.variables(options)?;
        self.check_options(options)?;
        let given = self.inputs(options)?;
        let context = Context {
            scope: self.globals.clone(),
            owner: ModuleId::new(0),
        };
        let Some(root) = self.make_root(&context)? else {
            return Ok(());
        };
        self.root = Some(root);
        let Some(given) = given else {
            return Ok(());
        };
        let first_call = self.next_call();
        let span = document.model_span.unwrap_or_default();
        let output = match self.call_module(root, given, span) {
            Ok(value) => value,
            Err(fail) => {
                self.report(fail)?;
                Val::Unknown
            }
        };
        let output = match output {
            Val::Data(value) => value,
            _ => Value::None,
        };
        if let Layers::Single(layer) = document.model.layers {
            let calls = first_call..self.next_call();
            self.made[layer.index()].push(Made {
                module: Some(root),
                calls,
                output: output.clone(),
            });
        }
        self.tracer.builder.trace_mut().output = output;
        Ok(())
    }

    /// Binds the names in the inputs' shapes that stand for nothing else.
    fn symbols(&mut self, options: &Options) -> Result<()> {
        let document = self.document;
        let mut names: Vec<Ident> = Vec::new();
        for size in document.inputs.iter().flat_map(|input| &input.shape) {
            size.value.walk(&mut |expr| {
                if let ExprKind::Name(name) = &expr.kind {
                    names.push(Ident {
                        name: name.clone(),
                        span: expr.span,
                    });
                }
            });
        }
        let variables: BTreeSet<&str> = document
            .variables
            .iter()
            .map(|variable| variable.name.name.as_str())
            .collect();
        names.retain(|name| {
            !variables.contains(name.name.as_str()) && !builtins::is_function(&name.name)
        });
        let batch = names
            .iter()
            .find(|n| BATCH_NAMES.contains(&n.name.as_str()));
        let batch = batch.map(|name| name.name.clone());
        for Ident { name, .. } in names {
            if self.globals.has(&name) {
                continue;
            }
            let value = match (&options.batch, options.dims.get(&name)) {
                (Some(size), _) if batch.as_ref() == Some(&name) => size.clone(),
                (_, Some(size)) => size.clone(),
                _ => match self.given_size(&name, options)? {
                    Some(size) => size,
                    None => match self.default_of(&name)? {
                        Some(size) => size,
                        None => Dim::symbol(name.clone()),
                    },
                },
            };
            if !value.is_const() {
                self.free.push(name.clone());
            }
            self.known_dims.push(name.clone());
            self.globals.set(name, Binding::data(value));
        }
        Ok(())
    }

    /// The size that a whole shape in the options gives to a name.
    fn given_size(&self, name: &str, options: &Options) -> Result<Option<Dim>> {
        let document = self.document;
        let mut found: Option<Dim> = None;
        for input in &document.inputs {
            let Some(shape) = shape_given(options, &input.name.name, document.inputs.len()) else {
                continue;
            };
            for (size, dim) in input.shape.iter().zip(shape) {
                if !matches!(&size.value.kind, ExprKind::Name(symbol) if symbol == name) {
                    continue;
                }
                match &found {
                    Some(first) if first != dim => {
                        let message = format!("'{name}' is given two sizes: {first} and {dim}");
                        return error(message, size.value.span);
                    }
                    _ => found = Some(dim.clone()),
                }
            }
        }
        Ok(found)
    }

    /// The `1` of `"batch=1"`.
    fn default_of(&mut self, name: &str) -> Result<Option<Dim>> {
        let document = self.document;
        let context = Context {
            scope: self.globals.clone(),
            owner: ModuleId::new(0),
        };
        let mut found: Option<(Dim, Span)> = None;
        for size in document.inputs.iter().flat_map(|input| &input.shape) {
            let (ExprKind::Name(symbol), Some(default)) = (&size.value.kind, &size.default) else {
                continue;
            };
            if symbol != name {
                continue;
            }
            let Some(dim) = self.data(default, &context)?.int() else {
                return error("a size is an integer", default.span);
            };
            match &found {
                Some((first, _)) if *first != dim => {
                    return error(
                        format!("'{name}' is given two sizes: {first} and {dim}"),
                        default.span,
                    );
                }
                _ => found = Some((dim, default.span)),
            }
        }
        Ok(found.map(|(dim, _)| dim))
    }

    fn variables(&mut self, options: &Options) -> Result<()> {
        let document = self.document;
        let context = Context {
            scope: self.globals.clone(),
            owner: ModuleId::new(0),
        };
        for variable in &document.variables {
            let name = &variable.name.name;
            let value = match options.dims.get(name) {
                Some(dim) => Val::Data(Value::Int(dim.clone())),
                None => match self.data(&variable.value, &context) {
                    Ok(value) => Val::Data(value),
                    Err(fail) => {
                        self.report(fail)?;
                        Val::Unknown
                    }
                },
            };
            if matches!(value, Val::Data(Value::Int(_))) {
                self.known_dims.push(name.clone());
            }
            self.globals.set(name.clone(), Binding::value(value));
        }
        Ok(())
    }

    /// Options must be about something that the model has.
    fn check_options(&mut self, options: &Options) -> Result<()> {
        let unknown = options
            .dims
            .keys()
            .find(|name| !self.known_dims.contains(name));
        if let Some(name) = unknown {
            let known: Vec<&str> = self.known_dims.iter().map(SmolStr::as_str).collect();
            let mut diagnostic =
                Diagnostic::without_place(format!("the model has no dimension '{name}'"));
            diagnostic.help = Some(match closest(name, known.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None if known.is_empty() => {
                    "give one a name in the input's shape: [\"batch\", 3, 224, 224]".into()
                }
                None => format!("it has {}", known.join(", ")),
            });
            self.report(Fail::Error(Box::new(diagnostic)))?;
        }
        let inputs = &self.document.inputs;
        for (name, _) in &options.inputs {
            let message = match name {
                Some(name) if !inputs.iter().any(|input| input.name.name == *name) => {
                    format!("the model has no input '{name}'")
                }
                None if inputs.len() > 1 => "the model has several inputs: say which".to_string(),
                _ => continue,
            };
            let names: Vec<&str> = inputs.iter().map(|i| i.name.name.as_str()).collect();
            let diagnostic = Diagnostic::without_place(message)
                .with_help(format!("it has {}", names.join(", ")));
            self.report(Fail::Error(Box::new(diagnostic)))?;
        }
        Ok(())
    }

    /// Makes the inputs. Nothing is called when one of them has an error.
    fn inputs(&mut self, options: &Options) -> Result<Option<Given>> {
        let document = self.document;
        if document.inputs.is_empty() {
            let span = document.model_span.unwrap_or_default();
            let diagnostic = Diagnostic::error("the model has no input", span.range())
                .with_help("add its shape to [model]: input = [1, 3, 224, 224]");
            self.report(Fail::Error(Box::new(diagnostic)))?;
            return Ok(None);
        }
        let context = Context {
            scope: self.globals.clone(),
            owner: ModuleId::new(0),
        };
        let mut given = Given::default();
        let mut complete = true;
        for input in &document.inputs {
            let over = shape_given(options, &input.name.name, document.inputs.len());
            let shape = match over {
                Some(shape) => check_shape(shape, input.shape_span).map(|()| shape.clone()),
                None => self.sizes_of(&input.shape, &context),
            };
            let mut shape = match shape {
                Ok(shape) => shape,
                Err(fail) => {
                    self.report(fail)?;
                    complete = false;
                    continue;
                }
            };
            if let (Some(batch), None, Some(first)) = (&options.batch, over, shape.first_mut())
                && !self.has_batch_symbol()
            {
                *first = batch.clone();
                check_shape(&shape, input.shape_span)?;
            }
            let dtype = dtype_of(&input.dtype);
            let tensor = self.tracer.input(input.name.name.clone(), shape, dtype);
            given
                .positional
                .push((Value::Tensor(tensor), input.shape_span));
        }
        Ok(complete.then_some(given))
    }

    fn has_batch_symbol(&self) -> bool {
        let variables = &self.document.variables;
        self.known_dims.iter().any(|name| {
            BATCH_NAMES.contains(&name.as_str())
                && !variables.iter().any(|variable| variable.name.name == *name)
        })
    }

    /// Makes the root module.
    fn make_root(&mut self, context: &Context) -> Result<Option<ModuleId>> {
        let document = self.document;
        let body = &document.model;
        let name = document
            .name
            .as_ref()
            .map_or("Model", |name| name.name.as_str());
        let mut slot = Slot {
            owner: None,
            name: SmolStr::default(),
            layer: None,
            span: document.model_span.unwrap_or(body.span),
        };
        if let Layers::Single(layer) = body.layers {
            let layer = document.layer(layer);
            slot.layer = Some(layer.id);
            slot.span = layer.span;
            let Content::Expr(expr) = &layer.content else {
                return Ok(None);
            };
            return self.single_root(expr, slot, context);
        }
        if body.layers.ids().is_empty() && body.output.is_none() {
            let diagnostic = Diagnostic::error("the model has no layers", slot.span.range())
                .with_help("add a table [layers]");
            self.report(Fail::Error(Box::new(diagnostic)))?;
        }
        let default = match &body.layers {
            Layers::Sequence(_) => "torch.nn.Sequential",
            _ => name,
        };
        let span = slot.span;
        let module = self.body_module(body, default, &slot, context.scope.clone(), span)?;
        if let Layers::Sequence(ids) = &body.layers
            && self.is_chain(body, context)
        {
            if let Some(instance) = self.instances[module.index()].as_mut() {
                instance.kind = Kind::Items;
            }
            self.build_items(ids, module, context)?;
            self.complete(module);
        }
        Ok(Some(module))
    }

    /// `layers = "Conv2d(3, 64, 3)"`: the model is that module.
    fn single_root(
        &mut self,
        expr: &'d Expr,
        slot: Slot,
        context: &Context,
    ) -> Result<Option<ModuleId>> {
        if matches!(expr.kind, ExprKind::Error) {
            return Ok(None);
        }
        if !self.is_constructor(expr, context) {
            if let ExprKind::Call(callee, _) = &expr.kind
                && let Some(dotted) = self.free_dotted_name(callee, context)
                && !builtins::is_function(&dotted)
                && !catalogue::is_function(&dotted)
            {
                return Err(self.unknown_name(&dotted, callee.span, context));
            }
            return error(
                "a model of one line is a module, as in layers = \"Conv2d(3, 64, 3)\"",
                expr.span,
            );
        }
        self.slot = Some(slot);
        match self.eval(expr, context)? {
            Val::Module(module) => Ok(Some(module)),
            _ => Ok(None),
        }
    }
}

fn check_shape(shape: &Shape, span: Span) -> Result<()> {
    for dim in shape {
        check_size(dim, span)?;
    }
    check_numel(shape, span)
}

/// The shape that the options give to an input.
fn shape_given<'o>(options: &'o Options, input: &str, inputs: usize) -> Option<&'o Shape> {
    let mut given = options.inputs.iter().rev();
    let found = given.find(|(name, _)| match name {
        Some(name) => name == input,
        None => inputs == 1,
    });
    found.map(|(_, shape)| shape)
}
