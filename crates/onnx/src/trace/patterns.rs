//! Several ONNX nodes that one operator of PyTorch became.

use super::graph::Graph;
use super::piece::{BUILTIN, FUNCTION, Operand, Piece};
use crate::infer::ValueId;

/// A pattern: looks whether it begins at a step.
type Pattern = fn(&Graph<'_, '_>, usize) -> Option<Piece>;

const PATTERNS: &[Pattern] = &[
    linear, silu, mish, gelu, gelu_tanh, hardswish, layer_norm, group_norm, rms_norm,
];

/// The first pattern that begins at a step.
pub(super) fn find(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    PATTERNS.iter().find_map(|pattern| pattern(graph, at))
}

fn done(mut piece: Piece, graph: &Graph<'_, '_>, steps: Vec<usize>) -> Option<Piece> {
    piece.outputs = vec![graph.output(*steps.last()?)?];
    piece.steps = steps;
    Some(piece)
}

/// A constant matrix, possibly behind a transposition that was not folded.
pub(super) fn matrix(graph: &Graph<'_, '_>, id: ValueId) -> Option<(ValueId, bool)> {
    if !graph.is_constant(id) || graph.rank(id) != 2 {
        return None;
    }
    match graph.maker(graph.resolve(id)) {
        Some(at) if graph.op(at) == "Transpose" => Some((graph.input(at, 0)?, true)),
        _ => Some((id, false)),
    }
}

/// `MatMul` with a constant matrix, and `Add` of a constant vector.
fn linear(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    if graph.op(at) != "MatMul" {
        return None;
    }
    let input = graph.input(at, 0)?;
    let (weight, turned) = matrix(graph, graph.input(at, 1)?)?;
    if graph.is_constant(input) && !graph.is_constant(graph.input(at, 1)?) {
        return None;
    }
    let mut steps = vec![at];
    let mut bias = Operand::None;
    if let Some(add) = graph.next(at, "Add")
        && let Some(other) = graph.other(add, graph.output(at)?)
        && graph.is_constant(other)
        && graph.rank(other) <= 1
    {
        bias = Operand::Weight(other, false);
        steps.push(add);
    }
    let piece = Piece::new("linear", BUILTIN)
        .class("torch.nn.modules.linear.Linear")
        .with("input", Operand::Value(input))
        // ONNX multiplies by in × out, PyTorch keeps out × in.
        .with("weight", Operand::Weight(weight, !turned))
        .with("bias", bias);
    done(piece, graph, steps)
}

/// `x * sigmoid(x)`
fn silu(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    if graph.op(at) != "Sigmoid" {
        return None;
    }
    let input = graph.input(at, 0)?;
    let product = graph.next(at, "Mul")?;
    if graph.other(product, graph.output(at)?)? != input {
        return None;
    }
    let piece = Piece::new("silu", FUNCTION)
        .class("torch.nn.modules.activation.SiLU")
        .with("self", Operand::Value(input));
    done(piece, graph, vec![at, product])
}

/// `x * tanh(softplus(x))`
fn mish(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    if graph.op(at) != "Softplus" {
        return None;
    }
    let input = graph.input(at, 0)?;
    let tanh = graph.next(at, "Tanh")?;
    let product = graph.next(tanh, "Mul")?;
    if graph.other(product, graph.output(tanh)?)? != input {
        return None;
    }
    let piece = Piece::new("mish", FUNCTION)
        .class("torch.nn.modules.activation.Mish")
        .with("self", Operand::Value(input));
    done(piece, graph, vec![at, tanh, product])
}

fn gelu_piece(input: ValueId, approximate: &str) -> Piece {
    Piece::new("gelu", BUILTIN)
        .class("torch.nn.modules.activation.GELU")
        .with("self", Operand::Value(input))
        .with("approximate", Operand::Text(approximate.into()))
}

