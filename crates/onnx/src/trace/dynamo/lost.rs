//! Calls that the optimizer took out of the graph.
//!
//! It merges equal calls, drops what changes nothing, joins activations, and computes what depends
//! on constants. Tools saw all of these calls. What is left of them: other nodes still name their
//! results, and every node still says how many users it had. Where these two tell what a call
//! was, it is put back; where they only tell that there was one, the trace is partial.

use std::collections::{HashMap, HashSet};

use modelcost_core::fidelity::Level;
use modelcost_fx::{Entry, StackId, Stacks};

use super::super::fx_text::FxArg;
use super::super::signature::Input;
use super::super::{origin, recompose};
use super::{Group, STACK_TRACE, outside};
use crate::infer::{Origin, Program, ValueId};
use crate::text::Arena;

/// What the optimizer took out.
#[derive(Default)]
pub(super) struct Lost<'a> {
    /// The calls that can be put back, by the FX name of their result.
    pub back: HashMap<&'a str, Back<'a>>,
    pub notes: Vec<(Level, String)>,
    /// Whether calls are gone that only change shapes.
    pub views: bool,
}

/// A call that can be put back.
#[derive(Clone, Copy)]
pub(super) struct Back<'a> {
    pub how: How<'a>,
    /// The value that stands in the place of its result.
    pub value: ValueId,
    pub stack: Option<StackId>,
}

#[derive(Clone, Copy)]
pub(super) enum How<'a> {
    /// The same call as that of another FX node.
    Twin(&'a str),
    /// An elementwise operator on the value.
    Elementwise(&'static str),
}

/// Operators that no counter has a rule for: views, copies, sizes, comparisons, constants.
const FREE: &str = "
    _assert_tensor_metadata _tensor_constant _to_copy _unsafe_view alias arange as_strided
    bitwise_and bitwise_not bitwise_or cat chunk clone contiguous copy cumsum detach detach_
    diff dropout empty eq expand fill flatten full full_like gather ge getitem gt index
    index_put index_select le lift_fresh_copy linspace logical_and logical_not logical_or lt
    masked_fill meshgrid movedim narrow ne new_full new_ones new_zeros ones ones_like
    permute rand randn repeat roll scalar_tensor scalar_tensor_default select select_scatter
    slice slice_scatter split split_with_sizes squeeze stack t to transpose tril triu
    type_as unbind unflatten unfold unsqueeze view where zeros zeros_like
";

/// Elementwise operators that the optimizer joins with their neighbours, and their classes.
const ACTIVATIONS: &[(&str, &str)] = &[
    ("relu", "torch.nn.modules.activation.ReLU"),
    ("relu6", "torch.nn.modules.activation.ReLU6"),
    ("hardtanh", "torch.nn.modules.activation.Hardtanh"),
    ("clamp", ""),
    ("clamp_min", ""),
    ("clamp_max", ""),
    ("maximum", ""),
    ("minimum", ""),
    // With one or zero they change nothing.
    ("mul", ""),
    ("div", ""),
    ("add", ""),
    ("sub", ""),
];

/// Operators whose lists hold tensors; other lists hold sizes.
const TENSOR_LISTS: &[&str] = &[
    "aten.cat",
    "aten.stack",
    "aten.index",
    "aten.index_put",
    "aten.einsum",
    "aten.lstm",
    "aten.gru",
    "aten.rnn_tanh",
    "aten.rnn_relu",
    "aten.meshgrid",
];

/// `relu` of `relu_12`.
pub(super) fn base(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((base, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => base,
        _ => name,
    }
}

pub(super) fn is_free(name: &str) -> bool {
    let base = base(name);
    base.starts_with("sym_")
        || base.starts_with("_assert")
        || FREE.split_whitespace().any(|free| free == base)
}

/// The FX nodes whose tensors a group takes.
fn taken<'a>(group: &Group<'a>) -> Vec<&'a str> {
    let lists = TENSOR_LISTS.contains(&group.op().as_str());
    let mut out = Vec::new();
    let kwargs = group.fx.kwargs.iter().map(|(_, arg)| arg);
    for arg in group.fx.args.iter().chain(kwargs) {
        match arg {
            FxArg::Node(name) => out.push(*name),
            FxArg::List(items) if lists => out.extend(items.iter().filter_map(|item| match item {
                FxArg::Node(name) => Some(*name),
                _ => None,
            })),
            _ => {}
        }
    }
    out
}

