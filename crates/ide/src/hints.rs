//! What stands beside each line.

use std::ops::Range;

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;
use modelcost_spec::{Content, Layer, LayerId};

use crate::analysis::{Analysis, LayerFacts};
use crate::config::HintSettings;
use crate::format;
use crate::numbers::Numbers;
use crate::text::Buffer;

/// What a hint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The model.
    Model,
    /// A block, by its position in the document.
    Block(usize),
    /// A layer, by its position in the document.
    Layer(usize),
    /// A node of a program, by its position.
    Node(usize),
}

/// A text beside a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The byte after which it stands: the end of its line.
    pub offset: usize,
    /// The text.
    pub label: String,
    /// What it is about.
    pub subject: Subject,
    /// Whether it is from before an error in the text.
    pub stale: bool,
}

/// Where hints stand, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors(Vec<(usize, Subject)>);

impl Anchors {
    /// Finds the lines of a document that have a hint: one each, that of the outermost thing on the line.
    pub fn new(analysis: &Analysis, buffer: &Buffer) -> Anchors {
        let document = &analysis.document;
        let mut out = Vec::with_capacity(document.layers.len() + 1);
        let mut add = |offset: usize, size: usize, subject| {
            let line = buffer.line_of(offset);
            out.push((line, std::cmp::Reverse(size), subject));
        };
        if let Some(span) = document
            .model_span
            .or(document.name.as_ref().map(|name| name.span))
        {
            add(span.start as usize, usize::MAX, Subject::Model);
        }
        for (index, block) in document.blocks.iter().enumerate() {
            add(
                block.name.span.start as usize,
                usize::MAX,
                Subject::Block(index),
            );
        }
        for layer in &document.layers {
            let (at, size) = place(layer, buffer);
            add(at, size, Subject::Layer(layer.id.index()));
        }
        if !out.is_sorted() {
            out.sort();
        }
        out.dedup_by_key(|(line, _, _)| *line);
        let text = buffer.text();
        let at_end = |(line, _, subject)| {
            let range = buffer.line(line);
            (range.start + text[range].trim_end().len(), subject)
        };
        Anchors(out.into_iter().map(at_end).collect())
    }

    /// Those in a range of the text.
    pub fn inside(&self, range: &Range<usize>) -> &[(usize, Subject)] {
        let first = self.0.partition_point(|(offset, _)| *offset < range.start);
        let last = self.0.partition_point(|(offset, _)| *offset <= range.end);
        &self.0[first..last.max(first)]
    }

    /// All of them.
    pub fn all(&self) -> &[(usize, Subject)] {
        &self.0
    }
}

/// Where a layer's hint belongs, and how much text the layer is: one that goes over several lines has its hint at the
/// first of them, others where they end.
fn place(layer: &Layer, buffer: &Buffer) -> (usize, usize) {
    let span = layer.full_span();
    let (start, end) = (span.start as usize, span.end as usize);
    let size = end - start;
    let first_line_ends = buffer.line(buffer.line_of(start)).end;
    let expression = matches!(layer.content, Content::Expr(_));
    match expression && end > first_line_ends {
        // A string of several lines: beside its last.
        true => (end, size),
        false => (start, size),
    }
}

/// The numbers of one subject.
pub fn facts(analysis: &Analysis, subject: Subject) -> LayerFacts {
    match subject {
        Subject::Layer(index) => match analysis.document.layers.get(index) {
            Some(layer) => analysis.facts(layer.id),
            None => nothing(),
        },
        Subject::Block(index) => analysis.block_facts(index),
        Subject::Model | Subject::Node(_) => nothing(),
    }
}

fn nothing() -> LayerFacts {
    LayerFacts {
        shapes: None,
        dtype: None,
        params: None,
        times: 0,
        calls: Vec::new(),
    }
}

