//! What tensors are called in a body.

use modelcost_core::trace::{TensorId, Trace};
use modelcost_core::value::Value;

use super::{Maker, State, Steps};
use crate::write::expression::{self, Expression, Tensors};
use crate::write::pieces::{Given, Pieces, call, text};

impl Tensors for Steps<'_, '_> {
    fn tensor(&mut self, tensor: TensorId) -> Option<Expression> {
        if let Some(maker) = self.makers.get(&tensor).cloned() {
            match maker {
                Maker::Given(expression) => return Some(expression),
                Maker::Step(step, path) => match &self.states[step] {
                    State::Named(name) => return Some(Expression::name(format!("{name}{path}"))),
                    State::Nameless if path == "_" && self.flow == Some(tensor) => {
                        return Some(Expression::name("_"));
                    }
                    _ => {
                        if let Some(expression) = self.ready.get(&step) {
                            return Some(expression.clone());
                        }
                    }
                },
            }
        }
        let owners = self.lift.owners.get(&tensor).cloned().unwrap_or_default();
        for (owner, name) in owners {
            if owner == self.module {
                return Some(Expression::name(name.as_str()));
            }
            if let Some(path) = self.module_path(owner) {
                return Some(Expression::name(format!("{path}.{name}")));
            }
        }
        Shapes(self.trace).tensor(tensor)
    }
}

/// Stands for any tensor by its shape alone.
pub(super) struct Shapes<'t>(pub(super) &'t Trace);

impl Tensors for Shapes<'_> {
    fn tensor(&mut self, tensor: TensorId) -> Option<Expression> {
        let found = self.0.tensor(tensor);
        let shape = found.shape.as_ref()?;
        let sizes = Value::Tuple(shape.iter().cloned().map(Value::Int).collect());
        let sizes = expression::value(&sizes, "size", &mut AnyName)?;
        let mut given = vec![Given::position(sizes.pieces)];
        match found.dtype {
            None | Some(modelcost_core::dtype::DType::Float32) => {}
            Some(dtype) => given.push(Given::keyword("dtype", text(format!("torch.{dtype}")))),
        }
        Some(Expression::tight(call(text("torch.zeros"), given)))
    }
}

/// Gives every tensor a name, to see whether a call can be written at all.
pub(super) struct AnyName;

impl Tensors for AnyName {
    fn tensor(&mut self, _: TensorId) -> Option<Expression> {
        Some(Expression::name("x"))
    }
}

/// Notes which tensors an expression uses.
pub(super) struct Recorder(pub(super) Vec<TensorId>);

impl Tensors for Recorder {
    fn tensor(&mut self, tensor: TensorId) -> Option<Expression> {
        self.0.push(tensor);
        Some(Expression::name("x"))
    }
}

/// How long an expression is, about.
pub(super) fn length(pieces: &Pieces) -> usize {
    crate::write::blocks::plain(pieces).len()
}
