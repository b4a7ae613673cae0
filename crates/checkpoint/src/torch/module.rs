//! Whole pickled modules (`torch.save(model, …)`): an `nn.Module` is an object whose state has
//! `_parameters`, `_buffers` and `_modules`.

use std::collections::{HashMap, HashSet};

use crate::pickle::{Heap, Object, Ref, Value};
use crate::torch::tensor::{self, Storages};
use crate::torch::walk::{Group, Kind, MAX_NAME, join};

/// How deep modules may be nested.
const MAX_DEPTH: usize = 128;

/// The state of a value that is an `nn.Module`.
pub fn state(heap: &Heap<'_>, at: Ref) -> Option<Ref> {
    let Value::Object(object) = heap.get(at) else {
        return None;
    };
    let state = match heap.global(object.callee) {
        // torch.fx pickles its modules as a call on their state.
        Some(("torch.fx.graph_module", _)) => heap.elements(object.arguments)?.first().copied(),
        _ => object.state,
    }?;
    // Classes with `__slots__` give a pair.
    let state = match heap.get(state) {
        Value::Tuple(pair) => *pair.first()?,
        _ => state,
    };
    let has = |key| heap.entry(state, key).is_some();
    (has("_parameters") && has("_modules")).then_some(state)
}

/// The class of an object as `module.Name`.
pub fn class(heap: &Heap<'_>, object: &Object) -> Option<String> {
    let class = match heap.global(object.callee) {
        // Protocols 0 and 1.
        Some(("copyreg" | "copy_reg", "_reconstructor")) => {
            heap.elements(object.arguments)?.first().copied()?
        }
        Some(("torch.fx.graph_module", _)) => return Some("torch.fx.GraphModule".into()),
        _ => object.callee,
    };
    let class = match heap.get(class) {
        // Legacy files keep a class's source beside it: ("module", class, file, source).
        Value::Persistent(id) => *heap.elements(*id)?.get(1)?,
        _ => class,
    };
    let (module, name) = heap.global(class)?;
    let name = format!("{module}.{name}");
    (name.len() <= MAX_NAME).then_some(name)
}

/// Adds a module's parameters and buffers, and those of all modules in it. A module that stands in
/// several places is read once, as `named_parameters` has it. The error is a sentence.
pub fn read(
    heap: &Heap<'_>,
    storages: &mut Storages<'_>,
    root: Ref,
    group: &mut Group,
) -> Result<(), String> {
    let mut seen = HashSet::new();
    // What is still to be read, the next one last.
    let mut open = vec![(root, String::new(), 0)];
    while let Some((at, path, depth)) = open.pop() {
        let (Some(state), Value::Object(object)) = (state(heap, at), heap.get(at)) else {
            continue;
        };
        if !seen.insert(at) {
            continue;
        }
        if depth > MAX_DEPTH {
            return Err(format!("modules are nested more than {MAX_DEPTH} deep"));
        }
        if heap.is_exhausted() {
            return Err("its modules share more than any model's do".into());
        }
        let class = class(heap, object).unwrap_or_default();
        group.modules.push((path.clone(), class));
        let full = |name: &str| join(&path, name);
        for (name, value) in named(heap, state, "_parameters") {
            if let Some(tensor) = tensor::tensor(heap, storages, value)? {
                group.push(full(name)?, tensor, Kind::Parameter)?;
            }
        }
        for (name, value) in named(heap, state, "_buffers") {
            if let Some(tensor) = tensor::tensor(heap, storages, value)? {
                group.push(full(name)?, tensor, Kind::Buffer)?;
            }
        }
        let last = open.len();
        for (name, child) in named(heap, state, "_modules") {
            open.push((child, full(name)?, depth + 1));
        }
        open[last..].reverse();
    }
    Ok(())
}

/// The entries of one of a module's dictionaries, each name once.
fn named<'h>(
    heap: &'h Heap<'_>,
    state: Ref,
    which: &str,
) -> impl Iterator<Item = (&'h str, Ref)> + use<'h> {
    let entries = heap
        .entry(state, which)
        .and_then(|dictionary| heap.entries(dictionary))
        .unwrap_or_default();
    distinct(heap, entries).into_iter()
}

/// Entries with text keys: of equal keys the last value, at the place of the first.
pub fn distinct<'h>(heap: &'h Heap<'_>, entries: &[(Ref, Ref)]) -> Vec<(&'h str, Ref)> {
    let names = entries.iter().filter_map(|(key, _)| heap.text(*key));
    heap.look(entries.len() + names.map(str::len).sum::<usize>() / 16);
    if heap.is_exhausted() {
        return Vec::new();
    }
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
    let mut out: Vec<(&str, Ref)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let Some(name) = heap.text(*key) else {
            continue;
        };
        match places.get(name) {
            Some(place) => out[*place].1 = *value,
            None => {
                places.insert(name, out.len());
                out.push((name, *value));
            }
        }
    }
    out
}
