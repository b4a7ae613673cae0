//! Calls: of modules, functions, methods, and the constructors of modules.

use modelcost_core::SmolStr;
use modelcost_core::convention::closest;
use modelcost_core::diagnostic::{Diagnostic, Suggestion};
use modelcost_core::expr::{Argument, Expr, ExprKind, Ident, Span};
use modelcost_core::trace::{ModuleId, Origin, TensorId};
use modelcost_core::value::Value;
use modelcost_torch::{ArgumentRef, Arguments, TorchError};

use super::scope::Scope;
use super::{Context, Fail, Kind, Result, Run, Val, arithmetic, builtins, error};
use crate::catalogue;

/// Arguments with where each of them stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub positional: Vec<(Value, Span)>,
    pub keyword: Vec<(Ident, Value, Span)>,
}

impl Given {
    pub fn one(value: Value, span: Span) -> Given {
        Given {
            positional: vec![(value, span)],
            keyword: Vec::new(),
        }
    }

    pub fn positional(
        values: impl IntoIterator<Item = Value>,
        spans: impl IntoIterator<Item = Span>,
    ) -> Given {
        Given {
            positional: values.into_iter().zip(spans).collect(),
            keyword: Vec::new(),
        }
    }

    pub fn arguments(&self) -> Arguments {
        let positional = self.positional.iter().map(|(value, _)| value.clone());
        let keyword = self.keyword.iter();
        Arguments {
            positional: positional.collect(),
            keyword: keyword
                .map(|(name, value, _)| (name.name.clone(), value.clone()))
                .collect(),
        }
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        let keyword = self.keyword.iter().map(|(_, value, _)| value);
        self.positional
            .iter()
            .map(|(value, _)| value)
            .chain(keyword)
    }
}

/// What stands before the parentheses.
enum Callee {
    Module(ModuleId),
    Class(SmolStr),
    Function(SmolStr),
    Builtin(SmolStr),
    Method(Value, Span, Ident),
}

impl<'d> Run<'d> {
    pub(super) fn call(
        &mut self,
        expr: &'d Expr,
        callee: &'d Expr,
        arguments: &'d [Argument],
        context: &Context,
    ) -> Result<Val> {
        match self.callee(callee, context)? {
            Callee::Class(class) => self.construct(&class, expr, callee, arguments, context),
            Callee::Module(module) => {
                let given = self.arguments(arguments, context)?;
                self.call_module(module, given, expr.span)
            }
            Callee::Function(name) => {
                let given = self.arguments(arguments, context)?;
                self.function(&name, given, expr.span).map(Val::Data)
            }
            Callee::Builtin(name) => {
                let given = self.arguments(arguments, context)?;
                self.builtin(&name, given, expr.span)
            }
            Callee::Method(receiver, span, name) => {
                let mut given = self.arguments(arguments, context)?;
                given.positional.insert(0, (receiver, span));
                self.method(&name, given, expr.span)
            }
        }
    }

    fn callee(&mut self, expr: &'d Expr, context: &Context) -> Result<Callee> {
        if let Some(dotted) = self.free_dotted_name(expr, context) {
            return self.named_callee(&dotted, expr, context);
        }
        if let Some(module) = self.module_of(expr, context)? {
            return Ok(Callee::Module(module));
        }
        if let ExprKind::Attribute(base, name) = &expr.kind {
            // A method of what the base gives, or nothing.
            let value = match self.eval(base, context)? {
                Val::Data(value) => value,
                Val::Unknown => return Err(Fail::Poisoned),
                Val::Module(module) => {
                    let class = self.trace().module(module).class.short_name().to_string();
                    return error(format!("this {class} has no '{}'", name.name), name.span);
                }
            };
            return Ok(Callee::Method(value, base.span, name.clone()));
        }
        match self.eval(expr, context)? {
            Val::Module(module) => Ok(Callee::Module(module)),
            Val::Data(Value::Opaque(name)) => self.named_callee(&name, expr, context),
            Val::Data(value) => error(
                format!("{} cannot be called", arithmetic::describe(&value)),
                expr.span,
            ),
            Val::Unknown => Err(Fail::Poisoned),
        }
    }

