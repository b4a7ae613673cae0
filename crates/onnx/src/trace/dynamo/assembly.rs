//! The FX program put together from its groups.

use foldhash::{HashMap, HashSet};
use std::borrow::Cow;

use modelcost_core::fidelity::{Layer, Level};
use modelcost_core::trace::{Argument, Origin as TensorOrigin, Passed, TensorId, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::{Flat, Scope, StackId, Stacks};
use smol_str::SmolStr;

use super::super::origin::{self, Turn};
use super::super::recompose::positions;
use super::super::signature::{self, InputKind};
use super::super::values::{Values, integer};
use super::super::{recompose, recurrent, repair};
use super::lost::{self, Lost};
use super::{Group, STACK_TRACE, is_symbolic};
use crate::infer::{Origin, Program, Step, ValueId};

/// Puts the FX program together.
pub(super) struct Assembly<'b, 'a> {
    pub program: &'a Program<'a>,
    pub builder: &'b mut TraceBuilder,
    pub values: Values,
    /// Values by the names of FX nodes.
    pub scope: Scope<'a>,
    pub stacks: Stacks<'a>,
    pub flats: Vec<Flat<'a>>,
    pub users: HashMap<ValueId, Vec<usize>>,
    pub made_by: HashMap<&'a str, Vec<(i64, ValueId)>>,
    /// What the optimizer took out.
    pub lost: Lost<'a>,
    /// Positions in `flats` by the names of FX nodes.
    pub made: HashMap<&'a str, usize>,
    /// Positions in `flats` of steps without metadata.
    pub loose: HashMap<usize, usize>,
    /// How often each source line has called an operator.
    pub lines: HashMap<(SmolStr, &'a str, &'a str, Option<StackId>), Turn>,
    /// Where the group at hand stands.
    pub stack: Option<StackId>,
    /// Where steps stand.
    pub standing: HashMap<usize, StackId>,
    /// Parts of weights by the step that cuts them and the module that asks for them.
    pub parts: HashMap<(usize, Option<StackId>), Vec<Value>>,
}

impl<'a> Assembly<'_, 'a> {
    pub fn tensor(&mut self, id: ValueId) -> TensorId {
        self.values.tensor(self.builder, self.program, id)
    }

    /// Counts how often each source line calls an operator.
    pub fn count_lines(&mut self, groups: &[Group<'a>], scopes: &[Option<StackId>]) {
        for (group, stack) in groups.iter().zip(scopes) {
            let (line, frame) = source(group);
            let turn = self
                .lines
                .entry((group.op(), line, frame, *stack))
                .or_default();
            turn.total += 1;
        }
    }

    /// Initializers are the parameters and buffers that the signature names.
    pub fn bind_states(&mut self, inputs: &[signature::Input<'a>]) {
        let by_target: HashMap<&str, &str> = inputs
            .iter()
            .map(|input| (input.target, input.name))
            .collect();
        // By origin and not by name: the exporter also gives nodes the names of parameters.
        for (at, value) in self.program.values.iter().enumerate() {
            if !matches!(value.origin, Origin::Initializer(_)) {
                continue;
            }
            let placeholder = by_target.get(value.name);
            if let Some(Value::Tensor(tensor)) = placeholder.and_then(|name| self.scope.get(name)) {
                self.values.bind(ValueId(at as u32), *tensor);
            }
        }
    }

    /// The model's inputs as the root's arguments.
    pub fn user_inputs(&mut self, inputs: &[signature::Input<'a>]) -> Vec<Argument> {
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

    /// What other groups read of this one, in order.
    pub fn results(&self, group: &Group<'a>) -> Vec<ValueId> {
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

    pub fn group(&mut self, group: &Group<'a>, stack: Option<StackId>) {
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
        self.stack = stack;
        if let Some(stack) = stack {
            self.standing
                .extend(group.steps.iter().map(|step| (*step, stack)));
        }
        let mut spare = self.spare(&op, group);
        let unresolved = self.unresolved(group);
        let mut arguments = self.arguments(&op, group, &mut spare);
        let output = self.output(group, &op);
        if op == "aten.scaled_dot_product_attention" && unresolved.contains(&3) {
            self.builder.trace_mut().fidelity.doubt(
                &[Layer::Operators],
                Level::Reconstructed,
                "the mask of scaled_dot_product_attention is no longer in the file: taken for one that the fused kernel takes",
            );
        }
        if !unresolved.is_empty() {
            let (line, frame) = source(group);
            let views = repair::operands(self.builder, &op, &mut arguments, &output, &unresolved);
            for (from, view) in views {
                let of = positions([("self", Value::Tensor(from))]);
                self.add(
                    "aten.alias".into(),
                    of,
                    Value::Tensor(view),
                    stack,
                    line,
                    frame,
                );
            }
        }
        let output = recurrent::complete_recurrent(self.builder, &op, &arguments, output);
        self.scope.insert(group.fx.name, output.clone());
        self.push(op, arguments, output, stack, group);
    }

    fn output(&mut self, group: &Group<'a>, op: &str) -> Value {
        if let Some(items) = self.made_by.get(group.fx.name).cloned() {
            let tensors = items.iter().map(|(_, id)| Value::Tensor(self.tensor(*id)));
            return Value::List(tensors.collect());
        }
        // A parameter of the model may have the node's name.
        if let Some(id) = self.program.names.get(group.fx.name).copied()
            && self.program.fact(id).as_tensor().is_some()
            && matches!(self.program.value(id).origin, Origin::Step(step, _) if group.steps.contains(&(step.0 as usize)))
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

    pub fn push(
        &mut self,
        op: SmolStr,
        arguments: Vec<Argument>,
        output: Value,
        stack: Option<StackId>,
        group: &Group<'a>,
    ) {
        self.made.insert(group.fx.name, self.flats.len());
        let (line, frame) = source(group);
        self.add(op, arguments, output, stack, line, frame);
    }

    pub fn add(
        &mut self,
        op: SmolStr,
        arguments: Vec<Argument>,
        output: Value,
        stack: Option<StackId>,
        line: &'a str,
        frame: &'a str,
    ) {
        let turn = self
            .lines
            .entry((op.clone(), line, frame, stack))
            .or_default();
        let own = *turn;
        turn.before += 1;
        let mut made = origin::made(&op, line, own);
        let whole = || SmolStr::from(format!("aten.{}", made.name));
        if made.composite && self.lines.contains_key(&(whole(), line, frame, stack)) {
            made = origin::beside(&op, line, own);
        }
        if made.open {
            self.builder.trace_mut().fidelity.doubt(
                &[Layer::Functions, Layer::Operators],
                Level::Reconstructed,
                format!(
                    "the exporter took {} apart in `{line}`, and the line has more of {op}: which is which was taken from the order",
                    made.name
                ),
            );
        }
        if !made.shown && op == "aten.mean" && is_pooling(&arguments) {
            made = origin::POOLED;
            self.builder.trace_mut().fidelity.note(
                Level::Reconstructed,
                "a mean over the last two dimensions is taken for adaptive_avg_pool2d, which the exporter writes so",
            );
        }
        // PyTorch's own code calls every operator by one name.
        let file = innermost(frame);
        let own = file.contains("torch/nn/") || file.contains("torch\\nn\\");
        if !made.shown && !made.composite && !line.is_empty() && !own && !is_free_operator(&op) {
            // It may be a part of an operator that the exporter took apart.
            let layers: &[Layer] = match origin::is_elementary(&op) {
                true => &[Layer::Functions, Layer::Operators],
                false => &[Layer::Functions],
            };
            self.builder.trace_mut().fidelity.doubt(
                layers,
                Level::Reconstructed,
                format!(
                    "the source line does not show how {op} was called: taken for {}",
                    made.name
                ),
            );
        }
        let torch_fn = self.torch_fn(&made, stack, line, frame);
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

    /// The function of a node in the form of `torch_fn`. The operators of one call have one number.
    fn torch_fn(
        &self,
        made: &origin::Made<'_>,
        stack: Option<StackId>,
        line: &str,
        frame: &str,
    ) -> Cow<'a, str> {
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
        match previous {
            Some(previous) => previous.torch_fn.clone(),
            None => {
                let number = self.flats.len();
                format!("{}_{number};{}.{}", made.name, made.kind, made.name).into()
            }
        }
    }

    /// The calls that stand around all that a step reads and around what reads it.
    fn shared_stack(&mut self, step: &Step<'a>, reader: Option<StackId>) -> Option<StackId> {
        let reader = reader?;
        let own = self.stacks.get(reader);
        let mut depth = own.len();
        for id in step.inputs.iter().flatten() {
            let Origin::Step(maker, _) = self.program.value(*id).origin else {
                continue;
            };
            if let Some(stack) = self.standing.get(&(maker.0 as usize)) {
                let pairs = own.iter().zip(self.stacks.get(*stack));
                depth = depth.min(pairs.take_while(|(a, b)| a.key == b.key).count());
            }
        }
        if depth == own.len() {
            return Some(reader);
        }
        let shared = own[..depth].to_vec();
        Some(self.stacks.push(shared))
    }

    /// A node without metadata: an operator that stands where the group stands that it is for.
    pub fn loose(&mut self, at: usize, host: Option<(&Group<'a>, Option<StackId>)>) {
        let step: &Step<'a> = &self.program.steps[at];
        let op = match &split_of(step) {
            Some(name) => format!("aten.{name}").into(),
            None => format!("aten.{}", step.node.op_type.to_lowercase()).into(),
        };
        let arguments = step
            .inputs
            .iter()
            .flatten()
            .filter(|id| self.program.fact(**id).content().is_none())
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
        self.loose.insert(at, self.flats.len());
        let mut flat = Flat {
            op,
            arguments,
            output,
            ..Flat::default()
        };
        if let Some((group, stack)) = host {
            flat.stack = self.shared_stack(step, stack);
            if flat.stack == stack {
                let (line, frame) = source(group);
                let op = group.op();
                let made = origin::made(&op, line, Default::default());
                (flat.line, flat.frame) = (line.into(), frame.into());
                if made.composite {
                    flat.torch_fn = self.torch_fn(&made, stack, line, frame);
                }
            }
        }
        if let Some(stack) = flat.stack {
            self.standing.insert(at, stack);
        }
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

/// Whether no counter has a rule for an operator.
fn is_free_operator(op: &str) -> bool {
    lost::is_free(op.strip_prefix("aten.").unwrap_or(op))
}

/// The operator that a `Split` of the optimizer was: it names the parts `split_with_sizes_1_split_0`.
fn split_of<'a>(step: &Step<'a>) -> Option<&'a str> {
    let (made, _) = step.node.outputs.first()?.rsplit_once("_split_")?;
    (step.node.op_type == "Split").then(|| lost::base(made))
}

/// The source line that made a group, and the stack trace that it ends.
fn source<'a>(group: &Group<'a>) -> (&'a str, &'a str) {
    let trace = group.node.meta(STACK_TRACE).unwrap_or_default();
    let line = trace
        .rsplit('\n')
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default()
        .trim();
    (line, trace)
}

/// The innermost frame of a stack trace.
fn innermost(trace: &str) -> &str {
    trace.rfind("File \"").map_or("", |at| &trace[at..])
}
