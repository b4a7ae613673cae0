//! The tree of modules with what they own, put together from every path that a program names.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use foldhash::{HashMap, HashSet};
use modelcost_core::dtype::DType;
use modelcost_core::trace::{
    BufferId, Module, ModuleId, ParameterId, Shape, TensorId, TraceBuilder,
};
use modelcost_core::value::Value;
use smol_str::SmolStr;

use crate::flat::Scope;
use crate::stack::Stacks;

/// A parameter or buffer under one of its names.
#[derive(Clone, Debug)]
pub struct State<'a> {
    /// The path of the module that holds it.
    pub owner: SmolStr,
    /// Its name there.
    pub name: SmolStr,
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
    /// Whether it is trained.
    pub requires_grad: bool,
    /// The name of its value in the graph.
    pub value: Option<&'a str>,
    /// Which storage holds it: tied parameters share one.
    pub storage: String,
    /// What it is.
    pub kind: Kind,
}

/// What a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A parameter.
    Parameter,
    /// A buffer.
    Buffer {
        /// Whether `state_dict()` holds it.
        persistent: bool,
    },
}

/// What the program says of a module that it calls.
#[derive(Clone, Debug)]
pub struct Called<'a> {
    /// Its path.
    pub path: SmolStr,
    /// The identity of the module object, where the program has it.
    pub identity: Option<u64>,
    /// Its class as the program writes it.
    pub class: &'a str,
}

/// The tree and what the graph calls its parameters and buffers.
pub struct Tree<'a> {
    /// Modules by every path that leads to them.
    pub by_path: HashMap<SmolStr, ModuleId>,
    /// Values of the graph that are parameters or buffers.
    pub values: Scope<'a>,
    /// Pairs of paths of which the program does not tell whether they lead to one module.
    pub same: Vec<(SmolStr, SmolStr)>,
}

/// Builds the tree. `paths` has every path, parents first.
pub fn tree<'a>(
    builder: &mut TraceBuilder,
    paths: &[SmolStr],
    called: &[Called<'a>],
    states: Vec<State<'a>>,
) -> Tree<'a> {
    let mut classes: HashMap<SmolStr, &str> = HashMap::default();
    let mut identities: HashMap<SmolStr, u64> = HashMap::default();
    for module in called {
        classes.entry(module.path.clone()).or_insert(module.class);
        if let Some(identity) = module.identity {
            identities.entry(module.path.clone()).or_insert(identity);
        }
    }
    let Same {
        by_path: same,
        open,
    } = same_modules(paths, &states, &classes, &identities);
    let mut tree = Tree {
        by_path: HashMap::default(),
        values: Scope::default(),
        same: open,
    };
    let mut children: HashMap<(ModuleId, SmolStr), ModuleId> = HashMap::default();
    for path in paths {
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let name = path.rsplit('.').next().unwrap_or(path);
        let parent_id = tree.by_path.get(parent).copied();
        // Below the second name of a module everything is there already.
        let place = parent_id.map(|parent| (parent, SmolStr::new(name)));
        let existing = place
            .as_ref()
            .and_then(|place| children.get(place).copied());
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
        if let (Some(place), false) = (place, path.is_empty()) {
            builder.add_child(place.0, place.1.clone(), id);
            children.insert(place, id);
        }
    }
    register(builder, &mut tree, states);
    tree
}

