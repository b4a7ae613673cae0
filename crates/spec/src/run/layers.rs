//! Layers in turn: each takes what the one before it gives, unless it says otherwise.

use modelcost_core::SmolStr;
use modelcost_core::expr::{BinaryOp, Expr, ExprKind};
use modelcost_core::trace::{ModuleId, Origin};
use modelcost_core::value::Value;

use super::scope::{Binding, Scope};
use super::{Context, Fail, Kind, Made, Result, Run, Slot, Val, arithmetic, error};
use crate::document::{Body, Content, Key, Layer, LayerId, Layers, Part, Piece};

/// What one layer came to.
enum Outcome {
    /// Its condition does not hold, or it is `None`.
    LeftOut,
    /// Its value.
    Gives(Val),
}

impl<'d> Run<'d> {
    /// Runs the layers of a body in turn and gives what the last one gives.
    pub(super) fn layers_in_turn(
        &mut self,
        ids: &'d [LayerId],
        context: &Context,
        input: Val,
    ) -> Result<Val> {
        let mut flow = input;
        for id in ids {
            let layer = self.document.layer(*id);
            flow = self.layer(layer, context, flow)?;
        }
        // For the body's output.
        let above = Binding::value(flow.clone());
        context.scope.set(crate::names::ABOVE.into(), above);
        Ok(flow)
    }

    /// Runs one layer, all its repetitions included.
    fn layer(&mut self, layer: &'d Layer, context: &Context, flow: Val) -> Result<Val> {
        // A block runs its layers in the middle of a line of the body around it.
        let line = (self.slot.take(), self.current.take());
        let result = self.line(layer, context, flow);
        (self.slot, self.current) = line;
        result
    }

    fn line(&mut self, layer: &'d Layer, context: &Context, flow: Val) -> Result<Val> {
        self.step(1, layer.span)?;
        let (count, repeated) = match self.repetitions(layer, context) {
            Ok(found) => found,
            Err(fail) => {
                self.report(fail)?;
                self.bind(layer, &layer.key, None, Val::Unknown, context);
                return Ok(Val::Unknown);
            }
        };
        if count == 0 {
            self.bind_left_out(layer, context);
            return Ok(flow);
        }
        if let Key::Pattern { stem, .. } = &layer.key {
            let none_yet = Binding::data(Value::List(Vec::new()));
            context.scope.set(stem.clone(), none_yet);
        }
        let mut flow = flow;
        for index in 0..count {
            let inner = match repeated {
                true => Context {
                    scope: self.index_scope(context, index),
                    owner: context.owner,
                },
                false => context.clone(),
            };
            let first_call = self.next_call();
            let first_tensor = self.trace().tensors.len();
            self.current = None;
            let above = Binding::value(flow.clone());
            context.scope.set(crate::names::ABOVE.into(), above);
            let outcome = match self.once(layer, &inner, &flow, index) {
                Ok(outcome) => outcome,
                Err(fail) => {
                    self.report(fail)?;
                    Outcome::Gives(Val::Unknown)
                }
            };
            self.slot = None;
            if layer.no_grad {
                let tensors = &mut self.tracer.builder.trace_mut().tensors;
                for tensor in tensors.iter_mut().skip(first_tensor) {
                    tensor.without_gradient |= matches!(tensor.origin, Origin::Call(_));
                }
            }
            let module = self.current.take();
            let value = match outcome {
                Outcome::LeftOut => {
                    self.bind_left_out(layer, context);
                    continue;
                }
                Outcome::Gives(value) => value,
            };
            self.bind(layer, &layer.key, module, value.clone(), context);
            if let (Content::Expr(expr), Val::Data(value)) = (&layer.content, &value) {
                self.products_of_sizes(layer, expr, value, &inner, first_call);
            }
            let output = match &value {
                Val::Data(value) => value.clone(),
                _ => Value::None,
            };
            let calls = first_call..self.next_call();
            self.made[layer.id.index()].push(Made {
                module,
                calls,
                output,
            });
            // A number among the layers is a name for it, not a step of the network.
            match &value {
                Val::Data(value) if value.tensors().is_empty() => {}
                _ => flow = value,
            }
        }
        Ok(flow)
    }

    pub(super) fn index_scope(&self, context: &Context, index: usize) -> std::rc::Rc<Scope> {
        let scope = Scope::inside(&context.scope);
        scope.set(SmolStr::new_static("i"), Binding::data(index));
        scope
    }

