//! The trace: the tree of calls that one forward pass makes, beside the tree of modules.
//!
//! Counting tools hook a running PyTorch program at one of three layers: the call of a module, the
//! call of a Python function, or the ATen operator underneath. A trace holds all three. A module
//! call holds the function calls made inside it, a function call holds the operator calls, and an
//! operator that PyTorch composes of others holds those. Every reader builds a trace; every
//! convention folds over one.

use std::fmt;

use smol_str::SmolStr;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::expr::Span;
use crate::fidelity::{Fidelity, Level};
use crate::value::Value;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u32);

        impl $name {
            /// From the position in the trace's list.
            pub fn new(index: usize) -> $name {
                $name(index as u32)
            }

            /// The position in the trace's list.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}

ids! {
    /// A module, called or not.
    ModuleId;
    /// A parameter: one per storage, however many names it has.
    ParameterId;
    /// A buffer.
    BufferId;
    /// A tensor that some call takes or returns.
    TensorId;
    /// A call.
    CallId;
}

/// The sizes of a tensor's dimensions.
pub type Shape = Vec<Dim>;

/// One forward pass.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The model's name.
    pub name: String,
    /// Which kind of file it was read from: `toml`, `pt2`, `onnx` …
    pub format: &'static str,
    /// All modules; the first is the root.
    pub modules: Vec<Module>,
    /// All parameters.
    pub parameters: Vec<Parameter>,
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// All calls in the order in which they begin. The calls inside a call follow it directly.
    pub calls: Vec<Call>,
    /// The lines of the user's `forward` that were executed, in order, where the file keeps them:
    /// each with the first call that it makes. A line that is executed again stands here again.
    pub lines: Vec<(CallId, SmolStr)>,
    /// The model's inputs, by name.
    pub inputs: Vec<(SmolStr, TensorId)>,
    /// What the model returns.
    pub output: Value,
    /// Whether the file leaves open which parameters are frozen; all are then taken to be trained.
    pub frozen_unknown: bool,
    /// How much of this was in the file.
    pub fidelity: Fidelity,
}

/// A module: `torch.nn.Conv2d`, a block of a spec, a user's class.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// Its class.
    pub class: Class,
    /// Constructor arguments and whatever else rules read as `m.name`, in PyTorch's names.
    pub attributes: Vec<(SmolStr, Value)>,
    /// Named children in the order of registration. A child may have several parents.
    pub children: Vec<(SmolStr, ModuleId)>,
    /// Its own parameters in the order of registration; `None` is a registered, absent one
    /// (`bias=False`).
    pub parameters: Vec<(SmolStr, Option<ParameterId>)>,
    /// Its own buffers in the order of registration.
    pub buffers: Vec<(SmolStr, BufferId)>,
    /// Where the source declares it.
    pub span: Option<Span>,
}

/// A module's class.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Class {
    /// The qualified name. Classes of `torch.nn` are written the way people import them,
    /// `torch.nn.Conv2d`; others by the module that defines them.
    pub name: SmolStr,
    /// The qualified names of the classes it derives from, nearest first, without `torch.nn.Module`.
    pub bases: Vec<SmolStr>,
}

impl Class {
    /// A class that derives from nothing but `torch.nn.Module`.
    pub fn new(name: impl Into<SmolStr>) -> Class {
        Class {
            name: name.into(),
            bases: Vec::new(),
        }
    }

    /// The last part of the name, `__class__.__name__`.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// Python's `isinstance`: this class or one it derives from.
    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.bases.iter().any(|base| base == name)
    }
}

/// A parameter: storage that training changes.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The path of its first owner and its name there: `layer1.0.conv1.weight`.
    pub name: SmolStr,
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
    /// Whether it is trained; a frozen parameter is not.
    pub requires_grad: bool,
    /// The tensor that calls see.
    pub tensor: TensorId,
}

/// A buffer: state that training does not change, such as BatchNorm's running mean.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// The path of its owner and its name there.
    pub name: SmolStr,
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
    /// Whether `state_dict()` holds it.
    pub persistent: bool,
    /// The tensor that calls see.
    pub tensor: TensorId,
}

