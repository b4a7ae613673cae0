//! Calls that the optimizer took out of the graph.
//!
//! It merges equal calls, drops what changes nothing, joins activations, and computes what depends
//! on constants. Tools saw all of these calls. What is left of them: other nodes still name their
//! results, and every node still says how many users it had. Where these two tell what a call
//! was, it is put back; where they only tell that there was one, the trace is partial.

mod names;
mod search;

use foldhash::{HashMap, HashSet};

use modelcost_core::fidelity::Level;
use modelcost_fx::{Entry, StackId, Stacks};

use self::names::taken;
pub(super) use self::names::{base, is_free, named};
use self::search::Search;
use super::super::signature::Input;
use super::super::{origin, recompose};
use super::{Group, STACK_TRACE};
use crate::infer::{Program, ValueId};
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
