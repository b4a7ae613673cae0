//! The classes of `torch.nn` and torchvision: one row each.

mod activation;
mod attention;
mod container;
mod conv;
mod linear;
mod norm;
mod padding;
mod parametrize;
mod pool;
mod recurrent;
mod reshape;
mod transformer;
mod vision;

use std::sync::OnceLock;

use foldhash::HashMap;
use modelcost_core::SmolStr;
use modelcost_core::convention::closest;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::expr::{Expr, parse};
use modelcost_core::trace::{Class, ModuleId};
use modelcost_core::value::Value;

use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::signature::{Arguments, Lazy, Signature};
use crate::tracer::{Tracer, class_of};

pub use parametrize::Parametrization;

/// What one class is: a row of a table.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `torch.nn.Conv2d`.
    pub name: &'static str,
    signature: Lazy,
    /// One line for hover and docs.
    pub doc: &'static str,
    /// The classes it derives from, without `torch.nn.Module`.
    bases: &'static [&'static str],
    /// What may be left out because the first input tells it.
    infers: &'static [(&'static str, From)],
    /// The class that a lazy one is after its first call.
    pub becomes: Option<&'static str>,
    /// Makes attributes, parameters, buffers and children, in PyTorch's order.
    pub construct: fn(&mut Construct<'_>) -> Result<()>,
    forward: Body,
    forward_signature: Lazy,
    forward_parsed: OnceLock<(Signature, Option<Expr>)>,
}

/// How `forward` is written in the table.
#[derive(Clone, Copy, Debug)]
enum Body {
    Line(&'static str),
    Code(ForwardFn),
}

/// A `forward` in Rust.
pub(crate) type ForwardFn = fn(&mut Tracer, ModuleId, &Bound) -> Result<Value>;

/// What a module's `forward` does.
pub(crate) enum Forward {
    /// One line of Python.
    Expr(&'static Expr),
    /// Rust, where a line is not enough.
    Code(ForwardFn),
}

/// Where in the first input a size that was left out is found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    /// The size of this dimension.
    Dim(usize),
    /// The size of the last dimension.
    Last,
    /// The channels of an input with this many dimensions behind them, batched or not.
    Channels(usize),
}

impl From {
    pub(crate) fn read(self, shape: &[Dim]) -> Option<Dim> {
        match self {
            From::Dim(index) => shape.get(index),
            From::Last => shape.last(),
            From::Channels(behind) => shape
                .len()
                .checked_sub(behind + 1)
                .and_then(|i| shape.get(i)),
        }
        .cloned()
    }
}

impl Entry {
    /// A class that keeps its arguments as attributes, owns nothing, and passes its input on.
    const fn new(name: &'static str, signature: &'static str, doc: &'static str) -> Entry {
        Entry {
            name,
            signature: Lazy::new(signature),
            doc,
            bases: &[],
            infers: &[],
            becomes: None,
            construct: keep_arguments,
            forward: Body::Line("input"),
            forward_signature: Lazy::new("forward(input)"),
            forward_parsed: OnceLock::new(),
        }
    }

    const fn bases(mut self, bases: &'static [&'static str]) -> Entry {
        self.bases = bases;
        self
    }

    const fn infer(mut self, infers: &'static [(&'static str, From)]) -> Entry {
        self.infers = infers;
        self
    }

    const fn becomes(mut self, class: &'static str) -> Entry {
        self.becomes = Some(class);
        self
    }

    const fn construct(mut self, construct: fn(&mut Construct<'_>) -> Result<()>) -> Entry {
        self.construct = construct;
        self
    }

    /// The body of `forward(input)`, where `self` is the module.
    const fn forward_line(mut self, line: &'static str) -> Entry {
        self.forward = Body::Line(line);
        self
    }

    const fn forward_code(mut self, code: ForwardFn) -> Entry {
        self.forward = Body::Code(code);
        self
    }

    /// The signature of `forward`, where it is not `forward(input)`.
    const fn takes(mut self, signature: &'static str) -> Entry {
        self.forward_signature.text = signature;
        self
    }

    /// `Conv2d`.
    pub(crate) fn short_name(&self) -> &'static str {
        self.signature.name()
    }

    pub(crate) fn signature(&self) -> &Signature {
        self.signature.get()
    }

    pub(crate) fn infers(&self) -> impl Iterator<Item = (&'static str, From)> {
        self.infers.iter().copied()
    }

    pub(crate) fn class(&self) -> Class {
        class_of(self.name, self.bases)
    }

    fn parsed(&self) -> &(Signature, Option<Expr>) {
        self.forward_parsed.get_or_init(|| {
            let mut signature = self.forward_signature.get().clone();
            signature.name = SmolStr::new_static(self.short_name());
            let line = match self.forward {
                Body::Line(line) => Some(parse(line).expr),
                Body::Code(_) => None,
            };
            (signature, line)
        })
    }

    pub(crate) fn forward_signature(&self) -> &Signature {
        &self.parsed().0
    }

    pub(crate) fn forward(&'static self) -> Forward {
        match (self.forward, &self.parsed().1) {
            (Body::Code(code), _) => Forward::Code(code),
            (Body::Line(_), Some(expr)) => Forward::Expr(expr),
            (Body::Line(_), None) => Forward::Code(|_, _, _| Ok(Value::None)),
        }
    }
}

