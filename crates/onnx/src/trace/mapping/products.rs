//! Convolutions and products of matrices.

use modelcost_core::dim::Dim;

use super::super::graph::Graph;
use super::super::patterns::matrix;
use super::super::piece::{BUILTIN, METHOD, Operand, Piece};
use super::{each, weight};

pub fn conv(graph: &Graph<'_, '_>, at: usize, weight_at: usize, bias_at: usize) -> Option<Piece> {
    let spatial = graph.rank(graph.input(at, weight_at)?).checked_sub(2)?;
    let name = format!("conv{spatial}d");
    Some(
        Piece::new(name.clone(), BUILTIN)
            .class(format!("torch.nn.modules.conv.Conv{spatial}d"))
            .with("input", Operand::Value(graph.input(at, 0)?))
            .with("weight", weight(graph, at, weight_at))
            .with("bias", weight(graph, at, bias_at))
            .with("stride", each(graph, at, "strides", spatial, 1))
            .with("padding", each(graph, at, "pads", spatial, 0))
            .with("dilation", each(graph, at, "dilations", spatial, 1))
            .with("groups", Operand::Int(graph.int(at, "group", 1))),
    )
}

pub fn conv_transpose(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let spatial = graph.rank(graph.input(at, 1)?).checked_sub(2)?;
    Some(
        Piece::new(format!("conv_transpose{spatial}d"), BUILTIN)
            .class(format!("torch.nn.modules.conv.ConvTranspose{spatial}d"))
            .with("input", Operand::Value(graph.input(at, 0)?))
            .with("weight", weight(graph, at, 1))
            .with("bias", weight(graph, at, 2))
            .with("stride", each(graph, at, "strides", spatial, 1))
            .with("padding", each(graph, at, "pads", spatial, 0))
            .with(
                "output_padding",
                each(graph, at, "output_padding", spatial, 0),
            )
            .with("groups", Operand::Int(graph.int(at, "group", 1)))
            .with("dilation", each(graph, at, "dilations", spatial, 1)),
    )
}

pub fn gemm(graph: &Graph<'_, '_>, at: usize, weight_at: usize, bias_at: usize) -> Option<Piece> {
    let second = graph.input(at, weight_at)?;
    let turned = graph.int(at, "transB", 0) != 0;
    if let Some((id, behind)) = matrix(graph, second)
        && graph.int(at, "transA", 0) == 0
    {
        return Some(
            Piece::new("linear", BUILTIN)
                .class("torch.nn.modules.linear.Linear")
                .with("input", Operand::Value(graph.input(at, 0)?))
                .with("weight", Operand::Weight(id, turned == behind))
                .with("bias", weight(graph, at, bias_at)),
        );
    }
    let value = |index: usize| graph.input(at, index).map_or(Operand::None, Operand::Value);
    Some(
        Piece::new("addmm", BUILTIN)
            .with("self", value(bias_at))
            .with("mat1", value(0))
            .with("mat2", value(weight_at)),
    )
}

pub fn matmul(graph: &Graph<'_, '_>, at: usize, second: usize) -> Piece {
    let value = |index: usize| graph.input(at, index).map_or(Operand::None, Operand::Value);
    if let Some(id) = graph.input(at, second)
        && let Some((id, behind)) = matrix(graph, id)
    {
        return Piece::new("linear", BUILTIN)
            .class("torch.nn.modules.linear.Linear")
            .with("input", value(0))
            .with("weight", Operand::Weight(id, !behind))
            .with("bias", Operand::None);
    }
    Piece::new("matmul", METHOD)
        .with("self", value(0))
        .with("other", value(second))
}

/// A product with packed weights, of which only the unpacked shape matters.
pub fn packed_linear(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let (k, n) = (graph.int(at, "K", 0), graph.int(at, "N", 0));
    Some(
        Piece::new("linear", BUILTIN)
            .class("torch.nn.modules.linear.Linear")
            .with("input", Operand::Value(graph.input(at, 0)?))
            .with(
                "weight",
                Operand::Named("weight".into(), vec![Dim::from(n), Dim::from(k)]),
            )
            .with("bias", weight(graph, at, 5)),
    )
}
