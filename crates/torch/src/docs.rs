//! What arguments mean, for hover and completion, in this project's own words.

/// What an argument of a class or function means, where there is more to say than its name does.
/// `callee` is a short name: `Conv2d`, `softmax`.
pub(crate) fn argument(callee: &str, argument: &str) -> Option<&'static str> {
    let base = callee.strip_prefix("Lazy").unwrap_or(callee);
    SPECIAL
        .iter()
        .find(|(callees, name, _)| *name == argument && callees.iter().any(|c| matches(c, base)))
        .map(|(_, _, doc)| *doc)
        .or_else(|| {
            let found = COMMON.iter().find(|(name, _)| *name == argument);
            found.map(|(_, doc)| *doc)
        })
}

/// A name, or a beginning followed by `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.to_lowercase().starts_with(&prefix.to_lowercase()),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

/// Arguments that mean something else, or more, for some callees.
const SPECIAL: [(&[&str], &str, &str); 39] = [
    (
        &["Conv2dNormActivation", "Conv3dNormActivation"],
        "norm_layer",
        "the class of the norm after the convolution, or None",
    ),
    (
        &["Conv2dNormActivation", "Conv3dNormActivation"],
        "activation_layer",
        "the class of the activation at the end, or None",
    ),
    (
        &["Conv2dNormActivation", "Conv3dNormActivation"],
        "padding",
        "what keeps the size at stride 1, unless given",
    ),
    (
        &["Conv2dNormActivation", "Conv3dNormActivation"],
        "bias",
        "whether the convolution has a bias; without a norm it has, unless given",
    ),
    (
        &["Conv*"],
        "padding",
        "zeros added on both sides of each dimension: one number, a tuple, or for convolutions 'same' or 'valid'",
    ),
    (
        &["Conv*"],
        "groups",
        "into how many groups the channels are split; as many as channels makes it depthwise",
    ),
    (
        &["ConvTranspose*", "conv_transpose*"],
        "output_padding",
        "how much longer the output is on one side, to choose among the sizes that a stride allows",
    ),
    (
        &["ConvTranspose*", "conv_transpose*"],
        "stride",
        "by how much the output is larger than the input",
    ),
    (
        &[
            "MaxPool*",
            "AvgPool*",
            "LPPool*",
            "max_pool*",
            "avg_pool*",
            "lp_pool*",
        ],
        "stride",
        "the step from window to window; the size of the window unless given",
    ),
    (
        &["MaxPool*", "AvgPool*", "max_pool*", "avg_pool*"],
        "padding",
        "what is added on both sides of each dimension, at most half the window",
    ),
    (
        &["AdaptiveAvgPool*", "AdaptiveMaxPool*", "adaptive_*"],
        "output_size",
        "the size of the output, whatever the input's; None keeps a dimension",
    ),
    (
        &["Embedding", "EmbeddingBag"],
        "padding_idx",
        "the index whose vector is not trained",
    ),
    (
        &["EmbeddingBag", "embedding_bag"],
        "mode",
        "'sum', 'mean' or 'max' over each bag",
    ),
    (
        &["Upsample", "interpolate", "upsample"],
        "mode",
        "'nearest', 'linear', 'bilinear', 'bicubic', 'trilinear', 'area' or 'nearest-exact'",
    ),
    (
        &["Upsample*", "interpolate", "upsample*"],
        "size",
        "the size of the output, one number for all dimensions or a tuple",
    ),
    (
        &["pad"],
        "pad",
        "two amounts for each dimension, the last dimension first: (left, right, top, bottom)",
    ),
    (
        &["pad"],
        "mode",
        "'constant', 'reflect', 'replicate' or 'circular'",
    ),
    (
        &[
            "ZeroPad*",
            "ConstantPad*",
            "ReflectionPad*",
            "ReplicationPad*",
            "CircularPad*",
        ],
        "padding",
        "one amount for all sides, or two for each dimension, the last dimension first",
    ),
    (
        &["LSTM", "GRU", "RNN"],
        "dropout",
        "dropout between the layers, none after the last",
    ),
    (
        &["LSTM"],
        "proj_size",
        "the size that hidden states are projected to; 0 for no projection",
    ),
    (
        &["MultiheadAttention"],
        "embed_dim",
        "the size of the model: of queries and of the output",
    ),
    (
        &["MultiheadAttention"],
        "kdim",
        "the size of keys; that of the model unless given",
    ),
    (
        &["MultiheadAttention"],
        "vdim",
        "the size of values; that of the model unless given",
    ),
    (
        &["MultiheadAttention"],
        "need_weights",
        "whether the attention weights are returned, which rules out fused attention",
    ),
    (
        &["MultiheadAttention"],
        "add_bias_kv",
        "whether learned vectors are added to keys and values",
    ),
    (
        &["MultiheadAttention"],
        "add_zero_attn",
        "whether a key and value of zeros are added",
    ),
    (
        &["Transformer*"],
        "activation",
        "the activation of the feed-forward network: 'relu', 'gelu', a function or a module",
    ),
    (
        &["scaled_dot_product_attention"],
        "enable_gqa",
        "whether fewer heads of keys and values are shared by the query's heads",
    ),
    (
        &["scaled_dot_product_attention"],
        "scale",
        "what scores are multiplied by; 1/√d unless given",
    ),
    (
        &["GroupNorm", "group_norm"],
        "num_groups",
        "into how many groups the channels are split",
    ),
    (
        &["StochasticDepth", "stochastic_depth"],
        "mode",
        "'batch' drops for all inputs at once, 'row' for each by itself",
    ),
    (
        &["StochasticDepth", "stochastic_depth"],
        "p",
        "the probability that the branch is dropped",
    ),
    (
        &["normalize", "norm", "pairwise_distance", "cdist"],
        "p",
        "which norm: 2 is the Euclidean",
    ),
    (
        &["view", "reshape"],
        "size",
        "the new shape; one size may be -1 and is found",
    ),
    (
        &["view", "reshape"],
        "shape",
        "the new shape; one size may be -1 and is found",
    ),
    (
        &["einsum"],
        "equation",
        "a letter for each dimension, as in 'bik,bkj->bij'; letters left out behind the arrow are summed over",
    ),
    (
        &["flatten"],
        "start_dim",
        "the first dimension of those that become one",
    ),
    (
        &["Hardtanh", "hardtanh"],
        "min_val",
        "the lower end of the range",
    ),
    (
        &["Hardtanh", "hardtanh"],
        "max_val",
        "the upper end of the range",
    ),
];

