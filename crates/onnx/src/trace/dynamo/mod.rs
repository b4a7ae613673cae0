//! Models of the exporter built on `torch.export` (`torch.onnx.export(dynamo=True)`).
//!
//! The metadata of the nodes holds the whole FX program but for the nodes that the optimizer took
//! out. It is put together again and handed to the same code that reads `.pt2` files.

mod assembly;
mod dropped;
mod fused;
mod lost;
mod operands;
mod regions;
mod scopes;

use foldhash::{HashMap, HashSet};

use modelcost_core::fidelity::Level;
use modelcost_core::trace::{TensorId, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::{Root, StackId, Stacks, emit, every_path, tree};
use smol_str::SmolStr;

use self::assembly::Assembly;
use super::Built;
use super::fx_text::{self, FxArg, FxNode};
use super::signature;
use super::values::Values;
use super::{recompose, rounds, shapes};
use crate::infer::{Origin, Program, ValueId};
use crate::model::{Model, Node};
use crate::text::Arena;

const FX_NODE: &str = "pkg.torch.onnx.fx_node";
pub(super) const SCOPES: &str = "pkg.torch.onnx.name_scopes";
pub(super) const CLASSES: &str = "pkg.torch.onnx.class_hierarchy";
const STACK_TRACE: &str = "pkg.torch.onnx.stack_trace";
const SIGNATURE: &str = "pkg.torch.export.ExportedProgram.graph_signature";

/// The operator calls that the exporter made of one FX node.
pub(super) struct Group<'a> {
    pub fx: FxNode<'a>,
    /// The first of its nodes, which has the metadata.
    pub node: &'a Node<'a>,
    /// Positions in [`Program::steps`].
    pub steps: Vec<usize>,
}

impl Group<'_> {
    /// `aten.conv2d` of `torch.ops.aten.conv2d.default`.
    pub fn op(&self) -> SmolStr {
        let target = self
            .fx
            .target
            .strip_prefix("torch.ops.")
            .unwrap_or(self.fx.target);
        let mut parts = target.splitn(3, '.');
        match (parts.next(), parts.next()) {
            (Some(namespace), Some(name)) => format!("{namespace}.{name}").into(),
            _ => target.into(),
        }
    }
}

/// Builds the trace, unless the model was not exported this way.
pub(super) fn build<'a>(
    model: &'a Model<'a>,
    program: &'a Program<'a>,
    arena: &'a Arena,
    name: &str,
) -> Option<Built> {
    let (groups, loose) = groups(program);
    if groups.is_empty() {
        return None;
    }
    let signature = model
        .graph
        .metadata
        .iter()
        .find(|(key, _)| *key == SIGNATURE)
        .map_or(&[][..], |(_, text)| std::slice::from_ref(text));
    let inputs: Vec<signature::Input<'a>> = signature
        .iter()
        .flat_map(|text| signature::inputs(text))
        .collect();
    let mut builder = TraceBuilder::new(name, "onnx");
    let known = shapes::states(model, program, &groups, &inputs);
    let mut stacks = Stacks::default();
    let scopes: Vec<Option<StackId>> = scopes::stacks(&groups, &inputs, &mut stacks, arena);
    let fused = fused::fused_convolutions(program, &groups);
    let lost = lost::find(
        program,
        &groups,
        &inputs,
        &scopes,
        &|at| fused.contains_key(&at),
        &mut stacks,
        arena,
    );
    let called = modelcost_fx::called(stacks.entries());
    let owners = known.states.iter().map(|state| state.owner.clone());
    let paths = every_path(
        called
            .iter()
            .map(|called| called.path.clone())
            .chain(owners),
    );
    let paths = rounds::registered(&paths, &known.states);
    let mut known = known;
    let tree = tree(
        &mut builder,
        &paths,
        &called,
        std::mem::take(&mut known.states),
    );
    for (level, note) in known.notes {
        builder.trace_mut().fidelity.note(level, note);
    }
    for (level, note) in &lost.notes {
        builder.trace_mut().fidelity.note(*level, note.clone());
    }
    builder.trace_mut().views_unknown = lost.views;
    regions::note(&groups, &mut builder.trace_mut().fidelity);
    note_loose(&mut builder, program, &loose);
    note_folded(&mut builder, program, &inputs);
    let mut assembly = Assembly {
        program,
        builder: &mut builder,
        values: Values::default(),
        scope: tree.values.clone(),
        stacks,
        flats: Vec::new(),
        users: users(program),
        made_by: made_by(&groups, program),
        lost,
        made: HashMap::default(),
        loose: HashMap::default(),
        lines: HashMap::default(),
        stack: None,
        standing: HashMap::default(),
        parts: HashMap::default(),
    };
    assembly.bind_states(&inputs);
    assembly.count_lines(&groups, &scopes);
    let given = assembly.user_inputs(&inputs);
    for item in in_order(&groups, &loose, program) {
        match item {
            Item::Group(at) => match fused.get(&at) {
                Some(conv) => assembly.fused(&groups[at], conv, scopes[at], &inputs),
                None => assembly.group(&groups[at], scopes[at]),
            },
            Item::Loose(step, host) => {
                assembly.loose(step, host.map(|at| (&groups[at], scopes[at])))
            }
        }
    }
    let returned: Vec<TensorId> = program
        .outputs
        .iter()
        .map(|(_, id)| assembly.tensor(*id))
        .collect();
    let Assembly {
        stacks,
        flats,
        values,
        ..
    } = assembly;
    dropped::note(&mut builder, &flats, &stacks);
    let flats = recompose::recompose(&mut builder, flats);
    if !fused.is_empty() {
        let count = fused.len();
        builder.trace_mut().fidelity.note(
            Level::Reconstructed,
            format!(
                "{count} BatchNorm layer{} that the exporter fused into convolutions {} put back from graph_signature",
                if count == 1 { "" } else { "s" },
                if count == 1 { "was" } else { "were" },
            ),
        );
    }
    let output = match returned.as_slice() {
        [single] => Value::Tensor(*single),
        several => Value::Tuple(several.iter().map(|id| Value::Tensor(*id)).collect()),
    };
    let root = Root {
        arguments: given,
        output,
    };
    emit(&mut builder, &tree, &stacks, &flats, root).then(|| Built {
        trace: builder.finish(),
        values,
    })
}