/// A tensor that flows between calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its shape; `None` when not even the number of dimensions is known.
    pub shape: Option<Shape>,
    /// Its element type, if known.
    pub dtype: Option<DType>,
    /// Where it comes from.
    pub origin: Origin,
    /// How far apart elements are in memory, where the source tells. PyTorch takes other operators
    /// for tensors that are not contiguous.
    pub strides: Option<Shape>,
}

/// Where a tensor comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An input of the model.
    Input,
    /// A parameter.
    Parameter(ParameterId),
    /// A buffer.
    Buffer(BufferId),
    /// A constant of the program.
    Constant,
    /// The output of a call: the innermost one that made it.
    Call(CallId),
}

/// Which layer a call belongs to, and what is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `module(...)`, that is `torch.nn.Module.__call__`.
    Module(ModuleId),
    /// A Python function by the name under which PyTorch publishes it and tools patch it:
    /// `torch.nn.functional.relu`, `torch.add`, `torch.Tensor.add`, `operator.add` for `x + y`.
    Function(SmolStr),
    /// An ATen operator as `torch.ops` names it, without the overload: `aten.convolution`.
    /// The outermost one is what `torch.export` records; those inside it are what it dispatches to.
    Operator(SmolStr),
}

/// One argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The parameter it is bound to, where the callee's signature is known.
    pub name: SmolStr,
    /// Its value.
    pub value: Value,
    /// How it was passed. Forward hooks are given the positional arguments only.
    pub passed: Passed,
}

impl Argument {
    /// An argument that is passed by position.
    pub fn new(name: impl Into<SmolStr>, value: impl Into<Value>) -> Argument {
        Argument {
            name: name.into(),
            value: value.into(),
            passed: Passed::Position,
        }
    }
}

/// How an argument came to its parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// By position.
    Position,
    /// By keyword.
    Keyword,
    /// Not at all: this is the default.
    Default,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is called.
    pub target: Target,
    /// The call that this one is inside of; `None` for the root module's.
    pub parent: Option<CallId>,
    /// One past the last call inside this one: `id+1..end` is its subtree.
    pub end: CallId,
    /// Arguments, positional ones first.
    pub arguments: Vec<Argument>,
    /// What it returns.
    pub output: Value,
    /// Where the source makes it.
    pub span: Option<Span>,
}

impl Call {
    /// The positional arguments, which are what a forward hook is given.
    pub fn positional(&self) -> impl Iterator<Item = &Value> {
        self.arguments
            .iter()
            .filter(|argument| argument.passed == Passed::Position)
            .map(|argument| &argument.value)
    }

    /// The argument bound to a parameter.
    pub fn argument(&self, name: &str) -> Option<&Value> {
        self.arguments
            .iter()
            .find(|argument| argument.name == name)
            .map(|argument| &argument.value)
    }
}

impl Trace {
    /// The root module.
    pub const ROOT: ModuleId = ModuleId(0);

