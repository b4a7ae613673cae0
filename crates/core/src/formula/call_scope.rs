//! What a formula may ask about a call.

use super::{EvalError, Quantity, Scope};
use crate::trace::{CallId, Target, TensorId, Trace};
use crate::value::Value;

/// The names that a formula may use about one call.
///
/// | name | value |
/// |---|---|
/// | `in` | the first positional argument, which forward hooks call `input[0]` |
/// | `out` | the output, or the first tensor of several |
/// | `inputs`, `outputs` | all of them |
/// | `training` | `False`: tools run models in eval mode |
/// | parameter names | the arguments of a function or operator; a module's forward arguments |
/// | attribute names | a module's constructor arguments, parameters and buffers |
///
/// It has the functions of an [einsum](crate::einsum::formula_function) too.
pub struct CallScope<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// The call.
    pub call: CallId,
}

impl CallScope<'_> {
    fn tensor(&self, id: TensorId) -> Quantity {
        Quantity::of_tensor(self.trace.tensor(id))
    }

    fn of_module(&self, name: &str) -> Option<Quantity> {
        let Target::Module(id) = self.trace.call(self.call).target else {
            return None;
        };
        let module = self.trace.module(id);
        if let Some((_, parameter)) = module.parameters.iter().find(|(key, _)| key == name) {
            return Some(parameter.map_or(Quantity::None, |id| {
                self.tensor(self.trace.parameter(id).tensor)
            }));
        }
        if let Some((_, value)) = module.attributes.iter().find(|(key, _)| key == name) {
            return Some(Quantity::of_value(self.trace, value));
        }
        let (_, buffer) = module.buffers.iter().find(|(key, _)| key == name)?;
        Some(self.tensor(self.trace.buffers[buffer.index()].tensor))
    }
}

impl Scope for CallScope<'_> {
    fn call(&self, name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
        crate::einsum::formula_function(name, arguments)
    }

    fn get(&self, name: &str) -> Result<Quantity, EvalError> {
        let call = self.trace.call(self.call);
        let found = match name {
            "in" => match call.positional().next() {
                Some(value) => Some(Quantity::of_value(self.trace, value)),
                // A hook is given positional arguments only: `input[0]` of none of them raises.
                None if matches!(call.target, Target::Module(_)) => {
                    return Err(EvalError::Index {
                        index: 0,
                        length: 0,
                    });
                }
                None => None,
            },
            "out" => match (&call.output, call.output.tensors().first()) {
                (Value::Tensor(id), _) | (_, Some(id)) => Some(self.tensor(*id)),
                (other, None) => Some(Quantity::of_value(self.trace, other)),
            },
            "inputs" => Some(Quantity::Seq(
                call.positional()
                    .map(|value| Quantity::of_value(self.trace, value))
                    .collect(),
            )),
            "outputs" => Some(match &call.output {
                Value::Tuple(_) | Value::List(_) | Value::Dict(_) => {
                    Quantity::of_value(self.trace, &call.output)
                }
                single => Quantity::Seq(vec![Quantity::of_value(self.trace, single)]),
            }),
            "training" => Some(Quantity::Bool(false)),
            _ => None,
        };
        found
            .or_else(|| self.of_module(name))
            .or_else(|| {
                call.argument(name)
                    .map(|value| Quantity::of_value(self.trace, value))
            })
            .ok_or_else(|| EvalError::UnknownName(name.into()))
    }
}
