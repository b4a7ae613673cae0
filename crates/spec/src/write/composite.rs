//! Constructors of modules that are made of others: what they were given is told from their
//! children.

use modelcost_core::SmolStr;
use modelcost_core::trace::{ModuleId, Trace};
use modelcost_core::value::Value;
use modelcost_torch::{ClassInfo, class};

use super::constructor::{Argument, Constructor, by_attributes};
use super::pieces::same;
use super::python;

type Found = Option<Constructor>;

/// The constructor of a module of one of these classes; nothing for other classes.
pub(super) fn find(trace: &Trace, module: ModuleId, info: ClassInfo) -> Option<Found> {
    let m = Module { trace, id: module };
    Some(match info.short_name() {
        "Conv2dNormActivation" | "Conv3dNormActivation" => conv_norm_activation(m, info),
        "SqueezeExcitation" => squeeze_excitation(m, info),
        "MLP" => mlp(m, info),
        "TransformerEncoderLayer" | "TransformerDecoderLayer" => transformer_layer(m, info),
        "TransformerEncoder" => transformer(m, info, "encoder_layer"),
        "TransformerDecoder" => transformer(m, info, "decoder_layer"),
        "Transformer" => whole_transformer(m, info),
        _ => return None,
    })
}

#[derive(Clone, Copy)]
struct Module<'t> {
    trace: &'t Trace,
    id: ModuleId,
}

impl<'t> Module<'t> {
    fn children(self) -> impl Iterator<Item = Module<'t>> {
        let children = self.trace.module(self.id).children.iter();
        children.map(move |(_, id)| Module {
            trace: self.trace,
            id: *id,
        })
    }

    fn child(self, name: &str) -> Option<Module<'t>> {
        let mut children = self.trace.module(self.id).children.iter();
        children.find(|(own, _)| own == name).map(|(_, id)| Module {
            trace: self.trace,
            id: *id,
        })
    }

    fn is(self, short: &str) -> bool {
        self.trace.module(self.id).class.short_name() == short
    }

    fn attribute(self, name: &str) -> Option<Value> {
        self.trace.attribute(self.id, name).cloned()
    }

    fn class(self) -> Option<ClassInfo> {
        class(&self.trace.module(self.id).class.name)
    }

    /// The arguments of its own constructor.
    fn constructor(self) -> Option<Constructor> {
        let info = self.class()?;
        match find(self.trace, self.id, info) {
            Some(found) => found,
            None => by_attributes(self.trace, self.id, info),
        }
    }

    /// An argument of its own constructor.
    fn argument(self, name: &str) -> Option<Value> {
        let found = self.constructor()?;
        found
            .arguments
            .into_iter()
            .find_map(|(own, argument)| match argument {
                Argument::Value(value) if own == name => Some(value),
                _ => None,
            })
    }

    /// The class as an argument of another constructor, `partial(BatchNorm2d, eps=0.001)` where it
    /// is given more than the other gives it.
    fn factory(self, given: &[&str]) -> Option<Value> {
        let found = self.constructor()?;
        let info = found.class;
        let mut text = String::new();
        for (name, argument) in &found.arguments {
            let parameter = info
                .signature()
                .parameters
                .iter()
                .find(|p| p.name == *name)?;
            let (Some(default), Argument::Value(value)) = (&parameter.default, argument) else {
                continue;
            };
            if !same(default, value) && !given.contains(&name.as_str()) {
                text.push_str(&format!(", {name}={}", python::value(value)));
            }
        }
        let name = info.name();
        Some(Value::Opaque(match text.is_empty() {
            true => SmolStr::new_static(name),
            false => format!("functools.partial({name}{text})").into(),
        }))
    }
}

fn constructor(class: ClassInfo, arguments: Vec<(&'static str, Value)>) -> Constructor {
    let arguments = arguments.into_iter();
    Constructor {
        class,
        arguments: arguments
            .map(|(name, value)| (SmolStr::new_static(name), Argument::Value(value)))
            .collect(),
    }
}

fn conv_norm_activation(m: Module<'_>, info: ClassInfo) -> Found {
    let mut children = m.children();
    let convolution = children.next()?;
    let rest: Vec<Module<'_>> = children.collect();
    let has_size = |module: &&Module<'_>| {
        module.attribute("num_features").is_some()
            || module.attribute("num_channels").is_some()
            || module.attribute("normalized_shape").is_some()
    };
    let norm = rest.first().filter(has_size);
    let activation = match norm {
        Some(_) => rest.get(1),
        None => rest.first(),
    };
    let class = |module: Option<&Module<'_>>, given: &[&str]| match module {
        Some(module) => module.factory(given),
        None => Some(Value::None),
    };
    let mut arguments: Vec<(&'static str, Value)> = Vec::new();
    for name in ["in_channels", "out_channels", "kernel_size", "stride"] {
        arguments.push((name, convolution.argument(name)?));
    }
    let (kernel, dilation) = (
        convolution.argument("kernel_size")?,
        convolution.argument("dilation")?,
    );
    let padding = convolution.argument("padding")?;
    let usual = match (kernel.int(), dilation.int()) {
        (Some(kernel), Some(dilation)) => {
            let half = (kernel - 1).floor_div(&2.into());
            Value::Int(half * dilation)
        }
        _ => Value::None,
    };
    let padding = if padding == usual {
        Value::None
    } else {
        padding
    };
    let bias = convolution.argument("bias")?;
    let bias = if bias == Value::Bool(norm.is_none()) {
        Value::None
    } else {
        bias
    };
    let in_place = activation.map(|module| module.attribute("inplace"));
    let in_place = match in_place {
        None => Value::Bool(true),
        Some(Some(value)) => value,
        Some(None) => Value::None,
    };
    // An activation that cannot work in place is made with inplace=None.
    let takes = activation
        .and_then(|module| module.class())
        .is_none_or(|class| {
            let mut parameters = class.signature().parameters.iter();
            parameters.any(|parameter| parameter.name == "inplace")
        });
    arguments.extend([
        ("padding", padding),
        ("groups", convolution.argument("groups")?),
        (
            "norm_layer",
            class(norm, &["num_features", "num_channels", "normalized_shape"])?,
        ),
        ("activation_layer", class(activation, &["inplace"])?),
        ("dilation", dilation),
        ("inplace", if takes { in_place } else { Value::None }),
        ("bias", bias),
    ]);
    Some(constructor(info, arguments))
}

