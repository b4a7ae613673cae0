//! Classes: how they are named and what they derive from.
//!
//! A program has the qualified name of a class and nothing of its bases. Those of `torch.nn` and
//! torchvision are in the table; a user's class is known by what it does.

use foldhash::HashMap;
use std::sync::LazyLock;

use modelcost_core::trace::Class;
use smol_str::SmolStr;

/// Classes that derive from others, in the order of their names (torch 2.15.0, torchvision 0.29.2; `__mro__` without
/// `torch.nn.Module`).
#[rustfmt::skip]
const BASES: &[(&str, &[&str])] = &[
    ("torch.nn.AdaptiveAvgPool1d", &["torch.nn.modules.pooling._AdaptiveAvgPoolNd"]),
    ("torch.nn.AdaptiveAvgPool2d", &["torch.nn.modules.pooling._AdaptiveAvgPoolNd"]),
    ("torch.nn.AdaptiveAvgPool3d", &["torch.nn.modules.pooling._AdaptiveAvgPoolNd"]),
    ("torch.nn.AdaptiveMaxPool1d", &["torch.nn.modules.pooling._AdaptiveMaxPoolNd"]),
    ("torch.nn.AdaptiveMaxPool2d", &["torch.nn.modules.pooling._AdaptiveMaxPoolNd"]),
    ("torch.nn.AdaptiveMaxPool3d", &["torch.nn.modules.pooling._AdaptiveMaxPoolNd"]),
    ("torch.nn.AlphaDropout", &["torch.nn.modules.dropout._DropoutNd"]),
    ("torch.nn.AvgPool1d", &["torch.nn.modules.pooling._AvgPoolNd"]),
    ("torch.nn.AvgPool2d", &["torch.nn.modules.pooling._AvgPoolNd"]),
    ("torch.nn.AvgPool3d", &["torch.nn.modules.pooling._AvgPoolNd"]),
    ("torch.nn.BatchNorm1d", &["torch.nn.modules.batchnorm._BatchNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.BatchNorm2d", &["torch.nn.modules.batchnorm._BatchNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.BatchNorm3d", &["torch.nn.modules.batchnorm._BatchNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.Conv1d", &["torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.Conv2d", &["torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.Conv3d", &["torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.ConvTranspose1d", &["torch.nn.modules.conv._ConvTransposeNd", "torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.ConvTranspose2d", &["torch.nn.modules.conv._ConvTransposeNd", "torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.ConvTranspose3d", &["torch.nn.modules.conv._ConvTransposeNd", "torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.Dropout", &["torch.nn.modules.dropout._DropoutNd"]),
    ("torch.nn.Dropout1d", &["torch.nn.modules.dropout._DropoutNd"]),
    ("torch.nn.Dropout2d", &["torch.nn.modules.dropout._DropoutNd"]),
    ("torch.nn.Dropout3d", &["torch.nn.modules.dropout._DropoutNd"]),
    ("torch.nn.FeatureAlphaDropout", &["torch.nn.modules.dropout._DropoutNd"]),
    ("torch.nn.GRU", &["torch.nn.RNNBase"]),
    ("torch.nn.GRUCell", &["torch.nn.RNNCellBase"]),
    ("torch.nn.InstanceNorm1d", &["torch.nn.modules.instancenorm._InstanceNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.InstanceNorm2d", &["torch.nn.modules.instancenorm._InstanceNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.InstanceNorm3d", &["torch.nn.modules.instancenorm._InstanceNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.LPPool1d", &["torch.nn.modules.pooling._LPPoolNd"]),
    ("torch.nn.LPPool2d", &["torch.nn.modules.pooling._LPPoolNd"]),
    ("torch.nn.LPPool3d", &["torch.nn.modules.pooling._LPPoolNd"]),
    ("torch.nn.LSTM", &["torch.nn.RNNBase"]),
    ("torch.nn.LSTMCell", &["torch.nn.RNNCellBase"]),
    ("torch.nn.LazyBatchNorm1d", &["torch.nn.modules.batchnorm._LazyNormBase", "torch.nn.modules.batchnorm._BatchNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.LazyBatchNorm2d", &["torch.nn.modules.batchnorm._LazyNormBase", "torch.nn.modules.batchnorm._BatchNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.LazyBatchNorm3d", &["torch.nn.modules.batchnorm._LazyNormBase", "torch.nn.modules.batchnorm._BatchNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.LazyConv1d", &["torch.nn.Conv1d", "torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.LazyConv2d", &["torch.nn.Conv2d", "torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.LazyConv3d", &["torch.nn.Conv3d", "torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.LazyConvTranspose1d", &["torch.nn.ConvTranspose1d", "torch.nn.modules.conv._ConvTransposeNd", "torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.LazyConvTranspose2d", &["torch.nn.ConvTranspose2d", "torch.nn.modules.conv._ConvTransposeNd", "torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.LazyConvTranspose3d", &["torch.nn.ConvTranspose3d", "torch.nn.modules.conv._ConvTransposeNd", "torch.nn.modules.conv._ConvNd"]),
    ("torch.nn.LazyInstanceNorm1d", &["torch.nn.modules.batchnorm._LazyNormBase", "torch.nn.modules.instancenorm._InstanceNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.LazyInstanceNorm2d", &["torch.nn.modules.batchnorm._LazyNormBase", "torch.nn.modules.instancenorm._InstanceNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.LazyInstanceNorm3d", &["torch.nn.modules.batchnorm._LazyNormBase", "torch.nn.modules.instancenorm._InstanceNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.LazyLinear", &["torch.nn.Linear"]),
    ("torch.nn.MaxPool1d", &["torch.nn.modules.pooling._MaxPoolNd"]),
    ("torch.nn.MaxPool2d", &["torch.nn.modules.pooling._MaxPoolNd"]),
    ("torch.nn.MaxPool3d", &["torch.nn.modules.pooling._MaxPoolNd"]),
    ("torch.nn.MaxUnpool1d", &["torch.nn.modules.pooling._MaxUnpoolNd"]),
    ("torch.nn.MaxUnpool2d", &["torch.nn.modules.pooling._MaxUnpoolNd"]),
    ("torch.nn.MaxUnpool3d", &["torch.nn.modules.pooling._MaxUnpoolNd"]),
    ("torch.nn.RNN", &["torch.nn.RNNBase"]),
    ("torch.nn.RNNCell", &["torch.nn.RNNCellBase"]),
    ("torch.nn.ReLU6", &["torch.nn.Hardtanh"]),
    ("torch.nn.SyncBatchNorm", &["torch.nn.modules.batchnorm._BatchNorm", "torch.nn.modules.batchnorm._NormBase"]),
    ("torch.nn.UpsamplingBilinear2d", &["torch.nn.Upsample"]),
    ("torch.nn.UpsamplingNearest2d", &["torch.nn.Upsample"]),
    ("torch.nn.ZeroPad1d", &["torch.nn.ConstantPad1d"]),
    ("torch.nn.ZeroPad2d", &["torch.nn.ConstantPad2d"]),
    ("torch.nn.ZeroPad3d", &["torch.nn.ConstantPad3d"]),
    ("torch.nn.modules.linear.NonDynamicallyQuantizableLinear", &["torch.nn.Linear"]),
    ("torchvision.models._utils.IntermediateLayerGetter", &["torch.nn.ModuleDict"]),
    ("torchvision.models.convnext.LayerNorm2d", &["torch.nn.LayerNorm"]),
    ("torchvision.models.densenet._DenseBlock", &["torch.nn.ModuleDict"]),
    ("torchvision.models.densenet._Transition", &["torch.nn.Sequential"]),
    ("torchvision.models.regnet.AnyStage", &["torch.nn.Sequential"]),
    ("torchvision.models.regnet.BottleneckTransform", &["torch.nn.Sequential"]),
    ("torchvision.models.regnet.SimpleStemIN", &["torchvision.ops.misc.Conv2dNormActivation", "torchvision.ops.misc.ConvNormActivation", "torch.nn.Sequential"]),
    ("torchvision.models.segmentation.deeplabv3.ASPPConv", &["torch.nn.Sequential"]),
    ("torchvision.models.segmentation.deeplabv3.ASPPPooling", &["torch.nn.Sequential"]),
    ("torchvision.models.segmentation.deeplabv3.DeepLabHead", &["torch.nn.Sequential"]),
    ("torchvision.models.segmentation.deeplabv3.DeepLabV3", &["torchvision.models.segmentation._utils._SimpleSegmentationModel"]),
    ("torchvision.models.segmentation.fcn.FCN", &["torchvision.models.segmentation._utils._SimpleSegmentationModel"]),
    ("torchvision.models.segmentation.fcn.FCNHead", &["torch.nn.Sequential"]),
    ("torchvision.models.swin_transformer.ShiftedWindowAttentionV2", &["torchvision.models.swin_transformer.ShiftedWindowAttention"]),
    ("torchvision.models.swin_transformer.SwinTransformerBlockV2", &["torchvision.models.swin_transformer.SwinTransformerBlock"]),
    ("torchvision.models.video.resnet.BasicStem", &["torch.nn.Sequential"]),
    ("torchvision.models.video.resnet.Conv2Plus1D", &["torch.nn.Sequential"]),
    ("torchvision.models.video.resnet.Conv3DNoTemporal", &["torch.nn.Conv3d", "torch.nn.modules.conv._ConvNd"]),
    ("torchvision.models.video.resnet.Conv3DSimple", &["torch.nn.Conv3d", "torch.nn.modules.conv._ConvNd"]),
    ("torchvision.models.video.resnet.R2Plus1dStem", &["torch.nn.Sequential"]),
    ("torchvision.models.video.s3d.TemporalSeparableConv", &["torch.nn.Sequential"]),
    ("torchvision.models.vision_transformer.MLPBlock", &["torchvision.ops.misc.MLP", "torch.nn.Sequential"]),
    ("torchvision.ops.drop_block.DropBlock3d", &["torchvision.ops.drop_block.DropBlock2d"]),
    ("torchvision.ops.feature_pyramid_network.LastLevelMaxPool", &["torchvision.ops.feature_pyramid_network.ExtraFPNBlock"]),
    ("torchvision.ops.feature_pyramid_network.LastLevelP6P7", &["torchvision.ops.feature_pyramid_network.ExtraFPNBlock"]),
    ("torchvision.ops.misc.Conv2dNormActivation", &["torchvision.ops.misc.ConvNormActivation", "torch.nn.Sequential"]),
    ("torchvision.ops.misc.Conv3dNormActivation", &["torchvision.ops.misc.ConvNormActivation", "torch.nn.Sequential"]),
    ("torchvision.ops.misc.ConvNormActivation", &["torch.nn.Sequential"]),
    ("torchvision.ops.misc.MLP", &["torch.nn.Sequential"]),
];

/// Classes of `torch.nn.modules` that `torch.nn` does not publish.
const UNPUBLISHED: &[&str] = &["NonDynamicallyQuantizableLinear"];

/// The libraries of [`LAYERS`].
const LIBRARIES: [&str; 2] = ["timm.", "transformers."];

/// The layers that classes of model libraries derive from. Of those libraries no other class
/// derives from one.
static LAYERS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let lines = include_str!("bases.txt").lines();
    let rows = lines.filter(|line| !line.starts_with('#'));
    rows.filter_map(|line| line.split_once(' ')).collect()
});

/// Whether the bases of a class are known, so that there is nothing to guess.
pub fn is_listed(class: &Class) -> bool {
    let name = class.name.as_str();
    ["torch.", "torchvision.", "timm.", "transformers."]
        .iter()
        .any(|library| name.starts_with(library))
}

/// A class by the name that a program has for it.
pub fn class(written: &str) -> Class {
    let name = canonical(written);
    let known = BASES.binary_search_by_key(&name.as_str(), |(class, _)| class);
    let mut bases: Vec<SmolStr> = match known {
        Ok(at) => BASES[at]
            .1
            .iter()
            .map(|base| SmolStr::new_static(base))
            .collect(),
        Err(_) => Vec::new(),
    };
    if LIBRARIES.iter().any(|library| name.starts_with(library))
        && let Some(layer) = LAYERS.get(name.as_str())
    {
        let layer = class(layer);
        bases.push(layer.name);
        bases.extend(layer.bases);
    }
    // torch.nn.utils.parametrize makes a subclass of the layer that it changes.
    if let Some(layer) = name.strip_prefix("torch.nn.utils.parametrize.Parametrized") {
        let layer = class(&format!("torch.nn.{layer}"));
        bases.push(layer.name);
        bases.extend(layer.bases);
    }
    Class { name, bases }
}

/// `torch.nn.modules.conv.Conv2d` is `torch.nn.Conv2d` to everyone.
fn canonical(written: &str) -> SmolStr {
    let published = written.strip_prefix("torch.nn.modules.").and_then(|rest| {
        let (_, name) = rest.split_once('.')?;
        let private = name.starts_with('_') || name.contains('.') || UNPUBLISHED.contains(&name);
        (!private).then_some(name)
    });
    match published {
        Some(name) => ["torch.nn.", name].concat().into(),
        None => written.into(),
    }
}

/// Whether this is a class of `torch.nn` itself.
pub fn is_torch(class: &Class) -> bool {
    class.name.starts_with("torch.nn.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        assert!(BASES.is_sorted_by_key(|(class, _)| *class));
        let library = |class: &str| LIBRARIES.iter().any(|library| class.starts_with(library));
        assert!(LAYERS.keys().all(|class| library(class)));
    }

    #[test]
    fn names_and_bases() {
        assert_eq!(
            class("torch.nn.modules.conv.Conv2d").name,
            "torch.nn.Conv2d"
        );
        let out_proj = class("torch.nn.modules.linear.NonDynamicallyQuantizableLinear");
        assert_eq!(
            out_proj.name,
            "torch.nn.modules.linear.NonDynamicallyQuantizableLinear"
        );
        assert!(out_proj.is("torch.nn.Linear"));
        assert!(class("torchvision.ops.misc.Conv2dNormActivation").is("torch.nn.Sequential"));
        assert!(class("torch.nn.utils.parametrize.ParametrizedConv2d").is("torch.nn.Conv2d"));
        let norm = class("timm.layers.norm_act.BatchNormAct2d");
        assert!(norm.is("torch.nn.BatchNorm2d") && norm.is("torch.nn.modules.batchnorm._NormBase"));
        assert_eq!(class("zoo.Net").bases.len(), 0);
    }
}
