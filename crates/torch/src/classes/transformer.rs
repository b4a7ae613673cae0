//! Stacks of transformer layers.

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;

use super::attention::{child, factory};
use super::{Construct, Entry};
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::functions::attention::canonical_mask;
use crate::show;
use crate::signature::Arguments;
use crate::tracer::Tracer;

pub(super) static CLASSES: [Entry; 3] = [
    Entry::new(
        "torch.nn.TransformerEncoder",
        "TransformerEncoder(encoder_layer, num_layers, norm=None, enable_nested_tensor=True, \
         mask_check=True)",
        "A stack of copies of an encoder layer.",
    )
    .construct(|c| {
        stack(c, "encoder_layer")?;
        c.keep(&["enable_nested_tensor"]);
        let nested = use_nested_tensor(c);
        c.attribute("use_nested_tensor", nested);
        c.keep(&["mask_check"]);
        Ok(())
    })
    .takes("forward(src, mask=None, src_key_padding_mask=None, is_causal=None)")
    .forward_code(encoder),
    Entry::new(
        "torch.nn.TransformerDecoder",
        "TransformerDecoder(decoder_layer, num_layers, norm=None)",
        "A stack of copies of a decoder layer.",
    )
    .construct(|c| stack(c, "decoder_layer"))
    .takes(
        "forward(tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, \
         memory_key_padding_mask=None, tgt_is_causal=None, memory_is_causal=False)",
    )
    .forward_code(decoder),
    Entry::new(
        "torch.nn.Transformer",
        "Transformer(d_model=512, nhead=8, num_encoder_layers=6, num_decoder_layers=6, \
         dim_feedforward=2048, dropout=0.1, activation=F.relu, custom_encoder=None, \
         custom_decoder=None, layer_norm_eps=1e-05, batch_first=False, norm_first=False, \
         bias=True, device=None, dtype=None)",
        "An encoder and a decoder.",
    )
    .construct(transformer)
    .takes(
        "forward(src, tgt, src_mask=None, tgt_mask=None, memory_mask=None, \
         src_key_padding_mask=None, tgt_key_padding_mask=None, memory_key_padding_mask=None, \
         src_is_causal=None, tgt_is_causal=None, memory_is_causal=False)",
    )
    .forward_code(transformer_forward),
];

/// More layers than any network stacks.
const MAX_LAYERS: usize = 10_000;

fn stack(c: &mut Construct<'_>, layer: &'static str) -> Result<()> {
    let a = c.arguments;
    let Some(template) = c.tracer.module_of(a.value(layer)) else {
        return Err(a.error(layer, format!("{}: '{layer}' must be a module", a.callee())));
    };
    let count = a
        .size("num_layers")?
        .as_usize()
        .filter(|count| *count <= MAX_LAYERS);
    let Some(count) = count else {
        return Err(a.error(
            "num_layers",
            format!(
                "{}: 'num_layers' must be known and at most {MAX_LAYERS}",
                a.callee()
            ),
        ));
    };
    let list = c.child("layers", "ModuleList", Arguments::new())?;
    for index in 0..count {
        let path = match c.path.as_str() {
            "" => format!("layers.{index}"),
            path => format!("{path}.layers.{index}"),
        };
        let copy = c.tracer.copy_module(template, &path)?;
        c.tracer
            .builder
            .add_child(list, SmolStr::from(index.to_string()), copy);
    }
    c.keep(&["num_layers"]);
    match c.tracer.module_of(a.value("norm")) {
        Some(norm) => c.adopt("norm", norm),
        None => c.attribute("norm", Value::None),
    }
    Ok(())
}

/// Whether the fused path may skip padding: only for layers that the fused path knows.
fn use_nested_tensor(c: &Construct<'_>) -> bool {
    let t = &*c.tracer;
    let Some(layer) = t.module_of(c.arguments.value("encoder_layer")) else {
        return false;
    };
    let Ok(attention) = t.child(layer, "self_attn") else {
        return false;
    };
    let two = Dim::Const(2);
    let even = |heads: Dim| heads.modulo(&two) == Dim::ZERO;
    c.arguments.bool("enable_nested_tensor").unwrap_or(false)
        && t.get(layer, "norm_first") == Value::Bool(false)
        && t.get(attention, "batch_first") == Value::Bool(true)
        && t.get(attention, "_qkv_same_embed_dim") == Value::Bool(true)
        && !t.get(attention, "in_proj_bias").is_none()
        && t.get(layer, "activation_relu_or_gelu") != Value::from(0)
        && t.get(attention, "num_heads").int().is_some_and(even)
}

fn transformer(c: &mut Construct<'_>) -> Result<()> {
    let a = c.arguments;
    let parts = [
        (
            "encoder",
            "custom_encoder",
            "TransformerEncoder",
            "TransformerEncoderLayer",
            "num_encoder_layers",
        ),
        (
            "decoder",
            "custom_decoder",
            "TransformerDecoder",
            "TransformerDecoderLayer",
            "num_decoder_layers",
        ),
    ];
    for (name, custom, stack, layer, count) in parts {
        if let Some(module) = c.tracer.module_of(a.value(custom)) {
            c.adopt(name, module);
            continue;
        }
        let names = [
            "d_model",
            "nhead",
            "dim_feedforward",
            "dropout",
            "activation",
            "layer_norm_eps",
            "batch_first",
            "norm_first",
            "bias",
        ];
        let arguments = Arguments::of(names.map(|name| a.value(name).clone()));
        let arguments = factory(c, arguments);
        // The layer and the norm exist before their place in the tree is known.
        let layer = c.tracer.construct(layer, &arguments, "")?;
        let norm = factory(c, Arguments::of([a.value("d_model").clone()]))
            .named("eps", a.value("layer_norm_eps").clone())
            .named("bias", a.value("bias").clone());
        let norm = c.tracer.construct("LayerNorm", &norm, "")?;
        let arguments = Arguments::of([
            Tracer::module_value(layer),
            a.value(count).clone(),
            Tracer::module_value(norm),
        ]);
        c.child(name, stack, arguments)?;
    }
    c.keep(&["d_model", "nhead", "batch_first"]);
    Ok(())
}

