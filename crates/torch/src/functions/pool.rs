//! Pooling, and the normalisation made of it.

use modelcost_core::dim::Dim;
use modelcost_core::value::Value;

use super::{Entry, F, TORCH, upsample};
use crate::bound::Bound;
use crate::error::Result;
use crate::signature::Arguments;
use crate::tracer::Tracer;

macro_rules! max_pool {
    ($name:literal, $doc:literal) => {
        Entry::line(
            F,
            concat!(
                $name,
                "(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, \
                 return_indices=False)"
            ),
            concat!(
                "aten.",
                $name,
                "_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode) \
                 if return_indices else aten.",
                $name,
                "(input, kernel_size, stride, padding, dilation, ceil_mode)"
            ),
            $doc,
        )
    };
}

macro_rules! adaptive_max_pool {
    ($name:literal, $doc:literal) => {
        Entry::line(
            F,
            concat!($name, "(input, output_size, return_indices=False)"),
            concat!(
                "aten.",
                $name,
                "(input, output_size) if return_indices else aten.",
                $name,
                "(input, output_size)[0]"
            ),
            $doc,
        )
    };
}

pub(super) static FUNCTIONS: [Entry; 18] = [
    max_pool!(
        "max_pool1d",
        "The largest value of each window of a sequence."
    ),
    max_pool!(
        "max_pool2d",
        "The largest value of each window of an image."
    ),
    max_pool!(
        "max_pool3d",
        "The largest value of each window of a volume."
    ),
    Entry::line(
        F.and(TORCH),
        "avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, \
         count_include_pad=True)",
        "aten.avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)",
        "The mean of each window of a sequence.",
    ),
    Entry::line(
        F,
        "avg_pool2d(input, kernel_size, stride=None, padding=0, ceil_mode=False, \
         count_include_pad=True, divisor_override=None)",
        "aten.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, \
         divisor_override)",
        "The mean of each window of an image.",
    ),
    Entry::line(
        F,
        "avg_pool3d(input, kernel_size, stride=None, padding=0, ceil_mode=False, \
         count_include_pad=True, divisor_override=None)",
        "aten.avg_pool3d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, \
         divisor_override)",
        "The mean of each window of a volume.",
    ),
    Entry::line(
        F.and(TORCH),
        "adaptive_avg_pool1d(input, output_size)",
        "aten.adaptive_avg_pool1d(input, output_size)",
        "Means over a sequence, as many as asked for.",
    ),
    Entry::code(
        F,
        "adaptive_avg_pool2d(input, output_size)",
        |t, args| adaptive_avg_pool(t, args, 2),
        "Means over an image, as many as asked for.",
    ),
    Entry::code(
        F,
        "adaptive_avg_pool3d(input, output_size)",
        |t, args| adaptive_avg_pool(t, args, 3),
        "Means over a volume, as many as asked for.",
    ),
    adaptive_max_pool!(
        "adaptive_max_pool1d",
        "Largest values over a sequence, as many as asked for."
    ),
    adaptive_max_pool!(
        "adaptive_max_pool2d",
        "Largest values over an image, as many as asked for."
    ),
    adaptive_max_pool!(
        "adaptive_max_pool3d",
        "Largest values over a volume, as many as asked for."
    ),
    Entry::code(
        F,
        "fractional_max_pool2d(input, kernel_size, output_size=None, output_ratio=None, \
         return_indices=False, _random_samples=None)",
        |t, args| fractional_max_pool(t, args, 2),
        "Max pooling to a given size by windows at random places.",
    ),
    Entry::code(
        F,
        "fractional_max_pool3d(input, kernel_size, output_size=None, output_ratio=None, \
         return_indices=False, _random_samples=None)",
        |t, args| fractional_max_pool(t, args, 3),
        "Max pooling to a given size by windows at random places.",
    ),
    Entry::code(
        F,
        "local_response_norm(input, size, alpha=0.0001, beta=0.75, k=1.0)",
        local_response_norm,
        "Divides each channel by the energy of the channels near it.",
    ),
    Entry::code(
        F,
        "lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False)",
        |t, args| lp_pool(t, args, 1),
        "The p-norm of each window of a sequence.",
    ),
    Entry::code(
        F,
        "lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False)",
        |t, args| lp_pool(t, args, 2),
        "The p-norm of each window of an image.",
    ),
    Entry::code(
        F,
        "lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False)",
        |t, args| lp_pool(t, args, 3),
        "The p-norm of each window of a volume.",
    ),
];

/// `None` in the output size keeps the input's, which is filled in before the operator is called.
fn adaptive_avg_pool(t: &mut Tracer, args: &Bound, n: usize) -> Result<Value> {
    let shape = t.shape(args.tensor("input")?);
    let wanted = args.value("output_size");
    let items = match wanted.items() {
        Some([one]) => vec![one.clone(); n],
        Some(items) => items.to_vec(),
        None => vec![wanted.clone(); n],
    };
    let last = shape.len().saturating_sub(items.len());
    let sizes = items
        .into_iter()
        .zip(&shape[last..])
        .map(|(item, size)| {
            if item.is_none() {
                Value::Int(size.clone())
            } else {
                item
            }
        })
        .collect();
    let arguments = Arguments::of([args.value("input").clone(), Value::List(sizes)]);
    t.call_operator(&format!("aten.adaptive_avg_pool{n}d"), &arguments)
}

