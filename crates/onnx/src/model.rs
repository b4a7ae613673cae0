//! An ONNX model as data, borrowed from the bytes or the text that it was read from.
//!
//! The names are those of `onnx.proto`.

use modelcost_core::dtype::DType;
use modelcost_core::expr::Span;

pub use crate::source::Bytes;

/// `ModelProto`
#[derive(Clone, Debug, Default)]
pub struct Model<'a> {
    /// The version of the file format.
    pub ir_version: i64,
    /// The tool that wrote the file.
    pub producer_name: &'a str,
    /// Its version.
    pub producer_version: &'a str,
    /// The model's namespace.
    pub domain: &'a str,
    /// The version of the model.
    pub model_version: i64,
    /// Documentation.
    pub doc_string: &'a str,
    /// The operator sets in use: domain and version. The default domain is `""`.
    pub opset_import: Vec<(&'a str, i64)>,
    /// The graph.
    pub graph: Graph<'a>,
    /// Functions defined by the model.
    pub functions: Vec<Function<'a>>,
    /// Keys and values.
    pub metadata: Vec<(&'a str, &'a str)>,
}

/// `GraphProto`
#[derive(Clone, Debug, Default)]
pub struct Graph<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its nodes, in an order in which they can run.
    pub nodes: Vec<Node<'a>>,
    /// Constants by name, weights among them.
    pub initializers: Vec<Tensor<'a>>,
    /// Constants given by their non-zero elements.
    pub sparse_initializers: Vec<SparseTensor<'a>>,
    /// Inputs. Before IR version 4 the initializers are among them.
    pub inputs: Vec<ValueInfo<'a>>,
    /// Outputs.
    pub outputs: Vec<ValueInfo<'a>>,
    /// What the file says about the values in between.
    pub value_info: Vec<ValueInfo<'a>>,
    /// Keys and values.
    pub metadata: Vec<(&'a str, &'a str)>,
    /// Documentation.
    pub doc_string: &'a str,
    /// Where a text has its name.
    pub span: Option<Span>,
}

/// `NodeProto`
#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    /// Its name; may be empty.
    pub name: &'a str,
    /// The operator.
    pub op_type: &'a str,
    /// The operator's domain; `ai.onnx` is written as `""`.
    pub domain: &'a str,
    /// Which overload of a function.
    pub overload: &'a str,
    /// Inputs by name; an empty name is an absent one.
    pub inputs: Vec<&'a str>,
    /// Outputs by name; an empty name is one that is not asked for.
    pub outputs: Vec<&'a str>,
    /// Attributes.
    pub attributes: Vec<Attribute<'a>>,
    /// Keys and values.
    pub metadata: Vec<(&'a str, &'a str)>,
    /// Documentation; older exporters keep the Python stack here.
    pub doc_string: &'a str,
    /// Where a text has it.
    pub span: Option<Span>,
}