fn layers_of(t: &Tracer, module: ModuleId) -> Result<Vec<ModuleId>> {
    let list = t.child(module, "layers")?;
    let children = &t.builder.trace().module(list).children;
    Ok(children.iter().map(|(_, child)| *child).collect())
}

/// Whether a mask is the causal one. PyTorch compares the numbers; here they are not known, and a
/// mask that is not declared causal is taken not to be.
fn detect_causal(t: &mut Tracer, mask: &Value, declared: &Value) -> Result<Value> {
    let (Some(id), Value::None) = (mask.tensor(), declared) else {
        return Ok(Value::Bool(*declared == Value::Bool(true)));
    };
    let shape = t.shape(id);
    let size = shape.last().cloned().map(Value::Int).unwrap_or_default();
    let full = Arguments::of([
        Value::Tuple(vec![size.clone(), size]),
        Value::Float(f64::NEG_INFINITY),
    ]);
    let full = t.call_function("torch.full", &full, None)?;
    let causal = Arguments::of([full]).named("diagonal", 1);
    let causal = t.call_function("torch.triu", &causal, None)?;
    if shape.len() == 2 {
        let equal = Arguments::of([mask.clone(), causal]);
        let equal = t.call_function("operator.eq", &equal, None)?;
        t.call_function("torch.Tensor.all", &Arguments::of([equal]), None)?;
    }
    t.note(
        Level::Reconstructed,
        "whether an attention mask is the causal one was taken to be no; is_causal=True says it is",
    );
    Ok(Value::Bool(false))
}

fn encoder(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    let dtype = t.dtype(args.tensor("src")?);
    let padding_mask = canonical_mask(t, args.value("src_key_padding_mask").clone(), dtype)?;
    let mask = canonical_mask(t, args.value("mask").clone(), dtype)?;
    let causal = detect_causal(t, &mask, args.value("is_causal"))?;
    let mut output = args.value("src").clone();
    for layer in layers_of(t, module)? {
        let arguments = Arguments::of([output])
            .named("src_mask", mask.clone())
            .named("is_causal", causal.clone())
            .named("src_key_padding_mask", padding_mask.clone());
        output = t.call_module(layer, &arguments, None)?;
    }
    finish(t, module, output)
}

/// The norm at the end, where there is one.
fn finish(t: &mut Tracer, module: ModuleId, output: Value) -> Result<Value> {
    match t.child(module, "norm") {
        Ok(_) => child(t, module, "norm", output),
        Err(_) => Ok(output),
    }
}

fn decoder(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    let causal = detect_causal(t, args.value("tgt_mask"), args.value("tgt_is_causal"))?;
    let mut output = args.value("tgt").clone();
    for layer in layers_of(t, module)? {
        let mut arguments = Arguments::of([output, args.value("memory").clone()]);
        for name in [
            "tgt_mask",
            "memory_mask",
            "tgt_key_padding_mask",
            "memory_key_padding_mask",
        ] {
            arguments = arguments.named(name, args.value(name).clone());
        }
        let arguments = arguments
            .named("tgt_is_causal", causal.clone())
            .named("memory_is_causal", args.value("memory_is_causal").clone());
        output = t.call_module(layer, &arguments, None)?;
    }
    finish(t, module, output)
}

fn transformer_forward(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    let width = t.get(module, "d_model").int().unwrap_or(Dim::ONE);
    let (src, tgt) = (t.shape(args.tensor("src")?), t.shape(args.tensor("tgt")?));
    for shape in [&src, &tgt] {
        let fits = shape
            .last()
            .is_some_and(|last| crate::operators::compatible(last, &width));
        if !fits {
            return Err(TorchError::new(format!(
                "Transformer expects {width} features in the last dimension of src and tgt, but \
                 they are {} and {}",
                show::shape(&src),
                show::shape(&tgt)
            )));
        }
    }
    let encoder = t.child(module, "encoder")?;
    let arguments = Arguments::of([args.value("src").clone()])
        .named("mask", args.value("src_mask").clone())
        .named(
            "src_key_padding_mask",
            args.value("src_key_padding_mask").clone(),
        )
        .named("is_causal", args.value("src_is_causal").clone());
    let memory = t.call_module(encoder, &arguments, None)?;
    let decoder = t.child(module, "decoder")?;
    let mut arguments = Arguments::of([args.value("tgt").clone(), memory]);
    for name in [
        "tgt_mask",
        "memory_mask",
        "tgt_key_padding_mask",
        "memory_key_padding_mask",
        "tgt_is_causal",
        "memory_is_causal",
    ] {
        arguments = arguments.named(name, args.value(name).clone());
    }
    t.call_module(decoder, &arguments, None)
}
