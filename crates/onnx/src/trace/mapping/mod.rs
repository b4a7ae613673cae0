//! Single ONNX nodes as the operators of PyTorch that they stand for.

mod norms;
mod products;
mod tables;
mod views;
mod windows;

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::graph::Graph;
use super::piece::{BUILTIN, FUNCTION, METHOD, Operand, Piece};
use crate::infer::ValueId;

/// The operator of a node. Nodes that only compute sizes have none.
pub(super) fn piece(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let mut piece = views::complete(graph, at, build(graph, at)?);
    piece.steps = vec![at];
    piece.outputs = graph.step(at).outputs.iter().flatten().copied().collect();
    // The second output of a pool or a normalisation is one that PyTorch did not ask for.
    if !matches!(graph.op(at), "Split" | "TopK" | "LSTM" | "GRU" | "RNN") {
        piece.outputs.truncate(1);
    }
    Some(piece)
}

fn build(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let op = graph.op(at);
    let input = graph.input(at, 0);
    let value = |index: usize| graph.input(at, index).map_or(Operand::None, Operand::Value);
    if let Some(function) = tables::unary(op) {
        return Some(unary(graph, at, input?, &function));
    }
    if let Some(name) = tables::binary(op) {
        return Some(
            Piece::new(name, METHOD)
                .with("self", value(0))
                .with("other", value(1)),
        );
    }
    match op {
        "Conv" | "FusedConv" | "NhwcConv" | "ConvInteger" => products::conv(graph, at, 1, 2),
        "QLinearConv" => products::conv(graph, at, 3, 8),
        "ConvTranspose" => products::conv_transpose(graph, at),
        "Gemm" | "FusedGemm" => products::gemm(graph, at, 1, 2),
        "QGemm" => products::gemm(graph, at, 3, 6),
        "MatMul" | "MatMulInteger" | "FusedMatMul" => Some(products::matmul(graph, at, 1)),
        "QLinearMatMul" => Some(products::matmul(graph, at, 3)),
        "MatMulNBits" => products::packed_linear(graph, at),
        "Einsum" => {
            let operands = graph.step(at).inputs.iter().flatten();
            Some(
                Piece::new("einsum", FUNCTION)
                    .with(
                        "equation",
                        Operand::Text(graph.text(at, "equation")?.into()),
                    )
                    .with(
                        "tensors",
                        Operand::List(operands.map(|id| Operand::Value(*id)).collect()),
                    ),
            )
        }
        "MaxPool" | "AveragePool" => windows::pool(graph, at),
        "GlobalAveragePool" | "GlobalMaxPool" => windows::global_pool(graph, at),
        "BatchNormalization"
        | "InstanceNormalization"
        | "LayerNormalization"
        | "RMSNormalization"
        | "SimplifiedLayerNormalization"
        | "GroupNormalization" => norms::norm(graph, at),
        "Softmax" | "LogSoftmax" => {
            let (name, class) = match op {
                "Softmax" => ("softmax", "Softmax"),
                _ => ("log_softmax", "LogSoftmax"),
            };
            Some(
                Piece::new(name, FUNCTION)
                    .class(format!("torch.nn.modules.activation.{class}"))
                    .with("self", value(0))
                    .with("dim", Operand::Int(graph.int(at, "axis", -1))),
            )
        }
        "PRelu" => Some(
            Piece::new("prelu", BUILTIN)
                .class("torch.nn.modules.activation.PReLU")
                .with("self", value(0))
                .with("weight", weight(graph, at, 1)),
        ),
        "Gelu" | "FastGelu" | "QuickGelu" | "BiasGelu" => {
            let tanh = graph.text(at, "approximate") == Some("tanh") || op == "FastGelu";
            Some(
                Piece::new("gelu", BUILTIN)
                    .class("torch.nn.modules.activation.GELU")
                    .with("self", value(0))
                    .with(
                        "approximate",
                        Operand::Text(if tanh { "tanh" } else { "none" }.into()),
                    ),
            )
        }
        "Clip" => clip(graph, at),
        "Gather" => gather(graph, at),
        "Concat" => Some(
            Piece::new("cat", BUILTIN)
                .with(
                    "tensors",
                    Operand::List(
                        graph
                            .step(at)
                            .inputs
                            .iter()
                            .flatten()
                            .map(|id| Operand::Value(*id))
                            .collect(),
                    ),
                )
                .with("dim", Operand::Int(graph.int(at, "axis", 0))),
        ),
        "Split" => Some(
            Piece::new("split", METHOD)
                .with("self", value(0))
                .with("dim", Operand::Int(graph.int(at, "axis", 0))),
        ),
        "Where" => Some(
            Piece::new("where", BUILTIN)
                .with("condition", value(0))
                .with("self", value(1))
                .with("other", value(2)),
        ),
        "Resize" | "Upsample" => windows::resize(graph, at),
        "Attention" if graph.step(at).node.domain.is_empty() => Some(
            Piece::new("scaled_dot_product_attention", BUILTIN)
                .with("query", value(0))
                .with("key", value(1))
                .with("value", value(2)),
        ),
        "Identity" | "Dropout" => None,
        // Any other operator under its own name: no convention has a rule for it.
        _ => {
            let mut piece = Piece::new(op.to_lowercase(), METHOD);
            for id in graph.step(at).inputs.iter().flatten() {
                piece = piece.with("", Operand::Value(*id));
            }
            Some(piece)
        }
    }
}

