//! The fused paths of PyTorch's attention layers, which hide their work from counters.
//!
//! In eval mode and without gradients, `nn.MultiheadAttention` and `nn.TransformerEncoderLayer` call
//! a single operator in the place of all that they do otherwise. The conditions are those of
//! torch/nn/modules/activation.py and transformer.py of PyTorch 2.15.

use crate::gradients::Gradients;
use crate::trace::{Call, CallId, ModuleId, Target, TensorId, Trace};
use crate::value::Value;

/// How a model is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whether gradients are enabled; not so under `torch.no_grad()`.
    pub gradients: bool,
    /// Whether the modules have hooks of their own, as tools register them. Encoder layers then
    /// keep to the slow path.
    pub hooks: bool,
}

/// A call of a module that takes a fused path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fused {
    /// The call; nothing inside it is made.
    pub call: CallId,
    /// The operator that is called in its place.
    pub operator: &'static str,
}

/// The calls of modules that take a fused path, in order.
pub fn calls(trace: &Trace, run: Run) -> Vec<Fused> {
    let mut out = Vec::new();
    let mut gradients = None;
    let mut at = 0;
    while at < trace.calls.len() {
        let id = CallId::new(at);
        at += 1;
        let Target::Module(module) = trace.call(id).target else {
            continue;
        };
        let class = &trace.module(module).class;
        let operator =
            if class.is("torch.nn.MultiheadAttention") && attention_fits(trace, id, module) {
                "aten._native_multi_head_attention"
            } else if class.is("torch.nn.TransformerEncoderLayer")
                && !run.hooks
                && encoder_layer_fits(trace, id, module)
            {
                "aten._transformer_encoder_layer_fwd"
            } else {
                continue;
            };
        if run.gradients {
            let mut parameters = trace.named_parameters(module).into_iter();
            let trained = parameters.any(|(_, id)| trace.parameter(id).requires_grad);
            let input = tensor_argument(trace, id, 0, &["query", "src"]);
            let depends = |input| {
                let gradients = gradients.get_or_insert_with(|| Gradients::new(trace));
                gradients.requires_grad(input)
            };
            if trained || input.is_some_and(depends) {
                continue;
            }
        }
        out.push(Fused { call: id, operator });
        at = trace.call(id).end.index();
    }
    out
}

/// A module of a user's class that owns the parameters of `nn.MultiheadAttention` and calls its function: if it does
/// so by the `forward` of that class, a fused path may be taken, for which a program does not say enough.
pub fn subclass(trace: &Trace) -> Option<ModuleId> {
    let attends = |name: &str| name == "torch.nn.functional.multi_head_attention_forward";
    trace.calls().find_map(|(id, call)| match call.target {
        Target::Module(module) => {
            let mut inside = trace.inside(id).map(|(_, call)| &call.target);
            let owns = !trace.module(module).class.is("torch.nn.MultiheadAttention")
                && has_parameter(trace, module, "in_proj_weight")
                && has_parameter(trace, module, "in_proj_bias");
            let calls = |target: &Target| matches!(target, Target::Function(name) if attends(name));
            (owns && inside.any(calls)).then_some(module)
        }
        _ => None,
    })
}

/// `MultiheadAttention.forward`: `why_not_fast_path`.
fn attention_fits(trace: &Trace, id: CallId, module: ModuleId) -> bool {
    let tensors = [(0, "query"), (1, "key"), (2, "value")]
        .map(|(position, name)| tensor_argument(trace, id, position, &[name]));
    let [Some(query), Some(key), Some(value)] = tensors else {
        return false;
    };
    let float_mask = |position: usize, name: &str| {
        tensor_argument(trace, id, position, &[name]).is_some_and(|mask| {
            let dtype = trace.tensor(mask).dtype;
            dtype.is_none_or(|dtype| dtype.is_floating_point())
        })
    };
    query == key
        && key == value
        && rank(trace, query) == Some(3)
        && !float_mask(3, "key_padding_mask")
        && !float_mask(5, "attn_mask")
        && !has_float_mask_inside(trace, id)
        && attention_is_plain(trace, module)
        && !has_parameter(trace, module, "bias_k")
        && !has_parameter(trace, module, "bias_v")
        && trace.attribute(module, "add_zero_attn") != Some(&Value::Bool(true))
        && !inside(trace, id).any(|(name, _)| name == "aten.zeros")
}

