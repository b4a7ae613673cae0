//! Sums, means, extremes, norms, sorting, and picking by index.

use super::{ALL, BOTH, Entry, F, LINALG, METHOD, METHOD_, TORCH};
macro_rules! over {
    ($name:literal, $doc:literal) => {
        Entry::line(
            BOTH,
            concat!($name, "(input, dim=None, keepdim=False)"),
            concat!("aten.", $name, "(input, dim, keepdim)"),
            $doc,
        )
    };
    ($name:literal, typed, $doc:literal) => {
        Entry::line(
            BOTH,
            concat!($name, "(input, dim=None, keepdim=False, *, dtype=None)"),
            concat!("aten.", $name, "(input, dim, keepdim, dtype=dtype)"),
            $doc,
        )
    };
}

pub(super) static FUNCTIONS: [Entry; 47] = [
    over!("sum", typed, "The sum over dimensions, or over all."),
    over!("mean", typed, "The mean over dimensions, or over all."),
    over!("prod", typed, "The product over a dimension, or over all."),
    over!("nansum", typed, "The sum of what is a number."),
    Entry::line(
        BOTH,
        "var(input, dim=None, unbiased=True, keepdim=False, *, correction=1)",
        "aten.var(input, dim, correction=correction, keepdim=keepdim)",
        "The variance over dimensions, or over all.",
    ),
    Entry::line(
        BOTH,
        "std(input, dim=None, unbiased=True, keepdim=False, *, correction=1)",
        "aten.std(input, dim, correction=correction, keepdim=keepdim)",
        "The standard deviation over dimensions, or over all.",
    ),
    Entry::line(
        TORCH,
        "var_mean(input, dim=None, unbiased=True, keepdim=False, *, correction=1)",
        "aten.var_mean(input, dim, correction=correction, keepdim=keepdim)",
        "Variance and mean over dimensions, or over all.",
    ),
    over!("amax", "The largest values over dimensions."),
    over!("amin", "The smallest values over dimensions."),
    over!(
        "max",
        "The largest value; over a dimension also where it is; or the larger of two."
    ),
    over!(
        "min",
        "The smallest value; over a dimension also where it is; or the smaller of two."
    ),
    over!("median", "The median; over a dimension also where it is."),
    over!("argmax", "Where the largest value is."),
    over!("argmin", "Where the smallest value is."),
    over!("any", "Whether any element holds."),
    over!("all", "Whether all elements hold."),
    Entry::line(
        BOTH,
        "count_nonzero(input, dim=None)",
        "aten.count_nonzero(input, dim)",
        "How many elements are not zero.",
    ),
    Entry::line(
        BOTH,
        "logsumexp(input, dim, keepdim=False)",
        "aten.logsumexp(input, dim, keepdim)",
        "log Σ eˣ.",
    ),
    Entry::line(
        BOTH,
        "norm(input, p=2, dim=None, keepdim=False, dtype=None)",
        "aten.linalg_vector_norm(input, 2 if p == 'fro' else p, dim, keepdim, dtype=dtype)",
        "The p-norm over dimensions, or over all.",
    ),
    Entry::line(
        LINALG,
        "norm(A, ord=None, dim=None, keepdim=False, *, dtype=None)",
        "aten.linalg_norm(A, ord, dim, keepdim, dtype=dtype)",
        "The norm of vectors or of matrices.",
    ),
    Entry::line(
        LINALG,
        "vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None)",
        "aten.linalg_vector_norm(x, ord, dim, keepdim, dtype=dtype)",
        "The norm of vectors.",
    ),
    Entry::line(
        BOTH,
        "cumsum(input, dim, *, dtype=None)",
        "aten.cumsum(input, dim, dtype=dtype)",
        "Sums up to each element.",
    ),
    Entry::line(
        BOTH,
        "cumprod(input, dim, *, dtype=None)",
        "aten.cumprod(input, dim, dtype=dtype)",
        "Products up to each element.",
    ),
    Entry::line(
        BOTH,
        "det(input)",
        "aten.det(input)",
        "Determinants of square matrices.",
    ),
    Entry::line(
        BOTH,
        "logdet(input)",
        "aten.logdet(input)",
        "Logarithms of determinants.",
    ),
    Entry::line(
        BOTH,
        "slogdet(input)",
        "aten.slogdet(input)",
        "Signs of determinants, and the logarithms of what they are without.",
    ),
    Entry::line(
        BOTH,
        "inverse(input)",
        "aten.inverse(input)",
        "Inverses of square matrices.",
    ),
    Entry::line(
        BOTH,
        "topk(input, k, dim=-1, largest=True, sorted=True)",
        "aten.topk(input, k, dim, largest, sorted)",
        "The k largest values and where they are.",
    ),
    Entry::line(
        BOTH,
        "sort(input, dim=-1, descending=False)",
        "aten.sort(input, dim, descending)",
        "In order, and where each was.",
    ),
    Entry::line(
        BOTH,
        "argsort(input, dim=-1, descending=False)",
        "aten.argsort(input, dim, descending)",
        "Where each element goes in order.",
    ),
    Entry::line(
        BOTH,
        "gather(input, dim, index)",
        "aten.gather(input, dim, index)",
        "Elements by index along a dimension.",
    ),
    Entry::line(
        ALL,
        "scatter(input, dim, index, src)",
        "aten.scatter(input, dim, index, src)",
        "Writes elements by index along a dimension.",
    ),
    Entry::line(
        ALL,
        "scatter_add(input, dim, index, src)",
        "aten.scatter_add(input, dim, index, src)",
        "Adds elements by index along a dimension.",
    ),
    Entry::line(
        ALL,
        "index_add(input, dim, index, source)",
        "aten.index_add(input, dim, index, source)",
        "Adds slices by index along a dimension.",
    ),
    Entry::line(
        BOTH,
        "index_select(input, dim, index)",
        "aten.index_select(input, dim, index)",
        "Slices by index along a dimension.",
    ),
    Entry::line(
        BOTH,
        "take_along_dim(input, indices, dim=None)",
        "aten.take_along_dim(input, indices, dim)",
        "Elements by index along a dimension.",
    ),
    Entry::line(
        BOTH,
        "masked_select(input, mask)",
        "aten.masked_select(input, mask)",
        "The elements where a mask holds.",
    ),
    Entry::line(
        BOTH,
        "nonzero(input)",
        "aten.nonzero(input)",
        "Where elements are not zero.",
    ),
    Entry::line(
        BOTH,
        "tensor_split(input, indices_or_sections, dim=0)",
        "aten.tensor_split(input, indices_or_sections, dim)",
        "Cuts a dimension at indices, or evenly.",
    ),
    Entry::line(
        F.and(TORCH),
        "cosine_similarity(x1, x2, dim=1, eps=1e-08)",
        "aten.cosine_similarity(x1, x2, dim, eps)",
        "The cosine of the angle between vectors.",
    ),
    Entry::line(
        F.and(TORCH),
        "pairwise_distance(x1, x2, p=2.0, eps=1e-06, keepdim=False)",
        "aten.pairwise_distance(x1, x2, p, eps, keepdim)",
        "The distance between vectors.",
    ),
    Entry::line(
        F,
        "one_hot(tensor, num_classes=-1)",
        "aten.one_hot(tensor, num_classes)",
        "A one at each index, zeros elsewhere.",
    ),
    Entry::line(
        F,
        "cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, \
         reduce=None, reduction='mean', label_smoothing=0.0)",
        "aten.cross_entropy_loss(input, target, weight, 1, ignore_index, label_smoothing)",
        "The mean cross entropy of scores and classes.",
    ),
    Entry::line(
        METHOD.and(METHOD_),
        "zero(input)",
        "aten.zero(input)",
        "Zeros.",
    ),
    Entry::line(
        METHOD.and(METHOD_),
        "copy(input, src, non_blocking=False)",
        "aten.copy(input, src)",
        "Another tensor's numbers.",
    ),
    Entry::line(
        METHOD,
        "new_zeros(input, *size, dtype=None, device=None)",
        "aten.new_zeros(input, size, dtype=dtype)",
        "Zeros of the same type.",
    ),
    Entry::line(
        METHOD,
        "new_ones(input, *size, dtype=None, device=None)",
        "aten.new_ones(input, size, dtype=dtype)",
        "Ones of the same type.",
    ),
];
