//! Words to a model.

use modelcost_core::diagnostic::Diagnostic;
use modelcost_core::expr::Span;

use super::arena::Arena;
use super::lexer::Cursor;
use crate::model::*;

/// A model as far as it could be read, and what is wrong with the text.
pub struct Parsed<'a> {
    /// The model; what could not be read is left out.
    pub model: Model<'a>,
    /// Errors in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Subgraphs and types may nest this deep.
const MAX_DEPTH: usize = 48;

/// Reads a model. Never fails: what is wrong is in [`Parsed::diagnostics`].
pub fn parse<'a>(text: &'a str, arena: &'a Arena) -> Parsed<'a> {
    let mut parser = Parser {
        cursor: Cursor {
            text,
            at: 0,
            arena,
            diagnostics: Vec::new(),
        },
        depth: 0,
    };
    let mut model = Model::default();
    parser.header(&mut model);
    if let Some(graph) = parser.graph() {
        model.graph = graph;
    }
    while !parser.cursor.at_end() {
        let at = parser.cursor.at;
        match parser.function() {
            Some(function) => model.functions.push(function),
            // The rest has no shape that could be trusted.
            None if parser.cursor.at == at => break,
            None => parser.cursor.recover_line(),
        }
    }
    let mut diagnostics = parser.cursor.diagnostics;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| span.start));
    Parsed { model, diagnostics }
}

