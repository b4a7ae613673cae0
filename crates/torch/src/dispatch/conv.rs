//! Convolutions (`aten/src/ATen/native/Convolution.cpp`).

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::{Dispatch, list, per_dimension};

/// `aten.conv2d` and its relatives.
pub(super) fn conv(d: &mut Dispatch<'_>) -> Option<()> {
    let (mut input, weight) = (d.shape("input")?, d.shape("weight")?);
    let n = weight.len().checked_sub(2)?;
    let dilation = per_dimension(d.value("dilation"), n, 1)?;
    let padding = match d.value("padding") {
        Value::Str(same) if same == "same" => pad_same(&mut input, &weight, &dilation)?,
        Value::Str(_) => vec![Dim::ZERO; n],
        given => per_dimension(given, n, 0)?,
    };
    convolution(d, input, n, padding, dilation, vec![Dim::ZERO; n], false)
}

/// `aten.conv_transpose2d` and its relatives.
pub(super) fn conv_transpose(d: &mut Dispatch<'_>) -> Option<()> {
    let (input, weight) = (d.shape("input")?, d.shape("weight")?);
    let n = weight.len().checked_sub(2)?;
    let padding = per_dimension(d.value("padding"), n, 0)?;
    let dilation = per_dimension(d.value("dilation"), n, 1)?;
    let extra = per_dimension(d.value("output_padding"), n, 0)?;
    convolution(d, input, n, padding, dilation, extra, true)
}

/// `padding='same'`: what both sides need alike is padding; an odd rest is padded beforehand.
fn pad_same(input: &mut Shape, weight: &[Dim], dilation: &[Dim]) -> Option<Vec<Dim>> {
    let n = dilation.len();
    let first = input.len().checked_sub(n)?;
    let mut padding = Vec::with_capacity(n);
    for at in 0..n {
        let total = &dilation[at] * &(weight[at + 2].clone() - &Dim::ONE);
        let half = total.floor_div(&Dim::Const(2));
        input[first + at] += total.modulo(&Dim::Const(2));
        padding.push(half);
    }
    Some(padding)
}

fn convolution(
    d: &mut Dispatch<'_>,
    mut input: Shape,
    n: usize,
    padding: Vec<Dim>,
    dilation: Vec<Dim>,
    output_padding: Vec<Dim>,
    transposed: bool,
) -> Option<()> {
    let dtype = d.dtype("input");
    let stride = per_dimension(d.value("stride"), n, 1)?;
    let groups = match d.value("groups") {
        Value::None => Value::from(1),
        given => given.clone(),
    };
    let own = d.shape("input")?;
    let mut output = d.shape_of(d.output.tensor()?)?;
    // An input without batch is given one.
    if input.len() == n + 1 {
        input.insert(0, Dim::ONE);
        output.insert(0, Dim::ONE);
    }
    let input = match input == own {
        true => d.value("input").clone(),
        false => d.temporary(input, dtype),
    };
    let output = d.result(output, dtype);
    let arguments = vec![
        ("input", input),
        ("weight", d.value("weight").clone()),
        ("bias", d.value("bias").clone()),
        ("stride", list(stride)),
        ("padding", list(padding)),
        ("dilation", list(dilation)),
        ("transposed", Value::Bool(transposed)),
        ("output_padding", list(output_padding)),
        ("groups", groups),
    ];
    d.call("aten.convolution", arguments, output);
    Some(())
}
