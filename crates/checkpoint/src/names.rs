//! Names of tensors: natural order, and the prefixes that wrappers of a model leave.

use std::cmp::Ordering;
use std::collections::HashSet;

use crate::model::Part;

/// A path and a name below it.
pub fn join(path: &str, name: &str) -> String {
    match (path, name) {
        ("", name) => name.to_owned(),
        (path, "") => path.to_owned(),
        (path, name) => format!("{path}.{name}"),
    }
}

/// `layers.2` before `layers.10`: for files that do not keep the order of the model.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u64>(), y.parse::<u64>()) {
                (Ok(m), Ok(n)) => m.cmp(&n).then(x.cmp(y)),
                // A weight before its bias, as layers register them.
                _ => rank(x).cmp(&rank(y)).then(x.cmp(y)),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn rank(name: &str) -> usize {
    const ORDER: [&str; 5] = [
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ];
    let place = ORDER.iter().position(|known| *known == name);
    place.unwrap_or(ORDER.len())
}

/// Of how many files a file is one, by its name: `model-00001-of-00004.safetensors`.
pub fn shard_count(file: &str) -> Option<u32> {
    let stem = std::path::Path::new(file).file_stem()?.to_str()?;
    let (before, count) = stem.rsplit_once("-of-")?;
    let (_, number) = before.rsplit_once('-')?;
    number.parse::<u32>().ok()?;
    count.parse().ok().filter(|count| *count > 1)
}

/// Parts of names that stand for a wrapper and not for a module of the model, and who leaves them.
const WRAPPERS: [(&str, &str); 4] = [
    ("_orig_mod", "torch.compile"),
    ("_fsdp_wrapped_module", "FullyShardedDataParallel"),
    ("_checkpoint_wrapped_module", "checkpoint_wrapper"),
    ("_forward_module", "Lightning Fabric"),
];

/// Takes wrappers out of the names; gives those that were there, and who leaves them.
pub fn unwrap(part: &mut Part) -> Vec<(&'static str, &'static str)> {
    let mut out = Vec::new();
    for (wrapper, who) in WRAPPERS {
        let without = |name: &str| {
            let parts = name.split('.').filter(|part| *part != wrapper);
            parts.collect::<Vec<_>>().join(".")
        };
        if rename(part, without) {
            out.push((wrapper, who));
        }
    }
    let mut names = part.tensors.iter().map(|tensor| tensor.name.as_str());
    let is_parallel = |name: &str| name.starts_with("module.") || name == "n_averaged";
    if !part.tensors.is_empty() && names.all(is_parallel) {
        let without = |name: &str| {
            let inner = name.strip_prefix("module.");
            let inner = inner.or((name == "module").then_some(""));
            inner.unwrap_or(name).to_owned()
        };
        if rename(part, without) {
            out.push((
                "module",
                "DataParallel, DistributedDataParallel or AveragedModel",
            ));
        }
    }
    out
}

/// Gives new names, unless two tensors would then have the same. Says whether anything changed.
fn rename(part: &mut Part, new: impl Fn(&str) -> String) -> bool {
    let names: Vec<String> = part
        .tensors
        .iter()
        .map(|tensor| new(&tensor.name))
        .collect();
    let is_changed = names
        .iter()
        .zip(&part.tensors)
        .any(|(name, tensor)| *name != tensor.name);
    let distinct: HashSet<&String> = names.iter().collect();
    if !is_changed || distinct.len() < names.len() {
        return false;
    }
    for (tensor, name) in part.tensors.iter_mut().zip(names) {
        tensor.tied_to = tensor.tied_to.as_deref().map(&new);
        tensor.name = name;
    }
    for module in &mut part.modules {
        module.path = new(&module.path);
    }
    true
}
