//! Runs a document: makes its modules and calls them, on shapes alone.

mod arithmetic;
mod bindings;
mod bodies;
mod builtins;
mod call;
mod construct;
mod expr;
mod finish;
mod hidden;
mod inputs;
mod items;
mod layers;
mod member;
mod messages;
mod operators;
mod scope;
mod sizes;
mod tensors;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::{HashMap, HashMapExt, HashSet};
use modelcost_core::SmolStr;
use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_core::expr::Span;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::{CallId, ModuleId, Trace};
use modelcost_core::value::Value;
use modelcost_torch::{Memo, Tracer};

use crate::catalogue;
use crate::document::{Body, Document, LayerId};
use crate::options::Options;
use scope::Scope;

pub(crate) use bodies::SELF;
pub(crate) use builtins::HOOKED;
pub(crate) use operators::RETURNS;
pub(crate) use scope::Val;

/// More modules than any model has. A trace of so many takes a little under a gigabyte.
pub const MAX_MODULES: usize = 250_000;
/// More calls than any model makes; a module makes about four.
const MAX_CALLS: usize = 1_500_000;
/// More evaluated expressions than any model needs; bounds the time of a hostile spec.
const MAX_STEPS: u64 = 50_000_000;
/// Blocks and expressions nest no deeper than this, so that the stack is bounded.
pub(crate) const MAX_DEPTH: usize = 200;
/// More messages than anyone reads.
const MAX_DIAGNOSTICS: usize = 100;

/// What running a document gives: as much of the trace as its errors leave.
#[derive(Clone, Debug, Default)]
pub struct Traced {
    /// The trace. Where a layer has an error, the layers that depend on it are made, so that their
    /// parameters are there, but not called.
    pub trace: Trace,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// What each layer of the document became, indexed by [`LayerId::index`]: one entry for every
    /// time that it was run.
    pub made: Vec<Vec<Made>>,
    complete: bool,
}

impl Traced {
    /// Whether the trace is whole.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What a layer became.
    pub fn made_by(&self, layer: LayerId) -> &[Made] {
        self.made
            .get(layer.index())
            .map_or(&[], |made| made.as_slice())
    }
}

/// What a layer became, one time that it was run.
#[derive(Clone, Debug)]
pub struct Made {
    /// The module that it made.
    pub module: Option<ModuleId>,
    /// The first of the calls that its line makes, and one past the last.
    pub calls: std::ops::Range<CallId>,
    /// What it gives to the next layer.
    pub output: Value,
}

/// Why an expression has no value.
#[derive(Debug)]
pub(crate) enum Fail {
    /// An error to report; the rest of the model goes on.
    Error(Box<Diagnostic>),
    /// It depends on something whose error was reported.
    Poisoned,
    /// An error to report, after which nothing goes on.
    Halt(Box<Diagnostic>),
}

pub(crate) type Result<T> = std::result::Result<T, Fail>;

pub(crate) fn error<T>(message: impl Into<String>, span: Span) -> Result<T> {
    Err(Fail::Error(Box::new(Diagnostic::error(
        message,
        span.range(),
    ))))
}

/// A module that the spec makes itself.
struct Instance<'d> {
    kind: Kind<'d>,
    path: SmolStr,
    /// The names around it.
    scope: Rc<Scope>,
    /// Whether its children are there.
    built: bool,
    /// The block that it is an instance of.
    block: Option<usize>,
    /// How many children there are before one that could not be made.
    broken: Option<usize>,
}

#[derive(Clone, Copy)]
enum Kind<'d> {
    /// `torch.nn.Sequential`: its children are called in turn.
    Items,
    /// `torch.nn.ModuleList`, `torch.nn.ParameterDict` and their like: cannot be called.
    List,
    /// A body with a `forward` of its own.
    Body(&'d Body),
}

/// Where a module that is about to be made belongs.
#[derive(Clone, Debug)]
struct Slot {
    /// The parent; the root has none.
    owner: Option<ModuleId>,
    name: SmolStr,
    layer: Option<LayerId>,
    span: Span,
}

/// What an expression is evaluated in.
#[derive(Clone)]
struct Context {
    scope: Rc<Scope>,
    /// The module whose body this is.
    owner: ModuleId,
}

