//! Pooling and upsampling.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::conv::windows;
use super::{Entry, Op, row};
use crate::bound::number;
use crate::error::Result;
use crate::show;

macro_rules! max_pool {
    ($name:literal, $n:literal, $indices:literal) => {
        row(
            concat!(
                $name,
                "(self, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False)"
            ),
            |op| max_pool(op, $n, $indices),
        )
    };
}

macro_rules! adaptive {
    ($name:literal, $n:literal, $indices:literal) => {
        row(concat!($name, "(self, output_size)"), |op| {
            adaptive(op, $n, $indices)
        })
    };
}

macro_rules! upsample {
    ($name:literal, $n:literal) => {
        row(
            concat!($name, "(input, output_size, scale_factors)"),
            |op| upsample(op, $n),
        )
    };
    ($name:literal, $n:literal, aligned) => {
        row(
            concat!($name, "(input, output_size, align_corners, scale_factors)"),
            |op| upsample(op, $n),
        )
    };
}

pub(super) static OPERATORS: [Entry; 34] = [
    max_pool!("max_pool1d", 1, false),
    max_pool!("max_pool2d", 2, false),
    max_pool!("max_pool3d", 3, false),
    max_pool!("max_pool1d_with_indices", 1, true),
    max_pool!("max_pool2d_with_indices", 2, true),
    max_pool!("max_pool3d_with_indices", 3, true),
    row(
        "avg_pool1d(self, kernel_size, stride=(), padding=0, ceil_mode=False, \
         count_include_pad=True)",
        |op| avg_pool(op, 1),
    ),
    row(
        "avg_pool2d(self, kernel_size, stride=(), padding=0, ceil_mode=False, \
         count_include_pad=True, divisor_override=None)",
        |op| avg_pool(op, 2),
    ),
    row(
        "avg_pool3d(self, kernel_size, stride=(), padding=0, ceil_mode=False, \
         count_include_pad=True, divisor_override=None)",
        |op| avg_pool(op, 3),
    ),
    adaptive!("adaptive_avg_pool1d", 1, false),
    adaptive!("adaptive_avg_pool2d", 2, false),
    adaptive!("adaptive_avg_pool3d", 3, false),
    adaptive!("adaptive_max_pool1d", 1, true),
    adaptive!("adaptive_max_pool2d", 2, true),
    adaptive!("adaptive_max_pool3d", 3, true),
    row(
        "fractional_max_pool2d(self, kernel_size, output_size, random_samples)",
        |op| adaptive(op, 2, true),
    ),
    row(
        "fractional_max_pool3d(self, kernel_size, output_size, random_samples)",
        |op| adaptive(op, 3, true),
    ),
    row("max_unpool2d(self, indices, output_size)", |op| {
        adaptive(op, 2, false)
    }),
    row(
        "max_unpool3d(self, indices, output_size, stride, padding)",
        |op| adaptive(op, 3, false),
    ),
    upsample!("upsample_nearest1d", 1),
    upsample!("upsample_nearest2d", 2),
    upsample!("upsample_nearest3d", 3),
    upsample!("_upsample_nearest_exact1d", 1),
    upsample!("_upsample_nearest_exact2d", 2),
    upsample!("_upsample_nearest_exact3d", 3),
    upsample!("upsample_linear1d", 1, aligned),
    upsample!("upsample_bilinear2d", 2, aligned),
    upsample!("upsample_trilinear3d", 3, aligned),
    upsample!("upsample_bicubic2d", 2, aligned),
    upsample!("_upsample_bilinear2d_aa", 2, aligned),
    upsample!("_upsample_bicubic2d_aa", 2, aligned),
    upsample!("_upsample_lanczos2d_aa", 2, aligned),
    row(
        "grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)",
        grid_sampler,
    ),
    row(
        "affine_grid_generator(theta, size, align_corners)",
        affine_grid,
    ),
];

fn check_rank(op: &Op<'_>, input: &[Dim], n: usize) -> Result<()> {
    match input.len() == n + 1 || input.len() == n + 2 {
        true => Ok(()),
        false => Err(op.expected(
            format!(
                "an input of {} dimensions, or {} without a batch",
                n + 2,
                n + 1
            ),
            input,
        )),
    }
}

/// Output positions of a pooling window. With `ceil_mode` a last, partial window counts, but not
/// one that would start in the padding behind the input.
fn pooled(
    size: &Dim,
    kernel: &Dim,
    stride: &Dim,
    padding: &Dim,
    dilation: &Dim,
    ceil: bool,
) -> Dim {
    if !ceil {
        return windows(size, kernel, stride, padding, dilation);
    }
    let reach = dilation * &(kernel - &Dim::ONE) + 1;
    let count = (size + &(padding * 2) - reach).ceil_div(stride) + 1;
    Dim::minimum(&count, &(size + padding).ceil_div(stride))
}

