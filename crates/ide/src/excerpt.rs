//! What stands beside the lines in view of a long spec, from those lines alone.
//!
//! Reading ten thousand layers takes longer than a keystroke may. But a screenful of layers depends on what is above it
//! by no more than the tensors that come from there, and above the first line that was edited nothing has changed. So the
//! lines from a little above the edit to the end of the view are read as a spec of their own, whose inputs are the tensors
//! that the last reading of the whole knows, and the rest of the text is left out. Layers above them stand as they did.
//!
//! That a convention counts a layer by itself is likely and not certain. The lines between the top of the excerpt and the
//! edit say which: where the excerpt has something else beside them than the whole had, it is not believed. The whole is
//! read too, and its hints replace these.

#[cfg(test)]
mod tests;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use modelcost_core::convention::Convention;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::fidelity;
use modelcost_core::trace::{TensorId, Trace};
use modelcost_core::value::Value;
use modelcost_spec::{Document, Input, Key, Layer, LayerId, Memo, Part};
use modelcost_torch::dispatch::layout::is_contiguous;
use smol_str::SmolStr;

use crate::analysis::Analysis;
use crate::config::HintSettings;
use crate::good::{Changed, Good};
use crate::hints::{Anchors, Hint, Subject, label};
use crate::model::Subjects;
use crate::numbers::Numbers;
use crate::text::Buffer;

/// Layers above the view that are read with it.
const LEAD: usize = 8;
/// Layers above the edit that are read again, where there are more of them in view and no backward pass goes through them.
const CHECKED: usize = 12;
/// The topmost layers, which may come out differently: some tools treat what the model is given in another way than what
/// its layers give.
const UNSURE: usize = 4;
/// How much further up it may begin, where there is more than a tensor between two layers.
const MAX_LEAD: usize = 32;
/// The most layers and the most text that are read: about as much as can be in the time of a keystroke.
const MAX_LAYERS: usize = 160;
const MAX_TEXT: usize = 16 << 10;

/// What a tensor that comes from above is called where nothing can name it.
const ABOVE: &str = ".above";

/// What was read of the lines in view.
pub(crate) struct Seen {
    /// The lines that were read.
    pub lines: RangeInclusive<usize>,
    /// What stands beside them.
    pub hints: Vec<Hint>,
    /// The layers above them, by their positions in the whole.
    above: Range<usize>,
}

impl Seen {
    /// Whether something stands above what was edited, and nothing below may have called it.
    pub fn is_above(&self, whole: &dyn Subjects, subject: Subject) -> bool {
        match subject {
            Subject::Layer(at) => self.above.contains(&at) && whole.facts(subject).calls.len() == 1,
            _ => false,
        }
    }
}

/// What stands beside the layers in a view, if that can be told from them alone.
pub(crate) fn read(
    good: &Good,
    buffer: &Buffer,
    settings: &HintSettings,
    convention: &dyn Convention,
    view: &Range<usize>,
    memo: &mut Memo,
) -> Option<Seen> {
    let whole = good.content.spec()?;
    // A share is of the whole.
    if settings.share || !settings.enabled {
        return None;
    }
    let again = match convention.info().sees.contains(&fidelity::Layer::Gradients) {
        true => usize::MAX,
        false => CHECKED,
    };
    let window = Window::of(whole, buffer, good.changed.as_ref()?, view, again)?;
    let text = window.text();
    let analysis = window.read(&text, memo)?;
    let excerpt = Excerpt {
        numbers: analysis.model().numbers(convention),
        base: analysis.document.model.layers.ids().first()?.index(),
        analysis,
        window,
    };
    let numbers = whole.model().numbers(convention);
    excerpt.agrees(&numbers, settings).then(|| Seen {
        lines: excerpt.window.lines(),
        hints: excerpt.hints(&text, settings, view),
        above: excerpt.window.above(),
    })
}

/// The layers of a model that stand one after another in a table, each on lines of its own: only of such can some be
/// left out.
pub(crate) fn in_turn(document: &Document, text: &str) -> Vec<LayerId> {
    let model = &document.model;
    if !model.ties.is_empty() || !model.freeze.is_empty() || !model.no_grad.is_empty() {
        return Vec::new();
    }
    let mut end = 0;
    let mut on_own_lines = |layer: &Layer| {
        let span = layer.full_span().range();
        let line = text[..span.start].rfind('\n').map_or(0, |end| end + 1);
        let is_next = end <= line && text[line..span.start].trim().is_empty();
        end = span.end;
        is_next
    };
    let layers = model.layers.ids().iter().map(|id| document.layer(*id));
    let in_turn = layers.take_while(|layer| layer.key_span.is_some() && on_own_lines(layer));
    in_turn.map(|layer| layer.id).collect()
}

