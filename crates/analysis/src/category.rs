//! What kind of work a call does, by the operators inside it.
//!
//! Causes are named by the work, not by a tool's word for it: whether a tool hooks `nn.ReLU`,
//! patches `F.relu` or logs `aten.relu`, it counts an activation.

use std::fmt;

use modelcost_core::trace::{CallId, Target, Trace};
use serde::Serialize;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Category {
    Convolution,
    Linear,
    AttentionProduct,
    MatrixProduct,
    Attention,
    Recurrent,
    Normalization,
    Activation,
    Softmax,
    Pooling,
    Resampling,
    Elementwise,
    Reduction,
    Embedding,
    Other,
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Category::Convolution => "convolutions",
            Category::Linear => "linear layers",
            Category::AttentionProduct => "attention products",
            Category::MatrixProduct => "matrix products",
            Category::Attention => "attention layers",
            Category::Recurrent => "recurrent layers",
            Category::Normalization => "normalization",
            Category::Activation => "activations",
            Category::Softmax => "softmax",
            Category::Pooling => "pooling",
            Category::Resampling => "resampling",
            Category::Elementwise => "elementwise arithmetic",
            Category::Reduction => "reductions",
            Category::Embedding => "embeddings",
            Category::Other => "other work",
        })
    }
}

/// Operators by the work they do. Names that begin with an entry followed by `_` or a digit belong
/// to it too (`aten.conv2d`, `aten.relu_`).
const OPERATORS: &[(Category, &[&str])] = &[
    (
        Category::Convolution,
        &[
            "conv",
            "convolution",
            "_convolution",
            "conv_transpose",
            "deform_conv",
            "conv_depthwise",
        ],
    ),
    (
        Category::Linear,
        &["linear", "addmm", "bilinear", "_trilinear"],
    ),
    (
        Category::AttentionProduct,
        &["scaled_dot_product_attention", "_scaled_dot_product"],
    ),
    (
        Category::MatrixProduct,
        &[
            "matmul",
            "mm",
            "bmm",
            "baddbmm",
            "einsum",
            "mv",
            "addmv",
            "addbmm",
            "dot",
            "tensordot",
            "chain_matmul",
        ],
    ),
    (
        Category::Recurrent,
        &[
            "lstm",
            "gru",
            "rnn_tanh",
            "rnn_relu",
            "mkldnn_rnn_layer",
            "lstm_cell",
            "gru_cell",
            "rnn_tanh_cell",
            "rnn_relu_cell",
        ],
    ),
    (
        Category::Normalization,
        &[
            "batch_norm",
            "layer_norm",
            "group_norm",
            "instance_norm",
            "rms_norm",
            "native_batch_norm",
            "native_layer_norm",
            "native_group_norm",
            "local_response_norm",
            "_native_batch_norm_legit",
        ],
    ),
    (
        Category::Softmax,
        &[
            "softmax",
            "log_softmax",
            "_softmax",
            "_log_softmax",
            "softmin",
        ],
    ),
    (
        Category::Activation,
        &[
            "relu",
            "relu6",
            "leaky_relu",
            "prelu",
            "elu",
            "selu",
            "celu",
            "gelu",
            "silu",
            "mish",
            "sigmoid",
            "tanh",
            "hardswish",
            "hardsigmoid",
            "hardtanh",
            "hardshrink",
            "softplus",
            "softshrink",
            "softsign",
            "logsigmoid",
            "log_sigmoid",
            "threshold",
            "tanhshrink",
            "rrelu",
            "glu",
        ],
    ),
    (
        Category::Pooling,
        &[
            "max_pool",
            "avg_pool",
            "adaptive_avg_pool",
            "adaptive_max_pool",
            "lp_pool",
            "fractional_max_pool",
            "max_unpool",
        ],
    ),
    (
        Category::Resampling,
        &[
            "upsample",
            "_upsample",
            "interpolate",
            "grid_sampler",
            "pixel_shuffle",
        ],
    ),
    (
        Category::Elementwise,
        &[
            "add",
            "sub",
            "mul",
            "div",
            "pow",
            "sqrt",
            "rsqrt",
            "exp",
            "log",
            "neg",
            "abs",
            "maximum",
            "minimum",
            "where",
            "masked_fill",
            "clamp",
            "rsub",
            "reciprocal",
            "addcmul",
            "addcdiv",
            "sin",
            "cos",
            "erf",
            "square",
        ],
    ),
    (
        Category::Reduction,
        &[
            "mean",
            "sum",
            "max",
            "min",
            "amax",
            "amin",
            "var",
            "std",
            "norm",
            "argmax",
            "argmin",
            "cumsum",
            "prod",
            "linalg_vector_norm",
        ],
    ),
    (
        Category::Embedding,
        &["embedding", "embedding_bag", "_embedding_bag"],
    ),
];

