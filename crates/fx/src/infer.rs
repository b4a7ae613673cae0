//! What the program does not say of modules and what they do tells.

use modelcost_core::trace::{CallId, Class, Module, ModuleId, Target, Trace, TraceBuilder};
use modelcost_core::value::Value;
use smol_str::SmolStr;

use crate::doubts::{Doubt, Doubts};
use crate::flat::Flat;
use crate::{classes, known};

/// Gives a class to modules that were never called, and bases to users' classes.
pub fn classes(builder: &mut TraceBuilder, nodes: &[Flat<'_>], doubts: &mut Doubts) {
    let trace = builder.trace_mut();
    let mut parents: Vec<Option<(ModuleId, SmolStr)>> = vec![None; trace.modules.len()];
    for (index, module) in trace.modules.iter().enumerate() {
        for (name, child) in &module.children {
            parents[child.index()].get_or_insert_with(|| (ModuleId::new(index), name.clone()));
        }
    }
    for (index, parent) in parents.iter().enumerate() {
        if trace.modules[index].class.name.is_empty() {
            let id = ModuleId::new(index);
            let parent = parent.as_ref();
            let child = parent.and_then(|(parent, name)| child(&trace.module(*parent).class, name));
            let name = parent.map_or("", |(_, name)| name.as_str());
            let class = child.unwrap_or_else(|| {
                let class = uncalled(trace, id, name, nodes);
                let certain = ["torch.nn.ModuleList", "torch.nn.Identity"].contains(&class);
                if !certain && id != Trace::ROOT {
                    doubts.add(Doubt::Uncalled, || format!("{name} for a {class}"));
                }
                class
            });
            trace.modules[index].class = classes::class(class);
        }
    }
    let called = trace.calls_by_module();
    for (index, calls) in called.iter().enumerate() {
        let class = &trace.modules[index].class;
        let Some(call) = calls.first().copied() else {
            continue;
        };
        if !class.bases.is_empty() || classes::is_listed(class) {
            continue;
        }
        let module = ModuleId::new(index);
        let base = layer(trace, module, call).or_else(|| sequential(trace, module, call));
        if base.is_none()
            && let Some(base) = similar(trace, module, call)
        {
            let class = &trace.modules[index].class;
            doubts.add(Doubt::Similar, || {
                format!("{} for a {base}", class.short_name())
            });
        }
        if let Some(base) = base {
            let base = classes::class(base);
            let bases = std::iter::once(base.name).chain(base.bases).collect();
            trace.modules[index].class.bases = bases;
            let class = trace.modules[index].class.clone();
            doubts.add(Doubt::Bases, || {
                format!("{} for a {}", class.short_name(), class.bases[0])
            });
        }
    }
    for module in &mut trace.modules {
        register(module);
    }
}

/// Notes the parameters that the layer registers but does not have.
fn register(module: &mut Module) {
    let names = known::registered(&module.class);
    if names
        .iter()
        .all(|name| module.parameters.iter().any(|(own, _)| own == name))
    {
        return;
    }
    let mut out = Vec::with_capacity(names.len());
    for name in names {
        let own = module.parameters.iter().find(|(own, _)| own == name);
        out.push((SmolStr::new_static(name), own.and_then(|(_, id)| *id)));
    }
    let others = module
        .parameters
        .iter()
        .filter(|(own, _)| !names.contains(&own.as_str()));
    out.extend(others.cloned());
    module.parameters = out;
}

/// The class of a child that was never called, where its parent's class tells.
fn child(parent: &Class, name: &str) -> Option<&'static str> {
    if parent.is("torch.nn.MultiheadAttention") && name == "out_proj" {
        return Some("torch.nn.modules.linear.NonDynamicallyQuantizableLinear");
    }
    let transformer = parent.is("torch.nn.TransformerEncoderLayer")
        || parent.is("torch.nn.TransformerDecoderLayer");
    match name {
        "self_attn" | "multihead_attn" if transformer => Some("torch.nn.MultiheadAttention"),
        "dropout" | "dropout1" | "dropout2" | "dropout3" if transformer => Some("torch.nn.Dropout"),
        "norm1" | "norm2" | "norm3" if transformer => Some("torch.nn.LayerNorm"),
        _ => known::unseen_child(parent, name),
    }
}

