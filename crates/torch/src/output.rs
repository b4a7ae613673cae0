//! What a call gives, said by whoever makes it.

use modelcost_core::dtype::DType;
use modelcost_core::expr::Span;
use modelcost_core::trace::{Shape, Target};
use modelcost_core::value::Value;

use crate::error::Result;
use crate::signature::Arguments;
use crate::tracer::Tracer;
use crate::{dispatch, functions, operators};

/// The output of a call, without the tensors themselves.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A tensor of this shape and type.
    Tensor(Shape, DType),
    /// Several outputs.
    Several(Vec<Output>),
    /// What is not a tensor.
    Other(Value),
}

impl Output {
    /// Makes the tensors.
    pub(crate) fn make(&self, tracer: &mut Tracer) -> Result<Value> {
        match self {
            Output::Tensor(shape, dtype) => tracer.new_tensor(shape.clone(), *dtype),
            Output::Several(items) => {
                let items = items.iter().map(|item| item.make(tracer));
                Ok(Value::Tuple(items.collect::<Result<_>>()?))
            }
            Output::Other(value) => Ok(value.clone()),
        }
    }
}

impl Tracer {
    /// Calls an operator whose output is said, for those that the vocabulary has no rule for, or
    /// none that takes these arguments.
    pub fn call_operator_giving(
        &mut self,
        name: &str,
        args: &Arguments,
        output: &Output,
    ) -> Result<Value> {
        self.check_depth()?;
        let bound = operators::find(name)
            .and_then(|(entry, _)| entry.signature().bind(args.clone(), &[]))
            .unwrap_or_else(|_| args.unbound(name));
        let target = Target::Operator(name.into());
        let call = self.builder.begin(target, Vec::new(), None);
        let result = output.make(self);
        if let Ok(output) = &result {
            dispatch::expand(&mut self.builder, name, bound.arguments(), output);
        }
        self.close(call, bound, result)
    }

    /// Calls a function whose output is said. The operator of the same name, if there is one, is
    /// what it calls.
    pub fn call_function_giving(
        &mut self,
        name: &str,
        args: &Arguments,
        span: Option<Span>,
        output: &Output,
    ) -> Result<Value> {
        let found = functions::find(name)?;
        let bound = found.entry.signature().bind(args.clone(), &[])?;
        self.check_depth()?;
        let short = found.name().rsplit('.').next().unwrap_or_default();
        let operator = operators::find_short(short);
        let target = Target::Function(found.name().clone());
        let call = self.builder.begin(target, Vec::new(), span);
        let result = match operator {
            Some((entry, in_place)) => {
                let arguments = bound.as_given_to(entry.signature());
                self.call_operator_giving(entry.name(in_place), &arguments, output)
            }
            None => output.make(self),
        };
        self.close(call, bound, result)
    }
}
