//! What calls take and return.

use smol_str::SmolStr;

use crate::dim::Dim;
use crate::dtype::DType;
use crate::trace::TensorId;

/// A Python value as far as shapes and costs depend on it.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// `None`
    #[default]
    None,
    /// `True`, `False`
    Bool(bool),
    /// An integer, possibly symbolic.
    Int(Dim),
    /// A float.
    Float(f64),
    /// A string.
    Str(SmolStr),
    /// An element type.
    DType(DType),
    /// A tensor of the trace.
    Tensor(TensorId),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A list.
    List(Vec<Value>),
    /// A mapping with string keys, in order (also dataclass-like outputs).
    Dict(Vec<(SmolStr, Value)>),
    /// Something that no rule looks into, by its Python type or text.
    Opaque(SmolStr),
}

impl Value {
    /// The tensor, if it is one.
    pub fn tensor(&self) -> Option<TensorId> {
        match self {
            Value::Tensor(id) => Some(*id),
            _ => None,
        }
    }

    /// The integer, if it is one (a `bool` is one, as in Python).
    pub fn int(&self) -> Option<Dim> {
        match self {
            Value::Int(dim) => Some(dim.clone()),
            Value::Bool(value) => Some(Dim::from(*value as i32)),
            _ => None,
        }
    }

    /// The elements of a tuple or list.
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Value::Tuple(items) | Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Whether it is `None`.
    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }

    /// Every tensor inside, depth first.
    pub fn tensors(&self) -> Vec<TensorId> {
        let mut out = Vec::new();
        self.each_tensor(&mut |id| out.push(id));
        out
    }

    /// Looks at every tensor inside, depth first.
    pub fn each_tensor(&self, look: &mut impl FnMut(TensorId)) {
        match self {
            Value::Tensor(id) => look(*id),
            Value::Tuple(items) | Value::List(items) => {
                items.iter().for_each(|item| item.each_tensor(look))
            }
            Value::Dict(items) => items.iter().for_each(|(_, item)| item.each_tensor(look)),
            _ => {}
        }
    }
}

macro_rules! from {
    ($($source:ty => |$x:ident| $value:expr;)*) => {$(
        impl From<$source> for Value {
            fn from($x: $source) -> Value { $value }
        }
    )*};
}
from! {
    bool => |x| Value::Bool(x);
    i64 => |x| Value::Int(Dim::from(x));
    i32 => |x| Value::Int(Dim::from(x));
    usize => |x| Value::Int(Dim::from(x));
    Dim => |x| Value::Int(x);
    f64 => |x| Value::Float(x);
    &str => |x| Value::Str(x.into());
    SmolStr => |x| Value::Str(x);
    DType => |x| Value::DType(x);
    TensorId => |x| Value::Tensor(x);
    Vec<Value> => |x| Value::Tuple(x);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::None, Into::into)
    }
}
