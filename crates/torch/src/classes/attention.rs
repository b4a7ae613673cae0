//! `MultiheadAttention` and the layers of transformers.

use modelcost_core::dim::Dim;
use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;

use super::{Construct, Entry, From};
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::functions::attention::canonical_mask;
use crate::show;
use crate::signature::Arguments;
use crate::tracer::Tracer;

pub(super) static CLASSES: [Entry; 4] = [
    Entry::new(
        "torch.nn.MultiheadAttention",
        "MultiheadAttention(embed_dim, num_heads, dropout=0.0, bias=True, add_bias_kv=False, \
         add_zero_attn=False, kdim=None, vdim=None, batch_first=False, device=None, dtype=None)",
        "Attention with several heads; returns the output and the weights.",
    )
    .infer(&[("embed_dim", From::Last)])
    .construct(attention)
    .takes(
        "forward(query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None, \
         average_attn_weights=True, is_causal=False)",
    )
    .forward_code(attention_forward),
    Entry::new(
        "torch.nn.modules.linear.NonDynamicallyQuantizableLinear",
        "NonDynamicallyQuantizableLinear(in_features, out_features, bias=True, device=None, \
         dtype=None)",
        "The output projection of MultiheadAttention, a Linear that is not quantised.",
    )
    .bases(&["torch.nn.Linear"])
    .construct(super::linear::linear)
    .forward_line("F.linear(input, self.weight, self.bias)"),
    Entry::new(
        "torch.nn.TransformerEncoderLayer",
        "TransformerEncoderLayer(d_model, nhead, dim_feedforward=2048, dropout=0.1, \
         activation=F.relu, layer_norm_eps=1e-05, batch_first=False, norm_first=False, bias=True, \
         device=None, dtype=None)",
        "Self-attention and a feed-forward network, each with a residual and a LayerNorm.",
    )
    .infer(&[("d_model", From::Last)])
    .construct(|c| layer(c, &["self_attn"]))
    .takes("forward(src, src_mask=None, src_key_padding_mask=None, is_causal=False)")
    .forward_code(encoder_layer),
    Entry::new(
        "torch.nn.TransformerDecoderLayer",
        "TransformerDecoderLayer(d_model, nhead, dim_feedforward=2048, dropout=0.1, \
         activation=F.relu, layer_norm_eps=1e-05, batch_first=False, norm_first=False, bias=True, \
         device=None, dtype=None)",
        "Self-attention, attention to an encoder's output, and a feed-forward network.",
    )
    .infer(&[("d_model", From::Last)])
    .construct(|c| layer(c, &["self_attn", "multihead_attn"]))
    .takes(
        "forward(tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, \
         memory_key_padding_mask=None, tgt_is_causal=False, memory_is_causal=False)",
    )
    .forward_code(decoder_layer),
];

fn attention(c: &mut Construct<'_>) -> Result<()> {
    let a = c.arguments;
    let (embed, heads) = (a.positive("embed_dim")?, a.positive("num_heads")?);
    c.require(
        embed.modulo(&heads).as_const().unwrap_or(0) == 0,
        "num_heads",
        format!("embed_dim ({embed}) must be divisible by num_heads ({heads})"),
    )?;
    let kdim = a.optional_int("kdim")?.unwrap_or_else(|| embed.clone());
    let vdim = a.optional_int("vdim")?.unwrap_or_else(|| embed.clone());
    let same = kdim == embed && vdim == embed;
    c.keep(&["embed_dim"]);
    c.attribute("kdim", kdim.clone());
    c.attribute("vdim", vdim.clone());
    c.attribute("_qkv_same_embed_dim", same);
    c.keep(&["num_heads", "dropout", "batch_first"]);
    c.attribute("head_dim", embed.floor_div(&heads));
    c.keep(&["bias", "add_zero_attn"]);
    if same {
        c.parameter("in_proj_weight", vec![&embed * 3, embed.clone()])?;
        for name in ["q_proj_weight", "k_proj_weight", "v_proj_weight"] {
            c.optional_parameter(false, name, Vec::new())?;
        }
    } else {
        c.parameter("q_proj_weight", vec![embed.clone(), embed.clone()])?;
        c.parameter("k_proj_weight", vec![embed.clone(), kdim])?;
        c.parameter("v_proj_weight", vec![embed.clone(), vdim])?;
        c.optional_parameter(false, "in_proj_weight", Vec::new())?;
    }
    c.optional_parameter(a.bool("bias")?, "in_proj_bias", vec![&embed * 3])?;
    let width = Value::Int(embed.clone());
    let arguments =
        factory(c, Arguments::of([width.clone(), width])).named("bias", a.bool("bias")?);
    c.child("out_proj", "NonDynamicallyQuantizableLinear", arguments)?;
    if a.bool("add_bias_kv")? {
        c.parameter("bias_k", vec![Dim::ONE, Dim::ONE, embed.clone()])?;
        c.parameter("bias_v", vec![Dim::ONE, Dim::ONE, embed])?;
    } else {
        c.attribute("bias_k", Value::None);
        c.attribute("bias_v", Value::None);
    }
    Ok(())
}

