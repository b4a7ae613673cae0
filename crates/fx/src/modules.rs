//! The tree of modules with what they own, put together from every path that a program names.

use foldhash::{HashMap, HashMapExt, HashSet};
use modelcost_core::dtype::DType;
use modelcost_core::trace::{
    BufferId, Module, ModuleId, ParameterId, Shape, TensorId, TraceBuilder,
};
use modelcost_core::value::Value;
use smol_str::SmolStr;

use crate::flat::Scope;
use crate::stack::Entry;

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
    pub storage: Storage<'a>,
    /// What it is.
    pub kind: Kind,
}

/// What holds a parameter or buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage<'a> {
    /// A file of the archive, and which of the views of it: a parameter that was made of a part of
    /// another one, or of its transpose, is a parameter of its own.
    File(&'a str, usize),
    /// What holds the parameter or buffer of this full name, where the program says no more.
    Name(&'a str),
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
    let listing = Listing::new(paths, called, &states);
    let same = same_modules(&listing, &states);
    let mut ids: Vec<ModuleId> = Vec::with_capacity(paths.len());
    let mut children: HashMap<(ModuleId, &str), ModuleId> = HashMap::with_capacity(paths.len());
    for (at, path) in listing.paths.iter().enumerate() {
        let place = path.parent.map(|parent| (ids[parent], path.name));
        // Below the second name of a module everything is there already.
        if let Some(existing) = place.and_then(|place| children.get(&place)) {
            ids.push(*existing);
            continue;
        }
        let id = match ids.get(same.canonical[at]) {
            Some(id) => *id,
            None => builder.module(Module::default()),
        };
        ids.push(id);
        if let Some((parent, name)) = place {
            builder.add_child(parent, name, id);
            children.insert((parent, name), id);
        }
    }
    let mut tree = Tree {
        by_path: paths.iter().cloned().zip(ids.iter().copied()).collect(),
        values: Scope::default(),
        same: same.open,
    };
    let owners = listing.owners;
    let owned = owners.into_iter().map(|owner| owner.map(|at| ids[at]));
    register(builder, &mut tree, owned.zip(states));
    tree
}

/// Each path once, after the paths above it; the first is the root's.
pub fn every_path(listed: impl IntoIterator<Item = SmolStr>) -> Vec<SmolStr> {
    let mut out: Vec<SmolStr> = vec![SmolStr::default()];
    let mut seen: HashSet<SmolStr> = out.iter().cloned().collect();
    for path in listed {
        // Most are listed once for each of their parameters.
        if seen.contains(&path) {
            continue;
        }
        let known = out.len();
        let mut above = path.rsplit_once('.').map_or("", |(above, _)| above);
        while !seen.contains(above) {
            let parent = SmolStr::new(above);
            seen.insert(parent.clone());
            out.push(parent);
            above = above.rsplit_once('.').map_or("", |(above, _)| above);
        }
        out[known..].reverse();
        seen.insert(path.clone());
        out.push(path);
    }
    out
}

/// A path and what the program says of what is there.
struct Listed<'l> {
    /// Its last part.
    name: &'l str,
    /// The path above it; the root has none.
    parent: Option<usize>,
    /// How many parts it has.
    depth: usize,
    class: Option<&'l str>,
    identity: Option<u64>,
    /// The parameters and buffers that are registered there.
    states: Vec<usize>,
    /// The paths directly below it.
    below: Vec<usize>,
}

/// All paths; everything else refers to them by number.
struct Listing<'l> {
    texts: &'l [SmolStr],
    paths: Vec<Listed<'l>>,
    /// The path that owns each parameter and buffer.
    owners: Vec<Option<usize>>,
}

impl<'l> Listing<'l> {
    fn new(texts: &'l [SmolStr], called: &[Called<'l>], states: &[State<'_>]) -> Listing<'l> {
        let mut numbers: HashMap<&str, usize> = HashMap::with_capacity(texts.len());
        let mut paths: Vec<Listed<'l>> = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            numbers.insert(text, at);
            let (above, name) = text.rsplit_once('.').unwrap_or(("", text));
            let parent = numbers.get(above).copied().filter(|_| !text.is_empty());
            let depth = parent.map_or(0, |parent| {
                paths[parent].below.push(at);
                paths[parent].depth + 1
            });
            paths.push(Listed {
                name,
                parent,
                depth,
                class: None,
                identity: None,
                states: Vec::new(),
                below: Vec::new(),
            });
        }
        for module in called {
            if let Some(at) = numbers.get(module.path.as_str()) {
                let path = &mut paths[*at];
                path.class = path.class.or(Some(module.class));
                path.identity = path.identity.or(module.identity);
            }
        }
        let owner = |(index, state): (usize, &State<'_>)| {
            let at = numbers.get(state.owner.as_str()).copied()?;
            paths[at].states.push(index);
            Some(at)
        };
        let owners = states.iter().enumerate().map(owner).collect();
        Listing {
            texts,
            paths,
            owners,
        }
    }
}

