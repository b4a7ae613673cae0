//! What is special about single operators and the classes and functions around them.

use std::borrow::Cow;

use modelcost_core::trace::{Argument, Class, Origin, Passed, Shape, TensorId};
use modelcost_core::value::Value;
use smol_str::SmolStr;

use crate::arguments::bind;
use crate::calls::{Emitter, first_tensor};
use crate::flat::Flat;
use crate::frames::{Frame, Item};

/// An operator call as PyTorch would have made it before dispatch.
pub struct Call<'n> {
    /// `aten.batch_norm`
    pub op: SmolStr,
    /// Its arguments.
    pub arguments: Cow<'n, [Argument]>,
    /// Its output.
    pub output: Cow<'n, Value>,
}

/// The operator that a node stands for. Programs of torch 2.5 have some that export decomposed.
pub fn call<'n>(node: &'n Flat<'_>) -> Call<'n> {
    let mut op = node.op.clone();
    let mut arguments = Cow::Borrowed(node.arguments.as_slice());
    let mut output = Cow::Borrowed(&node.output);
    match op.as_str() {
        "aten._native_batch_norm_legit_no_training" | "aten._native_batch_norm_legit" => {
            op = SmolStr::new_static("aten.batch_norm");
            output = Cow::Owned(first_tensor(&output));
            if !arguments.iter().any(|argument| argument.name == "training") {
                arguments.to_mut().push(Argument {
                    name: SmolStr::new_static("training"),
                    value: Value::Bool(false),
                    passed: Passed::Position,
                });
            }
        }
        "aten.native_layer_norm" => {
            op = SmolStr::new_static("aten.layer_norm");
            output = Cow::Owned(first_tensor(&output));
        }
        "aten.native_group_norm" => {
            op = SmolStr::new_static("aten.group_norm");
            output = Cow::Owned(first_tensor(&output));
        }
        "aten._softmax" => op = SmolStr::new_static("aten.softmax"),
        "aten._log_softmax" => op = SmolStr::new_static("aten.log_softmax"),
        _ => {}
    }
    Call {
        op,
        arguments,
        output,
    }
}

const F: &str = "torch.nn.functional.";

/// The function of `torch.nn.functional` that calls the named one and is itself patched by tools.
pub fn caller(name: &str, line: &str) -> Option<SmolStr> {
    let short = name.strip_prefix(F)?;
    if let Some(pool) = short.strip_suffix("_with_indices") {
        return Some(format!("{F}{pool}").into());
    }
    let upsample = short == "interpolate" && line.contains("upsample(");
    upsample.then(|| SmolStr::new_static("torch.nn.functional.upsample"))
}

/// The function by which a function of `torch.nn.functional` calls an operator inside it, where
/// some tool patches that: bare names of `functional.py` are looked up in that module.
///
/// `before` is how many calls of the same operator came before it.
pub fn inner_function(outer: &str, op: &str, before: usize) -> Option<SmolStr> {
    let outer = outer.strip_prefix(F)?;
    let op = op.strip_prefix("aten.").unwrap_or(op);
    Some(SmolStr::new_static(match (outer, op) {
        ("multi_head_attention_forward", "linear") => "torch.nn.functional.linear",
        ("multi_head_attention_forward", "softmax") => "torch.nn.functional.softmax",
        ("multi_head_attention_forward", "dropout") => "torch.nn.functional.dropout",
        ("multi_head_attention_forward", "pad") => "torch.nn.functional.pad",
        ("multi_head_attention_forward", "scaled_dot_product_attention") => {
            "torch.nn.functional.scaled_dot_product_attention"
        }
        ("multi_head_attention_forward", "bmm") => "torch.bmm",
        ("multi_head_attention_forward", "baddbmm") => "torch.baddbmm",
        ("multi_head_attention_forward", "cat") => "torch.cat",
        ("multi_head_attention_forward", "mul") => "operator.mul",
        ("multi_head_attention_forward", "add") => "operator.add",
        ("lp_pool1d", "avg_pool1d") => "torch.nn.functional.avg_pool1d",
        ("lp_pool2d", "avg_pool2d") => "torch.nn.functional.avg_pool2d",
        ("lp_pool3d", "avg_pool3d") => "torch.nn.functional.avg_pool3d",
        ("lp_pool1d" | "lp_pool2d" | "lp_pool3d", "relu") => "torch.nn.functional.relu",
        // `(sign(out) * relu(abs(out))).mul(area)`
        ("lp_pool1d" | "lp_pool2d" | "lp_pool3d", "mul") if before == 0 => "operator.mul",
        ("lp_pool1d" | "lp_pool2d" | "lp_pool3d" | "local_response_norm", "mul") => {
            "torch.Tensor.mul"
        }
        ("local_response_norm", "add") => "torch.Tensor.add",
        ("local_response_norm", "avg_pool2d") => "torch.nn.functional.avg_pool2d",
        ("local_response_norm", "avg_pool3d") => "torch.nn.functional.avg_pool3d",
        ("local_response_norm", "pad") => "torch.nn.functional.pad",
        ("interpolate", "adaptive_avg_pool1d") => "torch.nn.functional.adaptive_avg_pool1d",
        ("interpolate", "adaptive_avg_pool2d") => "torch.nn.functional.adaptive_avg_pool2d",
        ("interpolate", "adaptive_avg_pool3d") => "torch.nn.functional.adaptive_avg_pool3d",
        ("gumbel_softmax", "softmax") => "torch.Tensor.softmax",
        _ => return None,
    }))
}

