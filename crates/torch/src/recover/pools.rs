//! Norms, pools and upsampling.

use modelcost_core::trace::{Call, Target};
use modelcost_core::value::Value;

use super::{Layer, Out, argument, as_written, given, sizes, tuple};

/// The channels of a norm: those of its weight, or of what it is given.
fn channels(layer: &Layer<'_>, call: Option<&Call>) -> Option<Value> {
    let weight = layer.parameter("weight").and_then(|shape| shape.first());
    let input = layer.shape(argument(call, "input"));
    let channels = weight.or_else(|| input.and_then(|shape| shape.get(1)));
    channels.cloned().map(Value::Int)
}

/// BatchNorm and InstanceNorm.
pub(super) fn batch_norm(layer: &Layer<'_>, out: &mut Out) {
    let call = layer
        .operator("batch_norm")
        .or_else(|| layer.operator("instance_norm"));
    out.known("num_features", channels(layer, call));
    out.known("eps", given(call, "eps"));
    out.known("momentum", given(call, "momentum"));
    out.set("affine", layer.parameter("weight").is_some());
    out.set("track_running_stats", layer.has_buffer("running_mean"));
}

pub(super) fn layer_norm(layer: &Layer<'_>, out: &mut Out) {
    let call = layer
        .operator("layer_norm")
        .or_else(|| layer.operator("rms_norm"));
    let normalized = match given(call, "normalized_shape") {
        Some(Value::List(items)) => Some(Value::Tuple(items)),
        Some(value) => Some(value),
        None => layer.parameter("weight").map(|shape| sizes(shape)),
    };
    out.known("normalized_shape", normalized);
    out.known("eps", given(call, "eps"));
    out.set("elementwise_affine", layer.parameter("weight").is_some());
}

pub(super) fn group_norm(layer: &Layer<'_>, out: &mut Out) {
    let call = layer.operator("group_norm");
    out.known("num_groups", given(call, "num_groups"));
    out.known("num_channels", channels(layer, call));
    out.known("eps", given(call, "eps"));
    out.set("affine", layer.parameter("weight").is_some());
}

pub(super) fn max_pool(layer: &Layer<'_>, out: &mut Out) {
    let call = layer.operator("max_pool");
    let kernel = as_written(argument(call, "kernel_size"));
    let stride = as_written(argument(call, "stride")).or_else(|| kernel.clone());
    out.known("kernel_size", kernel);
    out.known("stride", stride);
    out.known("padding", as_written(argument(call, "padding")));
    out.known("dilation", as_written(argument(call, "dilation")));
    out.known("ceil_mode", given(call, "ceil_mode"));
    let with_indices = |call: &Call| match &call.target {
        Target::Operator(name) => name.ends_with("_with_indices"),
        _ => false,
    };
    out.known(
        "return_indices",
        call.map(|call| Value::Bool(with_indices(call))),
    );
}

pub(super) fn avg_pool(layer: &Layer<'_>, out: &mut Out) {
    let call = layer.operator("avg_pool");
    // AvgPool1d makes tuples of what it is given, the others keep it.
    let one = layer.operator("avg_pool1d").is_some();
    let written = |name: &str| match argument(call, name) {
        Some(value) if one => Some(tuple(Some(value), 1, 0)),
        value => as_written(value),
    };
    let kernel = written("kernel_size");
    let empty = matches!(argument(call, "stride"), Some(Value::List(items)) if items.is_empty());
    let stride = if empty { None } else { written("stride") };
    out.known("stride", stride.or_else(|| kernel.clone()));
    out.known("kernel_size", kernel);
    out.known("padding", written("padding"));
    out.known("ceil_mode", given(call, "ceil_mode"));
    out.known("count_include_pad", given(call, "count_include_pad"));
}

pub(super) fn adaptive_pool(layer: &Layer<'_>, out: &mut Out) {
    let size = match given(layer.operator("adaptive_"), "output_size") {
        Some(Value::List(items)) => match <[Value; 1]>::try_from(items) {
            Ok([single]) => Some(single),
            Err(items) => Some(Value::Tuple(items)),
        },
        value => value,
    };
    out.known("output_size", size);
}

pub(super) fn upsample(layer: &Layer<'_>, out: &mut Out) {
    let Some(call) = layer
        .operator("upsample_")
        .or_else(|| layer.operator("_upsample_"))
    else {
        return;
    };
    let Target::Operator(name) = &call.target else {
        return;
    };
    let mode = match name.trim_start_matches("aten.").trim_start_matches('_') {
        "upsample_linear1d" => "linear",
        "upsample_bilinear2d" | "upsample_bilinear2d_aa" => "bilinear",
        "upsample_bicubic2d" | "upsample_bicubic2d_aa" => "bicubic",
        "upsample_trilinear3d" => "trilinear",
        name if name.starts_with("upsample_nearest_exact") => "nearest-exact",
        _ => "nearest",
    };
    out.set("mode", mode);
    out.set(
        "size",
        as_written(call.argument("output_size")).unwrap_or_default(),
    );
    out.set(
        "scale_factor",
        as_written(call.argument("scale_factors")).unwrap_or_default(),
    );
    // The modes that do not interpolate have no such argument and keep None.
    out.set(
        "align_corners",
        call.argument("align_corners").cloned().unwrap_or_default(),
    );
}
