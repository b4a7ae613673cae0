//! Names and what they stand for while a model runs.

use std::cell::RefCell;
use std::rc::Rc;

use foldhash::HashMap;
use modelcost_core::SmolStr;
use modelcost_core::expr::Span;
use modelcost_core::trace::{ModuleId, TensorId};
use modelcost_core::value::Value;

use super::sizes::{Kind, Traced};

/// What an expression gives.
#[derive(Clone, Debug)]
pub(crate) enum Val {
    /// A value.
    Data(Value),
    /// A module, not called.
    Module(ModuleId),
    /// Nothing is known, because of an error that was reported.
    Unknown,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    /// The value of the layer's last call.
    pub value: Option<Val>,
    /// The module that the layer made.
    pub module: Option<ModuleId>,
    /// The condition under which it was left out.
    pub left_out: Option<Span>,
}

impl Binding {
    pub fn value(value: Val) -> Binding {
        Binding {
            value: Some(value),
            module: None,
            left_out: None,
        }
    }

    pub fn data(value: impl Into<Value>) -> Binding {
        Binding::value(Val::Data(value.into()))
    }
}

/// The names of one run of a body, inside those of the body around it.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    parent: Option<Rc<Scope>>,
    names: RefCell<HashMap<SmolStr, Binding>>,
    /// What those of them are to a tracer that are sizes.
    traced: RefCell<HashMap<SmolStr, Traced>>,
}

impl Scope {
    pub fn inside(parent: &Rc<Scope>) -> Rc<Scope> {
        Rc::new(Scope {
            parent: Some(parent.clone()),
            ..Scope::default()
        })
    }

    pub fn get(&self, name: &str) -> Option<Binding> {
        self.with(name, Binding::clone)
    }

    pub fn has(&self, name: &str) -> bool {
        self.with(name, |_| ()).is_some()
    }

    /// Looks at what a name stands for without copying it: a list may be long.
    pub fn with<T>(&self, name: &str, look: impl FnOnce(&Binding) -> T) -> Option<T> {
        let mut scope = self;
        loop {
            if let Some(binding) = scope.names.borrow().get(name) {
                return Some(look(binding));
            }
            scope = scope.parent.as_deref()?;
        }
    }

    /// What a name is to a tracer, if it is a size.
    pub fn traced(&self, name: &str) -> Option<Traced> {
        let mut scope = self;
        loop {
            if scope.names.borrow().contains_key(name) {
                return scope.traced.borrow().get(name).cloned();
            }
            scope = scope.parent.as_deref()?;
        }
    }

    /// A number that a `forward` is given is a size.
    pub fn take_sizes(&self, name: &SmolStr) {
        let kind = self.with(name, |binding| match &binding.value {
            Some(Val::Data(Value::Int(_))) => Some(Kind::Size),
            Some(Val::Data(Value::Tuple(items) | Value::List(items)))
                if items.iter().all(|item| item.int().is_some()) =>
            {
                Some(Kind::Sizes)
            }
            _ => None,
        });
        if let Some(kind) = kind.flatten() {
            let traced = Traced {
                kind,
                ..Traced::default()
            };
            self.set_traced(name.clone(), traced);
        }
    }

    /// Says what a name of this scope is to a tracer.
    pub fn set_traced(&self, name: SmolStr, traced: Traced) {
        self.traced.borrow_mut().insert(name, traced);
    }

    pub fn set(&self, name: SmolStr, binding: Binding) {
        let mut traced = self.traced.borrow_mut();
        if !traced.is_empty() {
            traced.remove(&name);
        }
        drop(traced);
        self.names.borrow_mut().insert(name, binding);
    }

    /// Appends to the list that a name stands for.
    pub fn push(&self, name: SmolStr, value: Value) {
        let mut names = self.names.borrow_mut();
        let binding = names
            .entry(name)
            .or_insert_with(|| Binding::data(Value::List(Vec::new())));
        if let Some(Val::Data(Value::List(items))) = &mut binding.value {
            items.push(value);
        }
    }

    /// The tensors that names of this scope and of that of its body stand for.
    pub fn tensors(&self) -> Vec<TensorId> {
        let mut out = Vec::new();
        for scope in [Some(self), self.parent.as_deref()].into_iter().flatten() {
            let names = scope.names.borrow();
            out.extend(names.values().filter_map(|binding| match &binding.value {
                Some(Val::Data(Value::Tensor(tensor))) => Some(*tensor),
                _ => None,
            }));
        }
        out
    }

    /// All names that are visible, for suggestions.
    pub fn visible(&self) -> Vec<SmolStr> {
        let mut out: Vec<SmolStr> = self.names.borrow().keys().cloned().collect();
        if let Some(parent) = &self.parent {
            out.extend(parent.visible());
        }
        out.sort();
        out
    }
}
