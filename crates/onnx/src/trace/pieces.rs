//! The operator calls of a program, in order.

use super::graph::Graph;
use super::piece::Piece;
use super::{fused, mapping, patterns};

/// Every operator call that PyTorch made, as far as the nodes tell.
pub(super) fn pieces(graph: &Graph<'_, '_>) -> Vec<Piece> {
    let count = graph.program.steps.len();
    let mut taken = vec![false; count];
    let mut out: Vec<Piece> = Vec::with_capacity(count);
    for at in 0..count {
        if taken[at] || !matters(graph, at) {
            continue;
        }
        if let Some(pieces) = fused::pieces(graph, at) {
            taken[at] = true;
            out.extend(pieces);
            continue;
        }
        let found = patterns::find(graph, at)
            .filter(|piece| piece.steps.iter().all(|step| !taken[*step]))
            .or_else(|| mapping::piece(graph, at));
        let Some(piece) = found else { continue };
        for step in &piece.steps {
            taken[*step] = true;
        }
        out.push(piece);
    }
    // A pattern ends where its last node stands, and what it reads may stand before that.
    out.sort_by_key(|piece| piece.steps.iter().copied().max());
    out
}

/// Whether a node computes with data and not only with sizes.
fn matters(graph: &Graph<'_, '_>, at: usize) -> bool {
    if matches!(
        graph.op(at),
        "Constant" | "Shape" | "Size" | "Identity" | "Dropout"
    ) {
        return false;
    }
    let Some(output) = graph.output(at) else {
        return false;
    };
    let float = graph
        .dtype(output)
        .is_none_or(|dtype| dtype.is_floating_point());
    graph.is_data(output) || float && !graph.is_constant(output)
}
