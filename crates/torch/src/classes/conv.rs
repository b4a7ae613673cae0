//! Convolutions and transposed convolutions, and their lazy forms.

use modelcost_core::dim::Dim;
use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;

use super::{Construct, Entry, From};
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::signature::Arguments;
use crate::tracer::Tracer;

const CONV: &[&str] = &["torch.nn.modules.conv._ConvNd"];
const CONV_TRANSPOSE: &[&str] = &[
    "torch.nn.modules.conv._ConvTransposeNd",
    "torch.nn.modules.conv._ConvNd",
];

macro_rules! conv {
    ($name:literal, $n:literal, $construct:ident, $function:literal, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!(
                $name,
                "(in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, \
                 groups=1, bias=True, padding_mode='zeros', device=None, dtype=None)"
            ),
            $doc,
        )
        .bases(CONV)
        .infer(&[("in_channels", From::Channels($n))])
        .construct($construct)
        .forward_line(concat!(
            $function,
            "(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups) \
             if self.padding_mode == 'zeros' else ",
            $function,
            "(F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode), \
             self.weight, self.bias, self.stride, self._no_padding, self.dilation, self.groups)"
        ))
    };
}

macro_rules! lazy_conv {
    ($name:literal, $becomes:literal, $n:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!(
                $name,
                "(out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, \
                 padding_mode='zeros', device=None, dtype=None)"
            ),
            concat!(
                "A ",
                $becomes,
                " that takes in_channels from its first input."
            ),
        )
        .bases(&[concat!("torch.nn.", $becomes)])
        .infer(&[("in_channels", From::Channels($n))])
        .becomes(concat!("torch.nn.", $becomes))
    };
}

macro_rules! conv_transpose {
    ($name:literal, $n:literal, $construct:ident, $forward:ident, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!(
                $name,
                "(in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, \
                 groups=1, bias=True, dilation=1, padding_mode='zeros', device=None, dtype=None)"
            ),
            $doc,
        )
        .bases(CONV_TRANSPOSE)
        .infer(&[("in_channels", From::Channels($n))])
        .construct($construct)
        .takes("forward(input, output_size=None)")
        .forward_code($forward)
    };
}

macro_rules! lazy_conv_transpose {
    ($name:literal, $becomes:literal, $n:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!(
                $name,
                "(out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, \
                 bias=True, dilation=1, padding_mode='zeros', device=None, dtype=None)"
            ),
            concat!(
                "A ",
                $becomes,
                " that takes in_channels from its first input."
            ),
        )
        .bases(&[concat!("torch.nn.", $becomes)])
        .infer(&[("in_channels", From::Channels($n))])
        .becomes(concat!("torch.nn.", $becomes))
        .takes("forward(input, output_size=None)")
    };
}

pub(super) static CLASSES: [Entry; 12] = [
    conv!(
        "Conv1d",
        1,
        conv1d,
        "F.conv1d",
        "Convolution over a sequence."
    ),
    conv!(
        "Conv2d",
        2,
        conv2d,
        "F.conv2d",
        "Convolution over an image."
    ),
    conv!(
        "Conv3d",
        3,
        conv3d,
        "F.conv3d",
        "Convolution over a volume or a video."
    ),
    lazy_conv!("LazyConv1d", "Conv1d", 1),
    lazy_conv!("LazyConv2d", "Conv2d", 2),
    lazy_conv!("LazyConv3d", "Conv3d", 3),
    conv_transpose!(
        "ConvTranspose1d",
        1,
        conv_transpose1d,
        forward_transpose1d,
        "Transposed convolution over a sequence: upsamples by its stride."
    ),
    conv_transpose!(
        "ConvTranspose2d",
        2,
        conv_transpose2d,
        forward_transpose2d,
        "Transposed convolution over an image: upsamples by its stride."
    ),
    conv_transpose!(
        "ConvTranspose3d",
        3,
        conv_transpose3d,
        forward_transpose3d,
        "Transposed convolution over a volume: upsamples by its stride."
    ),
    lazy_conv_transpose!("LazyConvTranspose1d", "ConvTranspose1d", 1),
    lazy_conv_transpose!("LazyConvTranspose2d", "ConvTranspose2d", 2),
    lazy_conv_transpose!("LazyConvTranspose3d", "ConvTranspose3d", 3),
];