/// `x * 0.5 * (1 + erf(x / √2))`, in either order of the products.
fn gelu(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let input = graph.input(at, 0)?;
    let factor = graph.input(at, 1)?;
    let scaled = match graph.op(at) {
        "Div" => graph.is_scalar(factor, std::f64::consts::SQRT_2),
        "Mul" => graph.is_scalar(factor, std::f64::consts::FRAC_1_SQRT_2),
        _ => false,
    };
    if !scaled {
        return None;
    }
    let erf = graph.next(at, "Erf")?;
    let sum = graph.next(erf, "Add")?;
    if !graph.is_scalar(graph.other(sum, graph.output(erf)?)?, 1.0) {
        return None;
    }
    let product = graph.next(sum, "Mul")?;
    let other = graph.other(product, graph.output(sum)?)?;
    let mut steps = vec![at, erf, sum, product];
    if other == input {
        let half = graph.next(product, "Mul")?;
        if !graph.is_scalar(graph.other(half, graph.output(product)?)?, 0.5) {
            return None;
        }
        steps.push(half);
    } else {
        let half = graph.maker(other)?;
        let of_input = graph.op(half) == "Mul"
            && graph
                .other(half, input)
                .is_some_and(|id| graph.is_scalar(id, 0.5));
        if !of_input {
            return None;
        }
        steps.insert(steps.len() - 1, half);
    }
    done(gelu_piece(input, "none"), graph, steps)
}

/// `0.5 * x * (1 + tanh(√(2/π) * (x + 0.044715 * x³)))`: found from its cube.
fn gelu_tanh(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    if graph.op(at) != "Pow" || !graph.is_scalar(graph.input(at, 1)?, 3.0) {
        return None;
    }
    let input = graph.input(at, 0)?;
    let small = graph.next(at, "Mul")?;
    if !graph.is_scalar(graph.other(small, graph.output(at)?)?, 0.044_715) {
        return None;
    }
    let sum = graph.next(small, "Add")?;
    let scaled = graph.next(sum, "Mul")?;
    let tanh = graph.next(scaled, "Tanh")?;
    let one = graph.next(tanh, "Add")?;
    let product = graph.next(one, "Mul")?;
    let mut steps = vec![at, small, sum, scaled, tanh, one, product];
    if let Some(half) = graph.next(product, "Mul")
        && graph.is_scalar(graph.other(half, graph.output(product)?)?, 0.5)
    {
        steps.push(half);
    } else if let Some(half) = graph
        .other(product, graph.output(one)?)
        .and_then(|id| graph.maker(id))
        && graph.op(half) == "Mul"
    {
        steps.insert(steps.len() - 1, half);
    }
    done(gelu_piece(input, "tanh"), graph, steps)
}

/// `x * hardsigmoid(x)`, or `x * clip(x + 3, 0, 6) / 6`.
fn hardswish(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    let input = graph.input(at, 0)?;
    let steps = match graph.op(at) {
        "HardSigmoid" => {
            let product = graph.next(at, "Mul")?;
            if graph.other(product, graph.output(at)?)? != input {
                return None;
            }
            vec![at, product]
        }
        "Add" if graph.is_scalar(graph.input(at, 1)?, 3.0) => {
            let clip = graph.next(at, "Clip")?;
            if let Some(product) = graph.next(clip, "Mul") {
                if graph.other(product, graph.output(clip)?)? != input {
                    return None;
                }
                let sixth = graph.next(product, "Div")?;
                vec![at, clip, product, sixth]
            } else {
                let sixth = graph.next(clip, "Div")?;
                let product = graph.next(sixth, "Mul")?;
                if graph.other(product, graph.output(sixth)?)? != input {
                    return None;
                }
                vec![at, clip, sixth, product]
            }
        }
        _ => return None,
    };
    let piece = Piece::new("hardswish", FUNCTION)
        .class("torch.nn.modules.activation.Hardswish")
        .with("self", Operand::Value(input));
    done(piece, graph, steps)
}

/// A scale and a shift by constants after a normalisation.
fn affine(graph: &Graph<'_, '_>, last: usize, steps: &mut Vec<usize>) -> (Operand, Operand) {
    let mut weight = Operand::None;
    let mut bias = Operand::None;
    let mut at = last;
    if let Some(scale) = graph.next(at, "Mul")
        && let Some(other) = graph.output(at).and_then(|id| graph.other(scale, id))
        && graph.is_constant(other)
        && graph.rank(other) >= 1
    {
        weight = Operand::Weight(other, false);
        steps.push(scale);
        at = scale;
    }
    if let Some(shift) = graph.next(at, "Add")
        && let Some(other) = graph.output(at).and_then(|id| graph.other(shift, id))
        && graph.is_constant(other)
        && graph.rank(other) >= 1
        && !matches!(weight, Operand::None)
    {
        bias = Operand::Weight(other, false);
        steps.push(shift);
    }
    (weight, bias)
}