    fn named_callee(&mut self, name: &str, expr: &Expr, context: &Context) -> Result<Callee> {
        if let Some(class) = self.class_named(name) {
            return Ok(Callee::Class(class));
        }
        if builtins::is_function(name) {
            return Ok(Callee::Builtin(name.into()));
        }
        if catalogue::is_function(name) {
            return Ok(Callee::Function(name.into()));
        }
        if name.contains('.') {
            return Err(self.unknown_dotted(name, expr.span));
        }
        Err(self.unknown_name(name, expr.span, context))
    }

    /// The name of a class, as it is to be asked for: of a block of this file first.
    pub(super) fn class_named(&self, name: &str) -> Option<SmolStr> {
        if self.blocks.contains_key(name) {
            return Some(name.into());
        }
        catalogue::class(name).map(|class| class.name().into())
    }

    /// Whether an expression makes a module when it is evaluated: `Conv2d(3, 64, 3)`.
    pub(super) fn is_constructor(&self, expr: &Expr, context: &Context) -> bool {
        let ExprKind::Call(callee, _) = &expr.kind else {
            return false;
        };
        match self.free_dotted_name(callee, context) {
            Some(dotted) => !builtins::is_function(&dotted) && self.class_named(&dotted).is_some(),
            None => match &callee.kind {
                ExprKind::Name(name) => {
                    context.scope.with(name, |binding| match &binding.value {
                        Some(Val::Data(Value::Opaque(class))) => self.class_named(class).is_some(),
                        _ => false,
                    }) == Some(true)
                }
                _ => false,
            },
        }
    }

    /// The values of arguments.
    pub(super) fn arguments(
        &mut self,
        arguments: &'d [Argument],
        context: &Context,
    ) -> Result<Given> {
        let mut given = Given::default();
        for argument in arguments {
            let expr = &argument.value;
            let value = match self.is_constructor(expr, context) {
                // `TransformerEncoder(TransformerEncoderLayer(64, 4), 6)`
                true => self.module_argument(expr, context)?,
                false => self.data(expr, context)?,
            };
            if argument.starred {
                let Some(items) = value.items() else {
                    return error(
                        format!("{} has no items to spread", arithmetic::describe(&value)),
                        expr.span,
                    );
                };
                self.step(items.len(), expr.span)?;
                let spread = items.iter().map(|item| (item.clone(), expr.span));
                given.positional.extend(spread);
            } else if let Some(name) = &argument.name {
                if given
                    .keyword
                    .iter()
                    .any(|(known, ..)| known.name == name.name)
                {
                    return error(format!("'{}' is given twice", name.name), name.span);
                }
                given.keyword.push((name.clone(), value, expr.span));
            } else {
                given.positional.push((value, expr.span));
            }
        }
        Ok(given)
    }

    /// A module that is made to be given to the constructor of another.
    fn module_argument(&mut self, expr: &'d Expr, context: &Context) -> Result<Value> {
        let ExprKind::Call(callee, arguments) = &expr.kind else {
            return error("expected a module", expr.span);
        };
        let class = match self.callee(callee, context)? {
            Callee::Class(class) => class,
            _ => return error("expected a module", callee.span),
        };
        if self.blocks.contains_key(class.as_str()) {
            return error(
                format!(
                    "{class} is a block of this file: only modules of PyTorch can be given to others"
                ),
                expr.span,
            );
        }
        let given = self.arguments(arguments, context)?;
        match self.tracer.construct(&class, &given.arguments(), "") {
            Ok(module) => {
                self.step(1, expr.span)?;
                Ok(modelcost_torch::Tracer::module_value(module))
            }
            Err(torch) => Err(self.torch_error(torch, &given, callee.span)),
        }
    }

    /// `partial(LayerNorm, eps=1e-6)`: a class with some of its arguments.
    fn partial(&mut self, given: Given, span: Span) -> Result<Val> {
        let Some(((Value::Opaque(class), _), rest)) = given.positional.split_first() else {
            return error("partial takes a class first", span);
        };
        let positional = rest.iter().map(|(value, _)| arithmetic::python(value));
        let keyword = given.keyword.iter();
        let keyword =
            keyword.map(|(name, value, _)| format!("{}={}", name.name, arithmetic::python(value)));
        let arguments: Vec<String> = std::iter::once(class.to_string())
            .chain(positional)
            .chain(keyword)
            .collect();
        let text = format!("functools.partial({})", arguments.join(", "));
        Ok(Val::Data(Value::Opaque(text.into())))
    }

