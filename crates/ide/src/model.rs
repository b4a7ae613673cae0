//! A traced model that can be asked about any part of it, under any convention.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use modelcost_core::convention::Convention;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{CallId, ModuleId, ParameterId, Shape, TensorId, Trace};
use modelcost_core::value::Value;

use crate::hints::Subject;
use crate::numbers::Numbers;

/// A trace, with what conventions say about it.
#[derive(Debug, Default)]
pub struct Model {
    /// The trace.
    pub trace: Trace,
    module_calls: OnceCell<Vec<Vec<CallId>>>,
    numbers: RefCell<HashMap<String, Arc<Numbers>>>,
}

/// What a part of a model comes to, over all the times that it is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The shape of its output at its first and at its last call, where it was called.
    pub shapes: Option<(Shape, Shape)>,
    /// The type of the elements of its output.
    pub dtype: Option<DType>,
    /// The parameters of its modules, each storage once; `None` if it makes no module.
    pub params: Option<Dim>,
    /// How often it is there.
    pub times: usize,
    /// The calls that it makes: ranges that do not overlap.
    pub calls: Vec<Range<CallId>>,
}

/// A document with a model in it, whose parts can be pointed at.
pub trait Subjects {
    /// The model.
    fn model(&self) -> &Model;

    /// What a part comes to.
    fn facts(&self, subject: Subject) -> Facts;

    /// What a part is called and what it is: the first line of its card, in Markdown.
    fn title(&self, subject: Subject) -> Option<String>;

    /// Whether a part stands for as many parts of the model as the block that it is in is used.
    fn is_shared(&self, subject: Subject) -> bool;
}

impl Model {
    /// From a trace.
    pub fn new(trace: Trace) -> Model {
        Model {
            trace,
            ..Model::default()
        }
    }

    /// What a convention says; counted once.
    pub fn numbers(&self, convention: &dyn Convention) -> Arc<Numbers> {
        let identity = convention.info().identity();
        if let Some(known) = self.numbers.borrow().get(&identity) {
            return known.clone();
        }
        let numbers = Arc::new(Numbers::new(convention, &self.trace));
        self.numbers.borrow_mut().insert(identity, numbers.clone());
        numbers
    }

    /// The calls of a module.
    pub fn module_calls(&self, module: ModuleId) -> &[CallId] {
        let all = self
            .module_calls
            .get_or_init(|| self.trace.calls_by_module());
        all.get(module.index()).map_or(&[], Vec::as_slice)
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

    /// Adds one time that a part is there: its calls, and what it gives.
    pub fn add(&self, facts: &mut Facts, calls: Range<CallId>, output: &Value) {
        facts.calls.push(calls);
        let Some(tensor) = first_tensor(output).map(|id| self.trace.tensor(id)) else {
            return;
        };
        facts.dtype = facts.dtype.or(tensor.dtype);
        let Some(shape) = &tensor.shape else { return };
        match &mut facts.shapes {
            None => facts.shapes = Some((shape.clone(), shape.clone())),
            Some((_, last)) => last.clone_from(shape),
        }
    }

    /// Adds the calls of a module.
    pub fn add_module(&self, facts: &mut Facts, module: ModuleId) {
        for id in self.module_calls(module) {
            let call = self.trace.call(*id);
            self.add(facts, *id..call.end, &call.output);
        }
    }

    /// The parameters of some modules and what is inside them, each storage once.
    pub fn parameters(&self, modules: &[ModuleId]) -> Dim {
        let trace = &self.trace;
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
            for (_, parameter) in &module.parameters {
                if let Some(parameter) = *parameter
                    && counted.insert(parameter)
                {
                    sum += Dim::product(&trace.parameter(parameter).shape);
                }
            }
            open.extend(module.children.iter().map(|(_, child)| *child));
        }
        sum
    }
}

/// Leaves out the ranges that are inside another one, as those of a block that contains itself are.
pub fn outermost(calls: &mut Vec<Range<CallId>>) {
    calls.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    let mut end = CallId::new(0);
    calls.retain(|range| {
        let outer = range.end > end;
        end = end.max(range.end);
        outer
    });
}

fn first_tensor(value: &Value) -> Option<TensorId> {
    match value {
        Value::Tensor(id) => Some(*id),
        _ => value.tensors().first().copied(),
    }
}
