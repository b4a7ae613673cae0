//! What a program's operator calls tell about the modules that made them.
//!
//! A program has operators and parameters, but not the constructor arguments of the modules; rules
//! read those as `m.kernel_size`. For the layers of `torch.nn` everything that rules read can be
//! told from the operator that the layer's `forward` calls and from the shapes of its parameters.

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::trace::{Call, CallId, ModuleId, Shape, Target, Trace};
use modelcost_core::value::Value;

type Attributes = Vec<(SmolStr, Value)>;

/// The attributes of a module of a known class: constructor arguments under PyTorch's names, as far
/// as the operators that one call of its `forward` made (the outermost ones, in order) and its
/// parameters tell. Of a module that was never called only its parameters are known.
pub fn attributes(trace: &Trace, module: ModuleId, operators: &[CallId]) -> Attributes {
    let class = &trace.module(module).class;
    let layer = Layer {
        trace,
        module,
        operators,
    };
    let found = RULES
        .iter()
        .find(|(names, _)| names.iter().any(|name| is(class, name)));
    let mut out = Out(Vec::new());
    if let Some((_, rule)) = found {
        rule(&layer, &mut out);
    }
    out.0
}

fn is(class: &modelcost_core::trace::Class, short: &str) -> bool {
    let matches = |name: &str| name.strip_prefix("torch.nn.") == Some(short) || name == short;
    matches(&class.name) || class.bases.iter().any(|base| matches(base))
}

type Rule = fn(&Layer<'_>, &mut Out);

const RULES: &[(&[&str], Rule)] = &[
    (&["Conv1d", "Conv2d", "Conv3d"], conv),
    (
        &["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"],
        conv_transpose,
    ),
    (&["torchvision.ops.deform_conv.DeformConv2d"], deformable),
    (&["Linear"], linear),
    (&["Bilinear"], bilinear),
    (
        &[
            "BatchNorm1d",
            "BatchNorm2d",
            "BatchNorm3d",
            "SyncBatchNorm",
            "InstanceNorm1d",
            "InstanceNorm2d",
            "InstanceNorm3d",
        ],
        batch_norm,
    ),
    (&["LayerNorm", "RMSNorm"], layer_norm),
    (&["GroupNorm"], group_norm),
    (&["MaxPool1d", "MaxPool2d", "MaxPool3d"], max_pool),
    (&["AvgPool1d", "AvgPool2d", "AvgPool3d"], avg_pool),
    (
        &[
            "AdaptiveAvgPool1d",
            "AdaptiveAvgPool2d",
            "AdaptiveAvgPool3d",
            "AdaptiveMaxPool1d",
            "AdaptiveMaxPool2d",
            "AdaptiveMaxPool3d",
        ],
        adaptive_pool,
    ),
    (&["Softmax", "LogSoftmax", "Softmin", "GLU"], softmax),
    (&["Upsample"], upsample),
    (&["Embedding"], embedding),
    (&["RNN", "LSTM", "GRU"], recurrent),
    (&["RNNCell", "LSTMCell", "GRUCell"], recurrent_cell),
    (&["MultiheadAttention"], attention),
    (
        &[
            "Dropout",
            "Dropout1d",
            "Dropout2d",
            "Dropout3d",
            "AlphaDropout",
        ],
        dropout,
    ),
    (&["PReLU"], prelu),
    (&["Flatten"], flatten),
    (&["PixelShuffle"], pixel_shuffle),
    (&["Hardtanh"], hardtanh),
    (&["GELU"], gelu),
    (&["LeakyReLU"], |layer, out| {
        activation(layer, out, &[("negative_slope", "negative_slope")])
    }),
    (&["ELU", "CELU"], |layer, out| {
        activation(layer, out, &[("alpha", "alpha")])
    }),
    (
        &["ReLU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "SELU"],
        |layer, out| activation(layer, out, &[]),
    ),
];

/// One module and what it called.
struct Layer<'a> {
    trace: &'a Trace,
    module: ModuleId,
    operators: &'a [CallId],
}

struct Out(Attributes);

impl Out {
    fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push((SmolStr::new_static(name), value.into()));
    }

    /// Sets what is known, and leaves out what is not.
    fn known(&mut self, name: &'static str, value: Option<Value>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }
}

impl<'a> Layer<'a> {
    /// The first operator whose name begins with `prefix`, without a trailing underscore.
    fn operator(&self, prefix: &str) -> Option<&'a Call> {
        self.operators
            .iter()
            .map(|id| self.trace.call(*id))
            .find(|call| match &call.target {
                Target::Operator(name) => name
                    .strip_prefix("aten.")
                    .is_some_and(|name| name.starts_with(prefix)),
                _ => false,
            })
    }

    /// The first call of any of these operators.
    fn first(&self, names: &[&str]) -> Option<&'a Call> {
        let mut calls = self.operators.iter().map(|id| self.trace.call(*id));
        calls.find(|call| match &call.target {
            Target::Operator(name) => names.contains(&name.as_str()),
            _ => false,
        })
    }

    /// The shape of one of the module's own parameters.
    fn parameter(&self, name: &str) -> Option<&'a Shape> {
        let parameters = &self.trace.module(self.module).parameters;
        let (_, id) = parameters.iter().find(|(own, _)| own == name)?;
        Some(&self.trace.parameter((*id)?).shape)
    }

    fn has_buffer(&self, name: &str) -> bool {
        let buffers = &self.trace.module(self.module).buffers;
        buffers.iter().any(|(own, _)| own == name)
    }

    fn shape(&self, value: Option<&Value>) -> Option<&'a Shape> {
        self.trace.tensor(value?.tensor()?).shape.as_ref()
    }
}

