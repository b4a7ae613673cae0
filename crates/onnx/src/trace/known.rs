//! Classes of well-known libraries that a file no longer names.

use modelcost_core::dim::Dim;

use super::dynamo::{CLASSES, Group, SCOPES};
use super::fx_text;

/// torchvision's video ResNets build the convolutions of a block from classes of their own.
const VIDEO_BLOCKS: &[&str] = &[
    "torchvision.models.video.resnet.BasicBlock",
    "torchvision.models.video.resnet.Bottleneck",
];

/// The class of a convolution that was fused with the BatchNorm of a group, where the modules
/// around it tell (torchvision 0.20 to 0.29).
pub(super) fn convolution(
    group: &Group<'_>,
    weight: &str,
    shape: Option<&[Dim]>,
) -> Option<&'static str> {
    let paths = fx_text::strings(group.node.meta(SCOPES)?);
    let classes = fx_text::strings(group.node.meta(CLASSES)?);
    let kernel: Vec<i64> = shape?.get(2..)?.iter().filter_map(Dim::as_i64).collect();
    for (path, class) in paths.iter().zip(&classes) {
        let inside = weight.strip_prefix(path).unwrap_or_default();
        if !VIDEO_BLOCKS.contains(class) {
            continue;
        }
        let built = matches!(
            inside,
            ".conv1.0.weight" | ".conv2.0.weight" | ".conv3.0.weight"
        );
        return match (built, kernel.as_slice()) {
            (true, [3, 3, 3]) => Some("torchvision.models.video.resnet.Conv3DSimple"),
            (true, [1, 3, 3]) => Some("torchvision.models.video.resnet.Conv3DNoTemporal"),
            _ => None,
        };
    }
    None
}
