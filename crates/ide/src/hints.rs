//! What stands beside each line.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use modelcost_core::convention::Convention;
use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;
use modelcost_spec::{Content, Document, Layer};

use crate::config::HintSettings;
use crate::content::Content as Contents;
use crate::document::Document as Open;
use crate::excerpt::Seen;
use crate::model::{Model, Subjects};
use crate::numbers::Numbers;
use crate::text::Buffer;
use modelcost_analysis::format;

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
    /// Whether it is from before an edit or an error in the text.
    pub stale: bool,
}

/// The lines that have a hint, in the order of the text, and what each is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors(Vec<(usize, Subject)>);

impl Anchors {
    /// Finds the lines of a spec that have a hint: one each, that of the outermost thing on the
    /// line.
    pub fn of_spec(document: &Document, buffer: &Buffer) -> Anchors {
        let mut out = Vec::with_capacity(document.layers.len() + document.blocks.len() + 1);
        let mut add = |offset: usize, size: usize, subject| {
            out.push((buffer.line_of(offset), std::cmp::Reverse(size), subject));
        };
        let name = document.name.as_ref().map(|name| name.span);
        if let Some(span) = document.model_span.or(name) {
            add(span.start as usize, usize::MAX, Subject::Model);
        }
        for (index, block) in document.blocks.iter().enumerate() {
            let at = block.name.span.start as usize;
            add(at, usize::MAX, Subject::Block(index));
        }
        for layer in &document.layers {
            let (at, size) = place(layer, buffer);
            add(at, size, Subject::Layer(layer.id.index()));
        }
        if !out.is_sorted() {
            out.sort();
        }
        out.dedup_by_key(|(line, _, _)| *line);
        Anchors(
            out.into_iter()
                .map(|(line, _, subject)| (line, subject))
                .collect(),
        )
    }

    /// From lines in order.
    pub fn of_lines(lines: Vec<(usize, Subject)>) -> Anchors {
        Anchors(lines)
    }

    /// Those on some lines.
    pub fn on_lines(&self, lines: &RangeInclusive<usize>) -> &[(usize, Subject)] {
        let first = self.0.partition_point(|(line, _)| line < lines.start());
        let last = self.0.partition_point(|(line, _)| line <= lines.end());
        &self.0[first..last.max(first)]
    }

    /// All of them.
    pub fn all(&self) -> &[(usize, Subject)] {
        &self.0
    }
}

/// The byte where a line's hint stands: behind its last character that is not white space, unless that is too far to
/// be seen.
pub fn offset(content: &Contents, buffer: &Buffer, line: usize) -> usize {
    let range = buffer.line(line);
    let text = buffer.text()[range.clone()].trim_end();
    let column = match content {
        Contents::Program(program) => program.hint_column(text),
        Contents::Spec(_) => None,
    };
    range.start + column.unwrap_or(text.len())
}

/// What stands beside the lines of a range of a document whose text was read.
pub(crate) fn current(
    document: &Open,
    settings: &HintSettings,
    convention: &dyn Convention,
    range: &Range<usize>,
) -> Vec<Hint> {
    let (Some(state), true) = (document.known(), settings.enabled) else {
        return Vec::new();
    };
    let buffer = document.buffer();
    let write = Writer::new(&state.content, buffer, settings, convention, range);
    let anchors = state.anchors.on_lines(&write.lines).iter();
    if state.content.is_complete() {
        let fresh = anchors.filter_map(|&(line, subject)| write.hint(line, subject, false));
        return fresh.collect();
    }
    // Half a model: lines that nobody touched keep what they had, because sums over the rest are wrong; the others say
    // what is known.
    let subjects = state.content.subjects();
    let is_first = document.good().is_none();
    let known = anchors.filter(|(_, subject)| is_first || is_called(subjects, *subject));
    let mut out: BTreeMap<usize, Hint> = known
        .filter_map(|&(line, subject)| Some((line, write.hint(line, subject, false)?)))
        .collect();
    if let Some(good) = document.good() {
        let write = Writer::new(&good.content, buffer, settings, convention, range);
        for anchor in good.on_lines(&write.lines) {
            if !(anchor.touched && out.contains_key(&anchor.line)) {
                let stale = write.hint(anchor.line, anchor.subject, true);
                out.extend(stale.map(|hint| (anchor.line, hint)));
            }
        }
    }
    out.into_values().collect()
}

