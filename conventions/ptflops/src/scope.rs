//! What ptflops's formulas ask beyond a call's own names.
//!
//! | name | value |
//! |---|---|
//! | `q`, `k`, `v` | the three positional arguments of an attention |
//! | `n`, `batch` | the position of its sequence among the dimensions, and its batch size |
//! | `head_dim`, `num_heads` | of timm's attention, where the file keeps no attributes: as its heads were split |
//! | `layers(prefix)` | elements of the parameters `prefix0`, `prefix1`, … of a recurrent layer, one direction |
//! | `truncated_product(numbers)` | the product of the whole parts |

use modelcost_core::dim::Dim;
use modelcost_core::formula::{CallScope, EvalError, Quantity, Scope};
use modelcost_core::patched::PatchedScope;
use modelcost_core::trace::{ModuleId, Target};
use modelcost_core::value::Value;

/// The names that a module hook's formula may use.
pub struct HookScope<'a> {
    /// The call.
    pub call: CallScope<'a>,
    /// Whether ptflops passed its arguments by keyword, so that the hook is given none.
    pub by_keyword: bool,
}

impl HookScope<'_> {
    fn module(&self) -> Option<ModuleId> {
        match self.call.trace.call(self.call.call).target {
            Target::Module(module) => Some(module),
            _ => None,
        }
    }

    fn input(&self, index: i64) -> Result<Quantity, EvalError> {
        let Quantity::Seq(inputs) = self.get("inputs")? else {
            return Err(EvalError::UnknownName("inputs".into()));
        };
        let length = inputs.len();
        let input = usize::try_from(index).ok().and_then(|at| inputs.get(at));
        input.cloned().ok_or(EvalError::Index { index, length })
    }

    fn batch_first(&self) -> bool {
        matches!(self.call.get("batch_first"), Ok(Quantity::Bool(true)))
    }

    /// The sizes of the query in the first attention product inside the call: batch, heads,
    /// positions, size of a head.
    fn heads(&self, dimension: usize) -> Result<Quantity, EvalError> {
        let trace = self.call.trace;
        let functions = [
            "torch.nn.functional.scaled_dot_product_attention",
            "operator.matmul",
        ];
        let query = trace.inside(self.call.call).find_map(|(_, call)| {
            let Target::Function(name) = &call.target else {
                return None;
            };
            let first = call.arguments.first()?.value.tensor();
            functions.contains(&name.as_str()).then_some(first)?
        });
        let shape = query.and_then(|query| trace.tensor(query).shape.clone());
        match shape {
            Some(shape) if shape.len() == 4 => Ok(Quantity::Int(shape[dimension].clone())),
            _ => Err(EvalError::UnknownName("head_dim".into())),
        }
    }
}

impl Scope for HookScope<'_> {
    fn get(&self, name: &str) -> Result<Quantity, EvalError> {
        match name {
            "in" if self.by_keyword => self.input(0),
            "inputs" if self.by_keyword => Ok(Quantity::Seq(Vec::new())),
            "q" => self.input(0),
            "k" => self.input(1),
            "v" => self.input(2),
            "n" => Ok(Quantity::Int(Dim::from(i32::from(self.batch_first())))),
            "batch" => match self.input(0)? {
                Quantity::Tensor {
                    shape: Some(shape), ..
                } => {
                    let index = i64::from(!self.batch_first());
                    let size = shape.get(index as usize).cloned().map(Quantity::Int);
                    size.ok_or(EvalError::Index {
                        index,
                        length: shape.len(),
                    })
                }
                _ => Err(EvalError::UnknownShape("the query".into())),
            },
            "num_heads" => self.call.get(name).or_else(|_| self.heads(1)),
            "head_dim" => self.call.get(name).or_else(|_| self.heads(3)),
            _ => self.call.get(name),
        }
    }

    fn call(&self, name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
        let ("layers", [Quantity::Str(prefix)]) = (name, arguments) else {
            return None;
        };
        let trace = self.call.trace;
        let module = trace.module(self.module()?);
        let layers = module.parameters.iter().filter(|(name, _)| {
            let layer = name.strip_prefix(prefix.as_str());
            layer.is_some_and(|layer| layer.parse::<usize>().is_ok())
        });
        let sizes = layers
            .filter_map(|(_, parameter)| *parameter)
            .map(|parameter| Dim::product(&trace.parameter(parameter).shape));
        Some(Ok(Quantity::Int(sizes.sum())))
    }
}

/// The names that a function handler's formula may use.
pub struct HandlerScope<'a>(pub PatchedScope<'a>);

impl Scope for HandlerScope<'_> {
    fn get(&self, name: &str) -> Result<Quantity, EvalError> {
        match self.0.get(name)? {
            // A scale of 2.0 keeps symbolic sizes exact as a 2 does.
            Quantity::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
                Ok(Quantity::Int(Dim::from(value as i64)))
            }
            other => Ok(other),
        }
    }

    fn call(&self, name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
        let ("truncated_product", [Quantity::Seq(numbers)]) = (name, arguments) else {
            return self.0.call(name, arguments);
        };
        let mut product = Dim::ONE;
        for number in numbers {
            product = match number {
                Quantity::Int(number) => product * number,
                Quantity::Float(number) if number.abs() < 1e15 => {
                    product * Dim::from(number.trunc() as i64)
                }
                _ => return Some(Err(EvalError::Type("a scale must be a number".into()))),
            };
        }
        Some(Ok(Quantity::Int(product)))
    }
}

/// Python's `len()` of what the root is called with, if it has one.
pub fn batch_size(trace: &modelcost_core::trace::Trace, value: &Value) -> Option<Dim> {
    match value {
        Value::Tensor(id) => trace.tensor(*id).shape.as_ref()?.first().cloned(),
        Value::Tuple(items) | Value::List(items) => Some(Dim::from(items.len())),
        Value::Dict(items) => Some(Dim::from(items.len())),
        _ => None,
    }
}
