//! What operators make of the layout of what they are given.

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;

use super::at_least_one;

/// Operators that return channels last what they are given channels last, and everything else dense
/// (`suggest_memory_format` of c10/core/TensorImpl.h, as each asks for it; tried with torch 2.15.0 on a CPU).
pub(super) const CHANNELS_LAST: &[&str] = &[
    "_upsample_bicubic2d_aa",
    "_upsample_bilinear2d_aa",
    "_upsample_nearest_exact2d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "channel_shuffle",
    "constant_pad_nd",
    "conv2d",
    "conv3d",
    "conv_transpose2d",
    "group_norm",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
    "max_unpool2d",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "reflection_pad2d",
    "replication_pad2d",
    "replication_pad3d",
    "rms_norm",
    "roll",
    "upsample_bicubic2d",
    "upsample_bilinear2d",
    "upsample_nearest2d",
    "upsample_nearest3d",
    "upsample_trilinear3d",
];

/// Operators that work element by element, and others whose output has its dimensions in memory in the order of their
/// input's (tried with torch 2.15.0 on a CPU; `log_sigmoid`, `rrelu` and `masked_fill` are not among them).
pub(super) const IN_ORDER: &[&str] = &[
    "_to_copy",
    "abs",
    "acos",
    "acosh",
    "add",
    "addcdiv",
    "addcmul",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "ceil",
    "celu",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clone",
    "copysign",
    "cos",
    "cosh",
    "div",
    "divide",
    "dropout",
    "elu",
    "empty_like",
    "eq",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "feature_dropout",
    "flip",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "frac",
    "full_like",
    "ge",
    "gelu",
    "glu",
    "gt",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hypot",
    "le",
    "leaky_relu",
    "lerp",
    "log",
    "log10",
    "log1p",
    "log2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "maximum",
    "minimum",
    "mish",
    "mul",
    "multiply",
    "nan_to_num",
    "ne",
    "neg",
    "ones_like",
    "pow",
    "prelu",
    "rand_like",
    "randn_like",
    "reciprocal",
    "relu",
    "relu6",
    "remainder",
    "round",
    "rsqrt",
    "rsub",
    "selu",
    "sgn",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "softplus",
    "softshrink",
    "softsign",
    "sort",
    "special_expit",
    "sqrt",
    "square",
    "sub",
    "subtract",
    "tan",
    "tanh",
    "tanhshrink",
    "threshold",
    "to",
    "true_divide",
    "trunc",
    "type_as",
    "where",
    "xlogy",
    "zeros_like",
];

/// `is_channels_last_strides_2d` and `_3d` of c10/core/MemoryFormat.h.
pub fn is_channels_last(shape: &[Dim], strides: &[Dim]) -> bool {
    if !matches!(shape.len(), 4 | 5) || strides.len() != shape.len() {
        return false;
    }
    let mut least = Dim::ZERO;
    let inner_first = std::iter::once(1).chain((2..shape.len()).rev()).chain([0]);
    for at in inner_first {
        let (Some(size), Some(stride), Some(before)) =
            (shape[at].as_i64(), strides[at].as_i64(), least.as_i64())
        else {
            return false;
        };
        // A batch of one of a single channel is dense as well.
        let dense = at == 0 && before == strides[1].as_i64().unwrap_or(0);
        if size == 0 || stride < before || dense {
            return false;
        }
        // What a file says may be larger than any tensor: a `Dim` keeps that apart.
        least = match size > 1 {
            true => &strides[at] * &shape[at],
            false => strides[at].clone(),
        };
    }
    true
}

/// The strides of a new tensor whose channels follow one another.
pub fn channels_last(shape: &[Dim]) -> Shape {
    let mut out = vec![Dim::ONE; shape.len()];
    let mut next = at_least_one(&shape[1]);
    for at in (2..shape.len()).rev().chain([0]) {
        out[at] = next.clone();
        next *= &at_least_one(&shape[at]);
    }
    out
}

/// The strides of a new tensor whose dimensions are in memory in the order of another's. An expanded
/// one is written out as it is seen.
pub(super) fn ordered(shape: &[Dim], like: &[Dim]) -> Option<Shape> {
    if like.len() != shape.len() || like.contains(&Dim::ZERO) {
        return None;
    }
    let sizes: Option<Vec<i64>> = like.iter().map(Dim::as_i64).collect();
    let Some(sizes) = sizes else {
        return Some(like.to_vec());
    };
    let mut order: Vec<usize> = (0..shape.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(sizes[*at]));
    Some(in_memory(shape, order))
}

/// The strides of a new tensor whose dimensions are in memory in this order, the outermost first.
pub(super) fn in_memory(shape: &[Dim], order: Vec<usize>) -> Shape {
    let mut out = vec![Dim::ONE; shape.len()];
    let mut next = Dim::ONE;
    for at in order.into_iter().rev() {
        out[at] = next.clone();
        next *= &at_least_one(&shape[at]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::dense_strides;
    use super::*;

    #[test]
    fn channels_that_follow_one_another() {
        // torch.randn(2, 6, 8, 4).permute(0, 3, 1, 2), and max_pool2d(_, 2) of it, in torch 2.15.0.
        let dims = |sizes: &[i64]| -> Shape { sizes.iter().map(|size| Dim::from(*size)).collect() };
        let shape = dims(&[2, 4, 6, 8]);
        assert!(is_channels_last(&shape, &dims(&[192, 1, 32, 4])));
        assert!(!is_channels_last(&shape, &dense_strides(&shape)));
        assert_eq!(channels_last(&dims(&[2, 4, 3, 4])), dims(&[48, 1, 16, 4]));
        let (half, large) = (1_i64 << 33, 1_i64 << 62);
        assert!(!is_channels_last(
            &dims(&[2, 4, half, half]),
            &dims(&[large, 1, large, 4])
        ));
        // BatchNorm1d of three dimensions is dense whatever it is given.
        assert!(!is_channels_last(&dims(&[4, 32, 4]), &dims(&[128, 1, 32])));
    }
}