/// What stands beside the lines of a range of a document whose text was not read yet: what was seen of those lines alone,
/// and what stood beside the others before the last edits, where they are now. Of these, layers above the edits are as
/// they were.
pub(crate) fn early(
    document: &Open,
    seen: Option<Seen>,
    settings: &HintSettings,
    convention: &dyn Convention,
    range: &Range<usize>,
) -> Vec<Hint> {
    let (Some(good), true) = (document.good(), settings.enabled) else {
        return Vec::new();
    };
    let buffer = document.buffer();
    let write = Writer::new(&good.content, buffer, settings, convention, range);
    let is_seen = |line: &usize| seen.as_ref().is_some_and(|seen| seen.lines.contains(line));
    let stands = |subject| {
        let whole = good.content.subjects();
        seen.as_ref()
            .is_some_and(|seen| seen.is_above(whole, subject))
    };
    let others = good
        .on_lines(&write.lines)
        .filter(|anchor| !is_seen(&anchor.line));
    let mut out: Vec<Hint> = others
        .filter_map(|anchor| write.hint(anchor.line, anchor.subject, !stands(anchor.subject)))
        .collect();
    out.extend(seen.into_iter().flat_map(|seen| seen.hints));
    out.sort_by_key(|hint| hint.offset);
    out
}

/// Writes the hints of one content.
struct Writer<'a> {
    content: &'a Contents,
    numbers: Arc<Numbers>,
    buffer: &'a Buffer,
    settings: &'a HintSettings,
    range: &'a Range<usize>,
    lines: RangeInclusive<usize>,
}

impl<'a> Writer<'a> {
    fn new(
        content: &'a Contents,
        buffer: &'a Buffer,
        settings: &'a HintSettings,
        convention: &dyn Convention,
        range: &'a Range<usize>,
    ) -> Writer<'a> {
        Writer {
            content,
            numbers: content.subjects().model().numbers(convention),
            buffer,
            settings,
            range,
            lines: buffer.line_of(range.start)..=buffer.line_of(range.end),
        }
    }

    fn hint(&self, line: usize, subject: Subject, stale: bool) -> Option<Hint> {
        let offset = offset(self.content, self.buffer, line);
        if offset < self.range.start || self.range.end < offset {
            return None;
        }
        let subjects = self.content.subjects();
        let label = label(subjects, &self.numbers, self.settings, subject)?;
        Some(Hint {
            offset,
            label,
            subject,
            stale,
        })
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

/// Whether a subject ran: half a model has layers that were made and not called.
pub fn is_called(subjects: &dyn Subjects, subject: Subject) -> bool {
    matches!(subject, Subject::Layer(_) | Subject::Node(_))
        && !subjects.is_shared(subject)
        && subjects.facts(subject).shapes.is_some()
}

/// The text of one hint; `None` if there is nothing to say.
pub fn label(
    subjects: &dyn Subjects,
    numbers: &Numbers,
    settings: &HintSettings,
    subject: Subject,
) -> Option<String> {
    if subject == Subject::Model {
        return model_label(numbers, settings);
    }
    let model = subjects.model();
    let facts = subjects.facts(subject);
    let has_params = facts
        .params
        .as_ref()
        .is_some_and(|params| *params != Dim::ZERO);
    if facts.calls.is_empty() && !has_params {
        return None;
    }
    let mut parts = Vec::new();
    let many = facts.times > 1 && subjects.is_shared(subject);
    let times = if many {
        format!("×{} ", facts.times)
    } else {
        String::new()
    };
    match facts.shapes.as_ref().filter(|_| settings.shape) {
        Some((first, last)) => {
            let shapes = shapes(model, settings, first, last);
            parts.push(format!("{times}→ {shapes}"));
        }
        None if many => parts.push(times.trim_end().to_string()),
        None => {}
    }
    if settings.params
        && let Some(params) = facts.params.as_ref().filter(|_| has_params)
    {
        parts.push(format::params(params, settings.units));
    }
    let count = model.count(numbers, &facts.calls);
    if let Some(count) = count.filter(|count| *count != Dim::ZERO) {
        if settings.count {
            parts.push(format::count(&count, settings.units, numbers.unit));
        }
        if settings.share
            && let Some(share) = numbers
                .total()
                .and_then(|total| format::share(&count, total, 1))
        {
            parts.push(share);
        }
    }
    (!parts.is_empty()).then(|| parts.join(" · "))
}

fn model_label(numbers: &Numbers, settings: &HintSettings) -> Option<String> {
    if let Err(failure) = &numbers.report {
        return Some(failure.to_string());
    }
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
    (!parts.is_empty()).then(|| format!("{} · {}", parts.join(" · "), numbers.identity))
}

/// The shape of an output, and how it changes where the part is there several times.
fn shapes(model: &Model, settings: &HintSettings, first: &Shape, last: &Shape) -> String {
    let shown = |shape: &Shape| format::shape(without_batch(model, settings, shape));
    match first == last {
        true => shown(first),
        false => format!("{} … {}", shown(first), shown(last)),
    }
}

/// A shape without its batch dimension, where it has one and settings leave it out: the first, if
/// the model's first input has the same.
fn without_batch<'s>(model: &Model, settings: &HintSettings, shape: &'s Shape) -> &'s [Dim] {
    let trace = &model.trace;
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
