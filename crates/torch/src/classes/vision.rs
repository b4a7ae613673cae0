//! torchvision's building blocks.

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::expr::{ExprKind, parse};
use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;

use super::attention::child;
use super::container::sequential;
use super::{Construct, Entry, From};
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::signature::{Arguments, literal};
use crate::tracer::Tracer;

const SEQUENTIAL: &[&str] = &["torch.nn.Sequential"];

macro_rules! conv_norm {
    ($name:literal, $n:literal, $norm:literal, $conv:literal, $doc:literal) => {
        Entry::new(
            concat!("torchvision.ops.misc.", $name),
            concat!(
                $name,
                "(in_channels, out_channels, kernel_size=3, stride=1, padding=None, groups=1, \
                 norm_layer=",
                $norm,
                ", activation_layer=torch.nn.ReLU, dilation=1, inplace=True, bias=None)"
            ),
            $doc,
        )
        .bases(&[
            "torchvision.ops.misc.ConvNormActivation",
            "torch.nn.Sequential",
        ])
        .infer(&[("in_channels", From::Channels($n))])
        .construct(|c| conv_norm_activation(c, $conv))
        .forward_code(sequential)
    };
}

pub(super) static CLASSES: [Entry; 9] = [
    conv_norm!(
        "Conv2dNormActivation",
        2,
        "torch.nn.BatchNorm2d",
        "Conv2d",
        "Convolution, norm and activation."
    ),
    conv_norm!(
        "Conv3dNormActivation",
        3,
        "torch.nn.BatchNorm3d",
        "Conv3d",
        "Convolution, norm and activation, for videos."
    ),
    Entry::new(
        "torchvision.ops.misc.SqueezeExcitation",
        "SqueezeExcitation(input_channels, squeeze_channels, activation=torch.nn.ReLU, \
         scale_activation=torch.nn.Sigmoid)",
        "Scales each channel by what all channels say.",
    )
    .infer(&[("input_channels", From::Channels(2))])
    .construct(squeeze_excitation)
    .forward_code(squeeze_excitation_forward),
    Entry::new(
        "torchvision.ops.misc.MLP",
        "MLP(in_channels, hidden_channels, norm_layer=None, activation_layer=torch.nn.ReLU, \
         inplace=None, bias=True, dropout=0.0)",
        "Linear layers with activations and dropout between.",
    )
    .bases(SEQUENTIAL)
    .infer(&[("in_channels", From::Last)])
    .construct(mlp)
    .forward_code(sequential),
    Entry::new(
        "torchvision.ops.misc.Permute",
        "Permute(dims)",
        "Dimensions in another order.",
    )
    .takes("forward(x)")
    .forward_line("torch.permute(x, self.dims)"),
    Entry::new(
        "torchvision.ops.misc.FrozenBatchNorm2d",
        "FrozenBatchNorm2d(num_features, eps=1e-05)",
        "BatchNorm2d with fixed statistics and no parameters.",
    )
    .infer(&[("num_features", From::Dim(1))])
    .construct(frozen_batch_norm)
    .takes("forward(x)")
    .forward_code(frozen_batch_norm_forward),
    Entry::new(
        "torchvision.ops.stochastic_depth.StochasticDepth",
        "StochasticDepth(p, mode)",
        "Drops whole residual branches in training; passes its input on otherwise.",
    )
    .forward_line("torchvision.ops.stochastic_depth(input, self.p, self.mode, False)"),
    Entry::new(
        "torchvision.ops.deform_conv.DeformConv2d",
        "DeformConv2d(in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, \
         groups=1, bias=True)",
        "Convolution whose taps are moved by learned offsets.",
    )
    .infer(&[("in_channels", From::Channels(2))])
    .construct(deform_conv)
    .takes("forward(input, offset, mask=None)")
    .forward_line(
        "torchvision.ops.deform_conv2d(input, offset, self.weight, self.bias, stride=self.stride, \
         padding=self.padding, dilation=self.dilation, mask=mask)",
    ),
    Entry::new(
        "torchvision.models.convnext.LayerNorm2d",
        "LayerNorm2d(normalized_shape, eps=1e-05, elementwise_affine=True, bias=True, device=None, \
         dtype=None)",
        "LayerNorm over the channels of an image.",
    )
    .bases(&["torch.nn.LayerNorm"])
    .infer(&[("normalized_shape", From::Dim(1))])
    .construct(super::norm::layer_norm)
    .takes("forward(x)")
    .forward_line(
        "F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, \
         self.eps).permute(0, 3, 1, 2)",
    ),
];

