//! The tree of calls: modules hold functions, functions hold operators.

use foldhash::{HashMap, HashSet};
use modelcost_core::trace::{
    Argument, CallId, Class, ModuleId, Origin, Passed, Target, TensorId, Trace, TraceBuilder,
};
use modelcost_core::value::Value;
use smol_str::SmolStr;

use crate::arguments::{bind, complete};
use crate::autograd;
use crate::classes;
use crate::doubts::{Doubt, Doubts};
use crate::flat::Flat;
use crate::frames::{self, Frame, Item};
use crate::function::{self, Source};
use crate::kept::{Seen, seen};
use crate::known;
use crate::layout;
use crate::modules::Tree;
use crate::operators::{self, Call};
use crate::passing::Passing;
use crate::replaced;
use crate::shown;
use crate::site::{Shown, Site, site};
use crate::stack::{Entry, Stacks};
use crate::unknown;
use crate::written;

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

    /// Whether a tensor is a parameter or buffer of a module or of one inside it.
    fn owned_by(&self, tensor: TensorId, path: &str) -> bool {
        let from = self.owners.partition_point(|(other, _)| *other < tensor);
        let mut owners = self.owners[from..]
            .iter()
            .take_while(|(other, _)| *other == tensor);
        owners.any(|(_, owner)| {
            let rest = owner.strip_prefix(path);
            path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// A layer that computes with a parameter owns it, though the program may know the parameter
    /// only by the name of another owner.
    fn tie(&mut self, module: ModuleId, class: &Class, frame: &Frame<'a>) {
        if !classes::is_torch(class) {
            return;
        }
        let only_nodes = frame.items.iter().all(|item| matches!(item, Item::Node(_)));
        let plain = |(name, _): &(SmolStr, _)| name == "weight" || name == "bias";
        let own = &self.builder.trace().module(module).parameters;
        let holds_others = !self.builder.trace().module(module).children.is_empty();
        if !only_nodes || holds_others || !own.iter().all(plain) {
            return;
        }
        for item in &frame.items {
            let Item::Node(node) = item else { continue };
            for argument in &self.nodes[*node].arguments {
                if argument.name != "weight" && argument.name != "bias" {
                    continue;
                }
                let Value::Tensor(tensor) = argument.value else {
                    continue;
                };
                let trace = self.builder.trace();
                let Origin::Parameter(parameter) = trace.tensor(tensor).origin else {
                    continue;
                };
                let own = &trace.module(module).parameters;
                if !own.iter().any(|(name, _)| *name == argument.name) {
                    self.builder
                        .tie_parameter(module, argument.name.clone(), parameter);
                }
            }
        }
    }

    /// What a module is called with: the tensors that come from outside, under the names of the
    /// class's `forward` where that is known.
    fn module_arguments(
        &mut self,
        class: &Class,
        frame: &Frame<'a>,
        path: &str,
        site: Option<&Site>,
    ) -> Vec<Argument> {
        if let Some(mut arguments) = operators::special_arguments(self, class, frame) {
            if let Some(site) = site {
                arguments.truncate(site.positional.len() + site.keywords.len());
                site.passed(&mut arguments);
            }
            self.folded(class, &arguments);
            return arguments;
        }
        let torch = classes::is_torch(class);
        let leaf = frame.items.iter().all(|item| matches!(item, Item::Node(_)));
        let is_state = |tensor: TensorId| {
            let origin = self.builder.trace().tensor(tensor).origin;
            match origin {
                Origin::Parameter(_) | Origin::Buffer(_) => {
                    self.owned_by(tensor, path) || torch && leaf && self.is_weight(frame, tensor)
                }
                // What calls and inputs make has another origin by now: the module holds this
                // itself, as a part of its code or folded by an optimizer.
                Origin::Constant => true,
                // A weight that was computed, or changed in place.
                _ => {
                    self.replaced.contains(&tensor)
                        || torch && leaf && self.is_weight(frame, tensor)
                }
            }
        };
        let inputs = frame
            .inputs
            .iter()
            .copied()
            .filter(|tensor| !is_state(*tensor));
        let known = modelcost_torch::class(&class.name).filter(|info| info.name() == class.name);
        let parameters = known.map_or(&[][..], |info| &info.forward_signature().parameters);
        let name = |at: usize| {
            let parameter = parameters.get(at);
            parameter.map_or_else(SmolStr::default, |parameter| parameter.name.clone())
        };
        let named = |(at, tensor): (usize, TensorId)| Argument {
            name: name(at),
            value: Value::Tensor(tensor),
            passed: Passed::Position,
        };
        let inputs: Vec<TensorId> = inputs.collect();
        let mut out: Vec<Argument> = match site {
            Some(site) => site.arguments(&inputs, &name),
            None => inputs.into_iter().enumerate().map(named).collect(),
        };
        if known::takes_grid(class) {
            out.push(Argument {
                name: SmolStr::new_static("thw"),
                value: known::grid(),
                passed: Passed::Position,
            });
        }
        out
    }

    /// An exporter that folds constants leaves open whether the state that a recurrent layer begins
    /// with was passed or made inside.
    fn folded(&mut self, class: &Class, arguments: &[Argument]) {
        let constant = |id: &TensorId| {
            let origin = self.builder.trace().tensor(*id).origin;
            matches!(origin, Origin::Constant)
        };
        let state = arguments.iter().find(|argument| argument.name == "hx");
        if state.is_some_and(|state| state.value.tensors().iter().any(constant)) {
            self.doubts.add(Doubt::Folded, || class.short_name().into());
        }
    }

    /// The call of a module as its caller's source has it.
    fn site(&mut self, frame: &Frame<'a>, path: &str) -> Option<Site> {
        let first = self.nodes.get(frame.start)?;
        let entries = self.stacks.get(first.stack?);
        let at = entries.iter().position(|entry| *entry == frame.entry)?;
        let name = path.rsplit('.').next()?;
        let caller = entries.get(at.checked_sub(1)?)?.class;
        match site(&first.frame, name, at - 1, entries.len()) {
            Shown::Once(site) => Some(site),
            Shown::Unclear if !known::is_library(caller) => {
                self.doubts.add(Doubt::Site, || format!("those of {path}"));
                None
            }
            Shown::Unclear | Shown::Nothing => None,
        }
    }

    /// Whether the layer uses a tensor as its weight and not as what it is applied to.
    fn is_weight(&self, frame: &Frame<'a>, tensor: TensorId) -> bool {
        let uses = frame.items.iter().filter_map(|item| match item {
            Item::Node(node) => Some(&self.nodes[*node].arguments),
            Item::Frame(_) => None,
        });
        uses.flatten().any(|argument| {
            argument.value == Value::Tensor(tensor)
                && matches!(
                    argument.name.as_str(),
                    "weight" | "bias" | "running_mean" | "running_var"
                )
        })
    }

    fn module_output(&mut self, class: &Class, frame: &Frame<'a>) -> Value {
        if let Some(output) = operators::special_output(self, class, frame) {
            return output;
        }
        let root = &self.builder.trace().module(Trace::ROOT).class;
        if let Some(output) = known::output(class, root, &frame.outputs) {
            return output;
        }
        match frame.outputs.as_slice() {
            [single] => Value::Tensor(*single),
            // Nobody uses it: what was computed last.
            [] => {
                let last = self.nodes[frame.start..frame.end].last();
                last.map_or(Value::None, |node| first_tensor(&node.output))
            }
            // What a block is for is computed last and returned first.
            [others @ .., main] => {
                if !known::is_library(&class.name) {
                    self.doubts
                        .add(Doubt::Outputs, || class.short_name().into());
                }
                let all = std::iter::once(main).chain(others);
                Value::Tuple(all.map(|id| Value::Tensor(*id)).collect())
            }
        }
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
        if autograd::own_backward(first, self.stacks).is_some() {
            let end = CallId::new(trace.calls.len());
            trace.applied.push((start, end));
        }
        if let Some(tensor) = group.last().and_then(|at| autograd::leaf(&nodes[*at])) {
            trace.tensors[tensor.index()].wants_gradient = true;
        }
    }

    fn function(&mut self, frame: usize, class: &Class, group: &[usize], first: &'e Flat<'a>) {
        let nodes = self.nodes;
        let (line, stack_trace): (&'e str, &'e str) = (&first.line, &first.frame);
        let function_name = first.torch_fn.split_once(';').map_or("", |(_, name)| name);
        let statement = Some((frame, stack_trace));
        if self.statement != statement {
            let next = CallId::new(self.builder.trace().calls.len());
            self.builder.trace_mut().lines.push((next, line.into()));
            self.statement = statement;
        }
        let key = (frame, function_name, stack_trace);
        let count = self.lines.entry(key).or_insert(0);
        let source = Source {
            line,
            frame: stack_trace,
            class: &class.name,
            occurrence: *count,
        };
        let occurrence = *count;
        *count += 1;
        let named = function::name(&first.torch_fn, first.source_fn, &first.op, &source);
        let named = named.filter(|named| self.is_seen(frame, class, named, line, stack_trace));
        let calls = group.iter().map(|index| operators::call(&nodes[*index]));
        let calls: Vec<Call<'_>> = calls.collect();
        let Some(named) = named else {
            calls.iter().for_each(|call| self.operator(call));
            return;
        };
        if named.guessed {
            self.doubts.add(Doubt::Infix, || example(&named.name, line));
        }
        // A function of torch.nn.functional that hands on to another one of them.
        let outer = operators::caller(&named.name, line);
        let mut arguments = operators::function_arguments(self, &named.name, &calls);
        if !class.is("torch.nn.Upsample")
            && let Some(doubt) =
                written::amend(&named.name, &calls[0].op, line, occurrence, &mut arguments)
        {
            self.doubts
                .add(Doubt::Arguments, || format!("in `{line}`: {doubt}"));
        }
        let output = operators::function_output(&named.name, &calls);
        if let Some(outer) = &outer {
            let target = Target::Function(outer.clone());
            let given = bind(outer, &calls[0].op, &calls[0].arguments);
            self.builder.begin(target, given, None);
        }
        self.builder
            .begin(Target::Function(named.name.clone()), arguments, None);
        for (at, call) in calls.iter().enumerate() {
            let before = calls[..at].iter().filter(|other| other.op == call.op);
            match operators::inner_function(&named.name, &call.op, before.count()) {
                Some(inner) if inner != named.name => {
                    let arguments = bind(&inner, &call.op, &call.arguments);
                    self.builder.begin(Target::Function(inner), arguments, None);
                    self.operator(call);
                    self.builder.end(call.output.as_ref().clone());
                }
                _ => self.operator(call),
            }
        }
        self.builder.end(output.clone());
        if outer.is_some() {
            self.builder.end(output);
        }
    }

    /// Whether a tool that replaces functions sees this call.
    fn is_seen(
        &mut self,
        frame: usize,
        class: &Class,
        named: &function::Named,
        line: &str,
        trace: &str,
    ) -> bool {
        let path = &self.frames[frame].entry.path;
        let is_module = |name: &str| {
            let child = match path.as_str() {
                "" => SmolStr::new(name),
                path => format!("{path}.{name}").into(),
            };
            self.tree.by_path.contains_key(&child)
        };
        match seen(class, &named.name, line, trace, is_module) {
            Seen::Yes => true,
            Seen::No => false,
            Seen::Perhaps(seen, doubt) => {
                self.doubts.add(doubt, || example(&named.name, line));
                seen
            }
        }
    }

    fn operator(&mut self, call: &Call<'_>) {
        let arguments = complete(
            modelcost_torch::operators::signature(&call.op),
            &call.arguments,
        );
        let target = Target::Operator(call.op.clone());
        let id = self.builder.begin(target, Vec::new(), None);
        modelcost_torch::dispatch::expand(self.builder, &call.op, &arguments, &call.output);
        let trace = self.builder.trace_mut();
        trace.calls[id.index()].arguments = arguments;
        call.output.each_tensor(&mut |tensor| {
            let origin = &mut trace.tensors[tensor.index()].origin;
            if *origin == Origin::Constant {
                *origin = Origin::Call(id);
            }
        });
        self.builder.end(call.output.as_ref().clone());
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

fn example(name: &str, line: &str) -> String {
    format!("{name} in `{line}`")
}
