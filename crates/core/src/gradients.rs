//! Which tensors require a gradient, and which operators a backward pass goes through.

use std::collections::HashSet;

use crate::jit::is_outermost;
use crate::trace::{Call, CallId, Origin, Target, TensorId, Trace};
use crate::views::{Views, written};

/// The autograd graph of a forward pass whose inputs do not require a gradient.
pub struct Gradients {
    views: Views,
    requires: Vec<bool>,
    /// Tensors whose storage holds, after a write in place, something that requires a gradient.
    written: HashSet<TensorId>,
    reached: Vec<bool>,
}

impl Gradients {
    /// Follows the operators of a trace.
    pub fn new(trace: &Trace) -> Gradients {
        let mut gradients = Gradients {
            views: Views::new(trace),
            requires: vec![false; trace.tensors.len()],
            written: HashSet::new(),
            reached: vec![false; trace.calls.len()],
        };
        gradients.forward(trace);
        gradients.backward(trace);
        gradients
    }

    /// Whether a tensor requires a gradient.
    pub fn requires_grad(&self, tensor: TensorId) -> bool {
        self.requires[tensor.index()] || self.written.contains(&self.views.base(tensor))
    }

    /// Whether the backward pass of the sum of the outputs goes through an operator.
    pub fn reaches(&self, call: CallId) -> bool {
        self.reached[call.index()]
    }

    fn forward(&mut self, trace: &Trace) {
        for (index, tensor) in trace.tensors.iter().enumerate() {
            if let Origin::Parameter(id) = tensor.origin {
                self.requires[index] = trace.parameter(id).requires_grad;
            }
            self.requires[index] |= tensor.wants_gradient;
        }
        for (id, call) in trace.calls() {
            if !is_step(trace, id, call) || !is_differentiable(call) {
                continue;
            }
            let given = call.arguments.iter().flat_map(|a| a.value.tensors());
            if !given.into_iter().any(|tensor| self.requires_grad(tensor)) {
                continue;
            }
            let outputs = call.output.tensors();
            // A parameter that is changed in place stays one.
            if written(call).is_none()
                && outputs
                    .iter()
                    .any(|output| trace.tensor(*output).without_gradient)
            {
                continue;
            }
            for output in outputs {
                let dtype = trace.tensor(output).dtype;
                if dtype.is_none_or(|dtype| dtype.is_floating_point()) {
                    self.requires[output.index()] = true;
                }
            }
            if let Some(target) = written(call) {
                self.written.insert(self.views.base(target));
            }
        }
    }

    fn backward(&mut self, trace: &Trace) {
        let mut wanted: HashSet<TensorId> = HashSet::new();
        let outputs = trace.outputs().into_iter();
        wanted.extend(outputs.filter(|tensor| self.requires_grad(*tensor)));
        let bases: Vec<_> = wanted
            .iter()
            .map(|tensor| self.views.base(*tensor))
            .collect();
        wanted.extend(bases);
        for index in (0..trace.calls.len()).rev() {
            let id = CallId::new(index);
            let call = trace.call(id);
            if !is_step(trace, id, call) || !is_differentiable(call) {
                continue;
            }
            let is_wanted =
                |tensor: &TensorId| wanted.contains(tensor) && self.requires_grad(*tensor);
            let writes_to_wanted =
                written(call).is_some_and(|target| wanted.contains(&self.views.base(target)));
            if !call.output.tensors().iter().any(is_wanted) && !writes_to_wanted {
                continue;
            }
            self.reached[index] = true;
            for tensor in call.arguments.iter().flat_map(|a| a.value.tensors()) {
                if self.requires_grad(tensor) {
                    wanted.insert(tensor);
                    wanted.insert(self.views.base(tensor));
                }
            }
        }
    }
}

/// Whether a call is a node of the autograd graph: an outermost operator, or a function or module
/// about whose operators nothing is known.
fn is_step(trace: &Trace, id: CallId, call: &Call) -> bool {
    let is_leaf = call.end.index() == id.index() + 1;
    is_outermost(trace, call) || (is_leaf && !matches!(call.target, Target::Operator(_)))
}

/// Whether autograd goes through an operator. Results that are no floating-point numbers are left
/// out by their type.
fn is_differentiable(call: &Call) -> bool {
    let Target::Operator(name) = &call.target else {
        return true;
    };
    let name = name.strip_prefix("aten.").unwrap_or(name);
    !matches!(name, "detach" | "detach_" | "lift_fresh_copy") && !is_factory(name)
}

/// Operators that make a new tensor from nothing but the shape of another.
fn is_factory(name: &str) -> bool {
    name.starts_with("new_") || name.ends_with("_like")
}