pub(super) struct Parser<'a> {
    pub cursor: Cursor<'a>,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Runs one level deeper, unless that is too deep.
    pub fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            let message = format!("graphs and types are nested more than {MAX_DEPTH} deep");
            return self.cursor.error(message);
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// Items between brackets, separated by commas. The opening bracket is taken already.
    pub fn list(&mut self, close: u8, what: &str, mut item: impl FnMut(&mut Self) -> Option<()>) {
        if self.cursor.eat(close) {
            return;
        }
        loop {
            if item(self).is_none() {
                self.cursor.recover_to(&[b',', close]);
            }
            if !self.cursor.eat(b',') {
                break;
            }
            // A comma before the bracket has no effect.
            if self.cursor.peek() == Some(close) {
                break;
            }
        }
        if self
            .cursor
            .expect(close, &format!("after {what}"))
            .is_none()
        {
            self.cursor.recover_to(&[close]);
            self.cursor.eat(close);
        }
    }

    fn header(&mut self, model: &mut Model<'a>) {
        if !self.cursor.eat(b'<') {
            return;
        }
        self.list(b'>', "the model's properties", |parser| {
            let key = match parser.cursor.identifier() {
                Some(key) => key,
                None => return parser.cursor.error("expected a property such as ir_version"),
            };
            let from = parser.cursor.at - key.len();
            parser.cursor.expect(b':', "after the property's name")?;
            match key {
                "ir_version" => model.ir_version = parser.cursor.integer("ir_version")?,
                "opset_import" => model.opset_import = parser.opsets()?,
                "producer_name" => model.producer_name = parser.cursor.quoted()?,
                "producer_version" => model.producer_version = parser.cursor.quoted()?,
                "domain" => model.domain = parser.cursor.quoted()?,
                "model_version" => model.model_version = parser.cursor.integer("model_version")?,
                "doc_string" => model.doc_string = parser.cursor.quoted()?,
                "metadata_props" => {
                    parser.cursor.expect(b'[', "before the properties")?;
                    model.metadata = parser.entries();
                }
                _ => {
                    let known = "ir_version, opset_import, producer_name, producer_version, domain, \
                                 model_version, doc_string and metadata_props";
                    let message = format!("a model has no property '{key}'; there are {known}");
                    let span = from..from + key.len();
                    parser.cursor.diagnostics.push(Diagnostic::error(message, span));
                    return None;
                }
            }
            Some(())
        });
    }

    fn opsets(&mut self) -> Option<Vec<(&'a str, i64)>> {
        self.cursor.expect(b'[', "before the operator sets")?;
        let mut out = Vec::new();
        self.list(b']', "the operator sets", |parser| {
            let domain = parser.cursor.quoted()?;
            parser.cursor.expect(b':', "before the version")?;
            let version = parser.cursor.integer("the version of an operator set")?;
            out.push((normal_domain(domain), version));
            Some(())
        });
        Some(out)
    }

    /// `"key": "value", …]`
    pub fn entries(&mut self) -> Vec<(&'a str, &'a str)> {
        let mut out = Vec::new();
        self.list(b']', "the entries", |parser| {
            let key = parser.cursor.quoted()?;
            parser.cursor.expect(b':', "between key and value")?;
            out.push((key, parser.cursor.quoted()?));
            Some(())
        });
        out
    }

    /// `name (inputs) => (outputs) <values and initializers> { nodes }`
    pub fn graph(&mut self) -> Option<Graph<'a>> {
        self.nested(|parser| {
            parser.cursor.skip_space();
            let start = parser.cursor.at;
            let name = parser.cursor.name("the name of a graph")?;
            let mut graph = Graph {
                name,
                span: Some(Span::new(start, parser.cursor.at)),
                ..Graph::default()
            };
            parser.cursor.expect(b'(', "before the inputs")?;
            let (mut inputs, mut initializers) = (Vec::new(), Vec::new());
            parser.list(b')', "the inputs", |parser| {
                let info = parser.value_info()?;
                if parser.cursor.eat(b'=') {
                    initializers.push(parser.initializer(&info)?);
                }
                inputs.push(info);
                Some(())
            });
            parser.arrow()?;
            parser.cursor.expect(b'(', "before the outputs")?;
            let mut outputs = Vec::new();
            parser.list(b')', "the outputs", |parser| {
                outputs.push(parser.value_info()?);
                Some(())
            });
            let mut value_info = Vec::new();
            if parser.cursor.eat(b'<') {
                parser.list(b'>', "the values", |parser| {
                    let info = parser.value_info()?;
                    if parser.cursor.eat(b'=') {
                        initializers.push(parser.initializer(&info)?);
                    } else {
                        value_info.push(info);
                    }
                    Some(())
                });
            }
            graph.inputs = inputs;
            graph.outputs = outputs;
            graph.value_info = value_info;
            graph.initializers = initializers;
            graph.nodes = parser.nodes()?;
            Some(graph)
        })
    }

    fn arrow(&mut self) -> Option<()> {
        if self.cursor.eat(b'=') && self.cursor.text.as_bytes().get(self.cursor.at) == Some(&b'>') {
            self.cursor.at += 1;
            return Some(());
        }
        self.cursor
            .error("expected '=>' between inputs and outputs")
    }

    fn value_info(&mut self) -> Option<ValueInfo<'a>> {
        let ty = if self.is_type() {
            Some(self.type_proto()?)
        } else {
            None
        };
        let name = self.cursor.name("the name of a value")?;
        Some(ValueInfo {
            name,
            ty,
            span: Some(Span::new(
                self.cursor.at.saturating_sub(name.len()),
                self.cursor.at,
            )),
            ..ValueInfo::default()
        })
    }

    /// Whether a type is next and not a name that only looks like one: in `(float)` a value is
    /// called so.
    pub fn is_type(&mut self) -> bool {
        let Some(word) = self.cursor.peek_identifier() else {
            return false;
        };
        ElemType::from_name(word).is_some()
            || matches!(
                word,
                "seq" | "map" | "optional" | "sparse_tensor" | "opaque"
            )
    }

    fn element_type(&mut self) -> Option<ElemType> {
        let Some(word) = self.cursor.identifier() else {
            return self.cursor.error("expected an element type such as float");
        };
        match ElemType::from_name(word) {
            Some(elem) => Some(elem),
            None => {
                let from = self.cursor.at - word.len();
                self.cursor
                    .error_at(format!("'{word}' is not an element type"), from)
            }
        }
    }

    pub fn type_proto(&mut self) -> Option<Type<'a>> {
        self.nested(|parser| {
            let word = parser.cursor.peek_identifier().unwrap_or_default();
            let wrapped = match word {
                "seq" | "optional" | "map" | "sparse_tensor" | "opaque" => {
                    parser.cursor.identifier();
                    parser.cursor.expect(b'(', "after the kind of type")?;
                    word
                }
                _ => {
                    let elem = parser.element_type()?;
                    return Some(Type::Tensor(elem, parser.shape()?));
                }
            };
            let ty = match wrapped {
                "seq" => Type::Sequence(Some(Box::new(parser.type_proto()?))),
                "optional" => Type::Optional(Some(Box::new(parser.type_proto()?))),
                "map" => {
                    let key = parser.element_type()?;
                    parser
                        .cursor
                        .expect(b',', "between the types of key and value")?;
                    Type::Map(key, Some(Box::new(parser.type_proto()?)))
                }
                "sparse_tensor" => {
                    let elem = parser.element_type()?;
                    Type::SparseTensor(elem, parser.shape()?)
                }
                _ => parser.opaque()?,
            };
            parser.cursor.expect(b')', "after the type")?;
            Some(ty)
        })
    }

    /// `name` or `domain.name, name`, or nothing.
    fn opaque(&mut self) -> Option<Type<'a>> {
        let mut first = "";
        if let Some(word) = self.cursor.identifier() {
            let from = self.cursor.at - word.len();
            while self.cursor.eat(b'.') {
                self.cursor.identifier();
            }
            first = self.cursor.text.get(from..self.cursor.at)?;
        }
        if self.cursor.eat(b',') {
            let name = self.cursor.name("the name of the opaque type")?;
            return Some(Type::Opaque(first, name));
        }
        Some(Type::Opaque("", first))
    }

    /// Nothing for a scalar, `[]` for an unknown rank, `[2, n, ?]`.
    fn shape(&mut self) -> Option<Option<Vec<Dimension<'a>>>> {
        if !self.cursor.eat(b'[') {
            return Some(Some(Vec::new()));
        }
        if self.cursor.eat(b']') {
            return Some(None);
        }
        let mut dims = Vec::new();
        self.list(b']', "the dimensions", |parser| {
            dims.push(if parser.cursor.eat(b'?') {
                Dimension::Unknown
            } else if let Some(name) = parser.cursor.optional_name() {
                Dimension::Param(name)
            } else {
                Dimension::Value(parser.cursor.integer("a dimension")?)
            });
            Some(())
        });
        Some(Some(dims))
    }

    pub fn nodes(&mut self) -> Option<Vec<Node<'a>>> {
        self.cursor.expect(b'{', "before the nodes")?;
        let mut nodes = Vec::new();
        while !self.cursor.eat(b'}') {
            if self.cursor.at_end() {
                return self.cursor.error("expected '}' after the nodes");
            }
            let from = self.cursor.at;
            match self.node() {
                Some(node) => nodes.push(node),
                None => {
                    self.cursor.recover_line();
                    // Always forwards, or an unexpected character would be read for ever.
                    if self.cursor.at == from {
                        let step = self.cursor.text[from..].chars().next();
                        self.cursor.at += step.map_or(1, char::len_utf8);
                    }
                }
            }
        }
        Some(nodes)
    }

    /// `[name] outputs = domain.Op:overload <attributes> (inputs)`
    fn node(&mut self) -> Option<Node<'a>> {
        let mut node = Node::default();
        self.cursor.skip_space();
        let start = self.cursor.at;
        if self.cursor.eat(b'[') {
            node.name = self.cursor.optional_name().unwrap_or_default();
            self.cursor.expect(b']', "after the name of the node")?;
        }
        node.outputs = self.names()?;
        self.cursor
            .expect(b'=', "between the outputs and the operator")?;
        (node.domain, node.op_type) = self.operator()?;
        if self.cursor.eat(b':') {
            node.overload = self.cursor.name("the name of the overload")?;
        }
        let mut attributes = Vec::new();
        self.attributes(&mut attributes);
        self.cursor.expect(b'(', "before the inputs of the node")?;
        node.inputs = self.names()?;
        self.cursor.expect(b')', "after the inputs of the node")?;
        let mut end = self.cursor.at;
        if attributes.is_empty() {
            self.attributes(&mut attributes);
            // Looking for attributes goes on to the next word.
            if !attributes.is_empty() {
                end = self.cursor.at;
            }
        }
        node.attributes = attributes;
        node.span = Some(Span::new(start, end));
        Some(node)
    }

    /// `com.microsoft.Gelu`: the domain and the operator.
    fn operator(&mut self) -> Option<(&'a str, &'a str)> {
        let Some(mut last) = self.cursor.identifier() else {
            return self.cursor.error("expected an operator");
        };
        let from = self.cursor.at - last.len();
        let mut end = from;
        while self.cursor.eat(b'.') {
            end = self.cursor.at - 1;
            last = match self.cursor.identifier() {
                Some(word) => word,
                None => return self.cursor.error("expected an operator after the domain"),
            };
        }
        let domain = self.cursor.text.get(from..end)?.trim_end();
        Some((normal_domain(domain), last))
    }

    /// Names that may be empty: `a, , b` or `a, "", b`.
    fn names(&mut self) -> Option<Vec<&'a str>> {
        let mut out = Vec::new();
        loop {
            match self.cursor.optional_name() {
                Some(name) => out.push(name),
                None if self.cursor.peek() == Some(b',') => out.push(""),
                None => return Some(out),
            }
            if !self.cursor.eat(b',') {
                return Some(out);
            }
        }
    }

    fn attributes(&mut self, out: &mut Vec<Attribute<'a>>) {
        if self.cursor.eat(b'<') {
            self.list(b'>', "the attributes", |parser| {
                let name = parser.cursor.name("the name of an attribute")?;
                out.push(parser.attribute(name)?);
                Some(())
            });
        }
    }

    fn function(&mut self) -> Option<Function<'a>> {
        let mut function = Function::default();
        if self.cursor.eat(b'<') {
            self.list(b'>', "the function's properties", |parser| {
                let key = match parser.cursor.identifier() {
                    Some(key) => key,
                    None => return parser.cursor.error("expected a property such as domain"),
                };
                parser.cursor.expect(b':', "after the property's name")?;
                match key {
                    "opset_import" => function.opset_import = parser.opsets()?,
                    "doc_string" => function.doc_string = parser.cursor.quoted()?,
                    "domain" => function.domain = normal_domain(parser.cursor.quoted()?),
                    "overload" => function.overload = parser.cursor.quoted()?,
                    _ => {
                        let message = format!(
                            "a function has no property '{key}'; there are domain, opset_import, overload and doc_string"
                        );
                        return parser.cursor.error(message);
                    }
                }
                Some(())
            });
        }
        function.name = self.cursor.name("the name of a function")?;
        if self.cursor.eat(b'<') {
            self.list(b'>', "the function's attributes", |parser| {
                let name = parser.cursor.name("the name of an attribute")?;
                if matches!(parser.cursor.peek(), Some(b':' | b'=')) {
                    function.defaults.push(parser.attribute(name)?);
                } else {
                    function.attributes.push(name);
                }
                Some(())
            });
        }
        self.cursor.expect(b'(', "before the function's inputs")?;
        function.inputs = self.formals(&mut function.value_info);
        self.arrow()?;
        self.cursor.expect(b'(', "before the function's outputs")?;
        function.outputs = self.formals(&mut function.value_info);
        if self.cursor.eat(b'<') {
            self.list(b'>', "the values", |parser| {
                function.value_info.push(parser.value_info()?);
                Some(())
            });
        }
        function.nodes = self.nodes()?;
        Some(function)
    }

    /// Names of a function's inputs or outputs, with or without types.
    fn formals(&mut self, infos: &mut Vec<ValueInfo<'a>>) -> Vec<&'a str> {
        let mut out = Vec::new();
        self.list(b')', "the names", |parser| {
            let info = parser.value_info()?;
            out.push(info.name);
            if info.ty.is_some() {
                infos.push(info);
            }
            Some(())
        });
        out
    }
}
