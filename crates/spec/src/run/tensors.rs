//! Parameters and buffers that a body holds itself, and shapes.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::expr::{Ident, Span};
use modelcost_core::fidelity::Level;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::scope::Binding;
use super::{Context, Result, Run, Val, error};
use crate::document::{Body, Size};

impl<'d> Run<'d> {
    /// Makes the parameters and buffers that a body holds itself.
    pub(super) fn tensors(&mut self, body: &'d Body, context: &Context) -> Result<()> {
        let owner = context.owner;
        for tensor in &body.tensors {
            let name = tensor.name.name.clone();
            let path = self.path(Some(owner), &name);
            let known = match tensor.shape.iter().any(Size::is_unknown) {
                true => Ok(self.unknown_shape(&path)),
                false => self.sizes_of(&tensor.shape, context),
            };
            let shape = match known {
                Ok(shape) => shape,
                Err(fail) => {
                    self.report(fail)?;
                    continue;
                }
            };
            let dtype = dtype_of(&tensor.dtype);
            let builder = &mut self.tracer.builder;
            if tensor.buffer {
                let id = builder.buffer(owner, name, path, shape, dtype);
                builder.trace_mut().buffers[id.index()].persistent = tensor.flag;
            } else {
                let id = builder.parameter(owner, name, path, shape, dtype);
                builder.trace_mut().parameters[id.index()].requires_grad &= tensor.flag;
            }
        }
        Ok(())
    }

    /// The shape of what nobody knows the shape of: that many elements.
    fn unknown_shape(&mut self, path: &str) -> Shape {
        // A spec that says how it is incomplete has said this too.
        let fidelity = &mut self.tracer.builder.trace_mut().fidelity;
        if fidelity.level < Level::Partial {
            let note = "the spec does not say the shape of a parameter or buffer";
            fidelity.note(Level::Partial, note);
        }
        vec![Dim::unknown(path)]
    }

    /// Binds the names of the parameters and buffers that a body holds itself.
    pub(super) fn bind_tensors(&mut self, body: &'d Body, context: &Context) {
        for tensor in &body.tensors {
            let value = self
                .held(context.owner, &tensor.name.name)
                .map_or(Val::Unknown, Val::Data);
            let binding = Binding::value(value);
            context.scope.set(tensor.name.name.clone(), binding);
        }
    }

    /// The sizes of a shape.
    pub(super) fn sizes_of(&mut self, sizes: &'d [Size], context: &Context) -> Result<Shape> {
        let mut shape = Shape::with_capacity(sizes.len());
        for size in sizes {
            let value = self.data(&size.value, context)?;
            shape.push(self::size(&value, size.value.span)?);
        }
        if let (Some(first), Some(last)) = (sizes.first(), sizes.last()) {
            check_numel(&shape, first.value.span.to(last.value.span))?;
        }
        Ok(shape)
    }
}

/// A possible size of a dimension.
pub(super) fn size(value: &Value, span: Span) -> Result<Dim> {
    let Some(dim) = value.int() else {
        let found = super::arithmetic::describe(value);
        return error(format!("a size is an integer, not {found}"), span);
    };
    check_size(&dim, span)?;
    Ok(dim)
}

/// A size must be a possible one.
pub(super) fn check_size(dim: &Dim, span: Span) -> Result<()> {
    match dim.as_const() {
        Some(size) if size < 0 => error(format!("a size cannot be {size}"), span),
        _ if dim.is_overflow() => error("this size overflows 128 bits", span),
        _ => Ok(()),
    }
}

/// More elements than PyTorch can count are a mistake.
pub(super) fn check_numel(shape: &[Dim], span: Span) -> Result<()> {
    let numel = Dim::product(shape);
    let too_many = numel
        .as_const()
        .is_some_and(|numel| i64::try_from(numel).is_err());
    match too_many || numel.is_overflow() {
        true => {
            let shape = modelcost_torch::show::shape(shape);
            error(
                format!("a tensor of {shape} has more elements than 64 bits can count"),
                span,
            )
        }
        false => Ok(()),
    }
}

pub(super) fn dtype_of(name: &Option<Ident>) -> DType {
    let parsed = name.as_ref().and_then(|name| name.name.parse().ok());
    parsed.unwrap_or(DType::Float32)
}
