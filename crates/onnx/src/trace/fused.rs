//! Fused operators of onnxruntime as the operators that they were before.

use modelcost_core::dim::Dim;

use super::graph::Graph;
use super::piece::{BUILTIN, FUNCTION, METHOD, Operand, Piece};
use crate::infer::ValueId;

/// The calls that a fused node stands for, or nothing.
pub(super) fn pieces(graph: &Graph<'_, '_>, at: usize) -> Option<Vec<Piece>> {
    if graph.step(at).node.domain != "com.microsoft" {
        return None;
    }
    let mut pieces = match graph.op(at) {
        "SkipLayerNormalization" => skip_norm(graph, at, "layer_norm", "LayerNorm"),
        "SkipSimplifiedLayerNormalization" => skip_norm(graph, at, "rms_norm", "RMSNorm"),
        "EmbedLayerNormalization" => embeddings(graph, at),
        "Attention" => packed_attention(graph, at),
        "MultiHeadAttention" | "DecoderMaskedMultiHeadAttention" => multi_head(graph, at),
        "GroupQueryAttention" => grouped(graph, at),
        "FusedConv" | "FusedGemm" => with_activation(graph, at),
        _ => None,
    }?;
    let output = graph.output(at)?;
    let last = pieces.len() - 1;
    for (index, piece) in pieces.iter_mut().enumerate() {
        piece.steps = vec![at];
        if index == last {
            piece.outputs = vec![output];
        }
    }
    Some(pieces)
}

fn shape(graph: &Graph<'_, '_>, id: Option<ValueId>) -> Option<Vec<Dim>> {
    graph.shape(id?).map(<[Dim]>::to_vec)
}

fn weight(graph: &Graph<'_, '_>, at: usize, index: usize) -> Operand {
    graph
        .input(at, index)
        .map_or(Operand::None, |id| Operand::Weight(id, false))
}

fn value(graph: &Graph<'_, '_>, at: usize, index: usize) -> Operand {
    graph.input(at, index).map_or(Operand::None, Operand::Value)
}

/// A residual addition and a normalisation.
fn skip_norm(graph: &Graph<'_, '_>, at: usize, op: &str, class: &str) -> Option<Vec<Piece>> {
    let sum = shape(graph, graph.input(at, 0))?;
    let last = sum.last()?.clone();
    let add = Piece::new("add", METHOD)
        .with("self", value(graph, at, 0))
        .with("other", value(graph, at, 1))
        .makes(sum.clone());
    let mut norm = Piece::new(op, FUNCTION)
        .class(format!("torch.nn.modules.normalization.{class}"))
        .with("input", Operand::Shaped(sum))
        .with("normalized_shape", Operand::Dims(vec![last]))
        .with("weight", weight(graph, at, 2));
    if op == "layer_norm" {
        norm = norm.with("bias", weight(graph, at, 3));
    }
    Some(vec![add, norm])
}

/// Word, position and segment embeddings, their sum, and a normalisation.
fn embeddings(graph: &Graph<'_, '_>, at: usize) -> Option<Vec<Piece>> {
    let out = shape(graph, graph.output(at))?;
    let mut pieces = Vec::new();
    for (name, index) in [("word", 2), ("position", 3), ("segment", 4)] {
        let Some(table) = graph.input(at, index) else {
            continue;
        };
        pieces.push(
            Piece::new("embedding", FUNCTION)
                .class("torch.nn.modules.sparse.Embedding")
                .at(format!("{name}_embeddings"))
                .with("weight", Operand::Weight(table, false))
                .with("indices", value(graph, at, 0))
                .makes(out.clone()),
        );
    }
    pieces.push(
        Piece::new("layer_norm", FUNCTION)
            .class("torch.nn.modules.normalization.LayerNorm")
            .at("LayerNorm")
            .with("input", Operand::Shaped(out.clone()))
            .with("normalized_shape", Operand::Dims(vec![out.last()?.clone()]))
            .with("weight", weight(graph, at, 5))
            .with("bias", weight(graph, at, 6)),
    );
    Some(pieces)
}

fn sdpa(query: Vec<Dim>, key: Vec<Dim>, value: Vec<Dim>) -> Piece {
    Piece::new("scaled_dot_product_attention", BUILTIN)
        .with("query", Operand::Shaped(query))
        .with("key", Operand::Shaped(key))
        .with("value", Operand::Shaped(value))
}