/// Each path once, after the paths above it; the first is the root's.
pub fn every_path(listed: impl IntoIterator<Item = SmolStr>) -> Vec<SmolStr> {
    let mut out: Vec<SmolStr> = vec![SmolStr::default()];
    let mut seen: HashSet<SmolStr> = out.iter().cloned().collect();
    for path in listed {
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

/// What is registered in a module and below it.
#[derive(Clone, Copy, Debug, Default)]
struct Content {
    /// The same for the same content.
    number: usize,
    /// How many parameters and buffers those are.
    states: usize,
}

/// Which paths lead to one module.
struct Same {
    /// For each path the first one that leads to the same module object.
    by_path: HashMap<SmolStr, SmolStr>,
    /// Paths with the same content, where that may be chance.
    open: Vec<(SmolStr, SmolStr)>,
}

/// For each path the first one that leads to the same module object.
///
/// Dynamo writes the object's identity. Otherwise two paths are one module if all that is
/// registered under them is in the same storages, and those are more than one: a single weight that
/// two layers have in common is what people tie.
fn same_modules(
    paths: &[SmolStr],
    states: &[State<'_>],
    classes: &HashMap<SmolStr, &str>,
    identities: &HashMap<SmolStr, u64>,
) -> Same {
    let mut open = Vec::new();
    let mut contents: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for state in states {
        let entry = contents.entry(&state.owner).or_default();
        entry.push((&state.name, &state.storage));
    }
    let mut below: HashMap<&str, Vec<(&str, &str)>> = HashMap::default();
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
    let mut kinds: HashMap<String, Content> = HashMap::default();
    let mut found: HashMap<&str, Content> = HashMap::default();
    let mut first: HashMap<usize, SmolStr> = HashMap::default();
    let mut by_identity: HashMap<u64, SmolStr> = HashMap::default();
    let mut out: HashMap<SmolStr, SmolStr> = HashMap::default();
    for path in order {
        let mut canonical = path.clone();
        let mut text = String::new();
        let mut states = 0;
        for (name, storage) in contents.get(path.as_str()).into_iter().flatten() {
            let _ = write!(text, "{name}={storage};");
            states += 1;
        }
        for (name, child) in below.get(path.as_str()).into_iter().flatten() {
            let child = found.get(*child).copied().unwrap_or_default();
            let _ = write!(text, "{name}:{};", child.number);
            states += child.states;
        }
        let number = kinds.len();
        let content = *kinds.entry(text).or_insert(Content { number, states });
        found.insert(path.as_str(), content);
        if content.states > 0 {
            match first.get(&content.number) {
                Some(earlier) => {
                    let (a, b) = (classes.get(earlier), classes.get(path));
                    let may_be = a.is_none() || b.is_none() || a == b;
                    if may_be && content.states > 1 {
                        canonical = earlier.clone();
                    }
                    // A layer that shares all of several tensors is the same layer; one weight may
                    // be tied, and a container may hold what another one holds.
                    let holds = contents.get(path.as_str()).map_or(0, Vec::len);
                    if holds < 2 && a == b && a.is_some() {
                        open.push((earlier.clone(), path.clone()));
                    }
                }
                None => {
                    first.insert(content.number, path.clone());
                }
            }
        }
        if let Some(identity) = identities.get(path) {
            open.retain(|(_, other)| other != path);
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
    let mut representative: HashMap<SmolStr, SmolStr> = HashMap::default();
    for path in paths {
        let canonical = out[path].clone();
        representative
            .entry(canonical)
            .or_insert_with(|| path.clone());
    }
    out.values_mut()
        .for_each(|canonical| *canonical = representative[canonical].clone());
    // Below a pair of one module all is one, too.
    open.retain(|(a, b)| {
        let parent = |path: &SmolStr| {
            let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
            (out.get(parent).cloned(), SmolStr::new(name))
        };
        parent(a) != parent(b)
    });
    Same { by_path: out, open }
}

/// Registers parameters and buffers with their modules.
fn register<'a>(builder: &mut TraceBuilder, tree: &mut Tree<'a>, states: Vec<State<'a>>) {
    let mut parameters: HashMap<String, ParameterId> = HashMap::default();
    let mut buffers: HashMap<String, BufferId> = HashMap::default();
    for state in states {
        let Some(owner) = tree.by_path.get(&state.owner).copied() else {
            continue;
        };
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
                        let id =
                            builder.parameter(owner, state.name, full, state.shape, state.dtype);
                        builder.trace_mut().parameters[id.index()].requires_grad =
                            state.requires_grad;
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
                        let id = builder.buffer(owner, state.name, full, state.shape, state.dtype);
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
}

/// What the stacks say of modules, each path once.
pub fn called<'a>(stacks: &Stacks<'a>) -> Vec<Called<'a>> {
    let mut seen = HashSet::default();
    let entries = stacks.entries();
    entries
        .filter(|entry| seen.insert(entry.path.clone()))
        .map(|entry| Called {
            path: entry.path.clone(),
            identity: entry.identity(),
            class: entry.class,
        })
        .collect()
}
