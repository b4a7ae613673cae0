//! Finds the tensors in whatever a checkpoint holds: a state dict, a whole module, a dictionary of
//! either beside an optimizer's state and a copy with averaged weights.

use std::collections::HashSet;

use crate::pickle::{Heap, Ref, Value};
use crate::torch::module::{self, distinct};
use crate::torch::tensor::{self, RawTensor, Storages};

/// How deep dictionaries and lists are looked into.
const MAX_DEPTH: usize = 48;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 4096;

/// The most tensors of a file, and the bytes of all their names.
const MAX_TENSORS: usize = 1 << 20;
const MAX_NAMES: usize = 1 << 28;

/// What a group of tensors is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A model's own.
    Model,
    /// Averaged weights of the same model.
    Average,
    /// An optimizer's state.
    Optimizer,
    /// Anything else: states of random generators, losses.
    Other,
}

/// What the pickle says a tensor is to its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A registered parameter.
    Parameter,
    /// A registered buffer.
    Buffer,
    /// A tensor in a dictionary.
    Plain,
}

/// Tensors that stand together: a state dict, a module.
#[derive(Debug)]
pub struct Group {
    /// The keys that lead to it.
    pub path: Vec<String>,
    /// What it is.
    pub found: Found,
    /// Its tensors by name.
    pub tensors: Vec<(String, RawTensor, Kind)>,
    /// The modules of a pickled module by path, with their classes; the first is the root.
    pub modules: Vec<(String, String)>,
}

impl Group {
    /// Adds a tensor.
    pub fn push(&mut self, name: String, tensor: RawTensor, kind: Kind) -> Result<(), String> {
        if self.tensors.len() >= MAX_TENSORS {
            return Err(format!("it has more than {MAX_TENSORS} tensors"));
        }
        self.tensors.push((name, tensor, kind));
        Ok(())
    }
}

/// A path and a name below it.
pub fn join(path: &str, name: &str) -> Result<String, String> {
    if path.len() + name.len() >= MAX_NAME {
        return Err(format!("a name has more than {MAX_NAME} characters"));
    }
    Ok(match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    })
}

/// Everything that was found, in the order of the file, and what is to be said about it.
pub struct Walked {
    /// The groups.
    pub groups: Vec<Group>,
    /// Sentences.
    pub notes: Vec<String>,
}

/// Finds all tensors below a value. The error is a sentence.
pub fn walk(heap: &Heap<'_>, storages: &mut Storages<'_>, root: Ref) -> Result<Walked, String> {
    let mut walker = Walker {
        heap,
        storages,
        seen: HashSet::new(),
        groups: Vec::new(),
        is_too_deep: false,
        tensors: 0,
        names: 0,
    };
    if let Some(tensor) = tensor::tensor(heap, walker.storages, root)? {
        let mut group = walker.group(&[], Found::Model);
        group.push(String::new(), tensor, Kind::Plain)?;
        walker.keep(group)?;
    }
    walker.value(root, &mut Vec::new(), Found::Model)?;
    if heap.is_exhausted() {
        return Err("its objects share more than any checkpoint's do".into());
    }
    let mut notes = Vec::new();
    if walker.is_too_deep {
        notes.push(format!(
            "values nested more than {MAX_DEPTH} deep were not looked into"
        ));
    }
    Ok(Walked {
        groups: walker.groups,
        notes,
    })
}

struct Walker<'w, 'h, 's> {
    heap: &'w Heap<'h>,
    storages: &'w mut Storages<'s>,
    seen: HashSet<Ref>,
    groups: Vec<Group>,
    is_too_deep: bool,
    tensors: usize,
    names: usize,
}

impl Walker<'_, '_, '_> {
    fn group(&self, path: &[String], found: Found) -> Group {
        Group {
            path: path.to_vec(),
            found,
            tensors: Vec::new(),
            modules: Vec::new(),
        }
    }

    fn keep(&mut self, group: Group) -> Result<(), String> {
        let names = group.tensors.iter().map(|(name, ..)| name.len());
        self.names += names.sum::<usize>() + group.path.iter().map(String::len).sum::<usize>();
        self.tensors += group.tensors.len();
        if self.tensors > MAX_TENSORS || self.names > MAX_NAMES {
            return Err(format!("it has more than {MAX_TENSORS} tensors"));
        }
        if !group.tensors.is_empty() {
            self.groups.push(group);
        }
        Ok(())
    }

    /// Looks into a value that is no tensor. `found` is what everything in it is.
    fn value(&mut self, at: Ref, path: &mut Vec<String>, found: Found) -> Result<(), String> {
        // What stands in several places is found once; so is what contains itself.
        if !is_container(self.heap.get(at)) || !self.seen.insert(at) {
            return Ok(());
        }
        if path.len() >= MAX_DEPTH {
            self.is_too_deep = true;
            return Ok(());
        }
        if module::state(self.heap, at).is_some() {
            let mut group = self.group(path, found);
            module::read(self.heap, self.storages, at, &mut group)?;
            return self.keep(group);
        }
        let children = children(self.heap, at);
        let is_optimizer = ["state", "param_groups"]
            .iter()
            .all(|key| children.iter().any(|(name, _)| name == key));
        let found = match found {
            Found::Model if is_optimizer => Found::Optimizer,
            found => found,
        };
        let mut own = self.group(path, found);
        let mut inside = Vec::new();
        for (name, child) in children {
            match tensor::tensor(self.heap, self.storages, child)? {
                Some(tensor) => {
                    let kind = match tensor.is_parameter {
                        true => Kind::Parameter,
                        false => Kind::Plain,
                    };
                    own.push(join("", &name)?, tensor, kind)?;
                }
                None if is_container(self.heap.get(child)) => inside.push((name, child)),
                None => {}
            }
        }
        // A single tensor beside a state dict, such as the best accuracy, is not the model's.
        let is_state_dict = own.tensors.iter().any(|(name, ..)| name.contains('.'));
        let has_model = |(name, child): &(String, Ref)| {
            is_model(name)
                || found_by(name) != Found::Model
                || module::state(self.heap, *child).is_some()
        };
        if found == Found::Model && !is_state_dict && inside.iter().any(has_model) {
            own.found = Found::Other;
        }
        self.keep(own)?;
        for (name, child) in inside {
            let inner = match found {
                Found::Model => found_by(&name),
                found => found,
            };
            path.push(join("", &name)?);
            self.value(child, path, inner)?;
            path.pop();
        }
        Ok(())
    }
}