/// The projections of query, key and value in one product, then attention.
fn packed_attention(graph: &Graph<'_, '_>, at: usize) -> Option<Vec<Piece>> {
    let input = shape(graph, graph.input(at, 0))?;
    let packed = graph.shape(graph.input(at, 1)?)?.get(1)?.clone();
    let out = shape(graph, graph.output(at))?;
    let ([batch, length, _], [.., hidden]) = (input.as_slice(), out.as_slice()) else {
        return None;
    };
    let heads = Dim::from(graph.int(at, "num_heads", 1).max(1));
    let one = (&packed - hidden).floor_div(&Dim::Const(2));
    let split = |width: &Dim| {
        vec![
            batch.clone(),
            heads.clone(),
            length.clone(),
            width.floor_div(&heads),
        ]
    };
    let projection = Piece::new("linear", BUILTIN)
        .class("torch.nn.modules.linear.Linear")
        .at("in_proj")
        .with("input", value(graph, at, 0))
        .with("weight", Operand::Weight(graph.input(at, 1)?, true))
        .with("bias", weight(graph, at, 2))
        .makes(vec![batch.clone(), length.clone(), packed.clone()]);
    let attention = sdpa(split(&one), split(&one), split(hidden));
    Some(vec![projection, attention])
}

/// Attention on projected tensors, heads packed in the last dimension.
fn multi_head(graph: &Graph<'_, '_>, at: usize) -> Option<Vec<Piece>> {
    let heads = Dim::from(graph.int(at, "num_heads", 1).max(1));
    let split = |index: usize| match shape(graph, graph.input(at, index))?.as_slice() {
        [batch, length, width] => Some(vec![
            batch.clone(),
            heads.clone(),
            length.clone(),
            width.floor_div(&heads),
        ]),
        [batch, heads, length, size] => Some(vec![
            batch.clone(),
            heads.clone(),
            length.clone(),
            size.clone(),
        ]),
        _ => None,
    };
    let (query, mut key, mut value) = (split(0)?, split(1)?, split(2)?);
    // The cache comes first.
    if let Some(past) = shape(graph, graph.input(at, 6)) {
        let before = past.get(2)?;
        key[2] += before;
        value[2] += before;
    }
    Some(vec![sdpa(query, key, value)])
}

/// Attention whose keys and values have fewer heads, which PyTorch repeats.
fn grouped(graph: &Graph<'_, '_>, at: usize) -> Option<Vec<Piece>> {
    let heads = Dim::from(graph.int(at, "num_heads", 1).max(1));
    let out = shape(graph, graph.output(at))?;
    let [batch, length, width] = out.as_slice() else {
        return None;
    };
    let size = width.floor_div(&heads);
    let present = graph.step(at).outputs.get(1).copied().flatten();
    let total = shape(graph, present)
        .and_then(|shape| shape.get(2).cloned())
        .unwrap_or_else(|| length.clone());
    let query = vec![batch.clone(), heads.clone(), length.clone(), size.clone()];
    let key = vec![batch.clone(), heads, total, size];
    Some(vec![sdpa(query, key.clone(), key)])
}

/// A product and the activation that was fused into it.
fn with_activation(graph: &Graph<'_, '_>, at: usize) -> Option<Vec<Piece>> {
    let mut product = super::mapping::piece(graph, at)?;
    let out = shape(graph, graph.output(at))?;
    let (op, class) = match graph.text(at, "activation") {
        Some("Relu") => ("relu", "ReLU"),
        Some("LeakyRelu") => ("leaky_relu", "LeakyReLU"),
        Some("Sigmoid") => ("sigmoid", "Sigmoid"),
        Some("Tanh") => ("tanh", "Tanh"),
        Some("HardSigmoid") => ("hardsigmoid", "Hardsigmoid"),
        Some("Clip") => ("hardtanh", "Hardtanh"),
        _ => return Some(vec![product]),
    };
    product.outputs.clear();
    product.result = Some(out.clone());
    let activation = Piece::new(op, FUNCTION)
        .class(format!("torch.nn.modules.activation.{class}"))
        .at("activation")
        .with("self", Operand::Shaped(out));
    Some(vec![product, activation])
}
