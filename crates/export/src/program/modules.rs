//! The tree of modules with what they own, put together from every path that the program names.

use std::collections::{BTreeMap, HashMap, HashSet};

use modelcost_core::dtype::DType;
use modelcost_core::trace::{
    BufferId, Module, ModuleId, Origin, ParameterId, TensorId, TraceBuilder,
};
use modelcost_core::value::Value;
use smol_str::SmolStr;

use crate::json::{Graph, InputSpec, Payloads, Program, TensorMeta};
use crate::program::flatten::Scope;
use crate::program::stack::Stacks;
use crate::symbols::{Symbols, dtype};

/// A parameter or buffer under one of its names.
struct State<'a> {
    owner: SmolStr,
    name: SmolStr,
    meta: Option<&'a TensorMeta<'a>>,
    /// The name of its value in the graph.
    value: Option<&'a str>,
    /// Which storage holds it: tied parameters share one.
    storage: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Parameter,
    Buffer { persistent: bool },
}

/// The tree and what the graph calls its parameters and buffers.
pub struct Tree<'a> {
    /// Modules by every path that leads to them.
    pub by_path: HashMap<SmolStr, ModuleId>,
    /// Values of the graph that are parameters or buffers.
    pub values: Scope<'a>,
}

/// Storages by the full name of the parameter or buffer.
pub type Storages = HashMap<String, String>;

/// Reads which storage holds what from `model_weights_config.json`.
pub fn storages(payloads: &Payloads<'_>) -> Storages {
    let entries = payloads.config.iter();
    entries
        .map(|(name, payload)| (name.to_owned(), payload.path_name.to_string()))
        .collect()
}

/// Builds the tree.
pub fn build<'a>(
    builder: &mut TraceBuilder,
    program: &'a Program<'a>,
    stacks: &[(SmolStr, Option<u64>, &'a str)],
    payloads: Option<&'a Payloads<'a>>,
    storages: &Storages,
    symbols: &mut Symbols,
) -> Tree<'a> {
    let states = states(program, payloads, storages);
    let paths = paths(program, stacks, &states);
    let mut classes: HashMap<SmolStr, &str> = HashMap::new();
    let mut identities: HashMap<SmolStr, u64> = HashMap::new();
    for (path, identity, class) in stacks {
        classes.entry(path.clone()).or_insert(class);
        if let Some(identity) = identity {
            identities.entry(path.clone()).or_insert(*identity);
        }
    }
    let same = same_modules(&paths, &states, &classes, &identities);
    let mut tree = Tree {
        by_path: HashMap::new(),
        values: Scope::new(),
    };
    for path in &paths {
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let name = path.rsplit('.').next().unwrap_or(path);
        let parent_id = tree.by_path.get(parent).copied();
        // Below the second name of a module everything is there already.
        let existing = parent_id.filter(|_| !path.is_empty()).and_then(|id| {
            let children = &builder.trace().module(id).children;
            children
                .iter()
                .find(|(child, _)| child == name)
                .map(|(_, child)| *child)
        });
        if let Some(existing) = existing {
            tree.by_path.insert(path.clone(), existing);
            continue;
        }
        let canonical = &same[path];
        let id = match tree.by_path.get(canonical) {
            Some(id) => *id,
            None => builder.module(Module::default()),
        };
        tree.by_path.insert(path.clone(), id);
        if let (Some(parent), false) = (parent_id, path.is_empty()) {
            builder.add_child(parent, name, id);
        }
    }
    register(
        builder,
        &mut tree,
        states,
        symbols,
        &program.graph_module.graph,
    );
    tree
}

