//! TOML as a tree with spans, in the order of the source, whatever is wrong with the text.

use modelcost_core::diagnostic::Diagnostic;
use modelcost_core::expr::Span;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::text::Text;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub kind: NodeKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NodeKind {
    Table(Vec<Entry>),
    Array(Vec<Node>),
    String(Text),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// A date or time, which means nothing here.
    Datetime,
}

/// One line of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub key: Text,
    pub value: Node,
}

impl Node {
    pub fn table(&self) -> Option<&[Entry]> {
        match &self.kind {
            NodeKind::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// What it is, with an article.
    pub fn describe(&self) -> &'static str {
        match self.kind {
            NodeKind::Table(_) => "a table",
            NodeKind::Array(_) => "an array",
            NodeKind::String(_) => "a string",
            NodeKind::Integer(_) => "an integer",
            NodeKind::Float(_) => "a float",
            NodeKind::Boolean(_) => "a boolean",
            NodeKind::Datetime => "a date",
        }
    }
}

/// Parses a text. What the text's errors leave of it is there too.
pub(crate) fn parse(source: &str) -> (Vec<Entry>, Vec<Diagnostic>) {
    if u32::try_from(source.len()).is_err() {
        let error = Diagnostic::without_place("a spec of more than 4 GB");
        return (Vec::new(), vec![error]);
    }
    let (table, errors) = DeTable::parse_recoverable(source);
    let entries = convert_table(source, table.get_ref());
    // One mistake often upsets the reader again further down; the first message is the useful one.
    let first = errors.first().map(|error| {
        let span = error.span().unwrap_or(source.len()..source.len());
        explain(source, &entries, error.message(), span)
    });
    (entries, first.into_iter().collect())
}

fn explain(
    source: &str,
    entries: &[Entry],
    message: &str,
    span: std::ops::Range<usize>,
) -> Diagnostic {
    if message.contains("duplicate key") {
        let name = source.get(span.clone()).unwrap_or_default();
        let mut diagnostic = Diagnostic::error(
            format!("the name {} is used twice in the same table", name.trim()),
            span.clone(),
        );
        if let Some(first) = earlier_key(source, entries, name, span.start) {
            diagnostic
                .related
                .push((first.range(), "first here".into()));
        }
        diagnostic.help = Some("give one of the two another name".into());
        return diagnostic;
    }
    Diagnostic::error(format!("TOML: {message}"), span)
}

/// The nearest key of the same text before an offset.
fn earlier_key(source: &str, entries: &[Entry], name: &str, before: usize) -> Option<Span> {
    let mut best: Option<Span> = None;
    for entry in entries {
        let span = entry.key.span;
        if source.get(span.range()) == Some(name) && (span.start as usize) < before {
            best = best.max(Some(span));
        }
        if let NodeKind::Table(inner) = &entry.value.kind {
            best = best.max(earlier_key(source, inner, name, before));
        }
    }
    best
}

fn convert_table(source: &str, table: &DeTable<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: Text::new(source, key.get_ref(), span_of(key)),
            value: convert(source, value),
        })
        .collect();
    // The order of the source, whichever order the map has.
    entries.sort_by_key(|entry| entry.key.span);
    entries
}

fn span_of<T>(value: &Spanned<T>) -> Span {
    Span::new(value.span().start, value.span().end)
}

fn convert(source: &str, value: &Spanned<DeValue<'_>>) -> Node {
    let span = span_of(value);
    let kind = match value.get_ref() {
        DeValue::String(text) => NodeKind::String(Text::new(source, text, span)),
        DeValue::Integer(integer) => {
            match i128::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()) {
                Ok(value) => NodeKind::Integer(value),
                Err(_) => NodeKind::Float(f64::INFINITY),
            }
        }
        DeValue::Float(float) => {
            NodeKind::Float(float.as_str().replace('_', "").parse().unwrap_or(f64::NAN))
        }
        DeValue::Boolean(value) => NodeKind::Boolean(*value),
        DeValue::Datetime(_) => NodeKind::Datetime,
        DeValue::Array(items) => {
            NodeKind::Array(items.iter().map(|item| convert(source, item)).collect())
        }
        DeValue::Table(table) => NodeKind::Table(convert_table(source, table)),
    };
    Node { kind, span }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_of_the_source() {
        let (entries, errors) = parse("zebra = 1\n[model]\nb = 2\na = 3\n[apple]\n");
        assert!(errors.is_empty());
        let keys: Vec<&str> = entries.iter().map(|e| e.key.value.as_str()).collect();
        assert_eq!(keys, ["zebra", "model", "apple"]);
        let inner: Vec<&str> = entries[1]
            .value
            .table()
            .unwrap()
            .iter()
            .map(|e| e.key.value.as_str())
            .collect();
        assert_eq!(inner, ["b", "a"]);
    }

    #[test]
    fn a_name_twice() {
        let source = "[layers]\nconv = 'A()'\nrelu = 'B()'\nconv = 'C()'\n";
        let (_, errors) = parse(source);
        assert_eq!(errors.len(), 1);
        assert_eq!(
            errors[0].message,
            "the name conv is used twice in the same table"
        );
        assert_eq!(errors[0].span, Some(35..39));
        assert_eq!(errors[0].related[0].0, 9..13);
    }

    #[test]
    fn what_is_left_of_a_broken_text() {
        let (entries, errors) = parse("[layers]\nconv = \"A(\nrelu = 'B()'\n");
        assert!(!errors.is_empty());
        let layers = entries[0].value.table().unwrap();
        assert_eq!(layers.last().unwrap().key.value, "relu");
    }
}