fn fractional_max_pool(t: &mut Tracer, args: &Bound, n: usize) -> Result<Value> {
    let shape = t.shape(args.tensor("input")?);
    if shape.len() <= n {
        return Err(args.error(
            "input",
            format!("fractional_max_pool{n}d expects {} dimensions", n + 2),
        ));
    }
    let spatial = &shape[shape.len() - n..];
    let size = match args.value("output_size") {
        Value::None => {
            let ratio = args.value("output_ratio");
            let ratios = match ratio.items() {
                Some(items) => items.to_vec(),
                None => vec![ratio.clone(); n],
            };
            let sizes = upsample::resized(spatial, &Value::List(ratios));
            sizes.ok_or_else(|| {
                args.error(
                    "output_ratio",
                    format!("fractional_max_pool{n}d needs an output size or {n} ratios"),
                )
            })?
        }
        given => given.clone(),
    };
    let samples = match args.value("_random_samples") {
        Value::None => {
            let batch = match shape.len() - n {
                1 => Dim::ONE,
                _ => shape[0].clone(),
            };
            let channels = shape[shape.len() - n - 1].clone();
            let sizes = [batch, channels, Dim::from(n)].map(Value::Int);
            t.call_function("torch.rand", &Arguments::of(sizes), None)?
        }
        given => given.clone(),
    };
    let arguments = Arguments::of([
        args.value("input").clone(),
        args.value("kernel_size").clone(),
        size,
        samples,
    ]);
    let output = t.call_operator(&format!("aten.fractional_max_pool{n}d"), &arguments)?;
    match (args.bool("return_indices")?, output.items()) {
        (false, Some([values, _])) => Ok(values.clone()),
        _ => Ok(output),
    }
}

fn method(t: &mut Tracer, name: &str, arguments: impl IntoIterator<Item = Value>) -> Result<Value> {
    t.call_function(
        &format!("torch.Tensor.{name}"),
        &Arguments::of(arguments),
        None,
    )
}

fn local_response_norm(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let input = args.value("input").clone();
    let shape = t.shape(args.tensor("input")?);
    if shape.len() < 3 {
        return Err(args.error("input", "local_response_norm expects at least 3 dimensions"));
    }
    let size = args.positive("size")?;
    let two = Dim::Const(2);
    let (before, after) = (size.floor_div(&two), (&size - &Dim::ONE).floor_div(&two));
    let ints = |items: Vec<Dim>| Value::Tuple(items.into_iter().map(Value::Int).collect());
    let mut div = method(t, "mul", [input.clone(), input.clone()])?;
    if shape.len() == 3 {
        div = method(t, "unsqueeze", [div, 1.into()])?;
        let around = ints(vec![Dim::ZERO, Dim::ZERO, before, after]);
        div = t.call_function("F.pad", &Arguments::of([div, around]), None)?;
        let pool = Arguments::of([div, ints(vec![size, Dim::ONE])]).named("stride", 1);
        div = t.call_function("F.avg_pool2d", &pool, None)?;
        div = method(t, "squeeze", [div, 1.into()])?;
    } else {
        let five = [0, 9, 1, 2].map(|i| match i {
            9 => Value::from(1),
            i => Value::Int(shape[i].clone()),
        });
        let view = [div].into_iter().chain(five).chain([(-1).into()]);
        div = method(t, "view", view)?;
        let around = ints(vec![
            Dim::ZERO,
            Dim::ZERO,
            Dim::ZERO,
            Dim::ZERO,
            before,
            after,
        ]);
        div = t.call_function("F.pad", &Arguments::of([div, around]), None)?;
        let pool = Arguments::of([div, ints(vec![size, Dim::ONE, Dim::ONE])]).named("stride", 1);
        div = t.call_function("F.avg_pool3d", &pool, None)?;
        div = method(t, "squeeze", [div, 1.into()])?;
        div = method(t, "view", [div, ints(shape)])?;
    }
    div = method(t, "mul", [div, args.value("alpha").clone()])?;
    div = method(t, "add", [div, args.value("k").clone()])?;
    div = method(t, "pow", [div, args.value("beta").clone()])?;
    t.call_function("operator.truediv", &Arguments::of([input, div]), None)
}

/// As torch computes it: powers, means, and the root of the sums.
fn lp_pool(t: &mut Tracer, args: &Bound, n: usize) -> Result<Value> {
    let kernel = args.per_dimension("kernel_size", n)?;
    let norm = args.value("norm_type").clone();
    let power = method(t, "pow", [args.value("input").clone(), norm])?;
    let pool = Arguments::of([
        power,
        args.value("kernel_size").clone(),
        args.value("stride").clone(),
        0.into(),
        args.value("ceil_mode").clone(),
    ]);
    let mean = t.call_function(&format!("F.avg_pool{n}d"), &pool, None)?;
    let sign = t.call_function("torch.sign", &Arguments::of([mean.clone()]), None)?;
    let abs = t.call_function("torch.abs", &Arguments::of([mean]), None)?;
    let relu = t.call_function("F.relu", &Arguments::of([abs]), None)?;
    let product = t.call_function("operator.mul", &Arguments::of([sign, relu]), None)?;
    let sum = method(t, "mul", [product, Value::Int(Dim::product(&kernel))])?;
    let norm = args.float("norm_type")?;
    method(t, "pow", [sum, Value::Float(1.0 / norm)])
}
