//! What an exported program says of modules, parameters and buffers.

use foldhash::HashMap;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{Origin, Shape, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::{Called, Kind, State, Storage, Tree, every_path};
use smol_str::SmolStr;

use crate::json::{Graph, InputSpec, Payloads, Program, SymInt, TensorMeta};
use crate::program::flatten::strides;
use crate::symbols::{Symbols, dtype};

/// Storages by the full name of the parameter or buffer.
pub type Storages<'a> = HashMap<&'a str, &'a str>;

/// Reads which storage holds what from `model_weights_config.json`.
pub fn storages<'a>(payloads: &'a Payloads<'_>) -> Storages<'a> {
    let entries = payloads.config.iter();
    entries
        .map(|(name, payload)| (name, &*payload.path_name))
        .collect()
}

/// Builds the tree.
pub fn build<'a>(
    builder: &mut TraceBuilder,
    program: &'a Program<'a>,
    called: &[Called<'a>],
    payloads: Option<&'a Payloads<'a>>,
    storages: &Storages<'a>,
    symbols: &mut Symbols,
) -> Tree<'a> {
    let States { listed, again } = states(program, payloads, storages, symbols);
    let paths = paths(program, called, &listed);
    let mut tree = modelcost_fx::tree(builder, &paths, called, listed);
    for (value, first) in again {
        if let Some(same) = tree.values.get(first).cloned() {
            tree.values.insert(value, same);
        }
    }
    constants(builder, &mut tree, symbols, &program.graph_module.graph);
    tree
}

/// What a program says of its parameters and buffers.
struct States<'a> {
    /// Each once.
    listed: Vec<State<'a>>,
    /// Values that have the name of another one: torch 2.5 lists a tied weight once for each of its
    /// uses, and always under one name.
    again: Vec<(&'a str, &'a str)>,
}

/// Where in its storage a tensor is: sizes, strides and the first element.
#[derive(PartialEq)]
struct View {
    sizes: Shape,
    strides: Shape,
    offset: Option<Dim>,
}

impl View {
    fn of(meta: &TensorMeta<'_>, symbols: &mut Symbols) -> View {
        View {
            sizes: meta.sizes.iter().map(|s| symbols.dim(s)).collect(),
            // Strides of dimensions of one element do not matter.
            strides: (meta.sizes.iter().zip(&meta.strides))
                .filter(|(size, _)| !matches!(size, SymInt::Int(1)))
                .map(|(_, stride)| symbols.dim(stride))
                .collect(),
            offset: meta.storage_offset.as_ref().map(|s| symbols.dim(s)),
        }
    }
}

/// The views of each storage.
#[derive(Default)]
struct Views<'a>(HashMap<&'a str, Vec<View>>);

impl<'a> Views<'a> {
    /// Which view of its storage this is; the first one where nothing is known of it.
    fn number(&mut self, storage: &'a str, view: Option<View>) -> usize {
        let Some(view) = view else { return 0 };
        let known = self.0.entry(storage).or_default();
        known
            .iter()
            .position(|other| *other == view)
            .unwrap_or_else(|| {
                known.push(view);
                known.len() - 1
            })
    }
}

/// All parameters and buffers: those of the signature, then those that only the weights list.
fn states<'a>(
    program: &'a Program<'a>,
    payloads: Option<&'a Payloads<'a>>,
    storages: &Storages<'a>,
    symbols: &mut Symbols,
) -> States<'a> {
    let graph = &program.graph_module.graph;
    let mut out: Vec<State<'a>> = Vec::new();
    let mut known: HashMap<&'a str, Option<&'a str>> = HashMap::default();
    let mut again = Vec::new();
    let mut views = Views::default();
    let mut add =
        |full: &'a str, value: Option<&'a str>, meta: Option<&'a TensorMeta<'a>>, kind| {
            if let Some(first) = known.get(full) {
                if let (Some(value), Some(first)) = (value, first) {
                    again.push((value, *first));
                }
                return;
            }
            known.insert(full, value);
            let (owner, name) = full.rsplit_once('.').unwrap_or(("", full));
            let shape = meta.map(|meta| meta.sizes.iter().map(|s| symbols.dim(s)).collect());
            let view = meta.map(|meta| View::of(meta, symbols));
            out.push(State {
                owner: owner.into(),
                name: name.into(),
                shape: shape.unwrap_or_default(),
                dtype: meta
                    .and_then(|meta| dtype(meta.dtype))
                    .unwrap_or(DType::Float32),
                requires_grad: meta.is_some_and(|meta| meta.requires_grad),
                value,
                storage: match storages.get(full) {
                    Some(file) => Storage::File(file, views.number(file, view)),
                    None => Storage::Name(full),
                },
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
    States { listed: out, again }
}

/// Every path, parents first and otherwise in the order in which the program lists modules,
/// which is that of `named_modules(remove_duplicate=False)`.
fn paths(program: &Program<'_>, called: &[Called<'_>], states: &[State<'_>]) -> Vec<SmolStr> {
    let listed = program
        .graph_module
        .module_call_graph
        .iter()
        .map(|call| SmolStr::new(&*call.fqn));
    let listed = listed.filter(|path| !path.contains('@'));
    let called = called.iter().map(|called| called.path.clone());
    let owners = states.iter().map(|state| state.owner.clone());
    every_path(listed.chain(called).chain(owners))
}

/// Inputs of the graph that are neither parameters nor buffers.
fn constants<'a>(
    builder: &mut TraceBuilder,
    tree: &mut Tree<'a>,
    symbols: &mut Symbols,
    graph: &'a Graph<'a>,
) {
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
            let strides = meta.and_then(|meta| strides(meta, symbols));
            builder.trace_mut().tensors[tensor.index()].strides = strides;
            tree.values.insert(name, Value::Tensor(tensor));
        }
    }
}
