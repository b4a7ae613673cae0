//! What the names of a layer stand for once it has run.

use modelcost_core::trace::{ModuleId, TensorId};
use modelcost_core::value::Value;

use super::scope::Binding;
use super::{Context, Fail, Run, Val, arithmetic, error};
use crate::document::{Key, Layer, Part};
use modelcost_core::expr::Span;

impl<'d> Run<'d> {
    /// Binds a layer's name.
    pub(super) fn bind(
        &mut self,
        layer: &'d Layer,
        key: &Key,
        module: Option<ModuleId>,
        value: Val,
        context: &Context,
    ) {
        let span = layer.key_span.unwrap_or(layer.span);
        let binding = |value| Binding {
            value: Some(value),
            module,
            left_out: None,
        };
        match key {
            Key::Name(name) => context.scope.set(name.clone(), binding(value)),
            Key::Next => {}
            Key::Pattern { stem, .. } => match value {
                Val::Data(value) => context.scope.push(stem.clone(), value),
                _ => context.scope.set(stem.clone(), binding(Val::Unknown)),
            },
            Key::Unpack(parts) => self.unpack(layer, parts, value, span, context),
        }
    }

    /// Binds the names of `q, k, v = …`, and of `x, (h, c) = …`.
    fn unpack(
        &mut self,
        layer: &'d Layer,
        parts: &[Part],
        value: Val,
        span: Span,
        context: &Context,
    ) {
        let value = match value {
            Val::Data(Value::Tensor(tensor)) => {
                self.unbound_tensor(tensor, parts.len(), layer.span)
            }
            value => value,
        };
        let items = match &value {
            Val::Data(value) => value.items().map(<[Value]>::to_vec),
            _ => None,
        };
        let items = items.filter(|items| items.len() == parts.len());
        if let (Val::Data(value), None) = (&value, &items) {
            let what = match value.items() {
                Some(items) => format!("{} values", items.len()),
                None => arithmetic::describe(value),
            };
            let message = format!("{} names, but the layer gives {what}", parts.len());
            if let Err(Fail::Error(diagnostic)) = error::<()>(message, span) {
                self.note(*diagnostic);
            }
        }
        for (index, part) in parts.iter().enumerate() {
            let item = items.as_ref().map(|items| items[index].clone());
            let value = item.map_or(Val::Unknown, Val::Data);
            match part {
                Part::Name(name) => context.scope.set(name.name.clone(), Binding::value(value)),
                Part::Parts(parts) => self.unpack(layer, parts, value, span, context),
            }
        }
    }

    /// `q, k, v = x` takes a tensor apart along its first dimension.
    fn unbound_tensor(&mut self, tensor: TensorId, names: usize, span: Span) -> Val {
        let whole = Val::Data(Value::Tensor(tensor));
        let first = self
            .sizes(tensor, span)
            .ok()
            .and_then(|sizes| sizes.first()?.int());
        if first.and_then(|first| first.as_usize()) != Some(names) {
            return whole;
        }
        let given = super::call::Given::one(Value::Tensor(tensor), span);
        match self.function("torch.Tensor.unbind", given, span) {
            Ok(parts) => Val::Data(parts),
            Err(_) => whole,
        }
    }

    pub(super) fn bind_left_out(&mut self, layer: &'d Layer, context: &Context) {
        let left_out = Binding {
            value: None,
            module: None,
            left_out: Some(layer.when.as_ref().map_or(layer.span, |when| when.span)),
        };
        match &layer.key {
            Key::Name(name) => context.scope.set(name.clone(), left_out),
            Key::Pattern { stem, .. } if !context.scope.has(stem) => {
                context
                    .scope
                    .set(stem.clone(), Binding::data(Value::List(Vec::new())));
            }
            _ => {}
        }
    }
}