fn conv1d(c: &mut Construct<'_>) -> Result<()> {
    construct(c, 1, false)
}

fn conv2d(c: &mut Construct<'_>) -> Result<()> {
    construct(c, 2, false)
}

fn conv3d(c: &mut Construct<'_>) -> Result<()> {
    construct(c, 3, false)
}

fn conv_transpose1d(c: &mut Construct<'_>) -> Result<()> {
    construct(c, 1, true)
}

fn conv_transpose2d(c: &mut Construct<'_>) -> Result<()> {
    construct(c, 2, true)
}

fn conv_transpose3d(c: &mut Construct<'_>) -> Result<()> {
    construct(c, 3, true)
}

fn tuple(dims: &[Dim]) -> Value {
    Value::Tuple(dims.iter().cloned().map(Value::Int).collect())
}

fn construct(c: &mut Construct<'_>, n: usize, transposed: bool) -> Result<()> {
    let a = c.arguments;
    let (inputs, outputs) = (a.positive("in_channels")?, a.size("out_channels")?);
    let groups = a.positive("groups")?;
    for (name, channels) in [("in_channels", &inputs), ("out_channels", &outputs)] {
        let rest = channels.modulo(&groups);
        c.require(
            rest.as_const().unwrap_or(0) == 0,
            "groups",
            format!("{name} ({channels}) must be divisible by groups ({groups})"),
        )?;
    }
    let kernel = a.per_dimension("kernel_size", n)?;
    let stride = a.per_dimension("stride", n)?;
    let dilation = a.per_dimension("dilation", n)?;
    for (name, sizes) in [
        ("kernel_size", &kernel),
        ("stride", &stride),
        ("dilation", &dilation),
    ] {
        let positive = sizes
            .iter()
            .all(|size| size.as_const().is_none_or(|size| size > 0));
        c.require(positive, name, format!("'{name}' must be positive"))?;
    }
    let mode = a.str("padding_mode")?;
    let modes: &[&str] = match transposed {
        true => &["zeros"],
        false => &["zeros", "reflect", "replicate", "circular"],
    };
    c.require(
        modes.contains(&mode),
        "padding_mode",
        format!(
            "'padding_mode' is one of {}, not '{mode}'",
            modes.join(", ")
        ),
    )?;
    let padding = padding(c, n, transposed, [&kernel, &stride, &dilation])?;
    let output_padding = match transposed {
        true => a.per_dimension("output_padding", n)?,
        false => vec![Dim::ZERO; n],
    };

    c.keep(&["in_channels", "out_channels"]);
    c.attribute("kernel_size", tuple(&kernel));
    c.attribute("stride", tuple(&stride));
    c.attribute("padding", padding.value);
    c.attribute("dilation", tuple(&dilation));
    c.attribute("transposed", transposed);
    c.attribute("output_padding", tuple(&output_padding));
    c.keep(&["groups", "padding_mode"]);
    if mode != "zeros" {
        c.attribute("_reversed_padding_repeated_twice", padding.around);
        c.attribute("_no_padding", tuple(&vec![Dim::ZERO; n]));
    }
    let (first, second) = if transposed {
        (&inputs, &outputs)
    } else {
        (&outputs, &inputs)
    };
    let mut shape = vec![first.clone(), second.floor_div(&groups)];
    shape.extend(kernel);
    c.parameter("weight", shape)?;
    c.optional_parameter(a.bool("bias")?, "bias", vec![outputs])
}

/// The attribute `padding`, and what `F.pad` is given when the padding is not zeros.
struct Padding {
    value: Value,
    around: Value,
}

