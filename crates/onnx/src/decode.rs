//! From protobuf to [`Model`].

use crate::error::OnnxError;
use crate::model::*;
use crate::wire::{Field, Reader};

/// How deep subgraphs, types and sparse tensors may nest. `protobuf` itself stops at 100 messages.
const MAX_DEPTH: usize = 48;

type Result<T> = std::result::Result<T, OnnxError>;

/// Room for the nodes of a model from the beginning: what is not needed costs nothing, and a list that grows is copied.
const NODES: usize = 1 << 10;

/// Decodes a model. Nothing but structure is read: tensors stay where they are.
///
/// # Errors
/// When the bytes are not an ONNX model, are cut off, or nest without bound.
pub fn decode(bytes: &[u8]) -> Result<Model<'_>> {
    model(Reader::new(bytes))
}

pub(crate) fn model(mut reader: Reader<'_>) -> Result<Model<'_>> {
    if reader.is_empty() {
        return Err(OnnxError::NotOnnx("the file is empty".into()));
    }
    let mut model = Model::default();
    let mut has_graph = false;
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => model.ir_version = field.int().unwrap_or_default(),
            2 => model.producer_name = field.text()?,
            3 => model.producer_version = field.text()?,
            4 => model.domain = field.text()?,
            5 => model.model_version = field.int().unwrap_or_default(),
            6 => model.doc_string = lossy(field),
            7 => {
                if let Some(message) = field.message() {
                    model.graph = graph(message, 0)?;
                    has_graph = true;
                }
            }
            8 => model.opset_import.extend(opset(field)?),
            14 => model.metadata.extend(entry(field)?),
            25 => {
                if let Some(message) = field.message() {
                    model.functions.push(function(message)?);
                }
            }
            _ => {}
        }
    }
    if !has_graph {
        return Err(OnnxError::NotOnnx("it holds no graph".into()));
    }
    Ok(model)
}

/// Documentation is shown, never compared, so bad UTF-8 in it is no reason to refuse a model.
fn lossy(field: Field<'_>) -> &str {
    field.text().unwrap_or_default()
}

/// A key and a value.
fn entry<'a>(field: Field<'a>) -> Result<Option<(&'a str, &'a str)>> {
    let Some(mut reader) = field.message() else {
        return Ok(None);
    };
    let (mut key, mut value) = ("", "");
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => key = lossy(field),
            2 => value = lossy(field),
            _ => {}
        }
    }
    Ok(Some((key, value)))
}

fn opset<'a>(field: Field<'a>) -> Result<Option<(&'a str, i64)>> {
    let Some(mut reader) = field.message() else {
        return Ok(None);
    };
    let (mut domain, mut version) = ("", 0);
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => domain = normal_domain(field.text()?),
            2 => version = field.int().unwrap_or_default(),
            _ => {}
        }
    }
    Ok(Some((domain, version)))
}

fn deeper(depth: usize) -> Result<usize> {
    if depth >= MAX_DEPTH {
        return Err(OnnxError::TooDeep {
            what: "subgraphs or types",
            limit: MAX_DEPTH,
        });
    }
    Ok(depth + 1)
}

fn graph<'a>(mut reader: Reader<'a>, depth: usize) -> Result<Graph<'a>> {
    let depth = deeper(depth)?;
    let mut graph = Graph::default();
    if depth == 1 {
        graph.nodes.reserve(NODES);
    }
    while let Some((number, field)) = reader.field()? {
        match (number, field.message()) {
            (1, Some(message)) => graph.nodes.push(node(message, depth)?),
            (2, _) => graph.name = field.text()?,
            (5, Some(message)) => graph.initializers.push(tensor(message)?),
            (10, _) => graph.doc_string = lossy(field),
            (11, Some(message)) => graph.inputs.push(value_info(message)?),
            (12, Some(message)) => graph.outputs.push(value_info(message)?),
            (13, Some(message)) => graph.value_info.push(value_info(message)?),
            (15, Some(message)) => graph.sparse_initializers.push(sparse(message)?),
            (16, _) => graph.metadata.extend(entry(field)?),
            _ => {}
        }
    }
    Ok(graph)
}

fn node<'a>(mut reader: Reader<'a>, depth: usize) -> Result<Node<'a>> {
    let mut node = Node::default();
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => node.inputs.push(field.text()?),
            2 => node.outputs.push(field.text()?),
            3 => node.name = field.text()?,
            4 => node.op_type = field.text()?,
            5 => {
                if let Some(message) = field.message() {
                    node.attributes.push(attribute(message, depth)?);
                }
            }
            6 => node.doc_string = lossy(field),
            7 => node.domain = normal_domain(field.text()?),
            8 => node.overload = field.text()?,
            9 => node.metadata.extend(entry(field)?),
            _ => {}
        }
    }
    Ok(node)
}

