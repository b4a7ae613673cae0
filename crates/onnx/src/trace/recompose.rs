//! What the exporter decomposed, put together again, and the names of operators' arguments.

use std::collections::{HashMap, HashSet};

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Argument, Origin, Passed, TensorId, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::Flat;
use smol_str::SmolStr;

use super::fx_text::FxArg;
use crate::infer::{Program, Step};
use crate::model::AttributeValue;

/// Operators that only decompositions make, and the names of their arguments.
const DECOMPOSED: &[(&str, &[&str])] = &[
    (
        "_native_batch_norm_legit_no_training",
        &[
            "input",
            "weight",
            "bias",
            "running_mean",
            "running_var",
            "momentum",
            "eps",
        ],
    ),
    (
        "_native_batch_norm_legit",
        &[
            "input",
            "weight",
            "bias",
            "running_mean",
            "running_var",
            "training",
            "momentum",
            "eps",
        ],
    ),
    (
        "native_layer_norm",
        &["input", "normalized_shape", "weight", "bias", "eps"],
    ),
    (
        "native_group_norm",
        &["input", "weight", "bias", "N", "C", "HxW", "group", "eps"],
    ),
    (
        "convolution",
        &[
            "input",
            "weight",
            "bias",
            "stride",
            "padding",
            "dilation",
            "transposed",
            "output_padding",
            "groups",
        ],
    ),
    ("_softmax", &["self", "dim", "half_to_float"]),
    ("_log_softmax", &["self", "dim", "half_to_float"]),
    (
        "lstm",
        &[
            "input",
            "hx",
            "params",
            "has_biases",
            "num_layers",
            "dropout",
            "train",
            "bidirectional",
            "batch_first",
        ],
    ),
    (
        "gru",
        &[
            "input",
            "hx",
            "params",
            "has_biases",
            "num_layers",
            "dropout",
            "train",
            "bidirectional",
            "batch_first",
        ],
    ),
    (
        "rnn_tanh",
        &[
            "input",
            "hx",
            "params",
            "has_biases",
            "num_layers",
            "dropout",
            "train",
            "bidirectional",
            "batch_first",
        ],
    ),
    (
        "rnn_relu",
        &[
            "input",
            "hx",
            "params",
            "has_biases",
            "num_layers",
            "dropout",
            "train",
            "bidirectional",
            "batch_first",
        ],
    ),
    (
        "upsample_bilinear2d",
        &["input", "output_size", "align_corners", "scale_factors"],
    ),
    (
        "upsample_bicubic2d",
        &["input", "output_size", "align_corners", "scale_factors"],
    ),
    (
        "upsample_trilinear3d",
        &["input", "output_size", "align_corners", "scale_factors"],
    ),
    (
        "upsample_linear1d",
        &["input", "output_size", "align_corners", "scale_factors"],
    ),
    (
        "upsample_nearest1d",
        &["input", "output_size", "scale_factors"],
    ),
    (
        "upsample_nearest2d",
        &["input", "output_size", "scale_factors"],
    ),
    (
        "upsample_nearest3d",
        &["input", "output_size", "scale_factors"],
    ),
];

/// The names of an operator's positional arguments.
fn parameter(op: &str, target: &str, index: usize) -> SmolStr {
    let short = op.strip_prefix("aten.").unwrap_or(op);
    let known = DECOMPOSED.iter().find(|(name, _)| *name == short);
    if let Some((_, names)) = known
        // The overloads without `vec` have other arguments.
        && (!short.starts_with("upsample") || target.ends_with(".vec"))
    {
        return names.get(index).copied().unwrap_or_default().into();
    }
    if let Some(signature) = modelcost_torch::operators::signature(op)
        && let Some(parameter) = signature.parameters.get(index)
    {
        return parameter.name.clone();
    }
    match index {
        0 => "self".into(),
        1 => "other".into(),
        _ => SmolStr::default(),
    }
}

/// Positional arguments under the names of the operator's schema.
pub(super) fn named(op: &str, target: &str, values: Vec<Value>) -> Vec<Argument> {
    values
        .into_iter()
        .enumerate()
        .map(|(index, value)| Argument {
            name: parameter(op, target, index),
            value,
            passed: Passed::Position,
        })
        .collect()
}

/// The same of arguments that are still text.
pub(super) fn named_args<'g, 'a>(
    op: &str,
    target: &str,
    args: &'g [FxArg<'a>],
) -> Vec<(&'static str, &'g FxArg<'a>)> {
    /// The names that shapes depend on.
    const NAMES: &[&str] = &[
        "input",
        "weight",
        "bias",
        "normalized_shape",
        "params",
        "running_mean",
        "running_var",
        "self",
        "hx",
    ];
    args.iter()
        .enumerate()
        .map(|(index, arg)| {
            let name = parameter(op, target, index);
            let known = NAMES.iter().find(|known| **known == name);
            (known.copied().unwrap_or("other"), arg)
        })
        .collect()
}

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

/// Counts the calls of modules: the exporter keeps the path of each call, not which one it is.
/// A `Sequential` runs its children in order, so that an earlier child begins another call.
#[derive(Default)]
pub(super) struct Rounds<'a> {
    open: Vec<Open<'a>>,
    totals: HashMap<&'a str, usize>,
}