/// The part of a text that is read.
struct Window<'a> {
    whole: &'a Analysis,
    buffer: &'a Buffer,
    /// How many of the layers that stand in turn come before it.
    first: usize,
    /// What the first layer is applied to, unless that is the model's input.
    seam: Option<Input>,
    /// How many of them come before the first edit.
    unchanged: usize,
    /// Where it is in the text.
    bytes: Range<usize>,
    /// Where all the layers that stand in turn are.
    layers: Range<usize>,
}

impl<'a> Window<'a> {
    /// The lines in view and a few above them; of the layers above the edit, the last `again` are enough.
    fn of(
        whole: &'a Analysis,
        buffer: &'a Buffer,
        changed: &Changed,
        view: &Range<usize>,
        again: usize,
    ) -> Option<Window<'a>> {
        let line = |at: usize| buffer.line(buffer.line_of(at));
        let edited = line(changed.bytes.start).start..line(changed.bytes.end).end;
        // A header puts what follows it into another table.
        let mut lines = buffer.text()[edited.clone()].lines();
        if lines.any(|line| line.trim_start().starts_with('[')) {
            return None;
        }
        let layers = whole.in_turn();
        let old = |id: &LayerId| whole.document.layer(*id).full_span().range();
        let moved = |at: usize| changed.moved(at);
        let unchanged = layers.partition_point(|id| old(id).end <= edited.start);
        let after = layers.partition_point(|id| moved(old(id).start) < edited.end);
        let seen = layers[..unchanged].partition_point(|id| old(id).end < view.start);
        let below = layers[after..].partition_point(|id| moved(old(id).start) <= view.end);

        let first_line = line(old(layers.first()?).start).start;
        let last_line = line(moved(old(layers.last()?).end)).end;
        let is_inside = first_line <= edited.start && edited.end <= last_line;
        if !is_inside || unchanged == 0 && changed.bytes.start <= old(&layers[0]).start {
            return None;
        }
        let mut window = Window {
            whole,
            buffer,
            first: seen
                .saturating_sub(LEAD)
                .max(unchanged.saturating_sub(again)),
            seam: None,
            unchanged,
            bytes: 0..0,
            layers: first_line..last_line,
        };
        let highest = window.first.saturating_sub(MAX_LEAD);
        while window.first > 0 {
            window.seam = window.find_seam();
            if window.seam.is_some() {
                break;
            }
            window.first -= 1;
            if window.first < highest {
                return None;
            }
        }
        let end = layers
            .get(after + below)
            .map(|id| line(moved(old(id).start)).start);
        window.bytes = line(old(&layers[window.first]).start).start..end.unwrap_or(last_line);
        let left_out = window.layers.len() - window.bytes.len();
        let is_short = buffer.text().len() - left_out <= MAX_TEXT
            && (unchanged - window.first) + below <= MAX_LAYERS;
        is_short.then_some(window)
    }

    /// The text without the layers that are left out.
    fn text(&self) -> String {
        let text = self.buffer.text();
        let (before, after) = (&text[..self.layers.start], &text[self.layers.end..]);
        [before, text[self.bytes.clone()].trim_end(), after].concat()
    }

    /// Its lines.
    fn lines(&self) -> RangeInclusive<usize> {
        self.buffer.line_of(self.bytes.start)..=self.buffer.line_of(self.bytes.end)
    }

    /// The positions of the layers in turn that come before it.
    fn above(&self) -> Range<usize> {
        let layers = self.whole.in_turn();
        layers[0].index()..layers[self.first].index()
    }

    fn read(&self, text: &str, memo: &mut Memo) -> Option<Analysis> {
        let (document, diagnostics) =
            Document::parse_excerpt(text, self.seam.clone(), |name| self.input(name));
        let analysis = Analysis::of(text, document, diagnostics, &self.whole.dims, memo, None);
        analysis.is_complete().then_some(analysis)
    }

    /// What the first layer is applied to: a tensor of the same batch size as the model's input, which is what hints
    /// leave out of shapes.
    fn find_seam(&self) -> Option<Input> {
        let above = self.whole.in_turn().get(self.first.checked_sub(1)?)?;
        let Value::Tensor(tensor) = self.whole.made_by(*above).last()?.output else {
            return None;
        };
        let (_, input) = self.whole.trace().inputs.first()?;
        let batch = |id: TensorId| self.whole.trace().tensor(id).shape.as_ref()?.first();
        if batch(tensor) != batch(*input) {
            return None;
        }
        let name = match &self.whole.document.layer(*above).key {
            Key::Name(name) => name.clone(),
            _ => SmolStr::new_static(ABOVE),
        };
        as_input(self.whole.trace(), name, tensor)
    }

    /// What a name stands for that the layers above define, or the model's inputs.
    fn input(&self, name: &str) -> Option<Input> {
        let trace = self.whole.trace();
        let above = self.whole.in_turn()[..self.first].iter().rev();
        let found = above.into_iter().find_map(|id| {
            let value = || Some(&self.whole.made_by(*id).last()?.output);
            match &self.whole.document.layer(*id).key {
                Key::Name(own) if own == name => value(),
                Key::Unpack(parts) => part_named(parts, name, value()?),
                _ => None,
            }
        });
        let tensor = match found {
            Some(value) => value.tensor(),
            None => {
                let mut inputs = trace.inputs.iter();
                inputs
                    .find(|(own, _)| own == name)
                    .map(|(_, tensor)| *tensor)
            }
        };
        as_input(trace, name.into(), tensor?)
    }
}