    /// A module.
    pub fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.index()]
    }

    /// A parameter.
    pub fn parameter(&self, id: ParameterId) -> &Parameter {
        &self.parameters[id.index()]
    }

    /// A tensor.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// A call.
    pub fn call(&self, id: CallId) -> &Call {
        &self.calls[id.index()]
    }

    /// All calls with their ids, in order.
    pub fn calls(&self) -> impl Iterator<Item = (CallId, &Call)> {
        self.calls
            .iter()
            .enumerate()
            .map(|(index, call)| (CallId::new(index), call))
    }

    /// The calls inside a call, at every depth, in order.
    pub fn inside(&self, id: CallId) -> impl Iterator<Item = (CallId, &Call)> {
        let end = self.call(id).end.index();
        (id.index() + 1..end).map(|index| (CallId::new(index), &self.calls[index]))
    }

    /// The calls made directly by a call.
    pub fn direct(&self, id: CallId) -> impl Iterator<Item = (CallId, &Call)> {
        let end = self.call(id).end;
        let mut next = CallId::new(id.index() + 1);
        std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let (current, call) = (next, self.call(next));
            next = call.end;
            Some((current, call))
        })
    }

    /// The call of the root module.
    pub fn root_call(&self) -> Option<CallId> {
        (!self.calls.is_empty()).then(|| CallId::new(0))
    }

    /// The tensors that the model returns.
    pub fn outputs(&self) -> Vec<TensorId> {
        let returned = self.output.tensors();
        match self.calls.first() {
            Some(root) if returned.is_empty() => root.output.tensors(),
            _ => returned,
        }
    }

    /// The module whose forward makes a call: the nearest module call around it, or itself.
    pub fn enclosing_module(&self, id: CallId) -> ModuleId {
        let mut at = Some(id);
        while let Some(current) = at {
            let call = self.call(current);
            if let Target::Module(module) = call.target {
                return module;
            }
            at = call.parent;
        }
        Trace::ROOT
    }

    /// The calls of each module in order, indexed by [`ModuleId::index`].
    pub fn calls_by_module(&self) -> Vec<Vec<CallId>> {
        let mut out = vec![Vec::new(); self.modules.len()];
        for (id, call) in self.calls() {
            if let Target::Module(module) = call.target {
                out[module.index()].push(id);
            }
        }
        out
    }

    /// Every module once with its path, parents before children, in the order of
    /// `torch.nn.Module.named_modules()`. The root's path is empty.
    pub fn named_modules(&self) -> Vec<(String, ModuleId)> {
        let mut seen = vec![false; self.modules.len()];
        let mut out = Vec::new();
        if !self.modules.is_empty() {
            self.walk_modules(Trace::ROOT, String::new(), &mut seen, &mut out);
        }
        out
    }

    /// A module and all modules inside it, each once: those of `m.modules()`, nearer ones first.
    pub fn modules_inside(&self, id: ModuleId) -> Vec<ModuleId> {
        let mut seen = vec![false; self.modules.len()];
        let mut out = vec![id];
        seen[id.index()] = true;
        let mut at = 0;
        while let Some(module) = out.get(at).copied() {
            at += 1;
            for (_, child) in &self.module(module).children {
                if !std::mem::replace(&mut seen[child.index()], true) {
                    out.push(*child);
                }
            }
        }
        out
    }

    fn walk_modules(
        &self,
        id: ModuleId,
        path: String,
        seen: &mut [bool],
        out: &mut Vec<(String, ModuleId)>,
    ) {
        if std::mem::replace(&mut seen[id.index()], true) {
            return;
        }
        out.push((path.clone(), id));
        for (name, child) in &self.module(id).children {
            let child_path = if path.is_empty() {
                name.to_string()
            } else {
                format!("{path}.{name}")
            };
            self.walk_modules(*child, child_path, seen, out);
        }
    }

    /// The distinct children of a module, in order, as `torch.nn.Module.named_children()` gives them.
    pub fn named_children(&self, id: ModuleId) -> impl Iterator<Item = (&SmolStr, ModuleId)> {
        let mut seen = std::collections::HashSet::new();
        let children = self.module(id).children.iter();
        children.filter_map(move |(name, child)| seen.insert(*child).then_some((name, *child)))
    }

    /// The distinct parameters of a module and all modules inside it, as `m.named_parameters()`
    /// gives them: with the path from `m`.
    pub fn named_parameters(&self, id: ModuleId) -> Vec<(String, ParameterId)> {
        let mut seen_modules = vec![false; self.modules.len()];
        let mut seen = std::collections::HashSet::new();
        let mut modules = Vec::new();
        self.walk_modules(id, String::new(), &mut seen_modules, &mut modules);
        let mut out = Vec::new();
        for (path, module) in modules {
            for (name, parameter) in &self.module(module).parameters {
                let Some(parameter) = parameter else { continue };
                if seen.insert(*parameter) {
                    let full = if path.is_empty() {
                        name.to_string()
                    } else {
                        format!("{path}.{name}")
                    };
                    out.push((full, *parameter));
                }
            }
        }
        out
    }

    /// The parameters in a module and inside it, each storage once: all, and the trainable ones.
    pub fn parameter_count(&self, id: ModuleId) -> (Dim, Dim) {
        let mut total = Dim::ZERO;
        let mut trainable = Dim::ZERO;
        for (_, parameter) in self.named_parameters(id) {
            let parameter = self.parameter(parameter);
            let numel = Dim::product(&parameter.shape);
            if parameter.requires_grad {
                trainable += &numel;
            }
            total += numel;
        }
        (total, trainable)
    }

    /// Notes that the parameters which a figure goes by are only taken to be trained, where the file
    /// does not say. `level` is how much of the main number hangs on it.
    pub fn note_frozen(&self, fidelity: &mut Fidelity, level: Level) {
        if self.frozen_unknown && !self.parameters.is_empty() {
            let note =
                "the file does not say which parameters are frozen: all are taken to be trained";
            fidelity.note(level, note);
        }
    }

    /// The attribute `m.name` of a module.
    pub fn attribute(&self, id: ModuleId, name: &str) -> Option<&Value> {
        self.module(id)
            .attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Replaces symbols by sizes everywhere.
    pub fn bind(&mut self, bindings: &dyn Fn(&str) -> Option<Dim>) {
        let bind_shape = |shape: &mut Shape| {
            for dim in shape.iter_mut().filter(|dim| !dim.is_const()) {
                *dim = dim.substitute(bindings);
            }
        };
        self.tensors
            .iter_mut()
            .flat_map(|tensor| tensor.shape.iter_mut().chain(tensor.strides.iter_mut()))
            .for_each(bind_shape);
        self.parameters
            .iter_mut()
            .for_each(|parameter| bind_shape(&mut parameter.shape));
        self.buffers
            .iter_mut()
            .for_each(|buffer| bind_shape(&mut buffer.shape));
        for module in &mut self.modules {
            module
                .attributes
                .iter_mut()
                .for_each(|(_, value)| bind_value(value, bindings));
        }
        for call in &mut self.calls {
            call.arguments
                .iter_mut()
                .for_each(|argument| bind_value(&mut argument.value, bindings));
            bind_value(&mut call.output, bindings);
        }
    }
}

