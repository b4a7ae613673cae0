//! Recurrent layers (`aten/src/ATen/native/RNN.cpp`).

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::layout::{dense_strides, is_contiguous, is_dense, strides};
use super::{Dispatch, MAX_CALLS, Matrix};

/// `aten.lstm`, `aten.gru`, `aten.rnn_tanh`, `aten.rnn_relu`.
///
/// The input's part of the gates is one product for the whole sequence, the state's one for each
/// step. An LSTM without projection is one oneDNN operator for each layer and direction, which
/// hides its products.
pub(super) fn layers(d: &mut Dispatch<'_>) -> Option<()> {
    let weights = d.value("params").tensors();
    let weights = weights.iter().map(|id| Some((*id, d.shape_of(*id)?)));
    let weights: Vec<_> = weights.collect::<Option<_>>()?;
    let flag = |name: &str| *d.value(name) == Value::Bool(true);
    let (biases, both_ways, batch_first) = (
        flag("has_biases"),
        flag("bidirectional"),
        flag("batch_first"),
    );
    let input = d.shape("input")?;
    let [first, second, width] = input.as_slice() else {
        return None;
    };
    let (steps, batch) = if batch_first {
        (second, first)
    } else {
        (first, second)
    };
    let directions = if both_ways { 2 } else { 1 };
    let layers = d.value("num_layers").int()?.as_usize()?;
    let cells = layers.checked_mul(directions)?;
    let each = weights.len().checked_div(cells).filter(|each| *each > 0)?;
    let projected = each % 2 == 1;
    let dtype = d.dtype("input");
    if d.name == "lstm" && !projected {
        return one_dnn(d, &weights, each, batch, steps, dtype);
    }
    // Time comes first inside; the transpose of a batch is contiguous only if one of them is one.
    let given = d.tensor("input")?;
    let mut contiguous = is_contiguous(d.trace(), given);
    if batch_first {
        let strides = strides(d.trace(), given).unwrap_or_else(|| dense_strides(&input));
        let [a, b, c] = <[Dim; 3]>::try_from(strides).ok()?;
        contiguous = is_dense(&[steps.clone(), batch.clone(), width.clone()], &[b, a, c]);
    }
    for (cell, own) in weights.chunks(each).enumerate() {
        let [(_, input_weight), (_, state_weight), rest @ ..] = own else {
            return None;
        };
        let [gates, inputs] = input_weight.as_slice() else {
            return None;
        };
        let state = state_weight.get(1)?;
        let bias = |at: usize| match rest.get(at) {
            Some((id, _)) if biases => Some(Value::Tensor(*id)),
            _ => None,
        };
        let first_layer = cell < directions;
        let rows = steps * batch;
        let whole = bias(0).filter(|_| contiguous || !first_layer);
        product(d, whole, [rows, inputs.clone(), gates.clone()], dtype)?;
        let project = rest
            .last()
            .filter(|_| projected)
            .map(|(_, shape)| shape.clone());
        for _ in 0..rounds(d, steps, cells)? {
            let count = Step(steps);
            let rows = count.rows(batch);
            product(
                d,
                bias(1),
                [rows.clone(), state.clone(), gates.clone()],
                dtype,
            )?;
            if let Some([outputs, hidden]) = project.as_deref() {
                product(d, None, [rows, hidden.clone(), outputs.clone()], dtype)?;
            }
        }
    }
    Some(())
}

/// How the steps of a sequence are written down.
struct Step<'a>(&'a Dim);

impl Step<'_> {
    /// One call for each step has the batch as its rows. A sequence of unknown length is one call
    /// that has all of its rows, which costs the same.
    fn rows(&self, batch: &Dim) -> Dim {
        match self.0.is_const() {
            true => batch.clone(),
            false => self.0 * batch,
        }
    }
}

