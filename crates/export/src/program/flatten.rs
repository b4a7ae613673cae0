//! Nodes in one sequence: names resolved to tensors and integers, higher-order operators opened.

use std::borrow::Cow;

use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::{Argument, Origin, Passed, Shape, TensorId, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::{Flat, Scope, StackId, Stacks};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use crate::json::{Arg, Graph, GraphArg, Node, SymArg, TensorMeta, Text};
use crate::symbols::{Symbols, dtype};

/// A stack trace as Python prints it.
fn stack_trace(raw: Option<&RawValue>) -> Cow<'_, str> {
    match raw.map(|raw| serde_json::from_str::<Text<'_>>(raw.get())) {
        Some(Ok(text)) => text.0,
        _ => Cow::Borrowed(""),
    }
}

/// The last line of a stack trace, which is source.
fn line(trace: &str) -> &str {
    let last = trace.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.filter(|line| !line.starts_with("File \""))
        .unwrap_or("")
}

/// Subgraphs inside subgraphs; programs have two or three.
const MAX_DEPTH: usize = 32;

/// Makes the sequence.
pub struct Flattener<'b, 'a> {
    /// Where tensors go.
    pub builder: &'b mut TraceBuilder,
    /// The stacks met on the way.
    pub stacks: Stacks<'a>,
    /// Symbolic sizes.
    pub symbols: Symbols,
    /// The sequence.
    pub nodes: Vec<Flat<'a>>,
    /// Whether gradients are off where the sequence has come to.
    pub without_gradient: bool,
}

