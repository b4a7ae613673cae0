//! The constructor call that made a module of PyTorch, told from what the trace knows of it.
//!
//! Whatever is found is tried: the module that the call makes must own what the module in the
//! trace owns, and give what that gave. Otherwise the module is written out as a block.

use std::collections::HashMap;

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{Call, CallId, Class, ModuleId, Passed, Target, TensorId, Trace};
use modelcost_core::value::Value;
use modelcost_torch::{Arguments, ClassInfo, Kind, Tracer};

use super::pieces::{Constant, Given, Piece, Pieces, call, text};
use super::{composite, function};

/// A constructor and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Constructor {
    pub class: ClassInfo,
    /// All parameters of the signature that matter, in its order.
    pub arguments: Vec<(SmolStr, Argument)>,
}

/// An argument of a constructor.
#[derive(Clone, Debug)]
pub(super) enum Argument {
    Value(Value),
    Module(Constructor),
}

/// The class of PyTorch that a class is, or is a subclass of without anything of its own.
pub(super) fn known(class: &Class) -> Option<ClassInfo> {
    let exactly = |name: &str| modelcost_torch::class(name).filter(|info| info.name() == name);
    exactly(&class.name)
}

/// The constructor call of a module, tried out.
pub(super) fn find(trace: &Trace, module: ModuleId, calls: &[CallId]) -> Option<Constructor> {
    let class = &trace.module(module).class;
    let info = known(class)?;
    let found = match composite::find(trace, module, info) {
        Some(found) => found?,
        None => by_attributes(trace, module, info)?,
    };
    let found = with_size_as_passed(trace, found, calls);
    agrees(trace, module, &found, calls, does_work).then_some(found)
}

/// An Upsample passes its size on as it was given, a number or one for each dimension, and there are
/// tools that look at which.
fn with_size_as_passed(trace: &Trace, mut found: Constructor, calls: &[CallId]) -> Constructor {
    let passed = calls.first().and_then(|call| {
        let mut direct = trace.direct(*call);
        direct.find_map(|(_, call)| match &call.target {
            Target::Function(name) if name == "torch.nn.functional.interpolate" => call
                .argument("size")
                .filter(|size| !size.is_none())
                .cloned(),
            _ => None,
        })
    });
    let mut arguments = found.arguments.iter_mut();
    let own = arguments.find(|(name, _)| name == "size");
    if let (Some(passed), Some((_, argument)), "Upsample") = (passed, own, found.class.short_name())
    {
        let tuple = |items: &[Value]| Value::Tuple(items.to_vec());
        *argument = Argument::Value(passed.items().map_or_else(|| passed.clone(), tuple));
    }
    found
}

/// The constructor of the layer that a module's class derives from, for classes that change
/// nothing but the name.
pub(super) fn find_base(trace: &Trace, module: ModuleId, calls: &[CallId]) -> Option<Constructor> {
    let class = &trace.module(module).class;
    let first = class.bases.first()?;
    let info = modelcost_torch::class(first).filter(|info| info.name() == first.as_str())?;
    if info.name().ends_with("Sequential") || info.name().contains(".Module") {
        return None;
    }
    let found = by_attributes(trace, module, info)?;
    agrees(trace, module, &found, calls, does_anything).then_some(found)
}

/// Attributes bear the names of the constructor's parameters.
pub(super) fn by_attributes(
    trace: &Trace,
    module: ModuleId,
    info: ClassInfo,
) -> Option<Constructor> {
    let mut arguments = Vec::new();
    for parameter in &info.signature().parameters {
        let name = parameter.name.as_str();
        if parameter.kind != Kind::Normal && parameter.kind != Kind::KeywordOnly {
            continue;
        }
        let value = match name {
            "device" => continue,
            "dtype" => dtype(trace, module),
            _ => attribute(trace, module, info.short_name(), name),
        };
        let value = match (value, &parameter.default) {
            (Some(value), _) => value,
            (None, Some(default)) => default.clone(),
            (None, None) => return None,
        };
        // Of a size that the file does not say, nothing can be made.
        if value.int().is_some_and(|dim| dim.has_unknown()) {
            return None;
        }
        arguments.push((parameter.name.clone(), Argument::Value(value)));
    }
    Some(Constructor {
        class: info,
        arguments,
    })
}

/// The element type of a module's parameters, where it is not the usual one.
fn dtype(trace: &Trace, module: ModuleId) -> Option<Value> {
    let own = &trace.module(module).parameters;
    let first = own.iter().find_map(|(_, id)| *id)?;
    let dtype = trace.parameter(first).dtype;
    (dtype != DType::Float32).then_some(Value::DType(dtype))
}