/// The kind of work an operator does; `None` for moving data around.
pub fn of_operator(name: &str) -> Option<Category> {
    let (_, short) = name.rsplit_once('.').unwrap_or(("", name));
    let fits = |entry: &str| {
        short.strip_prefix(entry).is_some_and(|rest| {
            rest.is_empty()
                || rest == "_"
                || rest.starts_with(|c: char| c.is_ascii_digit())
                || rest.starts_with("_with")
                || (rest.starts_with('_')
                    && !matches!(
                        entry,
                        "add" | "max" | "min" | "log" | "mean" | "sum" | "linear"
                    ))
        })
    };
    // The longest entry that fits: `max_pool2d` is pooling, not a maximum.
    OPERATORS
        .iter()
        .flat_map(|(category, names)| names.iter().map(move |name| (*category, *name)))
        .filter(|(_, name)| fits(name))
        .max_by_key(|(_, name)| name.len())
        .map(|(category, _)| category)
}

/// The kind of work a call does: that of the weightiest operator in it. A call that multiplies
/// both by parameters and by activations is an attention layer. An operator inside another does
/// what the outer one is for: `aten.linear` stays a linear layer when it dispatches to `aten.mm`.
pub fn of_call(trace: &Trace, call: CallId) -> Category {
    let call = outermost_operator(trace, call);
    let mut found: Vec<Category> = Vec::new();
    let own = std::iter::once((call, trace.call(call)));
    for (id, inner) in own.chain(trace.inside(call)) {
        let Target::Operator(name) = &inner.target else {
            continue;
        };
        let outermost = inner
            .parent
            .is_none_or(|parent| !matches!(trace.call(parent).target, Target::Operator(_)));
        if !outermost && id != call {
            continue;
        }
        if let Some(category) = of_operator(name)
            && !found.contains(&category)
        {
            found.push(category);
        }
    }
    let has = |category| found.contains(&category);
    if has(Category::Linear)
        && (has(Category::AttentionProduct)
            || (has(Category::MatrixProduct) && has(Category::Softmax)))
    {
        return Category::Attention;
    }
    found.into_iter().min().unwrap_or(Category::Other)
}

fn outermost_operator(trace: &Trace, call: CallId) -> CallId {
    let is_operator = |id: CallId| matches!(trace.call(id).target, Target::Operator(_));
    let mut at = call;
    while let Some(parent) = trace.call(at).parent
        && is_operator(at)
        && is_operator(parent)
    {
        at = parent;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_kinds() {
        for (name, expected) in [
            ("aten.conv2d", Some(Category::Convolution)),
            ("aten.max_pool2d", Some(Category::Pooling)),
            ("aten.max", Some(Category::Reduction)),
            ("aten.relu_", Some(Category::Activation)),
            ("aten.add_", Some(Category::Elementwise)),
            ("aten.addmm", Some(Category::Linear)),
            ("aten.log_softmax", Some(Category::Softmax)),
            (
                "aten.scaled_dot_product_attention",
                Some(Category::AttentionProduct),
            ),
            (
                "aten._scaled_dot_product_flash_attention_for_cpu",
                Some(Category::AttentionProduct),
            ),
            ("aten.upsample_bilinear2d", Some(Category::Resampling)),
            ("aten.adaptive_avg_pool2d", Some(Category::Pooling)),
            ("aten.view", None),
            ("aten.transpose", None),
        ] {
            assert_eq!(of_operator(name), expected, "{name}");
        }
    }
}
