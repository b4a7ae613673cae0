//! Names, shapes and expressions.

use modelcost_core::SmolStr;
use modelcost_core::convention::closest;
use modelcost_core::diagnostic::Diagnostic;
use modelcost_core::expr::{Argument, Expr, ExprKind, Ident, Span, UnaryOp};

use super::Reader;
use crate::document::{Body, Input, Key, Parameter, Part, Piece, Size, TensorDecl, UNKNOWN};
use crate::text::Text;
use crate::tree::{Entry, Node, NodeKind};

/// A tensor as it is written.
struct Written {
    shape: Vec<Size>,
    /// Where the shape stands.
    span: Span,
    dtype: Option<Ident>,
    flag: Option<bool>,
}

impl Reader {
    /// A layer's name: `conv1`, `"q, k, v"`, `"layer{i}"`.
    pub(super) fn key(&mut self, text: &Text) -> Key {
        let value = text.value.as_str();
        if value.contains('{') {
            return self.pattern(text);
        }
        if value.contains(',') {
            let (arguments, errors) = text.arguments();
            self.syntax(errors);
            let parts = arguments.into_iter();
            return Key::Unpack(parts.filter_map(|part| self.part(part)).collect());
        }
        if value.is_empty() || value.contains(['.', '}', ' ']) {
            self.error(
                "a module's name is a word without dots and spaces",
                text.span,
            );
        }
        Key::Name(value.into())
    }

    fn part(&mut self, argument: Argument) -> Option<Part> {
        let items = match argument.value.kind {
            ExprKind::Tuple(items) | ExprKind::List(items) if argument.name.is_none() => items,
            _ => return self.plain_name(argument).map(Part::Name),
        };
        let parts = items.into_iter().filter_map(|value| {
            self.part(Argument {
                name: None,
                value,
                starred: false,
            })
        });
        Some(Part::Parts(parts.collect()))
    }

    pub(super) fn plain_name(&mut self, argument: Argument) -> Option<Ident> {
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

    pub(super) fn pattern(&mut self, text: &Text) -> Key {
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

    pub(super) fn identifier(&mut self, key: &Text) -> Ident {
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

    pub(super) fn name(&mut self, node: &Node, what: &str) -> Option<Ident> {
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

    pub(super) fn arguments(&mut self, node: &Node) -> Vec<Argument> {
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
    pub(super) fn parameters(&mut self, node: &Node, what: &str) -> Vec<Parameter> {
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

    pub(super) fn inputs(&mut self, entry: &Entry) -> Vec<Input> {
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

    pub(super) fn input(&mut self, name: Ident, node: &Node) -> Option<Input> {
        let tensor = self.tensor(node, &[])?;
        Some(Input {
            name,
            shape: tensor.shape,
            shape_span: tensor.span,
            dtype: tensor.dtype,
        })
    }

    /// `[1, 3, 224, 224]` or `{ shape = [...], dtype = "int64" }`, and the flags it is given.
    fn tensor(&mut self, node: &Node, flags: &[&str]) -> Option<Written> {
        let entries = match &node.kind {
            NodeKind::Array(items) => {
                return Some(Written {
                    shape: self.shape(items),
                    span: node.span,
                    dtype: None,
                    flag: None,
                });
            }
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
            Some((shape, span)) => Some(Written {
                shape,
                span,
                dtype,
                flag,
            }),
            None => {
                self.error("this tensor has no 'shape'", node.span);
                None
            }
        }
    }

    pub(super) fn dtype(&mut self, node: &Node) -> Option<Ident> {
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

    pub(super) fn shape(&mut self, items: &[Node]) -> Vec<Size> {
        items
            .iter()
            .filter_map(|item| match &item.kind {
                NodeKind::String(text) if text.value == UNKNOWN && self.sizes_may_be_unknown => {
                    Some(Size {
                        value: Expr {
                            kind: ExprKind::Name(UNKNOWN.into()),
                            span: item.span,
                        },
                        default: None,
                    })
                }
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

    pub(super) fn tensors(&mut self, node: &Node, buffer: bool, body: &mut Body) {
        let (what, flag) = match buffer {
            true => ("'buffers'", "persistent"),
            false => ("'parameters'", "requires_grad"),
        };
        let Some(entries) = node.table() else {
            return self.wrong_kind(node, what, "a table of names and shapes");
        };
        for entry in entries {
            // Those of a ParameterList are numbers.
            let number = !buffer && entry.key.value.bytes().all(|byte| byte.is_ascii_digit());
            let name = match number {
                true => Ident {
                    name: entry.key.value.as_str().into(),
                    span: entry.key.span,
                },
                false => self.identifier(&entry.key),
            };
            self.sizes_may_be_unknown = true;
            let tensor = self.tensor(&entry.value, &[flag]);
            self.sizes_may_be_unknown = false;
            if let Some(tensor) = tensor {
                body.tensors.push(TensorDecl {
                    name,
                    shape: tensor.shape,
                    dtype: tensor.dtype,
                    buffer,
                    flag: tensor.flag.unwrap_or(true),
                });
            }
        }
    }

    /// `"head.weight" = "emb.weight"`, quoted or not.
    pub(super) fn ties(&mut self, node: &Node, prefix: &str, body: &mut Body) {
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
    pub(super) fn expr(&mut self, node: &Node) -> Expr {
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