/// The operator calls by FX node, and those that say none.
fn groups<'a>(program: &'a Program<'a>) -> (Vec<Group<'a>>, Vec<usize>) {
    let mut out: Vec<Group<'a>> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::default();
    let mut loose = Vec::new();
    for (at, step) in program.steps.iter().enumerate() {
        let Some(text) = step.node.meta(FX_NODE) else {
            loose.push(at);
            continue;
        };
        let name = text.split(' ').next().unwrap_or(text);
        if let Some(group) = index.get(name) {
            out[*group].steps.push(at);
        } else if let Some(fx) = fx_text::parse(text) {
            index.insert(name, out.len());
            out.push(Group {
                fx,
                node: step.node,
                steps: vec![at],
            });
        } else {
            loose.push(at);
        }
    }
    // A few nodes without metadata are what the optimizer put in; a model of them is not ours.
    if loose.len() > out.len() {
        out.clear();
    }
    (out, loose)
}

/// Operators that no counter has a rule for, which the exporter's optimizer puts in.
const MOVES: &[&str] = &[
    "Cast",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Expand",
    "Gather",
    "Identity",
    "Range",
    "Reshape",
    "Shape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Says that some nodes tell nothing of the calls that they were: another program put them in.
fn note_loose(builder: &mut TraceBuilder, program: &Program<'_>, loose: &[usize]) {
    let ops = loose.iter().map(|at| program.steps[*at].node.op_type);
    let computing: Vec<&str> = ops.filter(|op| !MOVES.contains(op)).collect();
    if let Some(first) = computing.first() {
        builder.trace_mut().fidelity.note(
            Level::Partial,
            format!(
                "{} node{} without the exporter's metadata, such as {first}, are taken for operators alone",
                computing.len(),
                if computing.len() == 1 { "" } else { "s" },
            ),
        );
    }
}

/// Says that an output is a constant which is no parameter or buffer: the optimizer computed it.
fn note_folded(builder: &mut TraceBuilder, program: &Program<'_>, inputs: &[signature::Input<'_>]) {
    let folded = program.outputs.iter().find(|(name, id)| {
        let is_constant = matches!(program.value(*id).origin, Origin::Initializer(_));
        is_constant && !inputs.iter().any(|input| input.target == *name)
    });
    if let Some((name, _)) = folded {
        builder.trace_mut().fidelity.note(
            Level::Reconstructed,
            format!("the exporter computed the output {name} of weights alone; what made it is not counted"),
        );
    }
}

