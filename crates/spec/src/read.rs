//! From a TOML tree to a document.

use modelcost_core::SmolStr;
use modelcost_core::convention::closest;
use modelcost_core::diagnostic::{Diagnostic, Suggestion};
use modelcost_core::expr::{Argument, Expr, ExprKind, Ident, Span, SyntaxError, UnaryOp};

use crate::document::{
    Block, Body, Budget, Content, Document, Input, Key, Layer, LayerId, Layers, Parameter, Piece,
    Size, TensorDecl, Variable,
};
use crate::keys;
use crate::text::Text;
use crate::tree::{Entry, Node, NodeKind};

pub(crate) fn read(entries: &[Entry]) -> (Document, Vec<Diagnostic>) {
    let mut reader = Reader::default();
    reader.document(entries);
    (reader.document, reader.diagnostics)
}

#[derive(Default)]
struct Reader {
    document: Document,
    diagnostics: Vec<Diagnostic>,
    block: Option<usize>,
}

/// More than anyone reads.
const MAX_DIAGNOSTICS: usize = 100;

impl Reader {
    fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        }
    }

    fn error(&mut self, message: impl Into<String>, span: Span) {
        self.report(Diagnostic::error(message, span.range()));
    }

    fn wrong_kind(&mut self, node: &Node, what: &str, expected: &str) {
        let found = node.describe();
        self.error(format!("{what} must be {expected}, not {found}"), node.span);
    }

    fn syntax(&mut self, errors: Vec<SyntaxError>) {
        for error in errors {
            self.error(error.message, error.span);
        }
    }

    fn unknown_key(&mut self, entry: &Entry, place: &str, known: &[&[&str]]) {
        let name = &entry.key.value;
        let mut diagnostic = Diagnostic::error(
            format!("{place} has no key '{name}'"),
            entry.key.span.range(),
        );
        let known = known.iter().flat_map(|keys| keys.iter().copied());
        match closest(name, known.clone()) {
            Some(near) => {
                diagnostic.help = Some(format!("did you mean '{near}'?"));
                diagnostic.suggestion = Some(Suggestion {
                    span: entry.key.span.range(),
                    replacement: near.into(),
                });
            }
            None => {
                let known: Vec<&str> = known.collect();
                diagnostic.help = Some(format!("it has {}", known.join(", ")));
            }
        }
        self.report(diagnostic);
    }

    fn document(&mut self, entries: &[Entry]) {
        let mut body = Body::default();
        for entry in entries {
            if entry.key.value == "model" {
                self.model(entry, &mut body);
            }
        }
        for entry in entries {
            match entry.key.value.as_str() {
                "model" => {}
                "variables" => self.variables(entry),
                "block" => self.blocks(entry),
                "budget" => self.budget(&entry.value, ""),
                key if keys::TOP.contains(&key) => self.lifted(entry, entries, &mut body),
                _ => self.unknown_key(entry, "a spec", &[keys::TOP]),
            }
        }
        self.document.model = body;
    }

    /// `[layers]` stands for `[model.layers]`, and likewise the rest of the model's body.
    fn lifted(&mut self, entry: &Entry, entries: &[Entry], body: &mut Body) {
        let key = entry.key.value.as_str();
        let model = entries.iter().find(|entry| entry.key.value == "model");
        let inner = model.and_then(|model| model.value.table());
        if let Some(first) = inner.and_then(|t| t.iter().find(|e| e.key.value == key)) {
            let mut diagnostic = Diagnostic::error(
                format!("'{key}' is given both in [model] and at the top"),
                entry.key.span.range(),
            );
            diagnostic
                .related
                .push((first.key.span.range(), "first here".into()));
            return self.report(diagnostic);
        }
        self.body_key(entry, body, None);
    }

    fn model(&mut self, entry: &Entry, body: &mut Body) {
        let Some(entries) = entry.value.table() else {
            return self.wrong_kind(&entry.value, "[model]", "a table");
        };
        self.document.model_span = Some(entry.key.span);
        body.span = entry.value.span;
        for entry in entries {
            match entry.key.value.as_str() {
                "name" => self.document.name = self.name(&entry.value, "the model's name"),
                "input" => self.document.inputs = self.inputs(entry),
                key if keys::BODY.contains(&key) => self.body_key(entry, body, None),
                _ => self.unknown_key(entry, "[model]", &[keys::MODEL, keys::BODY]),
            }
        }
    }

    fn variables(&mut self, entry: &Entry) {
        let Some(entries) = entry.value.table() else {
            return self.wrong_kind(&entry.value, "[variables]", "a table");
        };
        for entry in entries {
            let name = self.identifier(&entry.key);
            let value = self.expr(&entry.value);
            self.document.variables.push(Variable { name, value });
        }
    }

    fn blocks(&mut self, entry: &Entry) {
        let Some(entries) = entry.value.table() else {
            return self.wrong_kind(&entry.value, "[block]", "a table of blocks");
        };
        // All names first, so that the layers of a block know their block's index.
        for entry in entries {
            let name = self.identifier(&entry.key);
            let Some(keys) = entry.value.table() else {
                self.wrong_kind(&entry.value, "a block", "a table");
                continue;
            };
            let mut span = entry.key.span.to(entry.value.span);
            for key in keys {
                span = span.to(key.key.span).to(key.value.span);
            }
            self.block = Some(self.document.blocks.len());
            let mut block = Block {
                name,
                args: Vec::new(),
                body: Body {
                    span,
                    ..Body::default()
                },
                span,
            };
            for key in keys {
                match key.key.value.as_str() {
                    "args" => block.args = self.parameters(&key.value, "args"),
                    known if keys::BODY.contains(&known) => {
                        self.body_key(key, &mut block.body, None)
                    }
                    _ => self.unknown_key(key, "a block", &[keys::BLOCK, keys::BODY]),
                }
            }
            self.document.blocks.push(block);
            self.block = None;
        }
    }

    fn budget(&mut self, node: &Node, prefix: &str) {
        let Some(entries) = node.table() else {
            return self.wrong_kind(node, "[budget]", "a table");
        };
        for entry in entries {
            let key = format!("{prefix}{}", entry.key.value);
            let limit = match &entry.value.kind {
                NodeKind::Table(_) if prefix.is_empty() => {
                    self.budget(&entry.value, &format!("{key}."));
                    continue;
                }
                NodeKind::String(text) => text.value.as_str().into(),
                NodeKind::Integer(value) => value.to_string().into(),
                NodeKind::Float(value) => value.to_string().into(),
                _ => {
                    self.wrong_kind(&entry.value, "a budget", "a number such as \"600M\"");
                    continue;
                }
            };
            self.document.budget.push(Budget {
                key: Ident {
                    name: key.into(),
                    span: entry.key.span,
                },
                limit: Ident {
                    name: limit,
                    span: entry.value.span,
                },
            });
        }
    }

    /// One key of a body. `parent` is the layer that the body is.
    fn body_key(&mut self, entry: &Entry, body: &mut Body, parent: Option<LayerId>) {
        let value = &entry.value;
        match entry.key.value.as_str() {
            "class" => body.class = self.name(value, "a class"),
            "base" => body.base = self.name(value, "a base class"),
            "input" => body.input = Some(self.parameters(value, "input")),
            "output" => body.output = Some(self.expr(value)),
            "modules" => match value.table() {
                Some(entries) => {
                    body.modules = entries
                        .iter()
                        .filter_map(|entry| self.named_layer(entry, parent))
                        .collect();
                }
                None => self.wrong_kind(value, "'modules'", "a table of names and modules"),
            },
            "layers" => body.layers = self.layers(value, parent),
            "parameters" => self.tensors(value, false, body),
            "buffers" => self.tensors(value, true, body),
            "tie" => self.ties(value, "", body),
            "freeze" => match &value.kind {
                NodeKind::Array(items) => {
                    body.freeze = items
                        .iter()
                        .filter_map(|item| self.name(item, "the path of what is frozen"))
                        .collect();
                }
                _ => self.wrong_kind(value, "'freeze'", "an array of paths"),
            },
            _ => {}
        }
    }

    fn layers(&mut self, node: &Node, parent: Option<LayerId>) -> Layers {
        match &node.kind {
            NodeKind::Table(entries) => Layers::Named(
                entries
                    .iter()
                    .filter_map(|entry| self.named_layer(entry, parent))
                    .collect(),
            ),
            NodeKind::Array(items) => Layers::Sequence(
                items
                    .iter()
                    .filter_map(|item| self.layer(Key::Next, None, item, parent))
                    .collect(),
            ),
            NodeKind::String(_) => match self.layer(Key::Next, None, node, parent) {
                Some(id) => Layers::Single(id),
                None => Layers::default(),
            },
            _ => {
                self.wrong_kind(node, "'layers'", "a table, an array or a module");
                Layers::default()
            }
        }
    }

    fn named_layer(&mut self, entry: &Entry, parent: Option<LayerId>) -> Option<LayerId> {
        let key = self.key(&entry.key);
        self.layer(key, Some(entry.key.span), &entry.value, parent)
    }

    fn layer(
        &mut self,
        key: Key,
        key_span: Option<Span>,
        node: &Node,
        parent: Option<LayerId>,
    ) -> Option<LayerId> {
        let id = LayerId(u32::try_from(self.document.layers.len()).ok()?);
        self.document.layers.push(Layer {
            id,
            key,
            key_span,
            span: node.span,
            content: Content::Expr(error_expr(node.span)),
            when: None,
            repeat: None,
            from: None,
            freeze: false,
            parent,
            block: self.block,
        });
        let content = match &node.kind {
            NodeKind::Array(_) => Content::Body(Box::new(Body {
                layers: self.layers(node, Some(id)),
                span: node.span,
                ..Body::default()
            })),
            NodeKind::Table(entries) => {
                let long = |entry: &Entry| ["layers", "module"].contains(&entry.key.value.as_str());
                let span = entries
                    .iter()
                    .fold(node.span, |span, e| span.to(e.key.span).to(e.value.span));
                self.document.layers[id.index()].span = span;
                if entries.iter().any(long) {
                    self.long_layer(entries, id, span)
                } else {
                    Content::Body(Box::new(Body {
                        layers: self.layers(node, Some(id)),
                        span,
                        ..Body::default()
                    }))
                }
            }
            _ => Content::Expr(self.expr(node)),
        };
        self.document.layers[id.index()].content = content;
        Some(id)
    }

    /// `{ when = "down", layers = [...] }`, `{ module = "Conv2d(...)", freeze = true }`.
    fn long_layer(&mut self, entries: &[Entry], id: LayerId, span: Span) -> Content {
        let mut body = Body {
            span,
            ..Body::default()
        };
        let mut module = None;
        for entry in entries {
            let value = &entry.value;
            match entry.key.value.as_str() {
                "module" => module = Some((entry.key.span, self.expr(value))),
                "when" => self.document.layers[id.index()].when = Some(self.expr(value)),
                "repeat" => self.document.layers[id.index()].repeat = Some(self.expr(value)),
                "from" => self.document.layers[id.index()].from = Some(self.arguments(value)),
                "freeze" if matches!(value.kind, NodeKind::Boolean(_)) => {
                    let freeze = matches!(value.kind, NodeKind::Boolean(true));
                    self.document.layers[id.index()].freeze = freeze;
                }
                key if keys::BODY.contains(&key) => self.body_key(entry, &mut body, Some(id)),
                _ => self.unknown_key(entry, "a layer", &[keys::LAYER, keys::BODY]),
            }
        }
        let Some((key_span, expr)) = module else {
            return Content::Body(Box::new(body));
        };
        let other = entries.iter().find(|entry| {
            keys::BODY.contains(&entry.key.value.as_str()) && entry.key.value != "freeze"
        });
        if let Some(other) = other {
            let mut diagnostic = Diagnostic::error(
                format!("a layer with 'module' cannot have '{}'", other.key.value),
                other.key.span.range(),
            );
            diagnostic
                .related
                .push((key_span.range(), "the module".into()));
            self.report(diagnostic);
        }
        Content::Expr(expr)
    }

    /// A layer's name: `conv1`, `"q, k, v"`, `"layer{i}"`.
    fn key(&mut self, text: &Text) -> Key {
        let value = text.value.as_str();
        if value.contains('{') {
            return self.pattern(text);
        }
        if value.contains(',') {
            let (arguments, errors) = text.arguments();
            self.syntax(errors);
            let names = arguments
                .into_iter()
                .filter_map(|argument| self.plain_name(argument))
                .collect();
            return Key::Unpack(names);
        }
        if value.is_empty() || value.contains(['.', '}', ' ']) {
            self.error(
                "a module's name is a word without dots and spaces",
                text.span,
            );
        }
        Key::Name(value.into())
    }

    fn plain_name(&mut self, argument: Argument) -> Option<Ident> {
        match argument.value.kind {
            ExprKind::Name(name) if argument.name.is_none() && !argument.starred => Some(Ident {
                name,
                span: argument.value.span,
            }),
            _ => {
                self.error("expected a name", argument.value.span);
                None
            }
        }
    }

    fn pattern(&mut self, text: &Text) -> Key {
        let value = text.value.as_str();
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(open) = value[at..].find('{').map(|open| at + open) {
            if open > at {
                pieces.push(Piece::Text(value[at..open].into()));
            }
            let Some(close) = value[open..].find('}').map(|close| open + close) else {
                self.error("this '{' is not closed: add '}'", text.span);
                break;
            };
            let inner = Text::new("", &value[open + 1..close], text.span);
            let (mut expr, errors) = inner.expression();
            if let Some(error) = errors.into_iter().next() {
                self.error(error.message, text.span);
            }
            expr.span = text.source_span(open + 1, close);
            pieces.push(Piece::Expr(expr));
            at = close + 1;
        }
        if at < value.len() && !value[at..].contains('{') {
            pieces.push(Piece::Text(value[at..].into()));
        }
        let stem: String = value.chars().take_while(|c| *c != '{').collect();
        Key::Pattern {
            pieces,
            stem: stem.trim_end_matches('_').into(),
        }
    }

    fn identifier(&mut self, key: &Text) -> Ident {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        if !key.value.chars().all(word) || key.value.starts_with(|c: char| c.is_ascii_digit()) {
            self.error(
                format!("'{}' is not a name: use letters, digits and _", key.value),
                key.span,
            );
        }
        Ident {
            name: key.value.as_str().into(),
            span: key.span,
        }
    }

    fn name(&mut self, node: &Node, what: &str) -> Option<Ident> {
        match &node.kind {
            NodeKind::String(text) => Some(Ident {
                name: text.value.as_str().into(),
                span: node.span,
            }),
            _ => {
                self.wrong_kind(node, what, "a string");
                None
            }
        }
    }

    fn arguments(&mut self, node: &Node) -> Vec<Argument> {
        match &node.kind {
            NodeKind::String(text) => {
                let (arguments, errors) = text.arguments();
                self.syntax(errors);
                arguments
            }
            _ => {
                self.wrong_kind(node, "'from'", "a string of names or expressions");
                Vec::new()
            }
        }
    }

    /// `"width, stride=1"`
    fn parameters(&mut self, node: &Node, what: &str) -> Vec<Parameter> {
        let NodeKind::String(text) = &node.kind else {
            let expected = "a string such as \"width, stride=1\"";
            self.wrong_kind(node, &format!("'{what}'"), expected);
            return Vec::new();
        };
        let (arguments, errors) = text.arguments();
        self.syntax(errors);
        let mut parameters: Vec<Parameter> = Vec::new();
        for argument in arguments {
            let parameter = match argument.name.clone() {
                Some(name) => Some(Parameter {
                    name,
                    default: Some(argument.value),
                }),
                None => self.plain_name(argument).map(|name| Parameter {
                    name,
                    default: None,
                }),
            };
            let Some(parameter) = parameter else { continue };
            let name = &parameter.name;
            if parameters.iter().any(|p| p.name.name == name.name) {
                self.error(format!("the name {} is used twice", name.name), name.span);
                continue;
            }
            parameters.push(parameter);
        }
        parameters
    }

    fn inputs(&mut self, entry: &Entry) -> Vec<Input> {
        match &entry.value.kind {
            NodeKind::Array(_) => {
                let name = Ident {
                    name: SmolStr::new_static("input"),
                    span: entry.key.span,
                };
                self.input(name, &entry.value).into_iter().collect()
            }
            NodeKind::Table(entries) if entries.iter().any(|e| e.key.value == "shape") => {
                let name = Ident {
                    name: SmolStr::new_static("input"),
                    span: entry.key.span,
                };
                self.input(name, &entry.value).into_iter().collect()
            }
            NodeKind::Table(entries) => entries
                .iter()
                .filter_map(|entry| {
                    let name = self.identifier(&entry.key);
                    self.input(name, &entry.value)
                })
                .collect(),
            _ => {
                let expected = "a shape such as [1, 3, 224, 224], or a table of named shapes";
                self.wrong_kind(&entry.value, "'input'", expected);
                Vec::new()
            }
        }
    }

    fn input(&mut self, name: Ident, node: &Node) -> Option<Input> {
        let (shape, shape_span, dtype, _) = self.tensor(node, &[])?;
        Some(Input {
            name,
            shape,
            shape_span,
            dtype,
        })
    }

    /// `[1, 3, 224, 224]` or `{ shape = [...], dtype = "int64" }`, and the flags it is given.
    #[allow(clippy::type_complexity)]
    fn tensor(
        &mut self,
        node: &Node,
        flags: &[&str],
    ) -> Option<(Vec<Size>, Span, Option<Ident>, Option<bool>)> {
        let entries = match &node.kind {
            NodeKind::Array(items) => return Some((self.shape(items), node.span, None, None)),
            NodeKind::Table(entries) => entries,
            _ => {
                self.wrong_kind(node, "a tensor", "a shape or a table with 'shape'");
                return None;
            }
        };
        let (mut shape, mut dtype, mut flag) = (None, None, None);
        for entry in entries {
            match (entry.key.value.as_str(), &entry.value.kind) {
                ("shape", NodeKind::Array(items)) => {
                    shape = Some((self.shape(items), entry.value.span));
                }
                ("shape", _) => self.wrong_kind(&entry.value, "'shape'", "an array of sizes"),
                ("dtype", _) => dtype = self.dtype(&entry.value),
                (key, NodeKind::Boolean(value)) if flags.contains(&key) => flag = Some(*value),
                _ => self.unknown_key(entry, "a tensor", &[&["shape", "dtype"], flags]),
            }
        }
        match shape {
            Some((shape, span)) => Some((shape, span, dtype, flag)),
            None => {
                self.error("this tensor has no 'shape'", node.span);
                None
            }
        }
    }

    fn dtype(&mut self, node: &Node) -> Option<Ident> {
        use modelcost_core::dtype::DType;
        let name = self.name(node, "'dtype'")?;
        if name.name.parse::<DType>().is_err() {
            let names = DType::ALL.iter().map(|dtype| dtype.name());
            let mut diagnostic = Diagnostic::error(
                format!("there is no element type '{}'", name.name),
                name.span.range(),
            );
            if let Some(near) = closest(&name.name, names) {
                diagnostic.help = Some(format!("did you mean '{near}'?"));
            }
            self.report(diagnostic);
            return None;
        }
        Some(name)
    }

    fn shape(&mut self, items: &[Node]) -> Vec<Size> {
        items
            .iter()
            .filter_map(|item| match &item.kind {
                NodeKind::String(text) => {
                    let (arguments, errors) = text.arguments();
                    self.syntax(errors);
                    let Ok([argument]) = <[Argument; 1]>::try_from(arguments) else {
                        self.error("expected one size", item.span);
                        return None;
                    };
                    Some(match argument.name {
                        Some(name) => Size {
                            value: Expr {
                                kind: ExprKind::Name(name.name),
                                span: name.span,
                            },
                            default: Some(argument.value),
                        },
                        None => Size {
                            value: argument.value,
                            default: None,
                        },
                    })
                }
                NodeKind::Integer(_) => Some(Size {
                    value: self.expr(item),
                    default: None,
                }),
                _ => {
                    self.wrong_kind(item, "a size", "an integer, a name or an expression");
                    None
                }
            })
            .collect()
    }

    fn tensors(&mut self, node: &Node, buffer: bool, body: &mut Body) {
        let (what, flag) = match buffer {
            true => ("'buffers'", "persistent"),
            false => ("'parameters'", "requires_grad"),
        };
        let Some(entries) = node.table() else {
            return self.wrong_kind(node, what, "a table of names and shapes");
        };
        for entry in entries {
            let name = self.identifier(&entry.key);
            if let Some((shape, _, dtype, given)) = self.tensor(&entry.value, &[flag]) {
                body.tensors.push(TensorDecl {
                    name,
                    shape,
                    dtype,
                    buffer,
                    flag: given.unwrap_or(true),
                });
            }
        }
    }

    /// `"head.weight" = "emb.weight"`, quoted or not.
    fn ties(&mut self, node: &Node, prefix: &str, body: &mut Body) {
        let Some(entries) = node.table() else {
            return self.wrong_kind(node, "'tie'", "a table of parameters and their sources");
        };
        for entry in entries {
            let path = format!("{prefix}{}", entry.key.value);
            if entry.value.table().is_some() {
                self.ties(&entry.value, &format!("{path}."), body);
            } else if let Some(source) = self.name(&entry.value, "the parameter to share") {
                let target = Ident {
                    name: path.into(),
                    span: entry.key.span,
                };
                body.ties.push((target, source));
            }
        }
    }

    /// A value as an expression: strings are parsed, the rest stands for itself.
    fn expr(&mut self, node: &Node) -> Expr {
        let kind = match &node.kind {
            NodeKind::String(text) => {
                let (expr, errors) = text.expression();
                self.syntax(errors);
                return expr;
            }
            NodeKind::Integer(value) if *value < 0 => ExprKind::Unary(
                UnaryOp::Neg,
                Box::new(Expr {
                    kind: ExprKind::Int(value.saturating_neg()),
                    span: node.span,
                }),
            ),
            NodeKind::Integer(value) => ExprKind::Int(*value),
            NodeKind::Float(value) => ExprKind::Float(*value),
            NodeKind::Boolean(value) => ExprKind::Bool(*value),
            NodeKind::Array(items) => {
                ExprKind::List(items.iter().map(|item| self.expr(item)).collect())
            }
            NodeKind::Table(_) | NodeKind::Datetime => {
                self.wrong_kind(node, "a value", "a number, an expression or an array");
                ExprKind::Error
            }
        };
        Expr {
            kind,
            span: node.span,
        }
    }
}

fn error_expr(span: Span) -> Expr {
    Expr {
        kind: ExprKind::Error,
        span,
    }
}
