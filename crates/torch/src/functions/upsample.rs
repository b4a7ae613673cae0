//! Resizing and sampling.

use modelcost_core::dim::Dim;
use modelcost_core::value::Value;

use super::{Entry, F};
use crate::bound::{Bound, number};
use crate::error::{Result, TorchError};
use crate::show;
use crate::signature::Arguments;
use crate::tracer::Tracer;

pub(super) static FUNCTIONS: [Entry; 9] = [
    Entry::code(
        F,
        "interpolate(input, size=None, scale_factor=None, mode='nearest', align_corners=None, \
         recompute_scale_factor=None, antialias=False)",
        interpolate,
        "Resizes to a size or by a factor.",
    ),
    Entry::line(
        F,
        "upsample(input, size=None, scale_factor=None, mode='nearest', align_corners=None)",
        "F.interpolate(input, size, scale_factor, mode, align_corners)",
        "The old name of interpolate.",
    ),
    Entry::line(
        F,
        "upsample_nearest(input, size=None, scale_factor=None)",
        "F.interpolate(input, size, scale_factor, mode='nearest')",
        "interpolate to the nearest neighbour.",
    ),
    Entry::line(
        F,
        "upsample_bilinear(input, size=None, scale_factor=None)",
        "F.interpolate(input, size, scale_factor, mode='bilinear', align_corners=True)",
        "interpolate between four neighbours.",
    ),
    Entry::line(
        F,
        "grid_sample(input, grid, mode='bilinear', padding_mode='zeros', align_corners=None)",
        "aten.grid_sampler(input, grid, 0, 0, align_corners)",
        "Samples an image at given places.",
    ),
    Entry::line(
        F,
        "affine_grid(theta, size, align_corners=None)",
        "aten.affine_grid_generator(theta, size, align_corners)",
        "The places of an affine map, for grid_sample.",
    ),
    Entry::code(
        F,
        "max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None)",
        |t, args| unpool(t, args, 1),
        "Puts the values of max_pool1d back where they were.",
    ),
    Entry::code(
        F,
        "max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None)",
        |t, args| unpool(t, args, 2),
        "Puts the values of max_pool2d back where they were.",
    ),
    Entry::code(
        F,
        "max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None)",
        |t, args| unpool(t, args, 3),
        "Puts the values of max_pool3d back where they were.",
    ),
];

/// What each mode calls for 1, 2 and 3 spatial dimensions, and whether corners can be aligned.
const MODES: [(&str, [&str; 3], bool); 7] = [
    (
        "nearest",
        [
            "aten.upsample_nearest1d",
            "aten.upsample_nearest2d",
            "aten.upsample_nearest3d",
        ],
        false,
    ),
    (
        "nearest-exact",
        [
            "aten._upsample_nearest_exact1d",
            "aten._upsample_nearest_exact2d",
            "aten._upsample_nearest_exact3d",
        ],
        false,
    ),
    (
        "area",
        [
            "F.adaptive_avg_pool1d",
            "F.adaptive_avg_pool2d",
            "F.adaptive_avg_pool3d",
        ],
        false,
    ),
    ("linear", ["aten.upsample_linear1d", "", ""], true),
    ("bilinear", ["", "aten.upsample_bilinear2d", ""], true),
    ("bicubic", ["", "aten.upsample_bicubic2d", ""], true),
    ("trilinear", ["", "", "aten.upsample_trilinear3d"], true),
];

