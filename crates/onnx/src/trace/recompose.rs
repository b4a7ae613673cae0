//! What the exporter decomposed, put together again.

use foldhash::{HashMap, HashSet};

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Argument, Origin, Passed, TensorId, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::Flat;
use smol_str::SmolStr;

use super::recurrent::{cell, unrolled};
use super::{origin, schema};
use crate::infer::{Program, Step};
use crate::model::AttributeValue;

/// Operators that return lists or tuples, however many items are used.
pub(super) fn returns_list(op: &str) -> bool {
    let short = op.strip_prefix("aten.").unwrap_or(op);
    matches!(
        short,
        "split"
            | "split_with_sizes"
            | "unsafe_split"
            | "chunk"
            | "unbind"
            | "tensor_split"
            | "lstm"
            | "gru"
    )
}

/// The operator of a convolution that is left of a convolution and a BatchNorm.
pub(super) fn convolution(
    step: &Step<'_>,
    program: &Program<'_>,
    input: Value,
    weight: Value,
    bias: Value,
) -> (SmolStr, Vec<Argument>) {
    let ints = |name: &str| match program.attribute(step, name) {
        Some(AttributeValue::Ints(values)) => values.clone(),
        _ => Vec::new(),
    };
    let weight_shape = step
        .inputs
        .get(1)
        .copied()
        .flatten()
        .map(|id| program.fact(id));
    let spatial = weight_shape
        .and_then(|fact| fact.shape())
        .map_or(2, |shape| shape.len().saturating_sub(2));
    let list = |values: Vec<i64>, default: i64| {
        let filled = if values.is_empty() {
            vec![default; spatial]
        } else {
            values
        };
        Value::List(filled.into_iter().map(Value::from).collect())
    };
    let groups = match program.attribute(step, "group") {
        Some(AttributeValue::Int(groups)) => *groups,
        _ => 1,
    };
    let mut pads = ints("pads");
    pads.truncate(spatial);
    let stride = list(ints("strides"), 1);
    let padding = list(pads, 0);
    let dilation = list(ints("dilations"), 1);
    let transposed = step.node.op_type == "ConvTranspose";
    let named: Vec<(&str, Value)> = if transposed {
        vec![
            ("input", input),
            ("weight", weight),
            ("bias", bias),
            ("stride", stride),
            ("padding", padding),
            ("output_padding", list(ints("output_padding"), 0)),
            ("groups", Value::from(groups)),
            ("dilation", dilation),
        ]
    } else {
        vec![
            ("input", input),
            ("weight", weight),
            ("bias", bias),
            ("stride", stride),
            ("padding", padding),
            ("dilation", dilation),
            ("groups", Value::from(groups)),
        ]
    };
    let op = if transposed {
        "aten.conv_transpose"
    } else {
        "aten.conv"
    };
    (format!("{op}{spatial}d").into(), positions(named))
}

pub(super) fn positions<'n>(named: impl IntoIterator<Item = (&'n str, Value)>) -> Vec<Argument> {
    named
        .into_iter()
        .map(|(name, value)| Argument {
            name: name.into(),
            value,
            passed: Passed::Position,
        })
        .collect()
}

pub(super) fn argument(flat: &Flat<'_>, name: &str) -> Value {
    flat.arguments
        .iter()
        .find(|argument| argument.name == name)
        .map_or(Value::None, |argument| argument.value.clone())
}

/// Functions whose operators the exporter decomposes.
const RECOMPOSED: &[(&str, Recompose)] = &[
    ("adaptive_avg_pool1d", adaptive_pool),
    ("adaptive_avg_pool2d", adaptive_pool),
    ("adaptive_avg_pool3d", adaptive_pool),
    ("adaptive_max_pool1d", adaptive_max_pool),
    ("adaptive_max_pool2d", adaptive_max_pool),
    ("adaptive_max_pool3d", adaptive_max_pool),
    ("rms_norm", rms_norm),
    ("lstm_cell", cell),
    ("gru_cell", cell),
    ("rnn_tanh_cell", cell),
    ("rnn_relu_cell", cell),
    ("rnn_tanh", unrolled),
    ("rnn_relu", unrolled),
    ("lstm", unrolled),
    ("gru", unrolled),
];

/// Whether the operators of a function are put together again.
pub(super) fn is_recomposed(function: &str) -> bool {
    origin::is_taken_apart(function) || RECOMPOSED.iter().any(|(name, _)| *name == function)
}

