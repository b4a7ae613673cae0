//! What a program's operator calls tell about the modules that made them.
//!
//! A program has operators and parameters, but not the constructor arguments of the modules; rules
//! read those as `m.kernel_size`. For the layers of `torch.nn` everything that rules read can be
//! told from the operator that the layer's `forward` calls and from the shapes of its parameters.

use std::sync::LazyLock;

use foldhash::HashMap;
use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::trace::{Call, CallId, Class, ModuleId, Shape, Target, Trace};
use modelcost_core::value::Value;

mod fill;
mod pools;
mod products;
mod sequences;

pub use fill::{fill, outer_operators};
use pools::{adaptive_pool, avg_pool, batch_norm, group_norm, layer_norm, max_pool, upsample};
use products::{bilinear, conv, conv_transpose, deformable, embedding, linear};
use sequences::{attention, recurrent, recurrent_cell};

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
    let mut out = Out(Vec::new());
    if let Some(rule) = rule_of(class) {
        rule(&layer, &mut out);
    }
    out.0
}

/// The first rule for a class or one that it derives from.
fn rule_of(class: &Class) -> Option<Rule> {
    static BY_NAME: LazyLock<HashMap<&str, usize>> = LazyLock::new(|| {
        let rows = RULES.iter().enumerate();
        rows.flat_map(|(at, (names, _))| names.iter().map(move |name| (*name, at)))
            .collect()
    });
    let names = std::iter::once(&class.name).chain(&class.bases);
    let short = names.map(|name| name.strip_prefix("torch.nn.").unwrap_or(name));
    let first = short.filter_map(|name| BY_NAME.get(name)).min()?;
    Some(RULES[*first].1)
}

/// Whether a class is the layer of this name or derives from it.
fn is(class: &Class, short: &str) -> bool {
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

fn softmax(layer: &Layer<'_>, out: &mut Out) {
    let call = layer
        .operators
        .iter()
        .map(|id| layer.trace.call(*id))
        .find(|call| call.argument("dim").is_some());
    out.known("dim", given(call, "dim"));
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
