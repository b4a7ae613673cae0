//! Layers that multiply by a weight: convolutions, linear layers, embeddings.

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Call, Shape};
use modelcost_core::value::Value;

use super::{Layer, Out, argument, given, sizes, tuple};

/// What every convolution has: its groups, and its weight.
fn of_convolution<'a>(layer: &Layer<'a>) -> (Option<&'a Call>, Dim, Option<&'a Shape>) {
    let call = layer.operator("conv");
    let groups = argument(call, "groups")
        .and_then(Value::int)
        .unwrap_or(Dim::ONE);
    let weight = layer
        .parameter("weight")
        .or_else(|| layer.shape(argument(call, "weight")));
    (call, groups, weight)
}

/// How a convolution moves over `n` dimensions, where one was called.
fn movement(call: Option<&Call>, n: usize, groups: Dim, out: &mut Out) {
    if call.is_none() {
        return;
    }
    out.set("stride", tuple(argument(call, "stride"), n, 1));
    out.set("padding", tuple(argument(call, "padding"), n, 0));
    out.set("dilation", tuple(argument(call, "dilation"), n, 1));
    out.set("groups", groups);
}

pub(super) fn conv(layer: &Layer<'_>, out: &mut Out) {
    let (call, groups, weight) = of_convolution(layer);
    let Some([outputs, inputs, kernel @ ..]) = weight.map(Vec::as_slice) else {
        return;
    };
    let n = kernel.len();
    out.set("in_channels", inputs * &groups);
    out.set("out_channels", outputs.clone());
    out.set("kernel_size", sizes(kernel));
    movement(call, n, groups, out);
    out.set("transposed", false);
    out.set("output_padding", tuple(None, n, 0));
    let padded = layer
        .operator("pad")
        .and_then(|call| call.argument("mode").cloned());
    out.set("padding_mode", padded.unwrap_or(Value::from("zeros")));
}

pub(super) fn conv_transpose(layer: &Layer<'_>, out: &mut Out) {
    let (call, groups, weight) = of_convolution(layer);
    let Some([inputs, outputs, kernel @ ..]) = weight.map(Vec::as_slice) else {
        return;
    };
    let n = kernel.len();
    out.set("in_channels", inputs.clone());
    out.set("out_channels", outputs * &groups);
    out.set("kernel_size", sizes(kernel));
    movement(call, n, groups, out);
    if call.is_some() {
        let padding = argument(call, "output_padding");
        out.set("output_padding", tuple(padding, n, 0));
    }
    out.set("transposed", true);
    out.set("padding_mode", "zeros");
}

/// torchvision's operator has a number for each dimension under its own name.
pub(super) fn deformable(layer: &Layer<'_>, out: &mut Out) {
    let call = layer.first(&["torchvision.deform_conv2d"]);
    let groups = argument(call, "groups")
        .and_then(Value::int)
        .unwrap_or(Dim::ONE);
    let Some([outputs, inputs, kernel @ ..]) = layer.parameter("weight").map(Vec::as_slice) else {
        return;
    };
    out.set("in_channels", inputs * &groups);
    out.set("out_channels", outputs.clone());
    out.set("kernel_size", sizes(kernel));
    for (name, height, width) in [
        ("stride", "stride_h", "stride_w"),
        ("padding", "pad_h", "pad_w"),
        ("dilation", "dilation_h", "dilation_w"),
    ] {
        if let (Some(height), Some(width)) = (given(call, height), given(call, width)) {
            out.set(name, Value::Tuple(vec![height, width]));
        }
    }
    if call.is_some() {
        out.set("groups", groups);
    }
}

pub(super) fn linear(layer: &Layer<'_>, out: &mut Out) {
    let weight = layer.parameter("weight");
    let weight = weight.or_else(|| layer.shape(argument(layer.operator("linear"), "weight")));
    if let Some([outputs, inputs]) = weight.map(Vec::as_slice) {
        out.set("in_features", inputs.clone());
        out.set("out_features", outputs.clone());
    }
}

pub(super) fn bilinear(layer: &Layer<'_>, out: &mut Out) {
    if let Some([outputs, first, second]) = layer.parameter("weight").map(Vec::as_slice) {
        out.set("in1_features", first.clone());
        out.set("in2_features", second.clone());
        out.set("out_features", outputs.clone());
    }
}

pub(super) fn embedding(layer: &Layer<'_>, out: &mut Out) {
    let call = layer.operator("embedding");
    let weight = layer
        .parameter("weight")
        .or_else(|| layer.shape(argument(call, "weight")));
    if let Some([number, width]) = weight.map(Vec::as_slice) {
        out.set("num_embeddings", number.clone());
        out.set("embedding_dim", width.clone());
    }
    let padding = given(call, "padding_idx").filter(|value| *value != Value::from(-1));
    out.set("padding_idx", padding.unwrap_or_default());
}