/// The operators inside a call.
fn inside(trace: &Trace, id: CallId) -> impl Iterator<Item = (&str, &Call)> {
    trace.inside(id).filter_map(|(_, call)| match &call.target {
        Target::Operator(name) => Some((name.as_str(), call)),
        _ => None,
    })
}

/// Whether the slow path inside uses a mask that was given as floating-point numbers: one that was
/// not is converted first. A program does not say what a module was called with, but shows this.
fn has_float_mask_inside(trace: &Trace, id: CallId) -> bool {
    let masked = inside(trace, id).any(|(name, call)| match name {
        "aten.scaled_dot_product_attention" => {
            call.argument("attn_mask")
                .is_some_and(|mask| !mask.is_none())
                || call.argument("is_causal") == Some(&Value::Bool(true))
        }
        "aten.baddbmm" => true,
        _ => false,
    });
    masked && !inside(trace, id).any(|(name, _)| name == "aten.masked_fill_")
}

/// `TransformerEncoderLayer.forward`: `why_not_sparsity_fast_path`.
fn encoder_layer_fits(trace: &Trace, id: CallId, module: ModuleId) -> bool {
    let Some(src) = tensor_argument(trace, id, 0, &["src"]) else {
        return false;
    };
    let child = |name: &str| {
        let mut children = trace.module(module).children.iter();
        children
            .find(|(key, _)| key == name)
            .map(|(_, child)| *child)
    };
    let Some(attention) = child("self_attn") else {
        return false;
    };
    let eps = |name: &str| child(name).and_then(|norm| trace.attribute(norm, "eps"));
    rank(trace, src) == Some(3)
        && attention_is_plain(trace, attention)
        && activates_by_relu_or_gelu(trace, id, attention)
        && eps("norm1") == eps("norm2")
}

/// What both paths ask of the attention: one projection for queries, keys and values, with a bias,
/// batches first and an even number of heads.
fn attention_is_plain(trace: &Trace, module: ModuleId) -> bool {
    let is_true = |name: &str| trace.attribute(module, name) == Some(&Value::Bool(true));
    let heads = trace.attribute(module, "num_heads").and_then(Value::int);
    has_parameter(trace, module, "in_proj_weight")
        && has_parameter(trace, module, "in_proj_bias")
        && is_true("batch_first")
        && heads
            .and_then(|heads| heads.as_const())
            .is_some_and(|heads| heads % 2 == 0)
}

/// Whether the feed-forward part's activation is one of the two that the operator knows.
fn activates_by_relu_or_gelu(trace: &Trace, id: CallId, attention: ModuleId) -> bool {
    let inside_attention = |mut at: CallId| loop {
        let call = trace.call(at);
        if call.target == Target::Module(attention) {
            return true;
        }
        match call.parent {
            Some(parent) if parent != id => at = parent,
            _ => return false,
        }
    };
    trace.inside(id).any(|(inner, call)| match &call.target {
        Target::Operator(name) if name == "aten.relu" => !inside_attention(inner),
        Target::Operator(name) if name == "aten.gelu" => {
            let tanh = call.argument("approximate") == Some(&Value::Str("tanh".into()));
            let by_module = call.parent.is_some_and(|parent| {
                let class = &trace.module(trace.enclosing_module(parent)).class;
                class.is("torch.nn.GELU")
            });
            (!tanh || by_module) && !inside_attention(inner)
        }
        _ => false,
    })
}

fn has_parameter(trace: &Trace, module: ModuleId, name: &str) -> bool {
    let mut parameters = trace.module(module).parameters.iter();
    parameters.any(|(key, parameter)| key == name && parameter.is_some())
}

/// The tensor bound to a parameter of `forward`, by name or else by position.
fn tensor_argument(trace: &Trace, id: CallId, position: usize, names: &[&str]) -> Option<TensorId> {
    let call = trace.call(id);
    let named = names.iter().find_map(|name| call.argument(name));
    let value = named.or_else(|| {
        let argument = call.arguments.get(position)?;
        argument.name.is_empty().then_some(&argument.value)
    });
    value.and_then(Value::tensor)
}

fn rank(trace: &Trace, tensor: TensorId) -> Option<usize> {
    trace.tensor(tensor).shape.as_ref().map(Vec::len)
}
