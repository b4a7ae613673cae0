//! The tree of calls: modules hold functions, functions hold operators.

mod function;
mod module;

use foldhash::{HashMap, HashSet};
use modelcost_core::trace::{
    Argument, CallId, Class, ModuleId, Passed, Target, TensorId, TraceBuilder,
};
use modelcost_core::value::Value;
use smol_str::SmolStr;

use crate::autograd;
use crate::classes;
use crate::doubts::{Doubt, Doubts};
use crate::flat::Flat;
use crate::frames::{self, Frame, Item};
use crate::known;
use crate::layout;
use crate::modules::Tree;
use crate::passing::Passing;
use crate::replaced;
use crate::shown;
use crate::site::Site;
use crate::stack::{Entry, Stacks};
use crate::unknown;

/// What the root module is called with and returns.
pub struct Root {
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// Its output.
    pub output: Value,
}

/// Writes all calls. `false` if modules nest too deeply.
pub fn emit(
    builder: &mut TraceBuilder,
    tree: &Tree<'_>,
    stacks: &Stacks<'_>,
    nodes: &[Flat<'_>],
    root: Root,
) -> bool {
    let Some(mut frames) = frames::cut(nodes, stacks, begins_again) else {
        return false;
    };
    layout::mend(builder.trace_mut(), nodes);
    let tensors = builder.trace().tensors.len();
    frames::flow(&mut frames, nodes, &root.output.tensors(), tensors);
    for frame in &frames {
        if let Some(id) = tree.by_path.get(&frame.entry.path) {
            let module = &mut builder.trace_mut().modules[id.index()];
            if module.class.name.is_empty() && !frame.entry.class.is_empty() {
                module.class = classes::class(frame.entry.class);
            }
        }
    }
    let trace = builder.trace_mut();
    trace.output = root.output.clone();
    // A function and one or two operators for each node.
    trace.calls.reserve(frames.len() + 3 * nodes.len());
    let owners = owners(builder, tree);
    let source = shown::Root::new(nodes, root.output.tensors());
    let replaced = replaced::weights(builder.trace_mut(), nodes, stacks);
    let mut emitter = Emitter {
        builder,
        tree,
        nodes,
        stacks,
        frames: &frames,
        owners,
        replaced,
        lines: HashMap::default(),
        statement: None,
        place: Place::Root,
        doubts: Doubts::default(),
        root: Some(root),
        source,
    };
    emitter.frame(0);
    let mut doubts = std::mem::take(&mut emitter.doubts);
    crate::infer::classes(builder, nodes, &mut doubts);
    let modules = (0..builder.trace().modules.len()).map(ModuleId::new);
    modelcost_torch::recover::fill(builder.trace_mut(), modules);
    replaced::cached(builder.trace_mut());
    unknown::modules(builder.trace(), tree, nodes, stacks, &mut doubts);
    doubts.note(&mut builder.trace_mut().fidelity);
    true
}

/// Whether a node begins another call of a layer whose forward is one function.
fn begins_again(entry: &Entry<'_>, first: &Flat<'_>, node: &Flat<'_>) -> bool {
    let Some(name) = entry.class.strip_prefix("torch.nn.modules.") else {
        return false;
    };
    let name = name.rsplit('.').next().unwrap_or(name);
    let several = [
        "RNN",
        "LSTM",
        "GRU",
        "MultiheadAttention",
        "Transformer",
        "Adaptive",
    ];
    if several.iter().any(|prefix| name.starts_with(prefix)) {
        return false;
    }
    let function = |node: &Flat<'_>| {
        node.torch_fn
            .split_once(';')
            .map(|(_, function)| function.len())
    };
    first.torch_fn != node.torch_fn
        && function(first).is_some()
        && first.torch_fn.rsplit(';').next() == node.torch_fn.rsplit(';').next()
}

/// The parameters and buffers with the paths of the modules that own them, in the order of their
/// tensors.
fn owners(builder: &TraceBuilder, tree: &Tree<'_>) -> Vec<(TensorId, SmolStr)> {
    let trace = builder.trace();
    let mut out: Vec<(TensorId, SmolStr)> = Vec::new();
    for (path, id) in &tree.by_path {
        let module = trace.module(*id);
        let parameters = module.parameters.iter().filter_map(|(_, id)| *id);
        let tensors = parameters.map(|id| trace.parameter(id).tensor);
        let buffers = module
            .buffers
            .iter()
            .map(|(_, id)| trace.buffers[id.index()].tensor);
        out.extend(tensors.chain(buffers).map(|tensor| (tensor, path.clone())));
    }
    out.sort_unstable_by_key(|(tensor, _)| *tensor);
    out
}

/// What a module is called in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// The root.
    Root,
    /// A container below the root; whether the program shows all that this takes.
    Container(bool),
    /// A layer.
    Layer,
}

/// Writes calls, module by module.
pub struct Emitter<'e, 'a> {
    /// Where they go.
    pub builder: &'e mut TraceBuilder,
    tree: &'e Tree<'a>,
    /// All nodes.
    pub nodes: &'e [Flat<'a>],
    stacks: &'e Stacks<'a>,
    frames: &'e [Frame<'a>],
    owners: Vec<(TensorId, SmolStr)>,
    /// Tensors that stand in the place of layers' weights.
    replaced: HashSet<TensorId>,
    /// How often a line has called a function, by call of a module, function and stack trace.
    lines: HashMap<(usize, &'e str, &'e str), usize>,
    /// The statement that is being executed: whose call it is part of, and its stack trace.
    statement: Option<(usize, &'e str)>,
    doubts: Doubts,
    root: Option<Root>,
    place: Place,
    source: shown::Root<'e>,
}

