//! The items of arrays and lists: made first, called in turn.

use modelcost_core::expr::{BinaryOp, Expr, ExprKind, Span};
use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;

use super::call::Given;
use super::layers::index_named;
use super::scope::Binding;
use super::{Context, Fail, Made, Result, Run, Slot, Val, error};
use crate::document::{Content, Key, Layer, LayerId};

const FUNCTION: &str = "the items of an array are modules: put a function in a table, or use a module such as Flatten()";

const ITEM: &str = "an item of an array takes the one before it: only the first can say what it is applied to; give the array's layers names in a table instead";

const APPLIED: &str = "each of these takes what the one before it gives: to give them more, make the list under 'modules' and call its items in turn, as in \"x{i + 1}\" = \"2 * blocks[i](_, mask)\"";

impl<'d> Run<'d> {
    /// Makes the children of a Sequential or a list.
    pub(super) fn build_items(
        &mut self,
        ids: &'d [LayerId],
        owner: ModuleId,
        context: &Context,
    ) -> Result<()> {
        let context = Context {
            scope: context.scope.clone(),
            owner,
        };
        for (position, id) in ids.iter().enumerate() {
            let layer = self.document.layer(*id);
            if let Err(fail) = self.item(layer, position == 0, &context) {
                self.report(fail)?;
                self.mark_broken(owner);
            }
            self.slot = None;
        }
        Ok(())
    }

    /// What comes after an item that could not be made has an unknown input.
    pub(super) fn mark_broken(&mut self, module: ModuleId) {
        let count = self.trace().module(module).children.len();
        if let Some(instance) = self.instances[module.index()].as_mut() {
            instance.broken.get_or_insert(count);
        }
    }

    pub(super) fn item(&mut self, layer: &'d Layer, first: bool, context: &Context) -> Result<()> {
        self.step(1, layer.span)?;
        let (count, repeated) = self.repetitions(layer, context)?;
        for index in 0..count {
            let context = match repeated {
                true => Context {
                    scope: self.index_scope(context, index),
                    owner: context.owner,
                },
                false => context.clone(),
            };
            let next = self.trace().module(context.owner).children.len();
            let slot = Slot {
                owner: Some(context.owner),
                name: self.module_name(layer, &context, next)?,
                layer: Some(layer.id),
                span: layer.full_span(),
            };
            if !first && layer.from.is_some() {
                return error(ITEM, layer.span);
            }
            let module = match &layer.content {
                Content::Body(body) => Some(self.container(body, slot, &context)?),
                Content::Expr(expr) => self.item_module(layer, expr, first, slot, &context)?,
            };
            if let Some(module) = module {
                let calls = self.next_call()..self.next_call();
                self.made[layer.id.index()].push(Made {
                    module: Some(module),
                    calls,
                    output: Value::None,
                });
            }
        }
        Ok(())
    }

    pub(super) fn item_module(
        &mut self,
        layer: &'d Layer,
        expr: &'d Expr,
        first: bool,
        slot: Slot,
        context: &Context,
    ) -> Result<Option<ModuleId>> {
        let expr = match (
            &expr.kind,
            self.repeat_count(expr, index_named(layer), context),
        ) {
            (ExprKind::Binary(_, _, what), Some(count)) => {
                if matches!(layer.key, Key::Name(_)) && layer.repeat.is_none() {
                    let count = self.count(count, context)?;
                    return self.group(what, count, slot, context).map(Some);
                }
                what
            }
            _ => expr,
        };
        let expr = self.decided(expr, context)?;
        let expr = match &expr.kind {
            ExprKind::Call(callee, _) if self.is_constructor(callee, context) => match first {
                true => callee,
                false => return error(ITEM, expr.span),
            },
            _ => expr,
        };
        self.make_item(expr, slot, context)
    }

    /// Makes one child from an expression that stands for a module.
    pub(super) fn make_item(
        &mut self,
        expr: &'d Expr,
        slot: Slot,
        context: &Context,
    ) -> Result<Option<ModuleId>> {
        if matches!(expr.kind, ExprKind::None) {
            return Ok(None);
        }
        // A module of another line, once more: `["pair", "pair"]`.
        if let Some(module) = self.module_of(expr, context)? {
            self.add_child(&slot, module);
            return Ok(Some(module));
        }
        let is_function = match &expr.kind {
            ExprKind::Call(callee, _) => {
                !self.is_constructor(expr, context) && !matches!(callee.kind, ExprKind::Name(_))
            }
            ExprKind::Name(_) | ExprKind::Error => false,
            _ => true,
        };
        if is_function {
            let once = match &expr.kind {
                ExprKind::Binary(BinaryOp::Mul, _, what) => what,
                _ => expr,
            };
            let applied = matches!(&once.kind, ExprKind::Call(callee, _) if self.is_constructor(callee, context));
            return error(if applied { APPLIED } else { FUNCTION }, expr.span);
        }
        self.slot = Some(slot);
        match self.eval(expr, context)? {
            Val::Module(module) => Ok(Some(module)),
            Val::Unknown => Err(Fail::Poisoned),
            Val::Data(Value::Opaque(class)) if self.class_named(&class).is_some() => {
                let name = expr.dotted_name().unwrap_or(class);
                error(
                    format!("{name} is a class: call it, as in {name}()"),
                    expr.span,
                )
            }
            Val::Data(_) => error(FUNCTION, expr.span),
        }
    }