/// Hands `device` and `dtype` on to a child.
pub(super) fn factory(c: &Construct<'_>, arguments: Arguments) -> Arguments {
    arguments
        .named("device", c.arguments.value("device").clone())
        .named("dtype", c.arguments.value("dtype").clone())
}

fn attention_forward(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    let mut inputs = ["query", "key", "value"].map(|name| args.value(name).clone());
    let query = args.tensor("query")?;
    args.tensor("key")?;
    args.tensor("value")?;
    let (dtype, batched) = (t.dtype(query), t.shape(query).len() == 3);
    let padding_mask = canonical_mask(t, args.value("key_padding_mask").clone(), dtype)?;
    let mask = canonical_mask(t, args.value("attn_mask").clone(), dtype)?;
    let swap = batched && t.get(module, "batch_first") == Value::Bool(true);
    if swap {
        // A tensor that stands in two places is swapped once, so that it stays one tensor.
        let [query, key, value] = &inputs;
        let (one, two) = (query == key && key == value, key == value);
        let query = swapped(t, query.clone())?;
        let key = if one {
            query.clone()
        } else {
            swapped(t, inputs[1].clone())?
        };
        let value = if two {
            key.clone()
        } else {
            swapped(t, inputs[2].clone())?
        };
        inputs = [query, key, value];
    }
    let own = |t: &Tracer, name: &str| t.get(module, name);
    let projection = t.child(module, "out_proj")?;
    let mut arguments = Arguments::of(inputs);
    for name in [
        "embed_dim",
        "num_heads",
        "in_proj_weight",
        "in_proj_bias",
        "bias_k",
        "bias_v",
    ] {
        arguments = arguments.with(own(t, name));
    }
    arguments = arguments
        .with(own(t, "add_zero_attn"))
        .with(own(t, "dropout"))
        .with(t.get(projection, "weight"))
        .with(t.get(projection, "bias"))
        .named("training", false)
        .named("key_padding_mask", padding_mask)
        .named("need_weights", args.value("need_weights").clone())
        .named("attn_mask", mask);
    if own(t, "_qkv_same_embed_dim") == Value::Bool(false) {
        arguments = arguments
            .named("use_separate_proj_weight", true)
            .named("q_proj_weight", own(t, "q_proj_weight"))
            .named("k_proj_weight", own(t, "k_proj_weight"))
            .named("v_proj_weight", own(t, "v_proj_weight"));
    }
    let arguments = arguments
        .named(
            "average_attn_weights",
            args.value("average_attn_weights").clone(),
        )
        .named("is_causal", args.value("is_causal").clone());
    let result = t.call_function("F.multi_head_attention_forward", &arguments, None)?;
    match result.items() {
        Some([output, weights]) if swap => Ok(Value::Tuple(vec![
            swapped(t, output.clone())?,
            weights.clone(),
        ])),
        _ => Ok(result),
    }
}

fn swapped(t: &mut Tracer, tensor: Value) -> Result<Value> {
    let arguments = Arguments::of([tensor, 1.into(), 0.into()]);
    t.call_function("torch.Tensor.transpose", &arguments, None)
}

