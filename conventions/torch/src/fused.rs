//! The fused paths of PyTorch's attention layers, which hide their work from the counter.
//!
//! In eval mode and without gradients, `nn.MultiheadAttention` and `nn.TransformerEncoderLayer` call
//! a single operator that has no formula. The conditions are those of torch/nn/modules/activation.py
//! and transformer.py of PyTorch 2.15.

use modelcost_core::trace::{CallId, ModuleId, Target, Trace};
use modelcost_core::value::Value;

use crate::gradients::Gradients;

/// Whether a call of a module takes a fused path. `gradients` is `None` under `torch.no_grad()`.
pub fn is_fused(trace: &Trace, id: CallId, gradients: Option<&Gradients>) -> bool {
    let Target::Module(module) = trace.call(id).target else {
        return false;
    };
    let class = &trace.module(module).class;
    let fits = if class.is("torch.nn.MultiheadAttention") {
        attention_fits(trace, id, module)
    } else if class.is("torch.nn.TransformerEncoderLayer") {
        encoder_layer_fits(trace, id, module)
    } else {
        false
    };
    fits && gradients.is_none_or(|gradients| {
        let input = tensor_argument(trace, id, 0, &["query", "src"]);
        let trained = trace.named_parameters(module).into_iter().any(|(_, id)| {
            let parameter = trace.parameter(id);
            parameter.requires_grad
        });
        !trained && !input.is_some_and(|input| gradients.requires_grad(input))
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
}

/// Whether the slow path inside uses a mask that was given as floating-point numbers: one that was
/// not is converted first. A program does not say what a module was called with, but shows this.
fn has_float_mask_inside(trace: &Trace, id: CallId) -> bool {
    let operators = || {
        trace.inside(id).filter_map(|(_, call)| match &call.target {
            Target::Operator(name) => Some((name.as_str(), call)),
            _ => None,
        })
    };
    let masked = operators().any(|(name, call)| match name {
        "aten.scaled_dot_product_attention" => {
            call.argument("attn_mask")
                .is_some_and(|mask| !mask.is_none())
                || call.argument("is_causal") == Some(&Value::Bool(true))
        }
        "aten.baddbmm" => true,
        _ => false,
    });
    masked && !operators().any(|(name, _)| name == "aten.masked_fill_")
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
fn tensor_argument(
    trace: &Trace,
    id: CallId,
    position: usize,
    names: &[&str],
) -> Option<modelcost_core::trace::TensorId> {
    let call = trace.call(id);
    let named = names.iter().find_map(|name| call.argument(name));
    let value = named.or_else(|| {
        let argument = call.arguments.get(position)?;
        argument.name.is_empty().then_some(&argument.value)
    });
    value.and_then(Value::tensor)
}

fn rank(trace: &Trace, tensor: modelcost_core::trace::TensorId) -> Option<usize> {
    trace.tensor(tensor).shape.as_ref().map(Vec::len)
}
