//! The values that a pickle describes. They refer to one another by number, so a pickle that
//! contains itself, or the same thing a billion times, takes no more memory than its bytes do.

use std::borrow::Cow;
use std::cell::Cell;

use super::PickleError;

/// The most values of a file. The largest checkpoints have some hundred thousand.
const MAX_VALUES: usize = 1 << 23;

/// The most entries of dictionaries that are looked through. Objects may share a dictionary, so
/// that without a bound a small pickle could cost the square of its size.
const MAX_LOOKS: u64 = 1 << 27;

/// A value by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ref(u32);

/// A Python value.
#[derive(Debug)]
pub enum Value<'a> {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An `int` of at most 128 bits.
    Int(i128),
    /// A `float`, which nothing here looks into.
    Float,
    /// A `str`
    Text(Cow<'a, str>),
    /// `bytes`, or a `bytearray`
    Bytes(&'a [u8]),
    /// A `tuple`
    Tuple(Vec<Ref>),
    /// A `list`
    List(Vec<Ref>),
    /// A `set` or `frozenset`, whose elements nothing here looks into.
    Set(Vec<Ref>),
    /// A `dict`; of equal keys the last one counts.
    Dict(Vec<(Ref, Ref)>),
    /// A class or function by its name.
    Global(Box<(Cow<'a, str>, Cow<'a, str>)>),
    /// What a call or a constructor would give.
    Object(Box<Object>),
    /// What the program that wrote the pickle keeps elsewhere: for PyTorch, a storage.
    Persistent(Ref),
    /// What a pickle alone does not say: integers beyond 128 bits, registered extensions, buffers
    /// that travel beside the pickle.
    Opaque,
}

/// What a call or a constructor would give.
#[derive(Debug)]
pub struct Object {
    /// What would be called: a function, or a class to make an instance of.
    pub callee: Ref,
    /// Whether `callee` is a class for certain: its `__new__` is called and not itself.
    pub is_instance: bool,
    /// The tuple of arguments.
    pub arguments: Ref,
    /// What would be given to `__setstate__`, or become the `__dict__`.
    pub state: Option<Ref>,
    /// What would be appended.
    pub items: Vec<Ref>,
    /// What would be set by key.
    pub entries: Vec<(Ref, Ref)>,
}

/// All values of a file.
#[derive(Default)]
pub struct Heap<'a> {
    values: Vec<Value<'a>>,
    looks: Cell<u64>,
}

impl<'a> Heap<'a> {
    /// Keeps a value.
    pub fn put(&mut self, value: Value<'a>) -> Result<Ref, PickleError> {
        if self.values.len() >= MAX_VALUES {
            return Err(PickleError::TooLarge("its pickle has millions of values"));
        }
        self.values.push(value);
        Ok(Ref(self.values.len() as u32 - 1))
    }

    /// A value.
    pub fn get(&self, at: Ref) -> &Value<'a> {
        &self.values[at.0 as usize]
    }

    /// A value, to add to it.
    pub fn get_mut(&mut self, at: Ref) -> &mut Value<'a> {
        &mut self.values[at.0 as usize]
    }

    /// All values in the order in which the pickle makes them.
    pub fn values(&self) -> impl Iterator<Item = &Value<'a>> {
        self.values.iter()
    }

    /// A `str`; or `bytes` that are one in Python 2.
    pub fn text(&self, at: Ref) -> Option<&str> {
        match self.get(at) {
            Value::Text(text) => Some(text),
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A class or function as `module.name`.
    pub fn global(&self, at: Ref) -> Option<(&str, &str)> {
        match self.get(at) {
            Value::Global(global) => Some((&global.0, &global.1)),
            _ => None,
        }
    }

    /// The elements of a `tuple` or `list`.
    pub fn elements(&self, at: Ref) -> Option<&[Ref]> {
        match self.get(at) {
            Value::Tuple(elements) | Value::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The entries of a `dict`, or of an object that is one (`OrderedDict`).
    pub fn entries(&self, at: Ref) -> Option<&[(Ref, Ref)]> {
        match self.get(at) {
            Value::Dict(entries) => Some(entries),
            Value::Object(object) => Some(&object.entries),
            _ => None,
        }
    }

    /// Says that so many entries are looked through.
    pub fn look(&self, entries: usize) {
        self.looks.set(self.looks.get() + entries as u64);
    }

    /// Whether more entries were looked through than any checkpoint needs.
    pub fn is_exhausted(&self) -> bool {
        self.looks.get() > MAX_LOOKS
    }

    /// The value of a key of a `dict` or an object that is one.
    pub fn entry(&self, at: Ref, key: &str) -> Option<Ref> {
        let entries = self.entries(at)?;
        self.look(entries.len());
        if self.is_exhausted() {
            return None;
        }
        let mut entries = entries.iter().rev();
        let found = entries.find(|(name, _)| self.text(*name) == Some(key));
        found.map(|(_, value)| *value)
    }

    /// A non-negative integer.
    pub fn size(&self, at: Ref) -> Option<u64> {
        match self.get(at) {
            Value::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// Whether it is `True`.
    pub fn is_true(&self, at: Ref) -> bool {
        matches!(self.get(at), Value::Bool(true))
    }
}
