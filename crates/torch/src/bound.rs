//! Arguments bound to a signature, with typed access.

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::trace::{Argument, Passed, TensorId};
use modelcost_core::value::Value;

use crate::error::{ArgumentRef, Result, TorchError};
use crate::show;
use crate::signature::{Arguments, Parameter, Signature};

/// Arguments by parameter name.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    callee: SmolStr,
    arguments: Vec<Argument>,
}

/// More elements than a list argument of any operator has; longer ones are refused.
pub(crate) const MAX_LIST: usize = 65_536;

impl Bound {
    pub(crate) fn new(callee: SmolStr, arguments: Vec<Argument>) -> Bound {
        Bound { callee, arguments }
    }

    /// The arguments that a caller gave, as far as another callee takes them too.
    pub(crate) fn as_given_to(&self, signature: &Signature) -> Arguments {
        let mut out = Arguments::new();
        let given = self.arguments.iter();
        for (at, argument) in given.enumerate() {
            let known = |p: &Parameter| p.name == argument.name;
            if at == 0 {
                out.positional.push(argument.value.clone());
            } else if argument.passed != Passed::Default && signature.parameters.iter().any(known) {
                let value = argument.value.clone();
                out.keyword.push((argument.name.clone(), value));
            }
        }
        out
    }

    pub(crate) fn into_arguments(self) -> Vec<Argument> {
        self.arguments
    }

    /// What is called.
    pub fn callee(&self) -> &str {
        &self.callee
    }

    /// All arguments, in the order of the signature.
    pub fn arguments(&self) -> &[Argument] {
        &self.arguments
    }

    /// Whether the argument is there, if only by its default.
    pub fn has(&self, name: &str) -> bool {
        self.arguments.iter().any(|argument| argument.name == name)
    }

    /// Whether the caller gave the argument.
    pub fn given(&self, name: &str) -> bool {
        self.arguments
            .iter()
            .any(|argument| argument.name == name && argument.passed != Passed::Default)
    }

    /// Gives an argument that was left out.
    pub(crate) fn fill(&mut self, name: &'static str, value: Value) {
        self.arguments.push(Argument {
            name: SmolStr::new_static(name),
            value,
            passed: Passed::Default,
        });
    }

    /// The argument, `None` where there is none.
    pub fn value(&self, name: &str) -> &Value {
        self.arguments
            .iter()
            .find(|argument| argument.name == name)
            .map_or(&Value::None, |argument| &argument.value)
    }

    /// Where the caller wrote the argument.
    pub fn reference(&self, name: &str) -> Option<ArgumentRef> {
        let index = self.arguments.iter().position(|a| a.name == name)?;
        match self.arguments[index].passed {
            Passed::Position => Some(ArgumentRef::Position(index)),
            Passed::Keyword => Some(ArgumentRef::Name(name.into())),
            Passed::Default => None,
        }
    }

    /// An error about one argument.
    pub fn error(&self, name: &str, message: impl Into<String>) -> TorchError {
        TorchError::new(message).at(self.reference(name))
    }

    fn wrong(&self, name: &str, expected: &str) -> TorchError {
        let found = match self.value(name) {
            // A long list says no more than its beginning.
            value if self.has(name) => show::plain(value).chars().take(60).collect::<String>(),
            _ => "missing".into(),
        };
        let what = match name {
            // The first argument of an operator, which people do not write by name.
            "self" => "the input".into(),
            name => format!("'{name}'"),
        };
        let message = format!(
            "{}: {what} must be {expected}, but it is {found}",
            self.callee
        );
        self.error(name, message)
    }

    /// An integer.
    pub fn int(&self, name: &str) -> Result<Dim> {
        self.value(name)
            .int()
            .ok_or_else(|| self.wrong(name, "an integer"))
            .and_then(|dim| self.finite(name, dim))
    }

    /// An integer or `None`.
    pub fn optional_int(&self, name: &str) -> Result<Option<Dim>> {
        match self.value(name) {
            Value::None => Ok(None),
            _ => self.int(name).map(Some),
        }
    }

    /// An integer that holds no symbol.
    pub fn index(&self, name: &str) -> Result<i64> {
        self.int(name)?
            .as_i64()
            .ok_or_else(|| self.wrong(name, "a known integer"))
    }

    /// A known integer or `None`.
    pub fn optional_index(&self, name: &str) -> Result<Option<i64>> {
        match self.value(name) {
            Value::None => Ok(None),
            _ => self.index(name).map(Some),
        }
    }

