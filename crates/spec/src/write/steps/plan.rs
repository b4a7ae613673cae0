//! What is written in which order: which calls are steps, and which children come first.

use std::collections::{HashMap, HashSet};

use modelcost_core::SmolStr;
use modelcost_core::trace::{CallId, ModuleId, Passed, Target, TensorId, Trace};
use modelcost_core::value::Value;

use super::tensors::{AnyName, Recorder};
use super::{Loop, Step, Steps};
use crate::write::lift::{module_of, single_tensor};
use crate::write::{function, trial};

impl Steps<'_, '_> {
    /// The calls made directly, with those that no spec can write replaced by the calls inside them.
    pub(super) fn expressible(&mut self, id: CallId) -> Vec<CallId> {
        let mut out = Vec::new();
        let direct: Vec<CallId> = self.trace.direct(id).map(|(id, _)| id).collect();
        for id in direct {
            let can = match &self.trace.call(id).target {
                Target::Module(_) => true,
                Target::Function(name) => {
                    let writes = |says_output| {
                        let any = &mut AnyName;
                        function::function(self.trace, id, name, says_output, any).is_some()
                    };
                    let works = writes(false) && trial::works(self.trace, id, name);
                    if !works && writes(true) && trial::works_if_said(self.trace, id, name) {
                        self.unwritable.insert(id);
                    }
                    works || self.unwritable.contains(&id)
                }
                Target::Operator(name) => {
                    let any = &mut AnyName;
                    let writes = function::operator(self.trace, id, name, false, any).is_some();
                    if !writes || !trial::operator_works(self.trace, id, name) {
                        self.unwritable.insert(id);
                    }
                    true
                }
            };
            if can {
                out.push(id);
                continue;
            }
            if let Target::Function(name) = &self.trace.call(id).target {
                self.lift
                    .notes
                    .insert(format!("{name} is written as the operators it calls"));
                self.comments
                    .push(format!("{name} is written as the operators it calls"));
            }
            out.extend(self.expressible(id));
        }
        out
    }