/// `AttributeProto.AttributeType`
pub(crate) mod kind {
    pub const FLOAT: i64 = 1;
    pub const INT: i64 = 2;
    pub const STRING: i64 = 3;
    pub const TENSOR: i64 = 4;
    pub const GRAPH: i64 = 5;
    pub const FLOATS: i64 = 6;
    pub const INTS: i64 = 7;
    pub const STRINGS: i64 = 8;
    pub const TENSORS: i64 = 9;
    pub const GRAPHS: i64 = 10;
    pub const SPARSE_TENSOR: i64 = 11;
    pub const SPARSE_TENSORS: i64 = 12;
    pub const TYPE: i64 = 13;
    pub const TYPES: i64 = 14;
}

fn attribute<'a>(mut reader: Reader<'a>, depth: usize) -> Result<Attribute<'a>> {
    let (mut name, mut doc_string, mut reference) = ("", "", "");
    let mut declared = 0;
    let (mut float, mut int, mut string) = (None, None, None);
    let (mut a_tensor, mut a_graph, mut a_sparse, mut a_type) = (None, None, None, None);
    let (mut floats, mut ints, mut strings) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tensors, mut graphs) = (Vec::new(), Vec::new());
    let (mut sparses, mut types) = (Vec::new(), Vec::new());
    while let Some((number, field)) = reader.field()? {
        match (number, field.message()) {
            (1, _) => name = field.text()?,
            (2, _) => {
                if let Field::Fixed32(word) = field {
                    float = Some(f32::from_bits(word));
                }
            }
            (3, _) => int = field.int(),
            (4, _) => string = field.bytes()?,
            (5, Some(message)) => a_tensor = Some(Box::new(tensor(message)?)),
            (6, Some(message)) => a_graph = Some(Box::new(graph(message, depth)?)),
            (7, _) => field.floats(&mut floats)?,
            (8, _) => field.ints(&mut ints)?,
            (9, _) => strings.extend(field.bytes()?),
            (10, Some(message)) => tensors.push(tensor(message)?),
            (11, Some(message)) => graphs.push(graph(message, depth)?),
            (13, _) => doc_string = lossy(field),
            (14, Some(message)) => a_type = type_proto(message, depth)?.map(Box::new),
            (15, Some(message)) => types.extend(type_proto(message, depth)?),
            (20, _) => declared = field.int().unwrap_or_default(),
            (21, _) => reference = field.text()?,
            (22, Some(message)) => a_sparse = Some(Box::new(sparse(message)?)),
            (23, Some(message)) => sparses.push(sparse(message)?),
            _ => {}
        }
    }
    let value = if !reference.is_empty() {
        AttributeValue::Reference(reference, declared)
    } else {
        // Files before IR version 2 do not say the type: it is whatever is there.
        if declared == 0 {
            declared = if float.is_some() {
                kind::FLOAT
            } else if int.is_some() {
                kind::INT
            } else if string.is_some() {
                kind::STRING
            } else if a_tensor.is_some() {
                kind::TENSOR
            } else if a_graph.is_some() {
                kind::GRAPH
            } else if !floats.is_empty() {
                kind::FLOATS
            } else if !strings.is_empty() {
                kind::STRINGS
            } else {
                kind::INTS
            };
        }
        let missing = || OnnxError::Malformed {
            what: "an attribute without the value of its type",
            offset: reader.offset(),
        };
        match declared {
            // protobuf leaves a default out: 0, 0.0 and "" may be absent.
            kind::FLOAT => AttributeValue::Float(float.unwrap_or_default()),
            kind::INT => AttributeValue::Int(int.unwrap_or_default()),
            kind::STRING => AttributeValue::String(string.unwrap_or_default()),
            kind::TENSOR => AttributeValue::Tensor(a_tensor.ok_or_else(missing)?),
            kind::GRAPH => AttributeValue::Graph(a_graph.ok_or_else(missing)?),
            kind::SPARSE_TENSOR => AttributeValue::SparseTensor(a_sparse.ok_or_else(missing)?),
            kind::TYPE => AttributeValue::Type(a_type.ok_or_else(missing)?),
            kind::FLOATS => AttributeValue::Floats(floats),
            kind::INTS => AttributeValue::Ints(ints),
            kind::STRINGS => AttributeValue::Strings(strings),
            kind::TENSORS => AttributeValue::Tensors(tensors),
            kind::GRAPHS => AttributeValue::Graphs(graphs),
            kind::SPARSE_TENSORS => AttributeValue::SparseTensors(sparses),
            kind::TYPES => AttributeValue::Types(types),
            _ => {
                return Err(OnnxError::Malformed {
                    what: "an attribute of an unknown type",
                    offset: reader.offset(),
                });
            }
        }
    };
    Ok(Attribute {
        name,
        value,
        doc_string,
    })
}

