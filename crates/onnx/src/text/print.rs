//! A model to words.

use std::fmt::Write as _;

use modelcost_core::dtype::DType;
use modelcost_core::expr::Span;

use super::attribute::type_name;
use crate::decode::kind;
use crate::model::*;
use crate::tensor::Elements;

/// Constants of up to this many elements are written out.
const MAX_ELEMENTS: usize = 32;

/// Where the weights are that are not written out.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// The name of the model file, beside which the text will stand.
    pub location: &'a str,
    /// The bytes of that file.
    pub bytes: &'a [u8],
}

/// Writes a model in ONNX's textual syntax, which `onnx.parser.parse_model` reads back. Weights
/// become external data: in the file that `weights` names, or in one that is not there.
pub fn print(model: &Model<'_>, weights: Option<Weights<'_>>) -> String {
    Printer::run(model, weights, false).out
}

/// Writes a model to be read: without attributes that are as their operators have them, and without their types where
/// the values tell. Notes in graphs and nodes where they stand in the text.
pub fn print_in_place(model: &mut Model<'_>, weights: Option<Weights<'_>>) -> String {
    let printer = Printer::run(model, weights, true);
    let mut spans = printer.spans.into_iter();
    place_graph(&mut model.graph, &mut spans);
    for function in &mut model.functions {
        place_attributes(&mut function.defaults, &mut spans);
        place_nodes(&mut function.nodes, &mut spans);
    }
    printer.out
}

/// Hands spans out in the order in which the printer made them.
fn place_graph(graph: &mut Graph<'_>, spans: &mut impl Iterator<Item = Span>) {
    graph.span = spans.next();
    place_nodes(&mut graph.nodes, spans);
}

