//! Quick answers about PyTorch's names.
//!
//! The vocabulary looks for a similar name whenever it does not know one. That is what a person
//! wants who misspelt a class, and too slow for asking at every name whether it is one.

use std::sync::OnceLock;

use foldhash::HashMap;
use modelcost_core::convention::closest;
use modelcost_torch::{ClassInfo, Parametrization};

/// A class of PyTorch or torchvision by any name it is imported under.
pub(crate) fn class(name: &str) -> Option<ClassInfo> {
    modelcost_torch::class(name)
}

/// Whether a name is one of PyTorch's functions.
pub(crate) fn is_function(name: &str) -> bool {
    static NAMES: OnceLock<HashMap<&'static str, ()>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        modelcost_torch::functions()
            .map(|function| (function.short_name(), ()))
            .collect()
    });
    let short = last(name);
    // `relu_`, and `operator.iadd`, are found under `relu` and `add`.
    let plain = [
        Some(short),
        short.strip_suffix('_'),
        short.strip_prefix('i'),
    ];
    let known = plain
        .into_iter()
        .flatten()
        .any(|name| names.contains_key(name));
    known && name.contains('.') && modelcost_torch::function(name).is_some()
}

/// The operator that a name such as `torch.ops.aten.relu` stands for: `aten.relu`.
pub(crate) fn operator(name: &str) -> Option<&str> {
    let operator = name.strip_prefix("torch.ops.")?;
    modelcost_torch::operators::signature(operator).map(|_| operator)
}

/// What a wrapper of layers does, by the name that people import it under: `nn.utils.parametrizations.weight_norm`.
pub(crate) fn wrapper(name: &str) -> Option<Parametrization> {
    Parametrization::find(name)
}

/// Whether a name is an operator's by its form, known or not: `torch.ops.torchvision.nms`.
pub(crate) fn names_operator(name: &str) -> bool {
    let parts = name.strip_prefix("torch.ops.").map(|name| name.split('.'));
    parts.is_some_and(|parts| parts.count() >= 2)
}

/// The class or function that a dotted name may have meant.
pub(crate) fn near(dotted: &str) -> Option<String> {
    let short = last(dotted);
    let exact = modelcost_torch::classes().find(|class| class.short_name() == short);
    if let Some(class) = exact {
        return Some(class.short_name().into());
    }
    let names: Vec<String> = modelcost_torch::functions()
        .flat_map(|function| function.names())
        .collect();
    let full = dotted.replacen("F.", "torch.nn.functional.", 1);
    let same = names.iter().find(|name| last(name) == short);
    let near = same
        .map(String::as_str)
        .or_else(|| closest(&full, names.iter().map(String::as_str)))?;
    Some(near.replace("torch.nn.functional.", "F."))
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