    /// An integer above zero (a symbol is taken to be).
    pub fn positive(&self, name: &str) -> Result<Dim> {
        let value = self.int(name)?;
        match value.as_const() {
            Some(number) if number <= 0 => Err(self.wrong(name, "positive")),
            _ => Ok(value),
        }
    }

    /// An integer that is not negative.
    pub fn size(&self, name: &str) -> Result<Dim> {
        let value = self.int(name)?;
        match value.as_const() {
            Some(number) if number < 0 => Err(self.wrong(name, "at least 0")),
            _ => Ok(value),
        }
    }

    fn finite(&self, name: &str, dim: Dim) -> Result<Dim> {
        match dim.as_const() {
            Some(number) if i64::try_from(number).is_err() => {
                Err(self.wrong(name, "an integer of at most 64 bits"))
            }
            None if dim.is_overflow() => Err(self.wrong(name, "an integer of at most 64 bits")),
            _ => Ok(dim),
        }
    }

    /// A number.
    pub fn float(&self, name: &str) -> Result<f64> {
        number(self.value(name)).ok_or_else(|| self.wrong(name, "a number"))
    }

    /// `True` or `False`; `None` and numbers are taken as Python's `if` takes them.
    pub fn bool(&self, name: &str) -> Result<bool> {
        truth(self.value(name)).ok_or_else(|| self.wrong(name, "True or False"))
    }

    /// A string.
    pub fn str(&self, name: &str) -> Result<&str> {
        match self.value(name) {
            Value::Str(text) => Ok(text),
            _ => Err(self.wrong(name, "a string")),
        }
    }

    /// A tensor.
    pub fn tensor(&self, name: &str) -> Result<TensorId> {
        self.value(name)
            .tensor()
            .ok_or_else(|| self.wrong(name, "a tensor"))
    }

    /// A tensor or `None`.
    pub fn optional_tensor(&self, name: &str) -> Result<Option<TensorId>> {
        match self.value(name) {
            Value::None => Ok(None),
            _ => self.tensor(name).map(Some),
        }
    }

    /// A tuple or list of tensors.
    pub fn tensors(&self, name: &str) -> Result<Vec<TensorId>> {
        let items = self.value(name).items();
        let tensors = items.and_then(|items| items.iter().map(Value::tensor).collect());
        tensors.ok_or_else(|| self.wrong(name, "a list of tensors"))
    }

    /// A list of integers; a single integer is a list of one.
    pub fn ints(&self, name: &str) -> Result<Vec<Dim>> {
        let value = self.value(name);
        if value.int().is_some() {
            return Ok(vec![self.int(name)?]);
        }
        let items = value.items().filter(|items| items.len() <= MAX_LIST);
        let ints: Option<Vec<Dim>> = items.and_then(|items| items.iter().map(Value::int).collect());
        ints.ok_or_else(|| self.wrong(name, "an integer or a list of integers"))?
            .into_iter()
            .map(|dim| self.finite(name, dim))
            .collect()
    }

    /// A list of known integers.
    pub fn indices(&self, name: &str) -> Result<Vec<i64>> {
        let ints = self.ints(name)?;
        let known: Option<Vec<i64>> = ints.iter().map(Dim::as_i64).collect();
        known.ok_or_else(|| self.wrong(name, "known integers"))
    }

    /// One integer for each of `count` dimensions: a single one stands for all.
    pub fn per_dimension(&self, name: &str, count: usize) -> Result<Vec<Dim>> {
        let mut ints = self.ints(name)?;
        if ints.len() == 1 && count != 1 {
            ints = vec![ints[0].clone(); count];
        }
        if ints.len() != count {
            let expected = match count {
                1 => "an integer".to_string(),
                _ => format!("an integer or a tuple of {count}"),
            };
            return Err(self.wrong(name, &expected));
        }
        Ok(ints)
    }
}

/// The number, if it is one.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        other => other.int()?.as_const().map(|number| number as f64),
    }
}

/// Python's truth of a value, where it is known.
pub(crate) fn truth(value: &Value) -> Option<bool> {
    Some(match value {
        Value::None => false,
        Value::Bool(value) => *value,
        Value::Int(dim) => dim.as_const()? != 0,
        Value::Float(number) => *number != 0.0,
        Value::Str(text) => !text.is_empty(),
        Value::Tuple(items) | Value::List(items) => !items.is_empty(),
        Value::Dict(items) => !items.is_empty(),
        Value::Tensor(_) | Value::Opaque(_) => return None,
        Value::DType(_) => true,
    })
}
