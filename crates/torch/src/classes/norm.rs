//! Normalisation layers.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;

use super::{Construct, Entry, From};
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::show;
use crate::signature::Arguments;
use crate::tracer::Tracer;

const BATCH_NORM: &[&str] = &[
    "torch.nn.modules.batchnorm._BatchNorm",
    "torch.nn.modules.batchnorm._NormBase",
];
const INSTANCE_NORM: &[&str] = &[
    "torch.nn.modules.instancenorm._InstanceNorm",
    "torch.nn.modules.batchnorm._NormBase",
];

macro_rules! batch_norm {
    ($name:literal, $extra:literal, $forward:ident, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!(
                $name,
                "(num_features, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, ",
                $extra,
                "device=None, dtype=None, *, bias=True)"
            ),
            $doc,
        )
        .bases(BATCH_NORM)
        .infer(&[("num_features", From::Dim(1))])
        .construct(running)
        .forward_code($forward)
    };
}

macro_rules! instance_norm {
    ($name:literal, $n:literal, $forward:ident, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!(
                $name,
                "(num_features, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False, \
                 device=None, dtype=None, *, bias=True)"
            ),
            $doc,
        )
        .bases(INSTANCE_NORM)
        .infer(&[("num_features", From::Channels($n))])
        .construct(running)
        .forward_code($forward)
    };
}

macro_rules! lazy {
    ($name:literal, $becomes:literal, $from:expr) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!(
                $name,
                "(eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, device=None, \
                 dtype=None, *, bias=True)"
            ),
            concat!(
                "A ",
                $becomes,
                " that takes num_features from its first input."
            ),
        )
        .bases(&[concat!("torch.nn.", $becomes)])
        .infer(&[("num_features", $from)])
        .becomes(concat!("torch.nn.", $becomes))
    };
}

pub(super) static CLASSES: [Entry; 18] = [
    batch_norm!(
        "BatchNorm1d",
        "",
        batch_norm1d,
        "Normalises each channel of a sequence, or each feature, over the batch."
    ),
    batch_norm!(
        "BatchNorm2d",
        "",
        batch_norm2d,
        "Normalises each channel of images over the batch."
    ),
    batch_norm!(
        "BatchNorm3d",
        "",
        batch_norm3d,
        "Normalises each channel of volumes over the batch."
    ),
    batch_norm!(
        "SyncBatchNorm",
        "process_group=None, ",
        sync_batch_norm,
        "BatchNorm whose statistics are taken over all processes."
    )
    .construct(|c| {
        running(c)?;
        c.keep(&["process_group"]);
        Ok(())
    }),
    lazy!("LazyBatchNorm1d", "BatchNorm1d", From::Dim(1)),
    lazy!("LazyBatchNorm2d", "BatchNorm2d", From::Dim(1)),
    lazy!("LazyBatchNorm3d", "BatchNorm3d", From::Dim(1)),
    instance_norm!(
        "InstanceNorm1d",
        1,
        instance_norm1d,
        "Normalises each channel of each sequence by itself."
    ),
    instance_norm!(
        "InstanceNorm2d",
        2,
        instance_norm2d,
        "Normalises each channel of each image by itself."
    ),
    instance_norm!(
        "InstanceNorm3d",
        3,
        instance_norm3d,
        "Normalises each channel of each volume by itself."
    ),
    lazy!("LazyInstanceNorm1d", "InstanceNorm1d", From::Channels(1)),
    lazy!("LazyInstanceNorm2d", "InstanceNorm2d", From::Channels(2)),
    lazy!("LazyInstanceNorm3d", "InstanceNorm3d", From::Channels(3)),
    Entry::new(
        "torch.nn.LayerNorm",
        "LayerNorm(normalized_shape, eps=1e-05, elementwise_affine=True, bias=True, device=None, \
         dtype=None)",
        "Normalises over the last dimensions.",
    )
    .infer(&[("normalized_shape", From::Last)])
    .construct(layer_norm)
    .forward_line("F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)"),
    Entry::new(
        "torch.nn.RMSNorm",
        "RMSNorm(normalized_shape, eps=None, elementwise_affine=True, device=None, dtype=None)",
        "Divides by the root mean square over the last dimensions.",
    )
    .infer(&[("normalized_shape", From::Last)])
    .construct(rms_norm)
    .takes("forward(x)")
    .forward_line("F.rms_norm(x, self.normalized_shape, self.weight, self.eps)"),
    Entry::new(
        "torch.nn.GroupNorm",
        "GroupNorm(num_groups, num_channels, eps=1e-05, affine=True, device=None, dtype=None, *, \
         bias=True)",
        "Normalises groups of channels of each input by themselves.",
    )
    .infer(&[("num_channels", From::Dim(1))])
    .construct(group_norm)
    .forward_line("F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)"),
    Entry::new(
        "torch.nn.LocalResponseNorm",
        "LocalResponseNorm(size, alpha=0.0001, beta=0.75, k=1.0)",
        "Divides each channel by the energy of the channels near it.",
    )
    .forward_line("F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)"),
    Entry::new(
        "torch.nn.CrossMapLRN2d",
        "CrossMapLRN2d(size, alpha=0.0001, beta=0.75, k=1)",
        "Local response normalisation in the form of older models.",
    ),
];