    fn builtin(&mut self, name: &str, given: Given, span: Span) -> Result<Val> {
        if name == builtins::PARTIAL {
            return self.partial(given, span);
        }
        if let Some((keyword, ..)) = given.keyword.first() {
            return error(
                format!("{name} has no argument '{}'", keyword.name),
                keyword.span,
            );
        }
        let values: Vec<Value> = given.values().cloned().collect();
        if let ("len", [Value::Tensor(tensor)]) = (name, values.as_slice()) {
            let sizes = self.sizes(*tensor, span)?;
            return match sizes.into_iter().next() {
                Some(size) => Ok(Val::Data(size)),
                None => error("a scalar has no length", span),
            };
        }
        let cost: usize = values
            .iter()
            .filter_map(Value::items)
            .map(<[Value]>::len)
            .sum();
        self.step(cost, span)?;
        let value = builtins::call(name, &values).or_else(|message| error(message, span))?;
        self.step(value.items().map_or(0, <[Value]>::len), span)?;
        Ok(Val::Data(value))
    }

    fn method(&mut self, name: &Ident, given: Given, span: Span) -> Result<Val> {
        let receiver = given.positional.first().map(|(value, _)| value);
        let Some(tensor) = receiver.and_then(Value::tensor) else {
            let what = receiver.map_or("this".into(), arithmetic::describe);
            let mut result = error(format!("{what} has no method '{}'", name.name), name.span);
            if let (Some(Value::Tuple(_) | Value::List(_)), Err(Fail::Error(diagnostic))) =
                (receiver, &mut result)
            {
                diagnostic.help = Some("take one of its items: name[0]".into());
            }
            return result;
        };
        let index = given.positional.get(1).map(|(value, _)| value);
        match (name.name.as_str(), index) {
            ("size", Some(index)) => {
                let sizes = self.sizes(tensor, span)?;
                let at = arithmetic::index(index).or_else(|message| error(message, span))?;
                let at = if at < 0 { at + sizes.len() as i64 } else { at };
                let size = usize::try_from(at)
                    .ok()
                    .and_then(|at| sizes.get(at).cloned());
                return match size {
                    Some(size) => Ok(Val::Data(size)),
                    None => error(
                        format!("there is no dimension {at} among {}", sizes.len()),
                        span,
                    ),
                };
            }
            ("size", None) => return Ok(Val::Data(Value::Tuple(self.sizes(tensor, span)?))),
            ("dim" | "ndimension", None) => {
                return Ok(Val::Data(Value::from(self.sizes(tensor, span)?.len())));
            }
            ("numel" | "nelement", None) => {
                let sizes = self.sizes(tensor, span)?;
                let dims: Vec<_> = sizes.iter().filter_map(Value::int).collect();
                let numel = modelcost_core::dim::Dim::product(&dims);
                return Ok(Val::Data(Value::Int(numel)));
            }
            _ => {}
        }
        let function = format!("torch.Tensor.{}", name.name);
        if !catalogue::is_function(&function) {
            let methods = modelcost_torch::functions().filter(|function| function.is_method());
            return Err(suggesting(
                format!("a tensor has no method '{}'", name.name),
                name.span,
                closest(&name.name, methods.map(|function| function.short_name())),
            ));
        }
        self.function(&function, given, span).map(Val::Data)
    }

    /// Calls a module.
    pub(super) fn call_module(
        &mut self,
        module: ModuleId,
        given: Given,
        span: Span,
    ) -> Result<Val> {
        self.step(1, span)?;
        let kind = self.instance(module).map(|instance| instance.kind);
        if self.dry {
            return Err(Fail::Poisoned);
        }
        match kind {
            None => {
                let arguments = given.arguments();
                match self.tracer.call_module(module, &arguments, Some(span)) {
                    Ok(value) => {
                        self.step(1, span)?;
                        Ok(Val::Data(value))
                    }
                    Err(torch) => Err(self.torch_error(torch, &given, span)),
                }
            }
            Some(Kind::List) => self.one_input(module, &given, span).and_then(|input| {
                self.nested(span, |run| {
                    run.items_in_turn(module, Val::Data(input), span)
                })
            }),
            Some(Kind::Items) => {
                let input = self.one_input(module, &given, span)?;
                self.nested(span, |run| {
                    run.tracer
                        .begin_module(module, &given.arguments(), Some(span));
                    let result = run.items_in_turn(module, Val::Data(input), span);
                    run.end_module(result)
                })
            }
            Some(Kind::Body(body)) => self.nested(span, |run| {
                run.tracer
                    .begin_module(module, &given.arguments(), Some(span));
                let result = run.body(module, body, Some(&given), span);
                run.end_module(result)
            }),
        }
    }