/// The children of an encoder or decoder layer, which differ by their attentions only.
fn layer(c: &mut Construct<'_>, attentions: &[&'static str]) -> Result<()> {
    let a = c.arguments;
    let (model, hidden) = (
        a.value("d_model").clone(),
        a.value("dim_feedforward").clone(),
    );
    let (bias, dropout) = (a.value("bias").clone(), a.value("dropout").clone());
    for name in attentions {
        let arguments = factory(c, Arguments::of([model.clone(), a.value("nhead").clone()]))
            .named("dropout", dropout.clone())
            .named("bias", bias.clone())
            .named("batch_first", a.value("batch_first").clone());
        c.child(*name, "MultiheadAttention", arguments)?;
    }
    let linear = |c: &mut Construct<'_>, name: &'static str, from: &Value, to: &Value| {
        let arguments =
            factory(c, Arguments::of([from.clone(), to.clone()])).named("bias", bias.clone());
        c.child(name, "Linear", arguments)
    };
    let drop = |c: &mut Construct<'_>, name: &'static str| {
        c.child(name, "Dropout", Arguments::of([dropout.clone()]))
    };
    linear(c, "linear1", &model, &hidden)?;
    drop(c, "dropout")?;
    linear(c, "linear2", &hidden, &model)?;
    c.keep(&["norm_first"]);
    let count = attentions.len() + 1;
    for name in &["norm1", "norm2", "norm3"][..count] {
        let arguments = factory(c, Arguments::of([model.clone()]))
            .named("eps", a.value("layer_norm_eps").clone())
            .named("bias", bias.clone());
        c.child(*name, "LayerNorm", arguments)?;
    }
    for name in &["dropout1", "dropout2", "dropout3"][..count] {
        drop(c, name)?;
    }
    let activation = a.value("activation").clone();
    let module = c.tracer.module_of(&activation);
    if attentions.len() == 1 {
        let kind = fused_activation(c, &activation, module);
        c.attribute("activation_relu_or_gelu", kind);
    }
    match module {
        Some(module) => c.adopt("activation", module),
        None => c.attribute("activation", activation),
    }
    Ok(())
}

/// 1 for ReLU and 2 for GELU, which the fused path of an encoder layer knows.
fn fused_activation(c: &Construct<'_>, value: &Value, module: Option<ModuleId>) -> i32 {
    let name = match (value, module) {
        (_, Some(module)) => {
            let class = &c.tracer.builder.trace().module(module).class;
            class.short_name().to_lowercase()
        }
        (Value::Opaque(name) | Value::Str(name), None) => name.to_string(),
        _ => return 0,
    };
    match name.rsplit('.').next() {
        Some("relu") => 1,
        Some("gelu") => 2,
        _ => 0,
    }
}

/// Calls a child.
pub(super) fn child(t: &mut Tracer, module: ModuleId, name: &str, input: Value) -> Result<Value> {
    let child = t.child(module, name)?;
    t.call_module(child, &Arguments::of([input]), None)
}

fn add(t: &mut Tracer, a: Value, b: Value) -> Result<Value> {
    t.call_function("operator.add", &Arguments::of([a, b]), None)
}

/// Attention of `x` to `memory`, and dropout.
fn attend(
    t: &mut Tracer,
    module: ModuleId,
    (name, dropout): (&str, &str),
    x: Value,
    memory: Value,
    masks: [&Value; 3],
) -> Result<Value> {
    let attention = t.child(module, name)?;
    let [mask, padding_mask, causal] = masks.map(Value::clone);
    let arguments = Arguments::of([x, memory.clone(), memory])
        .named("attn_mask", mask)
        .named("key_padding_mask", padding_mask)
        .named("need_weights", false)
        .named("is_causal", causal);
    let result = t.call_module(attention, &arguments, None)?;
    let output = result
        .items()
        .and_then(|items| items.first())
        .cloned()
        .unwrap_or_default();
    child(t, module, dropout, output)
}

