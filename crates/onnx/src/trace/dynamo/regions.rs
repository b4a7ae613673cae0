//! Regions whose operators have lost the modules around them.
//!
//! A region that runs without gradients, under autocast or under a checkpoint is a graph inside the graph when the
//! exporter writes it down. Its nodes have the stack traces of that graph's code, `File "<eval_with_key>.3"`, and the
//! scopes of the whole region. The weights that they use still say whose they are.

use modelcost_core::fidelity::{Fidelity, Layer, Level};

use super::super::fx_text::FxArg;
use super::super::signature::{Input, InputKind};
use super::{Group, STACK_TRACE};

/// Whether a node is one of such a region.
pub(super) fn is_inside(group: &Group<'_>) -> bool {
    let trace = group.node.meta(STACK_TRACE);
    trace.is_some_and(|trace| trace.contains("<eval_with_key>"))
}

/// The layers whose own operator computes with their weight.
const LAYERS: &[(&str, &str)] = &[
    ("aten.batch_norm", "torch.nn.modules.batchnorm.BatchNorm2d"),
    ("aten.conv1d", "torch.nn.modules.conv.Conv1d"),
    ("aten.conv2d", "torch.nn.modules.conv.Conv2d"),
    ("aten.conv3d", "torch.nn.modules.conv.Conv3d"),
    (
        "aten.conv_transpose1d",
        "torch.nn.modules.conv.ConvTranspose1d",
    ),
    (
        "aten.conv_transpose2d",
        "torch.nn.modules.conv.ConvTranspose2d",
    ),
    (
        "aten.conv_transpose3d",
        "torch.nn.modules.conv.ConvTranspose3d",
    ),
    ("aten.embedding", "torch.nn.modules.sparse.Embedding"),
    (
        "aten.group_norm",
        "torch.nn.modules.normalization.GroupNorm",
    ),
    (
        "aten.layer_norm",
        "torch.nn.modules.normalization.LayerNorm",
    ),
    ("aten.linear", "torch.nn.modules.linear.Linear"),
    ("aten.rms_norm", "torch.nn.modules.normalization.RMSNorm"),
];

/// The path and class of the layer that made a node of such a region, where one layer owns all that it computes with.
pub(super) fn layer<'a>(
    group: &Group<'a>,
    inputs: &[Input<'a>],
) -> Option<(&'a str, &'static str)> {
    let op = group.op();
    let (_, class) = LAYERS.iter().find(|(name, _)| *name == op)?;
    let mut owner = None;
    for argument in &group.fx.args {
        let FxArg::Node(name) = argument else {
            continue;
        };
        let state = inputs.iter().find(|input| input.name == *name);
        let Some(state) = state.filter(|input| input.kind != InputKind::User) else {
            continue;
        };
        let (path, _) = state.target.rsplit_once('.')?;
        if *owner.get_or_insert(path) != path {
            return None;
        }
    }
    Some((owner?, class))
}

/// Says what was put back.
pub(super) fn note(groups: &[Group<'_>], fidelity: &mut Fidelity) {
    let lost = groups.iter().filter(|group| is_inside(group)).count();
    if lost == 0 {
        return;
    }
    let seen = [
        Layer::Modules,
        Layer::Functions,
        Layer::Values,
        Layer::Gradients,
    ];
    let text = format!(
        "the exporter did not write which modules and functions made {lost} operators of a region (torch.no_grad, \
         autocast, a checkpoint); layers with weights of their own were put back"
    );
    fidelity.doubt(&seen, Level::Reconstructed, text);
}
