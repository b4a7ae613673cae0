//! Recurrent layers and cells, each one operator.

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::{Entry, Op, compatible, row};
use crate::error::Result;
use crate::show;

macro_rules! layer {
    ($name:literal, $rule:expr) => {
        row(
            concat!(
                $name,
                "(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, \
                 batch_first)"
            ),
            $rule,
        )
    };
}

macro_rules! cell {
    ($name:literal, $rule:expr) => {
        row(
            concat!($name, "(input, hx, w_ih, w_hh, b_ih=None, b_hh=None)"),
            $rule,
        )
    };
}

pub(super) static OPERATORS: [Entry; 8] = [
    layer!("lstm", lstm),
    layer!("gru", one_state),
    layer!("rnn_tanh", one_state),
    layer!("rnn_relu", one_state),
    cell!("lstm_cell", lstm_cell),
    cell!("gru_cell", cell),
    cell!("rnn_tanh_cell", cell),
    cell!("rnn_relu_cell", cell),
];

/// The shape of the output, whose last dimension is that of the hidden state, once a direction.
fn output(op: &Op<'_>, hidden: &[Dim]) -> Result<Shape> {
    let mut shape = op.shape("input")?;
    let weights = op.args.tensors("params")?;
    let first = weights
        .first()
        .map(|id| op.shape_of(*id))
        .unwrap_or_default();
    let (Some(last), Some(inputs)) = (shape.last(), first.last()) else {
        return Err(op.error("needs weights"));
    };
    if shape.len() != 3 || !compatible(last, inputs) {
        return Err(op.expected(format!("{inputs} features in the last dimension"), &shape));
    }
    let directions = if op.args.bool("bidirectional")? { 2 } else { 1 };
    let batch = usize::from(!op.args.bool("batch_first")?);
    let layers = op.args.size("num_layers")? * directions;
    let fits = match hidden {
        [count, size, _] => compatible(count, &layers) && compatible(size, &shape[batch]),
        _ => false,
    };
    let Some(width) = hidden.last().filter(|_| fits) else {
        return Err(op.error(format!(
            "expects a hidden state of {layers}×{}×(hidden size), not {}",
            shape[batch],
            show::shape(hidden)
        )));
    };
    if let Some(last) = shape.last_mut() {
        *last = width * directions;
    }
    Ok(shape)
}

fn lstm(op: &mut Op<'_>) -> Result<Value> {
    let states = op.args.tensors("hx")?;
    let [hidden, cell] = states.as_slice() else {
        return Err(op.error("needs a hidden state and a cell state"));
    };
    let (hidden, cell) = (op.shape_of(*hidden), op.shape_of(*cell));
    let shape = output(op, &hidden)?;
    let output = op.like("input", shape)?;
    let hidden = op.like("input", hidden)?;
    let cell = op.like("input", cell)?;
    Ok(Value::Tuple(vec![output, hidden, cell]))
}

fn one_state(op: &mut Op<'_>) -> Result<Value> {
    let hidden = op.shape("hx")?;
    let shape = output(op, &hidden)?;
    let output = op.like("input", shape)?;
    let hidden = op.like("input", hidden)?;
    Ok(Value::Tuple(vec![output, hidden]))
}

fn check_cell(op: &Op<'_>, hidden: &[Dim]) -> Result<()> {
    let (input, weight) = (op.shape("input")?, op.shape("w_ih")?);
    let recurrent = op.shape("w_hh")?;
    let (Some(inputs), Some(width)) = (weight.last(), recurrent.last()) else {
        return Err(op.error("needs weights"));
    };
    match input.as_slice() {
        [_, last] if compatible(last, inputs) => {}
        _ => return Err(op.expected(format!("{inputs} features in the last dimension"), &input)),
    }
    match hidden {
        [batch, last] if compatible(last, width) && compatible(batch, &input[0]) => Ok(()),
        _ => Err(op.error(format!(
            "expects a hidden state of {}×{width}, not {}",
            input[0],
            show::shape(hidden)
        ))),
    }
}

fn cell(op: &mut Op<'_>) -> Result<Value> {
    let hidden = op.shape("hx")?;
    check_cell(op, &hidden)?;
    op.like("input", hidden)
}

fn lstm_cell(op: &mut Op<'_>) -> Result<Value> {
    let states = op.args.tensors("hx")?;
    let [hidden, state] = states.as_slice() else {
        return Err(op.error("needs a hidden state and a cell state"));
    };
    let (hidden, state) = (op.shape_of(*hidden), op.shape_of(*state));
    check_cell(op, &hidden)?;
    let hidden = op.like("input", hidden)?;
    let state = op.like("input", state)?;
    Ok(Value::Tuple(vec![hidden, state]))
}