fn bind_value(value: &mut Value, bindings: &dyn Fn(&str) -> Option<Dim>) {
    match value {
        Value::Int(dim) if !dim.is_const() => *dim = dim.substitute(bindings),
        Value::Tuple(items) | Value::List(items) => {
            items.iter_mut().for_each(|item| bind_value(item, bindings))
        }
        Value::Dict(items) => items
            .iter_mut()
            .for_each(|(_, item)| bind_value(item, bindings)),
        _ => {}
    }
}

/// Builds a trace call by call.
#[derive(Debug, Default)]
pub struct TraceBuilder {
    trace: Trace,
    open: Vec<CallId>,
}

impl TraceBuilder {
    /// An empty trace of a model read from a file of the given kind.
    pub fn new(name: impl Into<String>, format: &'static str) -> TraceBuilder {
        let trace = Trace {
            name: name.into(),
            format,
            ..Trace::default()
        };
        TraceBuilder {
            trace,
            open: Vec::new(),
        }
    }

    /// What was built so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What was built so far, to amend.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Adds a module. The first one is the root.
    pub fn module(&mut self, module: Module) -> ModuleId {
        self.trace.modules.push(module);
        ModuleId::new(self.trace.modules.len() - 1)
    }

    /// Makes `child` a child of `parent` under a name.
    pub fn add_child(&mut self, parent: ModuleId, name: impl Into<SmolStr>, child: ModuleId) {
        self.trace.modules[parent.index()]
            .children
            .push((name.into(), child));
    }

    /// Adds a tensor.
    pub fn tensor(
        &mut self,
        shape: Option<Shape>,
        dtype: Option<DType>,
        origin: Origin,
    ) -> TensorId {
        self.trace.tensors.push(Tensor {
            shape,
            dtype,
            origin,
            strides: None,
        });
        TensorId::new(self.trace.tensors.len() - 1)
    }

