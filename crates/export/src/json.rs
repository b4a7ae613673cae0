//! The JSON of an exported program, as far as it is read: schema major versions 5 to 8, which
//! torch 2.5 and later write. Strings stay in the file where they can.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A string that is borrowed unless it holds escapes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Text<'a>(pub Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// `ExportedProgram`
#[derive(serde::Deserialize)]
pub struct Program<'a> {
    #[serde(borrow)]
    pub graph_module: GraphModule<'a>,
}

/// `GraphModule`
#[derive(serde::Deserialize)]
pub struct GraphModule<'a> {
    #[serde(borrow)]
    pub graph: Graph<'a>,
    #[serde(borrow)]
    pub signature: Signature<'a>,
    #[serde(borrow, default)]
    pub module_call_graph: Vec<ModuleCall<'a>>,
}

/// `ModuleCallEntry`
#[derive(serde::Deserialize)]
pub struct ModuleCall<'a> {
    #[serde(borrow)]
    pub fqn: Text<'a>,
    #[serde(borrow, default)]
    pub signature: Option<ModuleSignature<'a>>,
}

/// `ModuleCallSignature`
#[derive(serde::Deserialize)]
pub struct ModuleSignature<'a> {
    #[serde(borrow, default)]
    pub in_spec: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub out_spec: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub forward_arg_names: Option<Vec<Text<'a>>>,
}

/// `Graph`
#[derive(serde::Deserialize)]
pub struct Graph<'a> {
    #[serde(borrow)]
    pub inputs: Vec<Arg<'a>>,
    #[serde(borrow)]
    pub outputs: Vec<Arg<'a>>,
    #[serde(borrow)]
    pub nodes: Vec<Node<'a>>,
    #[serde(borrow)]
    pub tensor_values: Table<'a, TensorMeta<'a>>,
    #[serde(borrow, default)]
    pub sym_int_values: Table<'a, SymInt<'a>>,
}

/// `Node`
#[derive(serde::Deserialize)]
pub struct Node<'a> {
    #[serde(borrow)]
    pub target: Text<'a>,
    #[serde(borrow)]
    pub inputs: Vec<NamedArg<'a>>,
    #[serde(borrow)]
    pub outputs: Vec<Arg<'a>>,
    #[serde(borrow, default)]
    pub metadata: Metadata<'a>,
}

/// `NamedArgument`
#[derive(serde::Deserialize)]
pub struct NamedArg<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub arg: Arg<'a>,
    /// 1 positional, 2 keyword.
    #[serde(default)]
    pub kind: Option<u8>,
}

/// What is read of a node's metadata.
#[derive(serde::Deserialize, Default)]
pub struct Metadata<'a> {
    #[serde(borrow, default)]
    pub nn_module_stack: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub torch_fn: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub source_fn_stack: Option<Text<'a>>,
    /// Kept as it is: only its last line is ever looked at.
    #[serde(borrow, default)]
    pub stack_trace: Option<&'a RawValue>,
}

/// `TensorMeta`
#[derive(serde::Deserialize)]
pub struct TensorMeta<'a> {
    pub dtype: u32,
    #[serde(borrow)]
    pub sizes: Vec<SymInt<'a>>,
    #[serde(default)]
    pub requires_grad: bool,
    #[serde(borrow, default)]
    pub strides: Vec<SymInt<'a>>,
    #[serde(borrow, default)]
    pub storage_offset: Option<SymInt<'a>>,
}

/// A size: an integer or an expression in sympy's notation.
pub enum SymInt<'a> {
    Int(i64),
    Expr { text: Text<'a>, hint: Option<i64> },
    Unknown,
}