    fn end_module(&mut self, result: Result<Val>) -> Result<Val> {
        let output = match &result {
            Ok(Val::Data(value)) => value.clone(),
            _ => Value::None,
        };
        self.tracer.end_module(output);
        result
    }

    fn one_input(&self, module: ModuleId, given: &Given, span: Span) -> Result<Value> {
        match (given.positional.as_slice(), given.keyword.first()) {
            ([(value, _)], None) => Ok(value.clone()),
            (_, Some((name, ..))) => error("a Sequential has no named inputs", name.span),
            (values, None) => {
                let class = self.trace().module(module).class.short_name();
                let message = format!("{class} takes one input, but {} are given", values.len());
                error(message, span)
            }
        }
    }

    /// Runs a body with its inputs bound; without inputs, its modules are made and nothing is called.
    pub(super) fn body(
        &mut self,
        module: ModuleId,
        body: &'d crate::document::Body,
        given: Option<&Given>,
        span: Span,
    ) -> Result<Val> {
        let Some(instance) = self.instance(module) else {
            return Err(Fail::Poisoned);
        };
        let Some(index) = instance.block else {
            return self.body_of(module, body, given, span);
        };
        let name = self.document.blocks[index].name.name.clone();
        let place = self.trace().module(module).span.unwrap_or(span);
        self.stack.push((name, place));
        let result = self.body_of(module, body, given, span);
        // Reported while it is known which block it happened in.
        let result = match result {
            Err(fail @ Fail::Error(_)) => self.report(fail).and(Ok(Val::Unknown)),
            result => result,
        };
        self.stack.pop();
        result
    }

    fn body_of(
        &mut self,
        module: ModuleId,
        body: &'d crate::document::Body,
        given: Option<&Given>,
        span: Span,
    ) -> Result<Val> {
        let Some(instance) = self.instance(module) else {
            return Err(Fail::Poisoned);
        };
        let context = Context {
            scope: Scope::inside(&instance.scope),
            owner: module,
        };
        let built = instance.built;
        let input = self.bind_inputs(module, body, given, &context, span)?;
        self.bind_tensors(body, &context);
        self.declared(&body.modules, &context)?;
        let value = match &body.layers {
            crate::document::Layers::Sequence(ids) => {
                if !built {
                    self.build_items(ids, module, &context)?;
                }
                match (given, input) {
                    (Some(_), Val::Data(input)) => {
                        self.items_in_turn(module, Val::Data(input), span)?
                    }
                    _ => Val::Unknown,
                }
            }
            layers => self.layers_in_turn(layers.ids(), &context, input)?,
        };
        let value = match &body.output {
            Some(output) => match self.eval(output, &context) {
                Ok(value) => value,
                Err(fail) => {
                    self.report(fail)?;
                    Val::Unknown
                }
            },
            None => value,
        };
        self.complete(module);
        match value {
            Val::Module(_) => error("this gives a module: apply it to something", body.span),
            value => Ok(value),
        }
    }

    /// Binds a body's inputs and gives what its first layer takes.
    fn bind_inputs(
        &mut self,
        module: ModuleId,
        body: &'d crate::document::Body,
        given: Option<&Given>,
        context: &Context,
        span: Span,
    ) -> Result<Val> {
        use super::scope::Binding;
        if self.root == Some(module) {
            return Ok(self.bind_model_inputs(given, context));
        }
        let name = self.trace().module(module).class.short_name().to_string();
        let Some(parameters) = &body.input else {
            let value = match given {
                None => Val::Unknown,
                Some(given) => match (given.positional.as_slice(), given.keyword.as_slice()) {
                    ([(value, _)], []) => Val::Data(value.clone()),
                    (_, [(keyword, ..), ..]) => {
                        return error(
                            format!(
                                "{name} has no input '{}': name its inputs with input = \"x, {}\"",
                                keyword.name, keyword.name
                            ),
                            keyword.span,
                        );
                    }
                    (values, _) => {
                        let message = format!(
                            "{name} takes one input, but {} are given: name its inputs, as in input = \"x, mask=None\"",
                            values.len()
                        );
                        return error(message, span);
                    }
                },
            };
            let binding = Binding::value(value.clone());
            context.scope.set(SmolStr::new_static("input"), binding);
            return Ok(value);
        };
        self.bind_parameters(&name, parameters, given, context, span)?;
        let first = parameters
            .first()
            .and_then(|first| context.scope.get(&first.name.name));
        let first = first
            .and_then(|binding| binding.value)
            .unwrap_or(Val::Unknown);
        if !context.scope.has("input") {
            let binding = Binding::value(first.clone());
            context.scope.set(SmolStr::new_static("input"), binding);
        }
        Ok(first)
    }