    /// Adds a tensor that the innermost open call makes.
    pub fn output_tensor(&mut self, shape: Option<Shape>, dtype: Option<DType>) -> TensorId {
        let origin = self
            .open
            .last()
            .map_or(Origin::Constant, |call| Origin::Call(*call));
        self.tensor(shape, dtype, origin)
    }

    /// Adds a parameter and registers it with its module. `path` is the full name.
    pub fn parameter(
        &mut self,
        owner: ModuleId,
        name: impl Into<SmolStr>,
        path: impl Into<SmolStr>,
        shape: Shape,
        dtype: DType,
    ) -> ParameterId {
        let id = ParameterId::new(self.trace.parameters.len());
        let tensor = self.tensor(Some(shape.clone()), Some(dtype), Origin::Parameter(id));
        let requires_grad = dtype.is_floating_point();
        self.trace.parameters.push(Parameter {
            name: path.into(),
            shape,
            dtype,
            requires_grad,
            tensor,
        });
        self.trace.modules[owner.index()]
            .parameters
            .push((name.into(), Some(id)));
        id
    }

    /// Registers an absent parameter, such as the bias of a layer without one.
    pub fn no_parameter(&mut self, owner: ModuleId, name: impl Into<SmolStr>) {
        self.trace.modules[owner.index()]
            .parameters
            .push((name.into(), None));
    }

    /// Registers an existing parameter with one more module (tied weights).
    pub fn tie_parameter(
        &mut self,
        owner: ModuleId,
        name: impl Into<SmolStr>,
        parameter: ParameterId,
    ) {
        let name = name.into();
        let parameters = &mut self.trace.modules[owner.index()].parameters;
        match parameters
            .iter_mut()
            .find(|(existing, _)| *existing == name)
        {
            Some(entry) => entry.1 = Some(parameter),
            None => parameters.push((name, Some(parameter))),
        }
    }

    /// Adds a buffer and registers it with its module.
    pub fn buffer(
        &mut self,
        owner: ModuleId,
        name: impl Into<SmolStr>,
        path: impl Into<SmolStr>,
        shape: Shape,
        dtype: DType,
    ) -> BufferId {
        let id = BufferId::new(self.trace.buffers.len());
        let tensor = self.tensor(Some(shape.clone()), Some(dtype), Origin::Buffer(id));
        self.trace.buffers.push(Buffer {
            name: path.into(),
            shape,
            dtype,
            persistent: true,
            tensor,
        });
        self.trace.modules[owner.index()]
            .buffers
            .push((name.into(), id));
        id
    }

    /// Begins a call inside the innermost open one.
    pub fn begin(
        &mut self,
        target: Target,
        arguments: Vec<Argument>,
        span: Option<Span>,
    ) -> CallId {
        let id = CallId::new(self.trace.calls.len());
        let parent = self.open.last().copied();
        self.trace.calls.push(Call {
            target,
            parent,
            end: id,
            arguments,
            output: Value::None,
            span,
        });
        self.open.push(id);
        id
    }

    /// Ends the innermost open call.
    pub fn end(&mut self, output: Value) {
        if let Some(id) = self.open.pop() {
            let end = CallId::new(self.trace.calls.len());
            let call = &mut self.trace.calls[id.index()];
            call.end = end;
            call.output = output;
        }
    }

    /// Adds a call that makes one tensor and calls nothing else.
    pub fn leaf(
        &mut self,
        target: Target,
        arguments: Vec<Argument>,
        shape: Shape,
        dtype: DType,
    ) -> TensorId {
        self.begin(target, arguments, None);
        let output = self.output_tensor(Some(shape), Some(dtype));
        self.end(Value::Tensor(output));
        output
    }

    /// The innermost open call.
    pub fn innermost(&self) -> Option<CallId> {
        self.open.last().copied()
    }

    /// How many calls are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The trace, with calls that are still open ended without a value.
    pub fn finish(mut self) -> Trace {
        while !self.open.is_empty() {
            self.end(Value::None);
        }
        self.trace
    }
}
