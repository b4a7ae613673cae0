//! The tensors of the trace by what the file calls them.

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Origin, TensorId, TraceBuilder};
use modelcost_core::value::Value;

use crate::infer::{Fact, Program, Scalar, ValueId};

/// Tensors by the value of the model that they are.
#[derive(Default)]
pub(super) struct Values {
    tensors: Vec<Option<TensorId>>,
}

impl Values {
    /// The tensor of a value.
    pub fn tensor(
        &mut self,
        builder: &mut TraceBuilder,
        program: &Program<'_>,
        id: ValueId,
    ) -> TensorId {
        *self.slot(id).get_or_insert_with(|| {
            let fact = program.fact(id);
            builder.tensor(
                fact.shape().map(<[Dim]>::to_vec),
                fact.dtype(),
                Origin::Constant,
            )
        })
    }

    fn slot(&mut self, id: ValueId) -> &mut Option<TensorId> {
        let at = id.0 as usize;
        if at >= self.tensors.len() {
            self.tensors.resize(at + 1, None);
        }
        &mut self.tensors[at]
    }

    /// The tensor of a value, if there is one yet.
    pub fn get(&self, id: ValueId) -> Option<TensorId> {
        self.tensors.get(id.0 as usize).copied().flatten()
    }

    /// Says which tensor a value is.
    pub fn bind(&mut self, id: ValueId, tensor: TensorId) {
        *self.slot(id) = Some(tensor);
    }
}

/// A value as an argument: the integer, if it is a known one, else a tensor.
pub(super) fn integer(fact: &Fact) -> Option<Value> {
    let content = fact.content()?;
    match content.items.as_slice() {
        [Scalar::Int(dim)] if content.shape.len() <= 1 => Some(Value::Int(dim.clone())),
        _ => None,
    }
}