/// BatchNorm and InstanceNorm: affine parameters and running statistics.
fn running(c: &mut Construct<'_>) -> Result<()> {
    let a = c.arguments;
    let features = a.size("num_features")?;
    c.keep(&[
        "num_features",
        "eps",
        "momentum",
        "affine",
        "track_running_stats",
    ]);
    let (affine, bias) = (a.bool("affine")?, a.bool("bias")?);
    c.optional_parameter(affine, "weight", vec![features.clone()])?;
    c.optional_parameter(affine && bias, "bias", vec![features.clone()])?;
    if a.bool("track_running_stats")? {
        let dtype = c.dtype();
        c.buffer("running_mean", vec![features.clone()], dtype)?;
        c.buffer("running_var", vec![features], dtype)?;
        c.buffer("num_batches_tracked", Vec::new(), DType::Int64)?;
    }
    Ok(())
}

/// `normalized_shape` as a tuple, and the shape of the parameters.
fn normalized_shape(c: &mut Construct<'_>) -> Result<Vec<Dim>> {
    let shape = c.arguments.ints("normalized_shape")?;
    let known = shape
        .iter()
        .all(|dim| dim.as_const().is_none_or(|size| size >= 0));
    c.require(
        known && !shape.is_empty(),
        "normalized_shape",
        "'normalized_shape' must hold at least one size, none of them negative",
    )?;
    c.attribute(
        "normalized_shape",
        Value::Tuple(shape.iter().cloned().map(Value::Int).collect()),
    );
    c.keep(&["eps", "elementwise_affine"]);
    Ok(shape)
}

pub(super) fn layer_norm(c: &mut Construct<'_>) -> Result<()> {
    let shape = normalized_shape(c)?;
    let (affine, bias) = (
        c.arguments.bool("elementwise_affine")?,
        c.arguments.bool("bias")?,
    );
    c.optional_parameter(affine, "weight", shape.clone())?;
    c.optional_parameter(affine && bias, "bias", shape)
}

fn rms_norm(c: &mut Construct<'_>) -> Result<()> {
    let shape = normalized_shape(c)?;
    let affine = c.arguments.bool("elementwise_affine")?;
    c.optional_parameter(affine, "weight", shape)
}

fn group_norm(c: &mut Construct<'_>) -> Result<()> {
    let a = c.arguments;
    let (groups, channels) = (a.positive("num_groups")?, a.size("num_channels")?);
    c.require(
        channels.modulo(&groups).as_const().unwrap_or(0) == 0,
        "num_channels",
        format!("num_channels ({channels}) must be divisible by num_groups ({groups})"),
    )?;
    c.keep(&["num_groups", "num_channels", "eps", "affine"]);
    let (affine, bias) = (a.bool("affine")?, a.bool("bias")?);
    c.optional_parameter(affine, "weight", vec![channels.clone()])?;
    c.optional_parameter(affine && bias, "bias", vec![channels])
}

/// Refuses an input with the wrong number of dimensions.
fn check_rank(t: &Tracer, args: &Bound, ranks: &[usize]) -> Result<()> {
    let shape = t.shape(args.tensor("input")?);
    if ranks.contains(&shape.len()) {
        return Ok(());
    }
    let ranks: Vec<String> = ranks.iter().map(usize::to_string).collect();
    Err(TorchError::new(format!(
        "{} expects an input of {} dimensions, but it is {}",
        args.callee(),
        ranks.join(" or "),
        show::shape(&shape)
    )))
}

fn batch_norm1d(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    check_rank(t, args, &[2, 3])?;
    batch_norm(t, module, args)
}

fn batch_norm2d(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    check_rank(t, args, &[4])?;
    batch_norm(t, module, args)
}

fn batch_norm3d(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    check_rank(t, args, &[5])?;
    batch_norm(t, module, args)
}

fn sync_batch_norm(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    let rank = t.shape(args.tensor("input")?).len();
    check_rank(t, args, &[rank.max(2)])?;
    batch_norm(t, module, args)
}

fn batch_norm(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    let momentum = match t.get(module, "momentum") {
        Value::None => Value::Float(0.0),
        given => given,
    };
    let mean = t.get(module, "running_mean");
    let arguments = Arguments::of([
        args.value("input").clone(),
        mean.clone(),
        t.get(module, "running_var"),
        t.get(module, "weight"),
        t.get(module, "bias"),
        Value::Bool(mean.is_none()),
        momentum,
        t.get(module, "eps"),
    ]);
    t.call_function("F.batch_norm", &arguments, None)
}

fn instance_norm1d(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    check_rank(t, args, &[2, 3])?;
    instance_norm(t, module, args, 2)
}

fn instance_norm2d(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    check_rank(t, args, &[3, 4])?;
    instance_norm(t, module, args, 3)
}

fn instance_norm3d(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    check_rank(t, args, &[4, 5])?;
    instance_norm(t, module, args, 4)
}

/// An input without a batch, of `unbatched` dimensions, gets one and loses it again.
fn instance_norm(
    t: &mut Tracer,
    module: ModuleId,
    args: &Bound,
    unbatched: usize,
) -> Result<Value> {
    let mut input = args.value("input").clone();
    let alone = t.shape(args.tensor("input")?).len() == unbatched;
    if alone {
        let arguments = Arguments::of([input, 0.into()]);
        input = t.call_function("torch.Tensor.unsqueeze", &arguments, None)?;
    }
    let momentum = match t.get(module, "momentum") {
        Value::None => Value::Float(0.0),
        given => given,
    };
    let tracked = matches!(t.get(module, "track_running_stats"), Value::Bool(true));
    let arguments = Arguments::of([
        input,
        t.get(module, "running_mean"),
        t.get(module, "running_var"),
        t.get(module, "weight"),
        t.get(module, "bias"),
        Value::Bool(!tracked),
        momentum,
        t.get(module, "eps"),
    ]);
    let output = t.call_function("F.instance_norm", &arguments, None)?;
    if !alone {
        return Ok(output);
    }
    t.call_function(
        "torch.Tensor.squeeze",
        &Arguments::of([output, 0.into()]),
        None,
    )
}