/// Arguments that mean the same wherever they appear.
const COMMON: [(&str, &str); 62] = [
    ("activation_layer", "the class of the activations"),
    ("affine", "whether it has a learned scale and shift"),
    (
        "align_corners",
        "whether the corners of input and output lie on each other",
    ),
    ("approximate", "'none', or 'tanh' for the approximation"),
    (
        "attn_mask",
        "which queries may see which keys: truth values, or numbers added to the scores",
    ),
    (
        "average_attn_weights",
        "whether the weights are averaged over the heads",
    ),
    (
        "batch_first",
        "whether inputs are (batch, sequence, features) rather than (sequence, batch, features)",
    ),
    ("bias", "whether a learned bias is added"),
    (
        "bidirectional",
        "whether a second layer reads the sequence backwards; the output is then twice as wide",
    ),
    ("ceil_mode", "whether a last, partial window counts"),
    ("chunks", "into how many pieces"),
    ("count_include_pad", "whether padding counts in the mean"),
    (
        "d_model",
        "the size of the model: the features of each token",
    ),
    (
        "device",
        "where parameters are made; of no consequence here",
    ),
    ("dilation", "the distance between the points of the kernel"),
    (
        "dim",
        "the dimension it works along; negative ones count from the end",
    ),
    ("dim_feedforward", "the width of the feed-forward network"),
    ("dropout", "the probability of dropout"),
    (
        "dropout_p",
        "the probability of dropout on the attention weights",
    ),
    ("dtype", "the element type of parameters or of the result"),
    (
        "elementwise_affine",
        "whether it has a learned scale and shift",
    ),
    ("embedding_dim", "the size of each vector"),
    ("end_dim", "the last dimension of those that become one"),
    ("eps", "a small number that keeps the division from failing"),
    ("groups", "into how many groups the channels are split"),
    (
        "hidden_channels",
        "the widths of the layers, the last one's being the output's",
    ),
    ("hidden_size", "the features of the hidden state"),
    (
        "in_channels",
        "the channels of the input; inferred when left out",
    ),
    (
        "in_features",
        "the features of the input's last dimension; inferred when left out",
    ),
    ("inplace", "whether the input is overwritten"),
    (
        "input_size",
        "the features of each step; inferred when left out",
    ),
    (
        "is_causal",
        "whether each query sees only keys up to its own place",
    ),
    ("keepdim", "whether reduced dimensions stay, with size 1"),
    (
        "kernel_size",
        "the size of the window: one number for all dimensions, or a tuple",
    ),
    (
        "key_padding_mask",
        "which keys are padding and not attended to",
    ),
    ("layer_norm_eps", "the eps of the LayerNorms"),
    (
        "momentum",
        "how fast running statistics follow the batches'",
    ),
    ("negative_slope", "the slope below zero"),
    ("nhead", "the number of attention heads"),
    ("nonlinearity", "'tanh' or 'relu'"),
    (
        "norm_first",
        "whether norms stand before attention and feed-forward rather than behind",
    ),
    ("norm_layer", "the class of the norms"),
    ("norm_type", "which norm: 2 is the Euclidean"),
    (
        "normalized_shape",
        "the sizes of the last dimensions, which are normalised over",
    ),
    (
        "num_channels",
        "the channels of the input; inferred when left out",
    ),
    ("num_embeddings", "how many vectors there are"),
    (
        "num_features",
        "the channels of the input; inferred when left out",
    ),
    ("num_heads", "the number of attention heads"),
    ("num_layers", "how many layers are stacked"),
    ("num_parameters", "1, or one slope for each channel"),
    (
        "out_channels",
        "the channels of the output: the number of filters",
    ),
    (
        "out_features",
        "the features of the output's last dimension",
    ),
    ("p", "the probability that an element is zeroed"),
    ("padding", "what is added on both sides of each dimension"),
    (
        "padding_mode",
        "what is added around the input: 'zeros', 'reflect', 'replicate' or 'circular'",
    ),
    (
        "return_indices",
        "whether the places of the largest values are returned too",
    ),
    (
        "scale_factor",
        "by how much the output is larger: one number, or one for each dimension",
    ),
    (
        "squeeze_channels",
        "the channels between the two convolutions",
    ),
    ("start_dim", "the first dimension of those that become one"),
    ("stride", "the step from window to window"),
    (
        "track_running_stats",
        "whether running statistics are kept and used outside training",
    ),
    ("upscale_factor", "by how much height and width grow"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_meaning_is_given() {
        let padding = argument("LazyConv2d", "padding").unwrap_or_default();
        assert!(padding.contains("'same'"));
        let stride = argument("max_pool2d", "stride").unwrap_or_default();
        assert!(stride.contains("unless given"));
        assert_eq!(argument("Linear", "no_such"), None);
    }

    #[test]
    fn every_argument_that_is_explained_exists() {
        let known = |name: &str| {
            let of_class = crate::classes().any(|class| {
                let forward = class.forward_signature().parameters.iter();
                let own = class.signature().parameters.iter();
                own.chain(forward).any(|parameter| parameter.name == name)
            });
            let of_function = crate::functions().any(|function| {
                let own = function.signature().parameters.iter();
                own.into_iter().any(|parameter| parameter.name == name)
            });
            of_class || of_function
        };
        let special = SPECIAL.iter().map(|(_, name, _)| *name);
        for name in COMMON.iter().map(|(name, _)| *name).chain(special) {
            assert!(known(name), "nothing has an argument '{name}'");
        }
    }
}
