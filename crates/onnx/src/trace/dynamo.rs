//! Models of the exporter built on `torch.export` (`torch.onnx.export(dynamo=True)`).
//!
//! The metadata of the nodes holds the whole FX program but for the nodes that the optimizer took
//! out. It is put together again and handed to the same code that reads `.pt2` files.

use std::collections::{HashMap, HashSet};

use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::{Argument, Origin as TensorOrigin, Passed, TensorId, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::{Entry, Flat, Root, Scope, StackId, Stacks, emit, every_path, tree};
use smol_str::SmolStr;

use super::Built;
use super::fx_text::{self, FxArg, FxNode};
use super::signature::{self, InputKind};
use super::values::{Values, integer};
use super::{known, origin, recompose, recurrent, repair, rounds, schema, shapes};
use crate::infer::{Origin, Program, Step, ValueId};
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
    let scopes: Vec<Option<StackId>> = scope_stacks(&groups, &mut stacks, arena);
    let fused = fused_convolutions(program, &groups);
    let called = modelcost_fx::called(&stacks);
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
    let mut assembly = Assembly {
        program,
        builder: &mut builder,
        values: Values::default(),
        scope: tree.values.clone(),
        stacks,
        flats: Vec::new(),
        users: users(program),
        made_by: made_by(&groups, program),
    };
    assembly.bind_states(model, &inputs);
    let given = assembly.user_inputs(&inputs);
    for item in in_order(&groups, &loose, program) {
        match item {
            Item::Group(at) => match fused.get(&at) {
                Some(conv) => assembly.fused(&groups[at], conv, scopes[at], &inputs),
                None => assembly.group(&groups[at], scopes[at]),
            },
            Item::Loose(step) => assembly.loose(step),
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
    let mut index: HashMap<&str, usize> = HashMap::new();
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

#[derive(Clone, Copy)]
enum Item {
    Group(usize),
    Loose(usize),
}

/// Groups and single calls in the order in which they run.
fn in_order(groups: &[Group<'_>], loose: &[usize], program: &Program<'_>) -> Vec<Item> {
    let computes = |step: &&usize| program.steps[**step].node.op_type != "Constant";
    let mut order: Vec<(usize, Item)> = groups
        .iter()
        .enumerate()
        .map(|(at, group)| {
            let first = group.steps.iter().find(computes).or(group.steps.last());
            (first.copied().unwrap_or(0), Item::Group(at))
        })
        .collect();
    order.extend(
        loose
            .iter()
            .filter(|step| computes(step))
            .map(|step| (*step, Item::Loose(*step))),
    );
    order.sort_by_key(|(step, _)| *step);
    order.into_iter().map(|(_, item)| item).collect()
}

/// The stacks of module calls around each group.
fn scope_stacks<'a>(
    groups: &[Group<'a>],
    stacks: &mut Stacks<'a>,
    arena: &'a Arena,
) -> Vec<Option<StackId>> {
    let mut rounds = rounds::Rounds::default();
    let mut seen: HashMap<String, StackId> = HashMap::new();
    groups
        .iter()
        .map(|group| {
            let paths = fx_text::strings(group.node.meta(SCOPES)?);
            let classes = fx_text::strings(group.node.meta(CLASSES)?);
            // The last of each is the FX node itself.
            let depth = paths.len().min(classes.len()).checked_sub(1)?;
            let calls = rounds.enter(&paths[..depth], &classes[..depth]);
            let entries = (0..depth).map(|at| Entry {
                key: match calls[at] {
                    0 => paths[at],
                    again => arena.string(format!("{}@{again}", paths[at])),
                },
                path: paths[at].into(),
                class: classes[at],
            });
            let entries: Vec<Entry<'a>> = entries.collect();
            let keys: Vec<&str> = entries.iter().map(|entry| entry.key).collect();
            let id = seen
                .entry(keys.join(";"))
                .or_insert_with(|| stacks.push(entries));
            Some(*id)
        })
        .collect()
}

/// A convolution that the optimizer fused with the BatchNorm after it.
pub(super) struct Fused<'a> {
    /// The convolution's step.
    step: usize,
    /// Its weight: `layer1.0.conv1.weight`.
    weight: &'a str,
    /// The class that it is taken to have.
    class: &'static str,
}

fn fused_convolutions<'a>(
    program: &'a Program<'a>,
    groups: &[Group<'a>],
) -> HashMap<usize, Fused<'a>> {
    let mut out = HashMap::new();
    for (at, group) in groups.iter().enumerate() {
        if !group.op().contains("batch_norm") {
            continue;
        }
        let conv = group
            .steps
            .iter()
            .find(|step| matches!(program.steps[**step].node.op_type, "Conv" | "ConvTranspose"));
        let Some(step) = conv.copied() else { continue };
        let node = program.steps[step].node;
        let Some(weight) = program.steps[step].inputs.get(1).copied().flatten() else {
            continue;
        };
        let rank = program.fact(weight).shape().map_or(4, <[Dim]>::len);
        let class = match (node.op_type, rank) {
            ("Conv", 3) => "torch.nn.modules.conv.Conv1d",
            ("Conv", 5) => "torch.nn.modules.conv.Conv3d",
            ("Conv", _) => "torch.nn.modules.conv.Conv2d",
            (_, 3) => "torch.nn.modules.conv.ConvTranspose1d",
            (_, 5) => "torch.nn.modules.conv.ConvTranspose3d",
            _ => "torch.nn.modules.conv.ConvTranspose2d",
        };
        let name = program.value(weight).name;
        out.insert(
            at,
            Fused {
                step,
                weight: name,
                class: known::convolution(group, name, program.fact(weight).shape())
                    .unwrap_or(class),
            },
        );
    }
    out
}

/// The steps that read each value; `usize::MAX` for the outputs of the model.
fn users(program: &Program<'_>) -> HashMap<ValueId, Vec<usize>> {
    let mut out: HashMap<ValueId, Vec<usize>> = HashMap::new();
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
    let mut out: HashMap<&str, Vec<(i64, ValueId)>> = HashMap::new();
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

/// Puts the FX program together.
struct Assembly<'b, 'a> {
    program: &'a Program<'a>,
    builder: &'b mut TraceBuilder,
    values: Values,
    /// Values by the names of FX nodes.
    scope: Scope<'a>,
    stacks: Stacks<'a>,
    flats: Vec<Flat<'a>>,
    users: HashMap<ValueId, Vec<usize>>,
    made_by: HashMap<&'a str, Vec<(i64, ValueId)>>,
}

impl<'a> Assembly<'_, 'a> {
    fn tensor(&mut self, id: ValueId) -> TensorId {
        self.values.tensor(self.builder, self.program, id)
    }

    /// Initializers are the parameters and buffers that the signature names.
    fn bind_states(&mut self, model: &Model<'a>, inputs: &[signature::Input<'a>]) {
        let by_target: HashMap<&str, &str> = inputs
            .iter()
            .map(|input| (input.target, input.name))
            .collect();
        for initializer in &model.graph.initializers {
            let Some(placeholder) = by_target.get(initializer.name) else {
                continue;
            };
            if let (Some(Value::Tensor(tensor)), Some(id)) = (
                self.scope.get(placeholder),
                self.program.names.get(initializer.name),
            ) {
                self.values.bind(*id, *tensor);
            }
        }
    }

    /// The model's inputs as the root's arguments.
    fn user_inputs(&mut self, inputs: &[signature::Input<'a>]) -> Vec<Argument> {
        let names: Vec<&'a str> = inputs
            .iter()
            .filter(|input| input.kind == InputKind::User)
            .map(|input| input.name)
            .collect();
        let mut out = Vec::new();
        for (at, (name, id)) in self.program.inputs.iter().enumerate() {
            let tensor = self.tensor(*id);
            let placeholder = names.get(at).copied().unwrap_or(name);
            let trace = self.builder.trace_mut();
            trace.tensors[tensor.index()].origin = TensorOrigin::Input;
            trace.inputs.push(((*name).into(), tensor));
            self.scope.insert(placeholder, Value::Tensor(tensor));
            out.push(Argument {
                name: placeholder.into(),
                value: Value::Tensor(tensor),
                passed: Passed::Position,
            });
        }
        out
    }

    /// What the group reads from outside, but for constants of a few integers.
    fn outside(&self, group: &Group<'a>) -> Vec<ValueId> {
        let inside: HashSet<usize> = group.steps.iter().copied().collect();
        let mut out = Vec::new();
        for step in &group.steps {
            for id in self.program.steps[*step].inputs.iter().flatten() {
                let own = matches!(self.program.value(*id).origin, Origin::Step(step, _) if inside.contains(&(step.0 as usize)));
                let shape_like = self
                    .program
                    .fact(*id)
                    .dtype()
                    .is_some_and(|dtype| !dtype.is_floating_point())
                    && self.program.fact(*id).content().is_some();
                if !own && !shape_like && !out.contains(id) {
                    out.push(*id);
                }
            }
        }
        out
    }

    /// What other groups read of this one, in order.
    fn results(&self, group: &Group<'a>) -> Vec<ValueId> {
        let inside: HashSet<usize> = group.steps.iter().copied().collect();
        let mut out = Vec::new();
        for step in &group.steps {
            for id in self.program.steps[*step].outputs.iter().flatten() {
                let users = self.users.get(id);
                if users.is_some_and(|users| users.iter().any(|user| !inside.contains(user))) {
                    out.push(*id);
                }
            }
        }
        if out.is_empty()
            && let Some(last) = group.steps.last()
        {
            out.extend(self.program.steps[*last].outputs.iter().flatten());
        }
        out
    }

    fn argument(&mut self, arg: &FxArg<'a>, spare: &mut Vec<ValueId>) -> Value {
        match arg {
            FxArg::None => Value::None,
            FxArg::Bool(value) => Value::Bool(*value),
            FxArg::Int(value) => Value::from(*value),
            FxArg::Float(value) => Value::Float(*value),
            FxArg::Text(text) => match text.strip_prefix("torch.").map(str::parse) {
                Some(Ok(dtype)) => Value::DType(dtype),
                _ => Value::Str((*text).into()),
            },
            FxArg::List(items) => Value::List(
                items
                    .iter()
                    .map(|item| self.argument(item, spare))
                    .collect(),
            ),
            FxArg::Node(name) => self.resolve(name, spare),
        }
    }

    /// The value of an FX node. One that the optimizer took out was a copy or a view of what the
    /// group reads instead.
    fn resolve(&mut self, name: &'a str, spare: &mut Vec<ValueId>) -> Value {
        if let Some(value) = self.scope.get(name) {
            return value.clone();
        }
        if let Some(id) = self.program.names.get(name).copied() {
            if let Some(number) = integer(self.program.fact(id)) {
                return number;
            }
            return Value::Tensor(self.tensor(id));
        }
        if name.starts_with("sym_") {
            return Value::Opaque("number".into());
        }
        if spare.is_empty() {
            return Value::Opaque(name.into());
        }
        let id = spare.remove(0);
        Value::Tensor(self.tensor(id))
    }

    /// The positions of arguments that are FX nodes of which nothing is left.
    fn unresolved(&self, group: &Group<'a>) -> Vec<usize> {
        let gone = |arg: &FxArg<'a>| match arg {
            FxArg::Node(name) => {
                !self.scope.contains_key(name) && !self.program.names.contains_key(name)
            }
            _ => false,
        };
        let args = group.fx.args.iter().enumerate();
        args.filter(|(_, arg)| gone(arg))
            .map(|(at, _)| at)
            .collect()
    }

    /// The tensors of a group's inputs that no argument names.
    fn spare(&self, group: &Group<'a>) -> Vec<ValueId> {
        let mut named = HashSet::new();
        fn collect<'a>(arg: &FxArg<'a>, out: &mut HashSet<&'a str>) {
            match arg {
                FxArg::Node(name) => {
                    out.insert(name);
                }
                FxArg::List(items) => items.iter().for_each(|item| collect(item, out)),
                _ => {}
            }
        }
        let kwargs = group.fx.kwargs.iter().map(|(_, arg)| arg);
        group
            .fx
            .args
            .iter()
            .chain(kwargs)
            .for_each(|arg| collect(arg, &mut named));
        let parameters: HashSet<TensorId> = named
            .iter()
            .filter_map(|name| self.scope.get(name)?.tensor())
            .collect();
        self.outside(group)
            .into_iter()
            .filter(|id| {
                let value = self.program.value(*id);
                let bound = self
                    .values
                    .get(*id)
                    .is_some_and(|t| parameters.contains(&t));
                !named.contains(value.name) && !bound
            })
            .collect()
    }

    fn group(&mut self, group: &Group<'a>, stack: Option<StackId>) {
        let target = group.fx.target;
        if target == "operator.getitem" {
            if let Some(id) = self.program.names.get(group.fx.name).copied() {
                let tensor = self.tensor(id);
                self.scope.insert(group.fx.name, Value::Tensor(tensor));
            }
            return;
        }
        if is_symbolic(target) {
            if let Some(id) = self.program.names.get(group.fx.name).copied() {
                let value = integer(self.program.fact(id));
                self.scope.insert(
                    group.fx.name,
                    value.unwrap_or(Value::Opaque("number".into())),
                );
            }
            return;
        }
        let op = group.op();
        let mut spare = self.spare(group);
        let unresolved = self.unresolved(group);
        let mut arguments = self.arguments(&op, group, &mut spare);
        let output = self.output(group, &op);
        if !unresolved.is_empty() {
            repair::operands(self.builder, &op, &mut arguments, &output, &unresolved);
        }
        let output = recurrent::complete_recurrent(self.builder, &op, &arguments, output);
        self.scope.insert(group.fx.name, output.clone());
        self.push(op, arguments, output, stack, group);
    }

    fn arguments(
        &mut self,
        op: &str,
        group: &Group<'a>,
        spare: &mut Vec<ValueId>,
    ) -> Vec<Argument> {
        let positional: Vec<Value> = group
            .fx
            .args
            .iter()
            .map(|arg| self.argument(arg, spare))
            .collect();
        let mut out = schema::named(op, group.fx.target, positional);
        for (name, arg) in &group.fx.kwargs {
            out.push(Argument {
                name: (*name).into(),
                value: self.argument(arg, spare),
                passed: Passed::Keyword,
            });
        }
        out
    }

    fn output(&mut self, group: &Group<'a>, op: &str) -> Value {
        if let Some(items) = self.made_by.get(group.fx.name).cloned() {
            let tensors = items.iter().map(|(_, id)| Value::Tensor(self.tensor(*id)));
            return Value::List(tensors.collect());
        }
        if let Some(id) = self.program.names.get(group.fx.name).copied()
            && self.program.fact(id).as_tensor().is_some()
        {
            return Value::Tensor(self.tensor(id));
        }
        let results = self.results(group);
        let several = recompose::returns_list(op);
        match results.as_slice() {
            [single] if !several => Value::Tensor(self.tensor(*single)),
            ids => Value::List(
                ids.iter()
                    .map(|id| Value::Tensor(self.tensor(*id)))
                    .collect(),
            ),
        }
    }

    fn push(
        &mut self,
        op: SmolStr,
        arguments: Vec<Argument>,
        output: Value,
        stack: Option<StackId>,
        group: &Group<'a>,
    ) {
        let trace = group.node.meta(STACK_TRACE).unwrap_or_default();
        let line = trace
            .rsplit('\n')
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default()
            .trim();
        let frame = trace
            .rsplit('\n')
            .map(str::trim)
            .find(|line| line.starts_with("File "))
            .unwrap_or_default();
        self.add(op, arguments, output, stack, line, frame);
    }

    fn add(
        &mut self,
        op: SmolStr,
        arguments: Vec<Argument>,
        output: Value,
        stack: Option<StackId>,
        line: &'a str,
        frame: &'a str,
    ) {
        let mut made = origin::made(&op, line);
        if !made.shown && op == "aten.mean" && is_pooling(&arguments) {
            made = origin::POOLED;
            self.builder.trace_mut().fidelity.note(
                Level::Reconstructed,
                "a mean over the last two dimensions is taken for adaptive_avg_pool2d, which the exporter writes so",
            );
        }
        let number = self.flats.len();
        // The operators of one function call have one number.
        let previous = self.flats.last().filter(|previous| {
            made.composite
                && previous.stack == stack
                && previous.line == line
                && previous.frame == frame
                && previous
                    .torch_fn
                    .rsplit_once('.')
                    .is_some_and(|(_, name)| name == made.name)
        });
        let torch_fn = match previous {
            Some(previous) => previous.torch_fn.clone(),
            None => format!("{}_{number};{}.{}", made.name, made.kind, made.name).into(),
        };
        self.flats.push(Flat {
            op,
            arguments,
            output,
            stack,
            torch_fn,
            source_fn: None,
            line: line.into(),
            frame: frame.into(),
        });
    }

    /// A BatchNorm with the convolution that was fused into it.
    fn fused(
        &mut self,
        group: &Group<'a>,
        conv: &Fused<'a>,
        stack: Option<StackId>,
        inputs: &[signature::Input<'a>],
    ) {
        let step = &self.program.steps[conv.step];
        let output = self.results(group);
        let Some(output) = output.first().copied() else {
            return;
        };
        let output = self.tensor(output);
        // The convolution's own output has the shape of what is normalised.
        let (shape, dtype) = {
            let tensor = self.builder.trace().tensor(output);
            (tensor.shape.clone(), tensor.dtype)
        };
        let between = self.builder.tensor(shape, dtype, TensorOrigin::Constant);
        if let Some(FxArg::Node(name)) = group.fx.args.first() {
            self.scope.insert(name, Value::Tensor(between));
        }
        let placeholder = |target: &str| {
            inputs
                .iter()
                .find(|input| input.target == target)
                .and_then(|input| self.scope.get(input.name).cloned())
        };
        let (owner, own) = conv.weight.rsplit_once('.').unwrap_or(("", conv.weight));
        let bias_name = match owner {
            "" => own.replace("weight", "bias"),
            owner => format!("{owner}.{}", own.replace("weight", "bias")),
        };
        let weight = placeholder(conv.weight);
        let bias = placeholder(&bias_name).unwrap_or(Value::None);
        let weight = weight.unwrap_or_else(|| match step.inputs.get(1).copied().flatten() {
            Some(id) => Value::Tensor(self.tensor(id)),
            None => Value::None,
        });
        let input = match step.inputs.first().copied().flatten() {
            Some(id) => Value::Tensor(self.tensor(id)),
            None => Value::None,
        };
        let (op, arguments) =
            super::recompose::convolution(step, self.program, input, weight, bias);
        let inner = self.conv_stack(stack, owner, conv.class);
        self.add(op, arguments, Value::Tensor(between), inner, "", "");
        let mut spare = Vec::new();
        let op = group.op();
        let arguments = self.arguments(&op, group, &mut spare);
        self.scope.insert(group.fx.name, Value::Tensor(output));
        self.push(op, arguments, Value::Tensor(output), stack, group);
    }

    /// The stack of the convolution: that of the BatchNorm up to the module that holds both.
    fn conv_stack(
        &mut self,
        stack: Option<StackId>,
        owner: &'a str,
        class: &'static str,
    ) -> Option<StackId> {
        let mut entries: Vec<Entry<'a>> = self.stacks.get(stack?).to_vec();
        entries.retain(|entry| {
            let path = entry.path.as_str();
            path.is_empty()
                || owner
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.starts_with('.'))
        });
        if !owner.is_empty() {
            entries.push(Entry {
                key: owner,
                path: owner.into(),
                class,
            });
        }
        Some(self.stacks.push(entries))
    }

    /// A node without metadata: an operator, wherever it stands.
    fn loose(&mut self, at: usize) {
        let step: &Step<'a> = &self.program.steps[at];
        let op: SmolStr = format!("aten.{}", step.node.op_type.to_lowercase()).into();
        let arguments = step
            .inputs
            .iter()
            .flatten()
            .map(|id| Argument {
                name: SmolStr::default(),
                value: Value::Tensor(self.values.tensor(self.builder, self.program, *id)),
                passed: Passed::Position,
            })
            .collect();
        let outputs: Vec<ValueId> = step.outputs.iter().flatten().copied().collect();
        let output = match outputs.as_slice() {
            [single] => Value::Tensor(self.tensor(*single)),
            ids => Value::List(
                ids.iter()
                    .map(|id| Value::Tensor(self.tensor(*id)))
                    .collect(),
            ),
        };
        // It stands where its neighbours stand.
        let flat = match self.flats.last() {
            Some(previous) => Flat {
                op,
                arguments,
                output,
                stack: previous.stack,
                torch_fn: match previous.torch_fn.rsplit('.').next() {
                    Some(name) if origin::is_composite(name) => previous.torch_fn.clone(),
                    _ => Default::default(),
                },
                source_fn: None,
                line: previous.line.clone(),
                frame: previous.frame.clone(),
            },
            None => Flat {
                op,
                arguments,
                output,
                ..Flat::default()
            },
        };
        self.flats.push(flat);
    }
}

/// Whether a mean is what the exporter makes of `adaptive_avg_pool2d(x, 1)`.
fn is_pooling(arguments: &[Argument]) -> bool {
    let dims = [-1, -2].map(|dim: i64| Value::from(dim)).to_vec();
    let [_, over, keep] = arguments else {
        return false;
    };
    over.value == Value::List(dims) && keep.value == Value::Bool(true)
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
