//! From the tensors that a file lists to the model and what stands beside it.

use std::collections::HashMap;

use crate::error::{CheckpointError, Result};
use crate::model::{Checkpoint, Format, Module, Part, PartKind, Role, Tensor};
use crate::names;
use crate::pickle::Heap;
use crate::roles::{self, Look};
use crate::torch::{Found, Group, Kind, RawTensor, Slice, Walked, dangers, found_by, unread};

/// What a file, or a set of shards, contains.
pub struct Contained {
    pub format: Format,
    pub groups: Vec<Group>,
    pub notes: Vec<String>,
    pub dangers: Vec<String>,
    pub metadata: Vec<(String, String)>,
    pub shards: Vec<String>,
    /// Which shard holds a tensor, by its full name.
    pub shard_of: HashMap<String, usize>,
    /// Bytes of all storages, where tensors are views of storages.
    pub stored: Option<u128>,
}

impl Contained {
    /// From a pickle in which tensors were looked for.
    pub fn of_pickle(
        format: Format,
        heap: &Heap<'_>,
        walked: std::result::Result<Walked, String>,
        storages: &[u64],
        file: &str,
        entry: &str,
    ) -> Result<Contained> {
        let walked = walked.map_err(|message| CheckpointError::Damaged {
            file: file.to_owned(),
            place: match entry {
                "" => "the pickle".into(),
                entry => entry.to_owned(),
            },
            message,
        })?;
        let dangers = dangers(heap);
        let unread = unread(heap);
        if walked.groups.is_empty() {
            let found = match dangers[..] {
                [] if unread.is_empty() => "there is nothing to show".into(),
                [] => unread.join(", "),
                _ => format!(
                    "it is made to run code where it is loaded: {}",
                    dangers.join(", ")
                ),
            };
            return Err(CheckpointError::NoTensors {
                file: file.to_owned(),
                found,
            });
        }
        Ok(Contained {
            format,
            groups: walked.groups,
            notes: walked.notes.into_iter().chain(unread).collect(),
            dangers,
            metadata: Vec::new(),
            shards: Vec::new(),
            shard_of: HashMap::new(),
            stored: Some(storages.iter().map(|size| u128::from(*size)).sum()),
        })
    }

    /// For a file that is read alone: says so where it is one of several.
    pub fn alone(mut self, file: &str) -> Contained {
        if let Some(count) = names::shard_count(file) {
            self.notes.push(format!(
                "this is one of {count} files of a model; open their index (….index.json) for all"
            ));
        }
        self
    }

    /// Sorts the groups into the model and what stands beside it.
    pub fn finish(mut self) -> Checkpoint {
        split_averages(&mut self.groups);
        self.note_views();
        let main = main(&self.groups);
        let (model, beside): (Vec<Group>, Vec<Group>) = std::mem::take(&mut self.groups)
            .into_iter()
            .partition(|group| group.found == main);
        let model = self.model(model);
        let others = self.beside(beside);
        Checkpoint {
            format: self.format,
            shards: self.shards,
            metadata: self.metadata,
            model,
            others,
            notes: self.notes,
            dangers: self.dangers,
        }
    }

    fn model(&mut self, groups: Vec<Group>) -> Part {
        let prefix = common_path(&groups);
        let mut part = self.part(PartKind::Model, groups, &prefix);
        for (wrapper, who) in names::unwrap(&mut part) {
            self.notes
                .push(format!("'{wrapper}' of {who} is left out of the names"));
        }
        let packed = part
            .tensors
            .iter()
            .filter(|tensor| tensor.role == Role::Parameter && tensor.dtype.is_integer());
        let packed = packed.count();
        if packed > 0 {
            self.notes.push(format!(
                "{packed} weights are stored as whole numbers, so they are quantized, perhaps \
                 several to a number; what is counted are the stored numbers"
            ));
        }
        part
    }

    fn beside(&mut self, groups: Vec<Group>) -> Vec<Part> {
        // An optimizer's state is a dictionary a parameter: it is one part all the same.
        let mut parts: Vec<(Found, Vec<String>, Vec<Group>)> = Vec::new();
        for group in groups {
            let path = top(&group);
            match parts
                .iter_mut()
                .find(|(found, known, _)| *found == group.found && *known == path)
            {
                Some((_, _, groups)) => groups.push(group),
                None => parts.push((group.found, path, vec![group])),
            }
        }
        parts
            .into_iter()
            .map(|(found, path, groups)| {
                let kind = match found {
                    Found::Model => PartKind::Model,
                    Found::Average => PartKind::Average,
                    Found::Optimizer => PartKind::Optimizer,
                    Found::Other => PartKind::Other,
                };
                self.part(kind, groups, &path)
            })
            .collect()
    }

