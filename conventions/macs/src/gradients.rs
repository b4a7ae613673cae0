//! Which products a backward pass computes.
//!
//! A product of two tensors is computed once more for the gradient of each factor that needs one: of
//! a weight when it is trained, of an input when something that is trained came before it. The
//! model's own inputs need none. So a training step is three times the forward pass, less what the
//! first layers and frozen ones save.

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::trace::{Call, CallId, Origin, Target, TensorId, Trace};
use modelcost_core::value::Value;

/// By tensor: whether it needs a gradient.
pub struct Gradients {
    needs: Vec<bool>,
}

impl Gradients {
    /// Of a trace, in the order of its calls: a call is given only what was there before it.
    pub fn of(trace: &Trace) -> Gradients {
        let mut by_call = vec![false; trace.calls.len()];
        let needs = |by_call: &[bool], id: TensorId| {
            let tensor = trace.tensor(id);
            let is_differentiable = tensor.dtype.is_none_or(|dtype| dtype.is_floating_point());
            is_differentiable
                && match tensor.origin {
                    Origin::Parameter(parameter) => trace.parameter(parameter).requires_grad,
                    Origin::Call(call) => by_call[call.index()],
                    Origin::Input | Origin::Buffer(_) | Origin::Constant => false,
                }
        };
        for (id, call) in trace.calls() {
            by_call[id.index()] = match &call.target {
                Target::Operator(name) if name == "aten.detach" => false,
                _ => {
                    let arguments = call.arguments.iter();
                    let mut tensors = arguments.flat_map(|argument| argument.value.tensors());
                    tensors.any(|tensor| needs(&by_call, tensor)) || owns_trained(trace, call)
                }
            };
        }
        let tensors = (0..trace.tensors.len()).map(TensorId::new);
        Gradients {
            needs: tensors.map(|id| needs(&by_call, id)).collect(),
        }
    }

    fn of_value(&self, value: Option<&Value>) -> bool {
        let tensors = value.map(Value::tensors).unwrap_or_default();
        tensors.iter().any(|id| self.needs[id.index()])
    }

    /// What an operator's backward pass adds to its forward products, part by part.
    pub fn backward(
        &self,
        trace: &Trace,
        id: CallId,
        forward: &[(SmolStr, Dim)],
    ) -> Vec<(SmolStr, Dim)> {
        let call = trace.call(id);
        let Target::Operator(name) = &call.target else {
            return Vec::new();
        };
        let needs = |argument: &str| self.of_value(call.argument(argument));
        let part = |name: &str| {
            let found = forward.iter().find(|(part, _)| part == name);
            found.map(|(_, count)| count.clone()).unwrap_or_default()
        };
        let mut out = Vec::new();
        let mut add = |name: &str, count: Dim, is_needed: bool| {
            if is_needed && count != Dim::ZERO {
                out.push((name.into(), count));
            }
        };
        match name.as_str() {
            "aten.scaled_dot_product_attention" => {
                let (query, key) = (needs("query"), needs("key"));
                add("query gradient", part("scores"), query);
                add("key gradient", part("scores"), key);
                // The scores' own gradient is a product with the values.
                add("scores gradient", part("values"), query || key);
                add("value gradient", part("values"), needs("value"));
            }
            "aten.lstm" | "aten.gru" | "aten.rnn_tanh" | "aten.rnn_relu" => {
                add("weight gradient", part("products"), needs("params"));
                // The input of the first layer is the model's; all else came from weights.
                let unneeded = match needs("input") {
                    true => Dim::ZERO,
                    false => first_layer(trace, call),
                };
                let states = needs("params") || needs("input");
                add("input gradient", part("products") - unneeded, states);
            }
            "aten.lstm_cell" | "aten.gru_cell" | "aten.rnn_tanh_cell" | "aten.rnn_relu_cell" => {
                add("weight gradient", part("input"), needs("w_ih"));
                add("weight gradient", part("state"), needs("w_hh"));
                add("input gradient", part("input"), needs("input"));
                add("state gradient", part("state"), needs("hx"));
            }
            "aten.einsum" => {
                let operands = call.argument("tensors").and_then(Value::items);
                for operand in operands.unwrap_or_default() {
                    let is_needed = self.of_value(Some(operand));
                    add("operand gradient", part("products"), is_needed);
                }
            }
            _ => {
                for (argument, gradient) in FACTORS {
                    if call.argument(argument).is_some() {
                        add(gradient, part("products"), needs(argument));
                    }
                }
            }
        }
        out
    }
}

/// The factors of an operator's product by the names of ATen's schemas, and what their gradients
/// are called here.
const FACTORS: [(&str, &str); 13] = [
    ("input", "input gradient"),
    ("weight", "weight gradient"),
    ("input1", "input gradient"),
    ("input2", "input gradient"),
    ("mat1", "operand gradient"),
    ("mat2", "operand gradient"),
    ("batch1", "operand gradient"),
    ("batch2", "operand gradient"),
    ("other", "operand gradient"),
    ("tensor", "operand gradient"),
    ("vec", "operand gradient"),
    ("vec2", "operand gradient"),
    ("self", "operand gradient"),
];

/// The products of the first layer of a recurrent operator with its input.
fn first_layer(trace: &Trace, call: &Call) -> Dim {
    let shape = |value: Option<&Value>| trace.tensor(value?.tensor()?).shape.clone();
    let Some(input) = shape(call.argument("input")) else {
        return Dim::ZERO;
    };
    let Some((size, positions)) = input.split_last() else {
        return Dim::ZERO;
    };
    let parameters = call.argument("params").and_then(Value::items);
    let parameters = parameters.unwrap_or_default();
    let is_bidirectional = call.argument("bidirectional") == Some(&Value::Bool(true));
    // Each direction of each layer begins with its weights for the input; the first layer's are
    // those of the input's own size, and stand first.
    let layers = call.argument("num_layers").and_then(Value::int);
    let layers = layers.and_then(|layers| layers.as_usize()).unwrap_or(1);
    let directions = if is_bidirectional { 2 } else { 1 };
    let per_direction = parameters.len() / (layers * directions).max(1);
    let weights = (0..directions).filter_map(|at| shape(parameters.get(at * per_direction)));
    let rows: Dim = weights.filter_map(|weight| weight.first().cloned()).sum();
    Dim::product(positions) * size * rows
}

/// A call that is no more than its module's: its weights are no arguments.
fn owns_trained(trace: &Trace, call: &Call) -> bool {
    let Target::Module(module) = call.target else {
        return false;
    };
    let parameters = trace.named_parameters(module);
    let mut parameters = parameters.iter().map(|(_, id)| trace.parameter(*id));
    parameters.any(|parameter| parameter.requires_grad)
}
