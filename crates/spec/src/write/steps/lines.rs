//! Steps as lines: what is used once stands where it is used.

use modelcost_core::SmolStr;
use modelcost_core::trace::{CallId, ModuleId, Target, TensorId};
use modelcost_core::value::Value;

use super::calls::own;
use super::tensors::{Recorder, Shapes, length};
use super::{Loop, Maker, State, Steps, WIDTH};
use crate::write::expression::Tensors;
use crate::write::expression::{self, Expression};
use crate::write::lift::single_tensor;
use crate::write::names;
use crate::write::pieces::{Body, Node, Piece, call, text};

impl Steps<'_, '_> {
    /// A line that makes a child and calls it.
    pub(super) fn made_in_turn(
        &mut self,
        index: usize,
        child: ModuleId,
        name: SmolStr,
        id: CallId,
        output: &Value,
    ) {
        let trace = self.trace;
        let call_made = trace.call(id);
        let taken = self.taken(id);
        let plain = single_tensor(call_made).filter(|_| taken.len() == 1);
        let flushed = match plain {
            // What is pending becomes the line above.
            Some(_) => {
                self.flush();
                true
            }
            None => false,
        };
        let implicit = plain.is_some() && plain == self.flow;
        let mut node = self.node(&name, child);
        self.made.insert(child, own(&name));
        if !implicit {
            if !flushed {
                self.make_ready(&taken);
                if self.ready.is_empty() {
                    self.flush();
                }
            }
            let given = self.given(id);
            self.flush_below();
            match &mut node {
                Node::Line(pieces) => *pieces = call(std::mem::take(pieces), given),
                Node::Container(container) => container.from = Some(given),
            }
        }
        let value = self.value_of(output, &mut node, !implicit);
        self.line(index, name, node, Some(&value));
    }

    /// Takes the one part of an output that is used, of a layer that is applied on its own line.
    pub(super) fn value_of(&mut self, output: &Value, node: &mut Node, applied: bool) -> Value {
        let (Some(items), Node::Line(pieces), true) = (output.items(), node, applied) else {
            return output.clone();
        };
        match self.used_parts(items).as_slice() {
            [at] if items[*at].tensor().is_some() => {
                pieces.push(Piece::Text(format!("[{at}]")));
                items[*at].clone()
            }
            _ => output.clone(),
        }
    }

    /// A function, an operator, or a module called again.
    pub(super) fn expression(&mut self, index: usize, id: CallId, output: &Value) {
        let taken = self.taken(id);
        self.make_ready(&taken);
        let written = self.written(id);
        let Some(mut expression) = written else {
            self.ready.clear();
            self.unknown(index, id, output);
            return;
        };
        let length = length(&expression.pieces);
        if length > WIDTH && !self.ready.is_empty() {
            // Too long: what was put into it gets lines of its own.
            let ready: Vec<(usize, Expression)> = {
                let mut all: Vec<_> = self.ready.drain().collect();
                all.sort_by_key(|(step, _)| *step);
                all
            };
            self.pending.extend(ready.iter().map(|(step, _)| *step));
            for (step, expression) in ready {
                self.states[step] = State::Pending(expression);
            }
            self.flush();
            match self.written(id) {
                Some(again) => expression = again,
                None => return self.unknown(index, id, output),
            }
        }
        self.ready.clear();
        let value = match output.items() {
            None => output.clone(),
            Some(items) => match (self.used_parts(items).as_slice(), items) {
                ([at], items) if items[*at].tensor().is_some() => {
                    expression = expression.followed_by(format!("[{at}]"));
                    items[*at].clone()
                }
                (_, []) => output.clone(),
                (_, items) => {
                    self.flush();
                    self.unpacked(id, items, Node::Line(expression.pieces));
                    if let (Some((key, _)), Some(true)) =
                        (self.layers.last(), self.hidden.get(index))
                    {
                        let first = key.split(", ").next().unwrap_or_default();
                        self.no_grad.push(first.trim_end_matches(',').into());
                    }
                    return;
                }
            },
        };
        let hidden = self.hidden.get(index) == Some(&true);
        let single = self.uses.get(index).copied() == Some(1) && !hidden;
        if let (Value::Tensor(tensor), true) = (&value, single) {
            self.states.push(State::Pending(expression));
            self.makers
                .insert(*tensor, Maker::Step(index, String::new()));
            self.pending.push(index);
            return;
        }
        self.flush();
        let name = self.fresh_name(id);
        self.line(index, name, Node::Line(expression.pieces), Some(&value));
    }

