//! From [`Model`] to protobuf, for models that were read from text.

use crate::decode::kind;
use crate::error::OnnxError;
use crate::model::*;

/// Writes a model in the binary format.
///
/// # Errors
/// When constants of the model are in a file that cannot be read.
pub fn encode(model: &Model<'_>) -> Result<Vec<u8>, OnnxError> {
    let mut out = Writer::default();
    out.int(1, model.ir_version);
    out.text(2, model.producer_name);
    out.text(3, model.producer_version);
    out.text(4, model.domain);
    out.int(5, model.model_version);
    out.text(6, model.doc_string);
    out.message(7, |out| graph(out, &model.graph));
    opsets(&mut out, 8, &model.opset_import);
    entries(&mut out, 14, &model.metadata);
    for function in &model.functions {
        out.message(25, |out| self::function(out, function));
    }
    match out.failed {
        Some(error) => Err(error),
        None => Ok(out.bytes),
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    /// The first piece that could not be read.
    failed: Option<OnnxError>,
}

impl Writer {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn key(&mut self, number: u32, wire: u32) {
        self.varint(u64::from(number << 3 | wire));
    }

    /// An integer, also when it is zero.
    fn always(&mut self, number: u32, value: i64) {
        self.key(number, 0);
        self.varint(value as u64);
    }

    /// An integer unless it is the default.
    fn int(&mut self, number: u32, value: i64) {
        if value != 0 {
            self.always(number, value);
        }
    }

    fn float(&mut self, number: u32, value: f32) {
        self.key(number, 5);
        self.bytes.extend(value.to_le_bytes());
    }

    fn raw(&mut self, number: u32, bytes: &[u8]) {
        self.key(number, 2);
        self.varint(bytes.len() as u64);
        self.bytes.extend(bytes);
    }

    /// Bytes that may still be in a file.
    fn stored<'a>(&mut self, bytes: Bytes<'a>) -> &'a [u8] {
        bytes.read().unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            &[]
        })
    }

    /// Text unless it is empty.
    fn text(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.raw(number, text.as_bytes());
        }
    }

    fn message(&mut self, number: u32, write: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::default();
        write(&mut inner);
        self.raw(number, &inner.bytes);
        self.failed = self.failed.take().or(inner.failed);
    }
}

fn entries(out: &mut Writer, number: u32, entries: &[(&str, &str)]) {
    for (key, value) in entries {
        out.message(number, |out| {
            out.text(1, key);
            out.text(2, value);
        });
    }
}

fn opsets(out: &mut Writer, number: u32, opsets: &[(&str, i64)]) {
    for (domain, version) in opsets {
        out.message(number, |out| {
            out.text(1, domain);
            out.int(2, *version);
        });
    }
}

fn graph(out: &mut Writer, graph: &Graph<'_>) {
    for node in &graph.nodes {
        out.message(1, |out| self::node(out, node));
    }
    out.text(2, graph.name);
    for initializer in &graph.initializers {
        out.message(5, |out| tensor(out, initializer));
    }
    out.text(10, graph.doc_string);
    for (number, infos) in [
        (11, &graph.inputs),
        (12, &graph.outputs),
        (13, &graph.value_info),
    ] {
        for info in infos {
            out.message(number, |out| value_info(out, info));
        }
    }
    for initializer in &graph.sparse_initializers {
        out.message(15, |out| sparse(out, initializer));
    }
    entries(out, 16, &graph.metadata);
}

fn node(out: &mut Writer, node: &Node<'_>) {
    for input in &node.inputs {
        out.raw(1, input.as_bytes());
    }
    for output in &node.outputs {
        out.raw(2, output.as_bytes());
    }
    out.text(3, node.name);
    out.text(4, node.op_type);
    for attribute in &node.attributes {
        out.message(5, |out| self::attribute(out, attribute));
    }
    out.text(6, node.doc_string);
    out.text(7, node.domain);
    out.text(8, node.overload);
    entries(out, 9, &node.metadata);
}