/// `Argument`, `SymIntArgument`, `ConstantValue` … : a union of one key.
pub enum Arg<'a> {
    None,
    Tensor(Text<'a>),
    Tensors(Vec<Text<'a>>),
    OptionalTensors(Vec<Option<Text<'a>>>),
    Int(i64),
    Ints(Vec<i64>),
    Float(f64),
    Floats(Vec<f64>),
    Str(Text<'a>),
    Strs(Vec<Text<'a>>),
    SymInt(SymArg<'a>),
    SymInts(Vec<SymArg<'a>>),
    Bool(bool),
    Bools(Vec<bool>),
    ScalarType(u32),
    Graph(Box<GraphArg<'a>>),
    Nested(Vec<Vec<Text<'a>>>),
    /// A kind that no rule looks into, by its key.
    Other(Text<'a>),
}

/// `GraphArgument`
#[derive(serde::Deserialize)]
pub struct GraphArg<'a> {
    #[serde(borrow)]
    pub graph: Graph<'a>,
}

/// `SymIntArgument` and its relatives: a name or a constant.
pub enum SymArg<'a> {
    Name(Text<'a>),
    Int(i64),
    Other,
}

/// `GraphSignature`
#[derive(serde::Deserialize)]
pub struct Signature<'a> {
    #[serde(borrow)]
    pub input_specs: Vec<InputSpec<'a>>,
    #[serde(borrow)]
    pub output_specs: Vec<OutputSpec<'a>>,
}

/// `InputSpec`
pub enum InputSpec<'a> {
    User(Arg<'a>),
    Parameter {
        value: Text<'a>,
        name: Text<'a>,
    },
    Buffer {
        value: Text<'a>,
        name: Text<'a>,
        persistent: bool,
    },
    Other,
}

/// `OutputSpec`
pub enum OutputSpec<'a> {
    User(Arg<'a>),
    Other,
}

/// `PayloadConfig`: which file holds which tensor.
#[derive(serde::Deserialize)]
pub struct Payloads<'a> {
    #[serde(borrow)]
    pub config: Table<'a, Payload<'a>>,
}

/// `PayloadMeta`
#[derive(serde::Deserialize)]
pub struct Payload<'a> {
    #[serde(borrow)]
    pub path_name: Text<'a>,
    #[serde(default)]
    pub is_param: bool,
    #[serde(borrow, default)]
    pub tensor_meta: Option<TensorMeta<'a>>,
}

/// A JSON object with borrowed keys, in the order of the file.
pub struct Table<'a, T> {
    entries: Vec<(Text<'a>, T)>,
    index: HashMap<Cow<'a, str>, usize>,
}

impl<T> Default for Table<'_, T> {
    fn default() -> Self {
        Table {
            entries: Vec::new(),
            index: HashMap::new(),
        }
    }
}

impl<'a, T> Table<'a, T> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.index.get(key).map(|at| &self.entries[*at].1)
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Table<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Table<'a, T>, D::Error> {
        struct TableVisitor<'a, T>(PhantomData<(&'a (), T)>);
        impl<'de: 'a, 'a, T: Deserialize<'de>> Visitor<'de> for TableVisitor<'a, T> {
            type Value = Table<'a, T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut table = Table::default();
                while let Some((key, value)) = map.next_entry::<Text<'a>, T>()? {
                    table.index.insert(key.0.clone(), table.entries.len());
                    table.entries.push((key, value));
                }
                Ok(table)
            }
        }
        deserializer.deserialize_map(TableVisitor(PhantomData))
    }
}

/// Reads an object with one key by handing key and map to `$read`.
macro_rules! union {
    ($name:ident, $expecting:literal, |$key:ident, $map:ident| $read:expr) => {
        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name<'a>, D::Error> {
                struct UnionVisitor<'a>(PhantomData<&'a ()>);
                impl<'de: 'a, 'a> Visitor<'de> for UnionVisitor<'a> {
                    type Value = $name<'a>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_map<A: MapAccess<'de>>(
                        self,
                        mut $map: A,
                    ) -> Result<$name<'a>, A::Error> {
                        let Some($key) = $map.next_key::<Text<'a>>()? else {
                            return Err(de::Error::custom(concat!(
                                $expecting,
                                " with one key expected, but it is empty"
                            )));
                        };
                        let value = $read;
                        while $map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        Ok(value)
                    }
                }
                deserializer.deserialize_map(UnionVisitor(PhantomData))
            }
        }
    };
}

#[derive(serde::Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(serde::Deserialize)]
struct SymExpr<'a> {
    #[serde(borrow)]
    expr_str: Text<'a>,
    #[serde(borrow, default)]
    hint: Option<Arg<'a>>,
}

#[derive(serde::Deserialize)]
struct UserSpec<'a> {
    #[serde(borrow)]
    arg: Arg<'a>,
}

#[derive(serde::Deserialize)]
struct StateSpec<'a> {
    #[serde(borrow)]
    arg: Named<'a>,
    #[serde(borrow, default, alias = "buffer_name")]
    parameter_name: Text<'a>,
    #[serde(default = "yes")]
    persistent: bool,
}

fn yes() -> bool {
    true
}

/// A list whose elements are small unions.
struct OptionalTensor<'a>(Option<Text<'a>>);

