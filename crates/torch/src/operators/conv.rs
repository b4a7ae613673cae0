//! Convolutions and their kin.

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::{Entry, Op, compatible, row};
use crate::bound::Bound;
use crate::error::Result;
use crate::show;

pub(super) static OPERATORS: [Entry; 11] = [
    row(
        "conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1)",
        |op| conv(op, 1),
    ),
    row(
        "conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1)",
        |op| conv(op, 2),
    ),
    row(
        "conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1)",
        |op| conv(op, 3),
    ),
    row(
        "conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, \
         dilation=1)",
        |op| conv_transpose(op, 1),
    ),
    row(
        "conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, \
         dilation=1)",
        |op| conv_transpose(op, 2),
    ),
    row(
        "conv_transpose3d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, \
         dilation=1)",
        |op| conv_transpose(op, 3),
    ),
    row(
        "convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, \
         groups)",
        |op| {
            let n = op.shape("weight")?.len().saturating_sub(2);
            match op.args.bool("transposed")? {
                true => conv_transpose(op, n),
                false => conv(op, n),
            }
        },
    ),
    row(
        "deform_conv2d(input, weight, offset, mask, bias, stride_h, stride_w, pad_h, pad_w, \
         dilation_h, dilation_w, groups, offset_groups, use_mask)",
        deform_conv2d,
    ),
    row(
        "im2col(self, kernel_size, dilation, padding, stride)",
        im2col,
    ),
    row(
        "col2im(self, output_size, kernel_size, dilation, padding, stride)",
        col2im,
    ),
    row("conv_tbc(self, weight, bias, pad=0)", conv_tbc),
];

/// Positions of a window of `kernel` that moves over `size` padded by `before` and `after`.
pub(super) fn windows(
    size: &Dim,
    kernel: &Dim,
    stride: &Dim,
    padding: &Dim,
    dilation: &Dim,
) -> Dim {
    let reach = dilation * &(kernel - &Dim::ONE) + 1;
    (size + &(padding * 2) - reach).floor_div(stride) + 1
}

/// The batch dimensions in front of the channels: one, or none for a single input.
fn batch<'a>(op: &Op<'_>, input: &'a [Dim], n: usize) -> Result<&'a [Dim]> {
    match input.len() {
        rank if rank == n + 2 => Ok(&input[..1]),
        rank if rank == n + 1 => Ok(&[]),
        _ => Err(op.expected(
            format!(
                "an input of {} dimensions, or {} without a batch",
                n + 2,
                n + 1
            ),
            input,
        )),
    }
}

/// Refuses sizes that are not positive.
fn positive(op: &Op<'_>, name: &str, sizes: &[Dim]) -> Result<()> {
    match sizes
        .iter()
        .all(|size| size.as_const().is_none_or(|size| size > 0))
    {
        true => Ok(()),
        false => Err(op.error(format!("needs a positive {name}"))),
    }
}

/// Channels, groups and bias; gives the number of output channels and the groups.
fn channels(op: &Op<'_>, input: &[Dim], weight: &[Dim], n: usize, out: usize) -> Result<Dim> {
    if weight.len() != n + 2 {
        return Err(op.error(format!(
            "expects a weight of {} dimensions, not {}",
            n + 2,
            show::shape(weight)
        )));
    }
    let groups = op.args.positive("groups")?;
    let expected = match out {
        0 => &weight[1] * &groups,
        _ => weight[0].clone(),
    };
    let found = &input[input.len() - n - 1];
    if !compatible(found, &expected) {
        return Err(op.expected(format!("{expected} channels"), input));
    }
    let outputs = match out {
        0 => weight[0].clone(),
        _ => &weight[1] * &groups,
    };
    if weight[0].modulo(&groups).as_const().unwrap_or(0) != 0 {
        return Err(op.error(format!(
            "has {} channels, which {groups} groups do not divide",
            weight[0]
        )));
    }
    if let Some(bias) = op.optional_shape("bias")?
        && (bias.len() != 1 || !compatible(&bias[0], &outputs))
    {
        return Err(op.error(format!(
            "expects a bias of {outputs}, not {}",
            show::shape(&bias)
        )));
    }
    Ok(outputs)
}

fn conv(op: &mut Op<'_>, n: usize) -> Result<Value> {
    let (input, weight) = (op.shape("input")?, op.shape("weight")?);
    let batch = batch(op, &input, n)?;
    let outputs = channels(op, &input, &weight, n, 0)?;
    let stride = op.args.per_dimension("stride", n)?;
    let dilation = op.args.per_dimension("dilation", n)?;
    positive(op, "stride", &stride)?;
    positive(op, "dilation", &dilation)?;
    let spatial = &input[input.len() - n..];
    let mut shape: Shape = batch.to_vec();
    shape.push(outputs);
    if let Value::Str(mode) = op.args.value("padding") {
        match mode.as_str() {
            "same" => {
                if stride.iter().any(|stride| *stride != Dim::ONE) {
                    return Err(op.error("with padding='same' needs stride 1"));
                }
                shape.extend_from_slice(spatial);
            }
            "valid" => {
                for i in 0..n {
                    shape.push(windows(
                        &spatial[i],
                        &weight[2 + i],
                        &stride[i],
                        &Dim::ZERO,
                        &dilation[i],
                    ));
                }
            }
            other => {
                return Err(op.error(format!("knows padding 'same' and 'valid', not '{other}'")));
            }
        }
    } else {
        let padding = op.args.per_dimension("padding", n)?;
        for i in 0..n {
            shape.push(windows(
                &spatial[i],
                &weight[2 + i],
                &stride[i],
                &padding[i],
                &dilation[i],
            ));
        }
    }
    let first = shape.len() - n;
    if shape[first..]
        .iter()
        .any(|size| size.as_const().is_some_and(|size| size < 1))
    {
        return Err(op.error(format!(
            "has a kernel of {}, larger than the padded input of {}",
            show::shape(&weight[2..]),
            show::shape(spatial)
        )));
    }
    op.like("input", shape)
}