pub(crate) struct Run<'d> {
    document: &'d Document,
    tracer: Tracer,
    instances: Vec<Option<Instance<'d>>>,
    /// The line that made each module, and which of its [`Made`] that is.
    makers: Vec<Option<(LayerId, usize)>>,
    /// The children of modules that the spec makes itself, by name.
    children: HashMap<(ModuleId, SmolStr), ModuleId>,
    /// The blocks by name.
    blocks: HashMap<&'d str, usize>,
    globals: Rc<Scope>,
    diagnostics: Vec<Diagnostic>,
    reported: HashSet<std::ops::Range<usize>>,
    made: Vec<Vec<Made>>,
    /// Where the module that the current line makes belongs, until it is made.
    slot: Option<Slot>,
    /// The module that the current line made.
    current: Option<ModuleId>,
    /// Modules are made but nothing is called.
    dry: bool,
    depth: usize,
    steps: u64,
    /// Set by whoever needs the run no more.
    superseded: Option<Arc<AtomicBool>>,
    /// The blocks that are running, and where each was asked for.
    stack: Vec<(SmolStr, Span)>,
    ties: Vec<finish::Tie<'d>>,
    frozen: Vec<finish::Frozen<'d>>,
    tied: bool,
    root: Option<ModuleId>,
    complete: bool,
    /// Symbols that are not bound.
    free: Vec<SmolStr>,
    /// The names that options may set.
    known_dims: Vec<SmolStr>,
    /// Which branch of a condition was taken last, by where it stands.
    taken: HashMap<(u32, u32), bool>,
    /// Whether the body that runs says itself what it computes with sizes.
    sizes_said: bool,
}

/// Whether a name is a function of Python that expressions may call.
pub(crate) fn is_builtin(name: &str) -> bool {
    builtins::is_function(name)
}

/// Whether a dotted name is a class, function or constant of PyTorch or Python.
pub(crate) fn is_known_dotted(name: &str) -> bool {
    builtins::is_function(name)
        || builtins::constant(name).is_some()
        || catalogue::class(name).is_some()
        || catalogue::is_function(name)
        || catalogue::operator(name).is_some()
        || catalogue::wrapper(name).is_some()
}

/// Runs a document.
pub(crate) fn run(document: &Document, options: &Options, memo: &mut Memo) -> Traced {
    let name = document
        .name
        .as_ref()
        .map_or_else(|| "model".to_string(), |name| name.name.to_string());
    let mut run = Run {
        document,
        tracer: Tracer::with_memo(name, "toml", std::mem::take(memo)),
        instances: Vec::new(),
        makers: Vec::new(),
        children: HashMap::new(),
        blocks: document
            .blocks
            .iter()
            .enumerate()
            .map(|(index, block)| (block.name.name.as_str(), index))
            .collect(),
        globals: Rc::default(),
        diagnostics: Vec::new(),
        reported: document
            .errors
            .iter()
            .filter_map(|error| error.span.clone())
            .collect(),
        made: vec![Vec::new(); document.layers.len()],
        slot: None,
        current: None,
        dry: false,
        depth: 0,
        steps: 0,
        superseded: options.superseded.clone(),
        stack: Vec::new(),
        ties: Vec::new(),
        frozen: Vec::new(),
        tied: false,
        root: None,
        complete: document.errors.is_empty(),
        free: Vec::new(),
        known_dims: Vec::new(),
        taken: HashMap::new(),
        sizes_said: false,
    };
    run.tracer.builder.trace_mut().fidelity = document.fidelity.clone();
    let result = run.model(options).or_else(|fail| run.report(fail));
    *memo = run.tracer.take_memo();
    run.finish(result.is_err())
}

impl<'d> Run<'d> {
    fn trace(&self) -> &Trace {
        self.tracer.builder.trace()
    }

    /// Notes an error; says whether to go on.
    fn report(&mut self, fail: Fail) -> Result<()> {
        let (diagnostic, halt) = match fail {
            Fail::Poisoned => return Ok(()),
            Fail::Error(diagnostic) => (diagnostic, false),
            Fail::Halt(diagnostic) => (diagnostic, true),
        };
        let halted = || {
            // Reported below or before; carries nothing but the end.
            Fail::Halt(Box::new(Diagnostic::without_place("")))
        };
        self.note(*diagnostic);
        match halt || self.diagnostics.len() >= MAX_DIAGNOSTICS {
            true => Err(halted()),
            false => Ok(()),
        }
    }

