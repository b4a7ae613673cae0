//! The structure of a document: symbols and folds.

use std::ops::Range;

use modelcost_spec::{Body, Content, Document, LayerId};

use crate::analysis::{Analysis, layer_name};
use crate::text::Buffer;

/// What a symbol of the outline is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OutlineKind {
    Model,
    Block,
    Layer,
    Container,
    Variable,
}

/// An entry of the outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineItem {
    /// Its name.
    pub name: String,
    /// The start of its line.
    pub detail: String,
    /// What it is.
    pub kind: OutlineKind,
    /// All of it.
    pub span: Range<usize>,
    /// Its name.
    pub name_span: Range<usize>,
    /// What is inside it.
    pub children: Vec<OutlineItem>,
}

/// The outline of a spec.
pub fn outline(analysis: &Analysis, text: &str) -> Vec<OutlineItem> {
    let document = &analysis.document;
    let mut out = Vec::new();
    for variable in &document.variables {
        let span = variable.name.span.to(variable.value.span);
        out.push(OutlineItem {
            name: variable.name.name.to_string(),
            detail: text
                .get(variable.value.span.range())
                .unwrap_or_default()
                .into(),
            kind: OutlineKind::Variable,
            span: span.range(),
            name_span: variable.name.span.range(),
            children: Vec::new(),
        });
    }
    let children = body(document, &document.model, text);
    let name_span = document
        .name
        .as_ref()
        .map(|name| name.span)
        .or(document.model_span);
    if let Some(span) = name_span
        .map(|span| span.range())
        .or_else(|| children.first().map(|first| first.name_span.clone()))
    {
        let all = children
            .iter()
            .fold(span.clone(), |all, child| cover(&all, &child.span));
        out.push(OutlineItem {
            name: document
                .name
                .as_ref()
                .map_or("model".into(), |name| name.name.to_string()),
            detail: String::new(),
            kind: OutlineKind::Model,
            span: all,
            name_span: span,
            children,
        });
    }
    for block in &document.blocks {
        let children = body(document, &block.body, text);
        let arguments: Vec<&str> = block
            .args
            .iter()
            .map(|argument| argument.name.name.as_str())
            .collect();
        let name_span = block.name.span.range();
        let all = children
            .iter()
            .fold(cover(&block.span.range(), &name_span), |all, child| {
                cover(&all, &child.span)
            });
        out.push(OutlineItem {
            name: block.name.name.to_string(),
            detail: format!("({})", arguments.join(", ")),
            kind: OutlineKind::Block,
            span: all,
            name_span,
            children,
        });
    }
    out
}

fn cover(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.min(b.start)..a.end.max(b.end)
}

fn body(document: &Document, body: &Body, text: &str) -> Vec<OutlineItem> {
    let ids = body.modules.iter().chain(body.layers.ids());
    ids.enumerate()
        .map(|(position, id)| layer(document, *id, position, text))
        .collect()
}

fn layer(document: &Document, id: LayerId, position: usize, text: &str) -> OutlineItem {
    let layer = document.layer(id);
    let name_span = layer.key_span.unwrap_or(layer.span).range();
    let (kind, detail, children) = match &layer.content {
        Content::Expr(expr) => (
            OutlineKind::Layer,
            text.get(expr.span.range()).unwrap_or_default(),
            Vec::new(),
        ),
        Content::Body(inner) => (OutlineKind::Container, "", body(document, inner, text)),
    };
    let span = children
        .iter()
        .fold(layer.full_span().range(), |all, child| {
            cover(&all, &child.span)
        });
    OutlineItem {
        name: layer_name(layer).unwrap_or_else(|| position.to_string()),
        detail: detail.into(),
        kind,
        span,
        name_span,
        children,
    }
}

/// The lines that can be folded: first and last of each table and each array of several lines.
pub fn folds(buffer: &Buffer) -> Vec<(usize, usize)> {
    let text = buffer.text();
    let mut out = Vec::new();
    let mut header: Option<usize> = None;
    let mut last_content = 0;
    let mut arrays: Vec<usize> = Vec::new();
    let mut comment: Option<usize> = None;
    for line in 0..buffer.line_count() {
        let content = text[buffer.line(line)].trim();
        let is_header = content.starts_with('[')
            && arrays.is_empty()
            && content.trim_end().ends_with(']')
            && !content.contains('=');
        if is_header
            && let Some(start) = header.replace(line)
            && last_content > start
        {
            out.push((start, last_content));
        }
        match (comment, content.starts_with('#')) {
            (None, true) => comment = Some(line),
            (Some(start), false) => {
                if line - 1 > start {
                    out.push((start, line - 1));
                }
                comment = None;
            }
            _ => {}
        }
        if !content.is_empty() && !content.starts_with('#') {
            last_content = line;
        }
        if !is_header && !content.starts_with('#') {
            for bracket in outside_strings(content) {
                match bracket {
                    '[' | '{' => arrays.push(line),
                    _ => {
                        if let Some(start) = arrays.pop()
                            && start < line
                        {
                            out.push((start, line));
                        }
                    }
                }
            }
        }
    }
    if let Some(start) = header.filter(|start| last_content > *start) {
        out.push((start, last_content));
    }
    out.sort();
    out.dedup_by_key(|(start, _)| *start);
    out
}

/// The lines that can be folded, by the structure of a text.
pub fn folds_of(items: &[OutlineItem], buffer: &Buffer) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut open: Vec<&OutlineItem> = items.iter().collect();
    while let Some(item) = open.pop() {
        let (first, last) = (
            buffer.line_of(item.span.start),
            buffer.line_of(item.span.end),
        );
        if first < last {
            out.push((first, last));
        }
        open.extend(&item.children);
    }
    out.sort_unstable();
    out.dedup_by_key(|(start, _)| *start);
    out
}

/// The brackets of a line that are not in a string or a comment.
fn outside_strings(line: &str) -> Vec<char> {
    let mut quote = None;
    let mut out = Vec::new();
    let mut escaped = false;
    for character in line.chars() {
        match (quote, character) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(open), _) if open == character && !escaped => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '#') => break,
            (None, '[' | ']' | '{' | '}') => out.push(character),
            _ => {}
        }
        escaped = false;
    }
    out
}
