//! Single ONNX nodes as the operators of PyTorch that they stand for.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::graph::Graph;
use super::patterns::matrix;
use super::piece::{BUILTIN, FUNCTION, METHOD, Operand, Piece};
use crate::infer::ValueId;

/// Elementwise functions of one tensor: ONNX, ATen, the kind of function, the class.
const UNARY: &[(&str, &str, &str, &str)] = &[
    ("Relu", "relu", FUNCTION, "activation.ReLU"),
    ("Elu", "elu", FUNCTION, "activation.ELU"),
    ("Selu", "selu", FUNCTION, "activation.SELU"),
    ("Celu", "celu", FUNCTION, "activation.CELU"),
    ("LeakyRelu", "leaky_relu", FUNCTION, "activation.LeakyReLU"),
    (
        "HardSigmoid",
        "hardsigmoid",
        FUNCTION,
        "activation.Hardsigmoid",
    ),
    ("HardSwish", "hardswish", FUNCTION, "activation.Hardswish"),
    ("Sigmoid", "sigmoid", BUILTIN, "activation.Sigmoid"),
    ("Tanh", "tanh", BUILTIN, "activation.Tanh"),
    ("Softplus", "softplus", BUILTIN, "activation.Softplus"),
    ("Softsign", "softsign", FUNCTION, "activation.Softsign"),
    ("Mish", "mish", FUNCTION, "activation.Mish"),
    ("Swish", "silu", FUNCTION, "activation.SiLU"),
    (
        "ThresholdedRelu",
        "threshold",
        FUNCTION,
        "activation.Threshold",
    ),
    ("Abs", "abs", METHOD, ""),
    ("Neg", "neg", METHOD, ""),
    ("Exp", "exp", METHOD, ""),
    ("Log", "log", METHOD, ""),
    ("Sqrt", "sqrt", METHOD, ""),
    ("Erf", "erf", METHOD, ""),
    ("Floor", "floor", METHOD, ""),
    ("Ceil", "ceil", METHOD, ""),
    ("Round", "round", METHOD, ""),
    ("Sign", "sign", METHOD, ""),
    ("Sin", "sin", METHOD, ""),
    ("Cos", "cos", METHOD, ""),
    ("Reciprocal", "reciprocal", METHOD, ""),
    ("Not", "logical_not", METHOD, ""),
    ("Cast", "to", METHOD, ""),
    ("CastLike", "to", METHOD, ""),
    ("Transpose", "permute", METHOD, ""),
    ("Reshape", "view", METHOD, ""),
    ("Squeeze", "squeeze", METHOD, ""),
    ("Unsqueeze", "unsqueeze", METHOD, ""),
    ("Slice", "slice", METHOD, ""),
    ("Expand", "expand", METHOD, ""),
    ("Tile", "repeat", METHOD, ""),
    ("Flatten", "flatten", BUILTIN, "flatten.Flatten"),
    ("Pad", "pad", FUNCTION, ""),
    (
        "DepthToSpace",
        "pixel_shuffle",
        BUILTIN,
        "pixelshuffle.PixelShuffle",
    ),
    (
        "SpaceToDepth",
        "pixel_unshuffle",
        BUILTIN,
        "pixelshuffle.PixelUnshuffle",
    ),
    (
        "LRN",
        "local_response_norm",
        FUNCTION,
        "normalization.LocalResponseNorm",
    ),
    ("CumSum", "cumsum", BUILTIN, ""),
    ("Trilu", "tril", BUILTIN, ""),
    ("ReduceMean", "mean", METHOD, ""),
    ("ReduceSum", "sum", METHOD, ""),
    ("ReduceMax", "amax", METHOD, ""),
    ("ReduceMin", "amin", METHOD, ""),
    ("ReduceL2", "linalg_vector_norm", FUNCTION, ""),
    ("ReduceProd", "prod", METHOD, ""),
    ("ArgMax", "argmax", METHOD, ""),
    ("ArgMin", "argmin", METHOD, ""),
    ("TopK", "topk", BUILTIN, ""),
];

/// Functions of two tensors.
const BINARY: &[(&str, &str)] = &[
    ("Add", "add"),
    ("Sub", "sub"),
    ("Mul", "mul"),
    ("Div", "div"),
    ("Pow", "pow"),
    ("Mod", "remainder"),
    ("Equal", "eq"),
    ("Less", "lt"),
    ("Greater", "gt"),
    ("LessOrEqual", "le"),
    ("GreaterOrEqual", "ge"),
    ("And", "__and__"),
    ("Or", "__or__"),
    ("Max", "maximum"),
    ("Min", "minimum"),
];