    /// Makes the declared modules of a body, which are not called in turn.
    pub(super) fn declared(&mut self, ids: &'d [LayerId], context: &Context) -> Result<()> {
        // A block makes its modules in the middle of a line of the body around it.
        let line = (self.slot.take(), self.current.take());
        for id in ids {
            let layer = self.document.layer(*id);
            if let Err(fail) = self.declare(layer, context) {
                self.report(fail)?;
            }
            (self.slot, self.current) = (None, None);
        }
        (self.slot, self.current) = line;
        Ok(())
    }

    pub(super) fn declare(&mut self, layer: &'d Layer, context: &Context) -> Result<()> {
        let before = self.trace().module(context.owner).children.len();
        if let Some(module) = self.rerun_child(layer, context) {
            self.bind_module(layer, Some(module), context);
            return Ok(());
        }
        let result = self.item(layer, false, context);
        let children = &self.trace().module(context.owner).children;
        let module = children.get(before).map(|(_, module)| *module);
        match module {
            None if result.is_ok() => self.bind_left_out(layer, context),
            module => self.bind_module(layer, module, context),
        }
        result
    }

    pub(super) fn rerun_child(&self, layer: &Layer, context: &Context) -> Option<ModuleId> {
        let built = self.instance(context.owner)?.built;
        match &layer.key {
            Key::Name(name) if built => self.child(context.owner, name),
            _ => None,
        }
    }

    pub(super) fn bind_module(
        &mut self,
        layer: &'d Layer,
        module: Option<ModuleId>,
        context: &Context,
    ) {
        if let Key::Name(name) = &layer.key {
            context.scope.set(
                name.clone(),
                Binding {
                    value: module.is_none().then_some(Val::Unknown),
                    module,
                    left_out: None,
                },
            );
        }
    }

    /// Calls the children of a Sequential, or of a list in its place, in turn.
    pub(super) fn items_in_turn(
        &mut self,
        module: ModuleId,
        input: Val,
        span: Span,
    ) -> Result<Val> {
        let children = self.trace().module(module).children.clone();
        let broken = self.instance(module).and_then(|instance| instance.broken);
        let mut flow = input;
        for (index, (_, child)) in children.into_iter().enumerate() {
            let value = match flow {
                Val::Data(value) if broken != Some(index) => value,
                _ => return Ok(Val::Unknown),
            };
            let span = self.maker_span(child).unwrap_or(span);
            let first_call = self.next_call();
            let given = Given::one(value, span);
            flow = match self.call_module(child, given, span) {
                Ok(value) => value,
                Err(fail) => {
                    self.report(fail)?;
                    Val::Unknown
                }
            };
            self.note_call(child, first_call, &flow);
        }
        match broken {
            Some(_) => Ok(Val::Unknown),
            None => Ok(flow),
        }
    }

    pub(super) fn maker_span(&self, module: ModuleId) -> Option<Span> {
        let (layer, _) = self.makers.get(module.index()).copied().flatten()?;
        Some(self.document.layer(layer).span)
    }

    /// Adds a call to what the module's own line is known to have made.
    pub(super) fn note_call(
        &mut self,
        module: ModuleId,
        first: modelcost_core::trace::CallId,
        value: &Val,
    ) {
        let Some((layer, index)) = self.makers.get(module.index()).copied().flatten() else {
            return;
        };
        let calls = first..self.next_call();
        let made = &mut self.made[layer.index()];
        let output = match value {
            Val::Data(value) => value.clone(),
            _ => Value::None,
        };
        // Made before it was called.
        match made.get_mut(index) {
            Some(made) if made.module == Some(module) && made.calls.is_empty() => {
                made.calls = calls;
                made.output = output;
            }
            _ => made.push(Made {
                module: Some(module),
                calls,
                output,
            }),
        }
    }
}
