//! Recurrent layers.

use modelcost_core::dim::Dim;

use super::{MICROSOFT, Row};
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    ("", "RNN", recurrent),
    ("", "GRU", recurrent),
    ("", "LSTM", recurrent),
    (MICROSOFT, "DynamicQuantizeLSTM", recurrent),
];

/// All hidden states, and the last of each direction.
fn recurrent(op: &mut Op<'_, '_>) -> Option<()> {
    for index in 0..op.outputs.len() {
        op.set_dtype(index, op.dtype(0));
    }
    let directions = match op.attr_str("direction") {
        Some("bidirectional") => Dim::Const(2),
        _ => Dim::ONE,
    };
    let hidden = op
        .attr_int("hidden_size")
        .map(Dim::from)
        .or_else(|| op.shape(2)?.get(2).cloned())
        .unwrap_or_else(|| op.fresh());
    let batch_first = op.attr_int_or("layout", 0) != 0;
    let (length, batch) = match op.shape(0) {
        Some([batch, length, _]) if batch_first => (length.clone(), batch.clone()),
        Some([length, batch, _]) => (length.clone(), batch.clone()),
        _ => (op.fresh(), op.fresh()),
    };
    let last = if batch_first {
        vec![batch.clone(), directions.clone(), hidden.clone()]
    } else {
        vec![directions.clone(), batch.clone(), hidden.clone()]
    };
    op.set_shape(1, last.clone());
    op.set_shape(2, last);
    op.set_shape(
        0,
        if batch_first {
            vec![batch, length, directions, hidden]
        } else {
            vec![length, directions, batch, hidden]
        },
    );
    Some(())
}
