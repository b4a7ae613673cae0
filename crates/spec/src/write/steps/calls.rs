//! Calls as expressions.

use std::collections::HashSet;

use modelcost_core::SmolStr;
use modelcost_core::trace::{CallId, ModuleId, Passed, Target};

use super::Steps;
use crate::run::SELF;
use crate::write::expression::{self, Expression, Tensors};
use crate::write::lift::{Place, module_of};
use crate::write::pieces::{Given, Node, call, text};
use crate::write::{constructor, function, names, python};

impl Steps<'_, '_> {
    /// The expression of a call with its tensors named.
    pub(super) fn written(&mut self, id: CallId) -> Option<Expression> {
        let trace = self.trace;
        let says_output = self.unwritable.contains(&id);
        match &trace.call(id).target {
            Target::Function(name) => function::function(trace, id, name, says_output, self),
            Target::Operator(name) => function::operator(trace, id, name, says_output, self),
            Target::Module(module) => {
                let callee = self.module_path(*module)?;
                let given = self.given_checked(id)?;
                Some(Expression::tight(call(text(callee), given)))
            }
        }
    }

    /// How a module inside this one is called: `relu`, `layers[3]`, `attn.qkv`.
    pub(super) fn module_path(&self, module: ModuleId) -> Option<String> {
        if let Some(path) = self.made.get(&module) {
            return Some(path.clone());
        }
        let mut stack = vec![(self.module, String::new())];
        let mut seen = HashSet::new();
        while let Some((at, path)) = stack.pop() {
            if at == module {
                return Some(path);
            }
            if !seen.insert(at) {
                continue;
            }
            for (name, child) in self.trace.module(at).children.iter().rev() {
                let path = match path.is_empty() {
                    true => own(name),
                    false => path.clone() + &python::behind(name),
                };
                stack.push((*child, path));
            }
        }
        None
    }

    pub(super) fn given(&mut self, id: CallId) -> Vec<Given> {
        self.given_checked(id).unwrap_or_default()
    }

    /// The arguments of a module's call.
    pub(super) fn given_checked(&mut self, id: CallId) -> Option<Vec<Given>> {
        let trace = self.trace;
        let made = trace.call(id);
        let module = module_of(made)?;
        let info = constructor::known(&trace.module(module).class);
        let is_block = self.lift.constructor(module).is_none();
        let captured = self.lift.captured(module);
        // What a block takes from around it follows what it is given, all in the order of its inputs.
        let by_position = is_block && !captured.is_empty() && self.lift.gives_all(module, id);
        let mut out = Vec::new();
        for argument in &made.arguments {
            let tensors = argument.value.tensors();
            if argument.passed == Passed::Default || is_block && tensors.is_empty() {
                continue;
            }
            let value = expression::value(&argument.value, &argument.name, self)?.pieces;
            out.push(match argument.passed {
                Passed::Keyword if !by_position => Given::keyword(argument.name.clone(), value),
                _ => Given::position(value),
            });
        }
        for tensor in captured {
            out.push(Given::position(self.tensor(tensor)?.pieces));
        }
        if info.is_some_and(|info| !is_block && constructor::attention_without_weights(&info, made))
        {
            out.push(Given::keyword("need_weights", text("False")));
        }
        Some(out)
    }

    pub(super) fn node(&mut self, name: &SmolStr, child: ModuleId) -> Node {
        let mut names = self.names.clone();
        names.remove(name);
        // A layer of the same name as its class hides the class from the lines below it.
        let place = Place {
            names: &names,
            made: &self.made,
        };
        self.lift.node(child, &place)
    }

    pub(super) fn child_name(&self, child: ModuleId) -> SmolStr {
        let own = &self.trace.module(self.module).children;
        let found = own.iter().find(|(_, id)| *id == child);
        found.map(|(name, _)| name.clone()).unwrap_or_default()
    }

    /// What a call's value is called, before that is made unique.
    pub(super) fn base_name(&self, id: CallId) -> String {
        match &self.trace.call(id).target {
            Target::Module(module) => {
                let path = self.module_path(*module).unwrap_or_default();
                let last = path.rsplit('.').next().unwrap_or_default();
                let word: String = last.chars().take_while(|c| *c != '[').collect();
                match word.as_str() {
                    SELF => "x".into(),
                    _ => word,
                }
            }
            target => names::for_function(function::short_name(target)).to_string(),
        }
    }

    pub(super) fn fresh_name(&mut self, id: CallId) -> SmolStr {
        let name = names::fresh(&self.base_name(id), &self.names);
        self.names.insert(name.clone());
        name
    }
}

/// How a child is called in the body of the module that holds it: `conv`, `self[0]`.
pub(super) fn own(name: &str) -> String {
    match python::is_identifier(name) {
        true => name.into(),
        false => format!("{SELF}{}", python::behind(name)),
    }
}