union!(
    OptionalTensor,
    "an optional tensor",
    |key, map| match &*key {
        "as_tensor" => OptionalTensor(Some(map.next_value::<Named<'a>>()?.name)),
        _ => {
            map.next_value::<IgnoredAny>()?;
            OptionalTensor(None)
        }
    }
);

union!(SymArg, "a symbolic argument", |key, map| match &*key {
    "as_name" => SymArg::Name(map.next_value()?),
    "as_int" => SymArg::Int(map.next_value()?),
    _ => {
        map.next_value::<IgnoredAny>()?;
        SymArg::Other
    }
});

union!(SymInt, "a size", |key, map| match &*key {
    "as_int" => SymInt::Int(map.next_value()?),
    "as_expr" => {
        let expr: SymExpr<'a> = map.next_value()?;
        let hint = match expr.hint {
            Some(Arg::Int(hint)) => Some(hint),
            _ => None,
        };
        SymInt::Expr {
            text: expr.expr_str,
            hint,
        }
    }
    _ => {
        map.next_value::<IgnoredAny>()?;
        SymInt::Unknown
    }
});

union!(Arg, "an argument", |key, map| match &*key {
    "as_none" => {
        map.next_value::<IgnoredAny>()?;
        Arg::None
    }
    "as_tensor" => Arg::Tensor(map.next_value::<Named<'a>>()?.name),
    "as_tensors" => {
        let items: Vec<Named<'a>> = map.next_value()?;
        Arg::Tensors(items.into_iter().map(|item| item.name).collect())
    }
    "as_optional_tensor" => match map.next_value::<OptionalTensor<'a>>()?.0 {
        Some(name) => Arg::Tensor(name),
        None => Arg::None,
    },
    "as_optional_tensors" => {
        let items: Vec<OptionalTensor<'a>> = map.next_value()?;
        Arg::OptionalTensors(items.into_iter().map(|item| item.0).collect())
    }
    "as_int" => Arg::Int(map.next_value()?),
    "as_ints" => Arg::Ints(map.next_value()?),
    "as_float" => Arg::Float(map.next_value::<Number>()?.0),
    "as_floats" => {
        let items: Vec<Number> = map.next_value()?;
        Arg::Floats(items.into_iter().map(|item| item.0).collect())
    }
    "as_string" => Arg::Str(map.next_value()?),
    "as_strings" => Arg::Strs(map.next_value()?),
    "as_sym_int" | "as_sym_bool" | "as_sym_float" => Arg::SymInt(map.next_value()?),
    "as_sym_ints" | "as_sym_bools" | "as_sym_floats" => Arg::SymInts(map.next_value()?),
    "as_bool" => Arg::Bool(map.next_value()?),
    "as_bools" => Arg::Bools(map.next_value()?),
    "as_scalar_type" => Arg::ScalarType(map.next_value()?),
    "as_graph" => Arg::Graph(Box::new(map.next_value()?)),
    "as_nested_tensors" => {
        let items: Vec<Vec<Named<'a>>> = map.next_value()?;
        let names = |list: Vec<Named<'a>>| list.into_iter().map(|item| item.name).collect();
        Arg::Nested(items.into_iter().map(names).collect())
    }
    _ => {
        map.next_value::<IgnoredAny>()?;
        Arg::Other(key)
    }
});

union!(InputSpec, "an input", |key, map| match &*key {
    "user_input" => InputSpec::User(map.next_value::<UserSpec<'a>>()?.arg),
    "parameter" => {
        let spec: StateSpec<'a> = map.next_value()?;
        InputSpec::Parameter {
            value: spec.arg.name,
            name: spec.parameter_name,
        }
    }
    "buffer" => {
        let spec: StateSpec<'a> = map.next_value()?;
        InputSpec::Buffer {
            value: spec.arg.name,
            name: spec.parameter_name,
            persistent: spec.persistent,
        }
    }
    _ => {
        map.next_value::<IgnoredAny>()?;
        InputSpec::Other
    }
});

union!(OutputSpec, "an output", |key, map| match &*key {
    "user_output" => OutputSpec::User(map.next_value::<UserSpec<'a>>()?.arg),
    _ => {
        map.next_value::<IgnoredAny>()?;
        OutputSpec::Other
    }
});

/// A float; JSON has no infinities, so those are strings.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        struct NumberVisitor;
        impl<'de> Visitor<'de> for NumberVisitor {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                match text {
                    "Infinity" => Ok(Number(f64::INFINITY)),
                    "-Infinity" => Ok(Number(f64::NEG_INFINITY)),
                    "NaN" => Ok(Number(f64::NAN)),
                    _ => Err(E::custom("not a number")),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Number, A::Error> {
                Err(de::Error::custom("a number was expected"))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}
