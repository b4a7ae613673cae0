//! The cells of recurrent layers, one step for one element of the batch.
//!
//! thop counts a cell by its equations: the two products of every gate, a bias for each of them,
//! and the elementwise work. Weights are read from `input_size` and `hidden_size`, not from tensors.

use modelcost_core::dim::Dim;
use modelcost_core::formula::{CallScope, EvalError, Quantity, Scope};

/// The scope of thop's formulas: a call's own names, and the cells as functions.
pub struct ThopScope<'a>(pub CallScope<'a>);

impl Scope for ThopScope<'_> {
    fn get(&self, name: &str) -> Result<Quantity, EvalError> {
        self.0.get(name)
    }

    fn call(&self, name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
        cell(name, arguments)
    }
}

/// `rnn_cell`, `gru_cell` and `lstm_cell` of `(input_size, hidden_size, bias)`, and `lstm_cell` with
/// a `proj_size` as ultralytics-thop has it; `None` for any other name.
pub fn cell(name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
    let gates = match name {
        "rnn_cell" => 1,
        "gru_cell" => 3,
        "lstm_cell" => 4,
        _ => return None,
    };
    let (sizes, bias) = match arguments {
        [
            Quantity::Int(input),
            Quantity::Int(hidden),
            Quantity::Bool(bias),
        ] => ((input, hidden, Dim::ZERO), *bias),
        [
            Quantity::Int(input),
            Quantity::Int(hidden),
            Quantity::Bool(bias),
            Quantity::Int(projection),
        ] => ((input, hidden, projection.clone()), *bias),
        _ => {
            let message = format!("{name}() takes input_size, hidden_size and bias");
            return Some(Err(EvalError::Type(message)));
        }
    };
    let (input, hidden, projection) = sizes;
    let state = if projection == Dim::ZERO {
        hidden
    } else {
        &projection
    };
    // W_i x + W_h h and the addition of the two, then both biases.
    let gate = hidden * &(input.clone() + state) + hidden * (if bias { 3 } else { 1 });
    let elementwise = match name {
        "rnn_cell" => Dim::ZERO,
        // r * (…), then (1 - z) * n + z * h
        "gru_cell" => hidden * 4,
        // f * c + i * g, then o * tanh(c), projected where the layer has a projection
        _ => hidden * 4 + hidden * &projection,
    };
    Some(Ok(Quantity::Int(gate * gates + elementwise)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, input: i64, hidden: i64, bias: bool) -> Quantity {
        let arguments = [
            Quantity::Int(Dim::from(input)),
            Quantity::Int(Dim::from(hidden)),
            Quantity::Bool(bias),
        ];
        cell(name, &arguments).unwrap().unwrap()
    }

    #[test]
    fn cells_are_thops() {
        // thop 0.1.1: _count_rnn_cell(32, 64), _count_gru_cell(32, 64), _count_lstm_cell(32, 64, False)
        assert_eq!(
            count("rnn_cell", 32, 64, true),
            Quantity::Int(Dim::from(6336))
        );
        assert_eq!(
            count("gru_cell", 32, 64, true),
            Quantity::Int(Dim::from(19264))
        );
        assert_eq!(
            count("lstm_cell", 32, 64, false),
            Quantity::Int(Dim::from(25088))
        );
    }
}
