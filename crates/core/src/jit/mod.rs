//! The graph that `torch.jit.trace` records of a forward pass.
//!
//! Counters that trace a model see the outermost operators: `aten::linear`, not the `aten::addmm`
//! inside. The graph differs from the trace in four ways. Convolutions are recorded by the
//! operator that they all end in, and cells of recurrent networks by what they are made of. What
//! nothing uses is left out. Some names are aliases of others. And arithmetic on sizes, such as
//! `x.view(batch * heads, -1)`, is recorded as operators on scalars.

mod einops;
mod lines;
mod live;
mod sizes;

pub use lines::{SizesFor, takes_sizes};

use std::collections::HashMap;
use std::sync::LazyLock;

use smol_str::{SmolStr, format_smolstr};

use crate::formula::{CallScope, EvalError, Quantity, Scope};
use crate::fused::{self, Run};
use crate::trace::{Call, CallId, Target, Trace};
use crate::value::Value;

/// A node of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `aten::_convolution`
    pub kind: SmolStr,
    /// The operator call that it is recorded for; for arithmetic on sizes, the call of the
    /// function or module that does it.
    pub call: CallId,
    /// What it is.
    pub role: Role,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An operator of the trace.
    Operator,
    /// The operator that a module calls in the place of all that it does otherwise. The call is the
    /// module's.
    Fused,
    /// One of the operators that a cell of a recurrent network is recorded as.
    PartOfCell,
    /// An operation on a size, which is a scalar.
    Scalar {
        /// Whether it was read off a source line, where names may be taken for sizes that are none.
        from_line: bool,
    },
}

/// The nodes of the graph in order, without those of the `prim` namespace and without the queries
/// of sizes. `hooks` says whether the counter puts hooks on the modules that it traces.
///
/// # Errors
///
/// What `torch.jit.trace` raises.
pub fn graph(trace: &Trace, hooks: bool) -> Result<Vec<Node>, &'static str> {
    if let Some(reason) = trace.not_traceable {
        return Err(reason);
    }
    let run = Run {
        gradients: true,
        hooks,
    };
    let fused = fused::calls(trace, run);
    let live = live::operators(trace, &fused);
    let mut fused = fused.into_iter().peekable();
    let mut hidden = CallId::new(0);
    let mut lines = trace.lines.iter().peekable();
    let mut written = trace.products.clone();
    written.sort_by_key(|(call, _)| *call);
    let mut written = written.into_iter().peekable();
    let mut nodes = Vec::new();
    for (id, call) in trace.calls() {
        if id < hidden {
            continue;
        }
        if let Some(fused) = fused.next_if(|fused| fused.call == id) {
            hidden = call.end;
            if live[id.index()] {
                nodes.push(Node {
                    kind: format_smolstr!("{}", fused.operator.replacen('.', "::", 1)),
                    call: id,
                    role: Role::Fused,
                });
            }
            continue;
        }
        if unpools_a_traced_size(trace, call) {
            return Err(NO_NUMBER);
        }
        let applied = trace.is_applied(id);
        sizes::arithmetic(trace, id, &mut |kind, times| {
            for _ in 0..if applied { 0 } else { times } {
                nodes.push(Node {
                    kind: format_smolstr!("aten::{kind}"),
                    call: id,
                    role: Role::Scalar { from_line: false },
                });
            }
        });
        while let Some((_, times)) = written.next_if(|(next, _)| *next <= id) {
            let made = std::iter::repeat_n(
                Node {
                    kind: SmolStr::new_static("aten::mul"),
                    call: id,
                    role: Role::Scalar { from_line: false },
                },
                if applied { 0 } else { times },
            );
            nodes.extend(made);
        }
        while let Some((first, line)) = lines.next_if(|(first, _)| *first <= id) {
            if applied || sizes::is_known(trace, id) {
                continue;
            }
            let products = || products(trace, *first);
            nodes.extend(lines::scalars(line, products).into_iter().map(|kind| Node {
                kind: format_smolstr!("aten::{kind}"),
                call: id,
                role: Role::Scalar { from_line: true },
            }));
        }
        if !live[id.index()] || applied {
            continue;
        }
        let Target::Operator(name) = &call.target else {
            continue;
        };
        if let Some(parts) = CELLS.get(name.as_str()) {
            nodes.extend(parts.iter().map(|part| Node {
                kind: format_smolstr!("aten::{part}"),
                call: id,
                role: Role::PartOfCell,
            }));
        } else if let Some(kind) = recorded_as(name, call) {
            nodes.push(Node {
                kind,
                call: id,
                role: Role::Operator,
            });
        }
    }
    Ok(nodes)
}