/// All parameters and buffers: those of the signature, then those that only the weights list.
fn states<'a>(
    program: &'a Program<'a>,
    payloads: Option<&'a Payloads<'a>>,
    storages: &Storages,
) -> Vec<State<'a>> {
    let graph = &program.graph_module.graph;
    let mut out: Vec<State<'a>> = Vec::new();
    let mut known: HashSet<&'a str> = HashSet::new();
    let mut add = |full: &'a str, value: Option<&'a str>, meta, kind| {
        if !known.insert(full) {
            return;
        }
        let (owner, name) = full.rsplit_once('.').unwrap_or(("", full));
        out.push(State {
            owner: owner.into(),
            name: name.into(),
            meta,
            value,
            storage: storages
                .get(full)
                .cloned()
                .unwrap_or_else(|| format!("name:{full}")),
            kind,
        });
    };
    for spec in &program.graph_module.signature.input_specs {
        match spec {
            InputSpec::Parameter { value, name } => {
                add(
                    name,
                    Some(value),
                    graph.tensor_values.get(value),
                    Kind::Parameter,
                );
            }
            InputSpec::Buffer {
                value,
                name,
                persistent,
            } => {
                let kind = Kind::Buffer {
                    persistent: *persistent,
                };
                add(name, Some(value), graph.tensor_values.get(value), kind);
            }
            _ => {}
        }
    }
    for (name, payload) in payloads.iter().flat_map(|payloads| payloads.config.iter()) {
        let kind = match payload.is_param {
            true => Kind::Parameter,
            false => Kind::Buffer { persistent: true },
        };
        add(name, None, payload.tensor_meta.as_ref(), kind);
    }
    out
}

