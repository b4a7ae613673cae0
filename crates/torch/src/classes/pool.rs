//! Pooling and upsampling.

use modelcost_core::value::Value;

use super::{Construct, Entry};
use crate::error::Result;

macro_rules! max_pool {
    ($name:literal, $function:literal, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!(
                $name,
                "(kernel_size, stride=None, padding=0, dilation=1, return_indices=False, \
                 ceil_mode=False)"
            ),
            $doc,
        )
        .bases(&["torch.nn.modules.pooling._MaxPoolNd"])
        .construct(pool)
        .forward_line(concat!(
            $function,
            "(input, self.kernel_size, self.stride, self.padding, self.dilation, \
             ceil_mode=self.ceil_mode, return_indices=self.return_indices)"
        ))
    };
}

macro_rules! lp_pool {
    ($name:literal, $function:literal, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!(
                $name,
                "(norm_type, kernel_size, stride=None, ceil_mode=False)"
            ),
            $doc,
        )
        .bases(&["torch.nn.modules.pooling._LPPoolNd"])
        .forward_line(concat!(
            $function,
            "(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)"
        ))
    };
}

macro_rules! adaptive {
    ($name:literal, $function:literal, avg, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!($name, "(output_size)"),
            $doc,
        )
        .bases(&["torch.nn.modules.pooling._AdaptiveAvgPoolNd"])
        .forward_line(concat!($function, "(input, self.output_size)"))
    };
    ($name:literal, $function:literal, max, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!($name, "(output_size, return_indices=False)"),
            $doc,
        )
        .bases(&["torch.nn.modules.pooling._AdaptiveMaxPoolNd"])
        .forward_line(concat!(
            $function,
            "(input, self.output_size, self.return_indices)"
        ))
    };
}

macro_rules! unpool {
    ($name:literal, $n:literal, $function:literal, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!($name, "(kernel_size, stride=None, padding=0)"),
            $doc,
        )
        .bases(&["torch.nn.modules.pooling._MaxUnpoolNd"])
        .construct(|c| unpool(c, $n))
        .takes("forward(input, indices, output_size=None)")
        .forward_line(concat!(
            $function,
            "(input, indices, self.kernel_size, self.stride, self.padding, output_size)"
        ))
    };
}

pub(super) static CLASSES: [Entry; 20] = [
    max_pool!(
        "MaxPool1d",
        "F.max_pool1d",
        "The largest value of each window of a sequence."
    ),
    max_pool!(
        "MaxPool2d",
        "F.max_pool2d",
        "The largest value of each window of an image."
    ),
    max_pool!(
        "MaxPool3d",
        "F.max_pool3d",
        "The largest value of each window of a volume."
    ),
    Entry::new(
        "torch.nn.AvgPool1d",
        "AvgPool1d(kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True)",
        "The mean of each window of a sequence.",
    )
    .bases(&["torch.nn.modules.pooling._AvgPoolNd"])
    .construct(avg_pool1d)
    .forward_line(
        "F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, \
         self.count_include_pad)",
    ),
    Entry::new(
        "torch.nn.AvgPool2d",
        "AvgPool2d(kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, \
         divisor_override=None)",
        "The mean of each window of an image.",
    )
    .bases(&["torch.nn.modules.pooling._AvgPoolNd"])
    .construct(pool)
    .forward_line(
        "F.avg_pool2d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, \
         self.count_include_pad, self.divisor_override)",
    ),
    Entry::new(
        "torch.nn.AvgPool3d",
        "AvgPool3d(kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, \
         divisor_override=None)",
        "The mean of each window of a volume.",
    )
    .bases(&["torch.nn.modules.pooling._AvgPoolNd"])
    .construct(pool)
    .forward_line(
        "F.avg_pool3d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, \
         self.count_include_pad, self.divisor_override)",
    ),
    lp_pool!(
        "LPPool1d",
        "F.lp_pool1d",
        "The p-norm of each window of a sequence."
    ),
    lp_pool!(
        "LPPool2d",
        "F.lp_pool2d",
        "The p-norm of each window of an image."
    ),
    lp_pool!(
        "LPPool3d",
        "F.lp_pool3d",
        "The p-norm of each window of a volume."
    ),
    adaptive!(
        "AdaptiveAvgPool1d",
        "F.adaptive_avg_pool1d",
        avg,
        "Means over a sequence, as many as asked for."
    ),
    adaptive!(
        "AdaptiveAvgPool2d",
        "F.adaptive_avg_pool2d",
        avg,
        "Means over an image, as many as asked for."
    ),
    adaptive!(
        "AdaptiveAvgPool3d",
        "F.adaptive_avg_pool3d",
        avg,
        "Means over a volume, as many as asked for."
    ),
    adaptive!(
        "AdaptiveMaxPool1d",
        "F.adaptive_max_pool1d",
        max,
        "Largest values over a sequence, as many as asked for."
    ),
    adaptive!(
        "AdaptiveMaxPool2d",
        "F.adaptive_max_pool2d",
        max,
        "Largest values over an image, as many as asked for."
    ),
    adaptive!(
        "AdaptiveMaxPool3d",
        "F.adaptive_max_pool3d",
        max,
        "Largest values over a volume, as many as asked for."
    ),
    unpool!(
        "MaxUnpool1d",
        1,
        "F.max_unpool1d",
        "Puts the values of MaxPool1d back where they were."
    ),
    unpool!(
        "MaxUnpool2d",
        2,
        "F.max_unpool2d",
        "Puts the values of MaxPool2d back where they were."
    ),
    unpool!(
        "MaxUnpool3d",
        3,
        "F.max_unpool3d",
        "Puts the values of MaxPool3d back where they were."
    ),
    Entry::new(
        "torch.nn.FractionalMaxPool2d",
        "FractionalMaxPool2d(kernel_size, output_size=None, output_ratio=None, \
         return_indices=False, _random_samples=None)",
        "Max pooling to a given size by windows at random places.",
    )
    .construct(|c| fractional(c, 2))
    .forward_line(
        "F.fractional_max_pool2d(input, self.kernel_size, self.output_size, self.output_ratio, \
         self.return_indices, _random_samples=self._random_samples)",
    ),
    Entry::new(
        "torch.nn.FractionalMaxPool3d",
        "FractionalMaxPool3d(kernel_size, output_size=None, output_ratio=None, \
         return_indices=False, _random_samples=None)",
        "Max pooling to a given size by windows at random places.",
    )
    .construct(|c| fractional(c, 3))
    .forward_line(
        "F.fractional_max_pool3d(input, self.kernel_size, self.output_size, self.output_ratio, \
         self.return_indices, _random_samples=self._random_samples)",
    ),
];

