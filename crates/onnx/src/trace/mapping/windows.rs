//! Pools and interpolation.

use super::super::graph::Graph;
use super::super::piece::{BUILTIN, FUNCTION, Operand, Piece};
use super::each;

pub fn pool(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let input = graph.input(at, 0)?;
    let kernel = graph.ints(at, "kernel_shape")?.to_vec();
    let spatial = kernel.len();
    let average = graph.op(at) == "AveragePool";
    // The exporter writes a rounding mode for pools, and none for adaptive ones.
    if average && graph.attribute(at, "ceil_mode").is_none() && graph.ints(at, "pads").is_none() {
        let shape = graph.shape(graph.output(at)?)?;
        let sizes = shape.get(2..)?.to_vec();
        return Some(
            Piece::new(format!("adaptive_avg_pool{spatial}d"), FUNCTION)
                .class(format!(
                    "torch.nn.modules.pooling.AdaptiveAvgPool{spatial}d"
                ))
                .with("self", Operand::Value(input))
                .with("output_size", Operand::Dims(sizes)),
        );
    }
    let ceil = Operand::Bool(graph.int(at, "ceil_mode", 0) != 0);
    let (name, class, kind) = if average {
        (
            "avg_pool",
            "AvgPool",
            if spatial == 1 { BUILTIN } else { FUNCTION },
        )
    } else {
        ("max_pool", "MaxPool", FUNCTION)
    };
    let mut piece = Piece::new(format!("{name}{spatial}d"), kind)
        .class(format!("torch.nn.modules.pooling.{class}{spatial}d"))
        .with("self", Operand::Value(input))
        .with("kernel_size", Operand::Ints(kernel))
        .with("stride", each(graph, at, "strides", spatial, 1))
        .with("padding", each(graph, at, "pads", spatial, 0));
    if average {
        piece = piece.with("ceil_mode", ceil).with(
            "count_include_pad",
            Operand::Bool(graph.int(at, "count_include_pad", 0) != 0),
        );
    } else {
        piece = piece
            .with("dilation", each(graph, at, "dilations", spatial, 1))
            .with("ceil_mode", ceil);
    }
    Some(piece)
}

pub fn global_pool(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let input = graph.input(at, 0)?;
    let spatial = graph.rank(input).checked_sub(2)?;
    let (name, class) = match graph.op(at) {
        "GlobalAveragePool" => ("adaptive_avg_pool", "AdaptiveAvgPool"),
        _ => ("adaptive_max_pool", "AdaptiveMaxPool"),
    };
    Some(
        Piece::new(format!("{name}{spatial}d"), FUNCTION)
            .class(format!("torch.nn.modules.pooling.{class}{spatial}d"))
            .with("self", Operand::Value(input))
            .with("output_size", Operand::Ints(vec![1; spatial])),
    )
}

pub fn resize(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let input = graph.input(at, 0)?;
    let spatial = graph.rank(input).checked_sub(2)?;
    let name = match (graph.text(at, "mode").unwrap_or("nearest"), spatial) {
        ("linear", 1) => "upsample_linear1d".to_owned(),
        ("linear", 3) => "upsample_trilinear3d".to_owned(),
        ("linear", _) => "upsample_bilinear2d".to_owned(),
        ("cubic", _) => "upsample_bicubic2d".to_owned(),
        (_, spatial) => format!("upsample_nearest{spatial}d"),
    };
    let shape = graph.shape(graph.output(at)?)?;
    let sizes = shape.get(2..)?.to_vec();
    let mut piece = Piece::new(name.clone(), FUNCTION)
        .class("torch.nn.modules.upsampling.Upsample")
        .called("interpolate")
        .with("input", Operand::Value(input))
        .with("output_size", Operand::Dims(sizes));
    if !name.contains("nearest") {
        let corners = graph.text(at, "coordinate_transformation_mode") == Some("align_corners");
        piece = piece.with("align_corners", Operand::Bool(corners));
    }
    Some(piece.with("scale_factors", Operand::None))
}