fn interpolate(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let shape = t.shape(args.tensor("input")?);
    let n = shape.len().wrapping_sub(2);
    let mode = args.str("mode")?;
    let known = MODES.iter().find(|(name, ..)| *name == mode);
    let Some((_, operators, aligned)) = known else {
        let modes: Vec<&str> = MODES.iter().map(|(name, ..)| *name).collect();
        return Err(args.error(
            "mode",
            format!(
                "interpolate: 'mode' is one of {}, not '{mode}'",
                modes.join(", ")
            ),
        ));
    };
    let operator = match n {
        1..=3 => operators[n - 1],
        _ => "",
    };
    if operator.is_empty() {
        return Err(TorchError::new(format!(
            "interpolate in mode '{mode}' cannot resize an input of {}",
            show::shape(&shape)
        )));
    }
    let (mut size, mut scale) = (Value::None, Value::None);
    match (args.value("size"), args.value("scale_factor")) {
        (Value::None, Value::None) => {
            return Err(TorchError::new(
                "interpolate needs 'size' or 'scale_factor'",
            ));
        }
        (Value::None, factor) => scale = Value::List(each(factor, n)),
        (wanted, Value::None) => size = Value::List(each(wanted, n)),
        _ => {
            return Err(TorchError::new(
                "interpolate takes 'size' or 'scale_factor', not both",
            ));
        }
    }
    let recompute = args.bool("recompute_scale_factor")? || mode == "area";
    if recompute && size.is_none() {
        size = resized(&shape[2..], &scale).ok_or_else(|| {
            args.error(
                "scale_factor",
                "interpolate: 'scale_factor' must be a number for each dimension",
            )
        })?;
        scale = Value::None;
    }
    let input = args.value("input").clone();
    if mode == "area" {
        return t.call_function(operator, &Arguments::of([input, size]), None);
    }
    let mut arguments = Arguments::of([input, size]);
    if *aligned {
        let corners = args.bool("align_corners")?;
        arguments = arguments.with(corners);
    }
    let smooth = args.bool("antialias")?;
    let operator = match (smooth, operator) {
        (true, "aten.upsample_bilinear2d") => "aten._upsample_bilinear2d_aa",
        (true, "aten.upsample_bicubic2d") => "aten._upsample_bicubic2d_aa",
        (true, _) => {
            return Err(args.error(
                "antialias",
                "interpolate: 'antialias' needs mode bilinear or bicubic",
            ));
        }
        (false, operator) => operator,
    };
    t.call_operator(operator, &arguments.with(scale))
}

/// One value for each dimension: a single one stands for all.
fn each(value: &Value, n: usize) -> Vec<Value> {
    match value.items() {
        Some(items) => items.to_vec(),
        None => vec![value.clone(); n],
    }
}

/// Sizes times factors, rounded down.
pub(super) fn resized(spatial: &[Dim], scale: &Value) -> Option<Value> {
    let factors = scale.items().filter(|items| items.len() == spatial.len())?;
    let sizes: Option<Vec<Value>> = spatial
        .iter()
        .zip(factors)
        .map(|(size, factor)| {
            let factor = number(factor)?;
            let size = match size.as_const() {
                Some(size) => {
                    let scaled = (size as f64 * factor).floor();
                    (scaled.abs() < 9e15).then_some(Dim::Const(scaled as i128))?
                }
                None if factor.fract() == 0.0 && factor.abs() < 9e15 => size * factor as i128,
                None => return None,
            };
            Some(Value::Int(size))
        })
        .collect();
    sizes.map(Value::List)
}

fn unpool(t: &mut Tracer, args: &Bound, n: usize) -> Result<Value> {
    let shape = t.shape(args.tensor("input")?);
    if shape.len() < n {
        return Err(TorchError::new(format!(
            "max_unpool{n}d expects at least {n} dimensions"
        )));
    }
    let kernel = args.per_dimension("kernel_size", n)?;
    let stride = match args.value("stride") {
        Value::None => kernel.clone(),
        _ => args.per_dimension("stride", n)?,
    };
    let padding = args.per_dimension("padding", n)?;
    let mut size = match args.value("output_size") {
        Value::None => shape[shape.len() - n..]
            .iter()
            .enumerate()
            .map(|(i, size)| (size - &Dim::ONE) * &stride[i] + &kernel[i] - &padding[i] * 2)
            .collect(),
        _ => {
            let mut given = args.ints("output_size")?;
            given.drain(..given.len().saturating_sub(n));
            given
        }
    };
    let (mut input, mut indices) = (args.value("input").clone(), args.value("indices").clone());
    let unsqueeze = |t: &mut Tracer, tensor: Value| {
        t.call_function(
            "torch.Tensor.unsqueeze",
            &Arguments::of([tensor, (-1).into()]),
            None,
        )
    };
    if n == 1 {
        size.push(Dim::ONE);
        input = unsqueeze(t, input)?;
        indices = unsqueeze(t, indices)?;
    }
    let ints = |dims: &[Dim]| Value::List(dims.iter().cloned().map(Value::Int).collect());
    let mut arguments = Arguments::of([input, indices, ints(&size)]);
    if n == 3 {
        arguments = arguments.with(ints(&stride)).with(ints(&padding));
    }
    let output = t.call_operator(&format!("aten.max_unpool{}d", n.max(2)), &arguments)?;
    match n {
        1 => t.call_function(
            "torch.Tensor.squeeze",
            &Arguments::of([output, (-1).into()]),
            None,
        ),
        _ => Ok(output),
    }
}