    /// Keeps a diagnostic, unless its place has one: a block that is used twice has its errors once.
    fn note(&mut self, mut diagnostic: Diagnostic) {
        if diagnostic.message.is_empty() {
            return;
        }
        self.complete &= diagnostic.severity != Severity::Error;
        if let Some(span) = &diagnostic.span
            && !self.reported.insert(span.clone())
        {
            return;
        }
        if let Some((name, span)) = self.stack.last() {
            diagnostic
                .related
                .push((span.range(), format!("in this {name}")));
        }
        if diagnostic.help.is_none() && diagnostic.message.contains("is not bound") {
            let named = |name: &&SmolStr| diagnostic.message.contains(&format!("'{name}'"));
            let free = self.free.iter().find(named);
            diagnostic.help = free.map(|name| {
                format!(
                    "give it a size, as in --dim {name}=8, or \"{name}=8\" in the input's shape"
                )
            });
        }
        self.diagnostics.push(diagnostic);
    }

    fn halt<T>(&self, message: impl Into<String>, span: Span) -> Result<T> {
        Err(Fail::Halt(Box::new(Diagnostic::error(
            message,
            span.range(),
        ))))
    }

    /// Counts work, so that it ends.
    fn step(&mut self, cost: usize, span: Span) -> Result<()> {
        self.steps += cost as u64;
        if self.steps > MAX_STEPS {
            return self.halt(
                "this takes too long to work out: is something repeated too often?",
                span,
            );
        }
        let superseded = self.superseded.as_ref();
        if superseded.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return self.halt("this text was changed while it was read", span);
        }
        let trace = self.tracer.builder.trace();
        if trace.modules.len() > MAX_MODULES {
            return self.halt(format!("this makes more than {MAX_MODULES} modules"), span);
        }
        if trace.calls.len() > MAX_CALLS {
            return self.halt(format!("this makes more than {MAX_CALLS} calls"), span);
        }
        Ok(())
    }

    /// Goes one level deeper, if the stack allows it.
    fn nested<T>(&mut self, span: Span, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return self.too_deep(span);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn too_deep<T>(&self, span: Span) -> Result<T> {
        let names: Vec<&str> = self.stack.iter().map(|(name, _)| name.as_str()).collect();
        let cycle = names.last().and_then(|last| {
            names[..names.len() - 1]
                .iter()
                .rposition(|name| name == last)
        });
        match cycle {
            Some(start) => {
                let chain = names[start..].join(" → ");
                let message = format!("this block contains itself without end: {chain}");
                self.halt(message, span)
            }
            None => error(format!("nested more than {MAX_DEPTH} deep"), span),
        }
    }

    fn set_instance(&mut self, module: ModuleId, instance: Instance<'d>) {
        let index = module.index();
        if self.instances.len() <= index {
            self.instances.resize_with(index + 1, || None);
        }
        self.instances[index] = Some(instance);
    }

    fn instance(&self, module: ModuleId) -> Option<&Instance<'d>> {
        self.instances.get(module.index())?.as_ref()
    }

    /// The child of a module under a name.
    fn child(&self, module: ModuleId, name: &str) -> Option<ModuleId> {
        let children = &self.trace().module(module).children;
        if self.instance(module).is_some() {
            return self.children.get(&(module, SmolStr::from(name))).copied();
        }
        // `layers[3]` of a list: the name is the position.
        if let Some((found, child)) = name.parse().ok().and_then(|at: usize| children.get(at))
            && found == name
        {
            return Some(*child);
        }
        children
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, child)| *child)
    }

    /// The child of a module under a name. A body that has not run yet makes its children now.
    fn child_made(&mut self, module: ModuleId, name: &str) -> Result<Option<ModuleId>> {
        if self.child(module, name).is_none() {
            self.make_early(module)?;
        }
        Ok(self.child(module, name))
    }

    fn path(&self, owner: Option<ModuleId>, name: &str) -> SmolStr {
        let owner = owner.and_then(|owner| self.instance(owner));
        match owner.map(|instance| instance.path.as_str()) {
            None | Some("") => name.into(),
            Some(path) => format!("{path}.{name}").into(),
        }
    }

    fn next_call(&self) -> CallId {
        CallId::new(self.trace().calls.len())
    }

    fn unknown_parameters(&mut self, module: ModuleId) {
        let class = self.trace().module(module).class.short_name().to_string();
        let fidelity = &mut self.tracer.builder.trace_mut().fidelity;
        fidelity.note(
            Level::Partial,
            format!("a {class} that is never called has parameters of unknown size"),
        );
    }
}
