//! The calls that belong to each place of a text.

use std::collections::HashMap;
use std::ops::Range;

use modelcost_core::expr::Span;
use modelcost_core::trace::{CallId, Trace};

/// What stands for the inside of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Inside {
    Nothing,
    /// One place.
    One(Span),
    /// Several, of which this is the last.
    Many(Span),
}

impl Inside {
    /// With what comes before it.
    fn after(self, earlier: Inside) -> Inside {
        match (self, earlier) {
            (Inside::Nothing, other) | (other, Inside::Nothing) => other,
            (Inside::One(own), Inside::One(other)) if own == other => self,
            (Inside::One(last) | Inside::Many(last), _) => Inside::Many(last),
        }
    }
}

/// The calls of each place: the outermost ones that are all its own, and, where the last of the places inside a call is
/// this one, that call by itself. So every call but the root belongs to one place, and what a tool counts for a layer of
/// several nodes stands at the last of them.
pub fn calls(trace: &Trace) -> HashMap<Span, Vec<Range<CallId>>> {
    let mut inside = vec![Inside::Nothing; trace.calls.len()];
    for at in (0..trace.calls.len()).rev() {
        let call = &trace.calls[at];
        if let Some(span) = call.span {
            inside[at] = Inside::One(span);
        }
        if let Some(parent) = call.parent {
            inside[parent.index()] = inside[parent.index()].after(inside[at]);
        }
    }
    let mut out: HashMap<Span, Vec<Range<CallId>>> = HashMap::new();
    for (id, call) in trace.calls() {
        let within_one = call
            .parent
            .is_some_and(|parent| matches!(inside[parent.index()], Inside::One(_)));
        match inside[id.index()] {
            Inside::One(span) if !within_one => out.entry(span).or_default().push(id..call.end),
            Inside::Many(span) if call.parent.is_some() => {
                let alone = CallId::new(id.index() + 1);
                out.entry(span).or_default().push(id..alone);
            }
            _ => {}
        }
    }
    out
}
