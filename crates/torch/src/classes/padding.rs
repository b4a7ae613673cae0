//! Padding and resizing modules, and distances.

use modelcost_core::value::Value;

use super::{Construct, Entry};
use crate::bound::number;
use crate::error::Result;

macro_rules! pad {
    ($name:literal, $base:literal, $n:literal, $mode:literal, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!($name, "(padding)"),
            $doc,
        )
        .bases(&[concat!("torch.nn.modules.padding.", $base)])
        .construct(|c| padding(c, 2 * $n))
        .forward_line(concat!("F.pad(input, self.padding, '", $mode, "')"))
    };
}

macro_rules! constant {
    ($name:literal, $n:literal, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!($name, "(padding, value)"),
            $doc,
        )
        .bases(&["torch.nn.modules.padding._ConstantPadNd"])
        .construct(|c| {
            padding(c, 2 * $n)?;
            c.keep(&["value"]);
            Ok(())
        })
        .forward_line("F.pad(input, self.padding, 'constant', self.value)")
    };
}

macro_rules! zero {
    ($name:literal, $base:literal, $n:literal, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!($name, "(padding)"),
            $doc,
        )
        .bases(&[
            concat!("torch.nn.", $base),
            "torch.nn.modules.padding._ConstantPadNd",
        ])
        .construct(|c| {
            padding(c, 2 * $n)?;
            c.attribute("value", 0.0);
            Ok(())
        })
        .forward_line("F.pad(input, self.padding, 'constant', self.value)")
    };
}

const UPSAMPLE: &str = "F.interpolate(input, self.size, self.scale_factor, self.mode, \
     self.align_corners, recompute_scale_factor=self.recompute_scale_factor)";

pub(super) static CLASSES: [Entry; 20] = [
    zero!(
        "ZeroPad1d",
        "ConstantPad1d",
        1,
        "Zeros before and after a sequence."
    ),
    zero!("ZeroPad2d", "ConstantPad2d", 2, "Zeros around an image."),
    zero!("ZeroPad3d", "ConstantPad3d", 3, "Zeros around a volume."),
    constant!("ConstantPad1d", 1, "A value before and after a sequence."),
    constant!("ConstantPad2d", 2, "A value around an image."),
    constant!("ConstantPad3d", 3, "A value around a volume."),
    pad!(
        "ReflectionPad1d",
        "_ReflectionPadNd",
        1,
        "reflect",
        "A sequence mirrored at its ends."
    ),
    pad!(
        "ReflectionPad2d",
        "_ReflectionPadNd",
        2,
        "reflect",
        "An image mirrored at its edges."
    ),
    pad!(
        "ReflectionPad3d",
        "_ReflectionPadNd",
        3,
        "reflect",
        "A volume mirrored at its faces."
    ),
    pad!(
        "ReplicationPad1d",
        "_ReplicationPadNd",
        1,
        "replicate",
        "The ends of a sequence repeated."
    ),
    pad!(
        "ReplicationPad2d",
        "_ReplicationPadNd",
        2,
        "replicate",
        "The edges of an image repeated."
    ),
    pad!(
        "ReplicationPad3d",
        "_ReplicationPadNd",
        3,
        "replicate",
        "The faces of a volume repeated."
    ),
    pad!(
        "CircularPad1d",
        "_CircularPadNd",
        1,
        "circular",
        "A sequence wrapped around."
    ),
    pad!(
        "CircularPad2d",
        "_CircularPadNd",
        2,
        "circular",
        "An image wrapped around."
    ),
    pad!(
        "CircularPad3d",
        "_CircularPadNd",
        3,
        "circular",
        "A volume wrapped around."
    ),
    Entry::new(
        "torch.nn.Upsample",
        "Upsample(size=None, scale_factor=None, mode='nearest', align_corners=None, \
         recompute_scale_factor=None)",
        "Resizes to a size or by a factor.",
    )
    .construct(|c| {
        let mode = c.arguments.value("mode").clone();
        let corners = c.arguments.value("align_corners").clone();
        upsample(c, mode, corners)
    })
    .forward_line(UPSAMPLE),
    Entry::new(
        "torch.nn.UpsamplingNearest2d",
        "UpsamplingNearest2d(size=None, scale_factor=None)",
        "Resizes an image to the nearest neighbour.",
    )
    .bases(&["torch.nn.Upsample"])
    .construct(|c| upsample(c, "nearest".into(), Value::None))
    .forward_line(UPSAMPLE),
    Entry::new(
        "torch.nn.UpsamplingBilinear2d",
        "UpsamplingBilinear2d(size=None, scale_factor=None)",
        "Resizes an image between four neighbours.",
    )
    .bases(&["torch.nn.Upsample"])
    .construct(|c| upsample(c, "bilinear".into(), true.into()))
    .forward_line(UPSAMPLE),
    Entry::new(
        "torch.nn.CosineSimilarity",
        "CosineSimilarity(dim=1, eps=1e-08)",
        "The cosine of the angle between vectors.",
    )
    .takes("forward(x1, x2)")
    .forward_line("F.cosine_similarity(x1, x2, self.dim, self.eps)"),
    Entry::new(
        "torch.nn.PairwiseDistance",
        "PairwiseDistance(p=2.0, eps=1e-06, keepdim=False)",
        "The distance between vectors.",
    )
    .construct(|c| {
        c.attribute("norm", c.arguments.value("p").clone());
        c.keep(&["eps", "keepdim"]);
        Ok(())
    })
    .takes("forward(x1, x2)")
    .forward_line("F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)"),
];

/// Amounts for both ends of each dimension; one stands for all.
fn padding(c: &mut Construct<'_>, count: usize) -> Result<()> {
    let amounts = c.arguments.per_dimension("padding", count)?;
    let amounts = amounts.into_iter().map(Value::Int).collect();
    c.attribute("padding", Value::Tuple(amounts));
    Ok(())
}

/// The factor is kept as a float, as PyTorch keeps it.
fn upsample(c: &mut Construct<'_>, mode: Value, corners: Value) -> Result<()> {
    let float = |value: &Value| match number(value) {
        Some(number) => Value::Float(number),
        None => value.clone(),
    };
    let factor = match c.arguments.value("scale_factor") {
        Value::Tuple(items) => Value::Tuple(items.iter().map(float).collect()),
        other => float(other),
    };
    let name = c.arguments.callee().to_string();
    c.attribute("name", name.as_str());
    c.keep(&["size"]);
    c.attribute("scale_factor", factor);
    c.attribute("mode", mode);
    c.attribute("align_corners", corners);
    c.keep(&["recompute_scale_factor"]);
    Ok(())
}
