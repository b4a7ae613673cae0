//! Numbers in the place of products of sizes.

use modelcost_core::dim::Dim;
use modelcost_core::expr::{Argument, Expr, ExprKind};
use modelcost_core::trace::{CallId, Target};
use modelcost_core::value::Value;

use super::Run;
use super::sizes::Reader;

impl<'d> Run<'d> {
    /// Whether a call that shapes a tensor has a number where its `forward` may have a product of the tensor's sizes:
    /// one that is written out, or that is worked out of Python's numbers beside others that are written out.
    pub(super) fn hides_a_product(
        &mut self,
        expr: &Expr,
        arguments: &'d [Argument],
        reader: &Reader<'_>,
    ) -> bool {
        let trace = self.tracer.builder.trace();
        let made = (reader.first_call.index()..trace.calls.len())
            .map(CallId::new)
            .find(|call| trace.call(*call).span == Some(expr.span));
        let Some(call) = made.map(|call| trace.call(call)) else {
            return false;
        };
        let shape = |value: &Value| {
            let tensor = value.tensor()?;
            trace.tensor(tensor).shape.clone()
        };
        let is_function = matches!(call.target, Target::Function(_));
        let (Some(before), Some(after), true) = (
            call.arguments.first().and_then(|a| shape(&a.value)),
            shape(&call.output),
            is_function,
        ) else {
            return false;
        };
        let items = written_sizes(arguments);
        let out_of = after.len().saturating_sub(items.len());
        let written_out = |item: &Expr| matches!(item.kind, ExprKind::Int(value) if value > 1);
        let all_out = items.first().is_some_and(|first| written_out(first));
        items
            .iter()
            .zip(after.iter().skip(out_of))
            .any(|(item, size)| {
                let plain = written_out(item) || all_out && is_arithmetic(item);
                plain && !before.contains(size) && joins(&before, size)
            })
    }

    /// Whether a call that makes or repeats a tensor has a number, written out, that is a product of sizes of the body's
    /// tensors: `torch.arange(196)`.
    pub(super) fn may_be_a_product(&self, arguments: &[Argument], reader: &Reader<'_>) -> bool {
        let numbers: Vec<Dim> = written_sizes(arguments)
            .into_iter()
            .filter_map(|item| match item.kind {
                ExprKind::Int(number) if number > 1 => Some(Dim::Const(number)),
                _ => None,
            })
            .collect();
        if numbers.is_empty() {
            return false;
        }
        let trace = self.trace();
        let tensors = reader.context.scope.tensors();
        let mut shapes = tensors
            .iter()
            .filter_map(|tensor| trace.tensor(*tensor).shape.as_deref());
        shapes.any(|shape| numbers.iter().any(|number| joins(shape, number)))
    }
}

/// The sizes that a call writes, one by one or as a tuple.
fn written_sizes(arguments: &[Argument]) -> Vec<&Expr> {
    let mut out = Vec::new();
    for argument in arguments {
        match &argument.value.kind {
            ExprKind::Tuple(items) | ExprKind::List(items) => out.extend(items),
            ExprKind::Name(_) => {}
            _ => out.push(&argument.value),
        }
    }
    out
}

/// Whether an expression is arithmetic of numbers alone.
fn is_arithmetic(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Int(_) => true,
        ExprKind::Binary(_, a, b) => is_arithmetic(a) && is_arithmetic(b),
        _ => false,
    }
}

/// Whether a size is the product of two or more neighbours among others.
fn joins(shape: &[Dim], size: &Dim) -> bool {
    (0..shape.len()).any(|first| {
        let mut product = shape[first].clone();
        shape[first] != Dim::ONE
            && shape[first + 1..].iter().any(|next| {
                product *= next;
                *next != Dim::ONE && product == *size
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours() {
        let shape: Vec<Dim> = [2, 1, 8, 16].map(Dim::from).to_vec();
        assert!(joins(&shape, &Dim::from(16)));
        assert!(joins(&shape, &Dim::from(128)));
        assert!(joins(&shape, &Dim::from(256)));
        assert!(!joins(&shape, &Dim::from(8)));
        assert!(!joins(&shape, &Dim::from(32)));
    }
}