struct Open<'a> {
    path: &'a str,
    call: usize,
    child: Option<usize>,
}

impl<'a> Rounds<'a> {
    /// The number of the call of each module of a stack.
    pub fn enter(&mut self, paths: &[&'a str], classes: &[&str]) -> Vec<usize> {
        let mut out = Vec::with_capacity(paths.len());
        for (at, path) in paths.iter().enumerate() {
            let child = paths
                .get(at + 1)
                .and_then(|child| child.rsplit('.').next()?.parse::<usize>().ok());
            let sequential = classes[at].ends_with(".Sequential");
            let again = self.open.get(at).is_none_or(|open| {
                open.path != *path
                    || sequential && child.zip(open.child).is_some_and(|(new, old)| new < old)
            });
            if again {
                self.open.truncate(at);
                let total = self.totals.entry(path).or_insert(0);
                self.open.push(Open {
                    path,
                    call: *total,
                    child: None,
                });
                *total += 1;
            }
            let open = &mut self.open[at];
            open.child = child.or(open.child);
            out.push(open.call);
        }
        self.open.truncate(paths.len());
        out
    }
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

fn positions<'n>(named: impl IntoIterator<Item = (&'n str, Value)>) -> Vec<Argument> {
    named
        .into_iter()
        .map(|(name, value)| Argument {
            name: name.into(),
            value,
            passed: Passed::Position,
        })
        .collect()
}

fn argument(flat: &Flat<'_>, name: &str) -> Value {
    flat.arguments
        .iter()
        .find(|argument| argument.name == name)
        .map_or(Value::None, |argument| argument.value.clone())
}

/// Functions whose operators the exporter decomposes.
const RECOMPOSED: &[(&str, Recompose)] = &[
    ("adaptive_avg_pool1d(", adaptive_pool),
    ("adaptive_avg_pool2d(", adaptive_pool),
    ("adaptive_avg_pool3d(", adaptive_pool),
    ("F.rms_norm(", rms_norm),
    ("_VF.lstm_cell(", cell),
    ("_VF.gru_cell(", cell),
    ("_VF.rnn_tanh_cell(", cell),
    ("_VF.rnn_relu_cell(", cell),
    ("_VF.rnn_tanh(", recurrent),
    ("_VF.rnn_relu(", recurrent),
    ("_VF.lstm(", recurrent),
    ("_VF.gru(", recurrent),
];

/// Makes one operator call of the nodes of one function call.
type Recompose = fn(&mut TraceBuilder, &str, &[Flat<'_>], &Uses) -> Option<Call>;

struct Call {
    op: SmolStr,
    arguments: Vec<Argument>,
    output: Value,
}

/// How tensors flow between the nodes.
struct Uses {
    /// The last node that reads a tensor.
    last: HashMap<TensorId, usize>,
    /// Where the run of nodes ends.
    end: usize,
}

/// Puts decomposed functions together again.
pub(super) fn recompose<'a>(builder: &mut TraceBuilder, flats: Vec<Flat<'a>>) -> Vec<Flat<'a>> {
    let mut uses = Uses {
        last: HashMap::new(),
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
        let line = flats[at].line.clone();
        let found = RECOMPOSED.iter().find(|(call, _)| line.contains(call));
        let Some((call, function)) = found else {
            out.push(convolution_forms(flats[at].clone()));
            at += 1;
            continue;
        };
        let name = call
            .trim_end_matches('(')
            .rsplit('.')
            .next()
            .unwrap_or(call);
        let end = run_end(&flats, at, name);
        uses.end = end;
        let run = &flats[at..end];
        let whole = run.len() == 1 && run[0].op.strip_prefix("aten.") == Some(name);
        let made = if whole {
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
                torch_fn: format!("{name}_{at};{}.{name}", kind(name)).into(),
                source_fn: None,
                line: flats[at].line.clone(),
                frame: flats[at].frame.clone(),
            }),
            None => out.extend(run.iter().cloned()),
        }
        at = end;
    }
    out
}