/// A module in the making.
pub(crate) struct Construct<'a> {
    pub tracer: &'a mut Tracer,
    pub module: ModuleId,
    pub path: SmolStr,
    pub arguments: &'a Bound,
}

/// More parameters than any module has; hostile numbers of layers end here.
pub(crate) const MAX_PARAMETERS: usize = 4_000_000;

impl Construct<'_> {
    /// Sets `self.name`.
    pub fn attribute(&mut self, name: &'static str, value: impl Into<Value>) {
        let module = &mut self.tracer.builder.trace_mut().modules[self.module.index()];
        module
            .attributes
            .push((SmolStr::new_static(name), value.into()));
    }

    /// Keeps arguments as attributes of the same names.
    pub fn keep(&mut self, names: &[&'static str]) {
        for name in names {
            let value = self.arguments.value(name).clone();
            self.attribute(name, value);
        }
    }

    /// The type that parameters get: the argument `dtype`, or float32.
    pub fn dtype(&self) -> DType {
        match self.arguments.value("dtype") {
            Value::DType(dtype) => *dtype,
            Value::Opaque(name) | Value::Str(name) => name.parse().unwrap_or(DType::Float32),
            _ => DType::Float32,
        }
    }

    fn full_name(&self, name: &str) -> SmolStr {
        match self.path.as_str() {
            "" => name.into(),
            path => format!("{path}.{name}").into(),
        }
    }

    /// Registers a parameter.
    pub fn parameter(&mut self, name: impl Into<SmolStr>, shape: Vec<Dim>) -> Result<()> {
        let name = name.into();
        self.check_size(&name, &shape)?;
        let (path, dtype) = (self.full_name(&name), self.dtype());
        let builder = &mut self.tracer.builder;
        builder.parameter(self.module, name, path, shape, dtype);
        Ok(())
    }

    /// Registers a parameter, or its absence.
    pub fn optional_parameter(
        &mut self,
        present: bool,
        name: &'static str,
        shape: Vec<Dim>,
    ) -> Result<()> {
        if present {
            return self.parameter(name, shape);
        }
        self.tracer
            .builder
            .no_parameter(self.module, SmolStr::new_static(name));
        Ok(())
    }

    /// Registers a buffer.
    pub fn buffer(&mut self, name: &'static str, shape: Vec<Dim>, dtype: DType) -> Result<()> {
        self.check_size(name, &shape)?;
        let path = self.full_name(name);
        let builder = &mut self.tracer.builder;
        builder.buffer(self.module, SmolStr::new_static(name), path, shape, dtype);
        Ok(())
    }

    fn check_size(&self, name: &str, shape: &[Dim]) -> Result<()> {
        let numel = Dim::product(shape);
        let too_large = numel.is_overflow()
            || numel.as_const().is_some_and(|n| i64::try_from(n).is_err())
            || self.tracer.builder.trace().parameters.len() >= MAX_PARAMETERS;
        match too_large {
            true => Err(TorchError::new(format!(
                "{}: '{name}' would be too large to exist",
                self.arguments.callee()
            ))),
            false => Ok(()),
        }
    }

    /// Makes a child.
    pub fn child(
        &mut self,
        name: impl Into<SmolStr>,
        class: &str,
        arguments: Arguments,
    ) -> Result<ModuleId> {
        let name = name.into();
        let path = self.full_name(&name);
        let child = self
            .tracer
            .construct(class, &arguments, &path)
            .map_err(TorchError::seen_from_outside)?;
        self.tracer.builder.add_child(self.module, name, child);
        Ok(child)
    }

    /// Makes a module that already exists a child.
    pub fn adopt(&mut self, name: impl Into<SmolStr>, child: ModuleId) {
        let name = name.into();
        let path = self.full_name(&name);
        self.tracer.set_path(child, &path);
        let builder = &mut self.tracer.builder;
        builder.add_child(self.module, name, child);
    }

    /// Refuses arguments that contradict each other.
    pub fn require(&self, holds: bool, argument: &str, message: impl Into<String>) -> Result<()> {
        match holds {
            true => Ok(()),
            false => Err(self.arguments.error(
                argument,
                format!("{}: {}", self.arguments.callee(), message.into()),
            )),
        }
    }
}