/// Makes one operator call of the nodes of one function call.
type Recompose = fn(&mut TraceBuilder, &str, &[Flat<'_>], &Uses) -> Option<Call>;

pub(super) struct Call {
    pub op: SmolStr,
    pub arguments: Vec<Argument>,
    pub output: Value,
}

/// How tensors flow between the nodes.
pub(super) struct Uses {
    /// The last node that reads a tensor.
    pub last: HashMap<TensorId, usize>,
    /// Where the run of nodes ends.
    pub end: usize,
}

/// Puts decomposed functions together again.
pub(super) fn recompose<'a>(builder: &mut TraceBuilder, flats: Vec<Flat<'a>>) -> Vec<Flat<'a>> {
    let mut uses = Uses {
        last: HashMap::default(),
        end: 0,
    };
    for (at, flat) in flats.iter().enumerate() {
        for argument in &flat.arguments {
            for tensor in argument.value.tensors() {
                uses.last.insert(tensor, at);
            }
        }
    }
    let mut out: Vec<Flat<'a>> = Vec::with_capacity(flats.len());
    let mut at = 0;
    while at < flats.len() {
        let function = flats[at].torch_fn.rsplit('.').next().unwrap_or_default();
        let apart = origin::is_taken_apart(function);
        let found = RECOMPOSED.iter().find(|(name, _)| *name == function);
        let (name, function) = match found {
            Some((name, function)) => (*name, *function),
            None if apart => (function, whole as Recompose),
            None => {
                let flat = flats[at].clone();
                if flat.op == "aten.convolution" {
                    let flat = without_padding(flat, &mut out);
                    out.push(convolution_forms(builder, flat));
                } else {
                    out.push(flat);
                }
                at += 1;
                continue;
            }
        };
        let end = run_end(&flats, at, name);
        uses.end = end;
        let run = &flats[at..end];
        let kept = run.len() == 1 && run[0].op.strip_prefix("aten.") == Some(name);
        let made = if kept {
            None
        } else {
            function(builder, name, run, &uses)
        };
        match made {
            Some(made) => out.push(Flat {
                op: made.op,
                arguments: made.arguments,
                output: made.output,
                stack: flats[at].stack,
                torch_fn: flats[at].torch_fn.clone(),
                source_fn: None,
                line: flats[at].line.clone(),
                frame: flats[at].frame.clone(),
            }),
            // No tool counts the parts of what is one operator.
            None if apart => out.extend(run.iter().map(|flat| Flat {
                op: format!("aten.{name}").into(),
                ..flat.clone()
            })),
            None => out.extend(run.iter().cloned()),
        }
        at = end;
    }
    out
}

/// One past the last node of the function call that begins at `start`.
fn run_end(flats: &[Flat<'_>], start: usize, name: &str) -> usize {
    let first = &flats[start];
    let mut products = 0;
    let mut end = start;
    for (at, flat) in flats.iter().enumerate().skip(start) {
        // Nodes without metadata are inside if what follows is.
        if flat.stack.is_none() {
            continue;
        }
        if flat.torch_fn != first.torch_fn {
            break;
        }
        // A cell has two products; a third one is the next call.
        if name.ends_with("_cell") && flat.op == "aten.linear" {
            products += 1;
            if products > 2 {
                break;
            }
        }
        end = at + 1;
    }
    end.max(start + 1)
}

/// A convolution without the padding before it that the exporter wrote for the same call.
fn without_padding<'a>(mut conv: Flat<'a>, out: &mut Vec<Flat<'a>>) -> Flat<'a> {
    let is_own = |pad: &&Flat<'a>| {
        matches!(pad.op.as_str(), "aten.constant_pad_nd" | "aten.pad")
            && pad.output == argument(&conv, "input")
            && pad.stack == conv.stack
            && pad.frame == conv.frame
    };
    let padded = out
        .last()
        .filter(is_own)
        .and_then(|pad| Some(pad.arguments.first()?.value.clone()));
    if let (Some(input), Some(own)) = (
        padded,
        conv.arguments.iter_mut().find(|a| a.name == "input"),
    ) {
        own.value = input;
        out.pop();
    }
    conv
}

/// Convolutions in their general form as the ones that people call.
fn convolution_forms<'a>(builder: &TraceBuilder, flat: Flat<'a>) -> Flat<'a> {
    let transposed = argument(&flat, "transposed") == Value::Bool(true);
    let spatial = argument(&flat, "stride").items().map_or(2, <[Value]>::len);
    let names: &[&str] = if transposed {
        &[
            "input",
            "weight",
            "bias",
            "stride",
            "padding",
            "output_padding",
            "groups",
            "dilation",
        ]
    } else {
        &[
            "input", "weight", "bias", "stride", "padding", "dilation", "groups",
        ]
    };
    let mut arguments = positions(names.iter().map(|name| (*name, argument(&flat, name))));
    // The exporter takes a convolution apart only where its padding was a word.
    if !transposed && let Some(padding) = arguments.iter_mut().find(|a| a.name == "padding") {
        let sizes = |value: &Value| {
            let shape = builder.trace().tensor(value.tensor()?).shape.as_deref()?;
            shape.get(shape.len().checked_sub(spatial)?..)
        };
        let none = padding
            .value
            .items()
            .is_some_and(|items| items.iter().all(|item| *item == Value::from(0i64)));
        let kept = sizes(&argument(&flat, "input")) == sizes(&flat.output);
        padding.value = Value::Str(if none && !kept { "valid" } else { "same" }.into());
    }
    let name = if transposed { "conv_transpose" } else { "conv" };
    let number = flat
        .torch_fn
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned();
    Flat {
        op: format!("aten.{name}{spatial}d").into(),
        arguments,
        torch_fn: format!("{number};builtin_function_or_method.{name}{spatial}d").into(),
        ..flat
    }
}