/// `AttributeProto`
#[derive(Clone, Debug)]
pub struct Attribute<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: AttributeValue<'a>,
    /// Documentation.
    pub doc_string: &'a str,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum AttributeValue<'a> {
    Float(f32),
    Int(i64),
    String(&'a [u8]),
    Tensor(Box<Tensor<'a>>),
    Graph(Box<Graph<'a>>),
    SparseTensor(Box<SparseTensor<'a>>),
    Type(Box<Type<'a>>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Strings(Vec<&'a [u8]>),
    Tensors(Vec<Tensor<'a>>),
    Graphs(Vec<Graph<'a>>),
    SparseTensors(Vec<SparseTensor<'a>>),
    Types(Vec<Type<'a>>),
    /// Inside a function: the attribute of the call with this name, and its declared type number.
    Reference(&'a str, i64),
}

/// `TensorProto`
#[derive(Clone, Debug, Default)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Sizes as the file has them, unchecked.
    pub dims: Vec<i64>,
    /// The element type.
    pub elem_type: ElemType,
    /// Where the elements are.
    pub data: TensorData<'a>,
    /// Documentation.
    pub doc_string: &'a str,
}

/// Where the elements of a tensor are.
#[derive(Clone, Debug, Default)]
pub enum TensorData<'a> {
    /// Not in the file.
    #[default]
    Absent,
    /// Little-endian bytes.
    Raw(Bytes<'a>),
    /// The typed fields of this `TensorProto`, to be walked when they are asked for.
    Fields(Bytes<'a>),
    /// Strings.
    Strings(Vec<&'a [u8]>),
    /// In another file: keys and values (`location`, `offset`, `length`).
    External(Vec<(&'a str, &'a str)>),
}

/// `SparseTensorProto`
#[derive(Clone, Debug, Default)]
pub struct SparseTensor<'a> {
    /// The non-zero elements. Its name is the sparse tensor's.
    pub values: Tensor<'a>,
    /// Where they are.
    pub indices: Tensor<'a>,
    /// Sizes of the dense tensor.
    pub dims: Vec<i64>,
}

/// `ValueInfoProto`
#[derive(Clone, Debug, Default)]
pub struct ValueInfo<'a> {
    /// The value.
    pub name: &'a str,
    /// Its type, if declared.
    pub ty: Option<Type<'a>>,
    /// Keys and values.
    pub metadata: Vec<(&'a str, &'a str)>,
    /// Documentation.
    pub doc_string: &'a str,
    /// Where a text has it.
    pub span: Option<Span>,
}

/// `TypeProto`
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Type<'a> {
    Tensor(ElemType, Option<Vec<Dimension<'a>>>),
    SparseTensor(ElemType, Option<Vec<Dimension<'a>>>),
    Sequence(Option<Box<Type<'a>>>),
    Optional(Option<Box<Type<'a>>>),
    Map(ElemType, Option<Box<Type<'a>>>),
    Opaque(&'a str, &'a str),
}

/// A dimension of a declared shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension<'a> {
    /// A size as the file has it, unchecked.
    Value(i64),
    /// A name or an expression.
    Param(&'a str),
    /// Not said.
    Unknown,
}

/// `FunctionProto`
#[derive(Clone, Debug, Default)]
pub struct Function<'a> {
    /// Its domain.
    pub domain: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Which overload.
    pub overload: &'a str,
    /// Parameters.
    pub inputs: Vec<&'a str>,
    /// Results.
    pub outputs: Vec<&'a str>,
    /// Attributes without a default.
    pub attributes: Vec<&'a str>,
    /// Attributes with one.
    pub defaults: Vec<Attribute<'a>>,
    /// The body.
    pub nodes: Vec<Node<'a>>,
    /// The operator sets of the body.
    pub opset_import: Vec<(&'a str, i64)>,
    /// What the file says about the values of the body.
    pub value_info: Vec<ValueInfo<'a>>,
    /// Keys and values.
    pub metadata: Vec<(&'a str, &'a str)>,
    /// Documentation.
    pub doc_string: &'a str,
}

/// `TensorProto.DataType`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub struct ElemType(pub i32);

/// Number, name in the textual syntax, type.
const ELEM_TYPES: &[(i32, &str, DType)] = &[
    (1, "float", DType::Float32),
    (2, "uint8", DType::UInt8),
    (3, "int8", DType::Int8),
    (4, "uint16", DType::UInt16),
    (5, "int16", DType::Int16),
    (6, "int32", DType::Int32),
    (7, "int64", DType::Int64),
    (8, "string", DType::String),
    (9, "bool", DType::Bool),
    (10, "float16", DType::Float16),
    (11, "double", DType::Float64),
    (12, "uint32", DType::UInt32),
    (13, "uint64", DType::UInt64),
    (14, "complex64", DType::Complex64),
    (15, "complex128", DType::Complex128),
    (16, "bfloat16", DType::BFloat16),
    (17, "float8e4m3fn", DType::Float8E4M3Fn),
    (18, "float8e4m3fnuz", DType::Float8E4M3FnUz),
    (19, "float8e5m2", DType::Float8E5M2),
    (20, "float8e5m2fnuz", DType::Float8E5M2FnUz),
    (21, "uint4", DType::UInt4),
    (22, "int4", DType::Int4),
    (23, "float4e2m1", DType::Float4E2M1Fn),
    (24, "float8e8m0", DType::Float8E8M0Fnu),
    (25, "uint2", DType::UInt2),
    (26, "int2", DType::Int2),
    (27, "float6e2m3", DType::Float6E2M3Fn),
    (28, "float6e3m2", DType::Float6E3M2Fn),
];

impl ElemType {
    /// The element type, if the number is one.
    pub fn dtype(self) -> Option<DType> {
        ELEM_TYPES
            .iter()
            .find(|(number, ..)| *number == self.0)
            .map(|(.., dtype)| *dtype)
    }

    /// The name in ONNX's textual syntax.
    pub fn name(self) -> Option<&'static str> {
        ELEM_TYPES
            .iter()
            .find(|(number, ..)| *number == self.0)
            .map(|(_, name, _)| *name)
    }

    /// From the name in ONNX's textual syntax.
    pub fn from_name(name: &str) -> Option<ElemType> {
        ELEM_TYPES
            .iter()
            .find(|(_, text, _)| *text == name)
            .map(|(number, ..)| ElemType(*number))
    }

    /// From an element type.
    pub fn from_dtype(dtype: DType) -> Option<ElemType> {
        ELEM_TYPES
            .iter()
            .find(|(.., other)| *other == dtype)
            .map(|(number, ..)| ElemType(*number))
    }
}

impl<'a> Node<'a> {
    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue<'a>> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
            .map(|attribute| &attribute.value)
    }

    /// The metadata of this key.
    pub fn meta(&self, key: &str) -> Option<&'a str> {
        self.metadata
            .iter()
            .find(|(k, _)| *k == key)
            .map(|(_, value)| *value)
    }

    /// The node as messages name it: its name, or its operator and first output.
    pub fn label(&self) -> String {
        if self.name.is_empty() {
            let output = self.outputs.first().copied().unwrap_or_default();
            format!("{} → '{output}'", self.op_type)
        } else {
            format!("{} '{}'", self.op_type, self.name)
        }
    }
}

/// `ai.onnx` and the empty domain are one.
pub(crate) fn normal_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}
