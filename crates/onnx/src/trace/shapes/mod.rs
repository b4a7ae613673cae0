//! Parameters and buffers of the exported program, also those that the optimizer changed or folded.

mod finder;
mod moved;
mod weights;

use foldhash::{HashMap, HashSet};

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::Shape;
use modelcost_fx::{Kind, State, Storage};

use super::dynamo::Group;
use super::schema;
use super::signature::{Input, InputKind};
use crate::infer::Program;
use crate::model::{Model, Tensor};

/// What is known of parameters and buffers.
pub(super) struct Known<'a> {
    pub states: Vec<State<'a>>,
    pub notes: Vec<(Level, String)>,
}

/// Finds every parameter and buffer of the signature.
pub(super) fn states<'a>(
    model: &'a Model<'a>,
    program: &Program<'a>,
    groups: &[Group<'a>],
    inputs: &[Input<'a>],
) -> Known<'a> {
    let initializers: HashMap<&str, &Tensor<'a>> = model
        .graph
        .initializers
        .iter()
        .map(|tensor| (tensor.name, tensor))
        .collect();
    let by_name: HashMap<&str, &Input<'a>> =
        inputs.iter().map(|input| (input.name, input)).collect();
    let finder = Finder {
        program,
        initializers: &initializers,
        by_name: &by_name,
        by_target: inputs.iter().map(|input| input.target).collect(),
    };
    let mut found: HashMap<&str, Shape> = HashMap::default();
    let mut used: HashSet<&str> = HashSet::default();
    let mut tied: HashMap<&str, &str> = HashMap::default();
    for group in groups {
        let named = schema::named_args(&group.op(), group.fx.target, &group.fx.args);
        finder.collect(group, &named, &mut found, &mut used);
        finder.tie(group, &named, inputs, &mut tied);
    }
    finder.fused(groups, inputs, &mut found, &mut used);
    finder.tables(groups, inputs, &mut found, &mut used);
    finder.siblings(groups, inputs, &mut found, &mut used);
    let norms = finder.norms(groups, inputs, &mut found);
    let moved = finder.moved(model, groups, inputs, &found, &used);
    let mut out = Known {
        states: Vec::new(),
        notes: Vec::new(),
    };
    if let Some(first) = norms.first() {
        let first = by_name.get(first).map_or(*first, |input| input.target);
        let text = format!(
            "the weights of {} norms that the exporter took out, such as {first}, have the size of what those norms compute",
            norms.len()
        );
        out.notes.push((Level::Reconstructed, text));
        used.extend(norms);
    }
    for (name, shape) in moved {
        out.notes.push((
            Level::Reconstructed,
            format!(
                "the shape of {} is that of the constant which the exporter made of it",
                by_name.get(name).map_or(name, |input| input.target)
            ),
        ));
        found.insert(name, shape);
        used.insert(name);
    }
    let (mut unknown, mut unused) = (Vec::new(), Vec::new());
    for input in inputs {
        let kind = match input.kind {
            InputKind::Parameter => Kind::Parameter,
            InputKind::Buffer { persistent } => Kind::Buffer { persistent },
            InputKind::Constant | InputKind::User => continue,
        };
        let source = tied.get(input.name).and_then(|name| by_name.get(name));
        let target = source.map_or(input.target, |source| source.target);
        let tensor = initializers.get(target);
        let scalar = input.target.ends_with("num_batches_tracked");
        let shape = match tensor {
            Some(tensor) => Some(tensor.dims.iter().map(|size| Dim::from(*size)).collect()),
            None if scalar => Some(Vec::new()),
            None => found
                .get(source.map_or(input.name, |source| source.name))
                .cloned(),
        };
        if kind == Kind::Parameter {
            if shape.is_none() {
                unknown.push(input.target);
            } else if !used.contains(input.name) && source.is_none() {
                unused.push(input.target);
            }
        }
        let (owner, name) = input.target.rsplit_once('.').unwrap_or(("", input.target));
        let dtype = match tensor.and_then(|tensor| tensor.elem_type.dtype()) {
            Some(dtype) => dtype,
            None if scalar => DType::Int64,
            None => DType::Float32,
        };
        out.states.push(State {
            owner: owner.into(),
            name: name.into(),
            shape: shape.unwrap_or_else(|| vec![Dim::unknown(input.target)]),
            dtype,
            requires_grad: dtype.is_floating_point(),
            value: Some(input.name),
            storage: Storage::Name(target),
            kind,
        });
    }
    if let Some(first) = unknown.first() {
        out.notes.push((
            Level::Partial,
            format!(
                "the file no longer says the shape of {} parameter{}, such as {first}",
                unknown.len(),
                if unknown.len() == 1 { "" } else { "s" },
            ),
        ));
    }
    // The optimizer computes what depends on nothing but parameters, so that a layer applied to
    // constants is gone with all that it would have counted.
    let optimized = model
        .graph
        .initializers
        .iter()
        .any(|tensor| !inputs.iter().any(|input| input.target == tensor.name));
    if optimized && let Some(first) = unknown.iter().chain(&unused).next() {
        out.notes.push((
            Level::Partial,
            format!(
                "no operator uses {} parameter{}, such as {first}: the exporter computed beforehand what did, or nothing does",
                unknown.len() + unused.len(),
                if unknown.len() + unused.len() == 1 { "" } else { "s" },
            ),
        ));
    }
    out
}

struct Finder<'f, 'a> {
    program: &'f Program<'a>,
    initializers: &'f HashMap<&'a str, &'a Tensor<'a>>,
    by_name: &'f HashMap<&'a str, &'f Input<'a>>,
    /// The paths of all parameters and buffers.
    by_target: HashSet<&'a str>,
}