fn argument<'a>(call: Option<&'a Call>, name: &str) -> Option<&'a Value> {
    call?.argument(name)
}

fn given(call: Option<&Call>, name: &str) -> Option<Value> {
    argument(call, name).cloned()
}

/// One value for each of `n` dimensions, as `_ntuple` makes it.
fn tuple(value: Option<&Value>, n: usize, default: i32) -> Value {
    let repeated = |dim: Dim| Value::Tuple(vec![Value::Int(dim); n]);
    match value {
        Some(Value::Str(text)) => Value::Str(text.clone()),
        Some(Value::List(items) | Value::Tuple(items)) => match items.as_slice() {
            [] => repeated(Dim::from(default)),
            [Value::Int(single)] => repeated(single.clone()),
            items => Value::Tuple(items.to_vec()),
        },
        Some(Value::Int(single)) => repeated(single.clone()),
        _ => repeated(Dim::from(default)),
    }
}

fn sizes(dims: &[Dim]) -> Value {
    Value::Tuple(dims.iter().cloned().map(Value::Int).collect())
}

fn conv(layer: &Layer<'_>, out: &mut Out) {
    let call = layer.operator("conv");
    let groups = argument(call, "groups")
        .and_then(Value::int)
        .unwrap_or(Dim::ONE);
    let weight = layer
        .parameter("weight")
        .or_else(|| layer.shape(argument(call, "weight")));
    let Some([outputs, inputs, kernel @ ..]) = weight.map(Vec::as_slice) else {
        return;
    };
    let n = kernel.len();
    out.set("in_channels", inputs * &groups);
    out.set("out_channels", outputs.clone());
    out.set("kernel_size", sizes(kernel));
    if call.is_some() {
        out.set("stride", tuple(argument(call, "stride"), n, 1));
        out.set("padding", tuple(argument(call, "padding"), n, 0));
        out.set("dilation", tuple(argument(call, "dilation"), n, 1));
        out.set("groups", groups);
    }
    out.set("transposed", false);
    out.set("output_padding", tuple(None, n, 0));
    let padded = layer
        .operator("pad")
        .and_then(|call| call.argument("mode").cloned());
    out.set("padding_mode", padded.unwrap_or(Value::from("zeros")));
}

