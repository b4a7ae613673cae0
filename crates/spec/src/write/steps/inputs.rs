//! What a body is given.

use std::collections::HashSet;

use modelcost_core::SmolStr;
use modelcost_core::trace::{Passed, Trace};
use modelcost_core::value::Value;

use super::{Maker, Steps};
use crate::write::expression::Expression;
use crate::write::names;
use crate::write::pieces::Body;

impl Steps<'_, '_> {
    /// The inputs of the body, and the tensors that it takes from around it.
    pub(super) fn inputs(&mut self, body: &mut Body) {
        let own = self.trace.call(self.call);
        let mut inputs: Vec<(SmolStr, Value)> = Vec::new();
        let root = self.module == Trace::ROOT;
        if root {
            for (name, (_, tensor)) in names::inputs(self.trace)
                .into_iter()
                .zip(&self.trace.inputs)
            {
                inputs.push((name, Value::Tensor(*tensor)));
            }
        } else {
            for argument in &own.arguments {
                if !argument.value.tensors().is_empty() {
                    let name = self.given_name(inputs.len());
                    inputs.push((name, argument.value.clone()));
                }
            }
            for tensor in self.lift.captured(self.module) {
                inputs.push((SmolStr::default(), Value::Tensor(tensor)));
            }
        }
        let more = self.given_later(inputs.len());
        let free = |name: &str, names: &HashSet<SmolStr>| !names.contains(name);
        let alone = inputs.len() == 1
            && more.is_empty()
            && free("input", &self.names)
            && (root && inputs[0].0 == "input" || !root && !self.is_given_by_name());
        let mut named = Vec::new();
        for (position, (name, value)) in inputs.into_iter().enumerate() {
            let name = match alone {
                true => SmolStr::new_static("input"),
                // The inputs of the model have the names they have.
                false if root => name,
                false => {
                    let base = match crate::write::python::is_identifier(&name) && name != "self" {
                        true => name.as_str(),
                        false if position == 0 => "x",
                        false => "y",
                    };
                    names::fresh(base, &self.names)
                }
            };
            self.names.insert(name.clone());
            if position == 0 {
                self.first_input = value.tensor();
                self.flow = self.first_input;
            }
            self.bind(&value, &Expression::name(name.as_str()));
            named.push((name, false));
        }
        for name in more {
            let base = match crate::write::python::is_identifier(&name) {
                true => name.as_str(),
                false => "y",
            };
            let name = names::fresh(base, &self.names);
            self.names.insert(name.clone());
            named.push((name, true));
        }
        if !alone && !root {
            body.inputs = Some(named);
        }
        self.names.insert("input".into());
    }

    /// The names of what later calls of the module give beside what its first call gives. The body is
    /// what the first call does, so it takes them and does nothing with them.
    fn given_later(&mut self, count: usize) -> Vec<SmolStr> {
        let module = self.module;
        let simple = module != Trace::ROOT && self.lift.captured(module).is_empty();
        let calls = self.lift.calls_of(module).iter();
        let given = calls.map(|call| {
            let arguments = self.trace.call(*call).arguments.iter();
            arguments.filter(|argument| !argument.value.tensors().is_empty())
        });
        let most = given.max_by_key(|given| given.clone().count());
        match most {
            Some(most) if simple => most.skip(count).map(|a| a.name.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether some call of the module names what it gives.
    pub(super) fn is_given_by_name(&self) -> bool {
        let mut calls = self.lift.calls_of(self.module).iter();
        calls.any(|call| {
            let mut arguments = self.trace.call(*call).arguments.iter();
            arguments.any(|argument| argument.passed == Passed::Keyword)
        })
    }

    /// The name under which some call gives what stands in a position.
    pub(super) fn given_name(&self, position: usize) -> SmolStr {
        let calls = self.lift.calls_of(self.module).iter();
        let names = calls.filter_map(|call| {
            let given = self.trace.call(*call).arguments.iter();
            let mut tensors = given.filter(|argument| !argument.value.tensors().is_empty());
            tensors.nth(position).map(|argument| argument.name.clone())
        });
        names
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }

    /// Notes what the tensors of a value are called.
    pub(super) fn bind(&mut self, value: &Value, base: &Expression) {
        match value {
            Value::Tensor(id) => {
                self.makers.insert(*id, Maker::Given(base.clone()));
            }
            Value::Tuple(items) | Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.bind(item, &base.clone().followed_by(format!("[{index}]")));
                }
            }
            Value::Dict(items) => {
                for (name, item) in items {
                    self.bind(item, &base.clone().followed_by(format!("['{name}']")));
                }
            }
            _ => {}
        }
    }
}