    /// How often a layer is there, and whether that was asked for.
    pub(super) fn repetitions(
        &mut self,
        layer: &'d Layer,
        context: &Context,
    ) -> Result<(usize, bool)> {
        if let Some(when) = &layer.when
            && !self.condition(when, context)?
        {
            return Ok((0, false));
        }
        let pattern = matches!(layer.key, Key::Pattern { .. });
        let count = match (&layer.repeat, &layer.content) {
            (Some(count), _) => Some(count),
            (None, Content::Expr(expr)) => self.repeat_count(expr, pattern, context),
            (None, Content::Body(_)) => None,
        };
        let Some(count) = count else {
            if pattern {
                let span = layer.key_span.unwrap_or(layer.span);
                return error(
                    "a name with {i} needs a repetition, as in \"6 * Block(64)\"",
                    span,
                );
            }
            return Ok((1, false));
        };
        let value = self.count(count, context)?;
        // `blocks = "3 * Block(64)"` is one Sequential of three.
        let grouped = layer.repeat.is_none() && matches!(layer.key, Key::Name(_));
        Ok(if grouped { (1, false) } else { (value, true) })
    }

    /// A number of repetitions.
    pub(super) fn count(&mut self, expr: &'d Expr, context: &Context) -> Result<usize> {
        let value = self.data(expr, context)?;
        let count = match arithmetic::index(&value) {
            Ok(count) => count,
            Err(message) => return error(message, expr.span),
        };
        if count < 0 {
            return error(
                format!("something cannot be repeated {count} times"),
                expr.span,
            );
        }
        match usize::try_from(count) {
            Ok(count) if count <= super::MAX_MODULES => Ok(count),
            _ => error(
                format!(
                    "{count} repetitions are too many: a model has at most {} modules",
                    super::MAX_MODULES
                ),
                expr.span,
            ),
        }
    }