    /// `"q, k, v" = …`.
    pub(super) fn unpacked(&mut self, id: CallId, items: &[Value], node: Node) {
        let mut names = Vec::new();
        for item in items {
            let name = names::fresh_numbered(&self.base_name(id), &self.names);
            self.names.insert(name.clone());
            self.bind(item, &Expression::name(name.as_str()));
            names.push(name);
        }
        let key: Vec<&str> = names.iter().map(SmolStr::as_str).collect();
        let key = match key.as_slice() {
            [single] => format!("{single},"),
            _ => key.join(", "),
        };
        self.layers.push((key.into(), node));
        self.states.push(State::Nameless);
        self.flow = None;
    }

    /// Takes the pending steps that an expression uses, if it evaluates them in their order.
    pub(super) fn make_ready(&mut self, taken: &[TensorId]) {
        self.ready.clear();
        let wanted: Vec<usize> = taken
            .iter()
            .filter_map(|tensor| match self.makers.get(tensor) {
                Some(Maker::Step(step, _)) if matches!(self.states[*step], State::Pending(_)) => {
                    Some(*step)
                }
                _ => None,
            })
            .collect();
        let from = self.pending.len().saturating_sub(wanted.len());
        if wanted.is_empty() {
            return;
        }
        if self.pending[from..] != wanted[..] {
            return self.flush();
        }
        for step in self.pending.split_off(from) {
            if let State::Pending(expression) = self.states[step].clone() {
                self.ready.insert(step, expression);
            }
        }
    }

    /// What is still pending comes before the line being written.
    pub(super) fn flush_below(&mut self) {
        let ready = std::mem::take(&mut self.ready);
        self.flush();
        self.ready = ready;
    }

    /// Gives everything that is pending a line of its own.
    pub(super) fn flush(&mut self) {
        for step in std::mem::take(&mut self.pending) {
            let State::Pending(expression) = self.states[step].clone() else {
                continue;
            };
            let tensor = self.makers.iter().find_map(|(tensor, maker)| match maker {
                Maker::Step(own, _) if *own == step => Some(*tensor),
                _ => None,
            });
            let base = names::for_expression(&expression.pieces);
            let name = names::fresh(&base, &self.names);
            self.names.insert(name.clone());
            self.states[step] = State::Named(name.clone());
            self.layers.push((name, Node::Line(expression.pieces)));
            self.flow = tensor;
        }
    }

    /// Adds a line.
    pub(super) fn line(&mut self, index: usize, name: SmolStr, node: Node, value: Option<&Value>) {
        if self.hidden.get(index) == Some(&true) {
            self.no_grad.push(name.clone());
        }
        let named = crate::write::python::is_identifier(&name);
        let value = value.cloned().unwrap_or_default();
        if named {
            self.bind(&value, &Expression::name(name.as_str()));
        }
        self.flow = value.tensor();
        if let (false, Some(tensor)) = (named, value.tensor()) {
            // The value of the line above is `_`.
            self.makers.insert(tensor, Maker::Step(index, "_".into()));
        }
        self.states.push(match named {
            true => State::Named(name.clone()),
            false => State::Nameless,
        });
        self.layers.push((name, node));
        // What is taken later than by the next line needs a name, and so do the parts of a tuple.
        let parts = value
            .items()
            .is_some_and(|items| !self.used_parts(items).is_empty());
        let later = |steps: &mut Self, tensor| !steps.only_next_takes(index, tensor);
        if !named && (parts || value.tensor().is_some_and(|tensor| later(self, tensor))) {
            let alias = names::fresh("x", &self.names);
            self.names.insert(alias.clone());
            self.bind(&value, &Expression::name(alias.as_str()));
            self.layers.push((alias, Node::Line(text("_"))));
        }
    }

