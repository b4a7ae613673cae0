//! `x[…]`: put together from the operators that indexing is made of.

use modelcost_core::trace::{Call, Target, Trace};
use modelcost_core::value::Value;

use super::expression::{self, Expression, Tensors};
use super::pieces::{Piece, Pieces, text};

/// What a program writes for "to the end".
const END: i128 = i64::MAX as i128;

/// The indices of `x[…]`, one for each dimension so far.
struct Indices(Vec<Pieces>);

impl Indices {
    /// Passes whole dimensions over until the next index is for dimension `dim` of what is left.
    fn fill(&mut self, taken: usize, dim: usize) {
        for _ in taken..dim {
            self.0.push(text(":"));
        }
    }
}

/// A call of `operator.getitem`.
pub(super) fn getitem(
    trace: &Trace,
    call: &Call,
    operators: &[&Call],
    tensors: &mut dyn Tensors,
) -> Option<Expression> {
    let base = &call.arguments.first()?.value;
    let rank = trace.tensor(base.tensor()?).shape.as_ref()?.len();
    let base = expression::value(base, "input", tensors)?;
    let indices = match call.argument("b") {
        Some(index) => written(index, tensors)?,
        None => recovered(trace, operators, rank, tensors)?,
    };
    let mut pieces = base.within(expression::Level::Tight);
    pieces.push(Piece::Text("[".into()));
    for (at, index) in indices.into_iter().enumerate() {
        if at > 0 {
            pieces.push(Piece::Text(", ".into()));
        }
        pieces.extend(index);
    }
    pieces.push(Piece::Text("]".into()));
    Some(Expression::tight(pieces))
}

/// An index that the trace has as Python gave it.
fn written(index: &Value, tensors: &mut dyn Tensors) -> Option<Vec<Pieces>> {
    let items = match index {
        Value::Tuple(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    items.iter().map(|item| one(item, tensors)).collect()
}

fn one(index: &Value, tensors: &mut dyn Tensors) -> Option<Pieces> {
    match index {
        Value::Dict(bounds) => {
            let bound = |name: &str| {
                let mut bounds = bounds.iter();
                bounds
                    .find(|(own, _)| own == name)
                    .map(|(_, value)| value.clone())
            };
            let [start, stop, step] =
                ["start", "stop", "step"].map(|n| bound(n).unwrap_or_default());
            slice(&start, &stop, &step, tensors)
        }
        other => Some(expression::value(other, "index", tensors)?.pieces),
    }
}

fn slice(start: &Value, stop: &Value, step: &Value, tensors: &mut dyn Tensors) -> Option<Pieces> {
    let zero = |value: &Value| value.int().and_then(|dim| dim.as_const()) == Some(0);
    let end = |value: &Value| value.int().and_then(|dim| dim.as_const()) == Some(END);
    let one = |value: &Value| value.int().and_then(|dim| dim.as_const()) == Some(1);
    let mut out = Pieces::new();
    if !start.is_none() && !zero(start) {
        out.extend(expression::value(start, "start", tensors)?.pieces);
    }
    out.push(Piece::Text(":".into()));
    if !stop.is_none() && !end(stop) {
        out.extend(expression::value(stop, "stop", tensors)?.pieces);
    }
    if !step.is_none() && !one(step) {
        out.push(Piece::Text(":".into()));
        out.extend(expression::value(step, "step", tensors)?.pieces);
    }
    Some(out)
}

/// The index that operators came from: each takes up where the one before it stopped.
fn recovered(
    trace: &Trace,
    operators: &[&Call],
    rank: usize,
    tensors: &mut dyn Tensors,
) -> Option<Vec<Pieces>> {
    let mut indices = Indices(Vec::new());
    // How many dimensions of the tensor in the making are indexed already.
    let mut taken = 0;
    let mut rank = rank;
    for call in operators {
        let Target::Operator(name) = &call.target else {
            return None;
        };
        let none = Value::None;
        let argument = |name: &str| call.argument(name).unwrap_or(&none);
        let dim = |extra: usize| {
            let dim = argument("dim")
                .int()
                .and_then(|dim| dim.as_i64())
                .unwrap_or(0);
            let dim = if dim < 0 {
                dim + (rank + extra) as i64
            } else {
                dim
            };
            usize::try_from(dim).ok()
        };
        match name.as_str() {
            "aten.select" => {
                let dim = dim(0).filter(|dim| *dim >= taken)?;
                indices.fill(taken, dim);
                indices
                    .0
                    .push(expression::value(argument("index"), "index", tensors)?.pieces);
                taken = dim;
                rank -= 1;
            }
            "aten.slice" => {
                let dim = dim(0).filter(|dim| *dim >= taken)?;
                indices.fill(taken, dim);
                let [start, end, step] = ["start", "end", "step"].map(argument);
                indices.0.push(slice(start, end, step, tensors)?);
                taken = dim + 1;
            }
            "aten.unsqueeze" => {
                let dim = dim(1).filter(|dim| *dim >= taken)?;
                indices.fill(taken, dim);
                indices.0.push(text("None"));
                taken = dim + 1;
                rank += 1;
            }
            "aten.index" => {
                // Tensors index the dimensions of what the other indices left.
                let items = argument("indices").items()?.to_vec();
                if !indices.0.iter().all(is_whole) {
                    return None;
                }
                indices.0.clear();
                for item in &items {
                    indices.0.push(match item {
                        Value::None => text(":"),
                        item => expression::value(item, "index", tensors)?.pieces,
                    });
                }
                taken = rank;
            }
            "aten.alias" | "aten.detach" | "aten.to" | "aten.lift_fresh_copy" | "aten._to_copy" => {
            }
            _ => return None,
        }
    }
    let _ = trace;
    if indices.0.is_empty() {
        // `x[:]`, or an index whose tensors the program does not name.
        indices.0.push(text(":"));
    }
    Some(indices.0)
}

fn is_whole(index: &Pieces) -> bool {
    matches!(index.as_slice(), [Piece::Text(text)] if text == ":")
}
