//! Arithmetic on sizes, which the tracer records as operators on scalars.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde::Deserialize;
use smol_str::SmolStr;

use crate::trace::{Argument, Call, CallId, Origin, Target, TensorId, Trace};
use crate::value::Value;

#[derive(Deserialize)]
struct File {
    arithmetic: Vec<Arithmetic>,
}

#[derive(Deserialize)]
struct Arithmetic {
    classes: Vec<SmolStr>,
    #[serde(rename = "source")]
    _source: String,
    /// Operators without `aten::`, and how many of each.
    #[serde(flatten)]
    operators: BTreeMap<SmolStr, usize>,
}

static BY_CLASS: LazyLock<HashMap<SmolStr, BTreeMap<SmolStr, usize>>> = LazyLock::new(|| {
    let file: File = match toml::from_str(include_str!("sizes.toml")) {
        Ok(file) => file,
        Err(error) => panic!("{error}"),
    };
    let entries = file.arithmetic.into_iter().flat_map(|entry| {
        let operators = entry.operators;
        entry
            .classes
            .into_iter()
            .map(move |class| (class, operators.clone()))
    });
    entries.collect()
});

/// Tells `record` the operators on scalars that a call makes itself, by name and number.
pub fn arithmetic(trace: &Trace, id: CallId, record: &mut dyn FnMut(&str, usize)) {
    let call = trace.call(id);
    match &call.target {
        Target::Function(name) if name == "torch.nn.functional.multi_head_attention_forward" => {
            attention(trace, id, record);
        }
        // The size by area is computed from the scale (torch/nn/functional.py, PyTorch 2.15).
        Target::Function(name)
            if name == "torch.nn.functional.interpolate" && recomputes_scale(call) =>
        {
            let rank = rank(trace, call.arguments.first()).unwrap_or_default();
            record("mul", rank.saturating_sub(2));
        }
        // Bags of one length begin at `arange(0, input.numel(), input.size(1))`.
        Target::Function(name)
            if name == "torch.nn.functional.embedding_bag"
                && rank(trace, call.arguments.first()) == Some(2) =>
        {
            record("numel", 1);
        }
        Target::Operator(name) if name == "aten.reshape" && repeats_heads(trace, id) => {
            record("mul", 1);
        }
        Target::Module(module) => {
            if let Some(operators) = BY_CLASS.get(&trace.module(*module).class.name) {
                for (operator, times) in operators {
                    record(operator, *times);
                }
            }
        }
        _ => {}
    }
}

/// Whether the arithmetic of the module that makes a call is in the table.
pub fn is_known(trace: &Trace, id: CallId) -> bool {
    is_known_class(&trace.module(trace.enclosing_module(id)).class.name)
}

/// Whether the arithmetic of a class is in the table.
pub fn is_known_class(class: &str) -> bool {
    BY_CLASS.contains_key(class)
}

/// `repeat_kv` of transformers, which attention calls for keys and values with fewer heads than the
/// queries: `x[:, :, None].expand(…).reshape(batch, heads * times, length, width)`.
fn repeats_heads(trace: &Trace, id: CallId) -> bool {
    let call = trace.call(id);
    let class = &trace.module(trace.enclosing_module(id)).class.name;
    if !class.starts_with("transformers.") || rank(trace, call.arguments.first()) != Some(5) {
        return false;
    }
    let Some(expanded) = call.arguments.first().and_then(|a| a.value.tensor()) else {
        return false;
    };
    let by_expand = match trace.tensor(expanded).origin {
        Origin::Call(by) => trace.call(by).target == Target::Operator("aten.expand".into()),
        _ => false,
    };
    let shape = |tensor: TensorId| trace.tensor(tensor).shape.as_deref();
    match (shape(expanded), call.output.tensor().and_then(shape)) {
        (Some([_, heads, times, ..]), Some([_, all, _, _])) => by_expand && *all == heads * times,
        _ => false,
    }
}

/// Whether `F.interpolate` computes the size that it interpolates to.
fn recomputes_scale(call: &Call) -> bool {
    let is_given = |name: &str| call.argument(name).is_some_and(|value| !value.is_none());
    let by_area = call.argument("mode") == Some(&Value::from("area"));
    let asked = call.argument("recompute_scale_factor") == Some(&Value::Bool(true));
    is_given("scale_factor") && !is_given("size") && (by_area || asked)
}

fn rank(trace: &Trace, argument: Option<&Argument>) -> Option<usize> {
    let tensor = argument?.value.tensor()?;
    trace.tensor(tensor).shape.as_ref().map(Vec::len)
}

/// `multi_head_attention_forward` in torch/nn/functional.py of PyTorch 2.15: the width of a head is
/// a quotient; the shapes of queries, keys, values and the result hold a product each; so do those
/// of a padding mask, which is expanded, and of added zeros; and keys and values that are one
/// tensor, but not the queries, split the projection at a product, its weight and its bias.
fn attention(trace: &Trace, id: CallId, record: &mut dyn FnMut(&str, usize)) {
    let inside = |operator: &str| {
        let calls = trace.direct(id).map(|(_, call)| &call.target);
        calls
            .filter(|target| matches!(target, Target::Operator(name) if name == operator))
            .count()
    };
    let call = trace.call(id);
    let is_given = |name: &str| call.argument(name).is_some_and(|value| !value.is_none());
    let is_true = |name: &str| call.argument(name) == Some(&Value::Bool(true));
    let tensor = |name: &str| call.argument(name).and_then(Value::tensor);
    let mut splits = inside("aten.split_with_sizes");
    if splits == 0
        && !is_true("use_separate_proj_weight")
        && tensor("key") == tensor("value")
        && tensor("query") != tensor("key")
        && is_given("in_proj_weight")
    {
        splits = 1 + usize::from(is_given("in_proj_bias"));
    }
    let masked = is_given("key_padding_mask") || inside("aten.expand") > 0;
    let zeros = is_true("add_zero_attn") || inside("aten.zeros") > 0;
    record("div", 1);
    record("mul", 4 + splits + usize::from(masked) + usize::from(zeros));
}