fn activate(t: &mut Tracer, module: ModuleId, input: Value) -> Result<Value> {
    let name = match t.get(module, "activation") {
        Value::Opaque(name) | Value::Str(name) => name,
        _ => return child(t, module, "activation", input),
    };
    let name = match name.as_str() {
        "relu" => "F.relu",
        "gelu" => "F.gelu",
        other => other,
    };
    t.call_kept_function(name, &Arguments::of([input]))
}

/// The feed-forward network, and dropout.
fn feed_forward(t: &mut Tracer, module: ModuleId, x: Value, dropout: &str) -> Result<Value> {
    let x = child(t, module, "linear1", x)?;
    let x = activate(t, module, x)?;
    let x = child(t, module, "dropout", x)?;
    let x = child(t, module, "linear2", x)?;
    child(t, module, dropout, x)
}

fn check_width(t: &Tracer, module: ModuleId, args: &Bound, name: &str) -> Result<()> {
    let attention = t.child(module, "self_attn")?;
    let width = t.get(attention, "embed_dim").int().unwrap_or(Dim::ONE);
    let shape = t.shape(args.tensor(name)?);
    match shape.last() {
        Some(last) if crate::operators::compatible(last, &width) => Ok(()),
        _ => Err(TorchError::new(format!(
            "{} expects {width} features in the last dimension, but '{name}' is {}",
            args.callee(),
            show::shape(&shape)
        ))),
    }
}

fn encoder_layer(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    check_width(t, module, args, "src")?;
    let dtype = t.dtype(args.tensor("src")?);
    let padding_mask = canonical_mask(t, args.value("src_key_padding_mask").clone(), dtype)?;
    let mask = canonical_mask(t, args.value("src_mask").clone(), dtype)?;
    let causal = args.value("is_causal").clone();
    let masks = [&mask, &padding_mask, &causal];
    let x = args.value("src").clone();
    let names = ("self_attn", "dropout1");
    if t.get(module, "norm_first") == Value::Bool(true) {
        let normal = child(t, module, "norm1", x.clone())?;
        let attended = attend(t, module, names, normal.clone(), normal, masks)?;
        let x = add(t, x, attended)?;
        let normal = child(t, module, "norm2", x.clone())?;
        let fed = feed_forward(t, module, normal, "dropout2")?;
        return add(t, x, fed);
    }
    let attended = attend(t, module, names, x.clone(), x.clone(), masks)?;
    let sum = add(t, x, attended)?;
    let x = child(t, module, "norm1", sum)?;
    let fed = feed_forward(t, module, x.clone(), "dropout2")?;
    let sum = add(t, x, fed)?;
    child(t, module, "norm2", sum)
}

fn decoder_layer(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    check_width(t, module, args, "tgt")?;
    let memory = args.value("memory").clone();
    let own = [
        args.value("tgt_mask"),
        args.value("tgt_key_padding_mask"),
        args.value("tgt_is_causal"),
    ];
    let cross = [
        args.value("memory_mask"),
        args.value("memory_key_padding_mask"),
        args.value("memory_is_causal"),
    ];
    let (to_self, to_memory) = (("self_attn", "dropout1"), ("multihead_attn", "dropout2"));
    let x = args.value("tgt").clone();
    if t.get(module, "norm_first") == Value::Bool(true) {
        let normal = child(t, module, "norm1", x.clone())?;
        let attended = attend(t, module, to_self, normal.clone(), normal, own)?;
        let x = add(t, x, attended)?;
        let normal = child(t, module, "norm2", x.clone())?;
        let attended = attend(t, module, to_memory, normal, memory, cross)?;
        let x = add(t, x, attended)?;
        let normal = child(t, module, "norm3", x.clone())?;
        let fed = feed_forward(t, module, normal, "dropout3")?;
        return add(t, x, fed);
    }
    let attended = attend(t, module, to_self, x.clone(), x.clone(), own)?;
    let sum = add(t, x, attended)?;
    let x = child(t, module, "norm1", sum)?;
    let attended = attend(t, module, to_memory, x.clone(), memory, cross)?;
    let sum = add(t, x, attended)?;
    let x = child(t, module, "norm2", sum)?;
    let fed = feed_forward(t, module, x.clone(), "dropout3")?;
    let sum = add(t, x, fed)?;
    child(t, module, "norm3", sum)
}