    /// A call that cannot be written: a tensor of the right shape stands for what it gives.
    pub(super) fn unknown(&mut self, index: usize, id: CallId, output: &Value) {
        self.flush();
        let what = match &self.trace.call(id).target {
            Target::Module(module) => self.trace.module(*module).class.name.to_string(),
            Target::Function(name) | Target::Operator(name) => name.to_string(),
        };
        let note =
            format!("{what} has no place in a spec; a tensor of its output's shape stands for it");
        self.comments.push(note.clone());
        self.lift.notes.insert(note);
        let Some(expression) = expression::value(output, "size", &mut Shapes(self.trace)) else {
            self.states.push(State::Nameless);
            return;
        };
        let name = self.fresh_name(id);
        self.line(index, name, Node::Line(expression.pieces), Some(output));
    }

    /// What the body gives.
    pub(super) fn finish(&mut self, body: &mut Body) {
        let output = self.trace.call(self.call).output.clone();
        // The last thing that is pending is the last line.
        if let (Some(step), Value::Tensor(tensor)) = (self.pending.last().copied(), &output)
            && matches!(self.makers.get(tensor), Some(Maker::Step(own, _)) if *own == step)
        {
            self.pending.pop();
            self.flush();
            if let State::Pending(expression) = self.states[step].clone() {
                let base = match names::names_itself(&expression.pieces) {
                    true => names::for_expression(&expression.pieces),
                    false => "out".into(),
                };
                let name = names::fresh(&base, &self.names);
                self.layers.push((name, Node::Line(expression.pieces)));
            }
            return;
        }
        if output.tensor().is_some() && output.tensor() == self.flow && self.pending.is_empty() {
            return;
        }
        let mut recorder = Recorder(Vec::new());
        let _ = expression::value(&output, "output", &mut recorder);
        self.make_ready(&recorder.0);
        self.flush_below();
        body.output = expression::value(&output, "output", self).map(|found| found.pieces);
    }

    /// `"x{i + 1}" = "12 * layers[i](_, mask)"`.
    pub(super) fn loop_over(&mut self, found: Loop) {
        self.flush();
        self.states.push(State::Nameless);
        let stem = ["x", "h", "y", "z"].into_iter().find(|stem| {
            !self.names.iter().any(|name| {
                name.strip_prefix(stem)
                    .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
            })
        });
        let stem = stem.unwrap_or("state");
        self.names.insert(stem.into());
        if self.flow != Some(found.input) {
            let name = names::fresh(&format!("{stem}0"), &self.names);
            self.names.insert(name.clone());
            if let Some(expression) = self.tensor(found.input) {
                self.layers.push((name, Node::Line(expression.pieces)));
            }
        }
        let above = Maker::Given(Expression::name("_"));
        let before = self.makers.insert(found.input, above);
        let given = self.given(found.first);
        if let Some(before) = before {
            self.makers.insert(found.input, before);
        }
        let list = self.module_path(found.list).unwrap_or_default();
        let mut pieces = call(text(format!("{} * {list}[i]", found.count)), given);
        if let Some(part) = found.part {
            pieces.push(Piece::Text(format!("[{part}]")));
        }
        let key = format!("{stem}{{i + 1}}");
        self.layers.push((key.into(), Node::Line(pieces)));
        let last = Expression::name(format!("{stem}[-1]"));
        self.bind(&Value::Tensor(found.output), &last);
        self.flow = Some(found.output);
    }
}