    fn part(&self, kind: PartKind, groups: Vec<Group>, prefix: &[String]) -> Part {
        let is_model = matches!(kind, PartKind::Model | PartKind::Average);
        let mut first: HashMap<Slice, usize> = HashMap::new();
        let mut tensors: Vec<Tensor> = Vec::new();
        let mut class = None;
        let mut modules = Vec::new();
        let mut is_recorded = is_model;
        for group in groups {
            let below = group.path[prefix.len().min(group.path.len())..].join(".");
            let full = |name: &str| names::join(&below, name);
            if below.is_empty() && class.is_none() {
                class = group.modules.first().map(|(_, class)| class.clone());
            }
            let of_modules = group.modules.iter();
            modules.extend(of_modules.map(|(path, class)| Module {
                path: full(path),
                class: class.clone(),
            }));
            let says = group.says_roles();
            is_recorded &= says;
            let roles = match is_model {
                true => roles_of(&group, says),
                false => vec![Role::Buffer; group.tensors.len()],
            };
            for ((name, raw, _), role) in group.tensors.into_iter().zip(roles) {
                let name = full(&name);
                let tied_to = raw
                    .slice
                    .as_ref()
                    .filter(|slice| slice.length > 0)
                    .and_then(|slice| match first.get(slice) {
                        Some(at) => Some(tensors[*at].name.clone()),
                        None => {
                            first.insert(slice.clone(), tensors.len());
                            None
                        }
                    });
                tensors.push(Tensor {
                    shard: self.shard_of.get(&name).copied(),
                    name,
                    bytes: bytes(&raw),
                    shape: raw.shape,
                    numel: raw.numel,
                    dtype: raw.element,
                    role,
                    requires_grad: says.then_some(raw.requires_grad),
                    tied_to,
                });
            }
        }
        let mut part = Part::new(kind, prefix.join("."), tensors);
        part.class = class.filter(|class| !class.is_empty());
        part.modules = modules;
        part.roles_recorded = is_recorded;
        part
    }

    /// `torch.save` keeps the whole storage of a tensor that is a view of it.
    fn note_views(&mut self) {
        let Some(stored) = self.stored else {
            return;
        };
        let mut slices: Vec<&Slice> = self
            .groups
            .iter()
            .flat_map(|group| &group.tensors)
            .flat_map(|(_, tensor, _)| tensor.slice.iter().chain(&tensor.parts))
            .collect();
        slices.sort_by_key(|slice| (slice.storage, slice.start));
        let mut used = 0u128;
        let (mut storage, mut reached) = (usize::MAX, 0);
        for slice in slices {
            if slice.storage != storage {
                (storage, reached) = (slice.storage, 0);
            }
            let end = slice.start + slice.length;
            used += u128::from(end.saturating_sub(slice.start.max(reached)));
            reached = reached.max(end);
        }
        if stored > used {
            self.notes.push(format!(
                "{} bytes of the file belong to no tensor: it keeps whole storages of which the \
                 tensors are views; tensor.clone() before saving leaves them out",
                stored - used
            ));
        }
    }
}

impl Group {
    /// Whether the file says which tensors are parameters: it holds modules, or `nn.Parameter`s.
    fn says_roles(&self) -> bool {
        let mut tensors = self.tensors.iter();
        !self.modules.is_empty()
            || tensors.any(|(_, tensor, _)| tensor.is_parameter || tensor.requires_grad)
    }
}

fn bytes(tensor: &RawTensor) -> u64 {
    let own = match tensor.slice {
        Some(_) => tensor.element.bytes(tensor.numel).unwrap_or(u64::MAX),
        None => 0,
    };
    let parts = tensor.parts.iter().map(|part| part.length);
    parts.fold(own.saturating_add(tensor.more_bytes), u64::saturating_add)
}

fn roles_of(group: &Group, says: bool) -> Vec<Role> {
    if says {
        let role = |(name, tensor, kind): &(String, RawTensor, Kind)| match kind {
            Kind::Parameter => Role::Parameter,
            Kind::Plain if tensor.is_parameter || tensor.requires_grad => Role::Parameter,
            Kind::Buffer | Kind::Plain => roles::of_buffer(name),
        };
        return group.tensors.iter().map(role).collect();
    }
    let looks: Vec<Look<'_>> = group
        .tensors
        .iter()
        .map(|(name, tensor, _)| Look {
            name,
            shape: &tensor.shape,
            element: &tensor.element,
        })
        .collect();
    roles::guess(&looks)
}

/// A state dict may hold averaged copies of itself under a name of their own (`model_ema.…`).
fn split_averages(groups: &mut Vec<Group>) {
    for at in 0..groups.len() {
        let is_average = |name: &str| {
            let first = name.split_once('.').map(|(first, _)| first);
            first.is_some_and(|first| found_by(first) == Found::Average)
        };
        let group = &mut groups[at];
        let averages = group.tensors.iter().filter(|(name, ..)| is_average(name));
        let averages = averages.count();
        if group.found != Found::Model || averages == 0 || averages == group.tensors.len() {
            continue;
        }
        let (averages, rest) = std::mem::take(&mut group.tensors)
            .into_iter()
            .partition(|(name, ..)| is_average(name));
        group.tensors = rest;
        let path = group.path.clone();
        groups.push(Group {
            path,
            found: Found::Average,
            tensors: averages,
            modules: Vec::new(),
        });
    }
}

/// What the file is mainly: a model, unless it holds none.
fn main(groups: &[Group]) -> Found {
    [Found::Model, Found::Average, Found::Other]
        .into_iter()
        .find(|found| groups.iter().any(|group| group.found == *found))
        .unwrap_or(Found::Optimizer)
}

/// The keys that lead to all groups.
fn common_path(groups: &[Group]) -> Vec<String> {
    let mut paths = groups.iter().map(|group| group.path.as_slice());
    let first = paths.next().unwrap_or_default();
    let length = paths.fold(first.len(), |length, path| {
        let same = first.iter().zip(path).take_while(|(a, b)| a == b);
        length.min(same.count())
    });
    first[..length].to_vec()
}

/// The part that a group beside the model belongs to: the key that says what it is, or the one
/// before an optimizer's `state`.
fn top(group: &Group) -> Vec<String> {
    let named = |key: &String| found_by(key) == group.found;
    let length = match group.path.iter().position(named) {
        Some(at) => at + 1,
        None => match group.path.iter().position(|key| key == "state") {
            Some(at) => at,
            None => group.path.len().min(1),
        },
    };
    group.path[..length].to_vec()
}
