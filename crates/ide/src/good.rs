//! What was worked out for a text before it was edited, and where that stands now.

use std::ops::{Range, RangeInclusive};

use crate::content::Content;
use crate::hints::{Anchors, Subject};
use crate::text::Buffer;

/// What was worked out for the text as it was when it last meant a whole model.
#[derive(Debug)]
pub(crate) struct Good {
    pub content: Content,
    /// Where its hints stand in the text as it is now.
    pub anchors: Vec<GoodAnchor>,
    /// What was edited since.
    pub changed: Option<Changed>,
}

impl Good {
    /// What was worked out for the text as it is.
    pub fn new(content: Content, anchors: &Anchors) -> Good {
        let anchor = |&(line, subject): &(usize, Subject)| GoodAnchor {
            line,
            subject,
            touched: false,
        };
        Good {
            anchors: anchors.all().iter().map(anchor).collect(),
            content,
            changed: None,
        }
    }

    /// Follows an edit of a text that has so many lines now.
    pub fn follow(&mut self, edit: &Edit, lines: usize) {
        self.changed = Some(match self.changed.take() {
            Some(changed) => changed.and(&edit.range, edit.length),
            None => Changed::new(&edit.range, edit.length),
        });
        self.anchors
            .retain_mut(|anchor| match edit.moved(anchor.line, lines) {
                Some((line, touched)) => {
                    anchor.line = line;
                    anchor.touched |= touched;
                    true
                }
                None => false,
            });
    }

    /// Where hints stand on some lines.
    pub fn on_lines(&self, lines: &RangeInclusive<usize>) -> impl Iterator<Item = &GoodAnchor> {
        let first = self.anchors.partition_point(|a| a.line < *lines.start());
        let rest = self.anchors[first..].iter();
        rest.take_while(|anchor| anchor.line <= *lines.end())
    }
}

/// Where a hint from before an error stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GoodAnchor {
    pub line: usize,
    pub subject: Subject,
    /// Whether the line was edited since.
    pub touched: bool,
}

/// The part of a text outside of which nothing was edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Where it is in the text as it is now.
    pub bytes: Range<usize>,
    /// By how much the text is longer.
    grown: isize,
}

impl Changed {
    /// The edit that puts `length` bytes in the place of a range.
    fn new(range: &Range<usize>, length: usize) -> Changed {
        Changed {
            bytes: range.start..range.start + length,
            grown: length as isize - range.len() as isize,
        }
    }

    /// This and an edit after it.
    fn and(self, range: &Range<usize>, length: usize) -> Changed {
        let next = Changed::new(range, length);
        let end = self.bytes.end.max(range.end);
        Changed {
            bytes: self.bytes.start.min(range.start)..end.saturating_add_signed(next.grown),
            grown: self.grown + next.grown,
        }
    }

    /// Where a byte behind it is now.
    pub fn moved(&self, at: usize) -> usize {
        at.saturating_add_signed(self.grown)
    }
}

/// An edit of a text, as far as it matters to where its lines go.
pub(crate) struct Edit {
    /// The bytes that it replaces.
    range: Range<usize>,
    /// How many bytes it puts there.
    length: usize,
    /// The lines that it begins and ends in.
    first: usize,
    last: usize,
    /// Whether it begins where its first line begins.
    from_start: bool,
    /// Whether it leaves its last line as it was: it ends where that begins, with whole lines.
    clean_end: bool,
    /// How many lines the text had.
    lines: usize,
}

impl Edit {
    /// That which puts a text in the place of some bytes of a buffer.
    pub fn of(buffer: &Buffer, range: Range<usize>, text: &str) -> Edit {
        let (first, last) = (buffer.line_of(range.start), buffer.line_of(range.end));
        let whole_lines = text.is_empty() || text.ends_with(['\n', '\r']);
        Edit {
            length: text.len(),
            first,
            last,
            from_start: buffer.line(first).start == range.start,
            clean_end: buffer.line(last).start == range.end && whole_lines,
            lines: buffer.line_count(),
            range,
        }
    }

    /// Where a line is in the text afterwards, which has so many, and whether it was touched; `None` if it is gone.
    fn moved(&self, line: usize, lines: usize) -> Option<(usize, bool)> {
        let moved = (line + lines).saturating_sub(self.lines);
        match line {
            line if line < self.first => Some((line, false)),
            line if line > self.last => Some((moved, false)),
            line if line == self.last && self.from_start => Some((moved, !self.clean_end)),
            line if line == self.first && !self.from_start => Some((line, true)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{Analysis, Dims};

    /// Where each line of `text` is after an edit, or `-`; touched ones with a star.
    fn moved(text: &str, range: Range<usize>, with: &str) -> String {
        let lines = text.matches('\n').count() + 1;
        let content = Content::Spec(Box::new(Analysis::new("", &Dims::new())));
        let anchors = (0..lines).map(|line| (line, Subject::Layer(line)));
        let mut good = Good::new(content, &Anchors::of_lines(anchors.collect()));
        let mut buffer = Buffer::new(text);
        let edit = Edit::of(&buffer, range.clone(), with);
        buffer.replace(range, with);
        good.follow(&edit, buffer.line_count());
        let shown = (0..lines).map(|line| {
            let found = good
                .anchors
                .iter()
                .find(|anchor| anchor.subject == Subject::Layer(line));
            found.map_or("-".into(), |anchor| {
                format!("{}{}", anchor.line, if anchor.touched { "*" } else { "" })
            })
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn hints_move_with_their_lines() {
        let text = "aa\nbb\ncc\ndd";
        assert_eq!(moved(text, 4..4, "x"), "0 1* 2 3");
        assert_eq!(moved(text, 3..3, "x"), "0 1* 2 3");
        assert_eq!(moved(text, 3..3, "new\n"), "0 2 3 4");
        assert_eq!(moved(text, 5..5, "\nnew"), "0 1* 3 4");
        assert_eq!(moved(text, 3..6, ""), "0 - 1 2");
        assert_eq!(moved(text, 4..7, ""), "0 1* - 2");
        assert_eq!(moved(text, 0..0, "a\nb\n"), "2 3 4 5");
        assert_eq!(moved(text, 0..9, "x\ny\n"), "- - - 2");
    }
}