    /// Binds the inputs of the model under their names.
    fn bind_model_inputs(&mut self, given: Option<&Given>, context: &Context) -> Val {
        use super::scope::Binding;
        let document = self.document;
        let value = |position: usize| {
            let value = given.and_then(|given| given.positional.get(position));
            value.map_or(Val::Unknown, |(value, _)| Val::Data(value.clone()))
        };
        for (position, input) in document.inputs.iter().enumerate() {
            let binding = Binding::value(value(position));
            context.scope.set(input.name.name.clone(), binding);
        }
        value(0)
    }

    /// Binds arguments to the parameters of a constructor or a `forward`, as Python does.
    /// Without arguments, everything is unknown.
    pub(super) fn bind_parameters(
        &mut self,
        callee: &str,
        parameters: &'d [crate::document::Parameter],
        given: Option<&Given>,
        context: &Context,
        span: Span,
    ) -> Result<()> {
        use super::scope::Binding;
        if let Some(given) = given {
            if let Some((_, span)) = given.positional.get(parameters.len()) {
                let message = format!(
                    "{callee} takes {} argument{}, but {} are given",
                    parameters.len(),
                    if parameters.len() == 1 { "" } else { "s" },
                    given.positional.len()
                );
                return error(message, *span);
            }
            for (keyword, _, _) in &given.keyword {
                let position = parameters.iter().position(|p| p.name.name == keyword.name);
                match position {
                    Some(position) if position < given.positional.len() => {
                        return error(format!("'{}' is given twice", keyword.name), keyword.span);
                    }
                    Some(_) => {}
                    None => {
                        let names = parameters.iter().map(|p| p.name.name.as_str());
                        return Err(suggesting(
                            format!("{callee} has no argument '{}'", keyword.name),
                            keyword.span,
                            closest(&keyword.name, names),
                        ));
                    }
                }
            }
        }
        for (position, parameter) in parameters.iter().enumerate() {
            let name = &parameter.name;
            let value = match given {
                None => Val::Unknown,
                Some(given) => {
                    let positional = given.positional.get(position).map(|(value, _)| value);
                    let keyword = given.keyword.iter().find(|(k, ..)| k.name == name.name);
                    match (
                        positional.or(keyword.map(|(_, value, _)| value)),
                        &parameter.default,
                    ) {
                        (Some(value), _) => Val::Data(value.clone()),
                        (None, Some(default)) => Val::Data(self.data(default, context)?),
                        (None, None) => {
                            return error(
                                format!("{callee} is missing the argument '{}'", name.name),
                                span,
                            );
                        }
                    }
                }
            };
            let binding = Binding::value(value);
            context.scope.set(name.name.clone(), binding);
        }
        Ok(())
    }

    /// An error of the vocabulary, at the argument that it is about.
    pub(super) fn torch_error(&self, torch: TorchError, given: &Given, span: Span) -> Fail {
        let place = match &torch.argument {
            Some(ArgumentRef::Position(at)) => given.positional.get(*at).map(|(_, span)| *span),
            Some(ArgumentRef::Name(name)) => given
                .keyword
                .iter()
                .find(|(keyword, ..)| keyword.name == *name)
                .map(|(keyword, value, span)| match torch.suggestion {
                    // A misspelt keyword is what is replaced; else its value is at fault.
                    Some(_) => keyword.span,
                    None if matches!(value, Value::Tensor(_)) => *span,
                    None => keyword.span.to(*span),
                }),
            None => None,
        };
        let place = place.unwrap_or(span);
        let mut diagnostic = Diagnostic::error(torch.message, place.range());
        if let (Some(suggestion), true) = (torch.suggestion, torch.argument.is_some()) {
            diagnostic.suggestion = Some(Suggestion {
                span: place.range(),
                replacement: suggestion,
            });
        }
        let mut tensors: Vec<TensorId> = given.values().flat_map(Value::tensors).collect();
        tensors.dedup();
        for tensor in tensors.into_iter().take(3) {
            if let Some((origin, what)) = self.origin(tensor)
                && origin != place
                && diagnostic
                    .related
                    .iter()
                    .all(|(span, _)| *span != origin.range())
            {
                diagnostic.related.push((origin.range(), what));
            }
        }
        let several = |value: &Value| value.items().is_some_and(|items| !items.is_empty());
        if diagnostic.message.contains("must be a tensor")
            && given.positional.iter().any(|(value, _)| several(value))
        {
            diagnostic.help = Some("take one of the values, as in Linear(8, 2)(lstm[0])".into());
        }
        Fail::Error(Box::new(diagnostic))
    }

