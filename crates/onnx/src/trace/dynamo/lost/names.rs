//! What the names and arguments of FX nodes tell.

use foldhash::HashSet;

use super::super::super::fx_text::FxArg;
use super::super::Group;

/// Operators that no counter has a rule for: views, copies, sizes, comparisons, constants.
const FREE: &str = "
    _assert_tensor_metadata _tensor_constant _to_copy _unsafe_view alias arange as_strided
    bitwise_and bitwise_not bitwise_or cat chunk clone contiguous copy cumsum detach detach_
    diff dropout empty eq expand fill flatten full full_like gather ge getitem gt index
    index_put index_select le lift_fresh_copy linspace logical_and logical_not logical_or lt
    masked_fill meshgrid movedim narrow ne new_full new_ones new_zeros ones ones_like
    permute rand randn repeat roll scalar_tensor scalar_tensor_default select select_scatter
    slice slice_scatter split split_with_sizes squeeze stack t to transpose tril triu
    type_as unbind unflatten unfold unsqueeze view where zeros zeros_like
";

/// Operators whose lists hold tensors; other lists hold sizes.
const TENSOR_LISTS: &[&str] = &[
    "aten.cat",
    "aten.stack",
    "aten.index",
    "aten.index_put",
    "aten.einsum",
    "aten.lstm",
    "aten.gru",
    "aten.rnn_tanh",
    "aten.rnn_relu",
    "aten.meshgrid",
];

/// `relu` of `relu_12`.
pub fn base(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((base, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => base,
        _ => name,
    }
}

pub fn is_free(name: &str) -> bool {
    let base = base(name);
    base.starts_with("sym_")
        || base.starts_with("_assert")
        || FREE.split_whitespace().any(|free| free == base)
}

/// The FX nodes whose tensors a group takes.
pub fn taken<'a>(group: &Group<'a>) -> Vec<&'a str> {
    let lists = TENSOR_LISTS.contains(&group.op().as_str());
    let mut out = Vec::new();
    let kwargs = group.fx.kwargs.iter().map(|(_, arg)| arg);
    for arg in group.fx.args.iter().chain(kwargs) {
        match arg {
            FxArg::Node(name) => out.push(*name),
            FxArg::List(items) if lists => out.extend(items.iter().filter_map(|item| match item {
                FxArg::Node(name) => Some(*name),
                _ => None,
            })),
            _ => {}
        }
    }
    out
}

/// Every FX node that an argument names, each once.
pub fn named<'a>(group: &Group<'a>) -> HashSet<&'a str> {
    fn collect<'a>(arg: &FxArg<'a>, out: &mut HashSet<&'a str>) {
        match arg {
            FxArg::Node(name) => {
                out.insert(name);
            }
            FxArg::List(items) => items.iter().for_each(|item| collect(item, out)),
            _ => {}
        }
    }
    let mut out = HashSet::default();
    let kwargs = group.fx.kwargs.iter().map(|(_, arg)| arg);
    group
        .fx
        .args
        .iter()
        .chain(kwargs)
        .for_each(|arg| collect(arg, &mut out));
    out
}
