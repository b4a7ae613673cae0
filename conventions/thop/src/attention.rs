//! The quantities of `count_multihead_attention`.
//!
//! | name | value |
//! |---|---|
//! | `batch_size`, `tgt_len` | of the output |
//! | `attended` | key positions: those of the returned weights, or of the key and what is appended |
//! | `src_len` | those of the key: `attended` without `bias_k` and a zero, which add one position each |
//! | `embed_dim`, `num_heads`, `kdim`, `vdim` | of the module; of a function's arguments |

use modelcost_core::dim::Dim;
use modelcost_core::formula::{EvalError, Quantity};
use modelcost_core::trace::{Call, CallId, Passed, Target, Trace};
use modelcost_core::value::Value;

use crate::ultralytics::shape_of;

/// A call of `nn.MultiheadAttention`, or of the function underneath.
pub struct Attention<'a> {
    trace: &'a Trace,
    call: &'a Call,
}

impl<'a> Attention<'a> {
    /// The attention that a call is, if it is one.
    pub fn of(trace: &'a Trace, id: CallId) -> Option<Attention<'a>> {
        let call = trace.call(id);
        let is_attention = match &call.target {
            Target::Module(module) => {
                let class = &trace.module(*module).class;
                class.is("torch.nn.MultiheadAttention")
            }
            Target::Function(name) => name == "torch.nn.functional.multi_head_attention_forward",
            Target::Operator(_) => false,
        };
        is_attention.then_some(Attention { trace, call })
    }

    /// A named quantity; `None` if the name is none of attention's own.
    pub fn get(&self, name: &str) -> Option<Result<Quantity, EvalError>> {
        let value = match name {
            "batch_size" => self.batch_size(),
            "tgt_len" => self.tgt_len(),
            "attended" => self.attended(),
            "src_len" => self.src_len(),
            "embed_dim" if self.is_function() => self.number("embed_dim_to_check"),
            "num_heads" if self.is_function() => self.number("num_heads"),
            "kdim" if self.is_function() => self.last("key"),
            "vdim" if self.is_function() => self.last("value"),
            _ => return None,
        };
        Some(match value {
            Some(dim) => Ok(Quantity::Int(dim)),
            None => Err(EvalError::UnknownName(name.into())),
        })
    }

    fn is_function(&self) -> bool {
        matches!(self.call.target, Target::Function(_))
    }

    fn number(&self, name: &str) -> Option<Dim> {
        self.call.argument(name)?.int()
    }

    fn last(&self, name: &str) -> Option<Dim> {
        shape_of(self.trace, self.call.argument(name))?
            .last()
            .cloned()
    }

    /// The function is not told about `batch_first`, and takes the sequence first.
    fn batch_first(&self) -> bool {
        let Target::Module(module) = self.call.target else {
            return false;
        };
        self.trace.attribute(module, "batch_first") == Some(&Value::Bool(true))
    }

    /// Key positions that the call appends after its projections.
    fn appended(&self) -> Dim {
        let is_given = |value: Option<&Value>| value.is_some_and(|value| !value.is_none());
        let is_true = |value: Option<&Value>| value == Some(&Value::Bool(true));
        let (bias, zero) = match self.call.target {
            Target::Module(module) => {
                let parameters = &self.trace.module(module).parameters;
                let mut parameters = parameters.iter();
                let bias =
                    parameters.any(|(name, parameter)| name == "bias_k" && parameter.is_some());
                (bias, is_true(self.trace.attribute(module, "add_zero_attn")))
            }
            _ => (
                is_given(self.call.argument("bias_k")),
                is_true(self.call.argument("add_zero_attn")),
            ),
        };
        Dim::from(i32::from(bias) + i32::from(zero))
    }

    fn output(&self) -> Option<Vec<Dim>> {
        let output = match self.call.output.items() {
            Some(items) => items.first(),
            None => Some(&self.call.output),
        };
        shape_of(self.trace, output)
    }

    fn tgt_len(&self) -> Option<Dim> {
        let output = self.output()?;
        if self.batch_first() || output.len() == 2 {
            return output.iter().rev().nth(1).cloned();
        }
        output.first().cloned()
    }

    fn batch_size(&self) -> Option<Dim> {
        let output = self.output()?;
        match output.len() {
            2 => Some(Dim::ONE),
            _ => output.get(usize::from(!self.batch_first())).cloned(),
        }
    }

    fn attended(&self) -> Option<Dim> {
        let weights = self.call.output.items().and_then(|items| items.get(1));
        if let Some(weights) = shape_of(self.trace, weights) {
            return weights.last().cloned();
        }
        Some(self.src_len()? + &self.appended())
    }

    fn src_len(&self) -> Option<Dim> {
        let given = self.call.arguments.iter();
        let mut given = given.filter(|argument| argument.passed != Passed::Default);
        let key = match self.call.argument("key") {
            Some(key) => key,
            None => &given.nth(1)?.value,
        };
        let key = shape_of(self.trace, Some(key))?;
        let length = if self.batch_first() || key.len() == 2 {
            key.iter().rev().nth(1)
        } else {
            key.first()
        };
        length.cloned()
    }
}