impl<'a> Flattener<'_, 'a> {
    /// Adds the nodes of a graph. `scope` holds its inputs, and afterwards all its values.
    pub fn graph(
        &mut self,
        graph: &'a Graph<'a>,
        scope: &mut Scope<'a>,
        outer: Option<StackId>,
        depth: usize,
    ) {
        for node in &graph.nodes {
            let text = node.metadata.nn_module_stack.as_deref().unwrap_or("");
            let stack = self.stacks.intern(text).or(outer);
            if is_symbolic(node) {
                self.symbolic(graph, node, scope);
            } else if !self.open(graph, node, scope, stack, depth) {
                self.node(graph, node, scope, stack);
            }
        }
    }

    fn node(
        &mut self,
        graph: &'a Graph<'a>,
        node: &'a Node<'a>,
        scope: &mut Scope<'a>,
        stack: Option<StackId>,
    ) {
        let op = operator(&node.target);
        let arguments = node.inputs.iter().map(|input| Argument {
            name: SmolStr::new(&*input.name),
            value: self.value(&input.arg, scope),
            passed: match input.kind {
                Some(2) => Passed::Keyword,
                _ => Passed::Position,
            },
        });
        let mut arguments: Vec<Argument> = arguments.collect();
        arguments.extend(default_of_overload(&node.target, &arguments));
        let mut outputs: Vec<Value> = node
            .outputs
            .iter()
            .map(|output| self.output(graph, output, scope))
            .collect();
        let output = match outputs.len() {
            1 => outputs.remove(0),
            0 => Value::None,
            _ => Value::Tuple(outputs),
        };
        let source = node.metadata.source_fn_stack.as_deref();
        let source = source.and_then(|text| text.rsplit(';').next()?.split_once(','));
        let trace = stack_trace(node.metadata.stack_trace);
        self.nodes.push(Flat {
            op,
            arguments,
            output,
            stack,
            torch_fn: node.metadata.torch_fn.as_deref().unwrap_or("").into(),
            source_fn: source.map(|(_, function)| function),
            line: line(&trace).to_owned().into(),
            frame: trace,
        });
    }

    /// The value of an argument.
    pub fn value(&mut self, arg: &'a Arg<'a>, scope: &Scope<'a>) -> Value {
        let named = |name: &str| scope.get(name).cloned();
        let tensor = |name: &str| named(name).unwrap_or_else(|| Value::Opaque(name.into()));
        let symbolic = |arg: &SymArg<'_>| match arg {
            SymArg::Int(value) => Value::from(*value),
            SymArg::Name(name) => named(name).unwrap_or_else(|| Value::Int(Dim::unknown(&**name))),
            SymArg::Other => Value::Opaque("number".into()),
        };
        match arg {
            Arg::None => Value::None,
            Arg::Tensor(name) => tensor(name),
            Arg::Tensors(names) => Value::List(names.iter().map(|name| tensor(name)).collect()),
            Arg::OptionalTensors(names) => {
                let item = |name: &Option<crate::json::Text<'_>>| match name {
                    Some(name) => tensor(name),
                    None => Value::None,
                };
                Value::List(names.iter().map(item).collect())
            }
            Arg::Nested(lists) => {
                let list = |names: &Vec<crate::json::Text<'_>>| {
                    Value::List(names.iter().map(|name| tensor(name)).collect())
                };
                Value::List(lists.iter().map(list).collect())
            }
            Arg::Int(value) => Value::from(*value),
            Arg::Ints(values) => Value::List(values.iter().map(|v| Value::from(*v)).collect()),
            Arg::Float(value) => Value::Float(*value),
            Arg::Floats(values) => Value::List(values.iter().map(|v| Value::Float(*v)).collect()),
            Arg::Str(text) => Value::Str(SmolStr::new(&**text)),
            Arg::Strs(texts) => Value::List(
                texts
                    .iter()
                    .map(|t| Value::Str(SmolStr::new(&**t)))
                    .collect(),
            ),
            Arg::SymInt(arg) => symbolic(arg),
            Arg::SymInts(args) => Value::List(args.iter().map(symbolic).collect()),
            Arg::Bool(value) => Value::Bool(*value),
            Arg::Bools(values) => Value::List(values.iter().map(|v| Value::Bool(*v)).collect()),
            Arg::ScalarType(number) => dtype(*number).map_or(Value::None, Value::DType),
            Arg::Graph(_) => Value::Opaque("graph".into()),
            Arg::Other(key) => {
                let kind = key.strip_prefix("as_").unwrap_or(key);
                Value::Opaque(kind.into())
            }
        }
    }

    /// The value of an output; tensors are new.
    fn output(&mut self, graph: &'a Graph<'a>, arg: &'a Arg<'a>, scope: &mut Scope<'a>) -> Value {
        match arg {
            Arg::Tensor(name) => self.tensor(graph, name, scope),
            Arg::Tensors(names) => Value::List(
                names
                    .iter()
                    .map(|name| self.tensor(graph, name, scope))
                    .collect(),
            ),
            Arg::OptionalTensors(names) => {
                let mut items = Vec::with_capacity(names.len());
                for name in names {
                    items.push(match name {
                        Some(name) => self.tensor(graph, name, scope),
                        None => Value::None,
                    });
                }
                Value::List(items)
            }
            Arg::SymInt(SymArg::Name(name)) => self.sym_int(graph, name, scope),
            other => self.value(other, scope),
        }
    }

    fn tensor(&mut self, graph: &Graph<'a>, name: &'a str, scope: &mut Scope<'a>) -> Value {
        let value = Value::Tensor(self.new_tensor(graph, name, Origin::Constant));
        scope.insert(name, value.clone());
        value
    }

    /// A tensor with the shape that the graph declares for a name.
    pub fn new_tensor(&mut self, graph: &Graph<'a>, name: &str, origin: Origin) -> TensorId {
        let meta = graph.tensor_values.get(name);
        let shape = meta.map(|meta| meta.sizes.iter().map(|s| self.symbols.dim(s)).collect());
        let dtype = meta.and_then(|meta| dtype(meta.dtype));
        let id = self.builder.tensor(shape, dtype, origin);
        let strides = meta.and_then(|meta| strides(meta, &mut self.symbols));
        let tensor = &mut self.builder.trace_mut().tensors[id.index()];
        tensor.strides = strides;
        tensor.without_gradient = self.without_gradient;
        id
    }

    /// A node that computes sizes: no call, but values that others use.
    fn symbolic(&mut self, graph: &'a Graph<'a>, node: &'a Node<'a>, scope: &mut Scope<'a>) {
        for output in &node.outputs {
            if let Arg::SymInt(SymArg::Name(name)) = output {
                self.sym_int(graph, name, scope);
            }
        }
    }

    fn sym_int(&mut self, graph: &'a Graph<'a>, name: &'a str, scope: &mut Scope<'a>) -> Value {
        let value = match graph.sym_int_values.get(name) {
            Some(size) => Value::Int(self.symbols.dim(size)),
            None => Value::Opaque("number".into()),
        };
        scope.insert(name, value.clone());
        value
    }

    /// Opens a higher-order operator. Wrappers run their graph once; of a condition one branch is
    /// taken, and of a loop one round, which is said.
    fn open(
        &mut self,
        graph: &'a Graph<'a>,
        node: &'a Node<'a>,
        scope: &mut Scope<'a>,
        stack: Option<StackId>,
        depth: usize,
    ) -> bool {
        let graphs = node
            .inputs
            .iter()
            .enumerate()
            .filter_map(|(at, input)| match &input.arg {
                Arg::Graph(graph) => Some((at, &**graph)),
                _ => None,
            });
        let graphs: Vec<(usize, &'a GraphArg<'a>)> = graphs.collect();
        let Some((first, only)) = graphs.first().copied() else {
            return false;
        };
        let name = node.target.rsplit('.').next().unwrap_or("");
        let mut note = |level, text: String| {
            self.builder.trace_mut().fidelity.note(level, text);
        };
        let (inner, operands_from) = match (name, graphs.as_slice()) {
            ("cond", [(_, taken), (last, _)]) => {
                note(
                    Level::Partial,
                    "the program branches on data (torch.cond): the branch for true is counted"
                        .into(),
                );
                (*taken, last + 1)
            }
            ("while_loop", [_, (last, body)]) => {
                note(
                    Level::Partial,
                    "the program loops for as long as its data says (while_loop): one round is counted".into(),
                );
                (*body, last + 1)
            }
            ("map_impl" | "map" | "scan" | "associative_scan", [(at, body)]) => {
                note(
                    Level::Partial,
                    format!(
                        "{name} runs its body once for each slice of its input: one round is counted"
                    ),
                );
                (*body, at + 1)
            }
            (_, [_]) if is_wrapper(name) => (only, first + 1),
            _ => {
                note(
                    Level::Partial,
                    format!("what {name} does inside is not counted"),
                );
                return false;
            }
        };
        if depth >= MAX_DEPTH {
            note(
                Level::Partial,
                format!(
                    "higher-order operators are nested deeper than {MAX_DEPTH}: the innermost are not counted"
                ),
            );
            return false;
        }
        let mut operands = Vec::new();
        for input in &node.inputs[operands_from.min(node.inputs.len())..] {
            match self.value(&input.arg, scope) {
                Value::List(items) => operands.extend(items),
                // A name of the subgraph, not one of its inputs.
                Value::Str(_) => {}
                value => operands.push(value),
            }
        }
        let sliced = matches!(name, "map_impl" | "map" | "scan" | "associative_scan");
        let mut inside = Scope::default();
        for (input, operand) in inner.graph.inputs.iter().zip(operands) {
            match input {
                // A slice of an operand is a tensor of its own.
                Arg::Tensor(name) if sliced => {
                    self.tensor(&inner.graph, name, &mut inside);
                }
                Arg::Tensor(name) => {
                    inside.insert(name, operand);
                }
                Arg::SymInt(SymArg::Name(name)) => {
                    inside.insert(name, operand);
                }
                _ => {}
            }
        }
        let before = self.without_gradient;
        if name == "wrap_with_set_grad_enabled"
            && let Some(Arg::Bool(enabled)) = node.inputs.first().map(|input| &input.arg)
        {
            self.without_gradient = !enabled;
        }
        self.graph(&inner.graph, &mut inside, stack, depth + 1);
        self.without_gradient = before;
        let results = inner
            .graph
            .outputs
            .iter()
            .map(|output| self.value(output, &inside));
        let results: Vec<Value> = results.collect();
        let mut names = Vec::new();
        for output in &node.outputs {
            match output {
                Arg::Tensor(name) => names.push(name),
                Arg::Tensors(list) => names.extend(list),
                _ => {}
            }
        }
        for (at, name) in names.into_iter().enumerate() {
            match results.get(at) {
                Some(value) if !sliced => {
                    scope.insert(name, value.clone());
                }
                _ => {
                    self.tensor(graph, name, scope);
                }
            }
        }
        true
    }
}