/// The part of a value that a name of `x, (h, c)` stands for.
fn part_named<'v>(parts: &[Part], name: &str, value: &'v Value) -> Option<&'v Value> {
    let items = value.items()?;
    parts.iter().zip(items).find_map(|(part, item)| match part {
        Part::Name(own) => (own.name == name).then_some(item),
        Part::Parts(parts) => part_named(parts, name, item),
    })
}

/// A tensor of the whole as an input of the excerpt, if its shape says all about it.
fn as_input(trace: &Trace, name: SmolStr, id: TensorId) -> Option<Input> {
    let tensor = trace.tensor(id);
    let shape = tensor.shape.as_ref()?;
    let is_plain =
        !tensor.without_gradient && !shape.iter().any(Dim::is_overflow) && is_contiguous(trace, id);
    is_plain.then(|| Input::of_shape(name, shape, tensor.dtype.unwrap_or(DType::Float32)))
}

/// What was read of a window.
struct Excerpt<'a> {
    window: Window<'a>,
    analysis: Analysis,
    numbers: Arc<Numbers>,
    /// The position in the excerpt of its model's first layer.
    base: usize,
}

impl Excerpt<'_> {
    /// Whether the layers above the first edit come out as they did in the whole.
    fn agrees(&self, numbers: &Numbers, settings: &HintSettings) -> bool {
        let Window {
            whole,
            first,
            unchanged,
            ..
        } = self.window;
        let unsure = if first > 0 { UNSURE } else { 0 };
        let own = self.analysis.document.model.layers.ids();
        let both = own.iter().zip(&whole.in_turn()[first..unchanged]);
        both.len() == unchanged - first
            && both.skip(unsure).all(|(now, then)| {
                let now = Subject::Layer(now.index());
                let then = Subject::Layer(then.index());
                label(&self.analysis, &self.numbers, settings, now)
                    == label(whole, numbers, settings, then)
            })
    }

    /// The hints of the layers in view.
    fn hints(&self, text: &str, settings: &HintSettings, view: &Range<usize>) -> Vec<Hint> {
        let Window {
            whole,
            buffer,
            first,
            layers,
            ..
        } = &self.window;
        let own = Buffer::new(text);
        let (top, lines) = (buffer.line_of(layers.start), self.window.lines());
        let anchors = Anchors::of_spec(&self.analysis.document, &own);
        let hint = |&(line, subject): &(usize, Subject)| {
            let Subject::Layer(at) = subject else {
                return None;
            };
            let range = buffer.line(line - top + lines.start());
            let offset = range.start + buffer.text()[range].trim_end().len();
            let is_seen = view.start <= offset && offset <= view.end;
            let label = label(&self.analysis, &self.numbers, settings, subject);
            Some(Hint {
                offset,
                label: label.filter(|_| is_seen)?,
                subject: Subject::Layer(
                    at.checked_sub(self.base)? + whole.in_turn()[*first].index(),
                ),
                stale: false,
            })
        };
        let anchors = anchors.on_lines(&(top..=top + lines.end() - lines.start()));
        anchors.iter().filter_map(hint).collect()
    }
}
