//! Classes of PyTorch and torchvision that do what a program does not show (torch 2.15.0,
//! torchvision 0.29.2).

use modelcost_core::trace::{Class, TensorId};
use modelcost_core::value::Value;
use smol_str::{SmolStr, format_smolstr};

/// The parameters that layers register even where they are absent (`bias=False`), in their order.
const REGISTERED: &[(&[&str], &[&str])] = &[
    (
        &[
            "torch.nn.Linear",
            "torch.nn.Bilinear",
            "torch.nn.modules.conv._ConvNd",
            "torchvision.ops.deform_conv.DeformConv2d",
        ],
        &["weight", "bias"],
    ),
    (
        &[
            "torch.nn.modules.batchnorm._NormBase",
            "torch.nn.GroupNorm",
            "torch.nn.LayerNorm",
        ],
        &["weight", "bias"],
    ),
    (
        &["torch.nn.RMSNorm", "torch.nn.Embedding", "torch.nn.PReLU"],
        &["weight"],
    ),
    (
        &["torch.nn.RNNCellBase"],
        &["weight_ih", "weight_hh", "bias_ih", "bias_hh"],
    ),
    (
        &["torch.nn.MultiheadAttention"],
        &[
            "in_proj_weight",
            "q_proj_weight",
            "k_proj_weight",
            "v_proj_weight",
            "in_proj_bias",
            "bias_k",
            "bias_v",
        ],
    ),
];

/// The parameters that a layer of this class registers.
pub fn registered(class: &Class) -> &'static [&'static str] {
    let found = REGISTERED
        .iter()
        .find(|(classes, _)| classes.iter().any(|name| class.is(name)));
    found.map_or(&[], |(_, names)| names)
}

/// Layers that take their activation as a function when they are made and call that: a tool that
/// replaces `F.relu` later is not called.
pub fn keeps_activation(class: &Class, function: &str) -> bool {
    let layer = class.is("torch.nn.TransformerEncoderLayer")
        || class.is("torch.nn.TransformerDecoderLayer");
    layer
        && matches!(
            function,
            "torch.nn.functional.relu" | "torch.nn.functional.gelu" | "torch.nn.functional.silu"
        )
}

/// Classes whose forward is a call of a function that they keep (transformers 5.23.0,
/// activations.py).
const KEEP_A_FUNCTION: &[&str] = &[
    "transformers.activations.GELUActivation",
    "transformers.activations.GELUTanh",
];

/// Whether a class calls a function that it took a reference of when it was made.
pub fn keeps_function(class: &Class) -> bool {
    KEEP_A_FUNCTION.contains(&class.name.as_str())
}

/// Whether layers of a class compute in another way while they are exported: those that solve a triangular system
/// (transformers 5.23.0, `is_torchdynamo_exporting` in models/qwen3_next, qwen3_5, qwen3_5_moe, qwen4_exp and olmo_hybrid).
pub fn asks_for_export(class: &str) -> bool {
    class.starts_with("transformers.models.") && class.ends_with("GatedDeltaNet")
}

/// Helpers of libraries that a forward calls and a program does not show: they call functions by
/// their names (transformers 5.23.0, torchvision 0.29.2).
const CALL_BY_NAME: &[&str] = &["attention_interface(", "eager_attention_forward("];

/// Whether a line calls a helper that calls functions by their names.
pub fn calls_by_name(line: &str) -> bool {
    CALL_BY_NAME.iter().any(|helper| line.contains(helper))
}

/// Whether a class is one of PyTorch's or torchvision's own, whose sources are known.
pub fn is_library(class: &str) -> bool {
    class.starts_with("torch.nn.") || class.starts_with("torchvision.")
}

/// Children that return their input as it is when the model evaluates, so that no node tells of
/// their call. They are called on what is about to be added to the residual.
const BEFORE_ADDITION: &[(&str, &str)] = &[
    ("torchvision.models.convnext.CNBlock", "stochastic_depth"),
    ("torchvision.models.efficientnet.MBConv", "stochastic_depth"),
    (
        "torchvision.models.efficientnet.FusedMBConv",
        "stochastic_depth",
    ),
    (
        "torchvision.models.swin_transformer.SwinTransformerBlock",
        "stochastic_depth",
    ),
    ("torchvision.models.maxvit.MBConv", "stochastic_depth"),
    (
        "torchvision.models.maxvit.PartitionAttentionLayer",
        "stochastic_dropout",
    ),
    (
        "torchvision.models.video.mvit.MultiscaleBlock",
        "stochastic_depth",
    ),
];