fn conv_transpose(layer: &Layer<'_>, out: &mut Out) {
    let call = layer.operator("conv");
    let groups = argument(call, "groups")
        .and_then(Value::int)
        .unwrap_or(Dim::ONE);
    let weight = layer
        .parameter("weight")
        .or_else(|| layer.shape(argument(call, "weight")));
    let Some([inputs, outputs, kernel @ ..]) = weight.map(Vec::as_slice) else {
        return;
    };
    let n = kernel.len();
    out.set("in_channels", inputs.clone());
    out.set("out_channels", outputs * &groups);
    out.set("kernel_size", sizes(kernel));
    if call.is_some() {
        out.set("stride", tuple(argument(call, "stride"), n, 1));
        out.set("padding", tuple(argument(call, "padding"), n, 0));
        out.set("dilation", tuple(argument(call, "dilation"), n, 1));
        out.set(
            "output_padding",
            tuple(argument(call, "output_padding"), n, 0),
        );
        out.set("groups", groups);
    }
    out.set("transposed", true);
    out.set("padding_mode", "zeros");
}

/// torchvision's operator has a number for each dimension under its own name.
fn deformable(layer: &Layer<'_>, out: &mut Out) {
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

fn linear(layer: &Layer<'_>, out: &mut Out) {
    let weight = layer.parameter("weight");
    let weight = weight.or_else(|| layer.shape(argument(layer.operator("linear"), "weight")));
    if let Some([outputs, inputs]) = weight.map(Vec::as_slice) {
        out.set("in_features", inputs.clone());
        out.set("out_features", outputs.clone());
    }
}

fn bilinear(layer: &Layer<'_>, out: &mut Out) {
    if let Some([outputs, first, second]) = layer.parameter("weight").map(Vec::as_slice) {
        out.set("in1_features", first.clone());
        out.set("in2_features", second.clone());
        out.set("out_features", outputs.clone());
    }
}

/// BatchNorm and InstanceNorm.
fn batch_norm(layer: &Layer<'_>, out: &mut Out) {
    let call = layer
        .operator("batch_norm")
        .or_else(|| layer.operator("instance_norm"));
    let channels = layer
        .shape(argument(call, "input"))
        .and_then(|shape| shape.get(1))
        .cloned();
    let features = layer
        .parameter("weight")
        .and_then(|shape| shape.first())
        .cloned();
    out.known("num_features", features.or(channels).map(Value::Int));
    out.known("eps", given(call, "eps"));
    out.known("momentum", given(call, "momentum"));
    out.set("affine", layer.parameter("weight").is_some());
    out.set("track_running_stats", layer.has_buffer("running_mean"));
}

fn layer_norm(layer: &Layer<'_>, out: &mut Out) {
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

fn group_norm(layer: &Layer<'_>, out: &mut Out) {
    let call = layer.operator("group_norm");
    let channels = layer
        .shape(argument(call, "input"))
        .and_then(|shape| shape.get(1))
        .cloned();
    let features = layer
        .parameter("weight")
        .and_then(|shape| shape.first())
        .cloned();
    out.known("num_groups", given(call, "num_groups"));
    out.known("num_channels", features.or(channels).map(Value::Int));
    out.known("eps", given(call, "eps"));
    out.set("affine", layer.parameter("weight").is_some());
}

/// Operators take one number for each dimension; where all are equal, people write one.
pub fn as_written(value: Option<&Value>) -> Option<Value> {
    match value? {
        Value::List(items) | Value::Tuple(items) => match items.as_slice() {
            [] => None,
            [first, rest @ ..] if rest.iter().all(|item| item == first) => Some(first.clone()),
            items => Some(Value::Tuple(items.to_vec())),
        },
        value => Some(value.clone()),
    }
}

fn max_pool(layer: &Layer<'_>, out: &mut Out) {
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

fn avg_pool(layer: &Layer<'_>, out: &mut Out) {
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

fn adaptive_pool(layer: &Layer<'_>, out: &mut Out) {
    let size = match given(layer.operator("adaptive_"), "output_size") {
        Some(Value::List(items)) => match <[Value; 1]>::try_from(items) {
            Ok([single]) => Some(single),
            Err(items) => Some(Value::Tuple(items)),
        },
        value => value,
    };
    out.known("output_size", size);
}

fn softmax(layer: &Layer<'_>, out: &mut Out) {
    let call = layer
        .operators
        .iter()
        .map(|id| layer.trace.call(*id))
        .find(|call| call.argument("dim").is_some());
    out.known("dim", given(call, "dim"));
}

fn upsample(layer: &Layer<'_>, out: &mut Out) {
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

fn embedding(layer: &Layer<'_>, out: &mut Out) {
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

/// How many gates a recurrent layer computes at once.
fn gates(class: &str) -> i128 {
    if class.contains("LSTM") {
        4
    } else if class.contains("GRU") {
        3
    } else {
        1
    }
}

fn recurrent(layer: &Layer<'_>, out: &mut Out) {
    let class = &layer.trace.module(layer.module).class;
    let family = ["LSTM", "GRU", "RNN"]
        .into_iter()
        .find(|name| is(class, name));
    let family = family.unwrap_or("RNN");
    let call = ["lstm", "gru", "rnn_"]
        .iter()
        .find_map(|op| layer.operator(op));
    let relu = layer.operator("rnn_relu").is_some();
    out.set(
        "mode",
        match family {
            "RNN" if relu => "RNN_RELU",
            "RNN" => "RNN_TANH",
            other => other,
        },
    );
    let first = layer.parameter("weight_ih_l0").map(Vec::as_slice);
    let second = layer.parameter("weight_hh_l0").map(Vec::as_slice);
    if let (Some([rows, inputs]), Some([_, state])) = (first, second) {
        let hidden = rows.floor_div(&Dim::Const(gates(family)));
        out.set("input_size", inputs.clone());
        // With a projection the state is smaller than the cell.
        out.set(
            "proj_size",
            if *state == hidden {
                Dim::ZERO
            } else {
                state.clone()
            },
        );
        out.set("hidden_size", hidden);
    }
    let parameters = &layer.trace.module(layer.module).parameters;
    let own = |prefix: &str, reverse: bool| {
        let names = parameters.iter().map(|(name, _)| name.as_str());
        names
            .filter(|n| n.starts_with(prefix) && n.ends_with("_reverse") == reverse)
            .count()
    };
    let layers = i64::try_from(own("weight_ih_l", false)).unwrap_or_default();
    out.set(
        "num_layers",
        given(call, "num_layers").unwrap_or(Value::from(layers)),
    );
    out.set("bias", own("bias_ih_l", false) > 0);
    out.set("bidirectional", own("weight_ih_l", true) > 0);
    out.known("batch_first", given(call, "batch_first"));
    out.known("dropout", given(call, "dropout"));
}

fn recurrent_cell(layer: &Layer<'_>, out: &mut Out) {
    let class = &layer.trace.module(layer.module).class;
    if let Some([rows, inputs]) = layer.parameter("weight_ih").map(Vec::as_slice) {
        let family = ["LSTMCell", "GRUCell"]
            .into_iter()
            .find(|name| is(class, name));
        out.set("input_size", inputs.clone());
        out.set(
            "hidden_size",
            rows.floor_div(&Dim::Const(gates(family.unwrap_or("")))),
        );
    }
    out.set("bias", layer.parameter("bias_ih").is_some());
}

fn attention(layer: &Layer<'_>, out: &mut Out) {
    let module = layer.trace.module(layer.module);
    let project = module.children.iter().find(|(name, _)| name == "out_proj");
    let project = project.and_then(|(_, id)| {
        let (_, weight) = layer
            .trace
            .module(*id)
            .parameters
            .iter()
            .find(|(n, _)| n == "weight")?;
        layer.trace.parameter((*weight)?).shape.first()
    });
    let embed = project.or_else(|| layer.parameter("in_proj_weight").and_then(|w| w.get(1)));
    let Some(embed) = embed.cloned() else {
        return;
    };
    let own = |name: &str| {
        layer
            .parameter(name)
            .and_then(|shape| shape.get(1))
            .cloned()
    };
    let kdim = own("k_proj_weight").unwrap_or_else(|| embed.clone());
    let vdim = own("v_proj_weight").unwrap_or_else(|| embed.clone());
    let same = layer.parameter("in_proj_weight").is_some();
    // Attention itself sees the heads apart: … × heads × length × head_dim.
    let query = layer.operator("scaled_dot_product_attention");
    let query = query.and_then(|call| call.argument("query"));
    let product = layer.first(&["aten.bmm", "aten.baddbmm"]);
    let product = product.and_then(|call| call.argument("batch1").or(call.argument("self")));
    let head = layer
        .shape(query.or(product))
        .and_then(|shape| shape.last())
        .cloned();
    if let Some(head) = head {
        out.set("num_heads", embed.floor_div(&head));
        out.set("head_dim", head);
    }
    out.set("embed_dim", embed);
    out.set("kdim", kdim);
    out.set("vdim", vdim);
    out.set("_qkv_same_embed_dim", same);
    // Only batch_first transposes before it projects.
    let names = layer
        .operators
        .iter()
        .filter_map(|id| match &layer.trace.call(*id).target {
            Target::Operator(name) => Some(name.as_str()),
            _ => None,
        });
    let before = names
        .take_while(|name| *name != "aten.linear")
        .collect::<Vec<_>>();
    if !layer.operators.is_empty() {
        out.set("batch_first", before.contains(&"aten.transpose"));
    }
    out.set("bias", layer.parameter("in_proj_bias").is_some());
    out.set("add_zero_attn", false);
}

fn dropout(layer: &Layer<'_>, out: &mut Out) {
    let call = layer.operators.first().map(|id| layer.trace.call(*id));
    out.known("p", given(call, "p"));
    activation(layer, out, &[]);
}

fn prelu(layer: &Layer<'_>, out: &mut Out) {
    if let Some(shape) = layer.parameter("weight") {
        out.set("num_parameters", Dim::product(shape));
    }
}

fn flatten(layer: &Layer<'_>, out: &mut Out) {
    let call = layer.operator("flatten");
    out.known("start_dim", given(call, "start_dim"));
    out.known("end_dim", given(call, "end_dim"));
}

fn pixel_shuffle(layer: &Layer<'_>, out: &mut Out) {
    out.known(
        "upscale_factor",
        given(layer.operator("pixel_shuffle"), "upscale_factor"),
    );
}

fn hardtanh(layer: &Layer<'_>, out: &mut Out) {
    activation(
        layer,
        out,
        &[("min_val", "min_val"), ("max_val", "max_val")],
    );
}

fn gelu(layer: &Layer<'_>, out: &mut Out) {
    out.known("approximate", given(layer.operator("gelu"), "approximate"));
}

/// Layers that apply one operator, in place or not.
fn activation(layer: &Layer<'_>, out: &mut Out, names: &[(&'static str, &str)]) {
    let Some(call) = layer.operators.first().map(|id| layer.trace.call(*id)) else {
        return;
    };
    for (own, theirs) in names {
        out.known(own, call.argument(theirs).cloned());
    }
    if let Target::Operator(name) = &call.target {
        out.set("inplace", name.ends_with('_'));
    }
}