    /// The `3` of `"3 * Block(64)"`.
    pub(super) fn repeat_count<'e>(
        &self,
        expr: &'e Expr,
        pattern: bool,
        context: &Context,
    ) -> Option<&'e Expr> {
        match &expr.kind {
            ExprKind::Binary(BinaryOp::Mul, count, what)
                if pattern || self.is_constructor(what, context) =>
            {
                Some(count)
            }
            _ => None,
        }
    }

    fn condition(&mut self, expr: &'d Expr, context: &Context) -> Result<bool> {
        let value = self.data(expr, context)?;
        arithmetic::truth(&value).or_else(|message| error(message, expr.span))
    }

    /// The `a if test else b` of a line, decided.
    pub(super) fn decided(&mut self, expr: &'d Expr, context: &Context) -> Result<&'d Expr> {
        let mut expr = expr;
        while let ExprKind::IfElse {
            test,
            then,
            otherwise,
        } = &expr.kind
        {
            let holds = self.condition(test, context)?;
            self.taken.insert((expr.span.start, expr.span.end), holds);
            expr = match holds {
                true => then,
                false => otherwise,
            };
        }
        Ok(expr)
    }

    /// The name of a layer's module, and where it stands.
    pub(super) fn module_name(
        &mut self,
        layer: &'d Layer,
        context: &Context,
        next: usize,
    ) -> Result<SmolStr> {
        match &layer.key {
            Key::Name(name) => Ok(name.clone()),
            Key::Next => Ok(next.to_string().into()),
            Key::Unpack(parts) => Ok(Part::written(parts).into()),
            Key::Pattern { pieces, .. } => {
                let mut name = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => name.push_str(text),
                        Piece::Expr(expr) => {
                            let value = self.data(expr, context)?;
                            match value.int() {
                                Some(number) => name.push_str(&number.to_string()),
                                None => name.push_str(&arithmetic::describe(&value)),
                            }
                        }
                    }
                }
                Ok(name.into())
            }
        }
    }

    /// Runs one repetition of a layer.
    fn once(
        &mut self,
        layer: &'d Layer,
        context: &Context,
        flow: &Val,
        index: usize,
    ) -> Result<Outcome> {
        let next = match layer.key {
            Key::Next => self.trace().module(context.owner).children.len(),
            _ => index,
        };
        let slot = Slot {
            owner: Some(context.owner),
            name: self.module_name(layer, context, next)?,
            layer: Some(layer.id),
            span: layer.full_span(),
        };
        let value = match &layer.content {
            Content::Body(body) => {
                let module = self.container(body, slot, context)?;
                Val::Module(module)
            }
            Content::Expr(expr) => {
                let expr = match (
                    &expr.kind,
                    self.repeat_count(expr, index_named(layer), context),
                ) {
                    (ExprKind::Binary(_, _, what), Some(count)) => {
                        if matches!(layer.key, Key::Name(_)) && layer.repeat.is_none() {
                            let count = self.count(count, context)?;
                            let module = self.group(what, count, slot, context)?;
                            return self.apply(layer, module, context, flow);
                        }
                        what
                    }
                    _ => expr,
                };
                let expr = self.decided(expr, context)?;
                if matches!(expr.kind, ExprKind::None) {
                    return Ok(Outcome::LeftOut);
                }
                self.slot = Some(slot);
                self.eval(expr, context)?
            }
        };
        match value {
            Val::Module(module) => self.apply(layer, module, context, flow),
            value => match layer.from {
                Some(_) => error(
                    "'from' is for a module that is not applied to anything yet",
                    layer.span,
                ),
                None => Ok(Outcome::Gives(value)),
            },
        }
    }

    /// Calls a layer's module on what the layer takes.
    fn apply(
        &mut self,
        layer: &'d Layer,
        module: ModuleId,
        context: &Context,
        flow: &Val,
    ) -> Result<Outcome> {
        let explicit = match (&layer.from, &layer.content) {
            (Some(from), _) => Some(from),
            (None, Content::Body(body)) => self.applied_to(body, context)?,
            _ => None,
        };
        if let Some(arguments) = explicit {
            let first_call = self.next_call();
            let given = self.arguments(arguments, context)?;
            let exprs = arguments.iter().map(|argument| &argument.value);
            self.products_in(exprs, context, first_call);
            return self
                .call_module(module, given, layer.span)
                .map(Outcome::Gives);
        }
        let given = match flow {
            Val::Data(value) => super::call::Given::one(value.clone(), layer.span),
            Val::Module(_) => return error("there is nothing to apply this to", layer.span),
            Val::Unknown => return Err(Fail::Poisoned),
        };
        self.call_module(module, given, layer.span)
            .map(Outcome::Gives)
    }

    /// What an array is applied to, where its first item says so: of a condition, by the branch that holds, or by the
    /// other one if the item is left out.
    fn applied_to(
        &mut self,
        body: &'d Body,
        context: &Context,
    ) -> Result<Option<&'d Vec<modelcost_core::expr::Argument>>> {
        if let Layers::Sequence(ids) = &body.layers
            && let Some(first) = ids.first()
            && let Content::Expr(expr) = &self.document.layer(*first).content
            && matches!(expr.kind, ExprKind::IfElse { .. })
        {
            let held = self.decided(expr, context)?;
            if !matches!(held.kind, ExprKind::None) {
                return Ok(self.application(held, context));
            }
        }
        Ok(self.first_application(body, context))
    }

    /// What the first item of an array is applied to: `["Conv2d(64, 64, 1)(input)", …]`.
    fn first_application<'b>(
        &self,
        body: &'b Body,
        context: &Context,
    ) -> Option<&'b Vec<modelcost_core::expr::Argument>>
    where
        'd: 'b,
    {
        let Layers::Sequence(ids) = &body.layers else {
            return None;
        };
        let document = self.document;
        let first = document.layer(*ids.first()?);
        if let Some(from) = &first.from {
            return Some(from);
        }
        match &first.content {
            Content::Expr(expr) => self.application(expr, context),
            Content::Body(body) => self.first_application(body, context),
        }
    }

    /// The second parentheses of `Conv2d(64, 64, 1)(input)`.
    fn application<'b>(
        &self,
        expr: &'b Expr,
        context: &Context,
    ) -> Option<&'b Vec<modelcost_core::expr::Argument>> {
        match &expr.kind {
            ExprKind::Call(callee, arguments) if self.is_constructor(callee, context) => {
                Some(arguments)
            }
            ExprKind::Binary(BinaryOp::Mul, _, what) => self.application(what, context),
            ExprKind::IfElse {
                then, otherwise, ..
            } => {
                let then = self.application(then, context);
                then.or_else(|| self.application(otherwise, context))
            }
            _ => None,
        }
    }

    /// Whether a body is no more than its children in turn.
    pub(super) fn is_chain(&self, body: &Body, context: &Context) -> bool {
        let plain = body.input.is_none()
            && body.modules.is_empty()
            && body.tensors.is_empty()
            && body.output.is_none();
        plain
            && match &body.layers {
                Layers::Named(ids) => ids.iter().all(|id| self.is_plain(*id, context)),
                Layers::Sequence(_) => true,
                Layers::Single(_) => false,
            }
    }

    fn is_plain(&self, id: LayerId, context: &Context) -> bool {
        let layer = self.document.layer(id);
        if layer.from.is_some() || matches!(layer.key, Key::Unpack(_)) {
            return false;
        }
        match &layer.content {
            Content::Body(body) => self.first_application(body, context).is_none(),
            Content::Expr(expr) => self.is_plain_expr(expr, context),
        }
    }

    fn is_plain_expr(&self, expr: &Expr, context: &Context) -> bool {
        match &expr.kind {
            ExprKind::None => true,
            ExprKind::IfElse {
                then, otherwise, ..
            } => self.is_plain_expr(then, context) && self.is_plain_expr(otherwise, context),
            ExprKind::Binary(BinaryOp::Mul, _, what) => self.is_constructor(what, context),
            _ => self.is_constructor(expr, context),
        }
    }

    /// The kind of a body's module by its class.
    pub(super) fn kind_of(class: &str, body: &'d Body, chain: bool) -> Kind<'d> {
        match class {
            "torch.nn.ModuleList"
            | "torch.nn.ModuleDict"
            | "torch.nn.ParameterList"
            | "torch.nn.ParameterDict" => Kind::List,
            _ if chain => Kind::Items,
            _ => Kind::Body(body),
        }
    }
}

/// Whether each repetition has a name of its own.
pub(super) fn index_named(layer: &Layer) -> bool {
    matches!(layer.key, Key::Pattern { .. })
}
