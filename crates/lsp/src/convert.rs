//! Plain data to the types of the protocol.

use std::ops::Range;

use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_ide::actions::{Action, ActionKind, Edit};
use modelcost_ide::completion::{Item, ItemKind};
use modelcost_ide::hints::{Hint, Subject};
use modelcost_ide::outline::{OutlineItem, OutlineKind};
use modelcost_ide::signature::SignatureHelp;
use modelcost_ide::{Buffer, Encoding, Position};
use serde_json::Value;
use tower_lsp::ls_types::{self as lsp, Uri};

/// Bytes of a text to positions and back.
pub struct Converter<'d> {
    buffer: &'d Buffer,
    encoding: Encoding,
}

impl<'d> Converter<'d> {
    /// For a text.
    pub fn new(buffer: &'d Buffer, encoding: Encoding) -> Converter<'d> {
        Converter { buffer, encoding }
    }

    /// The byte at a position.
    pub fn byte(&self, position: lsp::Position) -> usize {
        let position = Position {
            line: position.line,
            character: position.character,
        };
        self.buffer.offset(position, self.encoding)
    }

    /// The bytes of a range. One that ends before it starts is empty.
    pub fn bytes(&self, range: lsp::Range) -> Range<usize> {
        let start = self.byte(range.start);
        start..self.byte(range.end).max(start)
    }

    /// The position of a byte.
    pub fn position(&self, offset: usize) -> lsp::Position {
        let position = self.buffer.position(offset, self.encoding);
        lsp::Position {
            line: position.line,
            character: position.character,
        }
    }

    /// The range of some bytes.
    pub fn range(&self, bytes: &Range<usize>) -> lsp::Range {
        lsp::Range {
            start: self.position(bytes.start),
            end: self.position(bytes.end),
        }
    }

    /// A hint; its subject is kept for the tooltip.
    pub fn hint(&self, uri: &Uri, hint: &Hint) -> lsp::InlayHint {
        lsp::InlayHint {
            position: self.position(hint.offset),
            label: lsp::InlayHintLabel::String(hint.label.clone()),
            kind: None,
            text_edits: None,
            tooltip: None,
            padding_left: Some(true),
            padding_right: None,
            data: Some(hint_data(uri, hint)),
        }
    }

    /// A message about the text.
    pub fn diagnostic(&self, uri: &Uri, diagnostic: &Diagnostic) -> lsp::Diagnostic {
        let mut message = diagnostic.message.clone();
        if let Some(help) = &diagnostic.help {
            message.push('\n');
            message.push_str(help);
        }
        let related =
            diagnostic
                .related
                .iter()
                .map(|(span, message)| lsp::DiagnosticRelatedInformation {
                    location: lsp::Location {
                        uri: uri.clone(),
                        range: self.range(span),
                    },
                    message: message.clone(),
                });
        let related: Vec<_> = related.collect();
        let severity = match diagnostic.severity {
            Severity::Error => lsp::DiagnosticSeverity::ERROR,
            Severity::Warning => lsp::DiagnosticSeverity::WARNING,
            Severity::Information => lsp::DiagnosticSeverity::INFORMATION,
        };
        lsp::Diagnostic {
            range: self.range(&diagnostic.span.clone().unwrap_or(0..0)),
            severity: Some(severity),
            source: Some("modelcost".into()),
            message,
            related_information: (!related.is_empty()).then_some(related),
            ..lsp::Diagnostic::default()
        }
    }

    /// Edits of one document.
    pub fn edits(&self, edits: &[Edit]) -> Vec<lsp::TextEdit> {
        edits
            .iter()
            .map(|edit| lsp::TextEdit {
                range: self.range(&edit.range),
                new_text: edit.text.clone(),
            })
            .collect()
    }

    /// An offer to change the text.
    pub fn action(&self, uri: &Uri, action: &Action) -> lsp::CodeAction {
        let changes = [(uri.clone(), self.edits(&action.edits))].into();
        let (kind, diagnostics) = match &action.kind {
            ActionKind::Fix(diagnostic) => (
                lsp::CodeActionKind::QUICKFIX,
                Some(vec![self.diagnostic(uri, diagnostic)]),
            ),
            ActionKind::Rewrite => (lsp::CodeActionKind::REFACTOR_REWRITE, None),
        };
        lsp::CodeAction {
            title: action.title.clone(),
            kind: Some(kind),
            diagnostics,
            edit: Some(lsp::WorkspaceEdit {
                changes: Some(changes),
                ..lsp::WorkspaceEdit::default()
            }),
            is_preferred: action.preferred.then_some(true),
            ..lsp::CodeAction::default()
        }
    }

    /// A proposal, and how many come before it.
    pub fn item(&self, item: &Item, before: usize) -> lsp::CompletionItem {
        let kind = match item.kind {
            ItemKind::Class | ItemKind::Block => lsp::CompletionItemKind::CLASS,
            ItemKind::Function => lsp::CompletionItemKind::FUNCTION,
            ItemKind::Layer => lsp::CompletionItemKind::FIELD,
            ItemKind::Variable => lsp::CompletionItemKind::VARIABLE,
            ItemKind::Argument => lsp::CompletionItemKind::PROPERTY,
            ItemKind::Value => lsp::CompletionItemKind::VALUE,
            ItemKind::Key => lsp::CompletionItemKind::KEYWORD,
            ItemKind::Convention => lsp::CompletionItemKind::ENUM_MEMBER,
        };
        let edit = lsp::TextEdit {
            range: self.range(&item.range),
            new_text: item.insert.clone(),
        };
        lsp::CompletionItem {
            label: item.label.clone(),
            kind: Some(kind),
            detail: (!item.detail.is_empty()).then(|| item.detail.clone()),
            sort_text: Some(format!("{:03}{before:04}", item.rank)),
            // What is compared with the typed word is what would stand in its place.
            filter_text: (item.insert != item.label).then(|| item.insert.clone()),
            text_edit: Some(lsp::CompletionTextEdit::Edit(edit)),
            data: item.docs.clone().map(Value::String),
            ..lsp::CompletionItem::default()
        }
    }

    /// An entry of the outline.
    #[allow(deprecated)] // the type has a field that was replaced by `tags`, and no constructor
    pub fn symbol(&self, item: &OutlineItem) -> lsp::DocumentSymbol {
        let kind = match item.kind {
            OutlineKind::Model => lsp::SymbolKind::MODULE,
            OutlineKind::Block => lsp::SymbolKind::CLASS,
            OutlineKind::Container => lsp::SymbolKind::NAMESPACE,
            OutlineKind::Layer => lsp::SymbolKind::FIELD,
            OutlineKind::Variable => lsp::SymbolKind::CONSTANT,
        };
        let children: Vec<_> = item
            .children
            .iter()
            .map(|child| self.symbol(child))
            .collect();
        lsp::DocumentSymbol {
            // Clients refuse an empty name.
            name: if item.name.is_empty() {
                "?".into()
            } else {
                item.name.clone()
            },
            detail: (!item.detail.is_empty()).then(|| item.detail.clone()),
            kind,
            tags: None,
            deprecated: None,
            range: self.range(&item.span),
            selection_range: self.range(&item.name_span),
            children: (!children.is_empty()).then_some(children),
        }
    }

    /// A signature. Parameters are given as text, which every client can find in the label.
    pub fn signature(&self, help: &SignatureHelp) -> lsp::SignatureHelp {
        let parameters = help
            .parameters
            .iter()
            .map(|(range, doc)| lsp::ParameterInformation {
                label: lsp::ParameterLabel::Simple(help.label[range.clone()].into()),
                documentation: doc.map(|doc| lsp::Documentation::String(doc.into())),
            });
        let active = help.active.map(|active| active as u32);
        lsp::SignatureHelp {
            signatures: vec![lsp::SignatureInformation {
                label: help.label.clone(),
                documentation: help.doc.clone().map(lsp::Documentation::String),
                parameters: Some(parameters.collect()),
                active_parameter: active,
            }],
            active_signature: Some(0),
            active_parameter: active,
        }
    }
}

/// Markdown as the protocol has it.
pub fn markdown(text: String) -> lsp::MarkupContent {
    lsp::MarkupContent {
        kind: lsp::MarkupKind::Markdown,
        value: text,
    }
}

/// What a client keeps with a hint: `"layer 12 stale file:///a.toml"`. There are sixty of them in an answer, and an object
/// each is felt.
fn hint_data(uri: &Uri, hint: &Hint) -> Value {
    let (kind, index) = match hint.subject {
        Subject::Model => ("model", 0),
        Subject::Block(index) => ("block", index),
        Subject::Layer(index) => ("layer", index),
        Subject::Node(index) => ("node", index),
    };
    let age = if hint.stale { "stale" } else { "fresh" };
    Value::String(format!("{kind} {index} {age} {}", uri.as_str()))
}

/// The document and the subject of a hint that the client sends back.
pub fn hinted(data: &Value) -> Option<(&str, Subject)> {
    let mut parts = data.as_str()?.splitn(4, ' ');
    let (kind, index) = (parts.next()?, parts.next()?.parse().ok()?);
    let uri = parts.nth(1)?;
    let subject = match kind {
        "model" => Subject::Model,
        "block" => Subject::Block(index),
        "layer" => Subject::Layer(index),
        "node" => Subject::Node(index),
        _ => return None,
    };
    Some((uri, subject))
}
