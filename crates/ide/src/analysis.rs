//! A spec, traced and counted: what every answer about it is read from.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use modelcost_core::SmolStr;
use modelcost_core::convention::Convention;
use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::expr::ExprKind;
use modelcost_core::trace::{CallId, ModuleId, ParameterId, Shape, Target, Trace};
use modelcost_core::value::Value;
use modelcost_spec::{Content, Document, Layer, LayerId, Options, Traced};

use crate::numbers::Numbers;

/// A spec, traced.
#[derive(Debug)]
pub struct Analysis {
    /// What the text says.
    pub document: Document,
    /// What it does.
    pub traced: Traced,
    /// What is wrong with either.
    pub diagnostics: Vec<Diagnostic>,
    /// The sizes of free dimensions that it was run with.
    pub dims: Dims,
    module_calls: OnceCell<Vec<Vec<CallId>>>,
    numbers: RefCell<HashMap<String, Rc<Numbers>>>,
}

/// What a layer comes to, over all the times that it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerFacts {
    /// The shape of its output at its first and at its last call, where it was called.
    pub shapes: Option<(Shape, Shape)>,
    /// The type of the elements of its output.
    pub dtype: Option<DType>,
    /// The parameters of the modules that it makes, each storage once; `None` if it makes no module.
    pub params: Option<Dim>,
    /// How often it is there.
    pub times: usize,
    /// The calls that it makes.
    pub calls: Vec<Range<CallId>>,
}

impl Analysis {
    /// Reads and runs a text, with free dimensions of its inputs bound to the sizes given.
    pub fn new(text: &str, dims: &Dims) -> Analysis {
        let (document, mut diagnostics) = Document::parse(text);
        let traced = document.trace_partial(&options(&document, dims));
        diagnostics.extend(traced.diagnostics.iter().cloned());
        Analysis {
            document,
            traced,
            diagnostics,
            dims: dims.clone(),
            module_calls: OnceCell::new(),
            numbers: RefCell::default(),
        }
    }

    /// The trace.
    pub fn trace(&self) -> &Trace {
        &self.traced.trace
    }

    /// Whether the text means a whole model.
    pub fn is_complete(&self) -> bool {
        self.diagnostics
            .iter()
            .all(|diagnostic| diagnostic.severity != Severity::Error)
    }

    /// The model under a convention; counted once.
    pub fn numbers(&self, convention: &dyn Convention) -> Rc<Numbers> {
        let identity = convention.info().identity();
        if let Some(known) = self.numbers.borrow().get(&identity) {
            return known.clone();
        }
        let numbers = Rc::new(Numbers::new(convention, self.trace()));
        self.numbers.borrow_mut().insert(identity, numbers.clone());
        numbers
    }

    /// The calls of each module.
    pub fn module_calls(&self) -> &[Vec<CallId>] {
        self.module_calls
            .get_or_init(|| self.trace().calls_by_module())
    }

    /// What a layer comes to.
    pub fn facts(&self, layer: LayerId) -> LayerFacts {
        let made = self.traced.made_by(layer);
        let mut calls = Vec::new();
        let mut modules = Vec::new();
        let (mut first, mut last) = (None, None);
        let is_body = matches!(self.document.layer(layer).content, Content::Body(_));
        for once in made {
            modules.extend(
                once.module
                    .or_else(|| self.container(&once.calls).filter(|_| is_body)),
            );
            if once.calls.start < once.calls.end {
                calls.push(once.calls.clone());
                first = first.or(Some(&once.output));
                last = Some(&once.output);
                continue;
            }
            // An item of a Sequential is called by that.
            let own = once
                .module
                .and_then(|module| self.module_calls().get(module.index()));
            for id in own.into_iter().flatten() {
                let call = self.trace().call(*id);
                calls.push(*id..call.end);
                first = first.or(Some(&call.output));
                last = Some(&call.output);
            }
        }
        let shapes = match (first, last) {
            (Some(first), Some(last)) => self.shape_of(first).zip(self.shape_of(last)),
            _ => None,
        };
        LayerFacts {
            shapes,
            dtype: first.and_then(|value| self.dtype_of(value)),
            params: (!modules.is_empty()).then(|| parameters(self.trace(), &modules)),
            times: made.len(),
            calls,
        }
    }

    /// The module that the first call of a range is to: that of a table or array of layers.
    fn container(&self, calls: &Range<CallId>) -> Option<ModuleId> {
        if calls.start == calls.end {
            return None;
        }
        match self.trace().call(calls.start).target {
            Target::Module(module) => Some(module),
            _ => None,
        }
    }