/// The text of one hint; `None` if there is nothing to say.
pub fn label(
    analysis: &Analysis,
    numbers: Option<&Numbers>,
    settings: &HintSettings,
    subject: Subject,
) -> Option<String> {
    if subject == Subject::Model {
        return model_label(numbers?, settings);
    }
    let facts = facts(analysis, subject);
    if facts.calls.is_empty()
        && facts
            .params
            .as_ref()
            .is_none_or(|params| *params == Dim::ZERO)
    {
        return None;
    }
    let mut parts = Vec::new();
    let many =
        facts.times > 1 && (matches!(subject, Subject::Block(_)) || in_block(analysis, subject));
    let times = if many {
        format!("×{} ", facts.times)
    } else {
        String::new()
    };
    match facts.shapes.as_ref().filter(|_| settings.shape) {
        Some((first, last)) => parts.push(format!(
            "{times}→ {}",
            shapes(analysis, settings, first, last)
        )),
        None if many => parts.push(times.trim_end().to_string()),
        None => {}
    }
    if settings.params
        && let Some(params) = facts.params.as_ref().filter(|params| **params != Dim::ZERO)
    {
        parts.push(format::params(params, settings.units));
    }
    let count = numbers.and_then(|numbers| {
        analysis
            .count(numbers, &facts.calls)
            .map(|count| (count, numbers))
    });
    if let Some((count, numbers)) = count.filter(|(count, _)| *count != Dim::ZERO) {
        if settings.count {
            parts.push(format::count(&count, settings.units, numbers.unit));
        }
        if settings.share
            && let Some(share) = share(&count, numbers)
        {
            parts.push(share);
        }
    }
    (!parts.is_empty()).then(|| parts.join(" · "))
}

/// A layer of a block stands for as many layers as the block is used; one of the model repeats because its line says so.
fn in_block(analysis: &Analysis, subject: Subject) -> bool {
    match subject {
        Subject::Layer(index) => analysis
            .document
            .layers
            .get(index)
            .is_some_and(|layer| layer.block.is_some()),
        _ => false,
    }
}

fn model_label(numbers: &Numbers, settings: &HintSettings) -> Option<String> {
    let mut parts = Vec::new();
    if settings.params
        && let Some(params) = numbers.total_params()
    {
        parts.push(format::params(params, settings.units));
    }
    if settings.count
        && let Some(count) = numbers.total()
    {
        parts.push(format::count(count, settings.units, numbers.unit));
    }
    match &numbers.report {
        Err(failure) => Some(failure.to_string()),
        Ok(_) => {
            (!parts.is_empty()).then(|| format!("{} · {}", parts.join(" · "), numbers.identity))
        }
    }
}

fn share(count: &Dim, numbers: &Numbers) -> Option<String> {
    let (count, total) = (count.as_const()?, numbers.total()?.as_const()?);
    (total > 0).then(|| format!("{:.1} %", count as f64 / total as f64 * 100.0))
}

/// The shape of a layer's output, and how it changes where the layer is there several times.
fn shapes(analysis: &Analysis, settings: &HintSettings, first: &Shape, last: &Shape) -> String {
    let shown = |shape: &Shape| format::shape(without_batch(analysis, settings, shape));
    match first == last {
        true => shown(first),
        false => format!("{} … {}", shown(first), shown(last)),
    }
}

/// A shape without its batch dimension, where it has one and settings leave it out: the first, if the model's inputs have
/// the same.
fn without_batch<'s>(analysis: &Analysis, settings: &HintSettings, shape: &'s Shape) -> &'s [Dim] {
    let trace = analysis.trace();
    let mut inputs = trace
        .inputs
        .iter()
        .filter_map(|(_, id)| trace.tensor(*id).shape.as_ref());
    let batch = inputs.next().and_then(|shape| shape.first());
    match shape.split_first() {
        Some((first, rest)) if !settings.batch && !rest.is_empty() && Some(first) == batch => rest,
        _ => shape,
    }
}

/// A layer's id as the position that a [`Subject`] holds.
pub fn subject_of(layer: LayerId) -> Subject {
    Subject::Layer(layer.index())
}