/// The argument that an attribute was, as people write it.
fn attribute(trace: &Trace, module: ModuleId, class: &str, name: &str) -> Option<Value> {
    let found = trace.module(module);
    let own = |name: &str| {
        let mut parameters = found.parameters.iter();
        parameters
            .find(|(own, _)| own == name)
            .map(|(_, id)| id.is_some())
    };
    let kept = trace.attribute(module, name).cloned();
    let convolution = class.starts_with("Conv") || class == "DeformConv2d";
    match name {
        "bias" if kept.is_none() || convolution => match class {
            "LayerNorm" | "LayerNorm2d" | "GroupNorm" if own("weight") != Some(true) => None,
            "MultiheadAttention" => own("in_proj_bias").map(Value::Bool),
            _ => Some(Value::Bool(own("bias")?)),
        },
        "kernel_size" | "stride" | "padding" | "dilation" | "output_padding" if convolution => {
            kept.map(one_for_all)
        }
        "stride" if class.contains("Pool") => {
            let kernel = trace.attribute(module, "kernel_size");
            kept.filter(|stride| Some(stride) != kernel)
        }
        "normalized_shape" => kept.map(|value| match value.items() {
            Some([single]) => single.clone(),
            _ => value,
        }),
        "kdim" | "vdim" => kept.filter(|size| Some(size) != trace.attribute(module, "embed_dim")),
        "add_bias_kv" => own("bias_k").filter(|there| *there).map(Value::Bool),
        "nonlinearity" if class == "RNN" => match trace.attribute(module, "mode") {
            Some(Value::Str(mode)) if mode == "RNN_RELU" => Some(Value::from("relu")),
            _ => None,
        },
        "p" if class.contains("Dropout") => kept,
        _ => kept,
    }
}

/// `(3, 3)` as `3`.
fn one_for_all(value: Value) -> Value {
    match value.items() {
        Some([first, rest @ ..]) if rest.iter().all(|item| item == first) => first.clone(),
        _ => value,
    }
}

impl Constructor {
    /// Makes the module.
    pub fn make(&self, tracer: &mut Tracer) -> Option<ModuleId> {
        let mut arguments = Arguments::new();
        for (name, argument) in &self.arguments {
            let value = match argument {
                Argument::Value(value) => value.clone(),
                Argument::Module(inner) => Tracer::module_value(inner.make(tracer)?),
            };
            arguments.keyword.push((name.clone(), value));
        }
        tracer.construct(self.class.name(), &arguments, "").ok()
    }

    /// As a spec writes it; `name` is the name of the class.
    pub fn pieces(&self, name: &str) -> Pieces {
        let mut required = true;
        let mut given = Vec::new();
        for (name, argument) in &self.arguments {
            let signature = self.class.signature();
            let parameter = signature.parameters.iter().find(|p| p.name == *name);
            let default = parameter.and_then(|parameter| parameter.default.clone());
            // `Dropout(0.5)` is what everyone writes.
            required &= default.is_none() || name == "p";
            let value = match argument {
                Argument::Value(value) => vec![Piece::Constant(Constant {
                    value: value.clone(),
                    role: name.clone(),
                    constructs: true,
                    number: 0,
                })],
                Argument::Module(inner) => inner.pieces(inner.class.short_name()),
            };
            given.push(Given {
                keyword: (!required).then(|| name.clone()),
                default,
                value,
            });
        }
        call(text(name), given)
    }
}

/// Whether a constructor makes what is there, and the module does what it did.
fn agrees(
    trace: &Trace,
    module: ModuleId,
    found: &Constructor,
    calls: &[CallId],
    counts: fn(&str) -> bool,
) -> bool {
    let mut tracer = Tracer::new("", "toml");
    let Some(made) = found.make(&mut tracer) else {
        return false;
    };
    if !same_module(trace, module, tracer.builder.trace(), made) {
        return false;
    }
    // A second call differs in its sizes only.
    let Some(id) = calls.first().copied() else {
        return true;
    };
    let first = trace.call(id);
    let mut arguments = Arguments::new();
    let mut copies = HashMap::new();
    for argument in &first.arguments {
        let Some(value) = copied(trace, &argument.value, &mut tracer, &mut copies) else {
            return false;
        };
        match argument.passed {
            Passed::Position => arguments.positional.push(value),
            Passed::Keyword => {
                arguments.keyword.push((argument.name.clone(), value));
            }
            Passed::Default => {}
        }
    }
    let before = tracer.builder.trace().calls.len();
    if attention_without_weights(&found.class, first) {
        arguments
            .keyword
            .push(("need_weights".into(), false.into()));
    }
    let Ok(output) = tracer.call_module(made, &arguments, None) else {
        return false;
    };
    let copy = tracer.builder.trace();
    same_shapes(trace, &first.output, copy, &output)
        && work(trace.inside(id).map(|(_, call)| call), counts)
            == work(copy.calls[before..].iter(), counts)
}

