//! A checkpoint as it is told: plain data.

use serde::Serialize;

use crate::element::Element;

/// What a checkpoint holds.
#[derive(Clone, Debug, Serialize)]
pub struct Checkpoint {
    /// How it is written.
    pub format: Format,
    /// The files it consists of, when it is sharded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<String>,
    /// What the writer says of it: `__metadata__` of safetensors, `metadata` of an index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<(String, String)>,
    /// The model.
    pub model: Part,
    /// What stands beside the model: averaged weights, an optimizer's state.
    pub others: Vec<Part>,
    /// What was guessed, left out or looks odd, in sentences.
    pub notes: Vec<String>,
    /// What loading the file in Python would reach and no checkpoint needs: `posix.system("…")`.
    pub dangers: Vec<String>,
}

/// How a checkpoint is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `torch.save`: an archive with a pickle.
    Torch,
    /// `torch.save` before torch 1.6: pickles, then storages.
    TorchLegacy,
    /// `pickle.dump`
    Pickle,
    /// safetensors
    Safetensors,
}

impl Format {
    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            Format::Torch => "torch.save",
            Format::TorchLegacy => "torch.save, legacy format",
            Format::Pickle => "a plain pickle",
            Format::Safetensors => "safetensors",
        }
    }
}

/// What a part of a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    /// The model: parameters and buffers.
    Model,
    /// Averaged weights of it.
    Average,
    /// An optimizer's state.
    Optimizer,
    /// Anything else.
    Other,
}

/// Tensors that belong together.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// The keys that lead to it, joined by dots; empty at the top.
    pub path: String,
    /// The class, when a whole module was saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The classes of modules by path, when a whole module was saved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Module>,
    /// Whether the file says which tensors are parameters; otherwise names and types do.
    pub roles_recorded: bool,
    /// What it sums to.
    pub totals: Totals,
    /// Its tensors in the order of the model.
    pub tensors: Vec<Tensor>,
}

/// A module of a pickled module.
#[derive(Clone, Debug, Serialize)]
pub struct Module {
    /// Its path; empty for the root.
    pub path: String,
    /// Its class as `module.Name`.
    pub class: String,
}

/// One tensor.
#[derive(Clone, Debug, Serialize)]
pub struct Tensor {
    /// Its full name.
    pub name: String,
    /// Its sizes.
    pub shape: Vec<u64>,
    /// Its element type.
    pub dtype: Element,
    /// Its elements.
    pub numel: u64,
    /// Its bytes; of elements that others hold too, all.
    pub bytes: u64,
    /// What it is to its module.
    pub role: Role,
    /// Whether it is trained, where the file says so.
    pub requires_grad: Option<bool>,
    /// The tensor before it that is the same memory (tied weights); it is counted there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tied_to: Option<String>,
    /// The shard that holds it, by its place in the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<usize>,
}

/// What a tensor is to its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A parameter.
    Parameter,
    /// A normalisation layer's running mean or variance.
    NormStatistic,
    /// A normalisation layer's count of batches.
    NormCounter,
    /// Another buffer.
    Buffer,
}

/// What a part sums to. Tied weights are counted once.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Values in parameters.
    pub params: u128,
    /// Those of them that are trained, where the file says so of all.
    pub trainable_params: Option<u128>,
    /// Normalisation layers with running statistics.
    pub norm_layers: usize,
    /// Values in their running means and variances.
    pub norm_statistics: u128,
    /// Values in their counters of batches.
    pub norm_counters: u128,
    /// Values in other buffers.
    pub buffers: u128,
    /// Bytes of everything.
    pub bytes: u128,
    /// The same by element type, largest first.
    pub by_dtype: Vec<ByDtype>,
}

/// The tensors of one element type.
#[derive(Clone, Debug, Serialize)]
pub struct ByDtype {
    /// The element type.
    pub dtype: Element,
    /// How many tensors.
    pub tensors: usize,
    /// How many values.
    pub values: u128,
    /// How many bytes.
    pub bytes: u128,
}

impl Part {
    /// From tensors whose roles and ties are known.
    pub fn new(kind: PartKind, path: String, tensors: Vec<Tensor>) -> Part {
        Part {
            kind,
            path,
            class: None,
            modules: Vec::new(),
            roles_recorded: false,
            totals: Totals::of(&tensors),
            tensors,
        }
    }
}

impl Totals {
    fn of(tensors: &[Tensor]) -> Totals {
        let mut totals = Totals::default();
        let mut trainable = Some(0);
        for tensor in tensors.iter().filter(|tensor| tensor.tied_to.is_none()) {
            let values = u128::from(tensor.numel);
            match tensor.role {
                Role::Parameter => {
                    totals.params += values;
                    trainable = trainable
                        .zip(tensor.requires_grad)
                        .map(|(sum, is_trained)| sum + if is_trained { values } else { 0 });
                }
                Role::NormStatistic => {
                    totals.norm_statistics += values;
                    totals.norm_layers += usize::from(tensor.name.ends_with("running_mean"));
                }
                Role::NormCounter => totals.norm_counters += values,
                Role::Buffer => totals.buffers += values,
            }
            totals.bytes += u128::from(tensor.bytes);
            let known = totals
                .by_dtype
                .iter_mut()
                .find(|entry| entry.dtype == tensor.dtype);
            match known {
                Some(entry) => {
                    entry.tensors += 1;
                    entry.values += values;
                    entry.bytes += u128::from(tensor.bytes);
                }
                None => totals.by_dtype.push(ByDtype {
                    dtype: tensor.dtype.clone(),
                    tensors: 1,
                    values,
                    bytes: tensor.bytes.into(),
                }),
            }
        }
        totals
            .by_dtype
            .sort_by_key(|entry| std::cmp::Reverse(entry.bytes));
        totals.trainable_params = trainable;
        totals
    }
}