/// The operator of a node. Nodes that only compute sizes have none.
pub(super) fn piece(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let mut piece = build(graph, at)?;
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
    if let Some((_, name, kind, class)) = UNARY.iter().find(|(onnx, ..)| *onnx == op) {
        return Some(unary(graph, at, input?, name, kind, class));
    }
    if let Some((_, name)) = BINARY.iter().find(|(onnx, _)| *onnx == op) {
        return Some(
            Piece::new(*name, METHOD)
                .with("self", value(0))
                .with("other", value(1)),
        );
    }
    match op {
        "Conv" | "FusedConv" | "NhwcConv" | "ConvInteger" => conv(graph, at, 1, 2),
        "QLinearConv" => conv(graph, at, 3, 8),
        "ConvTranspose" => conv_transpose(graph, at),
        "Gemm" | "FusedGemm" => gemm(graph, at, 1, 2),
        "QGemm" => gemm(graph, at, 3, 6),
        "MatMul" | "MatMulInteger" | "FusedMatMul" => Some(matmul(graph, at, 1)),
        "QLinearMatMul" => Some(matmul(graph, at, 3)),
        "MatMulNBits" => packed_linear(graph, at),
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
        "MaxPool" | "AveragePool" => pool(graph, at),
        "GlobalAveragePool" | "GlobalMaxPool" => global_pool(graph, at),
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
        "Resize" | "Upsample" => resize(graph, at),
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

fn unary(
    graph: &Graph<'_, '_>,
    at: usize,
    input: ValueId,
    name: &str,
    kind: &'static str,
    class: &str,
) -> Piece {
    let mut piece = Piece::new(name, kind).with("self", Operand::Value(input));
    if !class.is_empty() {
        piece = piece.class(format!("torch.nn.modules.{class}"));
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

/// What padding PyTorch had: the same on both sides. `SAME_UPPER` comes from TensorFlow.
fn padding(graph: &Graph<'_, '_>, at: usize, spatial: usize) -> Operand {
    each(graph, at, "pads", spatial, 0)
}

fn conv(graph: &Graph<'_, '_>, at: usize, weight_at: usize, bias_at: usize) -> Option<Piece> {
    let spatial = graph.rank(graph.input(at, weight_at)?).checked_sub(2)?;
    let name = format!("conv{spatial}d");
    Some(
        Piece::new(name.clone(), BUILTIN)
            .class(format!("torch.nn.modules.conv.Conv{spatial}d"))
            .with("input", Operand::Value(graph.input(at, 0)?))
            .with("weight", weight(graph, at, weight_at))
            .with("bias", weight(graph, at, bias_at))
            .with("stride", each(graph, at, "strides", spatial, 1))
            .with("padding", padding(graph, at, spatial))
            .with("dilation", each(graph, at, "dilations", spatial, 1))
            .with("groups", Operand::Int(graph.int(at, "group", 1))),
    )
}

fn conv_transpose(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let spatial = graph.rank(graph.input(at, 1)?).checked_sub(2)?;
    Some(
        Piece::new(format!("conv_transpose{spatial}d"), BUILTIN)
            .class(format!("torch.nn.modules.conv.ConvTranspose{spatial}d"))
            .with("input", Operand::Value(graph.input(at, 0)?))
            .with("weight", weight(graph, at, 1))
            .with("bias", weight(graph, at, 2))
            .with("stride", each(graph, at, "strides", spatial, 1))
            .with("padding", padding(graph, at, spatial))
            .with(
                "output_padding",
                each(graph, at, "output_padding", spatial, 0),
            )
            .with("groups", Operand::Int(graph.int(at, "group", 1)))
            .with("dilation", each(graph, at, "dilations", spatial, 1)),
    )
}

fn gemm(graph: &Graph<'_, '_>, at: usize, weight_at: usize, bias_at: usize) -> Option<Piece> {
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

fn matmul(graph: &Graph<'_, '_>, at: usize, second: usize) -> Piece {
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
fn packed_linear(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
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

fn pool(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
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
        .with("padding", padding(graph, at, spatial));
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

fn global_pool(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
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

fn resize(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
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
