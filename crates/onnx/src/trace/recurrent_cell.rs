//! Recurrent cells: the older exporter writes two products and the gates between them for what
//! PyTorch calls as one operator. The parameters' names, which it keeps, tell.

use foldhash::HashMap;

use modelcost_core::dim::Dim;

use super::graph::Graph;
use super::piece::{BUILTIN, Operand, Piece};
use crate::infer::ValueId;

/// What one kind of cell is made of.
struct Kind {
    op: &'static str,
    class: &'static str,
    /// How many states' widths its weights have rows.
    gates: i64,
    /// How many of these functions it calls.
    functions: &'static [(&'static str, usize)],
}

const KINDS: &[Kind] = &[
    Kind {
        op: "lstm_cell",
        class: "LSTMCell",
        gates: 4,
        functions: &[("Sigmoid", 3), ("Tanh", 2)],
    },
    Kind {
        op: "gru_cell",
        class: "GRUCell",
        gates: 3,
        functions: &[("Sigmoid", 2), ("Tanh", 1)],
    },
    Kind {
        op: "rnn_tanh_cell",
        class: "RNNCell",
        gates: 1,
        functions: &[("Tanh", 1)],
    },
    Kind {
        op: "rnn_relu_cell",
        class: "RNNCell",
        gates: 1,
        functions: &[("Relu", 1)],
    },
];

/// Puts the pieces of each scope that is a cell's together.
pub(super) fn gather<'a>(
    graph: &Graph<'_, 'a>,
    pieces: Vec<Piece>,
    scope: &dyn Fn(usize) -> &'a str,
) -> Vec<Piece> {
    let mut scopes: HashMap<&str, Vec<usize>> = HashMap::default();
    for at in 0..graph.program.steps.len() {
        if product(graph, at).is_some() {
            scopes.insert(scope(at), Vec::new());
        }
    }
    if scopes.is_empty() {
        return pieces;
    }
    for at in 0..graph.program.steps.len() {
        if let Some(steps) = scopes.get_mut(scope(at)) {
            steps.push(at);
        }
    }
    let mut cells: HashMap<&str, Vec<Piece>> = HashMap::default();
    for (scope, steps) in scopes {
        if let Some(cell) = cell(graph, &steps) {
            cells.insert(scope, cell);
        }
    }
    let of = |piece: &Piece| piece.steps.first().map_or("", |step| scope(*step));
    let mut out: Vec<Piece> = pieces
        .into_iter()
        .filter(|piece| !cells.contains_key(of(piece)))
        .collect();
    out.extend(cells.into_values().flatten());
    out.sort_by_key(|piece| piece.steps.iter().copied().max());
    out
}

/// Whether a node multiplies by a cell's parameter; whether this is the state's.
fn product(graph: &Graph<'_, '_>, at: usize) -> Option<bool> {
    if graph.op(at) != "Gemm" {
        return None;
    }
    let name = graph.program.value(graph.input(at, 1)?).name;
    match name.rsplit('.').next()? {
        "weight_ih" => Some(false),
        "weight_hh" => Some(true),
        _ => None,
    }
}

/// The call that the nodes of a scope stand for, after what makes the states where that is inside.
fn cell(graph: &Graph<'_, '_>, steps: &[usize]) -> Option<Vec<Piece>> {
    let count = |op: &str| steps.iter().filter(|at| graph.op(**at) == op).count();
    let one = |hidden: bool| {
        let mut products = steps
            .iter()
            .filter(|at| product(graph, **at) == Some(hidden));
        products
            .next()
            .copied()
            .filter(|_| products.next().is_none())
    };
    let (input, hidden) = (one(false)?, one(true)?);
    let [rows, width] = graph.shape(graph.input(hidden, 1)?)? else {
        return None;
    };
    let is_kind = |kind: &&Kind| {
        let functions = ["Sigmoid", "Tanh", "Relu"].into_iter();
        *rows == width * &Dim::from(kind.gates)
            && functions.fold(true, |fits, name| {
                let wanted = kind.functions.iter().find(|(own, _)| *own == name);
                fits && count(name) == wanted.map_or(0, |(_, count)| *count)
            })
    };
    let kind = KINDS.iter().find(is_kind)?;
    let made = |id: &ValueId| graph.maker(*id).is_some_and(|at| steps.contains(&at));
    let mut states = vec![graph.input(hidden, 0)?];
    let outputs: Vec<ValueId> = steps
        .iter()
        .flat_map(|at| graph.step(*at).outputs.iter().flatten().copied())
        .filter(|id| graph.is_output(*id) || graph.users(*id).iter().any(|at| !steps.contains(at)))
        .collect();
    let mut results = vec![graph.output(*steps.last()?)?];
    if kind.op == "lstm_cell" {
        let (kept, sum) = lstm_states(graph, steps)?;
        states.push(kept);
        results.push(sum);
    }
    if !outputs.iter().all(|id| results.contains(id)) {
        return None;
    }
    // Zeros that the cell makes where it is given no state are its own constants.
    let inside: Vec<ValueId> = states
        .iter()
        .copied()
        .filter(|id| made(id) && graph.is_constant(*id))
        .collect();
    let mut out: Vec<Piece> = Vec::new();
    for id in inside {
        let mut zeros = Piece::new("zeros", BUILTIN);
        zeros.steps = graph.maker(id).into_iter().collect();
        zeros.outputs = vec![id];
        zeros.group = Some(*steps.first()?);
        out.push(zeros);
    }
    let given: Vec<Operand> = states.iter().copied().map(Operand::Value).collect();
    let hx = match <[Operand; 1]>::try_from(given) {
        Ok([state]) => state,
        Err(states) => Operand::List(states),
    };
    let weight = |at: usize, index: usize| {
        graph
            .input(at, index)
            .map_or(Operand::None, |id| Operand::Weight(id, false))
    };
    let mut piece = Piece::new(kind.op, BUILTIN)
        .class(format!("torch.nn.modules.rnn.{}", kind.class))
        .with("input", Operand::Value(graph.input(input, 0)?))
        .with("hx", hx)
        .with("w_ih", weight(input, 1))
        .with("w_hh", weight(hidden, 1))
        .with("b_ih", weight(input, 2))
        .with("b_hh", weight(hidden, 2));
    piece.steps = steps.to_vec();
    piece.outputs = results;
    piece.group = Some(*steps.first()?);
    out.push(piece);
    Some(out)
}

/// The state that an LSTM cell is given beside its hidden one, and the sum that it becomes.
fn lstm_states(graph: &Graph<'_, '_>, steps: &[usize]) -> Option<(ValueId, ValueId)> {
    // The new state is a sum that goes through the second Tanh.
    let sum = steps.iter().copied().find(|at| {
        let users = graph.output(*at).map_or(&[][..], |id| graph.users(id));
        graph.op(*at) == "Add" && users.iter().any(|user| graph.op(*user) == "Tanh")
    })?;
    let kept = (0..2).find_map(|term| {
        let product = graph.maker(graph.input(sum, term)?)?;
        (0..2)
            .filter_map(|factor| graph.input(product, factor))
            .find(|id| {
                let maker = graph.maker(*id).filter(|at| steps.contains(at));
                maker.is_none_or(|at| graph.op(at) == "Constant")
            })
    })?;
    Some((kept, graph.output(sum)?))
}
