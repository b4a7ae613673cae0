//! Which functions of PyTorch call which operators.

use super::super::piece::{BUILTIN, FUNCTION, METHOD};

const WRAPPER: &str = "wrapper_descriptor";

/// What functions other than the one of the same name call an operator, and by which name it goes
/// when the line does not say.
pub struct Origin {
    pub op: &'static str,
    pub kind: &'static str,
    pub name: &'static str,
    pub others: &'static [&'static str],
}

const fn origin(
    op: &'static str,
    kind: &'static str,
    name: &'static str,
    others: &'static [&'static str],
) -> Origin {
    Origin {
        op,
        kind,
        name,
        others,
    }
}

/// From the `torch_fn` of the programs that `torch.export` makes of the same models, torch 2.15.
pub const ORIGINS: &[Origin] = &[
    origin("_log_softmax", FUNCTION, "log_softmax", &[]),
    origin(
        "_native_batch_norm_legit_no_training",
        FUNCTION,
        "batch_norm",
        &[],
    ),
    origin("_softmax", FUNCTION, "softmax", &[]),
    origin(
        "_unsafe_view",
        METHOD,
        "reshape",
        &["view", "flatten", "contiguous", "unflatten"],
    ),
    origin("add", METHOD, "add", &["add_"]),
    origin("alias", WRAPPER, "__getitem__", &["detach"]),
    origin("amax", METHOD, "amax", &["max"]),
    origin("argmax", METHOD, "argmax", &[]),
    origin(
        "as_strided",
        METHOD,
        "permute",
        &["expand", "view", "transpose"],
    ),
    origin("batch_norm", FUNCTION, "batch_norm", &[]),
    origin("bmm", BUILTIN, "bmm", &[]),
    origin("cat", BUILTIN, "cat", &["concat", "concatenate"]),
    origin("celu", FUNCTION, "celu", &["celu_"]),
    origin("clamp", BUILTIN, "clamp", &["clip", "clamp_"]),
    origin(
        "clone",
        METHOD,
        "contiguous",
        &["clone", "reshape", "flatten"],
    ),
    origin("div", METHOD, "div", &["div_", "true_divide"]),
    origin("elu", FUNCTION, "elu", &["elu_"]),
    origin("embedding", FUNCTION, "embedding", &[]),
    origin("exp", METHOD, "exp", &[]),
    origin("expand", METHOD, "expand", &["expand_as", "broadcast_to"]),
    origin("fill", WRAPPER, "__setitem__", &["fill_"]),
    origin("glu", FUNCTION, "glu", &[]),
    origin("grid_sampler", FUNCTION, "grid_sample", &[]),
    origin("group_norm", FUNCTION, "group_norm", &[]),
    origin("hardsigmoid", FUNCTION, "hardsigmoid", &[]),
    origin("hardswish", FUNCTION, "hardswish", &[]),
    origin("hardtanh", FUNCTION, "hardtanh", &["relu6", "hardtanh_"]),
    origin("index", WRAPPER, "__getitem__", &[]),
    origin("instance_norm", FUNCTION, "instance_norm", &[]),
    origin("layer_norm", FUNCTION, "layer_norm", &[]),
    origin("leaky_relu", FUNCTION, "leaky_relu", &["leaky_relu_"]),
    origin("log_softmax", FUNCTION, "log_softmax", &[]),
    origin("masked_fill", METHOD, "masked_fill", &["masked_fill_"]),
    origin("matmul", METHOD, "matmul", &["mm"]),
    origin("max_pool1d", FUNCTION, "max_pool1d", &[]),
    origin("max_pool2d", FUNCTION, "max_pool2d", &[]),
    origin("max_pool3d", FUNCTION, "max_pool3d", &[]),
    origin("mean", METHOD, "mean", &[]),
    origin("mish", FUNCTION, "mish", &[]),
    origin("mul", METHOD, "mul", &["mul_"]),
    origin("native_group_norm", FUNCTION, "group_norm", &[]),
    origin("native_layer_norm", FUNCTION, "layer_norm", &[]),
    origin("neg", METHOD, "neg", &[]),
    origin("new_zeros", METHOD, "new_zeros", &[]),
    origin("normalize", FUNCTION, "normalize", &[]),
    origin("pad", FUNCTION, "pad", &[]),
    origin("permute", METHOD, "permute", &[]),
    origin("pow", METHOD, "pow", &[]),
    origin("relu", FUNCTION, "relu", &["relu_"]),
    origin("relu6", FUNCTION, "relu6", &[]),
    origin("repeat", METHOD, "repeat", &[]),
    origin("rms_norm", FUNCTION, "rms_norm", &[]),
    origin("select", WRAPPER, "__getitem__", &["select"]),
    origin("selu", FUNCTION, "selu", &["selu_"]),
    origin("silu", FUNCTION, "silu", &[]),
    origin("slice", WRAPPER, "__getitem__", &[]),
    origin("slice_scatter", WRAPPER, "__setitem__", &[]),
    origin("softmax", FUNCTION, "softmax", &[]),
    origin("softmin", FUNCTION, "softmin", &[]),
    origin("split", METHOD, "split", &["chunk", "tensor_split"]),
    origin("split_with_sizes", METHOD, "split", &["chunk"]),
    origin("squeeze", METHOD, "squeeze", &[]),
    origin("sub", METHOD, "sub", &["sub_", "rsub"]),
    origin("sum", METHOD, "sum", &[]),
    origin("tanhshrink", FUNCTION, "tanhshrink", &[]),
    origin("threshold", FUNCTION, "threshold", &[]),
    origin(
        "transpose",
        METHOD,
        "transpose",
        &["swapaxes", "swapdims", "t"],
    ),
    origin("unbind", METHOD, "unbind", &[]),
    origin("unsafe_split", METHOD, "chunk", &["split"]),
    origin("unsqueeze", METHOD, "unsqueeze", &[]),
    origin("upsample_bicubic2d", FUNCTION, "interpolate", &["upsample"]),
    origin(
        "upsample_bilinear2d",
        FUNCTION,
        "interpolate",
        &["upsample"],
    ),
    origin("upsample_linear1d", FUNCTION, "interpolate", &["upsample"]),
    origin("upsample_nearest1d", FUNCTION, "interpolate", &["upsample"]),
    origin("upsample_nearest2d", FUNCTION, "interpolate", &["upsample"]),
    origin("upsample_nearest3d", FUNCTION, "interpolate", &["upsample"]),
    origin(
        "upsample_trilinear3d",
        FUNCTION,
        "interpolate",
        &["upsample"],
    ),
    origin(
        "view",
        METHOD,
        "view",
        &["reshape", "flatten", "unflatten", "view_as"],
    ),
    origin("zero", METHOD, "zero_", &[]),
];

