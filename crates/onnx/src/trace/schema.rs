//! The names of operators' arguments.

use modelcost_core::trace::{Argument, Passed};
use modelcost_core::value::Value;
use smol_str::SmolStr;

use super::fx_text::FxArg;

const BATCH_NORM: &[&str] = &[
    "input",
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "momentum",
    "eps",
];

const BATCH_NORM_TRAINING: &[&str] = &[
    "input",
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "training",
    "momentum",
    "eps",
];

const BATCH_NORM_NO_STATS: &[&str] = &["input", "weight", "bias", "training", "momentum", "eps"];

const CONVOLUTION: &[&str] = &[
    "input",
    "weight",
    "bias",
    "stride",
    "padding",
    "dilation",
    "transposed",
    "output_padding",
    "groups",
];

const RECURRENT: &[&str] = &[
    "input",
    "hx",
    "params",
    "has_biases",
    "num_layers",
    "dropout",
    "train",
    "bidirectional",
    "batch_first",
];

const NEAREST: &[&str] = &["input", "output_size", "scale_factors"];
const INTERPOLATED: &[&str] = &["input", "output_size", "align_corners", "scale_factors"];
const SOFTMAX: &[&str] = &["self", "dim", "half_to_float"];

/// Operators that only decompositions make, and the names of their arguments.
const DECOMPOSED: &[(&str, &[&str])] = &[
    ("einsum", &["equation", "tensors"]),
    ("_native_batch_norm_legit_no_training", BATCH_NORM),
    ("_native_batch_norm_legit", BATCH_NORM_TRAINING),
    (
        "native_layer_norm",
        &["input", "normalized_shape", "weight", "bias", "eps"],
    ),
    (
        "native_group_norm",
        &["input", "weight", "bias", "N", "C", "HxW", "group", "eps"],
    ),
    ("convolution", CONVOLUTION),
    ("_softmax", SOFTMAX),
    ("_log_softmax", SOFTMAX),
    ("lstm", RECURRENT),
    ("gru", RECURRENT),
    ("rnn_tanh", RECURRENT),
    ("rnn_relu", RECURRENT),
    ("upsample_bilinear2d", INTERPOLATED),
    ("upsample_bicubic2d", INTERPOLATED),
    ("upsample_trilinear3d", INTERPOLATED),
    ("upsample_linear1d", INTERPOLATED),
    ("upsample_nearest1d", NEAREST),
    ("upsample_nearest2d", NEAREST),
    ("upsample_nearest3d", NEAREST),
];

/// The names of an operator's positional arguments.
fn parameter(op: &str, target: &str, index: usize) -> SmolStr {
    let short = op.strip_prefix("aten.").unwrap_or(op);
    if short == "_native_batch_norm_legit" && target.ends_with(".no_stats") {
        let name = BATCH_NORM_NO_STATS.get(index);
        return name.copied().unwrap_or_default().into();
    }
    let known = DECOMPOSED.iter().find(|(name, _)| *name == short);
    if let Some((_, names)) = known
        // The overloads without `vec` have other arguments.
        && (!short.starts_with("upsample") || target.ends_with(".vec"))
    {
        return names.get(index).copied().unwrap_or_default().into();
    }
    if let Some(signature) = modelcost_torch::operators::signature(op)
        && let Some(parameter) = signature.parameters.get(index)
    {
        return parameter.name.clone();
    }
    match index {
        0 => "self".into(),
        1 => "other".into(),
        _ => SmolStr::default(),
    }
}

/// Positional arguments under the names of the operator's schema.
pub(super) fn named(op: &str, target: &str, values: Vec<Value>) -> Vec<Argument> {
    values
        .into_iter()
        .enumerate()
        .map(|(index, value)| Argument {
            name: parameter(op, target, index),
            value,
            passed: Passed::Position,
        })
        .collect()
}

/// The same of arguments that are still text.
pub(super) fn named_args<'g, 'a>(
    op: &str,
    target: &str,
    args: &'g [FxArg<'a>],
) -> Vec<(&'static str, &'g FxArg<'a>)> {
    /// The names that shapes depend on.
    const NAMES: &[&str] = &[
        "input",
        "weight",
        "bias",
        "normalized_shape",
        "params",
        "running_mean",
        "running_var",
        "self",
        "hx",
    ];
    args.iter()
        .enumerate()
        .map(|(index, arg)| {
            let name = parameter(op, target, index);
            let known = NAMES.iter().find(|known| **known == name);
            (known.copied().unwrap_or("other"), arg)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overloads_name_their_own_arguments() {
        let names = |target: &str| -> Vec<SmolStr> {
            let op = "aten._native_batch_norm_legit";
            (0..5).map(|index| parameter(op, target, index)).collect()
        };
        // native_functions.yaml of torch 2.15.
        let with_averages = ["input", "weight", "bias", "running_mean", "running_var"];
        assert_eq!(
            names("aten._native_batch_norm_legit.default"),
            with_averages
        );
        let without = ["input", "weight", "bias", "training", "momentum"];
        assert_eq!(names("aten._native_batch_norm_legit.no_stats"), without);
    }
}