/// The class of a module that the program never calls, by what it holds.
fn uncalled(trace: &Trace, id: ModuleId, name: &str, nodes: &[Flat<'_>]) -> &'static str {
    let module = trace.module(id);
    if id == Trace::ROOT {
        return "torch.nn.Module";
    }
    let is_number = |name: &SmolStr| name.bytes().all(|byte| byte.is_ascii_digit());
    if !module.children.is_empty() {
        if module.children.iter().all(|(name, _)| is_number(name)) {
            return "torch.nn.ModuleList";
        }
        return match is_dictionary(module, name, nodes) {
            true => "torch.nn.ModuleDict",
            false => "torch.nn.Sequential",
        };
    }
    let named = |wanted: &str| {
        let found = module.parameters.iter().find(|(name, _)| name == wanted)?;
        Some(trace.parameter(found.1?).shape.len())
    };
    if module.parameters.is_empty() && module.buffers.is_empty() {
        return "torch.nn.Identity";
    }
    if module
        .parameters
        .iter()
        .any(|(name, _)| name == "weight_ih_l0")
    {
        return "torch.nn.LSTM";
    }
    let averages = module
        .buffers
        .iter()
        .any(|(name, _)| name == "running_mean");
    match (named("weight"), named("bias")) {
        (Some(5), _) => "torch.nn.Conv3d",
        (Some(4), _) => "torch.nn.Conv2d",
        (Some(3), _) => "torch.nn.Conv1d",
        (Some(2), None) if name.contains("embed") => "torch.nn.Embedding",
        (Some(2), _) => "torch.nn.Linear",
        (Some(1), _) if averages => "torch.nn.BatchNorm2d",
        (Some(1), _) => "torch.nn.LayerNorm",
        _ if module.parameters.iter().all(|(name, _)| is_number(name)) => "torch.nn.ParameterList",
        _ => "torch.nn.ParameterDict",
    }
}

/// Whether a container of named modules is used as a dictionary: as `self.heads["a"](x)` or, as
/// some write, `self.transformer.head(x)`. Items of a sequence are called by their number too.
fn is_dictionary(module: &Module, name: &str, nodes: &[Flat<'_>]) -> bool {
    let subscript = format!("{name}[");
    let lines = || nodes.iter().flat_map(|node| node.frame.lines());
    let mut keys = lines().filter_map(|line| line.split_once(&subscript)?.1.chars().next());
    let first = keys.next();
    if let Some(first) = first {
        return !(first.is_ascii_digit() || matches!(first, ':' | '-'));
    }
    let is_attribute = |child: &str| {
        let call = format!(".{name}.{child}(");
        lines().any(|line| line.contains(&call))
    };
    module.children.iter().any(|(child, _)| is_attribute(child))
}

/// The layer that a user's class must derive from: it holds just that layer's parameters, and its
/// forward is just that layer's operator on them.
fn layer(trace: &Trace, module: ModuleId, call: CallId) -> Option<&'static str> {
    let own = trace.module(module);
    let plain = |(_, child): &(SmolStr, ModuleId)| {
        let child = trace.module(*child);
        child.parameters.is_empty() && child.children.is_empty()
    };
    let known = |(name, _): &(SmolStr, _)| name == "weight" || name == "bias";
    if !own.parameters.iter().any(|(name, _)| name == "weight")
        || !own.parameters.iter().all(known)
        || !own.children.iter().all(plain)
    {
        return None;
    }
    single_layer(trace, call)
}

/// The layer that a user's class may derive from, though it holds more than that layer does: its own weight has the
/// shape of the one that the layer's operator is given.
fn similar(trace: &Trace, module: ModuleId, call: CallId) -> Option<&'static str> {
    let own = trace.module(module);
    let (_, weight) = own.parameters.iter().find(|(name, _)| name == "weight")?;
    let shape = &trace.parameter((*weight)?).shape;
    if shape.len() < 2 || own.parameters.len() + own.buffers.len() < 2 {
        return None;
    }
    let given = |id: &CallId| {
        let weight = trace.call(*id).argument("weight").and_then(Value::tensor);
        weight.is_some_and(|id| trace.tensor(id).shape.as_ref() == Some(shape))
    };
    let operators = modelcost_torch::recover::outer_operators(trace, call);
    operators
        .iter()
        .any(given)
        .then(|| single_layer(trace, call))?
}

/// The layer whose operator is the only one of a layer that a call makes.
fn single_layer(trace: &Trace, call: CallId) -> Option<&'static str> {
    let operators = modelcost_torch::recover::outer_operators(trace, call)
        .into_iter()
        .map(|id| trace.call(id));
    let layers = operators.filter_map(|call| match &call.target {
        Target::Operator(op) => Some(match op.as_str() {
            "aten.linear" => "torch.nn.Linear",
            "aten.conv1d" => "torch.nn.Conv1d",
            "aten.conv2d" => "torch.nn.Conv2d",
            "aten.conv3d" => "torch.nn.Conv3d",
            "aten.conv_transpose1d" => "torch.nn.ConvTranspose1d",
            "aten.conv_transpose2d" => "torch.nn.ConvTranspose2d",
            "aten.conv_transpose3d" => "torch.nn.ConvTranspose3d",
            "aten.layer_norm" => "torch.nn.LayerNorm",
            "aten.group_norm" => "torch.nn.GroupNorm",
            "aten.embedding" => "torch.nn.Embedding",
            "aten.batch_norm" => {
                let input = call.argument("input")?.tensor()?;
                match trace.tensor(input).shape.as_ref()?.len() {
                    4 => "torch.nn.BatchNorm2d",
                    5 => "torch.nn.BatchNorm3d",
                    _ => "torch.nn.BatchNorm1d",
                }
            }
            _ => return None,
        }),
        _ => None,
    });
    let layers: Vec<&'static str> = layers.collect();
    match layers.as_slice() {
        [single] => Some(single),
        _ => None,
    }
}

/// A user's class that owns nothing but numbered children, and whose forward is one call of each in
/// their order, each on what the one before returned.
fn sequential(trace: &Trace, module: ModuleId, call: CallId) -> Option<&'static str> {
    let own = trace.module(module);
    let numbered = own
        .children
        .iter()
        .enumerate()
        .all(|(at, (name, _))| name.parse() == Ok(at));
    if own.children.is_empty() || !numbered || !own.parameters.is_empty() {
        return None;
    }
    let mut rest = own.children.iter().map(|(_, child)| *child);
    let mut flows = trace.call(call).positional().next()?.tensor();
    for (_, inner) in trace.direct(call) {
        let Target::Module(called) = inner.target else {
            return None;
        };
        // A child in between may have returned its input and left no trace.
        rest.find(|child| *child == called)?;
        if inner.positional().next()?.tensor() != flows {
            return None;
        }
        flows = inner.output.tensor();
    }
    Some("torch.nn.Sequential")
}