#[derive(Clone, Copy)]
enum Item {
    Group(usize),
    /// A node without metadata, and the group that first reads what it makes.
    Loose(usize, Option<usize>),
}

/// Groups and single calls in the order in which they run. A node without metadata runs right
/// before what it is for: the optimizer puts it anywhere above.
fn in_order(groups: &[Group<'_>], loose: &[usize], program: &Program<'_>) -> Vec<Item> {
    let computes = |step: &&usize| program.steps[**step].node.op_type != "Constant";
    let mut starts: HashMap<usize, usize> = HashMap::default();
    let mut owner: HashMap<usize, usize> = HashMap::default();
    for (at, group) in groups.iter().enumerate() {
        let first = group.steps.iter().find(computes).or(group.steps.last());
        starts.insert(at, first.copied().unwrap_or(0));
        owner.extend(group.steps.iter().map(|step| (*step, at)));
    }
    let users = users(program);
    let mut order: Vec<(usize, usize, Item)> = Vec::new();
    for step in loose.iter().rev().filter(|step| computes(step)) {
        let outputs = program.steps[*step].outputs.iter().flatten();
        let readers = outputs.filter_map(|id| users.get(id)).flatten();
        let host = readers
            .filter_map(|reader| owner.get(reader).copied())
            .min_by_key(|at| starts[at]);
        if let Some(host) = host {
            owner.insert(*step, host);
        }
        let start = host.map_or(*step, |host| starts[&host]);
        order.push((start, *step, Item::Loose(*step, host)));
    }
    let whole = starts
        .iter()
        .map(|(at, start)| (*start, usize::MAX, Item::Group(*at)));
    order.extend(whole);
    order.sort_by_key(|(start, step, _)| (*start, *step));
    order.into_iter().map(|(_, _, item)| item).collect()
}

/// The steps that read each value; `usize::MAX` for the outputs of the model.
fn users(program: &Program<'_>) -> HashMap<ValueId, Vec<usize>> {
    let mut out: HashMap<ValueId, Vec<usize>> = HashMap::default();
    for (at, step) in program.steps.iter().enumerate() {
        for id in step.inputs.iter().flatten() {
            out.entry(*id).or_default().push(at);
        }
    }
    for (_, id) in &program.outputs {
        out.entry(*id).or_default().push(usize::MAX);
    }
    out
}

/// For each FX node whose items other nodes take (`getitem`), the values that are the items.
fn made_by<'a>(
    groups: &[Group<'a>],
    program: &Program<'a>,
) -> HashMap<&'a str, Vec<(i64, ValueId)>> {
    let mut out: HashMap<&str, Vec<(i64, ValueId)>> = HashMap::default();
    for group in groups {
        if group.fx.target != "operator.getitem" {
            continue;
        }
        if let [FxArg::Node(from), FxArg::Int(index)] = group.fx.args.as_slice()
            && let Some(id) = program.names.get(group.fx.name)
        {
            out.entry(from).or_default().push((*index, *id));
        }
    }
    out.values_mut().for_each(|items| items.sort_unstable());
    out
}

/// Whether an FX node computes sizes and not tensors.
fn is_symbolic(target: &str) -> bool {
    if target.starts_with("operator.")
        || target.starts_with("_operator.")
        || target.starts_with("math.")
    {
        return true;
    }
    let name = target.strip_prefix("torch.ops.aten.").unwrap_or(target);
    name.starts_with("sym_")
        || name.starts_with("_assert")
        || name.starts_with("_local_scalar_dense")
        || target.starts_with("torch.sym_")
}

/// What a group reads from outside, but for constants of a few integers.
pub(super) fn outside(program: &Program<'_>, group: &Group<'_>) -> Vec<ValueId> {
    let inside: HashSet<usize> = group.steps.iter().copied().collect();
    let mut out = Vec::new();
    for step in &group.steps {
        for id in program.steps[*step].inputs.iter().flatten() {
            let value = program.value(*id);
            let own = matches!(value.origin, Origin::Step(step, _) if inside.contains(&(step.0 as usize)));
            let whole = value
                .fact
                .dtype()
                .is_some_and(|dtype| !dtype.is_floating_point());
            let shape_like = whole && value.fact.content().is_some();
            if !own && !shape_like && !out.contains(id) {
                out.push(*id);
            }
        }
    }
    out
}