fn unary(graph: &Graph<'_, '_>, at: usize, input: ValueId, function: &tables::Unary) -> Piece {
    let name = function.op;
    let mut piece = Piece::new(name, function.kind).with("self", Operand::Value(input));
    if let Some((module, class)) = function.class {
        piece = piece.class(format!("torch.nn.modules.{module}.{class}"));
    }
    if let Some(output) = graph.output(at)
        && matches!(name, "view" | "expand")
        && let Some(shape) = graph.shape(output)
    {
        piece = piece.with("size", Operand::Dims(shape.to_vec()));
    }
    if let Some(perm) = graph.ints(at, "perm") {
        piece = piece.with("dims", Operand::Ints(perm.to_vec()));
    }
    if name == "mean" || name == "sum" {
        let axes = graph.ints(at, "axes").map(<[i64]>::to_vec).or_else(|| {
            let content = graph.program.fact(graph.input(at, 1)?).content()?;
            content.as_ints()?.iter().map(Dim::as_i64).collect()
        });
        if let Some(axes) = axes {
            piece = piece.with("dim", Operand::Ints(axes));
        }
        piece = piece.with("keepdim", Operand::Bool(graph.int(at, "keepdims", 1) != 0));
    }
    piece
}

/// A parameter at an input.
fn weight(graph: &Graph<'_, '_>, at: usize, index: usize) -> Operand {
    match graph.input(at, index) {
        Some(id) if graph.is_constant(id) => Operand::Weight(id, false),
        Some(id) => Operand::Value(id),
        None => Operand::None,
    }
}

/// A window's attribute, filled up with a default.
fn each(graph: &Graph<'_, '_>, at: usize, name: &str, spatial: usize, default: i64) -> Operand {
    let given = graph.ints(at, name).unwrap_or_default();
    Operand::Ints(
        (0..spatial)
            .map(|i| given.get(i).copied().unwrap_or(default))
            .collect(),
    )
}

fn clip(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let bound = |index: usize, name: &str| {
        graph
            .input(at, index)
            .and_then(|id| graph.scalar(id))
            .or_else(|| {
                graph
                    .attribute(at, name)
                    .map(|_| graph.float(at, name, 0.0))
            })
    };
    let (low, high) = (bound(1, "min"), bound(2, "max"));
    let value = Operand::Value(graph.input(at, 0)?);
    Some(match (low, high) {
        (Some(low), Some(high)) => {
            let class = if low == 0.0 && high == 6.0 {
                "ReLU6"
            } else {
                "Hardtanh"
            };
            Piece::new("hardtanh", FUNCTION)
                .class(format!("torch.nn.modules.activation.{class}"))
                .with("self", value)
                .with("min_val", Operand::Float(low))
                .with("max_val", Operand::Float(high))
        }
        _ => Piece::new("clamp", BUILTIN).with("self", value),
    })
}

/// Rows of a table of parameters, or elements by index.
fn gather(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let (table, indices) = (graph.input(at, 0)?, graph.input(at, 1)?);
    let float = graph.dtype(table).is_some_and(DType::is_floating_point);
    if graph.is_constant(table)
        && float
        && graph.rank(table) == 2
        && graph.int(at, "axis", 0) == 0
        && graph.is_data(indices)
    {
        return Some(
            Piece::new("embedding", FUNCTION)
                .class("torch.nn.modules.sparse.Embedding")
                .with("weight", Operand::Weight(table, false))
                .with("indices", Operand::Value(indices)),
        );
    }
    Some(
        Piece::new(
            if graph.rank(indices) == 0 {
                "select"
            } else {
                "index"
            },
            METHOD,
        )
        .with("self", Operand::Value(table))
        .with("dim", Operand::Int(graph.int(at, "axis", 0))),
    )
}
