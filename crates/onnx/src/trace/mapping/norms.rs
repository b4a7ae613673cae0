//! Normalisations.

use super::super::graph::Graph;
use super::super::piece::{FUNCTION, Operand, Piece};
use super::weight;

/// The normalisation that a node is.
pub fn norm(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let op = graph.op(at);
    let input = graph.input(at, 0);
    let value = |index: usize| graph.input(at, index).map_or(Operand::None, Operand::Value);
    match op {
        "BatchNormalization" => {
            let rank = graph.rank(input?);
            let class = match rank {
                2 | 3 => "BatchNorm1d",
                5 => "BatchNorm3d",
                _ => "BatchNorm2d",
            };
            Some(
                Piece::new("batch_norm", FUNCTION)
                    .class(format!("torch.nn.modules.batchnorm.{class}"))
                    .with("input", value(0))
                    .with("weight", weight(graph, at, 1))
                    .with("bias", weight(graph, at, 2))
                    .with("running_mean", weight(graph, at, 3))
                    .with("running_var", weight(graph, at, 4))
                    .with("training", Operand::Bool(false))
                    .with(
                        "momentum",
                        Operand::Float(1.0 - graph.float(at, "momentum", 0.9)),
                    )
                    .with("eps", Operand::Float(graph.float(at, "epsilon", 1e-5))),
            )
        }
        "InstanceNormalization" => {
            let class = match graph.rank(input?) {
                3 => "InstanceNorm1d",
                5 => "InstanceNorm3d",
                _ => "InstanceNorm2d",
            };
            Some(
                Piece::new("instance_norm", FUNCTION)
                    .class(format!("torch.nn.modules.instancenorm.{class}"))
                    .with("input", value(0))
                    .with("weight", weight(graph, at, 1))
                    .with("bias", weight(graph, at, 2))
                    .with("running_mean", Operand::None)
                    .with("running_var", Operand::None)
                    .with("use_input_stats", Operand::Bool(true)),
            )
        }
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => {
            let shape = graph.shape(input?)?;
            let axis = graph.int(at, "axis", -1);
            let axis = if axis < 0 {
                axis + shape.len() as i64
            } else {
                axis
            };
            let normalized = shape.get(usize::try_from(axis).ok()?..)?.to_vec();
            let (name, class) = match op {
                "LayerNormalization" => ("layer_norm", "LayerNorm"),
                _ => ("rms_norm", "RMSNorm"),
            };
            let mut piece = Piece::new(name, FUNCTION)
                .class(format!("torch.nn.modules.normalization.{class}"))
                .with("input", value(0))
                .with("normalized_shape", Operand::Dims(normalized))
                .with("weight", weight(graph, at, 1));
            if name == "layer_norm" {
                piece = piece
                    .with("bias", weight(graph, at, 2))
                    .with("eps", Operand::Float(graph.float(at, "epsilon", 1e-5)));
            }
            Some(piece)
        }
        "GroupNormalization" => Some(
            Piece::new("group_norm", FUNCTION)
                .class("torch.nn.modules.normalization.GroupNorm")
                .with("input", value(0))
                .with("num_groups", Operand::Int(graph.int(at, "num_groups", 1)))
                .with("weight", weight(graph, at, 1))
                .with("bias", weight(graph, at, 2)),
        ),
        _ => None,
    }
}
