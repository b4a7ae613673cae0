//! Operators by the names that PyTorch has for them: `torch.ops.aten.relu(x)`.
//!
//! One that the vocabulary does not know says what it gives:
//! `torch.ops.torchvision.nms(boxes, scores, 0.5, returns=(100,))`. So may any function.

use modelcost_core::dtype::DType;
use modelcost_core::expr::Span;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;
use modelcost_torch::Output;

use super::call::Given;
use super::tensors::{check_numel, size};
use super::{Result, Run, arithmetic, error};
use crate::catalogue;

/// The argument that says what an operator gives.
pub(crate) const RETURNS: &str = "returns";

impl Run<'_> {
    /// Calls an operator.
    pub(super) fn operator(&mut self, name: &str, mut given: Given, span: Span) -> Result<Value> {
        let own = name.strip_prefix("torch.ops.").unwrap_or(name);
        let output = output(&mut given)?;
        if output.is_none() && catalogue::operator(name).is_none() {
            return Err(self.unknown_dotted(name, span));
        }
        let call = self.next_call();
        let arguments = given.arguments();
        let called = match output {
            Some(output) => self.tracer.call_operator_giving(own, &arguments, &output),
            None => self.tracer.call_operator(own, &arguments),
        };
        let calls = &mut self.tracer.builder.trace_mut().calls;
        if let Some(call) = calls.get_mut(call.index()) {
            call.span = Some(span);
        }
        match called {
            Ok(value) => {
                self.step(1, span)?;
                Ok(value)
            }
            Err(torch) => Err(self.torch_error(torch, &given, span)),
        }
    }
}

/// What a call is said to give; that is no argument of what is called.
pub(super) fn output(given: &mut Given) -> Result<Option<Output>> {
    let mut names = given.keyword.iter();
    let Some(at) = names.position(|(name, ..)| name.name == RETURNS) else {
        return Ok(None);
    };
    let (_, value, span) = given.keyword.remove(at);
    said(&value, span).map(Some)
}

/// A shape in parentheses; `dict(shape=…, dtype=…)`; several of those in brackets; `None`.
fn said(value: &Value, span: Span) -> Result<Output> {
    let expected = |value: &Value| {
        let found = arithmetic::describe(value);
        error(
            format!(
                "what an operator returns is a shape, (1, 64), or a list of shapes, not {found}"
            ),
            span,
        )
    };
    match value {
        Value::Tuple(sizes) => Ok(Output::Tensor(shape(sizes, span)?, DType::Float32)),
        Value::List(items) => {
            let items = items.iter().map(|item| said(item, span));
            Ok(Output::Several(items.collect::<Result<_>>()?))
        }
        Value::Dict(entries) => {
            let entry = |name: &str| {
                let mut entries = entries.iter();
                entries.find(|(own, _)| own == name).map(|(_, value)| value)
            };
            match (entry("shape"), entry("dtype"), entries.len()) {
                (Some(Value::Tuple(sizes)), Some(Value::DType(dtype)), 2) => {
                    Ok(Output::Tensor(shape(sizes, span)?, *dtype))
                }
                _ => expected(value),
            }
        }
        Value::None | Value::Bool(_) | Value::Float(_) | Value::Str(_) | Value::Int(_) => {
            Ok(Output::Other(value.clone()))
        }
        _ => expected(value),
    }
}

fn shape(sizes: &[Value], span: Span) -> Result<Shape> {
    let mut shape = Shape::with_capacity(sizes.len());
    for value in sizes {
        shape.push(size(value, span)?);
    }
    check_numel(&shape, span)?;
    Ok(shape)
}
