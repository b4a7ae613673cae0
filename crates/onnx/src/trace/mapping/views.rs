//! What operators that move, cut and repeat elements are given beside their tensor.

use modelcost_core::dim::Dim;

use super::super::graph::Graph;
use super::super::piece::{Operand, Piece};

/// Adds the arguments that a node's attributes, constants and shapes tell.
pub fn complete(graph: &Graph<'_, '_>, at: usize, piece: Piece) -> Piece {
    let int = |name: &str, default: i64| Operand::Int(graph.int(at, name, default));
    match graph.op(at) {
        "Flatten" => piece.with("start_dim", int("axis", 1)),
        "DepthToSpace" => piece.with("upscale_factor", int("blocksize", 1)),
        "SpaceToDepth" => piece.with("downscale_factor", int("blocksize", 1)),
        "ArgMax" | "ArgMin" => piece
            .with("dim", int("axis", 0))
            .with("keepdim", Operand::Bool(graph.int(at, "keepdims", 1) != 0)),
        "Squeeze" => match axes(graph, at, 1).as_deref() {
            Some([axis]) => piece.with("dim", Operand::Int(*axis)),
            Some(axes) => piece.with("dim", Operand::Ints(axes.to_vec())),
            None => piece,
        },
        "Unsqueeze" => match axes(graph, at, 1).as_deref() {
            Some([axis]) => piece.with("dim", Operand::Int(*axis)),
            _ => piece,
        },
        "Slice" => slice(graph, at, piece),
        "Gather" => match constant(graph, at, 1).as_deref() {
            Some([index]) if piece.op == "select" => piece.with("index", Operand::Int(*index)),
            _ => piece,
        },
        "Split" => split(graph, at, piece),
        "Tile" => match constant(graph, at, 1) {
            Some(repeats) => piece.with("repeats", Operand::Ints(repeats)),
            None => piece,
        },
        "CumSum" => match constant(graph, at, 1).as_deref() {
            Some([axis]) => piece.with("dim", Operand::Int(*axis)),
            _ => piece,
        },
        "ReduceMax" | "ReduceMin" | "ReduceL2" => {
            let piece = match axes(graph, at, 1) {
                Some(axes) => piece.with("dim", Operand::Ints(axes)),
                None => piece,
            };
            piece.with("keepdim", Operand::Bool(graph.int(at, "keepdims", 1) != 0))
        }
        _ => piece,
    }
}

/// The integers at an input, where they are known.
fn constant(graph: &Graph<'_, '_>, at: usize, index: usize) -> Option<Vec<i64>> {
    let content = graph.program.fact(graph.input(at, index)?).content()?;
    content.as_ints()?.iter().map(Dim::as_i64).collect()
}

/// Axes are an attribute in older operator sets.
fn axes(graph: &Graph<'_, '_>, at: usize, index: usize) -> Option<Vec<i64>> {
    let attribute = graph.ints(at, "axes").map(<[i64]>::to_vec);
    attribute.or_else(|| constant(graph, at, index))
}

/// PyTorch cuts one dimension at a time.
fn slice(graph: &Graph<'_, '_>, at: usize, piece: Piece) -> Piece {
    let (starts, ends) = match graph.ints(at, "starts") {
        Some(starts) => (
            Some(starts.to_vec()),
            graph.ints(at, "ends").map(<[i64]>::to_vec),
        ),
        None => (constant(graph, at, 1), constant(graph, at, 2)),
    };
    let axis = axes(graph, at, 3).unwrap_or_else(|| vec![0]);
    let step = constant(graph, at, 4).unwrap_or_else(|| vec![1]);
    match (
        starts.as_deref(),
        ends.as_deref(),
        axis.as_slice(),
        step.as_slice(),
    ) {
        (Some([start]), Some([end]), [axis], [step]) => piece
            .with("dim", Operand::Int(*axis))
            .with("start", Operand::Int(*start))
            .with("end", Operand::Int(*end))
            .with("step", Operand::Int(*step)),
        _ => piece,
    }
}

/// The sizes of the pieces: one for all where only the last is smaller.
fn split(graph: &Graph<'_, '_>, at: usize, mut piece: Piece) -> Piece {
    let axis = graph.int(at, "axis", 0);
    let sizes: Option<Vec<Dim>> = graph
        .step(at)
        .outputs
        .iter()
        .map(|output| {
            let shape = graph.shape((*output)?)?;
            let axis = if axis < 0 {
                axis + shape.len() as i64
            } else {
                axis
            };
            shape.get(usize::try_from(axis).ok()?).cloned()
        })
        .collect();
    let Some(sizes) = sizes else { return piece };
    if let [first, rest @ .., last] = sizes.as_slice()
        && rest.iter().all(|size| size == first)
        && let (Some(first), Some(last)) = (first.as_i64(), last.as_i64())
        && last <= first
    {
        return piece.with("split_size", Operand::Int(first));
    }
    piece.op = "split_with_sizes".into();
    piece.with("split_sizes", Operand::Dims(sizes))
}