/// Every FX node that an argument names, each once.
pub(super) fn named<'a>(group: &Group<'a>) -> HashSet<&'a str> {
    fn collect<'a>(arg: &FxArg<'a>, out: &mut HashSet<&'a str>) {
        match arg {
            FxArg::Node(name) => {
                out.insert(name);
            }
            FxArg::List(items) => items.iter().for_each(|item| collect(item, out)),
            _ => {}
        }
    }
    let mut out = HashSet::new();
    let kwargs = group.fx.kwargs.iter().map(|(_, arg)| arg);
    group
        .fx
        .args
        .iter()
        .chain(kwargs)
        .for_each(|arg| collect(arg, &mut out));
    out
}

/// Finds the calls that are gone.
pub(super) fn find<'a>(
    program: &'a Program<'a>,
    groups: &[Group<'a>],
    inputs: &[Input<'a>],
    scopes: &[Option<StackId>],
    fused: &dyn Fn(usize) -> bool,
    stacks: &mut Stacks<'a>,
    arena: &'a Arena,
) -> Lost<'a> {
    let mut search = Search::new(program, groups, inputs);
    let mut lost = Lost::default();
    let (mut gone, mut restored) = (Vec::new(), Vec::new());
    for (at, group) in groups.iter().enumerate() {
        let free: Vec<ValueId> = search.free_inputs(group);
        let names: Vec<&'a str> = taken(group)
            .into_iter()
            .filter(|name| !search.known.contains(name))
            .collect();
        // The nodes that one function is decomposed into are put together again as a whole.
        let line = group.node.meta(STACK_TRACE).unwrap_or_default();
        let op = group.op();
        let made = origin::made(
            &op,
            line.rsplit('\n').next().unwrap_or_default().trim(),
            Default::default(),
        );
        if recompose::is_recomposed(made.name) {
            search.explain(&free, usize::MAX);
            search.explained[at] = i64::MAX;
            continue;
        }
        search.explain(&free, names.len());
        if fused(at) {
            continue;
        }
        for name in names {
            if lost.back.contains_key(name) {
                continue;
            }
            match search.back(name, &free) {
                Some((how, value)) => {
                    let stack = scopes[at];
                    let stack = match how {
                        How::Twin(other) => {
                            search.explain_operands(other);
                            search.twin_stack(other, scopes, stack, stacks, arena)
                        }
                        How::Elementwise(op) => layer(op, stack, &search.called, stacks, arena),
                    };
                    lost.back.insert(name, Back { how, value, stack });
                    if !is_free(name) {
                        restored.push(name);
                    }
                }
                None if is_free(name) => lost.views = true,
                None => gone.push(name),
            }
        }
    }
    if let Some(first) = restored.first() {
        let count = restored.len();
        lost.notes.push((
            Level::Reconstructed,
            format!(
                "{count} call{} that the exporter merged with others {} put back, such as {first}",
                if count == 1 { "" } else { "s" },
                if count == 1 { "was" } else { "were" },
            ),
        ));
    }
    gone.sort_unstable();
    gone.dedup();
    if let Some(first) = gone.first() {
        lost.notes.push((
            Level::Partial,
            format!(
                "the exporter took out {} call{}, such as {first}, and the file no longer says of what: not counted",
                gone.len(),
                if gone.len() == 1 { "" } else { "s" },
            ),
        ));
    }
    let hidden = search.hidden(groups);
    if let Some(first) = hidden.first() {
        lost.notes.push((
            Level::Partial,
            format!(
                "something that used the result of {first} is no longer in the file ({} such result{})",
                hidden.len(),
                if hidden.len() == 1 { "" } else { "s" },
            ),
        ));
    }
    lost
}