fn conv_transpose(op: &mut Op<'_>, n: usize) -> Result<Value> {
    let (input, weight) = (op.shape("input")?, op.shape("weight")?);
    let batch = batch(op, &input, n)?;
    let outputs = channels(op, &input, &weight, n, 1)?;
    let stride = op.args.per_dimension("stride", n)?;
    let padding = op.args.per_dimension("padding", n)?;
    let extra = op.args.per_dimension("output_padding", n)?;
    let dilation = op.args.per_dimension("dilation", n)?;
    positive(op, "stride", &stride)?;
    positive(op, "dilation", &dilation)?;
    let spatial = &input[input.len() - n..];
    let mut shape: Shape = batch.to_vec();
    shape.push(outputs);
    for i in 0..n {
        let limit = Dim::maximum(&stride[i], &dilation[i]);
        if let (Some(extra), Some(limit)) = (extra[i].as_const(), limit.as_const())
            && (extra < 0 || extra >= limit)
        {
            return Err(op.error(format!(
                "has an output padding of {extra}, which must be smaller than the stride or \
                     the dilation"
            )));
        }
        let size = (&spatial[i] - &Dim::ONE) * &stride[i] - &padding[i] * 2
            + &dilation[i] * &(&weight[2 + i] - &Dim::ONE)
            + &extra[i]
            + 1;
        if size.as_const().is_some_and(|size| size < 1) {
            return Err(op.error(format!(
                "would make an output of {size} from an input of {}",
                show::shape(&input)
            )));
        }
        shape.push(size);
    }
    op.like("input", shape)
}

fn deform_conv2d(op: &mut Op<'_>) -> Result<Value> {
    let (input, weight) = (op.shape("input")?, op.shape("weight")?);
    let offset = op.shape("offset")?;
    if input.len() != 4 || weight.len() != 4 || offset.len() != 4 {
        return Err(op.expected("input, weight and offset of 4 dimensions", &input));
    }
    let outputs = channels(op, &input, &weight, 2, 0)?;
    let args: &Bound = op.args;
    let mut shape = vec![input[0].clone(), outputs];
    for (i, axis) in ["h", "w"].into_iter().enumerate() {
        shape.push(windows(
            &input[2 + i],
            &weight[2 + i],
            &args.positive(&format!("stride_{axis}"))?,
            &args.size(&format!("pad_{axis}"))?,
            &args.positive(&format!("dilation_{axis}"))?,
        ));
    }
    let fits = compatible(&offset[2], &shape[2]) && compatible(&offset[3], &shape[3]);
    let per_group = &weight[2] * &weight[3] * 2;
    let groups = op.args.positive("offset_groups")?;
    if !fits || !compatible(&offset[1], &(&per_group * &groups)) {
        return Err(op.error(format!(
            "expects an offset of {}, not {}",
            show::shape(&[
                shape[0].clone(),
                per_group * &groups,
                shape[2].clone(),
                shape[3].clone()
            ]),
            show::shape(&offset)
        )));
    }
    op.like("input", shape)
}

fn im2col(op: &mut Op<'_>) -> Result<Value> {
    let input = op.shape("self")?;
    let (kernel, stride) = (
        op.args.per_dimension("kernel_size", 2)?,
        op.args.per_dimension("stride", 2)?,
    );
    let (padding, dilation) = (
        op.args.per_dimension("padding", 2)?,
        op.args.per_dimension("dilation", 2)?,
    );
    positive(op, "stride", &stride)?;
    let batch = batch(op, &input, 2)?;
    let spatial = &input[input.len() - 2..];
    let blocks: Vec<Dim> = (0..2)
        .map(|i| {
            windows(
                &spatial[i],
                &kernel[i],
                &stride[i],
                &padding[i],
                &dilation[i],
            )
        })
        .collect();
    if blocks
        .iter()
        .any(|size| size.as_const().is_some_and(|size| size < 1))
    {
        return Err(op.error(format!(
            "has a kernel of {}, larger than the padded input of {}",
            show::shape(&kernel),
            show::shape(spatial)
        )));
    }
    let mut shape = batch.to_vec();
    shape.push(&input[input.len() - 3] * &Dim::product(&kernel));
    shape.push(Dim::product(&blocks));
    op.like("self", shape)
}

fn col2im(op: &mut Op<'_>) -> Result<Value> {
    let input = op.shape("self")?;
    let output = op.args.per_dimension("output_size", 2)?;
    let kernel = op.args.per_dimension("kernel_size", 2)?;
    positive(op, "kernel", &kernel)?;
    if !matches!(input.len(), 2 | 3) {
        return Err(op.expected("an input of 3 dimensions, or 2 without a batch", &input));
    }
    let mut shape = input[..input.len() - 2].to_vec();
    shape.push(input[input.len() - 2].floor_div(&Dim::product(&kernel)));
    shape.extend(output);
    op.like("self", shape)
}

fn conv_tbc(op: &mut Op<'_>) -> Result<Value> {
    let (input, weight) = (op.shape("self")?, op.shape("weight")?);
    if input.len() != 3 || weight.len() != 3 {
        return Err(op.expected("an input and a weight of 3 dimensions", &input));
    }
    let time = windows(
        &input[0],
        &weight[0],
        &Dim::ONE,
        &op.args.size("pad")?,
        &Dim::ONE,
    );
    op.like("self", vec![time, input[1].clone(), weight[2].clone()])
}