    /// Finds the lists whose items are called one after the other and nowhere else.
    pub(super) fn lists(&mut self, calls: Vec<CallId>) -> Vec<Step> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < calls.len() {
            match self.list_at(&calls, at) {
                Some((list, count)) => {
                    out.push(Step::List(list, calls[at], calls[at + count - 1]));
                    at += count;
                }
                None => match self.loop_at(&calls, at) {
                    Some(found) => {
                        out.push(Step::Loop(found));
                        at += found.count;
                    }
                    None => {
                        out.push(Step::Call(calls[at]));
                        at += 1;
                    }
                },
            }
        }
        out
    }

    pub(super) fn list_at(&mut self, calls: &[CallId], at: usize) -> Option<(ModuleId, usize)> {
        let trace = self.trace;
        let first = module_of(trace.call(calls[at]))?;
        let own = &trace.module(self.module).children;
        let mut own = own.iter();
        let (_, list) = own.find(|(_, child)| is_list_from(trace, *child, first))?;
        let items = &trace.module(*list).children;
        let mut flow = None;
        for (index, (_, item)) in items.iter().enumerate() {
            let call = trace.call(*calls.get(at + index)?);
            let input = single_tensor(call)?;
            let once = self.lift.calls_of(*item).len() == 1;
            let alone = once && self.lift.captured(*item).is_empty();
            if module_of(call) != Some(*item) || !alone || flow.is_some_and(|flow| flow != input) {
                return None;
            }
            // What an item gives is taken by the next one only.
            if let Some(flow) = flow {
                let elsewhere = calls.iter().enumerate().any(|(position, call)| {
                    position != at + index && self.lift.taken_by(*call).contains(&flow)
                });
                let returned = trace.call(self.call).output.tensors().contains(&flow);
                if elsewhere || returned {
                    return None;
                }
            }
            flow = Some(call.output.tensor()?);
        }
        Some((*list, items.len()))
    }

    /// The children that cannot be made where they are first called.
    pub(super) fn declared(&mut self, steps: &[Step]) -> Vec<(SmolStr, ModuleId)> {
        let trace = self.trace;
        let children = &trace.module(self.module).children;
        // The child that each module inside belongs to.
        let mut parts: HashMap<ModuleId, ModuleId> = HashMap::new();
        for (_, child) in children {
            for inside in trace.modules_inside(*child) {
                parts.entry(inside).or_insert(*child);
            }
        }
        let mut in_turn: HashSet<ModuleId> = HashSet::new();
        let mut declared: HashSet<ModuleId> = HashSet::new();
        let mut need = |child: ModuleId, direct: bool, in_turn: &mut HashSet<ModuleId>| {
            if !in_turn.contains(&child) && !declared.contains(&child) {
                match direct {
                    true => in_turn.insert(child),
                    false => declared.insert(child),
                };
            }
        };
        let mut output = trace.call(self.call).output.tensors();
        for step in steps {
            let (list, id) = match step {
                Step::List(list, first, _) => (Some(*list), *first),
                step => (None, step.calls().0),
            };
            let mut tensors = self.lift.taken_by(id);
            if let Some(callee) = module_of(trace.call(id)) {
                tensors.extend(self.lift.captured(callee));
            }
            for tensor in tensors {
                let owners = self.lift.owners.get(&tensor).cloned().unwrap_or_default();
                if owners.iter().any(|(owner, _)| *owner == self.module) {
                    continue;
                }
                if let Some(part) = owners.iter().find_map(|(owner, _)| parts.get(owner)) {
                    need(*part, false, &mut in_turn);
                }
            }
            if let Some(list) = list {
                need(list, true, &mut in_turn);
            } else if let Some(callee) = module_of(trace.call(id))
                && let Some(part) = parts.get(&callee)
            {
                need(*part, *part == callee, &mut in_turn);
            }
        }
        output.retain(|tensor| self.lift.owners.contains_key(tensor));
        let mut seen: HashMap<ModuleId, usize> = HashMap::new();
        for (_, child) in children {
            *seen.entry(*child).or_default() += 1;
        }
        children
            .iter()
            .filter(|(_, child)| {
                let twice = seen.get(child).copied().unwrap_or_default() > 1;
                !in_turn.contains(child) || twice
            })
            .cloned()
            .collect()
    }

    /// Whether the children come in their order, those that are declared first and then those that
    /// are made in turn, or cannot do so. Tools that add up floating-point numbers tell the order.
    pub(super) fn in_order(&self, declared: &[(SmolStr, ModuleId)], steps: &[Step]) -> bool {
        let children = &self.trace.module(self.module).children;
        let nameable = |(name, _): &(SmolStr, ModuleId)| crate::write::python::is_identifier(name);
        if !children.iter().all(nameable) {
            return true;
        }
        let mut made: Vec<ModuleId> = declared.iter().map(|(_, child)| *child).collect();
        for step in steps {
            let module = match step {
                Step::List(list, ..) => Some(*list),
                step => module_of(self.trace.call(step.calls().0)),
            };
            let own = module.filter(|module| children.iter().any(|(_, child)| child == module));
            made.extend(own.filter(|module| !made.contains(module)));
        }
        made.iter().eq(children.iter().map(|(_, child)| child))
    }

    /// Which steps run without gradients. Where all of a module does, that is said around it.
    pub(super) fn without_gradient(&self, steps: &[Step]) -> Vec<bool> {
        let trace = self.trace;
        let hides = |first: CallId, last: CallId| {
            let calls = (first.index()..trace.call(last).end.index()).map(CallId::new);
            let mut made = calls.flat_map(|id| trace.call(id).output.tensors());
            let mut none = true;
            made.all(|tensor| {
                none = false;
                trace.tensor(tensor).without_gradient
            }) && !none
        };
        let around = self.module != Trace::ROOT && hides(self.call, self.call);
        let steps = steps.iter().map(Step::calls);
        steps
            .map(|(first, last)| !around && hides(first, last))
            .collect()
    }

    pub(super) fn count_uses(&mut self, steps: &[Step]) {
        let mut makers: HashMap<TensorId, usize> = HashMap::new();
        let mut uses = vec![0; steps.len()];
        for (index, step) in steps.iter().enumerate() {
            let (first, last) = step.calls();
            for tensor in self.taken(first) {
                if let Some(maker) = makers.get(&tensor) {
                    uses[*maker] += 1;
                }
            }
            for tensor in self.trace.call(last).output.tensors() {
                makers.insert(tensor, index);
            }
        }
        for tensor in self.trace.call(self.call).output.tensors() {
            if let Some(maker) = makers.get(&tensor) {
                uses[*maker] += 1;
            }
        }
        self.uses = uses;
    }

    /// The tensors that the expression of a call names, with repetition.
    pub(super) fn taken(&mut self, id: CallId) -> Vec<TensorId> {
        let trace = self.trace;
        let call = trace.call(id);
        if let Some(callee) = module_of(call) {
            let mut out: Vec<TensorId> = Vec::new();
            for argument in call
                .arguments
                .iter()
                .filter(|a| a.passed != Passed::Default)
            {
                out.extend(argument.value.tensors());
            }
            out.extend(self.lift.captured(callee));
            return out;
        }
        let mut recorder = Recorder(Vec::new());
        let says_output = self.unwritable.contains(&id);
        let _ = match &call.target {
            Target::Function(name) => {
                function::function(trace, id, name, says_output, &mut recorder)
            }
            Target::Operator(name) => {
                function::operator(trace, id, name, says_output, &mut recorder)
            }
            Target::Module(_) => None,
        };
        recorder.0
    }

    /// The parts of an output that something uses.
    pub(super) fn used_parts(&self, items: &[Value]) -> Vec<usize> {
        let used = |item: &Value| item.tensors().iter().any(|tensor| self.is_used(*tensor));
        let items = items.iter().enumerate().filter(|(_, item)| used(item));
        items.map(|(at, _)| at).collect()
    }

    pub(super) fn is_used(&self, tensor: TensorId) -> bool {
        let trace = self.trace;
        trace.call(self.call).output.tensors().contains(&tensor)
            || trace.direct(self.call).any(|(id, call)| {
                self.lift.taken_by(id).contains(&tensor)
                    || module_of(call)
                        .is_some_and(|callee| self.lift.known_captured(callee).contains(&tensor))
            })
    }

    pub(super) fn only_next_takes(&mut self, index: usize, tensor: TensorId) -> bool {
        let uses = self.uses.get(index).copied().unwrap_or_default();
        let next = match self.steps.get(index + 1) {
            Some(step) => step.calls().0,
            None => return true,
        };
        uses == 0 || uses == 1 && self.taken(next) == [tensor]
    }

    /// A list whose items are applied one after the other, each to what the one before it gave and
    /// to the same other things.
    fn loop_at(&mut self, calls: &[CallId], at: usize) -> Option<Loop> {
        let trace = self.trace;
        let callee = |id: CallId| module_of(trace.call(id));
        let first = callee(calls[at])?;
        let mut inside = trace.modules_inside(self.module).into_iter();
        let list = inside.find(|list| is_list_from(trace, *list, first))?;
        let items = &trace.module(list).children;
        let own = calls
            .get(at..at + items.len())
            .filter(|own| own.len() > 1)?;
        let outputs: Vec<Vec<TensorId>> = own
            .iter()
            .map(|id| trace.call(*id).output.tensors())
            .collect();
        // The input that is what the item before gave, and which part of that it is.
        let second = self.taken(own[1]);
        let flow = second.iter().find(|tensor| outputs[0].contains(tensor))?;
        let place = second.iter().position(|tensor| tensor == flow)?;
        let part = match &trace.call(own[0]).output {
            Value::Tensor(_) => None,
            output => Some(
                output
                    .items()?
                    .iter()
                    .position(|item| item.tensor() == Some(*flow))?,
            ),
        };
        let given = |id: CallId| match (part, &trace.call(id).output) {
            (None, output) => output.tensor(),
            (Some(part), output) => output.items()?.get(part)?.tensor(),
        };
        let shape = self.taken(own[0]);
        let input = *shape.get(place)?;
        let mut flow = input;
        for (id, (_, item)) in own.iter().zip(items) {
            let taken = self.taken(*id);
            let others = |taken: &[TensorId]| {
                let mut others = taken.to_vec();
                others.remove(place);
                others
            };
            let fits = callee(*id) == Some(*item)
                && self.lift.calls_of(*item).len() == 1
                && taken.len() == shape.len()
                && taken[place] == flow
                && others(&taken) == others(&shape)
                && !others(&taken).contains(&flow);
            if !fits {
                return None;
            }
            flow = given(*id)?;
        }
        // What an item gives is taken by the next one only.
        let returned = trace.call(self.call).output.tensors();
        let inner: Vec<TensorId> = outputs[..outputs.len() - 1]
            .iter()
            .flatten()
            .copied()
            .collect();
        let elsewhere = calls
            .iter()
            .filter(|id| !own.contains(id))
            .any(|id| self.taken(*id).iter().any(|tensor| inner.contains(tensor)));
        if elsewhere || inner.iter().any(|tensor| returned.contains(tensor)) {
            return None;
        }
        Some(Loop {
            list,
            count: items.len(),
            first: own[0],
            last: *own.last()?,
            input,
            output: flow,
            part,
        })
    }

    /// The steps without those that only make what nobody uses.
    pub(super) fn used(&mut self, steps: Vec<Step>) -> Vec<Step> {
        if self.lift.keep_unused {
            return steps;
        }
        let mut wanted: HashSet<TensorId> = self
            .trace
            .call(self.call)
            .output
            .tensors()
            .into_iter()
            .collect();
        let mut out = Vec::new();
        for step in steps.into_iter().rev() {
            let (first, last) = step.calls();
            let call = self.trace.call(last);
            let outputs = call.output.tensors();
            let idle = match &step {
                Step::Call(_) => function::is_idle(self.trace, call),
                _ => false,
            };
            if idle && !outputs.iter().any(|tensor| wanted.contains(tensor)) {
                continue;
            }
            wanted.extend(self.taken(first));
            out.push(step);
        }
        out.reverse();
        out
    }
}

/// Whether a module is a list whose first item is this one.
fn is_list_from(trace: &Trace, list: ModuleId, first: ModuleId) -> bool {
    let list = trace.module(list);
    let item = list.children.first();
    list.class.name == "torch.nn.ModuleList" && item.is_some_and(|(_, item)| *item == first)
}