fn is_container(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Dict(_) | Value::List(_) | Value::Tuple(_) | Value::Object(_)
    )
}

/// What a value holds, by key: entries, elements, the state and the arguments of objects.
fn children(heap: &Heap<'_>, at: Ref) -> Vec<(String, Ref)> {
    let mut out = Vec::new();
    let elements = |list: &[Ref], out: &mut Vec<(String, Ref)>| {
        out.extend(
            list.iter()
                .enumerate()
                .map(|(index, item)| (index.to_string(), *item)),
        );
    };
    match heap.get(at) {
        Value::List(list) | Value::Tuple(list) => elements(list, &mut out),
        Value::Dict(entries) => out.extend(keyed(heap, entries)),
        Value::Object(object) => {
            out.extend(keyed(heap, &object.entries));
            elements(&object.items, &mut out);
            // `namedtuple(…)`, `SimpleNamespace(…)`: what the object is made of.
            elements(
                heap.elements(object.arguments).unwrap_or_default(),
                &mut out,
            );
            for part in object.state.iter().flat_map(|state| parts(heap, *state)) {
                if let Value::Dict(entries) = heap.get(part) {
                    out.extend(keyed(heap, entries));
                }
            }
        }
        _ => {}
    }
    // What state_dict() says of the versions of modules.
    out.retain(|(name, _)| name != "_metadata");
    out
}

/// A state is a dictionary, or a pair of them for classes with `__slots__`.
fn parts(heap: &Heap<'_>, state: Ref) -> Vec<Ref> {
    match heap.get(state) {
        Value::Tuple(pair) if pair.len() == 2 => pair.clone(),
        _ => vec![state],
    }
}

/// Entries by name; an optimizer's state has numbers as keys.
fn keyed(heap: &Heap<'_>, entries: &[(Ref, Ref)]) -> Vec<(String, Ref)> {
    let named = distinct(heap, entries);
    let numbered = entries.iter().filter_map(|(key, value)| {
        let key = heap.size(*key)?;
        Some((key.to_string(), *value))
    });
    let named = named
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    named.chain(numbered).collect()
}

/// Keys under which training scripts keep a model beside other things.
const MODELS: [&str; 22] = [
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "model_dict",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "state_dicts",
    "generator",
    "discriminator",
    "encoder",
    "decoder",
    "backbone",
    "student",
    "teacher",
    "actor",
    "critic",
    "netG",
    "netD",
];

/// Words in the keys of what is no model, and what it is.
const WORDS: [(&str, Found); 22] = [
    ("ema", Found::Average),
    ("swa", Found::Average),
    ("shadow", Found::Average),
    ("averaged", Found::Average),
    ("polyak", Found::Average),
    ("optim", Found::Optimizer),
    ("optims", Found::Optimizer),
    ("optimizer", Found::Optimizer),
    ("optimizers", Found::Optimizer),
    ("optimiser", Found::Optimizer),
    ("opt", Found::Optimizer),
    ("scheduler", Found::Other),
    ("schedulers", Found::Other),
    ("lr", Found::Other),
    ("scaler", Found::Other),
    ("rng", Found::Other),
    ("random", Found::Other),
    ("loss", Found::Other),
    ("criterion", Found::Other),
    ("metrics", Found::Other),
    ("callbacks", Found::Other),
    ("loops", Found::Other),
];

fn is_model(key: &str) -> bool {
    MODELS.contains(&key)
}

/// What a dictionary holds, by the words of its key.
pub fn found_by(key: &str) -> Found {
    let mut words = key.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .find_map(|word| {
            let known = |(name, _): &&(&str, Found)| name.eq_ignore_ascii_case(word);
            Some(WORDS.iter().find(known)?.1)
        })
        .unwrap_or(Found::Model)
}