/// Higher-order operators that run one graph once, on what follows it in their arguments.
fn is_wrapper(name: &str) -> bool {
    name.starts_with("wrap")
        || matches!(
            name,
            "tag_activation_checkpoint"
                | "checkpoint"
                | "strict_mode"
                | "hints_wrapper"
                | "invoke_subgraph"
                | "run_const_graph"
                | "_export_tracepoint"
        )
}

/// `torch.ops.aten.conv2d.default` as `aten.conv2d`.
fn operator(target: &str) -> SmolStr {
    let rest = target.strip_prefix("torch.ops.").unwrap_or(target);
    match rest.match_indices('.').nth(1) {
        Some((end, _)) => SmolStr::new(&rest[..end]),
        None => SmolStr::new(rest),
    }
}

/// What an overload takes where the program leaves an argument out, if the operator's other overloads
/// take something else: `conv2d.padding` has `padding="valid"`
/// (aten/src/ATen/native/native_functions.yaml, torch 2.15).
fn default_of_overload(target: &str, given: &[Argument]) -> Option<Argument> {
    let by_name = target.starts_with("torch.ops.aten.conv") && target.ends_with(".padding");
    let is_given = given.iter().any(|argument| argument.name == "padding");
    (by_name && !is_given).then(|| Argument {
        name: "padding".into(),
        value: Value::Str("valid".into()),
        passed: Passed::Default,
    })
}

/// The strides of a tensor, where the program has them.
pub fn strides(meta: &TensorMeta<'_>, symbols: &mut Symbols) -> Option<Shape> {
    let known = meta.strides.len() == meta.sizes.len();
    known.then(|| meta.strides.iter().map(|s| symbols.dim(s)).collect())
}

/// Whether a node computes sizes and not tensors.
fn is_symbolic(node: &Node<'_>) -> bool {
    let target = &*node.target;
    if target.starts_with("_operator.") || target.starts_with("math.") {
        return true;
    }
    let name = target.strip_prefix("torch.ops.aten.").unwrap_or(target);
    name.starts_with("sym_")
        || name.starts_with("_assert")
        || name.starts_with("_local_scalar_dense")
        || name.starts_with("item.")
        || target.starts_with("torch.sym_")
        || target.starts_with("torch._sym_")
}