/// Mean, difference, variance, quotient: how opsets before 17 write it.
fn layer_norm(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    if graph.op(at) != "ReduceMean" {
        return None;
    }
    let input = graph.input(at, 0)?;
    let difference = graph.next(at, "Sub")?;
    if graph.input(difference, 0)? != input {
        return None;
    }
    let centred = graph.output(difference)?;
    let mut square = None;
    let mut quotient = None;
    for user in graph.users(centred) {
        match graph.op(*user) {
            "Pow" | "Mul" => square = Some(*user),
            "Div" => quotient = Some(*user),
            "Cast" => {}
            _ => return None,
        }
    }
    let (square, quotient) = (square?, quotient?);
    let variance = graph.next(square, "ReduceMean")?;
    let sum = graph.next(variance, "Add")?;
    let root = graph.next(sum, "Sqrt")?;
    if graph.input(quotient, 1)? != graph.output(root)? {
        return None;
    }
    let mut steps = vec![at, difference, square, variance, sum, root, quotient];
    let (weight, bias) = affine(graph, quotient, &mut steps);
    let shape = graph.shape(input)?;
    let normalized = match &weight {
        Operand::Weight(id, _) => graph.shape(*id)?.to_vec(),
        _ => vec![shape.last()?.clone()],
    };
    let piece = Piece::new("layer_norm", FUNCTION)
        .class("torch.nn.modules.normalization.LayerNorm")
        .with("input", Operand::Value(input))
        .with("normalized_shape", Operand::Dims(normalized))
        .with("weight", weight)
        .with("bias", bias);
    done(piece, graph, steps)
}

/// Mean of squares, root, quotient.
fn rms_norm(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    if graph.op(at) != "Pow" || !graph.is_scalar(graph.input(at, 1)?, 2.0) {
        return None;
    }
    let input = graph.input(at, 0)?;
    let mean = graph.next(at, "ReduceMean")?;
    let sum = graph.next(mean, "Add")?;
    let root = graph.next(sum, "Sqrt")?;
    let (last, mut steps) = if let Some(quotient) = graph.next(root, "Div") {
        (quotient, vec![at, mean, sum, root, quotient])
    } else {
        let inverse = graph.next(root, "Reciprocal")?;
        let product = graph.next(inverse, "Mul")?;
        (product, vec![at, mean, sum, root, inverse, product])
    };
    let (weight, _) = affine(graph, last, &mut steps);
    let Operand::Weight(id, _) = &weight else {
        return None;
    };
    let normalized = graph.shape(*id)?.to_vec();
    let piece = Piece::new("rms_norm", FUNCTION)
        .class("torch.nn.modules.normalization.RMSNorm")
        .with("input", Operand::Value(input))
        .with("normalized_shape", Operand::Dims(normalized))
        .with("weight", weight);
    done(piece, graph, steps)
}

/// `InstanceNormalization` between two reshapes, then a scale and a shift.
fn group_norm(graph: &Graph<'_, '_>, at: usize) -> Option<Piece> {
    if graph.op(at) != "Reshape" {
        return None;
    }
    let input = graph.input(at, 0)?;
    let norm = graph.next(at, "InstanceNormalization")?;
    let back = graph.next(norm, "Reshape")?;
    let groups = graph.shape(graph.output(at)?)?.get(1)?.as_i64()?;
    let mut steps = vec![at, norm, back];
    let (weight, bias) = affine(graph, back, &mut steps);
    let piece = Piece::new("group_norm", FUNCTION)
        .class("torch.nn.modules.normalization.GroupNorm")
        .with("input", Operand::Value(input))
        .with("num_groups", Operand::Int(groups))
        .with("weight", weight)
        .with("bias", bias);
    done(piece, graph, steps)
}