/// By step: whether it depends on no input of the model.
fn constants(program: &Program<'_>) -> Vec<bool> {
    let mut out: Vec<bool> = Vec::with_capacity(program.steps.len());
    for step in &program.steps {
        let constant = step
            .inputs
            .iter()
            .flatten()
            .all(|id| match program.value(*id).origin {
                Origin::Initializer(_) => true,
                Origin::Step(step, _) => out.get(step.0 as usize).copied().unwrap_or(false),
                _ => false,
            });
        out.push(constant);
    }
    out
}

/// The stack of an activation that was joined with the one after it: in a `Sequential` it was the
/// layer before, elsewhere most likely a function.
fn layer<'a>(
    op: &str,
    stack: Option<StackId>,
    called: &HashSet<&'a str>,
    stacks: &mut Stacks<'a>,
    arena: &'a Arena,
) -> Option<StackId> {
    let entries: Vec<Entry<'a>> = stacks.get(stack?).to_vec();
    let (own, outer) = entries.split_last()?;
    // The call after it is a function of the same module.
    if !own.class.starts_with("torch.nn.modules.") || outer.is_empty() {
        return stack;
    }
    let parent = outer.last()?;
    let number = own.path.rsplit('.').next()?.parse::<usize>().ok();
    let class = ACTIVATIONS.iter().find(|(name, _)| *name == op)?.1;
    let mut entries = outer.to_vec();
    if let (true, false, Some(before)) = (
        parent.class.ends_with(".Sequential"),
        class.is_empty(),
        number.and_then(|number| number.checked_sub(1)),
    ) {
        let path = match parent.path.as_str() {
            "" => before.to_string(),
            path => format!("{path}.{before}"),
        };
        let path: &'a str = arena.string(path);
        if !called.contains(path) {
            entries.push(Entry {
                key: path,
                path: path.into(),
                class,
            });
        }
    }
    Some(stacks.push(entries))
}

struct Search<'s, 'a> {
    program: &'a Program<'a>,
    groups: &'s [Group<'a>],
    /// FX nodes and inputs that are left.
    known: HashSet<&'a str>,
    /// Groups by the names of their FX nodes.
    by_name: HashMap<&'a str, usize>,
    /// Groups that depend on nothing but constants.
    constant: Vec<bool>,
    /// The group that a step belongs to.
    owner: Vec<Option<usize>>,
    /// Users of each group that are not left.
    missing: Vec<i64>,
    /// How many of these are results that are still named.
    explained: Vec<i64>,
    /// Paths of modules that are called.
    called: HashSet<&'a str>,
    twins: usize,
}

impl<'s, 'a> Search<'s, 'a> {
    fn new(
        program: &'a Program<'a>,
        groups: &'s [Group<'a>],
        inputs: &[Input<'a>],
    ) -> Search<'s, 'a> {
        let mut known: HashSet<&'a str> = inputs.iter().map(|input| input.name).collect();
        known.extend(program.inputs.iter().map(|(name, _)| *name));
        known.extend(groups.iter().map(|group| group.fx.name));
        let mut owner = vec![None; program.steps.len()];
        let depends_on_nothing = constants(program);
        let mut uses: HashMap<&str, i64> = HashMap::new();
        let mut called = HashSet::new();
        for (at, group) in groups.iter().enumerate() {
            for step in &group.steps {
                owner[*step] = Some(at);
            }
            for name in named(group) {
                *uses.entry(name).or_default() += 1;
            }
            if let Some(scopes) = group.node.meta(super::SCOPES) {
                called.extend(super::super::fx_text::strings(scopes));
            }
        }
        let constant = groups
            .iter()
            .map(|group| group.steps.iter().all(|step| depends_on_nothing[*step]))
            .collect();
        let by_name = groups.iter().enumerate();
        let by_name = by_name.map(|(at, group)| (group.fx.name, at)).collect();
        let returned: HashSet<usize> = program
            .outputs
            .iter()
            .filter_map(|(_, id)| match program.value(*id).origin {
                Origin::Step(step, _) => owner[step.0 as usize],
                _ => None,
            })
            .collect();
        let missing = groups
            .iter()
            .enumerate()
            .map(|(at, group)| {
                let left = uses.get(group.fx.name).copied().unwrap_or(0);
                let users = i64::try_from(group.fx.users).unwrap_or(0);
                users - left - i64::from(returned.contains(&at))
            })
            .collect();
        Search {
            program,
            groups,
            known,
            by_name,
            constant,
            owner,
            missing,
            explained: vec![0; groups.len()],
            called,
            twins: 0,
        }
    }