impl<'e, 'a> Emitter<'e, 'a> {
    fn frame(&mut self, index: usize) {
        let (frames, nodes) = (self.frames, self.nodes);
        let frame = &frames[index];
        let path = &frame.entry.path;
        let Some(module) = self.tree.by_path.get(path).copied() else {
            return;
        };
        let class = self.builder.trace().module(module).class.clone();
        self.tie(module, &class, frame);
        let root = if index == 0 { self.root.take() } else { None };
        let place = self.place;
        let (arguments, output, shown) = match root {
            Some(root) => (root.arguments, root.output, true),
            None => {
                let site = self.site(frame, path);
                let arguments = self.module_arguments(&class, frame, path, site.as_ref());
                let shown = self.shows(&class, frame, site.as_ref(), &arguments);
                (arguments, self.module_output(&class, frame), shown)
            }
        };
        self.builder.begin(Target::Module(module), arguments, None);
        if index != 0 {
            self.place = match place {
                Place::Root | Place::Container(_) if is_container(&class) => {
                    Place::Container(shown)
                }
                _ => Place::Layer,
            };
            if !shown {
                self.doubts.add(Doubt::Values, || path.to_string());
            }
        }
        let mut passing = Passing::new(self.builder, module, &class);
        let mut at = 0;
        while at < frame.items.len() {
            self.pass_through(&mut passing, frame, at);
            match frame.items[at] {
                Item::Frame(child) => {
                    self.frame(child);
                    at += 1;
                }
                Item::Node(first) => {
                    let torch_fn = &nodes[first].torch_fn;
                    let same = |item: &Item| match item {
                        Item::Node(node) if nodes[*node].torch_fn == *torch_fn => Some(*node),
                        _ => None,
                    };
                    let rest = frame.items[at + 1..].iter().map_while(same);
                    let rest = rest.filter(|_| !torch_fn.is_empty());
                    let group: Vec<usize> = std::iter::once(first).chain(rest).collect();
                    self.group(index, &class, &group);
                    at += group.len();
                }
            }
        }
        self.pass_through(&mut passing, frame, at);
        self.builder.end(output);
        self.place = place;
    }

    /// Whether the program shows all that a call takes and returns, where that is asked.
    fn shows(
        &self,
        class: &Class,
        frame: &Frame<'a>,
        site: Option<&Site>,
        arguments: &[Argument],
    ) -> bool {
        let container = is_container(class);
        match self.place {
            Place::Layer => true,
            _ if known::is_library(&class.name) && !container => true,
            // Its lines pass on what it was given.
            Place::Container(shown) => shown,
            Place::Root => {
                let tensors = arguments
                    .iter()
                    .map(|argument| argument.value.tensors().len());
                shown::shown(site, tensors.sum(), &frame.outputs, &self.source)
            }
        }
    }

    /// Calls of children that left no node because they returned their input: what a `Sequential`
    /// holds between the children that did something, and what is known of torchvision's blocks.
    fn pass_through(&mut self, passing: &mut Passing, frame: &Frame<'a>, at: usize) {
        let next = frame.items.get(at);
        let called = next.and_then(|item| match item {
            Item::Frame(child) => self
                .tree
                .by_path
                .get(&self.frames[*child].entry.path)
                .copied(),
            Item::Node(_) => None,
        });
        let input = match next {
            Some(Item::Frame(child)) => self.frames[*child].inputs.first().copied(),
            Some(Item::Node(node)) => self.residual(*node),
            None => frame.outputs.last().copied(),
        };
        for module in passing.before(called, next.is_none(), input.is_some()) {
            let value = input.map_or(Value::None, Value::Tensor);
            let argument = Argument {
                name: SmolStr::new_static("input"),
                value: value.clone(),
                passed: Passed::Position,
            };
            self.builder
                .begin(Target::Module(module), vec![argument], None);
            self.builder.end(value);
        }
    }

    /// What an addition adds to the residual: the operand that was made last.
    fn residual(&self, node: usize) -> Option<TensorId> {
        let node = &self.nodes[node];
        if node.op != "aten.add" && node.op != "aten.add_" {
            return None;
        }
        let operands = node
            .arguments
            .iter()
            .filter_map(|argument| argument.value.tensor());
        operands.max()
    }

    /// The nodes of one function call.
    fn group(&mut self, frame: usize, class: &Class, group: &[usize]) {
        let nodes = self.nodes;
        let Some(first) = group.first().map(|index| &nodes[*index]) else {
            return;
        };
        let start = CallId::new(self.builder.trace().calls.len());
        self.function(frame, class, group, first);
        let trace = self.builder.trace_mut();
        if let Some((line, layers)) = autograd::own_backward(first, self.stacks) {
            let end = CallId::new(trace.calls.len());
            trace.applied.push((start, end));
            self.doubts.add(Doubt::Backward, || format!("`{line}`"));
            if layers {
                self.doubts.add(Doubt::Wrapped, || format!("`{line}`"));
            }
        }
        if let Some(tensor) = group.last().and_then(|at| autograd::leaf(&nodes[*at])) {
            trace.tensors[tensor.index()].wants_gradient = true;
        }
    }
}

/// Whether a module hands on to its children what it is given.
fn is_container(class: &Class) -> bool {
    class.is("torch.nn.Sequential")
}

/// The first tensor of an output.
pub fn first_tensor(value: &Value) -> Value {
    value
        .tensors()
        .first()
        .map_or(Value::None, |id| Value::Tensor(*id))
}
