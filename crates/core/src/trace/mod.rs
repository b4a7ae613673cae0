//! The trace: the tree of calls that one forward pass makes, beside the tree of modules.
//!
//! Counting tools hook a running PyTorch program at one of three layers: the call of a module, the
//! call of a Python function, or the ATen operator underneath. A trace holds all three. A module
//! call holds the function calls made inside it, a function call holds the operator calls, and an
//! operator that PyTorch composes of others holds those. Every reader builds a trace; every
//! convention folds over one.

mod builder;
mod query;

use std::fmt;

use smol_str::SmolStr;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::expr::Span;
use crate::fidelity::Fidelity;
use crate::value::Value;

pub use builder::TraceBuilder;

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
    /// Products of sizes that the forward makes, where a file shows that they are: how many, and the next call.
    pub products: Vec<(CallId, usize)>,
    /// The first place where a forward may make a product of sizes for which the file has a number.
    pub products_unsaid: Option<SmolStr>,
    /// The model's inputs, by name.
    pub inputs: Vec<(SmolStr, TensorId)>,
    /// What the model returns.
    pub output: Value,
    /// Whether the file leaves open which parameters are frozen; all are then taken to be trained.
    pub frozen_unknown: bool,
    /// Whether the file leaves out modules that own nothing and change nothing, such as a Dropout
    /// in evaluation.
    pub idle_unknown: bool,
    /// Whether the file leaves out calls that only change shapes, with the lines that made them.
    pub views_unknown: bool,
    /// Calls inside the forward of a `torch.autograd.Function` of the user's, as ranges of calls in
    /// order. `torch.jit.trace` records that a function is applied, and nothing of what it does.
    pub applied: Vec<(CallId, CallId)>,
    /// What `torch.jit.trace` raises on this model, where the file shows that it does.
    pub not_traceable: Option<&'static str>,
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
    /// Whether it was made while gradients were off (`torch.no_grad()`).
    pub without_gradient: bool,
    /// Whether a gradient was asked for here: `x.detach().requires_grad_()`.
    pub wants_gradient: bool,
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
