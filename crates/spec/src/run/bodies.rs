//! Bodies: their inputs are bound, their layers run, and the result is what they give.

use modelcost_core::SmolStr;
use modelcost_core::convention::closest;
use modelcost_core::expr::{Expr, Span};
use modelcost_core::trace::{CallId, ModuleId};

use super::call::Given;
use super::messages::suggesting;
use super::scope::{Binding, Scope};
use super::{Context, Fail, Result, Run, Val, error};

/// The module whose body it is.
pub(crate) const SELF: &str = "self";

impl<'d> Run<'d> {
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

    pub(super) fn body_of(
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
        let itself = Binding {
            value: None,
            module: Some(module),
            left_out: None,
        };
        context.scope.set(SmolStr::new_static(SELF), itself);
        if given.is_some() {
            self.computes_with_sizes(body);
        }
        let said = self.sizes_said;
        self.sizes_said = self.says_sizes(module, body);
        let value = self.run_body(module, body, given, built, &context, span);
        self.sizes_said = said;
        value
    }

    /// Whether a body says what it computes with sizes: itself, the block that it is a part of, or the model for all.
    fn says_sizes(&self, module: ModuleId, body: &crate::document::Body) -> bool {
        let is_block = self.instance(module).is_some_and(|it| it.block.is_some());
        let class = &self.trace().module(module).class.name;
        body.sizes.is_some()
            || self.document.model.sizes.is_some()
            || !is_block && self.sizes_said
            || modelcost_core::jit::knows_sizes_of(class)
    }

    fn run_body(
        &mut self,
        module: ModuleId,
        body: &'d crate::document::Body,
        given: Option<&Given>,
        built: bool,
        context: &Context,
        span: Span,
    ) -> Result<Val> {
        let input = self.bind_inputs(module, body, given, context, span)?;
        self.bind_tensors(body, context);
        self.declared(&body.modules, context)?;
        let value = match &body.layers {
            crate::document::Layers::Sequence(ids) => {
                if !built {
                    self.build_items(ids, module, context)?;
                }
                match (given, input) {
                    (Some(_), Val::Data(input)) => {
                        self.items_in_turn(module, Val::Data(input), span)?
                    }
                    _ => Val::Unknown,
                }
            }
            layers => self.layers_in_turn(layers.ids(), context, input)?,
        };
        let value = match &body.output {
            Some(output) => match self.returned(output, context) {
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

    fn returned(&mut self, output: &'d Expr, context: &Context) -> Result<Val> {
        let first_call = self.next_call();
        let value = self.eval(output, context)?;
        self.products_in(std::iter::once(output), context, first_call);
        Ok(value)
    }

    /// Notes what the call that has just begun computes with sizes.
    fn computes_with_sizes(&mut self, body: &crate::document::Body) {
        let trace = self.tracer.builder.trace_mut();
        let Some(call) = trace.calls.len().checked_sub(1).map(CallId::new) else {
            return;
        };
        let lines = body
            .sizes
            .iter()
            .flatten()
            .map(|line| (call, line.name.clone()));
        trace.lines.extend(lines);
    }

    /// Binds a body's inputs and gives what its first layer takes.
    pub(super) fn bind_inputs(
        &mut self,
        module: ModuleId,
        body: &'d crate::document::Body,
        given: Option<&Given>,
        context: &Context,
        span: Span,
    ) -> Result<Val> {
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
        for parameter in parameters {
            context.scope.take_sizes(&parameter.name.name);
        }
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
    pub(super) fn bind_model_inputs(&mut self, given: Option<&Given>, context: &Context) -> Val {
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
}