/// Whether a source line, given with the first call that it makes, is recorded as operators on sizes.
pub fn computes_with_sizes(trace: &Trace, first: CallId, line: &str) -> bool {
    let products = || products(trace, first);
    !sizes::is_known(trace, first) && !lines::scalars(line, products).is_empty()
}

/// How many products of tensors a line makes whose first call this is: those before the next line of the same forward.
fn products(trace: &Trace, first: CallId) -> usize {
    let forward = |id: CallId| {
        let mut parent = trace.call(id).parent;
        while let Some(id) = parent {
            if let Target::Module(_) = trace.call(id).target {
                break;
            }
            parent = trace.call(id).parent;
        }
        parent
    };
    let own = forward(first);
    let after = trace.lines.partition_point(|(other, _)| *other <= first);
    let mut others = trace.lines[after..].iter().map(|(other, _)| *other);
    let next = others.find(|other| forward(*other) == own);
    let end = next.map_or(trace.calls.len(), CallId::index);
    let is_product = |id: CallId| match &trace.call(id).target {
        Target::Operator(name) => name.trim_end_matches('_') == "aten.mul" && forward(id) == own,
        _ => false,
    };
    (first.index()..end)
        .filter(|at| is_product(CallId::new(*at)))
        .count()
}

/// The names that rules for operators may use: those of every call, and the functions of an
/// [einsum](crate::einsum::formula_function).
pub struct OperatorScope<'a>(CallScope<'a>);

impl<'a> OperatorScope<'a> {
    /// The names of one operator call.
    pub fn new(trace: &'a Trace, call: CallId) -> OperatorScope<'a> {
        OperatorScope(CallScope { trace, call })
    }
}

impl Scope for OperatorScope<'_> {
    fn get(&self, name: &str) -> Result<Quantity, EvalError> {
        let call = self.0.trace.call(self.0.call);
        match call.argument(name) {
            Some(value) => Ok(Quantity::of_value(self.0.trace, value)),
            // What is not passed has its default.
            None if OPTIONAL.contains(&name) => Ok(Quantity::None),
            None => self.0.get(name),
        }
    }

    fn call(&self, name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
        crate::einsum::formula_function(name, arguments)
    }
}

/// Parameters of operators that need not be passed.
const OPTIONAL: &[&str] = &[
    "bias",
    "interpolation_mode",
    "padding",
    "training",
    "transposed",
    "weight",
];

/// The pattern of a call of einops by this name, without the module's.
pub fn einops_pattern<'a>(name: &str, arguments: &'a [crate::expr::Argument]) -> Option<&'a str> {
    einops::pattern(name, arguments)
}

/// How many products of sizes a pattern of einops is recorded as, where lengths are given that are sizes of tensors or are
/// not; `None` where the rank of the tensor decides.
pub fn einops_products(pattern: &str, lengths: &[(&str, bool)]) -> Option<usize> {
    let lengths: Vec<_> = lengths
        .iter()
        .map(|(axis, size)| match size {
            true => (*axis, einops::Length::Size),
            false => (*axis, einops::Length::Number),
        })
        .collect();
    let recorded = einops::arithmetic(pattern, &lengths)?;
    Some(
        recorded
            .iter()
            .filter(|kind| kind.starts_with("mul"))
            .count(),
    )
}

/// Whether what the forward of a class does with sizes is known.
pub fn knows_sizes_of(class: &str) -> bool {
    sizes::is_known_class(class)
}

/// Whether what the forward of a call's module does with sizes is known by its class.
pub fn knows_sizes(trace: &Trace, call: CallId) -> bool {
    sizes::is_known(trace, call)
}