/// The child that this class calls before it adds a residual.
pub fn before_addition(class: &Class) -> Option<&'static str> {
    let found = BEFORE_ADDITION.iter().find(|(name, _)| class.is(name));
    found.map(|(_, child)| *child)
}

/// The class of a child that was never seen at work.
pub fn unseen_child(parent: &Class, child: &str) -> Option<&'static str> {
    (before_addition(parent) == Some(child))
        .then_some("torchvision.ops.stochastic_depth.StochasticDepth")
}

/// Video transformers hand the size of their grid along: `block(x, thw)`.
pub fn takes_grid(class: &Class) -> bool {
    ["MultiscaleBlock", "MultiscaleAttention", "Pool"]
        .iter()
        .any(|name| class.name.strip_prefix("torchvision.models.video.mvit.") == Some(name))
}

/// A size of a grid: three integers that no rule looks at.
pub fn grid() -> Value {
    Value::Tuple(vec![Value::Opaque(SmolStr::new_static("int")); 3])
}

/// The endings of the names of transformers' classes that return a model output, which is a mapping.
const MODEL_OUTPUTS: &[&str] = &["Model", "Encoder", "Decoder", "Transformer", "LMHeadModel"];

/// The first field of the model output that a class of transformers returns.
fn model_output(class: &Class) -> Option<&'static str> {
    let name = class
        .name
        .strip_prefix("transformers.models.")?
        .rsplit('.')
        .next()?;
    let task = name
        .match_indices("For")
        .any(|(at, _)| name[at + 3..].starts_with(|c: char| c.is_ascii_uppercase()));
    if task || name.ends_with("LMHeadModel") {
        return Some("logits");
    }
    let plain = MODEL_OUTPUTS.iter().any(|end| name.ends_with(end));
    plain.then_some("last_hidden_state")
}

/// Classes that return a dictionary, whatever its keys are (torchvision 0.29.2).
const RETURN_DICTS: &[&str] = &[
    "torchvision.models.detection.backbone_utils.BackboneWithFPN",
    "torchvision.models.detection.fcos.FCOSHead",
    "torchvision.models.detection.retinanet.RetinaNetHead",
    "torchvision.models.detection.ssd.SSDFeatureExtractorVGG",
    "torchvision.models.detection.ssd.SSDHead",
    "torchvision.models.detection.ssdlite.SSDLiteFeatureExtractorMobileNet",
    "torchvision.models.detection.ssdlite.SSDLiteHead",
    "torchvision.ops.feature_pyramid_network.FeaturePyramidNetwork",
];

/// What classes return that do not return just their tensors.
pub fn output(class: &Class, root: &Class, made: &[TensorId]) -> Option<Value> {
    let value = |id: &TensorId| Value::Tensor(*id);
    if let Some(field) = model_output(class) {
        return Some(Value::Dict(vec![(
            SmolStr::new_static(field),
            value(made.last()?),
        )]));
    }
    if takes_grid(class) {
        return Some(Value::Tuple(vec![value(made.first()?), grid()]));
    }
    if RETURN_DICTS.contains(&class.name.as_str()) {
        let named = |(at, id)| (format_smolstr!("{at}"), value(id));
        return Some(Value::Dict(made.iter().enumerate().map(named).collect()));
    }
    if class.name == "torchvision.models._utils.IntermediateLayerGetter" {
        let names: &[&str] = match made.len() {
            2 if root.name.ends_with(".LRASPP") => &["low", "high"],
            2 => &["aux", "out"],
            1 => &["out"],
            _ => return None,
        };
        let named = names.iter().zip(made);
        let items = named.map(|(name, id)| (SmolStr::new_static(name), value(id)));
        return Some(Value::Dict(items.collect()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detectors_return_dictionaries() {
        let class = |name: &str| Class::new(name);
        let made = [TensorId::new(0), TensorId::new(1)];
        let head = class("torchvision.models.detection.retinanet.RetinaNetHead");
        let returned = output(&head, &class("net.Detector"), &made);
        assert!(matches!(returned, Some(Value::Dict(items)) if items.len() == 2));
        assert_eq!(
            output(&class("net.Head"), &class("net.Detector"), &made),
            None
        );
    }
}