fn place_nodes(nodes: &mut [Node<'_>], spans: &mut impl Iterator<Item = Span>) {
    for node in nodes {
        node.span = spans.next();
        place_attributes(&mut node.attributes, spans);
    }
}

fn place_attributes(attributes: &mut [Attribute<'_>], spans: &mut dyn Iterator<Item = Span>) {
    // Behind a reference, because this and `place_graph` call each other.
    let mut spans = spans;
    for attribute in attributes {
        match &mut attribute.value {
            AttributeValue::Graph(graph) => place_graph(graph, &mut spans),
            AttributeValue::Graphs(graphs) => {
                for graph in graphs {
                    place_graph(graph, &mut spans);
                }
            }
            _ => {}
        }
    }
}

struct Printer<'w> {
    out: String,
    indent: usize,
    weights: Option<Weights<'w>>,
    /// Whether what goes without saying is left out.
    brief: bool,
    /// Where graphs and nodes stand, outer ones before those inside them.
    spans: Vec<Span>,
}

/// Whether an attribute says what its operator does without it. Only names that mean the same wherever they stand.
fn is_default(attribute: &Attribute<'_>) -> bool {
    match (attribute.name, &attribute.value) {
        ("auto_pad", AttributeValue::String(value)) => *value == b"NOTSET",
        ("dilations", AttributeValue::Ints(values)) => values.iter().all(|value| *value == 1),
        ("group", AttributeValue::Int(value)) => *value == 1,
        (
            "storage_order"
            | "ceil_mode"
            | "count_include_pad"
            | "transA"
            | "allowzero"
            | "noop_with_empty_axes",
            AttributeValue::Int(value),
        ) => *value == 0,
        _ => false,
    }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '\\' | '"') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

fn name(text: &str) -> String {
    // A value called `float` would be read as a type.
    let keyword = ElemType::from_name(text).is_some()
        || matches!(
            text,
            "seq" | "map" | "optional" | "sparse_tensor" | "opaque"
        );
    if is_identifier(text) && !keyword {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// The syntax has only plain words for operators, domains and attributes.
fn word(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

fn dotted(text: &str) -> String {
    text.split('.').map(word).collect::<Vec<_>>().join(".")
}

fn float(value: f64, shortest: String) -> String {
    if value.is_nan() {
        "nan".into()
    } else if value.is_infinite() {
        if value > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        }
    } else if shortest.contains(['.', 'e']) {
        shortest
    } else {
        // Without a point it would be an integer.
        format!("{shortest}.0")
    }
}

fn float32(value: f32) -> String {
    let plain = (1e-5..1e16).contains(&value.abs()) || value == 0.0;
    let text = if plain {
        value.to_string()
    } else {
        format!("{value:e}")
    };
    float(f64::from(value), text)
}

fn float64(value: f64) -> String {
    let plain = (1e-5..1e16).contains(&value.abs()) || value == 0.0;
    let text = if plain {
        value.to_string()
    } else {
        format!("{value:e}")
    };
    float(value, text)
}

impl<'w> Printer<'w> {
    fn run(model: &Model<'_>, weights: Option<Weights<'w>>, brief: bool) -> Printer<'w> {
        let mut printer = Printer {
            out: String::new(),
            indent: 0,
            weights,
            brief,
            spans: Vec::new(),
        };
        printer.model(model);
        printer
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn line(&mut self) {
        self.out.push('\n');
        for _ in 0..self.indent {
            self.out.push_str("   ");
        }
    }

    fn joined(&mut self, items: impl IntoIterator<Item = String>) {
        let items: Vec<String> = items.into_iter().collect();
        self.put(&items.join(", "));
    }

    fn model(&mut self, model: &Model<'_>) {
        let mut properties = vec![
            format!("ir_version: {}", model.ir_version),
            format!("opset_import: {}", opsets(&model.opset_import)),
        ];
        for (key, value) in [
            ("producer_name", model.producer_name),
            ("producer_version", model.producer_version),
            ("domain", model.domain),
        ] {
            if !value.is_empty() {
                properties.push(format!("{key}: {}", quoted(value)));
            }
        }
        if model.model_version != 0 {
            properties.push(format!("model_version: {}", model.model_version));
        }
        if !model.doc_string.is_empty() {
            properties.push(format!("doc_string: {}", quoted(model.doc_string)));
        }
        if !model.metadata.is_empty() {
            properties.push(format!("metadata_props: {}", entries(&model.metadata)));
        }
        self.put("<\n   ");
        self.put(&properties.join(",\n   "));
        self.put("\n>\n");
        self.graph(&model.graph);
        for function in &model.functions {
            self.put("\n");
            self.function(function);
        }
        self.put("\n");
    }

    fn graph(&mut self, graph: &Graph<'_>) {
        let start = self.out.len();
        self.put(&name(if graph.name.is_empty() {
            "graph"
        } else {
            graph.name
        }));
        self.spans.push(Span::new(start, self.out.len()));
        self.put(" (");
        self.joined(graph.inputs.iter().map(value_info));
        self.put(") => (");
        self.joined(graph.outputs.iter().map(value_info));
        self.put(")");
        let mut values: Vec<String> = Vec::new();
        for tensor in &graph.initializers {
            values.push(self.tensor(tensor, true));
        }
        for sparse in &graph.sparse_initializers {
            // The syntax has no sparse constants; the shape and the type are kept.
            let dense = Tensor {
                name: sparse.values.name,
                dims: sparse.dims.clone(),
                elem_type: sparse.values.elem_type,
                ..Tensor::default()
            };
            values.push(self.tensor(&dense, true));
        }
        values.extend(graph.value_info.iter().map(value_info));
        self.indent += 1;
        if !values.is_empty() {
            self.line();
            self.put("<");
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    self.put(",");
                    self.line();
                    self.put(" ");
                }
                self.put(value);
            }
            self.put(">");
            self.indent -= 1;
            self.line();
            self.indent += 1;
        } else {
            self.put(" ");
        }
        self.nodes(&graph.nodes);
        self.indent -= 1;
    }

    /// Nodes between braces; the indent is that of the nodes.
    fn nodes(&mut self, nodes: &[Node<'_>]) {
        self.put("{");
        for node in nodes {
            self.line();
            self.node(node);
        }
        self.indent -= 1;
        self.line();
        self.put("}");
        self.indent += 1;
    }

    fn node(&mut self, node: &Node<'_>) {
        let start = self.out.len();
        let at = self.spans.len();
        self.spans.push(Span::new(start, start));
        if !node.name.is_empty() {
            let label = format!("[{}] ", name(node.name));
            self.put(&label);
        }
        self.joined(node.outputs.iter().map(|output| name(output)));
        self.put(" = ");
        if !node.domain.is_empty() {
            self.put(&dotted(node.domain));
            self.put(".");
        }
        self.put(&word(node.op_type));
        if !node.overload.is_empty() {
            self.put(":");
            self.put(&word(node.overload));
        }
        let said = |attribute: &&Attribute<'_>| !self.brief || !is_default(attribute);
        let attributes: Vec<&Attribute<'_>> = node.attributes.iter().filter(said).collect();
        if !attributes.is_empty() {
            self.put(" <");
            let mut first = true;
            for attribute in attributes {
                first = !self.attribute(attribute, first) && first;
            }
            self.put(">");
        }
        self.put(" (");
        self.joined(node.inputs.iter().map(|input| name(input)));
        self.put(")");
        self.spans[at] = Span::new(start, self.out.len());
    }

    /// Writes an attribute unless the syntax cannot hold it.
    fn attribute(&mut self, attribute: &Attribute<'_>, first: bool) -> bool {
        use AttributeValue as V;
        let (number, text) = match &attribute.value {
            V::Float(value) => (kind::FLOAT, float32(*value)),
            V::Int(value) => (kind::INT, value.to_string()),
            V::String(value) => (kind::STRING, quoted(&String::from_utf8_lossy(value))),
            V::Tensor(tensor) => (kind::TENSOR, self.tensor(tensor, false)),
            V::Type(ty) => (kind::TYPE, type_proto(ty)),
            V::Floats(values) => (kind::FLOATS, list(values.iter().map(|v| float32(*v)))),
            V::Ints(values) => (kind::INTS, list(values.iter().map(i64::to_string))),
            V::Strings(values) => (
                kind::STRINGS,
                list(values.iter().map(|v| quoted(&String::from_utf8_lossy(v)))),
            ),
            V::Types(types) => (kind::TYPES, list(types.iter().map(type_proto))),
            V::Tensors(tensors) => {
                let items: Vec<String> = tensors.iter().map(|t| self.tensor(t, false)).collect();
                (kind::TENSORS, list(items.into_iter()))
            }
            V::Reference(target, number) => (*number, format!("@{}", name(target))),
            V::Graph(_) => (kind::GRAPH, String::new()),
            V::Graphs(_) => (kind::GRAPHS, String::new()),
            V::SparseTensor(_) | V::SparseTensors(_) => return false,
        };
        if !first {
            self.put(", ");
        }
        let plain = match &attribute.value {
            V::Int(_) | V::Float(_) | V::String(_) => true,
            V::Ints(values) => !values.is_empty(),
            V::Floats(values) => !values.is_empty(),
            V::Strings(values) => !values.is_empty(),
            _ => false,
        };
        let name = word(attribute.name);
        let head = match self.brief && plain {
            true => format!("{name} = {text}"),
            false => format!("{name}: {} = {text}", type_name(number)),
        };
        self.put(&head);
        match &attribute.value {
            V::Graph(graph) => self.graph(graph),
            V::Graphs(graphs) => {
                self.put("[");
                for (at, graph) in graphs.iter().enumerate() {
                    if at > 0 {
                        self.put(", ");
                    }
                    self.graph(graph);
                }
                self.put("]");
            }
            _ => {}
        }
        true
    }

    fn function(&mut self, function: &Function<'_>) {
        let mut properties = vec![format!("domain: {}", quoted(function.domain))];
        if !function.overload.is_empty() {
            properties.push(format!("overload: {}", quoted(function.overload)));
        }
        properties.push(format!("opset_import: {}", opsets(&function.opset_import)));
        if !function.doc_string.is_empty() {
            properties.push(format!("doc_string: {}", quoted(function.doc_string)));
        }
        let header = format!("<\n   {}\n>\n", properties.join(",\n   "));
        self.put(&header);
        self.put(&name(function.name));
        self.put(" ");
        if !function.attributes.is_empty() || !function.defaults.is_empty() {
            self.put("<");
            self.joined(function.attributes.iter().map(|a| name(a)));
            let mut first = function.attributes.is_empty();
            for default in &function.defaults {
                first = !self.attribute(default, first) && first;
            }
            self.put(">");
        }
        self.put("(");
        self.joined(function.inputs.iter().map(|input| name(input)));
        self.put(") => (");
        self.joined(function.outputs.iter().map(|output| name(output)));
        self.put(") ");
        self.indent += 1;
        if !function.value_info.is_empty() {
            self.put("<");
            self.joined(function.value_info.iter().map(value_info));
            self.put("> ");
        }
        self.nodes(&function.nodes);
        self.indent -= 1;
    }

    /// `float[2] name = {1.0, 2.0}`
    fn tensor(&self, tensor: &Tensor<'_>, initializer: bool) -> String {
        let mut out = tensor.elem_type.name().unwrap_or("undefined").to_owned();
        if !tensor.dims.is_empty() {
            let dims: Vec<String> = tensor.dims.iter().map(i64::to_string).collect();
            let _ = write!(out, "[{}]", dims.join(","));
        }
        if initializer {
            let _ = write!(out, " {}", name(tensor.name));
        } else if is_identifier(tensor.name) && name(tensor.name) == tensor.name {
            // Inside an attribute the syntax takes no quoted names.
            let _ = write!(out, " {}", tensor.name);
        }
        out.push_str(" = ");
        out.push_str(&match elements(tensor) {
            Some(elements) => elements,
            None => entries(&self.external(tensor)),
        });
        out
    }

    /// Where the elements are that are not written out.
    fn external<'t>(&'t self, tensor: &Tensor<'t>) -> Vec<(&'t str, std::borrow::Cow<'t, str>)> {
        if let TensorData::External(entries) = &tensor.data {
            return entries.iter().map(|(k, v)| (*k, (*v).into())).collect();
        }
        if let (TensorData::Raw(raw), Some(weights)) = (&tensor.data, &self.weights) {
            let offset = (raw.as_ptr() as usize).wrapping_sub(weights.bytes.as_ptr() as usize);
            if offset.saturating_add(raw.len()) <= weights.bytes.len() {
                return vec![
                    ("location", weights.location.into()),
                    ("offset", offset.to_string().into()),
                    ("length", raw.len().to_string().into()),
                ];
            }
        }
        vec![("location", "elided".into())]
    }
}

/// The elements between braces, if they are in the file and few.
fn elements(tensor: &Tensor<'_>) -> Option<String> {
    let dtype = tensor.elem_type.dtype()?;
    let braces = |items: Vec<String>| Some(format!("{{{}}}", items.join(", ")));
    // The syntax wants the bits of small floats, and packed bytes below that.
    let bits = match dtype {
        DType::Float32 | DType::Float64 | DType::String => None,
        dtype if dtype.is_complex() => return None,
        dtype if dtype.is_floating_point() || dtype.bits() < 8 => Some(dtype.bits()),
        _ => None,
    };
    if let (Some(bits), TensorData::Raw(raw)) = (bits, &tensor.data) {
        let numel = usize::try_from(tensor.numel()?).ok()?;
        if numel > MAX_ELEMENTS {
            return None;
        }
        let chunks = raw.chunks((bits as usize).div_ceil(8));
        let word = |chunk: &[u8]| {
            chunk
                .iter()
                .rev()
                .fold(0u32, |w, b| (w << 8) | u32::from(*b))
        };
        return braces(chunks.map(|chunk| word(chunk).to_string()).collect());
    }
    if bits.is_some() {
        return None;
    }
    match tensor.elements(MAX_ELEMENTS)? {
        Elements::Ints(values) => braces(values.iter().map(i64::to_string).collect()),
        Elements::Floats(values) if dtype == DType::Float32 => {
            braces(values.iter().map(|v| float32(*v as f32)).collect())
        }
        Elements::Floats(values) => braces(values.iter().map(|v| float64(*v)).collect()),
        Elements::Strings(values) => braces(values.iter().map(|v| quoted(v)).collect()),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn opsets(opsets: &[(&str, i64)]) -> String {
    list(
        opsets
            .iter()
            .map(|(domain, version)| format!("{} : {version}", quoted(domain))),
    )
}

fn entries<V: AsRef<str>>(entries: &[(&str, V)]) -> String {
    let entry = |(key, value): &(&str, V)| format!("{}: {}", quoted(key), quoted(value.as_ref()));
    list(entries.iter().map(entry))
}

fn value_info(info: &ValueInfo<'_>) -> String {
    match &info.ty {
        Some(ty) => format!("{} {}", type_proto(ty), name(info.name)),
        None => name(info.name),
    }
}

fn shape(dims: Option<&Vec<Dimension<'_>>>) -> String {
    let Some(dims) = dims else {
        return "[]".into();
    };
    if dims.is_empty() {
        return String::new();
    }
    let dim = |dim: &Dimension<'_>| match dim {
        Dimension::Value(size) => size.to_string(),
        Dimension::Param(text) if is_identifier(text) => (*text).to_owned(),
        Dimension::Param(text) => quoted(text),
        Dimension::Unknown => "?".into(),
    };
    format!("[{}]", dims.iter().map(dim).collect::<Vec<_>>().join(","))
}

fn type_proto(ty: &Type<'_>) -> String {
    let element = |inner: &Option<Box<Type<'_>>>| match inner {
        Some(inner) => type_proto(inner),
        None => "float[]".into(),
    };
    let elem = |elem: &ElemType| elem.name().unwrap_or("undefined");
    match ty {
        Type::Tensor(e, dims) => format!("{}{}", elem(e), shape(dims.as_ref())),
        Type::SparseTensor(e, dims) => {
            format!("sparse_tensor({}{})", elem(e), shape(dims.as_ref()))
        }
        Type::Sequence(inner) => format!("seq({})", element(inner)),
        Type::Optional(inner) => format!("optional({})", element(inner)),
        Type::Map(key, inner) => format!("map({}, {})", elem(key), element(inner)),
        Type::Opaque("", name) => format!("opaque({})", dotted(name)),
        Type::Opaque(domain, name) => format!("opaque({}, {})", dotted(domain), word(name)),
    }
}
