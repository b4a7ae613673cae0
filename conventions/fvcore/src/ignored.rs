//! Operators that are not reported as unsupported.

/// Names without `aten::`: `_IGNORED_OPS` in fvcore/nn/jit_analysis.py of fvcore 0.1.5.post20221221.
const IGNORED: &[&str] = &[
    "Int",
    "ScalarImplicit",
    "__and__",
    "arange",
    "bitwise_not",
    "cat",
    "chunk",
    "clamp",
    "clamp_",
    "constant_pad_nd",
    "contiguous",
    "copy_",
    "detach",
    "dropout",
    "empty",
    "eq",
    "expand",
    "flatten",
    "floor",
    "floor_divide",
    "full",
    "full_like",
    "gather",
    "ge",
    "gt",
    "index",
    "index_put_",
    "masked_fill",
    "max",
    "narrow",
    "new_empty",
    "new_full",
    "new_zeros",
    "nonzero",
    "ones",
    "permute",
    "relu",
    "relu_",
    "remainder",
    "reshape",
    "roll",
    "select",
    "size",
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "stack",
    "t",
    "to",
    "transpose",
    "type_as",
    "unbind",
    "unsqueeze",
    "unsqueeze_",
    "view",
    "zeros",
    "zeros_like",
];

/// Whether fvcore passes over nodes of a kind in silence.
pub fn is_ignored(kind: &str) -> bool {
    kind.strip_prefix("aten::")
        .is_some_and(|name| IGNORED.binary_search(&name).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(IGNORED.is_sorted());
        assert!(is_ignored("aten::relu_") && !is_ignored("aten::add") && !is_ignored("relu_"));
    }
}
