//! Modules that return their input as it is leave no node, but they are called.

use std::collections::VecDeque;

use modelcost_core::trace::{Class, ModuleId, TraceBuilder};

use crate::known;

/// The children of a call that may have been called without leaving a node.
pub enum Passing {
    /// None are known.
    Nothing,
    /// A `Sequential` calls all of its children in order: these are still to come.
    Sequential(VecDeque<ModuleId>),
    /// This child is called before every addition.
    BeforeAddition(ModuleId),
}

impl Passing {
    /// What is known of the children of a module.
    pub fn new(builder: &TraceBuilder, module: ModuleId, class: &Class) -> Passing {
        let trace = builder.trace();
        let children = &trace.module(module).children;
        if class.name == "torch.nn.Sequential" {
            return Passing::Sequential(children.iter().map(|(_, child)| *child).collect());
        }
        let named = known::before_addition(class);
        let child = named.and_then(|name| children.iter().find(|(child, _)| child == name));
        child.map_or(Passing::Nothing, |(_, child)| {
            Passing::BeforeAddition(*child)
        })
    }

    /// The modules that were called before what comes next.
    pub fn before(&mut self, called: Option<ModuleId>, end: bool, adds: bool) -> Vec<ModuleId> {
        match self {
            Passing::Nothing => Vec::new(),
            Passing::BeforeAddition(child) => {
                let due = called.is_none() && !end && adds;
                if due { vec![*child] } else { Vec::new() }
            }
            Passing::Sequential(rest) => {
                let until = match called {
                    Some(called) => rest.iter().position(|child| *child == called),
                    None if end => Some(rest.len()),
                    None => None,
                };
                // A child that is not among those to come: not the plain forward of a Sequential.
                let Some(until) = until else {
                    return Vec::new();
                };
                let passed = rest.drain(..until).collect();
                rest.pop_front();
                passed
            }
        }
    }
}
