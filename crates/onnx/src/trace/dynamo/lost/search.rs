//! Which users of a group are gone, and what they were.

use foldhash::{HashMap, HashSet};

use modelcost_fx::{Entry, StackId, Stacks};

use super::super::super::recompose;
use super::super::super::signature::Input;
use super::super::{Group, SCOPES, outside};
use super::names::{base, is_free, named, taken};
use super::{ACTIVATIONS, How};
use crate::infer::{Origin, Program, ValueId};
use crate::text::Arena;

/// What is known of the groups that are left.
pub(super) struct Search<'s, 'a> {
    program: &'a Program<'a>,
    groups: &'s [Group<'a>],
    /// FX nodes and inputs that are left.
    pub known: HashSet<&'a str>,
    /// Groups by the names of their FX nodes.
    by_name: HashMap<&'a str, usize>,
    /// Groups that depend on nothing but constants.
    constant: Vec<bool>,
    /// The group that a step belongs to.
    owner: Vec<Option<usize>>,
    /// Users of each group that are not left.
    missing: Vec<i64>,
    /// How many of these are results that are still named.
    pub explained: Vec<i64>,
    /// Paths of modules that are called.
    pub called: HashSet<&'a str>,
    twins: usize,
}

impl<'s, 'a> Search<'s, 'a> {
    pub fn new(
        program: &'a Program<'a>,
        groups: &'s [Group<'a>],
        inputs: &[Input<'a>],
    ) -> Search<'s, 'a> {
        let mut known: HashSet<&'a str> = inputs.iter().map(|input| input.name).collect();
        known.extend(program.inputs.iter().map(|(name, _)| *name));
        known.extend(groups.iter().map(|group| group.fx.name));
        let mut owner = vec![None; program.steps.len()];
        let depends_on_nothing = constants(program);
        let mut uses: HashMap<&str, i64> = HashMap::default();
        let mut called = HashSet::default();
        for (at, group) in groups.iter().enumerate() {
            for step in &group.steps {
                owner[*step] = Some(at);
            }
            for name in named(group) {
                *uses.entry(name).or_default() += 1;
            }
            if let Some(scopes) = group.node.meta(SCOPES) {
                called.extend(super::super::super::fx_text::strings(scopes));
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
    pub fn free_inputs(&self, group: &Group<'a>) -> Vec<ValueId> {
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
    pub fn explain(&mut self, free: &[ValueId], names: usize) {
        let names = i64::try_from(names).unwrap_or(i64::MAX / 2);
        let makers: HashSet<usize> = free.iter().filter_map(|id| self.maker(*id)).collect();
        for at in makers {
            self.explained[at] = self.explained[at].saturating_add(names);
        }
    }

    /// The operands of a call that had an equal one are named by that one too.
    pub fn explain_operands(&mut self, other: &str) {
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
    pub fn back(&self, name: &'a str, free: &[ValueId]) -> Option<(How<'a>, ValueId)> {
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
    pub fn twin_stack(
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
    pub fn hidden(&self, groups: &[Group<'a>]) -> Vec<&'a str> {
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