/// What most classes without parameters do.
fn keep_arguments(c: &mut Construct<'_>) -> Result<()> {
    let arguments = c.arguments.arguments().to_vec();
    let module = &mut c.tracer.builder.trace_mut().modules[c.module.index()];
    module.attributes = arguments
        .into_iter()
        .map(|argument| (argument.name, argument.value))
        .collect();
    Ok(())
}

static TABLES: [&[Entry]; 12] = [
    &linear::CLASSES,
    &conv::CLASSES,
    &norm::CLASSES,
    &activation::CLASSES,
    &pool::CLASSES,
    &reshape::CLASSES,
    &container::CLASSES,
    &padding::CLASSES,
    &recurrent::CLASSES,
    &attention::CLASSES,
    &transformer::CLASSES,
    &vision::CLASSES,
];

fn entries() -> impl Iterator<Item = &'static Entry> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// Prefixes under which the classes of `torch.nn` and torchvision are imported.
const PREFIXES: [&str; 8] = [
    "torch.nn.modules.",
    "torch.nn.",
    "nn.",
    "torchvision.ops.misc.",
    "torchvision.ops.",
    "torchvision.models.",
    "torchvision.",
    "ops.",
];

/// The last part of a class's name, where it is a name of ours at all.
fn short_name(name: &str) -> &str {
    PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .map_or(name, |rest| rest.rsplit('.').next().unwrap_or(rest))
}

/// A class by any name that it is imported under.
fn lookup(name: &str) -> Option<&'static Entry> {
    static INDEX: OnceLock<HashMap<&'static str, &'static Entry>> = OnceLock::new();
    let index = INDEX.get_or_init(|| entries().map(|entry| (entry.short_name(), entry)).collect());
    index.get(short_name(name)).copied()
}

/// Finds a class by any name that it is imported under; the error says which name is near.
pub(crate) fn find(name: &str) -> Result<&'static Entry> {
    lookup(name).ok_or_else(|| {
        let near = closest(short_name(name), entries().map(Entry::short_name));
        let mend = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
        TorchError::new(format!("there is no class '{name}'{mend}")).suggest(near)
    })
}

/// What completion, hover and docs know about a class.
#[derive(Clone, Copy, Debug)]
pub struct ClassInfo {
    entry: &'static Entry,
}

impl ClassInfo {
    /// The qualified name: `torch.nn.Conv2d`.
    pub fn name(&self) -> &'static str {
        self.entry.name
    }

    /// `Conv2d`.
    pub fn short_name(&self) -> &'static str {
        self.entry.short_name()
    }

    /// The class with those it derives from.
    pub fn class(&self) -> Class {
        self.entry.class()
    }

    /// `Conv2d(in_channels, out_channels, …)`.
    pub fn signature_text(&self) -> &'static str {
        self.entry.signature.text
    }

    /// The parsed signature.
    pub fn signature(&self) -> &'static Signature {
        self.entry.signature()
    }

    /// The signature of its `forward`, under the class's name.
    pub fn forward_signature(&self) -> &'static Signature {
        self.entry.forward_signature()
    }

    /// What it does, in a line.
    pub fn doc(&self) -> &'static str {
        self.entry.doc
    }

    /// The line of Python that its `forward` is, where it is one.
    pub fn forward_text(&self) -> Option<&'static str> {
        match self.entry.forward {
            Body::Line(line) => Some(line),
            Body::Code(_) => None,
        }
    }

    /// The arguments that may be left out because the first input tells them.
    pub fn inferred(&self) -> impl Iterator<Item = &'static str> {
        self.entry.infers().map(|(name, _)| name)
    }

    /// What an argument means, where there is more to say than its name does.
    pub fn argument_doc(&self, argument: &str) -> Option<&'static str> {
        crate::docs::argument(self.entry.short_name(), argument)
    }
}

/// All classes.
pub fn classes() -> impl Iterator<Item = ClassInfo> {
    entries().map(|entry| ClassInfo { entry })
}

/// A class by any name that it is imported under.
pub fn class(name: &str) -> Option<ClassInfo> {
    lookup(name).map(|entry| ClassInfo { entry })
}