/// Every path, parents first and otherwise in the order in which the program lists modules,
/// which is that of `named_modules(remove_duplicate=False)`.
fn paths(
    program: &Program<'_>,
    stacks: &[(SmolStr, Option<u64>, &str)],
    states: &[State<'_>],
) -> Vec<SmolStr> {
    let mut out: Vec<SmolStr> = vec![SmolStr::default()];
    let mut seen: HashSet<SmolStr> = out.iter().cloned().collect();
    let listed = program
        .graph_module
        .module_call_graph
        .iter()
        .map(|call| SmolStr::new(&*call.fqn));
    let listed = listed.filter(|path| !path.contains('@'));
    let called = stacks.iter().map(|(path, _, _)| path.clone());
    let owners = states.iter().map(|state| state.owner.clone());
    for path in listed.chain(called).chain(owners) {
        for (at, _) in path.match_indices('.') {
            let parent = SmolStr::new(&path[..at]);
            if seen.insert(parent.clone()) {
                out.push(parent);
            }
        }
        if seen.insert(path.clone()) {
            out.push(path);
        }
    }
    out
}

/// For each path the first one that leads to the same module object.
///
/// Dynamo writes the object's identity. Otherwise two paths are one module if all that is
/// registered under them, and there must be something, is the same storage.
fn same_modules(
    paths: &[SmolStr],
    states: &[State<'_>],
    classes: &HashMap<SmolStr, &str>,
    identities: &HashMap<SmolStr, u64>,
) -> HashMap<SmolStr, SmolStr> {
    let mut contents: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for state in states {
        let entry = contents.entry(&state.owner).or_default();
        entry.push((&state.name, &state.storage));
    }
    let mut below: HashMap<&str, Vec<(&str, &str)>> = HashMap::new();
    for path in paths {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        if !path.is_empty() {
            below.entry(parent).or_default().push((name, path));
        }
    }
    // Bottom up: a module is known by what it owns and by the modules below it.
    let mut order: Vec<&SmolStr> = paths.iter().collect();
    order.sort_by_key(|path| {
        std::cmp::Reverse(path.matches('.').count() + !path.is_empty() as usize)
    });
    let mut first: HashMap<String, SmolStr> = HashMap::new();
    let mut by_identity: HashMap<u64, SmolStr> = HashMap::new();
    let mut out: HashMap<SmolStr, SmolStr> = HashMap::new();
    let mut owning: HashSet<SmolStr> = HashSet::new();
    for path in order {
        let mut canonical = path.clone();
        let own = contents.get(path.as_str());
        let children = below.get(path.as_str());
        let mut content = String::new();
        let mut owns = false;
        for (name, storage) in own.into_iter().flatten() {
            content.push_str(&format!("{name}={storage};"));
            owns = true;
        }
        for (name, child) in children.into_iter().flatten() {
            let child = &out[*child];
            owns |= owning.contains(child);
            // A child without parameters has no identity of its own.
            let identity = if owning.contains(child) {
                child.as_str()
            } else {
                ""
            };
            content.push_str(&format!("{name}:{identity};"));
        }
        if owns {
            owning.insert(path.clone());
            if let Some(earlier) = first.get(&content) {
                let (a, b) = (classes.get(earlier), classes.get(path));
                if a.is_none() || b.is_none() || a == b {
                    canonical = earlier.clone();
                }
            } else {
                first.insert(content, path.clone());
            }
        }
        if let Some(identity) = identities.get(path) {
            match by_identity.get(identity) {
                Some(earlier) => canonical = earlier.clone(),
                None => {
                    by_identity.insert(*identity, canonical.clone());
                }
            }
        }
        if path.is_empty() {
            canonical = SmolStr::default();
        }
        out.insert(path.clone(), canonical);
    }
    // The module belongs to the path that comes first in the tree, not to the deepest.
    let mut representative: HashMap<SmolStr, SmolStr> = HashMap::new();
    for path in paths {
        let canonical = out[path].clone();
        representative
            .entry(canonical)
            .or_insert_with(|| path.clone());
    }
    out.values_mut()
        .for_each(|canonical| *canonical = representative[canonical].clone());
    out
}

/// Registers parameters and buffers with their modules.
fn register<'a>(
    builder: &mut TraceBuilder,
    tree: &mut Tree<'a>,
    states: Vec<State<'a>>,
    symbols: &mut Symbols,
    graph: &'a Graph<'a>,
) {
    let mut parameters: HashMap<String, ParameterId> = HashMap::new();
    let mut buffers: HashMap<String, BufferId> = HashMap::new();
    for state in states {
        let Some(owner) = tree.by_path.get(&state.owner).copied() else {
            continue;
        };
        let shape = state
            .meta
            .map(|meta| meta.sizes.iter().map(|s| symbols.dim(s)).collect());
        let shape = shape.unwrap_or_default();
        let element = state
            .meta
            .and_then(|meta| dtype(meta.dtype))
            .unwrap_or(DType::Float32);
        let full = match state.owner.as_str() {
            "" => state.name.clone(),
            owner => format!("{owner}.{}", state.name).into(),
        };
        let tensor: TensorId = match state.kind {
            Kind::Parameter => {
                let id = match parameters.get(&state.storage) {
                    Some(id) => {
                        builder.tie_parameter(owner, state.name, *id);
                        *id
                    }
                    None => {
                        let id = builder.parameter(owner, state.name, full, shape, element);
                        let trains = state.meta.is_some_and(|meta| meta.requires_grad);
                        builder.trace_mut().parameters[id.index()].requires_grad = trains;
                        parameters.insert(state.storage, id);
                        id
                    }
                };
                builder.trace().parameter(id).tensor
            }
            Kind::Buffer { persistent } => {
                let id = match buffers.get(&state.storage) {
                    Some(id) => {
                        let own = &mut builder.trace_mut().modules[owner.index()].buffers;
                        if !own.iter().any(|(name, _)| *name == state.name) {
                            own.push((state.name, *id));
                        }
                        *id
                    }
                    None => {
                        let id = builder.buffer(owner, state.name, full, shape, element);
                        builder.trace_mut().buffers[id.index()].persistent = persistent;
                        buffers.insert(state.storage, id);
                        id
                    }
                };
                builder.trace().buffers[id.index()].tensor
            }
        };
        if let Some(value) = state.value {
            tree.values.insert(value, Value::Tensor(tensor));
        }
    }
    for spec in graph.inputs.iter() {
        if let crate::json::Arg::Tensor(name) = spec
            && !tree.values.contains_key(&**name)
        {
            let meta = graph.tensor_values.get(name);
            let shape = meta.map(|meta| meta.sizes.iter().map(|s| symbols.dim(s)).collect());
            let tensor = builder.tensor(
                shape,
                meta.and_then(|meta| dtype(meta.dtype)),
                Origin::Constant,
            );
            tree.values.insert(name, Value::Tensor(tensor));
        }
    }
}

/// What the stacks say of modules: path, identity of the object, class; each path once.
pub fn called<'a>(stacks: &Stacks<'a>) -> Vec<(SmolStr, Option<u64>, &'a str)> {
    let mut seen = HashSet::new();
    let entries = stacks.entries();
    entries
        .filter(|entry| seen.insert(entry.path.clone()))
        .map(|entry| (entry.path.clone(), entry.identity(), entry.class))
        .collect()
}