/// Whether an operator is what the program calls, not something inside another operator.
pub fn is_outermost(trace: &Trace, call: &Call) -> bool {
    matches!(call.target, Target::Operator(_))
        && !call
            .parent
            .is_some_and(|parent| matches!(trace.call(parent).target, Target::Operator(_)))
}

/// What `_check_unpool_output_size` raises (torch/nn/functional.py, torch 2.15).
const NO_NUMBER: &str = "TypeError: cond must be a bool, but got a Tensor, by the check of the size that a max_unpool returns";

/// Whether `F.max_unpool2d` checks a size that the tracer follows: one that is computed from the
/// input, or that a program was given. Numbers in a spec are numbers.
fn unpools_a_traced_size(trace: &Trace, call: &Call) -> bool {
    let Target::Function(name) = &call.target else {
        return false;
    };
    let unpools = name.starts_with("torch.nn.functional.max_unpool");
    unpools && (!trace.lines.is_empty() || call.argument("output_size").is_none_or(Value::is_none))
}

/// The kind of the node for an operator; `None` if none is recorded.
fn recorded_as(name: &str, call: &Call) -> Option<SmolStr> {
    let Some(operator) = name.strip_prefix("aten.") else {
        return Some(format_smolstr!("{}", name.replacen('.', "::", 1)));
    };
    if operator.starts_with("sym_") || operator.starts_with("_assert") || operator == "alias" {
        return None;
    }
    let operator = match operator {
        "conv1d" | "conv2d" | "conv3d" | "conv_transpose1d" | "conv_transpose2d"
        | "conv_transpose3d" | "convolution" => {
            // `padding="same"` goes another way.
            let by_name = matches!(call.argument("padding"), Some(Value::Str(_)));
            if by_name {
                "_convolution_mode"
            } else {
                "_convolution"
            }
        }
        other => ALIASES
            .iter()
            .find(|(alias, _)| *alias == other)
            .map_or(other, |(_, name)| name),
    };
    Some(format_smolstr!("aten::{operator}"))
}

/// The cells of recurrent networks, by `torch/csrc` of PyTorch 2.15: they are not recorded, what
/// they call is.
static CELLS: LazyLock<HashMap<&str, &[&str]>> = LazyLock::new(|| {
    HashMap::from([
        (
            "aten.lstm_cell",
            &[
                "linear",
                "linear",
                "add_",
                "unsafe_chunk",
                "sigmoid_",
                "sigmoid_",
                "tanh_",
                "sigmoid_",
                "mul",
                "mul",
                "add_",
                "tanh",
                "mul",
            ] as &[&str],
        ),
        (
            "aten.gru_cell",
            &[
                "linear",
                "unsafe_chunk",
                "linear",
                "unsafe_chunk",
                "add_",
                "sigmoid_",
                "add_",
                "sigmoid_",
                "mul_",
                "add",
                "tanh_",
                "sub",
                "mul_",
                "add_",
            ],
        ),
        ("aten.rnn_tanh_cell", &["linear", "linear", "add_", "tanh"]),
        ("aten.rnn_relu_cell", &["linear", "linear", "add_", "relu"]),
    ])
});

