//! A module's calls as lines: what flows on is not named, what is used once stands where it is used.

use std::collections::{HashMap, HashSet};

use modelcost_core::SmolStr;
use modelcost_core::trace::{CallId, ModuleId, Target, TensorId, Trace};

mod calls;
mod inputs;
mod lines;
mod plan;
mod tensors;

use super::expression::Expression;
use super::lift::Lift;
use super::pieces::{Body, Node};

/// Longer expressions are cut into several lines.
const WIDTH: usize = 88;

/// What makes a tensor.
#[derive(Clone, Debug)]
enum Maker {
    /// An expression that is always there: an input, a parameter.
    Given(Expression),
    /// A step, and the expression of the tensor if the step has a name.
    Step(usize, String),
}

/// What became of a step's value.
#[derive(Clone, Debug)]
enum State {
    /// Not written yet: it can be put into the expression that uses it.
    Pending(Expression),
    /// A line's value, by the line's name.
    Named(SmolStr),
    /// A line that has no name in expressions; only what comes next can take it.
    Nameless,
}

pub(super) struct Steps<'l, 't> {
    lift: &'l mut Lift<'t>,
    trace: &'t Trace,
    module: ModuleId,
    call: CallId,
    /// All names of the body.
    names: HashSet<SmolStr>,
    makers: HashMap<TensorId, Maker>,
    states: Vec<State>,
    /// How often each step's value is used.
    uses: Vec<usize>,
    /// The steps that are pending, in order.
    pending: Vec<usize>,
    /// Those that stand where they are used in the expression being written.
    ready: HashMap<usize, Expression>,
    /// Children that are made already, by how they are called.
    made: HashMap<ModuleId, String>,
    layers: Vec<(SmolStr, Node)>,
    /// What the last line gives.
    flow: Option<TensorId>,
    first_input: Option<TensorId>,
    comments: Vec<String>,
    steps: Vec<Step>,
    /// Which steps run without gradients, and the names of their lines.
    hidden: Vec<bool>,
    no_grad: Vec<SmolStr>,
    /// Operators that the vocabulary does not know, or not with these arguments.
    unwritable: HashSet<CallId>,
}

/// One step.
#[derive(Clone, Debug)]
enum Step {
    /// A call of a module, function or operator.
    Call(CallId),
    /// The items of a list, called in turn: the child, the first call and the last.
    List(ModuleId, CallId, CallId),
    /// The items of a list, each applied to what the one before it gave, and to more.
    Loop(Loop),
}

/// The calls of a loop over the items of a list.
#[derive(Clone, Copy, Debug)]
struct Loop {
    list: ModuleId,
    count: usize,
    first: CallId,
    last: CallId,
    /// What the first item is applied to.
    input: TensorId,
    /// What the last one gives.
    output: TensorId,
    /// Which part of an item's output goes on, where it is a tuple.
    part: Option<usize>,
}

impl Step {
    /// The first call and the last.
    fn calls(&self) -> (CallId, CallId) {
        match self {
            Step::Call(id) => (*id, *id),
            Step::List(_, first, last) => (*first, *last),
            Step::Loop(found) => (found.first, found.last),
        }
    }
}

impl<'l, 't> Steps<'l, 't> {
    pub fn new(lift: &'l mut Lift<'t>, module: ModuleId, call: CallId) -> Steps<'l, 't> {
        let trace = lift.trace;
        Steps {
            lift,
            trace,
            module,
            call,
            names: HashSet::new(),
            makers: HashMap::new(),
            states: Vec::new(),
            uses: Vec::new(),
            pending: Vec::new(),
            ready: HashMap::new(),
            made: HashMap::new(),
            layers: Vec::new(),
            flow: None,
            first_input: None,
            comments: Vec::new(),
            steps: Vec::new(),
            hidden: Vec::new(),
            no_grad: Vec::new(),
            unwritable: HashSet::new(),
        }
    }

    /// Writes the layers and modules of a body.
    pub fn write(mut self, body: &mut Body) {
        let found = self.trace.module(self.module);
        self.names
            .extend(found.children.iter().map(|(name, _)| name.clone()));
        self.names
            .extend(body.held.iter().map(|held| held.name.clone()));
        let calls = self.expressible(self.call);
        self.inputs(body);
        let steps = self.lists(calls.clone());
        let mut steps = self.used(steps);
        let mut declared = self.declared(&steps);
        if self.lift.keep_unused && !self.in_order(&declared, &steps) {
            steps = self.used(calls.into_iter().map(Step::Call).collect());
            declared.clone_from(&found.children);
        }
        self.declare(&declared, body);
        self.count_uses(&steps);
        self.hidden = self.without_gradient(&steps);
        self.steps = steps.clone();
        for (index, step) in steps.iter().enumerate() {
            self.step(index, step);
        }
        self.finish(body);
        body.layers = self.layers;
        body.no_grad = self.no_grad;
        body.comments.extend(self.comments);
    }

    /// Writes the children that are not made in turn.
    fn declare(&mut self, declared: &[(SmolStr, ModuleId)], body: &mut Body) {
        for (name, child) in declared {
            let node = self.node(name, *child);
            body.modules.push((name.clone(), node));
            self.made.entry(*child).or_insert_with(|| calls::own(name));
        }
    }

    fn step(&mut self, index: usize, step: &Step) {
        match step {
            Step::List(list, first, last) => {
                let output = self.trace.call(*last).output.clone();
                let name = self.child_name(*list);
                self.made_in_turn(index, *list, name, *first, &output);
            }
            Step::Loop(found) => self.loop_over(*found),
            Step::Call(id) => {
                let call = self.trace.call(*id);
                let output = call.output.clone();
                match &call.target {
                    Target::Module(module) => {
                        let own = &self.trace.module(self.module).children;
                        let direct = own.iter().any(|(_, child)| child == module);
                        if direct && !self.made.contains_key(module) {
                            let name = self.child_name(*module);
                            self.made_in_turn(index, *module, name, *id, &output);
                        } else {
                            self.expression(index, *id, &output);
                        }
                    }
                    _ => self.expression(index, *id, &output),
                }
            }
        }
    }
}