fn pool(op: &mut Op<'_>, n: usize, dilation: &[Dim]) -> Result<Shape> {
    let input = op.shape("self")?;
    check_rank(op, &input, n)?;
    let kernel = op.args.per_dimension("kernel_size", n)?;
    let stride = match op.args.value("stride") {
        Value::None => kernel.clone(),
        value if value.items().is_some_and(<[Value]>::is_empty) => kernel.clone(),
        _ => op.args.per_dimension("stride", n)?,
    };
    let padding = op.args.per_dimension("padding", n)?;
    let ceil = op.args.bool("ceil_mode")?;
    let spatial = &input[input.len() - n..];
    let mut shape = input[..input.len() - n].to_vec();
    for i in 0..n {
        for (name, size) in [
            ("kernel", &kernel[i]),
            ("stride", &stride[i]),
            ("dilation", &dilation[i]),
        ] {
            if size.as_const().is_some_and(|size| size < 1) {
                return Err(op.error(format!("needs a positive {name}, not {size}")));
            }
        }
        let half = (&dilation[i] * &(&kernel[i] - &Dim::ONE) + 1).floor_div(&Dim::Const(2));
        if let (Some(padding), Some(half)) = (padding[i].as_const(), half.as_const())
            && (padding < 0 || padding > half)
        {
            return Err(op.error(format!(
                "allows a padding of at most half the kernel ({half}), not {padding}"
            )));
        }
        let size = pooled(
            &spatial[i],
            &kernel[i],
            &stride[i],
            &padding[i],
            &dilation[i],
            ceil,
        );
        if size.as_const().is_some_and(|size| size < 1) {
            return Err(op.error(format!(
                "has a kernel of {}, larger than the padded input of {}",
                show::shape(&kernel),
                show::shape(spatial)
            )));
        }
        shape.push(size);
    }
    Ok(shape)
}

fn with_indices(op: &mut Op<'_>, shape: Shape, indices: bool) -> Result<Value> {
    let output = op.like("self", shape.clone())?;
    if !indices {
        return Ok(output);
    }
    let indices = op.tensor(shape, DType::Int64)?;
    Ok(Value::Tuple(vec![output, indices]))
}

fn max_pool(op: &mut Op<'_>, n: usize, indices: bool) -> Result<Value> {
    let dilation = op.args.per_dimension("dilation", n)?;
    let shape = pool(op, n, &dilation)?;
    with_indices(op, shape, indices)
}

fn avg_pool(op: &mut Op<'_>, n: usize) -> Result<Value> {
    let shape = pool(op, n, &vec![Dim::ONE; n])?;
    op.like("self", shape)
}

/// Adaptive pooling: the output size is given, `None` keeps the input's.
fn adaptive(op: &mut Op<'_>, n: usize, indices: bool) -> Result<Value> {
    let input = op.shape("self")?;
    check_rank(op, &input, n)?;
    let spatial = &input[input.len() - n..];
    let mut shape = input[..input.len() - n].to_vec();
    let value = op.args.value("output_size");
    let items = match value.items() {
        Some([one]) => vec![one.clone(); n],
        Some(items) => items.to_vec(),
        None => vec![value.clone(); n],
    };
    if items.len() != n {
        return Err(op.error(format!(
            "needs an output size of {n} dimensions, not {}",
            items.len()
        )));
    }
    for (item, size) in items.iter().zip(spatial) {
        match (item, item.int()) {
            (Value::None, _) => shape.push(size.clone()),
            (_, Some(size)) => shape.push(size),
            _ => return Err(op.error("needs an output size of integers")),
        }
    }
    with_indices(op, shape, indices)
}

/// `floor(size * scale)` in double precision, as PyTorch computes it.
fn scaled(size: &Dim, scale: f64) -> Option<Dim> {
    if let Some(size) = size.as_const() {
        let product = (size as f64 * scale).floor();
        return (product.abs() < 9e15).then_some(Dim::Const(product as i128));
    }
    if scale.fract() == 0.0 && scale.abs() < 9e15 {
        return Some(size * scale as i128);
    }
    let inverse = 1.0 / scale;
    (inverse.fract() == 0.0 && inverse.abs() < 9e15)
        .then(|| size.floor_div(&Dim::Const(inverse as i128)))
}

fn upsample(op: &mut Op<'_>, n: usize) -> Result<Value> {
    let input = op.shape("input")?;
    if input.len() != n + 2 {
        return Err(op.expected(format!("an input of {} dimensions", n + 2), &input));
    }
    let spatial = &input[2..];
    let sizes: Vec<Dim> = match op.args.value("output_size") {
        Value::None => {
            let value = op.args.value("scale_factors").clone();
            let items = match value.items() {
                Some(items) => items.to_vec(),
                None => vec![value; n],
            };
            let sizes: Option<Vec<Dim>> = items
                .iter()
                .zip(spatial)
                .map(|(scale, size)| scaled(size, number(scale)?))
                .collect();
            match sizes.filter(|sizes| sizes.len() == n) {
                Some(sizes) => sizes,
                None => {
                    return Err(op.error(format!(
                        "cannot scale {} by {}",
                        show::shape(spatial),
                        show::plain(op.args.value("scale_factors"))
                    )));
                }
            }
        }
        _ => op.args.per_dimension("output_size", n)?,
    };
    if sizes
        .iter()
        .any(|size| size.as_const().is_some_and(|size| size < 1))
    {
        return Err(op.error(format!("would make an output of {}", show::shape(&sizes))));
    }
    let mut shape = input[..2].to_vec();
    shape.extend(sizes);
    op.like("input", shape)
}

fn grid_sampler(op: &mut Op<'_>) -> Result<Value> {
    let (input, grid) = (op.shape("input")?, op.shape("grid")?);
    if input.len() != grid.len() || !matches!(input.len(), 4 | 5) {
        return Err(op.expected("an input and a grid of 4 or 5 dimensions", &input));
    }
    let mut shape = input[..2].to_vec();
    shape.extend_from_slice(&grid[1..grid.len() - 1]);
    op.like("input", shape)
}

fn affine_grid(op: &mut Op<'_>) -> Result<Value> {
    let size = op.args.ints("size")?;
    if !matches!(size.len(), 4 | 5) {
        return Err(op.error("needs a size of 4 or 5 dimensions"));
    }
    let mut shape = vec![size[0].clone()];
    shape.extend_from_slice(&size[2..]);
    shape.push(Dim::from(size.len() - 2));
    op.like("theta", shape)
}