fn attribute(out: &mut Writer, attribute: &Attribute<'_>) {
    use AttributeValue as V;
    out.text(1, attribute.name);
    let number = match &attribute.value {
        V::Float(value) => {
            out.float(2, *value);
            kind::FLOAT
        }
        V::Int(value) => {
            out.always(3, *value);
            kind::INT
        }
        V::String(value) => {
            out.raw(4, value);
            kind::STRING
        }
        V::Tensor(value) => {
            out.message(5, |out| tensor(out, value));
            kind::TENSOR
        }
        V::Graph(value) => {
            out.message(6, |out| graph(out, value));
            kind::GRAPH
        }
        V::Floats(values) => {
            values.iter().for_each(|value| out.float(7, *value));
            kind::FLOATS
        }
        V::Ints(values) => {
            values.iter().for_each(|value| out.always(8, *value));
            kind::INTS
        }
        V::Strings(values) => {
            values.iter().for_each(|value| out.raw(9, value));
            kind::STRINGS
        }
        V::Tensors(values) => {
            values
                .iter()
                .for_each(|value| out.message(10, |out| tensor(out, value)));
            kind::TENSORS
        }
        V::Graphs(values) => {
            values
                .iter()
                .for_each(|value| out.message(11, |out| graph(out, value)));
            kind::GRAPHS
        }
        V::Type(value) => {
            out.message(14, |out| type_proto(out, value));
            kind::TYPE
        }
        V::Types(values) => {
            values
                .iter()
                .for_each(|value| out.message(15, |out| type_proto(out, value)));
            kind::TYPES
        }
        V::SparseTensor(value) => {
            out.message(22, |out| sparse(out, value));
            kind::SPARSE_TENSOR
        }
        V::SparseTensors(values) => {
            values
                .iter()
                .for_each(|value| out.message(23, |out| sparse(out, value)));
            kind::SPARSE_TENSORS
        }
        V::Reference(name, number) => {
            out.text(21, name);
            *number
        }
    };
    out.text(13, attribute.doc_string);
    out.always(20, number);
}

fn tensor(out: &mut Writer, tensor: &Tensor<'_>) {
    // The fields of a tensor that was read from protobuf are copied whole.
    if let TensorData::Fields(message) = tensor.data {
        let fields = out.stored(message);
        out.bytes.extend(fields);
        return;
    }
    tensor.dims.iter().for_each(|size| out.always(1, *size));
    out.int(2, i64::from(tensor.elem_type.0));
    out.text(8, tensor.name);
    out.text(12, tensor.doc_string);
    match &tensor.data {
        TensorData::Raw(bytes) => {
            let raw = out.stored(*bytes);
            out.raw(9, raw);
        }
        TensorData::Strings(strings) => strings.iter().for_each(|text| out.raw(6, text)),
        TensorData::External(external) => {
            entries(out, 13, external);
            out.always(14, 1);
        }
        TensorData::Fields(_) | TensorData::Absent => {}
    }
}

fn sparse(out: &mut Writer, sparse: &SparseTensor<'_>) {
    out.message(1, |out| tensor(out, &sparse.values));
    out.message(2, |out| tensor(out, &sparse.indices));
    sparse.dims.iter().for_each(|size| out.always(3, *size));
}

fn value_info(out: &mut Writer, info: &ValueInfo<'_>) {
    out.text(1, info.name);
    if let Some(ty) = &info.ty {
        out.message(2, |out| type_proto(out, ty));
    }
    out.text(3, info.doc_string);
    entries(out, 4, &info.metadata);
}

fn type_proto(out: &mut Writer, ty: &Type<'_>) {
    let tensor = |out: &mut Writer, elem: &ElemType, shape: &Option<Vec<Dimension<'_>>>| {
        out.int(1, i64::from(elem.0));
        let Some(dims) = shape else { return };
        out.message(2, |out| {
            for dim in dims {
                out.message(1, |out| match dim {
                    Dimension::Value(size) => out.always(1, *size),
                    Dimension::Param(name) => out.text(2, name),
                    Dimension::Unknown => {}
                });
            }
        });
    };
    let element = |out: &mut Writer, number: u32, inner: &Option<Box<Type<'_>>>| {
        if let Some(inner) = inner {
            out.message(number, |out| type_proto(out, inner));
        }
    };
    match ty {
        Type::Tensor(elem, shape) => out.message(1, |out| tensor(out, elem, shape)),
        Type::SparseTensor(elem, shape) => out.message(8, |out| tensor(out, elem, shape)),
        Type::Sequence(inner) => out.message(4, |out| element(out, 1, inner)),
        Type::Optional(inner) => out.message(9, |out| element(out, 1, inner)),
        Type::Map(key, inner) => out.message(5, |out| {
            out.int(1, i64::from(key.0));
            element(out, 2, inner);
        }),
        Type::Opaque(domain, name) => out.message(7, |out| {
            out.text(1, domain);
            out.text(2, name);
        }),
    }
}

fn function(out: &mut Writer, function: &Function<'_>) {
    out.text(1, function.name);
    function
        .inputs
        .iter()
        .for_each(|name| out.raw(4, name.as_bytes()));
    function
        .outputs
        .iter()
        .for_each(|name| out.raw(5, name.as_bytes()));
    function
        .attributes
        .iter()
        .for_each(|name| out.raw(6, name.as_bytes()));
    for node in &function.nodes {
        out.message(7, |out| self::node(out, node));
    }
    out.text(8, function.doc_string);
    opsets(out, 9, &function.opset_import);
    out.text(10, function.domain);
    for default in &function.defaults {
        out.message(11, |out| attribute(out, default));
    }
    for info in &function.value_info {
        out.message(12, |out| value_info(out, info));
    }
    out.text(13, function.overload);
    entries(out, 14, &function.metadata);
}
