//! From a TOML tree to a document.

use modelcost_core::convention::closest;
use modelcost_core::diagnostic::{Diagnostic, Suggestion};
use modelcost_core::expr::{Expr, ExprKind, Ident, Span, SyntaxError};
use modelcost_core::fidelity::Level;

use crate::document::{
    Block, Body, Budget, Content, Document, Key, Layer, LayerId, Layers, Variable,
};
use crate::keys;
use crate::tree::{Entry, Node, NodeKind};

pub(crate) fn read(entries: &[Entry]) -> (Document, Vec<Diagnostic>) {
    let mut reader = Reader::default();
    reader.document(entries);
    (reader.document, reader.diagnostics)
}

mod values;

#[derive(Default)]
struct Reader {
    document: Document,
    diagnostics: Vec<Diagnostic>,
    block: Option<usize>,
    /// Whether sizes are being read that a spec may leave open.
    sizes_may_be_unknown: bool,
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
        self.hide_gradients();
    }

    /// Marks the layers that bodies name as run without gradients.
    fn hide_gradients(&mut self) {
        let mut hidden = Vec::new();
        let mut missing = Vec::new();
        for body in self.document.bodies() {
            for name in &body.no_grad {
                let layers = body.layers.ids().iter();
                let mut called =
                    layers.filter(|id| self.document.layer(**id).key.gives(&name.name));
                match called.next() {
                    Some(id) => hidden.push(*id),
                    None => {
                        let names = body.layers.ids().iter();
                        let names = names.filter_map(|id| match &self.document.layer(*id).key {
                            Key::Name(name) => Some(name.as_str()),
                            _ => None,
                        });
                        let near = closest(&name.name, names).map(String::from);
                        missing.push((name.clone(), near));
                    }
                }
            }
        }
        for id in hidden {
            self.document.layers[id.index()].no_grad = true;
        }
        for (name, near) in missing {
            let message = format!("there is no layer '{}' here", name.name);
            let mut diagnostic = Diagnostic::error(message, name.span.range());
            diagnostic.help = near.map(|near| format!("did you mean '{near}'?"));
            self.report(diagnostic);
        }
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
                "reconstructed" => self.notes(&entry.value, Level::Reconstructed),
                "partial" => self.notes(&entry.value, Level::Partial),
                key if keys::BODY.contains(&key) => self.body_key(entry, body, None),
                _ => self.unknown_key(entry, "[model]", &[keys::MODEL, keys::BODY]),
            }
        }
    }

    /// Sentences that lower the fidelity of every answer.
    fn notes(&mut self, node: &Node, level: Level) {
        let NodeKind::Array(items) = &node.kind else {
            return self.wrong_kind(node, "a note", "an array of sentences");
        };
        for item in items {
            if let Some(note) = self.name(item, "a note") {
                self.document.fidelity.note(level, note.name.as_str());
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
            "freeze" => {
                body.freeze = self.names(value, "'freeze'", "paths", "the path of what is frozen");
            }
            "no_grad" => {
                body.no_grad =
                    self.names(value, "'no_grad'", "names of layers", "the name of a layer");
            }
            "sizes" => {
                body.sizes =
                    Some(self.names(value, "'sizes'", "lines of Python", "a line of Python"));
            }
            _ => {}
        }
    }

    /// An array of strings; `each` says what one of them is.
    fn names(&mut self, value: &Node, key: &str, all: &str, each: &str) -> Vec<Ident> {
        let NodeKind::Array(items) = &value.kind else {
            self.wrong_kind(value, key, &format!("an array of {all}"));
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| self.name(item, each))
            .collect()
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
            no_grad: false,
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
                let long = |entry: &Entry| keys::MARKS_LAYER.contains(&entry.key.value.as_str());
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
}

fn error_expr(span: Span) -> Expr {
    Expr {
        kind: ExprKind::Error,
        span,
    }
}