    /// Where a tensor comes from, and its shape.
    fn origin(&self, tensor: TensorId) -> Option<(Span, String)> {
        let trace = self.trace();
        let found = trace.tensor(tensor);
        let shape = modelcost_torch::show::shape(found.shape.as_deref()?);
        match found.origin {
            Origin::Call(call) => {
                let mut at = Some(call);
                while let Some(id) = at {
                    let call = trace.call(id);
                    if let Some(span) = call.span {
                        return Some((span, format!("this gives {shape}")));
                    }
                    at = call.parent;
                }
                None
            }
            Origin::Input => {
                let index = trace.inputs.iter().position(|(_, id)| *id == tensor)?;
                let input = self.document.inputs.get(index)?;
                Some((input.shape_span, format!("the input is {shape}")))
            }
            _ => None,
        }
    }

    /// An error about a name that nothing has.
    pub(super) fn unknown_name(&self, name: &str, span: Span, context: &Context) -> Fail {
        // The search for a similar name takes longer than everything else.
        if self.reported.contains(&span.range()) {
            return Fail::Poisoned;
        }
        let block = self.block_at(span);
        let same = self.document.layers.iter().filter(|layer| {
            let same = matches!(&layer.key, crate::document::Key::Name(key) if key == name);
            same && layer.block == block
        });
        let later = same.max_by_key(|layer| layer.span.end);
        if let Some(later) = later.filter(|layer| layer.span.end >= span.end) {
            if later.span.touches(span.start as usize) {
                return Fail::Error(Box::new(
                    Diagnostic::error(format!("'{name}' needs itself"), span.range())
                        .with_help("apply it to the input, or to a layer above"),
                ));
            }
            let message =
                format!("'{name}' is used before it is made: layers run from top to bottom");
            let mut diagnostic = Diagnostic::error(message, span.range());
            let place = later.key_span.unwrap_or(later.span);
            diagnostic
                .related
                .push((place.range(), "it is made here".into()));
            diagnostic.help = Some(format!(
                "move '{name}' up, or declare it under 'modules' to call it from anywhere"
            ));
            return Fail::Error(Box::new(diagnostic));
        }
        for prefix in ["F.", "torch."] {
            let function = format!("{prefix}{name}");
            if catalogue::is_function(&function) {
                return suggesting(format!("there is no '{name}'"), span, Some(&function));
            }
        }
        let visible = context.scope.visible();
        let blocks = self
            .document
            .blocks
            .iter()
            .map(|block| block.name.name.as_str());
        let classes = modelcost_torch::classes().map(|class| class.short_name());
        let candidates = visible
            .iter()
            .map(SmolStr::as_str)
            .chain(blocks)
            .chain(classes);
        suggesting(
            format!("there is no '{name}'"),
            span,
            closest(name, candidates),
        )
    }

    fn block_at(&self, span: Span) -> Option<usize> {
        let inside = |block: &crate::document::Block| block.span.touches(span.start as usize);
        self.document.blocks.iter().position(inside)
    }

    /// An error about a dotted name that nothing has.
    pub(super) fn unknown_dotted(&self, dotted: &str, span: Span) -> Fail {
        if self.reported.contains(&span.range()) {
            return Fail::Poisoned;
        }
        let near = catalogue::near(dotted);
        suggesting(format!("there is no '{dotted}'"), span, near.as_deref())
    }
}

/// An error with the name that may have been meant.
pub(super) fn suggesting(message: String, span: Span, near: Option<&str>) -> Fail {
    let mut diagnostic = Diagnostic::error(message, span.range());
    if let Some(near) = near {
        diagnostic.help = Some(format!("did you mean '{near}'?"));
        diagnostic.suggestion = Some(Suggestion {
            span: span.range(),
            replacement: near.into(),
        });
    }
    Fail::Error(Box::new(diagnostic))
}