/// The first tensor that a run reads and does not make.
fn first_input(run: &[Flat<'_>]) -> Option<TensorId> {
    external(run).first().copied()
}

/// The tensors that a run reads and does not make, in the order of use.
pub(super) fn external(run: &[Flat<'_>]) -> Vec<TensorId> {
    let mut made = HashSet::default();
    let mut out = Vec::new();
    for flat in run {
        for argument in &flat.arguments {
            for tensor in argument.value.tensors() {
                if !made.contains(&tensor) && !out.contains(&tensor) {
                    out.push(tensor);
                }
            }
        }
        made.extend(flat.output.tensors());
    }
    out
}

/// The sizes that a pool gives to the dimensions that its name counts: the last two of
/// `adaptive_avg_pool2d`.
fn spatial_sizes(builder: &TraceBuilder, name: &str, output: TensorId) -> Option<Value> {
    let shape = builder.trace().tensor(output).shape.as_ref()?;
    let spatial = name.chars().rev().nth(1)?.to_digit(10)? as usize;
    let sizes = shape.get(shape.len().checked_sub(spatial)?..)?;
    Some(Value::List(sizes.iter().cloned().map(Value::Int).collect()))
}

fn adaptive_pool(
    builder: &mut TraceBuilder,
    name: &str,
    run: &[Flat<'_>],
    _: &Uses,
) -> Option<Call> {
    let input = first_input(run)?;
    let output = run.last()?.output.tensor()?;
    let sizes = spatial_sizes(builder, name, output)?;
    Some(Call {
        op: format!("aten.{name}").into(),
        arguments: positions([("self", Value::Tensor(input)), ("output_size", sizes)]),
        output: Value::Tensor(output),
    })
}

/// One operator of all that a run does, if nothing but the last result is used elsewhere.
fn whole(_: &mut TraceBuilder, name: &str, run: &[Flat<'_>], uses: &Uses) -> Option<Call> {
    let (last, before) = run.split_last()?;
    let outside = |id: &TensorId| uses.last.get(id).is_some_and(|last| *last >= uses.end);
    if before
        .iter()
        .any(|flat| flat.output.tensors().iter().any(outside))
    {
        return None;
    }
    let op: SmolStr = format!("aten.{name}").into();
    let values = external(run).into_iter().map(Value::Tensor).collect();
    Some(Call {
        arguments: schema::named(&op, "", values),
        op,
        output: last.output.clone(),
    })
}

pub(super) fn is_parameter(builder: &TraceBuilder, tensor: TensorId) -> Option<&str> {
    match builder.trace().tensor(tensor).origin {
        Origin::Parameter(id) => Some(builder.trace().parameter(id).name.as_str()),
        _ => None,
    }
}

/// A pool whose windows the exporter has computed.
fn adaptive_max_pool(
    builder: &mut TraceBuilder,
    name: &str,
    run: &[Flat<'_>],
    _: &Uses,
) -> Option<Call> {
    let [pool] = run else {
        return None;
    };
    let output = pool.output.tensors().first().copied()?;
    let sizes = spatial_sizes(builder, name, output)?;
    Some(Call {
        op: format!("aten.{name}").into(),
        arguments: positions([
            ("self", pool.arguments.first()?.value.clone()),
            ("output_size", sizes),
        ]),
        output: pool.output.clone(),
    })
}

fn rms_norm(builder: &mut TraceBuilder, _: &str, run: &[Flat<'_>], _: &Uses) -> Option<Call> {
    let inputs = external(run);
    let weight = inputs
        .iter()
        .copied()
        .find(|id| is_parameter(builder, *id).is_some());
    let input = inputs.iter().copied().find(|id| Some(*id) != weight)?;
    let output = run.last()?.output.tensor()?;
    let trace = builder.trace();
    let normalized: Vec<Dim> = match weight {
        Some(weight) => trace.tensor(weight).shape.clone()?,
        None => vec![trace.tensor(output).shape.as_ref()?.last()?.clone()],
    };
    Some(Call {
        op: "aten.rms_norm".into(),
        arguments: positions([
            ("input", Value::Tensor(input)),
            (
                "normalized_shape",
                Value::List(normalized.into_iter().map(Value::Int).collect()),
            ),
            ("weight", weight.into()),
        ]),
        output: Value::Tensor(output),
    })
}
