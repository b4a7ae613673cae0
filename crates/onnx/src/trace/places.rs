//! Where the nodes of a text are in the trace that was made of it.
//!
//! An exporter may have made several nodes of one operator call, or folded several calls into one node. What links the
//! two is the tensor that both of them make: the node that makes what a call returns is that call's. A call that no node
//! makes the result of belongs to the node whose call follows it.

use modelcost_core::dtype::DType;
use modelcost_core::expr::Span;
use modelcost_core::trace::{CallId, Origin, Shape, Target, Trace};
use rustc_hash::FxHashMap;

use super::Built;
use crate::infer::{Program, Step};

/// A trace whose operator calls know their nodes' places in the text, and those nodes.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The trace.
    pub trace: Trace,
    /// The nodes that have a place, in the order in which they first run.
    pub nodes: Vec<NodePlace>,
}

/// A node that stands in a text.
#[derive(Clone, Debug)]
pub struct NodePlace {
    /// Where it stands.
    pub span: Span,
    /// Its name and operator.
    pub label: String,
    /// The shape of its first output the first and the last time that it runs, where that is known.
    pub shapes: Option<(Shape, Shape)>,
    /// The type of the elements of that.
    pub dtype: Option<DType>,
    /// How often it runs: nodes of functions and unrolled loops several times.
    pub times: usize,
}

pub(super) fn listing(program: &Program<'_>, built: Built) -> Listing {
    let Built { mut trace, values } = built;
    let mut nodes: Vec<NodePlace> = Vec::new();
    let mut index: FxHashMap<Span, usize> = FxHashMap::default();
    for step in &program.steps {
        let Some(span) = step.node.span else { continue };
        let at = *index.entry(span).or_insert_with(|| {
            nodes.push(NodePlace {
                span,
                label: step.node.label(),
                shapes: None,
                dtype: None,
                times: 0,
            });
            nodes.len() - 1
        });
        add(&mut nodes[at], program, step);
        for id in step.outputs.iter().flatten() {
            let tensor = values.get(*id).map(|tensor| trace.tensor(tensor));
            if let Some(Origin::Call(call)) = tensor.map(|tensor| tensor.origin) {
                trace.calls[call.index()].span.get_or_insert(span);
            }
        }
    }
    place_the_rest(&mut trace);
    Listing { trace, nodes }
}

/// One time that a node runs.
fn add(place: &mut NodePlace, program: &Program<'_>, step: &Step<'_>) {
    place.times += 1;
    let Some(fact) = step
        .outputs
        .iter()
        .flatten()
        .next()
        .map(|id| program.fact(*id))
    else {
        return;
    };
    place.dtype = place.dtype.or(fact.dtype());
    let Some(shape) = fact.shape() else { return };
    match &mut place.shapes {
        Some((_, last)) => *last = shape.to_vec(),
        None => place.shapes = Some((shape.to_vec(), shape.to_vec())),
    }
}

/// Gives the operator calls that no node is, and that no such call is around or inside of, the place of the next one.
fn place_the_rest(trace: &mut Trace) {
    let mut next: Option<Span> = trace.calls.iter().rev().find_map(|call| call.span);
    for at in (0..trace.calls.len()).rev() {
        if let Some(span) = trace.calls[at].span {
            next = Some(span);
            continue;
        }
        let outermost = trace.calls[at]
            .parent
            .is_none_or(|parent| !matches!(trace.call(parent).target, Target::Operator(_)));
        let is_operator = matches!(trace.calls[at].target, Target::Operator(_));
        let has_own = || {
            let inside = trace.inside(CallId::new(at));
            inside.into_iter().any(|(_, call)| call.span.is_some())
        };
        if is_operator && outermost && !has_own() {
            trace.calls[at].span = next;
        }
    }
}