fn squeeze_excitation(m: Module<'_>, info: ClassInfo) -> Found {
    let first = m.child("fc1")?;
    Some(constructor(
        info,
        vec![
            ("input_channels", first.argument("in_channels")?),
            ("squeeze_channels", first.argument("out_channels")?),
            ("activation", m.child("activation")?.factory(&[])?),
            (
                "scale_activation",
                m.child("scale_activation")?.factory(&[])?,
            ),
        ],
    ))
}

fn mlp(m: Module<'_>, info: ClassInfo) -> Found {
    let linears: Vec<Module<'_>> = m.children().filter(|child| child.is("Linear")).collect();
    let dropout = m.children().find(|child| child.is("Dropout"))?;
    let others: Vec<Module<'_>> = m
        .children()
        .filter(|child| !child.is("Linear") && !child.is("Dropout"))
        .collect();
    let activation = others.last();
    let norm = others
        .first()
        .filter(|norm| norm.attribute("normalized_shape").is_some());
    let first = linears.first()?;
    let widths: Option<Vec<Value>> = linears.iter().map(|l| l.argument("out_features")).collect();
    let in_place = activation.and_then(|module| module.attribute("inplace"));
    Some(constructor(
        info,
        vec![
            ("in_channels", first.argument("in_features")?),
            ("hidden_channels", Value::List(widths?)),
            (
                "norm_layer",
                norm.map_or(Some(Value::None), |n| n.factory(&["normalized_shape"]))?,
            ),
            (
                "activation_layer",
                activation.map_or(Some("torch.nn.ReLU".into()), |a| a.factory(&["inplace"]))?,
            ),
            (
                "inplace",
                in_place
                    .filter(|value| *value == Value::Bool(true))
                    .unwrap_or_default(),
            ),
            ("bias", first.argument("bias")?),
            ("dropout", dropout.argument("p")?),
        ],
    ))
}

fn transformer_layer(m: Module<'_>, info: ClassInfo) -> Found {
    let (attention, first) = (m.child("self_attn")?, m.child("linear1")?);
    let calls = m.trace.calls_by_module();
    let call_of = |module: Module<'_>| calls[module.id.index()].first().copied();
    let norm_first = m.attribute("norm_first").unwrap_or_else(|| {
        let norm = m.child("norm1").and_then(call_of);
        let before = norm
            .zip(call_of(attention))
            .is_some_and(|(norm, own)| norm < own);
        Value::Bool(before)
    });
    let norm = m.child("norm1")?;
    let activation = m.attribute("activation").unwrap_or_else(|| {
        let call = calls[m.id.index()].first().copied();
        let inside = call.into_iter().flat_map(|call| m.trace.inside(call));
        let gelu = inside.into_iter().any(|(_, call)| match &call.target {
            modelcost_core::trace::Target::Operator(name) => name == "aten.gelu",
            _ => false,
        });
        Value::Opaque(SmolStr::new_static(if gelu { "F.gelu" } else { "F.relu" }))
    });
    Some(constructor(
        info,
        vec![
            ("d_model", attention.argument("embed_dim")?),
            ("nhead", attention.argument("num_heads")?),
            ("dim_feedforward", first.argument("out_features")?),
            ("dropout", m.child("dropout")?.argument("p")?),
            ("activation", activation),
            ("layer_norm_eps", norm.argument("eps")?),
            ("batch_first", attention.argument("batch_first")?),
            ("norm_first", norm_first),
            ("bias", first.argument("bias")?),
        ],
    ))
}

fn transformer(m: Module<'_>, info: ClassInfo, layer: &'static str) -> Found {
    let layers = m.child("layers")?;
    let first = layers.children().next()?;
    let mut arguments = vec![
        (
            SmolStr::new_static(layer),
            Argument::Module(first.constructor()?),
        ),
        (
            SmolStr::new_static("num_layers"),
            Argument::Value(Value::from(layers.children().count())),
        ),
    ];
    if let Some(norm) = m.child("norm") {
        arguments.push((
            SmolStr::new_static("norm"),
            Argument::Module(norm.constructor()?),
        ));
    }
    Some(Constructor {
        class: info,
        arguments,
    })
}

fn whole_transformer(m: Module<'_>, info: ClassInfo) -> Found {
    let stacks = ["encoder", "decoder"].map(|name| m.child(name)?.child("layers"));
    let [Some(encoder), Some(decoder)] = stacks else {
        return None;
    };
    let layer = encoder.children().next()?.constructor()?;
    let mut found = layer;
    let counts = [
        ("num_encoder_layers", encoder.children().count()),
        ("num_decoder_layers", decoder.children().count()),
    ];
    for (at, (name, count)) in counts.into_iter().enumerate() {
        let count = Argument::Value(Value::from(count));
        found
            .arguments
            .insert(2 + at, (SmolStr::new_static(name), count));
    }
    found.class = info;
    Some(found)
}
