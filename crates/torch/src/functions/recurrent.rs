//! What recurrent layers and torchvision's layers call.

use modelcost_core::dim::Dim;
use modelcost_core::value::Value;

use super::{Entry, VF, VISION};
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::signature::Arguments;
use crate::tracer::Tracer;

macro_rules! layer {
    ($name:literal, $doc:literal) => {
        Entry::line(
            VF,
            concat!(
                $name,
                "(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, \
                 batch_first)"
            ),
            concat!(
                "aten.",
                $name,
                "(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, \
                 batch_first)"
            ),
            $doc,
        )
    };
}

macro_rules! cell {
    ($name:literal, $doc:literal) => {
        Entry::line(
            VF,
            concat!($name, "(input, hx, w_ih, w_hh, b_ih=None, b_hh=None)"),
            concat!("aten.", $name, "(input, hx, w_ih, w_hh, b_ih, b_hh)"),
            $doc,
        )
    };
}

pub(super) static FUNCTIONS: [Entry; 10] = [
    layer!("lstm", "All layers and steps of an LSTM."),
    layer!("gru", "All layers and steps of a GRU."),
    layer!("rnn_tanh", "All layers and steps of a tanh RNN."),
    layer!("rnn_relu", "All layers and steps of a ReLU RNN."),
    cell!("lstm_cell", "One step of an LSTM."),
    cell!("gru_cell", "One step of a GRU."),
    cell!("rnn_tanh_cell", "One step of a tanh RNN."),
    cell!("rnn_relu_cell", "One step of a ReLU RNN."),
    Entry::code(
        VISION,
        "deform_conv2d(input, offset, weight, bias=None, stride=(1, 1), padding=(0, 0), \
         dilation=(1, 1), mask=None)",
        deform_conv2d,
        "Convolution whose taps are moved by learned offsets.",
    ),
    Entry::line(
        VISION,
        "stochastic_depth(input, p, mode, training=True)",
        "input",
        "Drops whole residual branches in training; passes its input on otherwise.",
    ),
];

fn deform_conv2d(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let input = t.shape(args.tensor("input")?);
    let weight = t.shape(args.tensor("weight")?);
    let offset = t.shape(args.tensor("offset")?);
    let ([batch, channels, _, _], [outputs, width, kh, kw]) = (input.as_slice(), weight.as_slice())
    else {
        return Err(TorchError::new(
            "deform_conv2d expects an input and a weight of 4 dimensions",
        ));
    };
    let zeros = |t: &mut Tracer, shape: &[Dim]| {
        let size = shape.iter().cloned().map(Value::Int);
        t.call_function("torch.zeros", &Arguments::of(size), None)
    };
    let mask = match args.value("mask") {
        Value::None => zeros(t, &[batch.clone(), Dim::ONE])?,
        mask => mask.clone(),
    };
    let bias = match args.value("bias") {
        Value::None => zeros(t, std::slice::from_ref(outputs))?,
        bias => bias.clone(),
    };
    let mut arguments = Arguments::of([
        args.value("input").clone(),
        args.value("weight").clone(),
        args.value("offset").clone(),
        mask,
        bias,
    ]);
    for name in ["stride", "padding", "dilation"] {
        arguments
            .positional
            .extend(args.per_dimension(name, 2)?.into_iter().map(Value::Int));
    }
    let offsets = offset.get(1).cloned().unwrap_or(Dim::ZERO);
    let arguments = arguments
        .with(channels.floor_div(width))
        .with(offsets.floor_div(&(kh * kw * 2)))
        .with(!args.value("mask").is_none());
    t.call_operator("torchvision.deform_conv2d", &arguments)
}
