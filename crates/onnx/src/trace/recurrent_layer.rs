//! Recurrent layers: the exporter writes one ONNX node a layer, with transpositions around them,
//! for what PyTorch calls at once.

use foldhash::HashMap;

use modelcost_core::dim::Dim;

use super::graph::Graph;
use super::piece::{BUILTIN, Operand, Piece};

/// Puts the pieces of each scope that holds recurrent nodes together.
pub(super) fn gather<'a>(
    graph: &Graph<'_, 'a>,
    pieces: Vec<Piece>,
    scope: &dyn Fn(usize) -> &'a str,
) -> Vec<Piece> {
    let of = |piece: &Piece| piece.steps.first().map_or("", |step| scope(*step));
    let recurrent = |piece: &Piece| {
        piece
            .steps
            .iter()
            .any(|step| matches!(graph.op(*step), "LSTM" | "GRU" | "RNN"))
    };
    let mut layers: HashMap<&str, Vec<usize>> = HashMap::default();
    for piece in pieces.iter().filter(|piece| recurrent(piece)) {
        layers.entry(of(piece)).or_default().extend(&piece.steps);
    }
    if layers.is_empty() {
        return pieces;
    }
    let mut out = Vec::new();
    let mut inside: HashMap<&str, Vec<Piece>> = HashMap::default();
    for piece in pieces {
        match layers.contains_key(of(&piece)) {
            true => inside.entry(of(&piece)).or_default().push(piece),
            false => out.push(piece),
        }
    }
    for (scope, steps) in layers {
        let pieces = inside.remove(scope).unwrap_or_default();
        match layer(graph, &pieces, &steps) {
            Some(piece) => out.push(piece),
            None => out.extend(pieces),
        }
    }
    out.sort_by_key(|piece| piece.steps.iter().copied().max());
    out
}

/// The one call that the pieces of a recurrent layer stand for.
fn layer(graph: &Graph<'_, '_>, pieces: &[Piece], layers: &[usize]) -> Option<Piece> {
    let first = *layers.first()?;
    let (op, class) = match graph.op(first) {
        "LSTM" => ("lstm", "LSTM"),
        "GRU" => ("gru", "GRU"),
        _ => ("rnn_tanh", "RNN"),
    };
    let mut parameters = Vec::new();
    let mut directions = 1;
    let mut biased = false;
    for (index, at) in layers.iter().enumerate() {
        let w = graph.shape(graph.input(*at, 1)?)?;
        let r = graph.shape(graph.input(*at, 2)?)?;
        let ([d, rows, columns], [.., hidden]) = (w, r) else {
            return None;
        };
        directions = d.as_usize()?;
        biased = graph.input(*at, 3).is_some();
        for suffix in ["", "_reverse"].iter().take(directions) {
            let mut add = |name: &str, shape: Vec<Dim>| {
                parameters.push(Operand::Named(format!("{name}_l{index}{suffix}"), shape));
            };
            add("weight_ih", vec![rows.clone(), columns.clone()]);
            add("weight_hh", vec![rows.clone(), hidden.clone()]);
            if biased {
                add("bias_ih", vec![rows.clone()]);
                add("bias_hh", vec![rows.clone()]);
            }
        }
    }
    let own: Vec<usize> = pieces
        .iter()
        .flat_map(|piece| piece.steps.iter().copied())
        .collect();
    let made = |id| graph.maker(id).is_some_and(|at| own.contains(&at));
    let values = pieces.iter().flat_map(|piece| &piece.operands);
    let input = values
        .filter_map(|(_, operand)| match operand {
            Operand::Value(id) => Some(*id),
            _ => None,
        })
        .find(|id| graph.is_data(*id) && !made(*id))
        .or_else(|| graph.input(first, 0))?;
    // Whoever asks for a size alone does not read what was computed.
    let reads = |at: usize| graph.output(at).is_some_and(|id| graph.is_data(id));
    let mut outputs: Vec<_> = own
        .iter()
        .flat_map(|at| graph.step(*at).outputs.iter().flatten().copied())
        .filter(|id| {
            graph.is_output(*id)
                || graph
                    .users(*id)
                    .iter()
                    .any(|user| !own.contains(user) && reads(*user))
        })
        .collect();
    // Sizes that other nodes read are no results.
    outputs.retain(|id| {
        graph
            .dtype(*id)
            .is_none_or(|dtype| dtype.is_floating_point())
    });
    // With the batch first, what goes in is transposed before the first node.
    let batch_first = graph.resolve(graph.input(first, 0)?) != graph.resolve(input)
        && graph.shape(input).map(<[Dim]>::first)
            != graph.shape(graph.input(first, 0)?).map(<[Dim]>::first);
    let state = graph.input(first, 5).filter(|id| graph.is_data(*id));
    let mut piece = Piece::new(op, BUILTIN)
        .class(format!("torch.nn.modules.rnn.{class}"))
        .with("input", Operand::Value(input))
        .with("hx", state.map_or(Operand::None, Operand::Value))
        .with("params", Operand::List(parameters))
        .with("has_biases", Operand::Bool(biased))
        .with("num_layers", Operand::Int(layers.len() as i64))
        .with("dropout", Operand::Float(0.0))
        .with("train", Operand::Bool(false))
        .with("bidirectional", Operand::Bool(directions == 2))
        .with("batch_first", Operand::Bool(batch_first));
    piece.steps = own;
    piece.outputs = outputs;
    Some(piece)
}