/// Something that is registered in a module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part<'p> {
    State(&'p str, Storage<'p>),
    /// A module by the number of its content.
    Module(&'p str, usize),
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
    canonical: Vec<usize>,
    /// Paths with the same content, where that may be chance.
    open: Vec<(SmolStr, SmolStr)>,
}

/// For each path the first one that leads to the same module object.
///
/// Dynamo writes the object's identity. Otherwise two paths are one module if all that is
/// registered under them is in the same storages, and those are more than one: a single weight that
/// two layers have in common is what people tie.
fn same_modules(listing: &Listing<'_>, states: &[State<'_>]) -> Same {
    let paths = &listing.paths;
    let mut open: Vec<(usize, usize)> = Vec::new();
    // Bottom up: a module is known by what it owns and by the modules below it.
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(paths[*at].depth));
    let mut kinds: HashMap<Vec<Part<'_>>, Content> = HashMap::with_capacity(paths.len());
    let mut found = vec![Content::default(); paths.len()];
    // The first path of each kind.
    let mut first: Vec<Option<usize>> = vec![None; paths.len()];
    let mut by_identity: HashMap<u64, usize> = HashMap::default();
    let mut canonical: Vec<usize> = (0..paths.len()).collect();
    for at in order {
        let path = &paths[at];
        let own = path.states.iter().map(|index| {
            let state = &states[*index];
            Part::State(&state.name, state.storage)
        });
        let below = path.below.iter();
        let inside = below.map(|child| Part::Module(paths[*child].name, found[*child].number));
        let content = Content {
            number: kinds.len(),
            states: path.states.len()
                + path
                    .below
                    .iter()
                    .map(|child| found[*child].states)
                    .sum::<usize>(),
        };
        let content = *kinds.entry(own.chain(inside).collect()).or_insert(content);
        found[at] = content;
        if content.states > 0 {
            match first[content.number] {
                Some(earlier) => {
                    let (a, b) = (paths[earlier].class, path.class);
                    let may_be = a.is_none() || b.is_none() || a == b;
                    if may_be && content.states > 1 {
                        canonical[at] = earlier;
                    }
                    // A layer that shares all of several tensors is the same layer; one weight may
                    // be tied, and a container may hold what another one holds.
                    if path.states.len() < 2 && a == b && a.is_some() {
                        open.push((earlier, at));
                    }
                }
                None => first[content.number] = Some(at),
            }
        }
        if let Some(identity) = path.identity {
            open.retain(|(_, other)| *other != at);
            match by_identity.get(&identity) {
                Some(earlier) => canonical[at] = *earlier,
                None => {
                    by_identity.insert(identity, canonical[at]);
                }
            }
        }
        if path.parent.is_none() {
            canonical[at] = at;
        }
    }
    // The module belongs to the path that comes first in the tree, not to the deepest.
    let mut representative: Vec<Option<usize>> = vec![None; paths.len()];
    for (at, canonical) in canonical.iter_mut().enumerate() {
        *canonical = *representative[*canonical].get_or_insert(at);
    }
    // Below a pair of one module all is one, too.
    let place = |at: usize| {
        let parent = paths[at].parent.map(|parent| canonical[parent]);
        (parent, paths[at].name)
    };
    let open = open.into_iter().filter(|(a, b)| place(*a) != place(*b));
    let text = |at: usize| listing.texts[at].clone();
    Same {
        open: open.map(|(a, b)| (text(a), text(b))).collect(),
        canonical,
    }
}

/// Registers parameters and buffers with their modules.
fn register<'a>(
    builder: &mut TraceBuilder,
    tree: &mut Tree<'a>,
    states: impl Iterator<Item = (Option<ModuleId>, State<'a>)>,
) {
    let count = states.size_hint().0;
    tree.values.reserve(count);
    let mut parameters: HashMap<Storage<'a>, ParameterId> = HashMap::with_capacity(count);
    let mut buffers: HashMap<Storage<'a>, BufferId> = HashMap::with_capacity(count);
    for (owner, state) in states {
        let Some(owner) = owner else {
            continue;
        };
        let full = match state.owner.as_str() {
            "" => state.name.clone(),
            owner => [owner, ".", &state.name].concat().into(),
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

/// What stacks say of modules, each path once.
pub fn called<'e, 'a: 'e>(entries: impl Iterator<Item = &'e Entry<'a>>) -> Vec<Called<'a>> {
    let mut seen: HashSet<&str> = HashSet::default();
    let first = entries.filter(|entry| seen.insert(entry.path.as_str()));
    let called = first.map(|entry| Called {
        path: entry.path.clone(),
        identity: entry.identity(),
        class: entry.class,
    });
    called.collect()
}