/// The stride is the kernel unless it is given.
fn pool(c: &mut Construct<'_>) -> Result<()> {
    for argument in c.arguments.arguments().to_vec() {
        let value = match (argument.name.as_str(), &argument.value) {
            ("stride", Value::None) => c.arguments.value("kernel_size").clone(),
            _ => argument.value,
        };
        let module = &mut c.tracer.builder.trace_mut().modules[c.module.index()];
        module.attributes.push((argument.name, value));
    }
    Ok(())
}

/// `AvgPool1d` alone keeps tuples of one.
fn avg_pool1d(c: &mut Construct<'_>) -> Result<()> {
    let tuple = |value: &Value| match value {
        Value::Int(_) => Value::Tuple(vec![value.clone()]),
        other => other.clone(),
    };
    let kernel = c.arguments.value("kernel_size").clone();
    let stride = match c.arguments.value("stride") {
        Value::None => kernel.clone(),
        given => given.clone(),
    };
    let padding = tuple(c.arguments.value("padding"));
    c.attribute("kernel_size", tuple(&kernel));
    c.attribute("stride", tuple(&stride));
    c.attribute("padding", padding);
    c.keep(&["ceil_mode", "count_include_pad"]);
    Ok(())
}

/// One value for each dimension.
fn each(c: &Construct<'_>, name: &str, n: usize) -> Result<Value> {
    let sizes = c.arguments.per_dimension(name, n)?;
    Ok(Value::Tuple(sizes.into_iter().map(Value::Int).collect()))
}

fn unpool(c: &mut Construct<'_>, n: usize) -> Result<()> {
    let kernel = each(c, "kernel_size", n)?;
    let stride = match c.arguments.value("stride") {
        Value::None => kernel.clone(),
        _ => each(c, "stride", n)?,
    };
    let padding = each(c, "padding", n)?;
    c.attribute("kernel_size", kernel);
    c.attribute("stride", stride);
    c.attribute("padding", padding);
    Ok(())
}

fn fractional(c: &mut Construct<'_>, n: usize) -> Result<()> {
    let a = c.arguments;
    c.require(
        a.value("output_size").is_none() != a.value("output_ratio").is_none(),
        "output_size",
        "either 'output_size' or 'output_ratio' must be given",
    )?;
    let kernel = each(c, "kernel_size", n)?;
    let size = match a.value("output_size") {
        Value::None => Value::None,
        // PyTorch keeps a tuple of three for volumes, and for images what was given.
        given if n == 2 => given.clone(),
        _ => each(c, "output_size", n)?,
    };
    c.attribute("kernel_size", kernel);
    c.keep(&["return_indices"]);
    c.attribute("output_size", size);
    c.keep(&["output_ratio", "_random_samples"]);
    Ok(())
}
