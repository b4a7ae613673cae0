//! A count by the work it is for, in the words of papers: attention products, the MLP, projections.

use std::collections::HashSet;
use std::fmt;

use modelcost_core::dim::Dim;
use modelcost_core::report::Report;
use modelcost_core::trace::{CallId, ModuleId, Target, Trace};
use serde::Serialize;

use crate::category::{self, Category};
use crate::growth::crossing;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Linear layers with an activation between them.
    Mlp,
    /// The other linear layers.
    Projections,
    /// Products of queries, keys and values.
    AttentionProducts,
    /// Anything else.
    Other(Category),
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Group::Mlp => f.write_str("the MLP"),
            Group::Projections => f.write_str("projections"),
            Group::AttentionProducts => f.write_str("attention products"),
            Group::Other(category) => category.fmt(f),
        }
    }
}

/// A report's count by kind of work, in the order in which the kinds first occur.
pub fn groups(trace: &Trace, report: &Report) -> Vec<(Group, Dim)> {
    let mlp = mlp(trace);
    let with_softmax: HashSet<ModuleId> = trace
        .calls()
        .filter(|(_, call)| category_of(&call.target) == Some(Category::Softmax))
        .map(|(id, _)| trace.enclosing_module(id))
        .collect();
    let is_attention = |call: CallId| with_softmax.contains(&trace.enclosing_module(call));
    let mut out: Vec<(Group, Dim)> = Vec::new();
    for entry in &report.entries {
        let group = match category::of_call(trace, entry.call) {
            Category::Linear if is_in(trace, &mlp, entry.call) => Group::Mlp,
            Category::Linear => Group::Projections,
            Category::AttentionProduct => Group::AttentionProducts,
            Category::MatrixProduct if is_attention(entry.call) => Group::AttentionProducts,
            other => Group::Other(other),
        };
        match out.iter_mut().find(|(known, _)| *known == group) {
            Some((_, sum)) => *sum += &entry.count,
            None => out.push((group, entry.count.clone())),
        }
    }
    out
}

fn is_operator(target: &Target) -> bool {
    matches!(target, Target::Operator(_))
}

fn category_of(target: &Target) -> Option<Category> {
    match target {
        Target::Operator(name) => category::of_operator(name),
        _ => None,
    }
}

/// Whether a call is one of these, or around or inside one.
fn is_in(trace: &Trace, calls: &HashSet<CallId>, call: CallId) -> bool {
    let mut up = Some(call);
    while let Some(at) = up {
        if calls.contains(&at) {
            return true;
        }
        up = trace.call(at).parent;
    }
    trace.inside(call).any(|(inner, _)| calls.contains(&inner))
}

/// The linear operators that an activation stands between, with nothing but elementwise work around
/// it: norms, products and softmax end a chain.
fn mlp(trace: &Trace) -> HashSet<CallId> {
    let mut out = HashSet::new();
    let (mut chain, mut activated, mut complete) = (Vec::new(), false, false);
    let outermost = trace.calls().filter(|(_, call)| {
        is_operator(&call.target)
            && call
                .parent
                .is_none_or(|parent| !is_operator(&trace.call(parent).target))
    });
    for (id, call) in outermost {
        match category_of(&call.target) {
            Some(Category::Linear) => {
                chain.push(id);
                complete |= activated;
            }
            Some(Category::Activation) => activated |= !chain.is_empty(),
            None | Some(Category::Elementwise | Category::Other) => {}
            Some(_) => {
                if complete {
                    out.extend(chain.iter().copied());
                }
                (chain, activated, complete) = (Vec::new(), false, false);
            }
        }
    }
    if complete {
        out.extend(chain);
    }
    out
}

/// Where one kind of work becomes more than another.
#[derive(Clone, Debug, Serialize)]
pub struct Crossing {
    /// The work that is more from there on.
    pub above: String,
    /// The work that was more before.
    pub below: String,
    /// The dimension.
    pub dimension: String,
    /// The first size at which it is as much.
    pub from: u64,
}

/// What is less than this share of the whole where it crosses is not worth telling.
const WORTH_TELLING: f64 = 0.02;

/// The crossings of a symbolic report in a dimension, other symbols at 1.
pub fn crossings(trace: &Trace, report: &Report, symbol: &str) -> Vec<Crossing> {
    let groups = groups(trace, report);
    let at = |count: &Dim, size: u64| {
        let bound = count.substitute(&|name| {
            Some(if name == symbol {
                Dim::from(size)
            } else {
                Dim::ONE
            })
        });
        bound.approx()
    };
    let mut out = Vec::new();
    for (above, a) in &groups {
        for (below, b) in &groups {
            let Some(from) = crossing(a, b, symbol).filter(|_| above != below) else {
                continue;
            };
            let whole: f64 = groups.iter().map(|(_, count)| at(count, from)).sum();
            if at(a, from) > WORTH_TELLING * whole && at(b, from) > WORTH_TELLING * whole {
                out.push(Crossing {
                    above: above.to_string(),
                    below: below.to_string(),
                    dimension: symbol.to_string(),
                    from,
                });
            }
        }
    }
    out.sort_by_key(|crossing| crossing.from);
    out
}