/// Names that the tracer writes in another way (`torch/csrc/jit/passes/normalize_ops.cpp`).
const ALIASES: &[(&str, &str)] = &[
    ("absolute", "abs"),
    ("absolute_", "abs_"),
    ("arccos", "acos"),
    ("arccosh", "acosh"),
    ("arcsin", "asin"),
    ("arcsinh", "asinh"),
    ("arctan", "atan"),
    ("arctan2", "atan2"),
    ("arctanh", "atanh"),
    ("clip", "clamp"),
    ("clip_", "clamp_"),
    ("concat", "cat"),
    ("concatenate", "cat"),
    ("divide", "div"),
    ("divide_", "div_"),
    ("fix", "trunc"),
    ("ger", "outer"),
    ("greater", "gt"),
    ("greater_equal", "ge"),
    ("inverse", "linalg_inv"),
    ("less", "lt"),
    ("less_equal", "le"),
    ("linalg_matmul", "matmul"),
    ("moveaxis", "movedim"),
    ("multiply", "mul"),
    ("multiply_", "mul_"),
    ("negative", "neg"),
    ("negative_", "neg_"),
    ("not_equal", "ne"),
    ("row_stack", "vstack"),
    ("special_expit", "sigmoid"),
    ("special_softmax", "softmax"),
    ("subtract", "sub"),
    ("subtract_", "sub_"),
    ("swapaxes", "transpose"),
    ("swapdims", "transpose"),
    ("true_divide", "div"),
    ("true_divide_", "div_"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dim::Dim;
    use crate::trace::{Argument, Passed, TensorId, TraceBuilder};

    fn argument(name: &str, value: impl Into<Value>) -> Argument {
        Argument {
            name: name.into(),
            value: value.into(),
            passed: Passed::Position,
        }
    }

    fn operator(builder: &mut TraceBuilder, name: &str, arguments: Vec<Argument>) -> TensorId {
        builder.begin(Target::Operator(name.into()), arguments, None);
        let output = builder.output_tensor(Some(vec![Dim::ONE]), None);
        builder.end(Value::Tensor(output));
        output
    }

    fn kinds(trace: &Trace) -> Vec<String> {
        graph(trace, true)
            .unwrap()
            .into_iter()
            .map(|node| node.kind.to_string())
            .collect()
    }

    #[test]
    fn leaves_out_what_nothing_uses() {
        let mut builder = TraceBuilder::new("test", "test");
        let input = builder.tensor(None, None, crate::trace::Origin::Input);
        let used = operator(&mut builder, "aten.conv2d", vec![argument("input", input)]);
        let unused = operator(&mut builder, "aten.mean", vec![argument("self", used)]);
        operator(&mut builder, "aten.mul", vec![argument("self", unused)]);
        let row = operator(&mut builder, "aten.select", vec![argument("self", used)]);
        operator(&mut builder, "aten.fill_", vec![argument("self", row)]);
        let output = operator(&mut builder, "aten.swapaxes", vec![argument("self", used)]);
        builder.trace_mut().output = Value::Tensor(output);
        let expected = [
            "aten::_convolution",
            "aten::select",
            "aten::fill_",
            "aten::transpose",
        ];
        assert_eq!(kinds(&builder.finish()), expected);
    }

    #[test]
    fn records_no_more_of_a_function_than_that_it_is_applied() {
        // x * sigmoid(x) in the forward of a torch.autograd.Function, then relu (torch 2.15).
        let mut builder = TraceBuilder::new("test", "test");
        let input = builder.tensor(None, None, crate::trace::Origin::Input);
        let gate = operator(&mut builder, "aten.sigmoid", vec![argument("self", input)]);
        let given = vec![argument("self", input), argument("other", gate)];
        let product = operator(&mut builder, "aten.mul", given);
        let output = operator(&mut builder, "aten.relu", vec![argument("self", product)]);
        let trace = builder.trace_mut();
        trace.output = Value::Tensor(output);
        trace.applied.push((CallId::new(0), CallId::new(2)));
        assert_eq!(kinds(&builder.finish()), ["aten::relu"]);
    }

    #[test]
    fn records_the_size_arithmetic_of_attention() {
        // Scalars that torch 2.15 records for nn.MultiheadAttention(32, 4): 4 products for
        // self-attention, 6 when keys and values are another tensor, 5 then without a bias.
        let products = |key_is_query: bool, bias: bool| {
            let mut builder = TraceBuilder::new("test", "test");
            let mut tensor = || builder.tensor(None, None, crate::trace::Origin::Input);
            let (query, other, in_proj_bias) = (tensor(), tensor(), tensor());
            let key = if key_is_query { query } else { other };
            let bias = if bias {
                Value::Tensor(in_proj_bias)
            } else {
                Value::None
            };
            let arguments = vec![
                argument("query", query),
                argument("key", key),
                argument("value", key),
                argument("in_proj_weight", other),
                argument("in_proj_bias", bias),
            ];
            let name = "torch.nn.functional.multi_head_attention_forward";
            builder.begin(Target::Function(name.into()), arguments, None);
            let kinds = kinds(&builder.finish());
            kinds.iter().filter(|kind| *kind == "aten::mul").count()
        };
        assert_eq!(products(true, true), 4);
        assert_eq!(products(false, true), 6);
        assert_eq!(products(false, false), 5);
    }
}