fn kind(name: &str) -> &'static str {
    if name.starts_with("adaptive") || name == "rms_norm" {
        "function"
    } else {
        "builtin_function_or_method"
    }
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
        if flat.stack != first.stack || flat.line != first.line || flat.frame != first.frame {
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

/// Convolutions in their general form as the ones that people call.
fn convolution_forms(flat: Flat<'_>) -> Flat<'_> {
    if flat.op != "aten.convolution" {
        return flat;
    }
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
    let arguments = positions(names.iter().map(|name| (*name, argument(&flat, name))));
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
fn external(run: &[Flat<'_>]) -> Vec<TensorId> {
    let mut made = HashSet::new();
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

fn adaptive_pool(
    builder: &mut TraceBuilder,
    name: &str,
    run: &[Flat<'_>],
    _: &Uses,
) -> Option<Call> {
    let input = first_input(run)?;
    let output = run.last()?.output.tensor()?;
    let shape = builder.trace().tensor(output).shape.clone()?;
    let spatial = name.chars().rev().nth(1)?.to_digit(10)? as usize;
    let sizes = shape.get(shape.len().checked_sub(spatial)?..)?;
    Some(Call {
        op: format!("aten.{name}").into(),
        arguments: positions([
            ("self", Value::Tensor(input)),
            (
                "output_size",
                Value::List(sizes.iter().cloned().map(Value::Int).collect()),
            ),
        ]),
        output: Value::Tensor(output),
    })
}

fn is_parameter(builder: &TraceBuilder, tensor: TensorId) -> Option<&str> {
    match builder.trace().tensor(tensor).origin {
        Origin::Parameter(id) => Some(builder.trace().parameter(id).name.as_str()),
        _ => None,
    }
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

/// `nn.LSTMCell` and its like: two products, then elementwise gates.
fn cell(builder: &mut TraceBuilder, name: &str, run: &[Flat<'_>], uses: &Uses) -> Option<Call> {
    let products: Vec<&Flat<'_>> = run.iter().filter(|flat| flat.op == "aten.linear").collect();
    let [first, second] = products.as_slice() else {
        return None;
    };
    let hidden_first = argument(first, "weight")
        .tensor()
        .and_then(|id| is_parameter(builder, id))
        .is_some_and(|name| name.ends_with("hh"));
    let (input, hidden) = if hidden_first {
        (second, first)
    } else {
        (first, second)
    };
    let state = argument(hidden, "input");
    let known: Vec<TensorId> = [input, hidden]
        .iter()
        .flat_map(|flat| flat.arguments.iter().flat_map(|a| a.value.tensors()))
        .collect();
    let hx = if name == "lstm_cell" {
        let rest = external(run).into_iter().find(|id| !known.contains(id));
        Value::List(vec![state, rest.map_or(Value::None, Value::Tensor)])
    } else {
        state
    };
    let output = run.last()?.output.clone();
    let output = if name == "lstm_cell" {
        // The new cell state is the last sum.
        let sum = run.iter().rev().find(|flat| flat.op == "aten.add")?;
        Value::List(vec![output, sum.output.clone()])
    } else {
        output
    };
    let _ = uses;
    Some(Call {
        op: format!("aten.{name}").into(),
        arguments: positions([
            ("input", argument(input, "input")),
            ("hx", hx),
            ("w_ih", argument(input, "weight")),
            ("w_hh", argument(hidden, "weight")),
            ("b_ih", argument(input, "bias")),
            ("b_hh", argument(hidden, "bias")),
        ]),
        output,
    })
}

/// A recurrent layer that was unrolled.
fn recurrent(
    builder: &mut TraceBuilder,
    name: &str,
    run: &[Flat<'_>],
    uses: &Uses,
) -> Option<Call> {
    let inputs = external(run);
    let mut weights: Vec<(String, TensorId)> = Vec::new();
    let mut others = Vec::new();
    for id in inputs {
        match is_parameter(builder, id) {
            Some(name) => weights.push((name.rsplit('.').next()?.to_owned(), id)),
            None => others.push(id),
        }
    }
    let count = |prefix: &str| {
        weights
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .count()
    };
    let bidirectional = weights.iter().any(|(name, _)| name.ends_with("_reverse"));
    let directions = 1 + usize::from(bidirectional);
    let layers = count("weight_ih") / directions;
    if layers == 0 {
        return None;
    }
    let biased = count("bias_ih") > 0;
    let mut parameters = Vec::new();
    for layer in 0..layers {
        for suffix in ["", "_reverse"].iter().take(directions) {
            for kind in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
                let wanted = format!("{kind}_l{layer}{suffix}");
                if let Some((_, id)) = weights.iter().find(|(name, _)| *name == wanted) {
                    parameters.push(Value::Tensor(*id));
                }
            }
        }
    }
    let mut outputs: Vec<TensorId> = Vec::new();
    for flat in run {
        for tensor in flat.output.tensors() {
            let later = uses.last.get(&tensor).is_none_or(|last| *last >= uses.end);
            if later {
                outputs.push(tensor);
            }
        }
    }
    let input = *others.first()?;
    let state = others.get(1).copied();
    let output = Value::List(outputs.into_iter().map(Value::Tensor).collect());
    let rows = |id: TensorId| builder.trace().tensor(id).shape.clone()?.first().cloned();
    // With the batch first the hidden state has it second, where the input has it first.
    let batch_first = state.is_some_and(|state| {
        let batch = builder
            .trace()
            .tensor(state)
            .shape
            .clone()
            .and_then(|s| s.get(1).cloned());
        batch.is_some() && rows(input) == batch
    });
    Some(Call {
        op: format!("aten.{name}").into(),
        arguments: positions([
            ("input", Value::Tensor(input)),
            ("hx", state.into()),
            ("params", Value::List(parameters)),
            ("has_biases", Value::Bool(biased)),
            ("num_layers", Value::from(layers)),
            ("dropout", Value::Float(0.0)),
            ("train", Value::Bool(false)),
            ("bidirectional", Value::Bool(bidirectional)),
            ("batch_first", Value::Bool(batch_first)),
        ]),
        output,
    })
}