fn tensor<'a>(mut reader: Reader<'a>) -> Result<Tensor<'a>> {
    let whole = Bytes::in_file(reader);
    let mut tensor = Tensor::default();
    let mut external = Vec::new();
    let mut location = 0;
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => field.ints(&mut tensor.dims)?,
            2 => tensor.elem_type = ElemType(field.int().unwrap_or_default() as i32),
            4 | 5 | 6 | 7 | 10 | 11 if !matches!(tensor.data, TensorData::Raw(_)) => {
                tensor.data = TensorData::Fields(whole);
            }
            8 => tensor.name = field.text()?,
            9 => {
                if let Some(raw) = field.message() {
                    tensor.data = TensorData::Raw(Bytes::in_file(raw));
                }
            }
            12 => tensor.doc_string = lossy(field),
            13 => external.extend(entry(field)?),
            14 => location = field.int().unwrap_or_default(),
            _ => {}
        }
    }
    if location == 1 {
        tensor.data = TensorData::External(external);
    }
    Ok(tensor)
}

fn sparse<'a>(mut reader: Reader<'a>) -> Result<SparseTensor<'a>> {
    let mut out = SparseTensor::default();
    while let Some((number, field)) = reader.field()? {
        match (number, field.message()) {
            (1, Some(message)) => out.values = tensor(message)?,
            (2, Some(message)) => out.indices = tensor(message)?,
            (3, _) => field.ints(&mut out.dims)?,
            _ => {}
        }
    }
    Ok(out)
}

fn value_info<'a>(mut reader: Reader<'a>) -> Result<ValueInfo<'a>> {
    let mut info = ValueInfo::default();
    while let Some((number, field)) = reader.field()? {
        match (number, field.message()) {
            (1, _) => info.name = field.text()?,
            (2, Some(message)) => info.ty = type_proto(message, 0)?,
            (3, _) => info.doc_string = lossy(field),
            (4, _) => info.metadata.extend(entry(field)?),
            _ => {}
        }
    }
    Ok(info)
}

fn type_proto<'a>(mut reader: Reader<'a>, depth: usize) -> Result<Option<Type<'a>>> {
    let depth = deeper(depth)?;
    let mut out = None;
    while let Some((number, field)) = reader.field()? {
        let Some(mut message) = field.message() else {
            continue;
        };
        match number {
            1 | 8 => {
                let (mut elem, mut shape) = (ElemType(0), None);
                while let Some((number, field)) = message.field()? {
                    match (number, field.message()) {
                        (1, _) => elem = ElemType(field.int().unwrap_or_default() as i32),
                        (2, Some(message)) => shape = Some(shape_proto(message)?),
                        _ => {}
                    }
                }
                out = Some(if number == 1 {
                    Type::Tensor(elem, shape)
                } else {
                    Type::SparseTensor(elem, shape)
                });
            }
            4 | 5 | 9 => {
                let (mut key, mut inner) = (ElemType(0), None);
                while let Some((field_number, field)) = message.field()? {
                    let value_number = if number == 5 { 2 } else { 1 };
                    match field.message() {
                        Some(message) if field_number == value_number => {
                            inner = type_proto(message, depth)?.map(Box::new);
                        }
                        _ if field_number == 1 => {
                            key = ElemType(field.int().unwrap_or_default() as i32);
                        }
                        _ => {}
                    }
                }
                out = Some(match number {
                    4 => Type::Sequence(inner),
                    5 => Type::Map(key, inner),
                    _ => Type::Optional(inner),
                });
            }
            7 => {
                let (mut domain, mut name) = ("", "");
                while let Some((number, field)) = message.field()? {
                    match number {
                        1 => domain = field.text()?,
                        2 => name = field.text()?,
                        _ => {}
                    }
                }
                out = Some(Type::Opaque(domain, name));
            }
            _ => {}
        }
    }
    Ok(out)
}

fn shape_proto<'a>(mut reader: Reader<'a>) -> Result<Vec<Dimension<'a>>> {
    let mut dims = Vec::new();
    while let Some((number, field)) = reader.field()? {
        let (1, Some(mut message)) = (number, field.message()) else {
            continue;
        };
        let mut dim = Dimension::Unknown;
        while let Some((number, field)) = message.field()? {
            match number {
                1 => dim = Dimension::Value(field.int().unwrap_or_default()),
                2 => {
                    let text = field.text()?;
                    dim = if text.is_empty() {
                        Dimension::Unknown
                    } else {
                        Dimension::Param(text)
                    };
                }
                _ => {}
            }
        }
        dims.push(dim);
    }
    Ok(dims)
}

fn function<'a>(mut reader: Reader<'a>) -> Result<Function<'a>> {
    let mut function = Function::default();
    while let Some((number, field)) = reader.field()? {
        match (number, field.message()) {
            (1, _) => function.name = field.text()?,
            (4, _) => function.inputs.push(field.text()?),
            (5, _) => function.outputs.push(field.text()?),
            (6, _) => function.attributes.push(field.text()?),
            (7, Some(message)) => function.nodes.push(node(message, 0)?),
            (8, _) => function.doc_string = lossy(field),
            (9, _) => function.opset_import.extend(opset(field)?),
            (10, _) => function.domain = normal_domain(field.text()?),
            (11, Some(message)) => function.defaults.push(attribute(message, 0)?),
            (12, Some(message)) => function.value_info.push(value_info(message)?),
            (13, _) => function.overload = field.text()?,
            (14, _) => function.metadata.extend(entry(field)?),
            _ => {}
        }
    }
    Ok(function)
}