/// Whether the tensors of two values have the same shapes, as far as both are numbers. What the
/// second does not know it did not tell.
pub(super) fn same_shapes(a: &Trace, x: &Value, b: &Trace, y: &Value) -> bool {
    let (left, right) = (x.tensors(), y.tensors());
    let open = |x: &Dim, y: &Dim| !x.is_const() || !y.is_const() && !y.has_unknown();
    let same = |x: &Dim, y: &Dim| x == y || open(x, y);
    left.len() == right.len()
        && left
            .iter()
            .zip(&right)
            .all(|(x, y)| match (&a.tensor(*x).shape, &b.tensor(*y).shape) {
                (Some(x), Some(y)) => {
                    x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
                }
                (x, y) => x == y,
            })
}

/// Attention whose weights nobody asked for returns `None` in their place.
pub(super) fn attention_without_weights(class: &ClassInfo, call: &Call) -> bool {
    class.short_name() == "MultiheadAttention"
        && matches!(call.output.items(), Some([_, Value::None]))
        && call.argument("need_weights").is_none()
}

/// Operators that do most of the work, as layers call them: what those dispatch to depends on how
/// tensors lie in memory.
const WORK: &[&str] = &[
    "aten.convolution",
    "aten.linear",
    "aten.matmul",
    "aten.conv1d",
    "aten.conv2d",
    "aten.conv3d",
    "aten.einsum",
    "aten.lstm",
    "aten.gru",
    "aten.scaled_dot_product_attention",
    "aten.batch_norm",
    "aten.layer_norm",
];

fn does_work(operator: &str) -> bool {
    WORK.contains(&operator)
}

/// A layer of a user's own does what its base does only if it calls nothing else.
fn does_anything(operator: &str) -> bool {
    !function::is_idle_operator(operator)
}

fn work<'t>(calls: impl Iterator<Item = &'t Call>, counts: fn(&str) -> bool) -> Vec<&'t str> {
    let operators = calls.filter_map(|call| match &call.target {
        Target::Operator(name) => Some(name.as_str()),
        _ => None,
    });
    operators.filter(|name| counts(name)).collect()
}

/// A value with its tensors as inputs of another trace. One tensor stays one: attention does
/// something else where the query is the key.
pub(super) fn copied(
    trace: &Trace,
    value: &Value,
    tracer: &mut Tracer,
    copies: &mut HashMap<TensorId, TensorId>,
) -> Option<Value> {
    let mut items = |items: &[Value]| -> Option<Vec<Value>> {
        let items = items.iter();
        items
            .map(|item| copied(trace, item, tracer, copies))
            .collect()
    };
    Some(match value {
        Value::Tuple(inner) => Value::Tuple(items(inner)?),
        Value::List(inner) => Value::List(items(inner)?),
        Value::Tensor(id) => match copies.get(id) {
            Some(copy) => Value::Tensor(*copy),
            None => {
                let tensor = trace.tensor(*id);
                let dtype = tensor.dtype.unwrap_or(DType::Float32);
                let copy = tracer.input("x", tensor.shape.clone()?, dtype);
                let tensors = &mut tracer.builder.trace_mut().tensors;
                tensors[copy.index()].strides = tensor.strides.clone();
                copies.insert(*id, copy);
                Value::Tensor(copy)
            }
        },
        other => other.clone(),
    })
}

/// Whether two modules own the same, they and all modules inside them.
fn same_module(a: &Trace, x: ModuleId, b: &Trace, y: ModuleId) -> bool {
    let (left, right) = (a.module(x), b.module(y));
    let parameters = |trace: &Trace, own: &[(SmolStr, Option<_>)]| {
        let there = own.iter().filter_map(|(name, id)| {
            let parameter = trace.parameter((*id)?);
            Some((name.clone(), parameter.shape.clone(), parameter.dtype))
        });
        let mut all: Vec<(SmolStr, Vec<Dim>, DType)> = there.collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    let buffers = |trace: &Trace, own: &[(SmolStr, _)]| {
        let shape = |id: &modelcost_core::trace::BufferId| trace.buffers[id.index()].shape.clone();
        let mut all: Vec<(SmolStr, Vec<Dim>)> = own
            .iter()
            .map(|(name, id)| (name.clone(), shape(id)))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    parameters(a, &left.parameters) == parameters(b, &right.parameters)
        && buffers(a, &left.buffers) == buffers(b, &right.buffers)
        && left.children.len() == right.children.len()
        && left.children.iter().all(|(name, child)| {
            let other = right.children.iter().find(|(other, _)| other == name);
            other.is_some_and(|(_, other)| {
                a.module(*child).class.name == b.module(*other).class.name
                    && same_module(a, *child, b, *other)
            })
        })
}