    fn shape_of(&self, value: &Value) -> Option<Shape> {
        let tensor = first_tensor(value)?;
        self.trace().tensor(tensor).shape.clone()
    }

    fn dtype_of(&self, value: &Value) -> Option<DType> {
        self.trace().tensor(first_tensor(value)?).dtype
    }

    /// What is counted in a list of ranges of calls that do not overlap.
    pub fn count(&self, numbers: &Numbers, calls: &[Range<CallId>]) -> Option<Dim> {
        if calls.is_empty() {
            return None;
        }
        let mut sum = Dim::ZERO;
        for range in calls {
            sum += numbers.count(range)?;
        }
        Some(sum)
    }

    /// The modules that a block became, and their calls.
    pub fn block_facts(&self, block: usize) -> LayerFacts {
        let mut facts = LayerFacts {
            shapes: None,
            dtype: None,
            params: None,
            times: 0,
            calls: Vec::new(),
        };
        let Some(block) = self.document.blocks.get(block) else {
            return facts;
        };
        let mut modules = Vec::new();
        for (index, module) in self.trace().modules.iter().enumerate() {
            let own = module.span.is_some_and(|span| span == block.name.span);
            if own || module.class.short_name() == block.name.name {
                modules.push(ModuleId::new(index));
            }
        }
        let (mut first, mut last) = (None, None);
        for module in &modules {
            for id in &self.module_calls()[module.index()] {
                let call = self.trace().call(*id);
                facts.calls.push(*id..call.end);
                first = first.or(Some(&call.output));
                last = Some(&call.output);
            }
        }
        facts.times = modules.len();
        if let (Some(first), Some(last)) = (first, last) {
            facts.shapes = self.shape_of(first).zip(self.shape_of(last));
            facts.dtype = self.dtype_of(first);
        }
        facts.params = (!modules.is_empty()).then(|| parameters(self.trace(), &modules));
        outermost(&mut facts.calls);
        facts
    }

    /// The path of the module that a layer makes first: `layer1.0.conv1`.
    pub fn path(&self, layer: &Layer) -> Option<String> {
        let module = self.traced.made_by(layer.id).first()?.module?;
        self.trace()
            .named_modules()
            .into_iter()
            .find(|(_, id)| *id == module)
            .map(|(path, _)| path)
    }
}

/// Sizes of free dimensions by name.
pub type Dims = BTreeMap<SmolStr, u64>;

/// Binds those dimensions that the inputs have and that the spec itself leaves free.
fn options(document: &Document, dims: &Dims) -> Options {
    let mut options = Options::default();
    for size in document
        .inputs
        .iter()
        .flat_map(|input| &input.shape)
        .filter(|size| size.default.is_none())
    {
        size.value.walk(&mut |expr| {
            if let ExprKind::Name(name) = &expr.kind
                && let Some(size) = dims.get(name)
                && document
                    .variables
                    .iter()
                    .all(|variable| variable.name.name != *name)
            {
                options.dims.insert(name.clone(), Dim::from(*size));
            }
        });
    }
    options
}

/// Leaves out the ranges that are inside another one, as those of a block that contains itself are.
fn outermost(calls: &mut Vec<Range<CallId>>) {
    calls.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    let mut end = CallId::new(0);
    calls.retain(|range| {
        let outer = range.end > end;
        end = end.max(range.end);
        outer
    });
}

fn first_tensor(value: &Value) -> Option<modelcost_core::trace::TensorId> {
    match value {
        Value::Tensor(id) => Some(*id),
        _ => value.tensors().first().copied(),
    }
}

/// The parameters of some modules and what is inside them, each storage once.
pub fn parameters(trace: &Trace, modules: &[ModuleId]) -> Dim {
    // A single module without children, which most are, needs no sets.
    if let [module] = modules
        && trace.module(*module).children.is_empty()
    {
        let own = &trace.module(*module).parameters;
        let ids: Vec<ParameterId> = own.iter().filter_map(|(_, id)| *id).collect();
        if ids
            .iter()
            .enumerate()
            .all(|(at, id)| !ids[..at].contains(id))
        {
            return ids
                .iter()
                .map(|id| Dim::product(&trace.parameter(*id).shape))
                .sum();
        }
    }
    let mut seen = HashSet::new();
    let mut counted = HashSet::new();
    let mut open = modules.to_vec();
    let mut sum = Dim::ZERO;
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let module = trace.module(id);
        for parameter in module
            .parameters
            .iter()
            .filter_map(|(_, parameter)| *parameter)
        {
            if counted.insert(parameter) {
                sum += Dim::product(&trace.parameter(parameter).shape);
            }
        }
        open.extend(module.children.iter().map(|(_, child)| *child));
    }
    sum
}
