//! A model to words.

mod constant;
mod places;
mod types;
mod words;

use modelcost_core::expr::Span;

use super::attribute::type_name;
use crate::decode::kind;
use crate::model::*;
use constant::constant;
use types::{type_proto, value_info};
use words::{dotted, entries, float32, list, name, opsets, quoted, word};

/// Writes a model in ONNX's textual syntax, which `onnx.parser.parse_model` reads back. Weights
/// become external data: of the file `weights`, which the model was read from and beside which the
/// text will stand, or of one that is not there.
pub fn print(model: &Model<'_>, weights: Option<&str>) -> String {
    Printer::run(model, weights, false).out
}

/// Writes a model to be read: without attributes that are as their operators have them, and without their types where
/// the values tell. Notes in graphs and nodes where they stand in the text.
pub fn print_in_place(model: &mut Model<'_>, weights: Option<&str>) -> String {
    let printer = Printer::run(model, weights, true);
    places::note(model, printer.spans);
    printer.out
}

struct Printer<'w> {
    out: String,
    indent: usize,
    /// The file that has the weights which are not written out.
    weights: Option<&'w str>,
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

impl<'w> Printer<'w> {
    fn run(model: &Model<'_>, weights: Option<&'w str>, brief: bool) -> Printer<'w> {
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
            values.push(constant(tensor, true, self.weights));
        }
        for sparse in &graph.sparse_initializers {
            // The syntax has no sparse constants; the shape and the type are kept.
            let dense = Tensor {
                name: sparse.values.name,
                dims: sparse.dims.clone(),
                elem_type: sparse.values.elem_type,
                ..Tensor::default()
            };
            values.push(constant(&dense, true, self.weights));
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
            V::Tensor(tensor) => (kind::TENSOR, constant(tensor, false, self.weights)),
            V::Type(ty) => (kind::TYPE, type_proto(ty)),
            V::Floats(values) => (kind::FLOATS, list(values.iter().map(|v| float32(*v)))),
            V::Ints(values) => (kind::INTS, list(values.iter().map(i64::to_string))),
            V::Strings(values) => (
                kind::STRINGS,
                list(values.iter().map(|v| quoted(&String::from_utf8_lossy(v)))),
            ),
            V::Types(types) => (kind::TYPES, list(types.iter().map(type_proto))),
            V::Tensors(tensors) => {
                let items: Vec<String> = tensors
                    .iter()
                    .map(|t| constant(t, false, self.weights))
                    .collect();
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
}