/// A class given as an argument: `BatchNorm2d`, or `partial(BatchNorm2d, eps=0.001)`.
struct Factory {
    class: SmolStr,
    arguments: Arguments,
}

impl Factory {
    fn read(a: &Bound, name: &str) -> Result<Option<Factory>> {
        let text = match a.value(name) {
            Value::None => return Ok(None),
            Value::Opaque(text) | Value::Str(text) => text,
            _ => return Err(a.error(name, format!("{}: '{name}' must be a class", a.callee()))),
        };
        let wrong = || {
            a.error(
                name,
                format!("{}: '{name}' must be a class, not {text}", a.callee()),
            )
        };
        let expr = parse(text).expr;
        if let Some(class) = expr.dotted_name() {
            return Ok(Some(Factory {
                class,
                arguments: Arguments::new(),
            }));
        }
        let ExprKind::Call(callee, given) = &expr.kind else {
            return Err(wrong());
        };
        let is_partial = callee
            .dotted_name()
            .is_some_and(|name| name.ends_with("partial"));
        let [first, rest @ ..] = given.as_slice() else {
            return Err(wrong());
        };
        let class = first
            .value
            .dotted_name()
            .filter(|_| is_partial)
            .ok_or_else(wrong)?;
        let mut arguments = Arguments::new();
        for argument in rest {
            let value = literal(&argument.value);
            match &argument.name {
                Some(name) => arguments.keyword.push((name.name.clone(), value)),
                None => arguments.positional.push(value),
            }
        }
        Ok(Some(Factory { class, arguments }))
    }

    fn with(&self, values: impl IntoIterator<Item = Value>) -> Arguments {
        let mut arguments = self.arguments.clone();
        arguments.positional.extend(values);
        arguments
    }
}

fn conv_norm_activation(c: &mut Construct<'_>, conv: &str) -> Result<()> {
    let a = c.arguments;
    let (norm, activation) = (
        Factory::read(a, "norm_layer")?,
        Factory::read(a, "activation_layer")?,
    );
    let bias = match a.value("bias") {
        Value::None => Value::Bool(norm.is_none()),
        given => given.clone(),
    };
    let padding = match a.value("padding") {
        Value::None => same_padding(a)?,
        given => given.clone(),
    };
    let names = ["in_channels", "out_channels", "kernel_size", "stride"];
    let arguments = Arguments::of(names.map(|name| a.value(name).clone()))
        .with(padding)
        .named("dilation", a.value("dilation").clone())
        .named("groups", a.value("groups").clone())
        .named("bias", bias);
    c.child("0", conv, arguments)?;
    let mut index = 1;
    if let Some(norm) = norm {
        let arguments = norm.with([a.value("out_channels").clone()]);
        c.child(index.to_string(), &norm.class, arguments)?;
        index += 1;
    }
    if let Some(activation) = activation {
        let arguments = in_place(a, activation.with([]));
        c.child(index.to_string(), &activation.class, arguments)?;
    }
    c.keep(&["out_channels"]);
    Ok(())
}

fn in_place(a: &Bound, arguments: Arguments) -> Arguments {
    match a.value("inplace") {
        Value::None => arguments,
        given => arguments.named("inplace", given.clone()),
    }
}

/// What keeps the size at stride 1, for an odd kernel.
fn same_padding(a: &Bound) -> Result<Value> {
    let (kernel, dilation) = (a.ints("kernel_size")?, a.ints("dilation")?);
    let n = kernel.len().max(dilation.len());
    let (kernel, dilation) = (
        a.per_dimension("kernel_size", n)?,
        a.per_dimension("dilation", n)?,
    );
    let amounts: Vec<Value> = kernel
        .iter()
        .zip(&dilation)
        .map(|(kernel, dilation)| {
            Value::Int((kernel - &Dim::ONE).floor_div(&Dim::Const(2)) * dilation)
        })
        .collect();
    Ok(match amounts.as_slice() {
        [one] => one.clone(),
        _ => Value::Tuple(amounts),
    })
}

fn squeeze_excitation(c: &mut Construct<'_>) -> Result<()> {
    let a = c.arguments;
    let (wide, narrow) = (
        a.value("input_channels").clone(),
        a.value("squeeze_channels").clone(),
    );
    let pool = Arguments::of([1.into()]);
    c.child("avgpool", "AdaptiveAvgPool2d", pool)?;
    c.child(
        "fc1",
        "Conv2d",
        Arguments::of([wide.clone(), narrow.clone(), 1.into()]),
    )?;
    c.child("fc2", "Conv2d", Arguments::of([narrow, wide, 1.into()]))?;
    for name in ["activation", "scale_activation"] {
        let Some(factory) = Factory::read(a, name)? else {
            return Err(a.error(name, format!("{}: '{name}' must be a class", a.callee())));
        };
        c.child(name, &factory.class, factory.with([]))?;
    }
    Ok(())
}