fn padding(
    c: &Construct<'_>,
    n: usize,
    transposed: bool,
    [kernel, stride, dilation]: [&[Dim]; 3],
) -> Result<Padding> {
    let zero = Value::Int(Dim::ZERO);
    let Value::Str(text) = c.arguments.value("padding") else {
        let sizes = c.arguments.per_dimension("padding", n)?;
        let positive = sizes
            .iter()
            .all(|size| size.as_const().is_none_or(|size| size >= 0));
        c.require(positive, "padding", "'padding' must not be negative")?;
        let around = sizes
            .iter()
            .rev()
            .flat_map(|size| [size.clone(), size.clone()]);
        return Ok(Padding {
            around: Value::List(around.map(Value::Int).collect()),
            value: tuple(&sizes),
        });
    };
    c.require(
        matches!(text.as_str(), "same" | "valid") && !transposed,
        "padding",
        format!("'padding' is an integer, a tuple, 'same' or 'valid', not '{text}'"),
    )?;
    let mut around = vec![zero; 2 * n];
    if text == "same" {
        c.require(
            stride.iter().all(|stride| *stride == Dim::ONE),
            "padding",
            "padding='same' needs stride 1",
        )?;
        for (index, (kernel, dilation)) in kernel.iter().zip(dilation).enumerate() {
            let total = dilation * &(kernel - &Dim::ONE);
            let left = total.floor_div(&Dim::Const(2));
            let at = 2 * (n - 1 - index);
            around[at + 1] = Value::Int(&total - &left);
            around[at] = Value::Int(left);
        }
    }
    Ok(Padding {
        value: Value::Str(text.clone()),
        around: Value::List(around),
    })
}

fn forward_transpose1d(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    forward_transpose(t, module, args, 1, "F.conv_transpose1d")
}

fn forward_transpose2d(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    forward_transpose(t, module, args, 2, "F.conv_transpose2d")
}

fn forward_transpose3d(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    forward_transpose(t, module, args, 3, "F.conv_transpose3d")
}

fn forward_transpose(
    t: &mut Tracer,
    module: ModuleId,
    args: &Bound,
    n: usize,
    function: &str,
) -> Result<Value> {
    let output_padding = match args.value("output_size") {
        Value::None => t.get(module, "output_padding"),
        _ => output_padding(t, module, args, n)?,
    };
    let weight = t.held(module, "weight")?;
    let arguments = Arguments::of([
        args.value("input").clone(),
        weight,
        t.get(module, "bias"),
        t.get(module, "stride"),
        t.get(module, "padding"),
        output_padding,
        t.get(module, "groups"),
        t.get(module, "dilation"),
    ]);
    t.call_function(function, &arguments, None)
}

/// The output padding that gives the size that was asked for.
fn output_padding(t: &Tracer, module: ModuleId, args: &Bound, n: usize) -> Result<Value> {
    let input = t.shape(args.tensor("input")?);
    let mut wanted = args.ints("output_size")?;
    if wanted.len() > n {
        wanted.drain(..wanted.len() - n);
    }
    if wanted.len() != n || input.len() < n {
        return Err(args.error(
            "output_size",
            format!("{}: 'output_size' must have {n} elements", args.callee()),
        ));
    }
    let of = |name: &str| -> Vec<Dim> {
        let value = t.get(module, name);
        let items = value.items().unwrap_or_default();
        items.iter().filter_map(Value::int).collect()
    };
    let (stride, padding, kernel, dilation) = (
        of("stride"),
        of("padding"),
        of("kernel_size"),
        of("dilation"),
    );
    let mut out = Vec::with_capacity(n);
    for (index, size) in input[input.len() - n..].iter().enumerate() {
        let least = (size - &Dim::ONE) * &stride[index] - &padding[index] * 2
            + &dilation[index] * &(&kernel[index] - &Dim::ONE)
            + 1;
        let extra = &wanted[index] - &least;
        let most = &stride[index] - &Dim::ONE;
        let possible = match (extra.as_const(), most.as_const()) {
            (Some(extra), Some(most)) => (0..=most).contains(&extra),
            _ => true,
        };
        if !possible {
            return Err(TorchError::new(format!(
                "{}: an output of {} is not possible; from {least} to {}",
                args.callee(),
                wanted[index],
                least.clone() + most,
            )));
        }
        out.push(Value::Int(extra));
    }
    Ok(Value::List(out))
}