fn rounds(d: &Dispatch<'_>, steps: &Dim, cells: usize) -> Option<usize> {
    if !steps.is_const() {
        return Some(1);
    }
    let steps = steps.as_usize()?;
    let calls = steps
        .checked_mul(cells)?
        .checked_add(d.trace().calls.len())?;
    (calls <= MAX_CALLS).then_some(steps)
}

/// `rows × inputs @ inputs × outputs`, with the bias in the same operator where there is one.
fn product(
    d: &mut Dispatch<'_>,
    bias: Option<Value>,
    [rows, inputs, outputs]: [Dim; 3],
    dtype: Option<modelcost_core::dtype::DType>,
) -> Option<()> {
    let a = Matrix::new([rows, inputs.clone()], dtype);
    let b = Matrix::new([inputs, outputs], dtype);
    match bias {
        Some(bias) => d.addmm(bias, a, b),
        None => d.mm(a, b),
    }
}

fn one_dnn(
    d: &mut Dispatch<'_>,
    weights: &[(modelcost_core::trace::TensorId, Shape)],
    each: usize,
    batch: &Dim,
    steps: &Dim,
    dtype: Option<modelcost_core::dtype::DType>,
) -> Option<()> {
    for own in weights.chunks(each) {
        let [(first, input_weight), (second, state_weight), ..] = own else {
            return None;
        };
        let width = input_weight.get(1)?.clone();
        let hidden = state_weight.get(1)?.clone();
        let input = d.temporary(vec![steps.clone(), batch.clone(), width], dtype);
        let output = d.temporary(vec![steps.clone(), batch.clone(), hidden], dtype);
        let arguments = vec![
            ("input", input),
            ("weight0", Value::Tensor(*first)),
            ("weight1", Value::Tensor(*second)),
        ];
        d.call("aten.mkldnn_rnn_layer", arguments, output);
    }
    Some(())
}

/// `aten.lstm_cell` and its relatives: one product for the input, one for the state.
pub(super) fn cell(d: &mut Dispatch<'_>) -> Option<()> {
    let dtype = d.dtype("input");
    let rows = d.shape("input")?.first()?.clone();
    let (input, state) = (("w_ih", "b_ih"), ("w_hh", "b_hh"));
    // A GRU needs the two apart, the others add the input's part to the state's.
    let weights = match d.name {
        "gru_cell" => [input, state],
        _ => [state, input],
    };
    for (weight, bias) in weights {
        let shape = d.shape(weight)?;
        let [outputs, inputs] = shape.as_slice() else {
            return None;
        };
        let bias = d.tensor(bias).map(Value::Tensor);
        product(
            d,
            bias,
            [rows.clone(), inputs.clone(), outputs.clone()],
            dtype,
        )?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use modelcost_core::dtype::DType;
    use modelcost_core::trace::{Argument, Origin, Passed, Target, TraceBuilder};

    use super::*;

    /// A malformed file may say that there are more layers than weights.
    #[test]
    fn more_layers_than_weights() {
        for operator in ["aten.lstm", "aten.gru"] {
            let mut builder = TraceBuilder::new("test", "onnx");
            let mut tensor = |sizes: &[i64]| {
                let shape = sizes.iter().map(|size| Dim::from(*size)).collect();
                Value::Tensor(builder.tensor(Some(shape), Some(DType::Float32), Origin::Constant))
            };
            let (input, output) = (tensor(&[5, 2, 6]), tensor(&[5, 2, 6]));
            let params = Value::List(vec![tensor(&[24, 6]), tensor(&[24, 6])]);
            let arguments = [
                ("input", input),
                ("params", params),
                ("num_layers", Value::from(9)),
            ];
            let arguments = arguments.map(|(name, value)| Argument {
                name: name.into(),
                value,
                passed: Passed::Position,
            });
            builder.begin(Target::Operator(operator.into()), arguments.to_vec(), None);
            super::super::expand(&mut builder, operator, &arguments, &output);
            builder.end(output);
            let trace = builder.finish();
            assert_eq!(trace.calls.len(), 1, "{operator}");
        }
    }
}