/// The arguments of a function call from those of the operators inside it.
pub fn function_arguments(
    emitter: &Emitter<'_, '_>,
    name: &str,
    calls: &[Call<'_>],
) -> Vec<Argument> {
    if name == "torch.nn.functional.multi_head_attention_forward" {
        return attention_arguments(emitter, calls);
    }
    // The operator that has the function's name says most.
    let short = name.rsplit('.').next().unwrap_or(name);
    let own = calls
        .iter()
        .find(|call| call.op.strip_prefix("aten.") == Some(short));
    let Some(call) = own.or(calls.first()) else {
        return Vec::new();
    };
    let mut arguments = bind(name, &call.op, &call.arguments);
    // `x + 1` and `1 + x` are the same to the operator.
    if name == "operator.sub" && call.op == "aten.rsub" && arguments.len() >= 2 {
        let (a, b) = arguments.split_at_mut(1);
        std::mem::swap(&mut a[0].value, &mut b[0].value);
    }
    arguments
}

/// What a function call returns.
pub fn function_output(name: &str, calls: &[Call<'_>]) -> Value {
    let Some(last) = calls.last() else {
        return Value::None;
    };
    match name.strip_prefix(F) {
        // The operator returns indices too.
        Some(pool) if pool.starts_with("adaptive_max_pool") && !pool.ends_with("_with_indices") => {
            first_tensor(&last.output)
        }
        Some("multi_head_attention_forward") => attention_output(calls),
        _ => last.output.as_ref().clone(),
    }
}

/// Attention's output is what the last projection makes; the weights, when they are wanted, come
/// after it.
fn attention_output(calls: &[Call<'_>]) -> Value {
    let project = calls
        .iter()
        .rposition(|call| call.op == "aten.linear" || call.op == "aten.addmm");
    let Some(project) = project else {
        return calls
            .last()
            .map_or(Value::None, |call| call.output.as_ref().clone());
    };
    let view = calls.get(project + 1).filter(|call| call.op == "aten.view");
    let output = view.unwrap_or(&calls[project]).output.as_ref().clone();
    let weights = calls[project + 1..]
        .iter()
        .rev()
        .find(|call| call.op == "aten.mean" || call.op == "aten.view" && *call.output != output);
    let weights = weights.map_or(Value::None, |call| call.output.as_ref().clone());
    Value::Tuple(vec![output, weights])
}

fn attention_arguments(emitter: &Emitter<'_, '_>, calls: &[Call<'_>]) -> Vec<Argument> {
    let linears = calls.iter().filter(|call| call.op == "aten.linear");
    let linears: Vec<&Call<'_>> = linears.collect();
    let value = |call: &Call<'_>, name: &str| argument(&call.arguments, name);
    let inputs = linears.len().saturating_sub(1);
    let from = |at: usize| {
        linears
            .get(at)
            .map_or(Value::None, |call| value(call, "input"))
    };
    let (query, key, values) = match inputs {
        0 | 1 => (from(0), from(0), from(0)),
        2 => (from(0), from(1), from(1)),
        _ => (from(0), from(1), from(2)),
    };
    let trace = emitter.builder.trace();
    let embed_dim = query
        .tensor()
        .and_then(|id| trace.tensor(id).shape.as_ref()?.last().cloned());
    let named = |name: &'static str, value: Value| Argument {
        name: SmolStr::new_static(name),
        value,
        passed: Passed::Position,
    };
    let mut out = vec![
        named("query", query),
        named("key", key),
        named("value", values),
        named("embed_dim_to_check", embed_dim.into()),
    ];
    if let Some(project) = linears.last() {
        out.push(named("out_proj_weight", value(project, "weight")));
        out.push(named("out_proj_bias", value(project, "bias")));
    }
    out
}

fn argument(arguments: &[Argument], name: &str) -> Value {
    let found = arguments.iter().find(|argument| argument.name == name);
    found.map_or(Value::None, |argument| argument.value.clone())
}

fn position(name: &'static str, value: Value) -> Argument {
    Argument {
        name: SmolStr::new_static(name),
        value,
        passed: Passed::Position,
    }
}

const RECURRENT: [&str; 3] = ["torch.nn.LSTM", "torch.nn.GRU", "torch.nn.RNN"];
const CELLS: [&str; 3] = ["torch.nn.LSTMCell", "torch.nn.GRUCell", "torch.nn.RNNCell"];

/// The arguments of classes that take more than the tensors that they use in order.
pub fn special_arguments(
    emitter: &Emitter<'_, '_>,
    class: &Class,
    frame: &Frame<'_>,
) -> Option<Vec<Argument>> {
    if class.is("torch.nn.MultiheadAttention") {
        return attention_module(emitter, frame);
    }
    let recurrent = RECURRENT.iter().chain(&CELLS).any(|name| class.is(name));
    if !recurrent {
        return None;
    }
    let node = recurrent_node(emitter, frame)?;
    let mut out = vec![position("input", argument(&node.arguments, "input"))];
    let state = argument(&node.arguments, "hx");
    let given = |value: &Value| value.tensors().iter().all(|id| frame.inputs.contains(id));
    if !state.tensors().is_empty() && given(&state) {
        let state = match state {
            Value::List(items) => Value::Tuple(items),
            other => other,
        };
        out.push(position("hx", state));
    }
    // An input without batch is given one inside.
    if !given(&out[0].value)
        && let Some(first) = frame.inputs.iter().find(|id| is_free(emitter, **id))
    {
        out[0].value = Value::Tensor(*first);
    }
    Some(out)
}

fn is_free(emitter: &Emitter<'_, '_>, tensor: TensorId) -> bool {
    let origin = emitter.builder.trace().tensor(tensor).origin;
    !matches!(origin, Origin::Parameter(_) | Origin::Buffer(_))
}

fn recurrent_node<'e>(emitter: &'e Emitter<'_, '_>, frame: &Frame<'_>) -> Option<&'e Flat<'e>> {
    let nodes = frame.items.iter().filter_map(|item| match item {
        Item::Node(node) => Some(&emitter.nodes[*node]),
        Item::Frame(_) => None,
    });
    let names = [
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
        "lstm_cell",
        "gru_cell",
        "rnn_tanh_cell",
        "rnn_relu_cell",
    ];
    let is = |node: &&Flat<'_>| {
        node.op
            .strip_prefix("aten.")
            .is_some_and(|op| names.contains(&op))
    };
    nodes.into_iter().find(is)
}

/// The outputs of classes that return more than one tensor.
pub fn special_output(
    emitter: &mut Emitter<'_, '_>,
    class: &Class,
    frame: &Frame<'_>,
) -> Option<Value> {
    if class.is("torch.nn.MultiheadAttention") {
        return attention_result(emitter, frame);
    }
    let is_lstm = class.is("torch.nn.LSTM");
    if is_lstm || RECURRENT.iter().any(|name| class.is(name)) {
        let node = recurrent_node(emitter, frame)?;
        let made = node.output.tensors();
        let made: Vec<TensorId> = made
            .into_iter()
            .map(|tensor| without_batch(emitter, frame, tensor))
            .collect();
        return match made.as_slice() {
            [out, h, c] if is_lstm => Some(Value::Tuple(vec![
                Value::Tensor(*out),
                Value::Tuple(vec![Value::Tensor(*h), Value::Tensor(*c)]),
            ])),
            [out, h] => Some(Value::Tuple(vec![Value::Tensor(*out), Value::Tensor(*h)])),
            _ => None,
        };
    }
    if class.is("torch.nn.LSTMCell") {
        let node = recurrent_node(emitter, frame)?;
        let tensors = node.output.tensors();
        return Some(Value::Tuple(
            tensors.into_iter().map(Value::Tensor).collect(),
        ));
    }
    None
}

/// What is left of a tensor when the batch that an unbatched input was given is taken away again.
fn without_batch(emitter: &Emitter<'_, '_>, frame: &Frame<'_>, tensor: TensorId) -> TensorId {
    let squeezed = frame.items.iter().find_map(|item| match item {
        Item::Node(node) => {
            let node = &emitter.nodes[*node];
            let takes = node.arguments.first().map(|first| &first.value);
            (node.op == "aten.squeeze" && takes == Some(&Value::Tensor(tensor)))
                .then(|| node.output.tensor())?
        }
        Item::Frame(_) => None,
    });
    squeezed.unwrap_or(tensor)
}

/// `(output, weights)`. The weights are wanted where the layer multiplies by hand; a program that
/// does not use them may not make them.
fn attention_result(emitter: &mut Emitter<'_, '_>, frame: &Frame<'_>) -> Option<Value> {
    let nodes = frame.items.iter().filter_map(|item| match item {
        Item::Node(node) => Some(&emitter.nodes[*node]),
        Item::Frame(_) => None,
    });
    let nodes: Vec<&Flat<'_>> = nodes.collect();
    let softmax = nodes
        .iter()
        .rposition(|node| node.op.as_str().ends_with("softmax"));
    let made = |id: &TensorId| {
        nodes
            .iter()
            .position(|node| node.output.tensors().contains(id))
    };
    let project = nodes.iter().rposition(|node| node.op == "aten.linear");
    // What comes of the last projection; the weights come of the softmax.
    let output = match frame.outputs.as_slice() {
        [] => nodes.last().and_then(|node| node.output.tensor()),
        [single] => Some(*single),
        several => several
            .iter()
            .copied()
            .find(|id| derives(&nodes, made(id), project)),
    };
    let output = output?;
    let given = frame.outputs.iter().copied().find(|id| *id != output);
    let averaged = nodes.iter().rev().find(|node| node.op == "aten.mean");
    let weights = given.or_else(|| averaged.and_then(|node| node.output.tensor()));
    let weights = match (weights, softmax) {
        (Some(weights), _) => Value::Tensor(weights),
        (None, None) => Value::None,
        (None, Some(at)) => {
            // Averaged over the heads: batch × queries × keys.
            let trace = emitter.builder.trace();
            let scores = nodes[at].output.tensor().map(|id| trace.tensor(id));
            let dtype = scores.and_then(|tensor| tensor.dtype);
            let scores = scores.and_then(|tensor| tensor.shape.clone());
            let shape = attention_weights(emitter, frame, scores);
            Value::Tensor(emitter.builder.tensor(shape, dtype, Origin::Constant))
        }
    };
    Some(Value::Tuple(vec![Value::Tensor(output), weights]))
}

/// Whether node `from` comes of node `of` by views alone.
fn derives(nodes: &[&Flat<'_>], from: Option<usize>, of: Option<usize>) -> bool {
    let (Some(mut at), Some(of)) = (from, of) else {
        return false;
    };
    loop {
        if at == of {
            return true;
        }
        let input = nodes[at]
            .arguments
            .iter()
            .find_map(|argument| argument.value.tensor());
        let before = input.and_then(|id| {
            nodes[..at]
                .iter()
                .position(|node| node.output.tensor() == Some(id))
        });
        match before {
            Some(before) => at = before,
            None => return false,
        }
    }
}

fn attention_weights(
    emitter: &Emitter<'_, '_>,
    frame: &Frame<'_>,
    scores: Option<Shape>,
) -> Option<Shape> {
    let scores = scores?;
    let [.., queries, keys] = scores.as_slice() else {
        return None;
    };
    let arguments = attention_module(emitter, frame)?;
    let query = emitter
        .builder
        .trace()
        .tensor(arguments.first()?.value.tensor()?);
    let query = query.shape.as_ref()?;
    // Only a layer with the batch first transposes before it projects.
    let mut nodes = frame.items.iter().filter_map(|item| match item {
        Item::Node(node) => Some(emitter.nodes[*node].op.as_str()),
        Item::Frame(_) => None,
    });
    let batch_first = nodes.next() == Some("aten.transpose");
    let mut shape = match query.len() {
        3 => vec![query[if batch_first { 0 } else { 1 }].clone()],
        _ => Vec::new(),
    };
    shape.extend([queries.clone(), keys.clone()]);
    Some(shape)
}

/// A mask over the keys of each sequence has a row for each of the batch, one over pairs of queries
/// and keys a row for each query.
fn mask_name(
    emitter: &Emitter<'_, '_>,
    mask: TensorId,
    query: TensorId,
    batch_first: bool,
) -> &'static str {
    let trace = emitter.builder.trace();
    let shape = |id: TensorId| trace.tensor(id).shape.as_deref();
    match (shape(mask), shape(query), batch_first) {
        (Some([rows, _]), Some([batch, length, _]), true)
        | (Some([rows, _]), Some([length, batch, _]), false)
            if rows == batch && rows != length =>
        {
            "key_padding_mask"
        }
        _ => "attn_mask",
    }
}

/// Query, key and value of an attention layer: what its first projections are applied to.
fn attention_module(emitter: &Emitter<'_, '_>, frame: &Frame<'_>) -> Option<Vec<Argument>> {
    let nodes: Vec<&Flat<'_>> = frame
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Node(node) => Some(&emitter.nodes[*node]),
            Item::Frame(_) => None,
        })
        .collect();
    let source = |mut tensor: TensorId| {
        // Through the transposition that batch_first needs.
        while !frame.inputs.contains(&tensor) {
            let made = nodes
                .iter()
                .find(|node| node.output == Value::Tensor(tensor))?;
            tensor = made
                .arguments
                .iter()
                .find_map(|argument| argument.value.tensor())?;
        }
        Some(tensor)
    };
    let linears = nodes.iter().filter(|node| node.op == "aten.linear");
    let mut sources = Vec::new();
    for node in linears {
        let input = argument(&node.arguments, "input").tensor()?;
        sources.push(source(input)?);
    }
    let projections = sources.len().checked_sub(1)?;
    let (query, key, value) = match projections {
        0 => return None,
        1 => (sources[0], sources[0], sources[0]),
        2 => (sources[0], sources[1], sources[1]),
        _ => (sources[0], sources[1], sources[2]),
    };
    let mut out = vec![
        position("query", Value::Tensor(query)),
        position("key", Value::Tensor(key)),
        position("value", Value::Tensor(value)),
    ];
    for tensor in &frame.inputs {
        if is_free(emitter, *tensor) && ![query, key, value].contains(tensor) {
            // Only what batch_first transposes is not itself the input of a projection.
            let first = nodes.iter().find(|node| node.op == "aten.linear");
            let direct = first
                .is_some_and(|node| argument(&node.arguments, "input").tensor() == Some(query));
            out.push(Argument {
                name: SmolStr::new_static(mask_name(emitter, *tensor, query, !direct)),
                value: Value::Tensor(*tensor),
                passed: Passed::Keyword,
            });
        }
    }
    Some(out)
}
