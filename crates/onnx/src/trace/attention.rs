//! `nn.MultiheadAttention`, of which the older exporter leaves products and a softmax.

use foldhash::{HashMap, HashSet};

use modelcost_core::dim::Dim;

use super::graph::Graph;
use super::legacy::is_anonymous;
use super::piece::{BUILTIN, FUNCTION, Operand, Piece};

const CLASS: &str = "torch.nn.modules.activation.MultiheadAttention";
const FORWARD: &str = "multi_head_attention_forward";

/// Finds the scopes that are calls of `nn.MultiheadAttention` and puts its function calls back.
pub(super) fn gather<'a>(
    graph: &Graph<'_, 'a>,
    pieces: Vec<Piece>,
    scope: &dyn Fn(usize) -> &'a str,
) -> Vec<Piece> {
    let of = |piece: &Piece| piece.steps.first().map_or("", |step| scope(*step));
    let mut layers: HashSet<&str> = HashSet::default();
    for piece in &pieces {
        let names = piece
            .operands
            .iter()
            .filter_map(|(_, operand)| match operand {
                Operand::Weight(id, _) => Some(graph.program.value(*id).name),
                _ => None,
            });
        for name in names {
            let own = name.rsplit('.').next().unwrap_or(name);
            if own == "in_proj_weight" || own == "in_proj_bias" {
                layers.insert(of(piece));
            }
        }
    }
    if layers.is_empty() {
        return pieces;
    }
    let mut out = Vec::new();
    let mut inside: HashMap<&str, Vec<Piece>> = HashMap::default();
    for piece in pieces {
        match layers.contains(of(&piece)) {
            true => inside.entry(of(&piece)).or_default().push(piece),
            false => out.push(piece),
        }
    }
    let mut scopes: Vec<(&str, Vec<Piece>)> = inside.into_iter().collect();
    scopes.sort_by_key(|(_, pieces)| {
        pieces
            .first()
            .and_then(|piece| piece.steps.first().copied())
    });
    for (group, (_, pieces)) in scopes.into_iter().enumerate() {
        out.extend(layer(graph, pieces, group));
    }
    out.sort_by_key(|piece| piece.steps.iter().copied().max());
    out
}

/// The pieces of one call of the layer.
fn layer(graph: &Graph<'_, '_>, pieces: Vec<Piece>, group: usize) -> Vec<Piece> {
    let softmax = pieces.iter().position(|piece| piece.op == "softmax");
    let scores = softmax.and_then(|at| pieces[..at].iter().rposition(|piece| piece.op == "matmul"));
    let mixed = softmax.and_then(|at| {
        let next = pieces[at..].iter().position(|piece| piece.op == "matmul")?;
        Some(at + next)
    });
    // scaled_dot_product_attention scales query and key each by a root.
    let fused = pieces.iter().any(|piece| piece.op == "sqrt")
        || scores.is_some_and(|at| rank(graph, &pieces[at]) == 4);
    let last_linear = pieces.iter().rposition(|piece| piece.op == "linear");
    let size =
        last_linear.and_then(|at| Some(graph.shape(*pieces[at].outputs.first()?)?.last()?.clone()));
    let mut out = Vec::new();
    for (at, mut piece) in pieces.into_iter().enumerate() {
        if piece.op == "linear" {
            let projects_in = Some(at) != last_linear;
            name_weights(graph, &mut piece, projects_in, size.as_ref());
        }
        if fused {
            let arithmetic = matches!(
                piece.op.as_str(),
                "mul" | "sqrt" | "div" | "add" | "softmax" | "to"
            );
            if Some(at) == scores || arithmetic && mixed.is_some_and(|end| at < end) {
                continue;
            }
        }
        if Some(at) == mixed || Some(at) == scores {
            piece = if fused {
                attention(graph, piece)
            } else {
                batched(piece)
            };
        }
        piece.function = (FUNCTION, FORWARD.into());
        piece.class = Some(CLASS.into());
        piece.group = Some(group);
        out.push(piece);
    }
    out
}

fn rank(graph: &Graph<'_, '_>, piece: &Piece) -> usize {
    piece.outputs.first().map_or(0, |id| graph.rank(*id))
}

/// Weights that lost their names: the packed projection's, or a part of it.
fn name_weights(graph: &Graph<'_, '_>, piece: &mut Piece, projects_in: bool, size: Option<&Dim>) {
    for (name, operand) in &mut piece.operands {
        let Operand::Weight(id, turned) = operand else {
            continue;
        };
        let known = !is_anonymous(graph.program.value(*id).name);
        let Some(mut shape) = graph.shape(*id).map(<[Dim]>::to_vec) else {
            continue;
        };
        if *turned {
            shape.reverse();
        }
        if !projects_in {
            if !known {
                *operand = Operand::Named(format!("out_proj.{name}"), shape);
            }
            continue;
        }
        if known {
            continue;
        }
        let whole = size.is_some_and(|size| shape.first() == Some(&(size * 3)));
        *operand = match whole {
            true => Operand::Named(format!("in_proj_{name}"), shape),
            false => Operand::Shaped(shape),
        };
    }
}

/// The product of probabilities and values as the whole of attention.
fn attention(graph: &Graph<'_, '_>, piece: Piece) -> Piece {
    let operand = |name: &str| {
        let found = piece.operands.iter().find(|(own, _)| *own == name);
        match found {
            Some((_, Operand::Value(id))) => Some(*id),
            _ => None,
        }
    };
    let value = operand("other").and_then(|id| graph.shape(id).map(<[Dim]>::to_vec));
    let scores = operand("self").and_then(|id| graph.shape(id).map(<[Dim]>::to_vec));
    let output = piece
        .outputs
        .first()
        .and_then(|id| graph.shape(*id).map(<[Dim]>::to_vec));
    let shaped = |shape: &Option<Vec<Dim>>| shape.clone().map_or(Operand::None, Operand::Shaped);
    // Query and output agree but in the size of a head, which key and value have in common here.
    let query = match (&output, &scores) {
        (Some(output), Some(_)) => Operand::Shaped(output.clone()),
        _ => Operand::None,
    };
    let mut out = Piece::new("scaled_dot_product_attention", BUILTIN)
        .with("query", query)
        .with("key", shaped(&value))
        .with(
            "value",
            operand("other").map_or(Operand::None, Operand::Value),
        );
    out.steps = piece.steps;
    out.outputs = piece.outputs;
    out
}

/// `torch.bmm`, which attention that returns its weights uses.
fn batched(piece: Piece) -> Piece {
    let mut out = Piece::new("bmm", BUILTIN);
    out.operands = piece
        .operands
        .into_iter()
        .map(|(name, operand)| (if name == "other" { "mat2" } else { name }, operand))
        .collect();
    out.steps = piece.steps;
    out.outputs = piece.outputs;
    out
}
