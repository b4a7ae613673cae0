//! `Linear`, `Bilinear`, embeddings and `Identity`.

use modelcost_core::value::Value;

use super::{Construct, Entry, From};
use crate::error::Result;

pub(super) static CLASSES: [Entry; 6] = [
    Entry::new(
        "torch.nn.Linear",
        "Linear(in_features, out_features, bias=True, device=None, dtype=None)",
        "Affine map of the last dimension: x Wᵀ + b.",
    )
    .infer(&[("in_features", From::Last)])
    .construct(linear)
    .forward_line("F.linear(input, self.weight, self.bias)"),
    Entry::new(
        "torch.nn.LazyLinear",
        "LazyLinear(out_features, bias=True, device=None, dtype=None)",
        "A Linear that takes in_features from its first input.",
    )
    .bases(&["torch.nn.Linear"])
    .infer(&[("in_features", From::Last)])
    .becomes("torch.nn.Linear"),
    Entry::new(
        "torch.nn.Bilinear",
        "Bilinear(in1_features, in2_features, out_features, bias=True, device=None, dtype=None)",
        "Bilinear form of two inputs: x₁ᵀ A x₂ + b.",
    )
    .construct(bilinear)
    .takes("forward(input1, input2)")
    .forward_line("F.bilinear(input1, input2, self.weight, self.bias)"),
    Entry::new(
        "torch.nn.Embedding",
        "Embedding(num_embeddings, embedding_dim, padding_idx=None, max_norm=None, norm_type=2.0, \
         scale_grad_by_freq=False, sparse=False, _weight=None, _freeze=False, device=None, dtype=None)",
        "Looks up a learned vector for each index.",
    )
    .construct(embedding)
    .forward_line(
        "F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type, \
         self.scale_grad_by_freq, self.sparse)",
    ),
    Entry::new(
        "torch.nn.EmbeddingBag",
        "EmbeddingBag(num_embeddings, embedding_dim, max_norm=None, norm_type=2.0, \
         scale_grad_by_freq=False, mode='mean', sparse=False, _weight=None, \
         include_last_offset=False, padding_idx=None, device=None, dtype=None)",
        "Looks up learned vectors and sums or averages them by bag.",
    )
    .construct(embedding_bag)
    .takes("forward(input, offsets=None, per_sample_weights=None)")
    .forward_line(
        "F.embedding_bag(input, self.weight, offsets, self.max_norm, self.norm_type, \
         self.scale_grad_by_freq, self.mode, self.sparse, per_sample_weights, \
         self.include_last_offset, self.padding_idx)",
    ),
    Entry::new(
        "torch.nn.Identity",
        "Identity(*args)",
        "Returns its input.",
    )
    .construct(|_| Ok(())),
];

pub(super) fn linear(c: &mut Construct<'_>) -> Result<()> {
    let (inputs, outputs) = (
        c.arguments.size("in_features")?,
        c.arguments.size("out_features")?,
    );
    c.keep(&["in_features", "out_features"]);
    c.parameter("weight", vec![outputs.clone(), inputs])?;
    c.optional_parameter(c.arguments.bool("bias")?, "bias", vec![outputs])
}

fn bilinear(c: &mut Construct<'_>) -> Result<()> {
    let outputs = c.arguments.size("out_features")?;
    let shape = vec![
        outputs.clone(),
        c.arguments.positive("in1_features")?,
        c.arguments.size("in2_features")?,
    ];
    c.keep(&["in1_features", "in2_features", "out_features"]);
    c.parameter("weight", shape)?;
    c.optional_parameter(c.arguments.bool("bias")?, "bias", vec![outputs])
}

fn embedding(c: &mut Construct<'_>) -> Result<()> {
    let shape = vec![
        c.arguments.size("num_embeddings")?,
        c.arguments.size("embedding_dim")?,
    ];
    c.keep(&[
        "num_embeddings",
        "embedding_dim",
        "padding_idx",
        "max_norm",
        "norm_type",
        "scale_grad_by_freq",
        "sparse",
    ]);
    c.parameter("weight", shape)?;
    if c.arguments.bool("_freeze")? {
        freeze_last(c);
    }
    Ok(())
}

fn freeze_last(c: &mut Construct<'_>) {
    if let Some(parameter) = c.tracer.builder.trace_mut().parameters.last_mut() {
        parameter.requires_grad = false;
    }
}

fn embedding_bag(c: &mut Construct<'_>) -> Result<()> {
    let shape = vec![
        c.arguments.size("num_embeddings")?,
        c.arguments.size("embedding_dim")?,
    ];
    let mode = c.arguments.str("mode")?;
    c.require(
        matches!(mode, "sum" | "mean" | "max"),
        "mode",
        format!("'mode' is one of 'sum', 'mean' and 'max', not '{mode}'"),
    )?;
    c.attribute("mode", Value::Str(mode.into()));
    c.keep(&[
        "num_embeddings",
        "embedding_dim",
        "max_norm",
        "norm_type",
        "scale_grad_by_freq",
        "sparse",
        "include_last_offset",
        "padding_idx",
    ]);
    c.parameter("weight", shape)
}
