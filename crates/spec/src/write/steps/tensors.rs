//! What tensors are called in a body.

use modelcost_core::trace::{Origin, TensorId, Trace};
use modelcost_core::value::Value;

use super::{Maker, State, Steps};
use crate::run::HOOKED;
use crate::write::expression::{self, Expression, Tensors};
use crate::write::lift::module_of;
use crate::write::pieces::{Given, Pieces, call, text};
use crate::write::python;

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
                return Some(Expression::name(path + &python::behind(&name)));
            }
        }
        if let Some(hooked) = self.hooked(tensor) {
            return Some(hooked);
        }
        Shapes(self.trace).tensor(tensor)
    }
}

impl Steps<'_, '_> {
    /// What is taken from inside a child that does not return it, as by a forward hook.
    fn hooked(&self, tensor: TensorId) -> Option<Expression> {
        let trace = self.trace;
        let Origin::Call(maker) = trace.tensor(tensor).origin else {
            return None;
        };
        // The outermost module that gives it.
        let mut found = None;
        let mut at = Some(maker);
        while let Some(id) = at.filter(|id| *id != self.call) {
            let call = trace.call(id);
            if let Some(module) = module_of(call)
                && let Some(path) = part_of(&call.output, tensor)
                && self.lift.calls_of(module) == [id]
            {
                found = Some((module, path));
            }
            at = Some(call.parent?);
        }
        let (module, part) = found?;
        let path = self.module_path(module)?;
        Some(Expression::name(format!("{HOOKED}({path}){part}")))
    }
}

/// Where in a value a tensor is, as an index behind it.
fn part_of(value: &Value, tensor: TensorId) -> Option<String> {
    let inside = |found: (String, &Value)| Some(found.0 + &part_of(found.1, tensor)?);
    match value {
        Value::Tensor(own) => (*own == tensor).then(String::new),
        Value::Dict(items) => {
            let mut items = items
                .iter()
                .map(|(name, item)| (format!("['{name}']"), item));
            items.find_map(inside)
        }
        value => {
            let mut items = value.items()?.iter().enumerate();
            items.find_map(|(at, item)| inside((format!("[{at}]"), item)))
        }
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