    fn maker(&self, id: ValueId) -> Option<usize> {
        match self.program.value(id).origin {
            Origin::Step(step, _) => self.owner.get(step.0 as usize).copied().flatten(),
            _ => None,
        }
    }

    /// What a group reads that no argument names: it stands in the place of what is gone.
    fn free_inputs(&self, group: &Group<'a>) -> Vec<ValueId> {
        let named = named(group);
        let mut out = outside(self.program, group);
        out.retain(|id| {
            let by_name = named.contains(self.program.value(*id).name);
            let by_group = self
                .maker(*id)
                .is_some_and(|at| named.contains(self.groups[at].fx.name));
            !by_name && !by_group
        });
        out
    }

    /// Takes results that are still named as reasons why users of these values are gone.
    fn explain(&mut self, free: &[ValueId], names: usize) {
        let names = i64::try_from(names).unwrap_or(i64::MAX / 2);
        let makers: HashSet<usize> = free.iter().filter_map(|id| self.maker(*id)).collect();
        for at in makers {
            self.explained[at] = self.explained[at].saturating_add(names);
        }
    }

    /// The operands of a call that had an equal one are named by that one too.
    fn explain_operands(&mut self, other: &str) {
        let Some(at) = self.position(other) else {
            return;
        };
        for name in named(&self.groups[at]) {
            if let Some(at) = self.position(name) {
                self.explained[at] = self.explained[at].saturating_add(1);
            }
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// How a call can be put back, and the value that stands in its place.
    fn back(&self, name: &'a str, free: &[ValueId]) -> Option<(How<'a>, ValueId)> {
        let wanted = base(name);
        for id in free {
            let Some(at) = self.maker(*id) else { continue };
            let other = self.groups[at].fx.name;
            // A user of the other call is gone: that is this one, and not its equal.
            if base(other) == wanted && other != name && self.missing[at] <= 0 {
                return Some((How::Twin(other), *id));
            }
        }
        let (op, _) = ACTIVATIONS.iter().find(|(op, _)| *op == wanted)?;
        let first = free.iter().find(|id| {
            let fact = self.program.fact(**id);
            let float = fact.dtype().is_some_and(|dtype| dtype.is_floating_point());
            let constant = matches!(self.program.value(**id).origin, Origin::Initializer(_));
            float && !constant
        })?;
        Some((How::Elementwise(op), *first))
    }

    /// Where the second of two equal calls stood: with parameters it was the same module again.
    fn twin_stack(
        &mut self,
        other: &str,
        scopes: &[Option<StackId>],
        own: Option<StackId>,
        stacks: &mut Stacks<'a>,
        arena: &'a Arena,
    ) -> Option<StackId> {
        let at = self
            .groups
            .iter()
            .position(|group| group.fx.name == other)?;
        let weighted = taken(&self.groups[at])
            .iter()
            .any(|name| name.starts_with("p_"));
        if !weighted {
            return own;
        }
        let mut entries: Vec<Entry<'a>> = stacks.get(scopes[at]?).to_vec();
        let last = entries.last_mut()?;
        self.twins += 1;
        last.key = arena.string(format!("{}@twin{}", last.key, self.twins));
        Some(stacks.push(entries))
    }

    /// Results of which a user is gone without a trace.
    fn hidden(&self, groups: &[Group<'a>]) -> Vec<&'a str> {
        let several = |group: &Group<'a>| {
            let op = group.op();
            let short = op.strip_prefix("aten.").unwrap_or(&op);
            // What takes items of several results may go without a loss.
            recompose::returns_list(&op)
                || short.contains("native_")
                || matches!(
                    short,
                    "rnn_tanh" | "rnn_relu" | "max" | "min" | "topk" | "sort"
                )
                || group.fx.target.starts_with("operator.")
                || is_free(group.fx.name)
        };
        (0..groups.len())
            .filter(|at| self.missing[*at] > self.explained[*at])
            .filter(|at| !self.constant[*at] && !several(&groups[*at]))
            .map(|at| groups[at].fx.name)
            .collect()
    }
}
