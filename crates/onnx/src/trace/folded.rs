//! Convolutions that the older exporter folded a BatchNorm into, and whether they had a bias.
//!
//! The exporter numbers the values of a graph before it optimises: the inputs, every parameter and
//! buffer, then what each node makes. Names of inner values do not show the numbers, but the last
//! output's name is its number, so that it tells how many parameters there were.

use super::graph::Graph;
use super::legacy::is_anonymous;
use crate::infer::Origin;
use crate::model::Model;

/// What the numbers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Biases {
    /// No folded convolution had one.
    None,
    /// Each had one.
    All,
    /// Nothing: nodes that are gone took numbers, too.
    Open,
}

/// The parameters and buffers of a BatchNorm.
const BATCH_NORM: usize = 5;

/// Whether the convolutions in a file that a BatchNorm was folded into had a bias.
pub(super) fn biases(model: &Model<'_>, graph: &Graph<'_, '_>) -> Biases {
    let folded = (0..graph.program.steps.len())
        .filter(|at| is_folded(graph, *at))
        .count();
    let numbers = model.graph.outputs.iter();
    let last = numbers
        .filter_map(|output| output.name.parse::<usize>().ok())
        .max();
    let (Some(last), true) = (last, folded > 0) else {
        return Biases::Open;
    };
    let mut known = model.graph.inputs.len();
    known += model
        .graph
        .initializers
        .iter()
        .filter(|tensor| !is_anonymous(tensor.name))
        .count();
    for node in &model.graph.nodes {
        let first = node.outputs.first().copied().unwrap_or_default();
        // Weights that were made one after the others share them.
        if first.starts_with("onnx::") {
            continue;
        }
        known += node.outputs.iter().filter(|name| !name.is_empty()).count();
        known += match node.op_type {
            // The count of batches.
            "BatchNormalization" => 1,
            // A weight, and the node that turned it.
            "MatMul"
                if node
                    .inputs
                    .iter()
                    .any(|name| name.starts_with("onnx::MatMul")) =>
            {
                2
            }
            _ => 0,
        };
    }
    // A weight, the BatchNorm and what it made.
    known += folded * (1 + BATCH_NORM + 1);
    match (last + 1).checked_sub(known) {
        Some(rest) if rest < folded => Biases::None,
        Some(rest) if rest == folded => Biases::All,
        _ => Biases::Open,
    }
}

/// Whether a node is a convolution whose weight lost its name.
fn is_folded(graph: &Graph<'_, '_>, at: usize) -> bool {
    graph.op(at) == "Conv"
        && graph.input(at, 1).is_some_and(|id| {
            let value = graph.program.value(id);
            matches!(value.origin, Origin::Initializer(_)) && is_anonymous(value.name)
        })
}