fn squeeze_excitation_forward(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    let input = args.value("input").clone();
    let mut scale = input.clone();
    for name in ["avgpool", "fc1", "activation", "fc2", "scale_activation"] {
        scale = child(t, module, name, scale)?;
    }
    t.call_function("operator.mul", &Arguments::of([scale, input]), None)
}

fn mlp(c: &mut Construct<'_>) -> Result<()> {
    let a = c.arguments;
    let (norm, activation) = (
        Factory::read(a, "norm_layer")?,
        Factory::read(a, "activation_layer")?,
    );
    let widths = a.ints("hidden_channels")?;
    let mut width = a.size("in_channels")?;
    let mut index = 0;
    let mut add = |c: &mut Construct<'_>, class: &str, arguments: Arguments| {
        let name = index.to_string();
        index += 1;
        c.child(name, class, arguments)
    };
    for (position, hidden) in widths.iter().enumerate() {
        let linear = Arguments::of([Value::Int(width), Value::Int(hidden.clone())]);
        add(c, "Linear", linear.named("bias", a.value("bias").clone()))?;
        if position + 1 < widths.len() {
            if let Some(norm) = &norm {
                add(c, &norm.class, norm.with([Value::Int(hidden.clone())]))?;
            }
            let Some(activation) = &activation else {
                return Err(a.error(
                    "activation_layer",
                    "MLP: 'activation_layer' must be a class",
                ));
            };
            add(c, &activation.class, in_place(a, activation.with([])))?;
        }
        add(
            c,
            "Dropout",
            in_place(a, Arguments::of([a.value("dropout").clone()])),
        )?;
        width = hidden.clone();
    }
    match widths.is_empty() {
        true => Err(TorchError::new(
            "MLP: 'hidden_channels' must hold at least one size",
        )),
        false => Ok(()),
    }
}

fn frozen_batch_norm(c: &mut Construct<'_>) -> Result<()> {
    let features = c.arguments.size("num_features")?;
    c.keep(&["eps"]);
    for name in ["weight", "bias", "running_mean", "running_var"] {
        c.buffer(name, vec![features.clone()], DType::Float32)?;
    }
    Ok(())
}

fn frozen_batch_norm_forward(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    let call = |t: &mut Tracer, name: &str, a: Value, b: Value| {
        t.call_function(name, &Arguments::of([a, b]), None)
    };
    let mut spread = Vec::new();
    for name in ["weight", "bias", "running_var", "running_mean"] {
        let shape = [1, -1, 1, 1].map(Value::from);
        let arguments = Arguments::of([t.get(module, name)].into_iter().chain(shape));
        spread.push(t.call_function("torch.Tensor.reshape", &arguments, None)?);
    }
    let [weight, bias, variance, mean]: [Value; 4] = spread.try_into().unwrap_or_default();
    let variance = call(t, "operator.add", variance, t.get(module, "eps"))?;
    let deviation = t.call_function("torch.Tensor.rsqrt", &Arguments::of([variance]), None)?;
    let scale = call(t, "operator.mul", weight, deviation)?;
    let moved = call(t, "operator.mul", mean, scale.clone())?;
    let bias = call(t, "operator.sub", bias, moved)?;
    let scaled = call(t, "operator.mul", args.value("x").clone(), scale)?;
    call(t, "operator.add", scaled, bias)
}

fn deform_conv(c: &mut Construct<'_>) -> Result<()> {
    let a = c.arguments;
    let (inputs, outputs) = (a.positive("in_channels")?, a.size("out_channels")?);
    let groups = a.positive("groups")?;
    for (name, channels) in [("in_channels", &inputs), ("out_channels", &outputs)] {
        c.require(
            channels.modulo(&groups).as_const().unwrap_or(0) == 0,
            "groups",
            format!("{name} ({channels}) must be divisible by groups ({groups})"),
        )?;
    }
    c.keep(&["in_channels", "out_channels"]);
    for name in ["kernel_size", "stride", "padding", "dilation"] {
        let pair = a
            .per_dimension(name, 2)?
            .into_iter()
            .map(Value::Int)
            .collect();
        c.attribute(name, Value::Tuple(pair));
    }
    c.keep(&["groups"]);
    let mut shape = vec![outputs.clone(), inputs.floor_div(&groups)];
    shape.extend(a.per_dimension("kernel_size", 2)?);
    c.parameter("weight", shape)?;
    c.optional_parameter(a.bool("bias")?, "bias", vec![outputs])
}