/// Functions of `torch.nn.functional` that call several operators, or one of another name.
pub const COMPOSITE: &[&str] = &[
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "cross_entropy",
    "fold",
    "gumbel_softmax",
    "local_response_norm",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "multi_head_attention_forward",
    "normalize",
    "rms_norm",
    "scaled_dot_product_attention",
    "tanhshrink",
    "softsign",
    "softmin",
    "unfold",
];

/// Functions that are one operator for PyTorch, which the exporter takes apart: their kinds.
pub const TAKEN_APART: &[(&str, &str)] = &[
    ("_weight_norm", BUILTIN),
    ("binary_cross_entropy", FUNCTION),
    ("binary_cross_entropy_with_logits", FUNCTION),
    ("cdist", FUNCTION),
    ("cosine_embedding_loss", FUNCTION),
    ("cosine_similarity", BUILTIN),
    ("hinge_embedding_loss", FUNCTION),
    ("huber_loss", FUNCTION),
    ("kl_div", FUNCTION),
    ("l1_loss", FUNCTION),
    ("margin_ranking_loss", FUNCTION),
    ("pairwise_distance", BUILTIN),
    ("poisson_nll_loss", FUNCTION),
    ("smooth_l1_loss", FUNCTION),
    ("soft_margin_loss", FUNCTION),
    ("triplet_margin_loss", FUNCTION),
];

/// Functions of `torch.nn.functional` that are the method and nothing else.
pub const METHODS: &[&str] = &["sigmoid", "tanh"];

/// Functions of `torch._VF`, which recurrent layers call and the exporter may unroll.
pub const RECURRENT: &[&str] = &[
    "gru",
    "gru_cell",
    "lstm",
    "lstm_cell",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
];

/// Operators of ATen, the signs that change their left side by them, and the methods of that.
pub const INFIX: &[(&str, &str, &str)] = &[
    ("add", "+=", "add_"),
    ("sub", "-=", "sub_"),
    ("mul", "*=", "mul_"),
    ("div", "/=", "div_"),
];

/// Operators of Python that call an operator of ATen.
pub const SIGNS: &[(&str, &str)] = &[
    ("add", "+"),
    ("sub", "-"),
    ("rsub", "-"),
    ("mul", "*"),
    ("div", "/"),
    ("matmul", "@"),
    ("pow", "**"),
    ("neg", "-"),
    ("reciprocal", "/"),
    ("remainder", "%"),
    ("floor_divide", "//"),
];

/// Operators that others are made of when the exporter takes them apart.
const ELEMENTARY: &[&str] = &[
    "abs",
    "add",
    "addmm",
    "amax",
    "amin",
    "baddbmm",
    "bmm",
    "clamp",
    "clamp_max",
    "clamp_min",
    "div",
    "dot",
    "exp",
    "log",
    "matmul",
    "maximum",
    "mean",
    "minimum",
    "mm",
    "mul",
    "mv",
    "neg",
    "pow",
    "reciprocal",
    "rsqrt",
    "rsub",
    "sqrt",
    "sub",
    "sum",
];

/// Whether an operator may be a part of another one.
pub fn is_elementary(op: &str) -> bool {
    ELEMENTARY.contains(&op.strip_prefix("aten.").unwrap_or(op))
}

/// Whether a function has an operator of its own name.
pub fn is_operator(name: &str) -> bool {
    ORIGINS.iter().any(|origin| origin.op == name) || is_elementary(name)
}
