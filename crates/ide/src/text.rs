//! A text that is edited in place, and the ways in which editors name positions in it.

use std::ops::Range;

/// How an editor counts the characters of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Bytes.
    Utf8,
    /// UTF-16 code units, which the protocol falls back to.
    #[default]
    Utf16,
    /// Unicode scalar values.
    Utf32,
}

/// A place in a text as an editor names it. Both numbers start at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character in the line, in units of the [`Encoding`] agreed upon.
    pub character: u32,
}

/// A text with the byte at which each line starts. Lines end with `\n`, `\r\n` or `\r`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    text: String,
    starts: Vec<usize>,
}

impl Buffer {
    /// A buffer with a text.
    pub fn new(text: impl Into<String>) -> Buffer {
        let text = text.into();
        let mut starts = vec![0];
        push_line_starts(&text, 0..text.len(), &mut starts);
        Buffer { text, starts }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many lines there are; an empty text has one.
    pub fn line_count(&self) -> usize {
        self.starts.len()
    }

    /// The bytes of a line without its end; nothing for a line beyond the last.
    pub fn line(&self, line: usize) -> Range<usize> {
        let length = self.text.len();
        let Some(&start) = self.starts.get(line) else {
            return length..length;
        };
        let end = self.starts.get(line + 1).copied().unwrap_or(length);
        let content = self.text[start..end]
            .trim_end_matches('\n')
            .trim_end_matches('\r');
        start..start + content.len()
    }

    /// The line that holds a byte.
    pub fn line_of(&self, offset: usize) -> usize {
        self.starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }

    /// The byte at a position. Beyond the end of a line is its end; beyond the last line, the end of the text.
    pub fn offset(&self, position: Position, encoding: Encoding) -> usize {
        let range = self.line(position.line as usize);
        let line = &self.text[range.clone()];
        let wanted = position.character as usize;
        if line.is_ascii() {
            return range.start + wanted.min(line.len());
        }
        let mut units = 0;
        for (at, character) in line.char_indices() {
            let next = units + width(character, encoding);
            // A position inside a character is the character's start.
            if next > wanted {
                return range.start + at;
            }
            units = next;
        }
        range.end
    }

    /// The position of a byte. One inside a character is the character's start.
    pub fn position(&self, offset: usize, encoding: Encoding) -> Position {
        let offset = floor_boundary(&self.text, offset);
        let line = self.line_of(offset);
        let range = self.line(line);
        let before = &self.text[range.start..offset.clamp(range.start, range.end)];
        let character = match encoding {
            Encoding::Utf8 => before.len(),
            _ if before.is_ascii() => before.len(),
            _ => before
                .chars()
                .map(|character| width(character, encoding))
                .sum(),
        };
        Position {
            line: line as u32,
            character: character as u32,
        }
    }

    /// Replaces bytes. A range that is not inside the text, or cuts a character, is narrowed to what can be meant.
    pub fn replace(&mut self, range: Range<usize>, with: &str) {
        let start = floor_boundary(&self.text, range.start);
        let end = floor_boundary(&self.text, range.end).max(start);
        self.text.replace_range(start..end, with);

        // Line starts are found anew around the change only: from the line that holds the byte before it (whose `\r`
        // may now stand before a `\n`, or no longer) to the byte after it.
        let first = self.line_of(start.saturating_sub(1));
        let keep_from = self.starts.partition_point(|at| *at <= end + 1);
        let old_end = end;
        let new_end = start + with.len();
        let scan_end = (new_end + 1).min(self.text.len());
        let mut middle = Vec::new();
        push_line_starts(&self.text, self.starts[first]..scan_end, &mut middle);
        let shift = |at: usize| at - old_end + new_end;
        for at in &mut self.starts[keep_from..] {
            *at = shift(*at);
        }
        self.starts.splice(first + 1..keep_from, middle);
    }
}

/// The starts of the lines that follow each line end inside `range`.
fn push_line_starts(text: &str, range: Range<usize>, starts: &mut Vec<usize>) {
    let bytes = text.as_bytes();
    for at in range {
        match bytes[at] {
            b'\n' => starts.push(at + 1),
            b'\r' if bytes.get(at + 1) != Some(&b'\n') => starts.push(at + 1),
            _ => {}
        }
    }
}

/// The nearest character boundary at or before an offset.
pub fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn width(character: char, encoding: Encoding) -> usize {
    match encoding {
        Encoding::Utf8 => character.len_utf8(),
        Encoding::Utf16 => character.len_utf16(),
        Encoding::Utf32 => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn positions_in_every_encoding() {
        let buffer = Buffer::new("a\r\nx𝒳é = 1\r");
        let at_equals = buffer.text().find('=').unwrap();
        let of = |encoding| buffer.position(at_equals, encoding);
        assert_eq!(
            of(Encoding::Utf8),
            Position {
                line: 1,
                character: 8
            }
        );
        assert_eq!(
            of(Encoding::Utf16),
            Position {
                line: 1,
                character: 5
            }
        );
        assert_eq!(
            of(Encoding::Utf32),
            Position {
                line: 1,
                character: 4
            }
        );
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
            assert_eq!(buffer.offset(of(encoding), encoding), at_equals);
        }
        assert_eq!(buffer.line_count(), 3);
    }

    #[test]
    fn positions_beyond_the_text() {
        let buffer = Buffer::new("ab\ncd");
        let at = |line, character| buffer.offset(Position { line, character }, Encoding::Utf16);
        assert_eq!(at(0, 99), 2);
        assert_eq!(at(7, 0), 5);
    }

    #[test]
    fn inside_a_surrogate_pair() {
        let buffer = Buffer::new("x𝒳y");
        assert_eq!(
            buffer.offset(
                Position {
                    line: 0,
                    character: 2
                },
                Encoding::Utf16
            ),
            1
        );
    }

    proptest! {
        #[test]
        fn edits_keep_line_starts(
            text in "[ab\n\ré𝒳]{0,20}",
            edits in prop::collection::vec((0usize..24, 0usize..24, "[c\n\rü]{0,4}"), 1..8),
        ) {
            let mut buffer = Buffer::new(text.clone());
            let mut plain = text;
            for (start, length, with) in edits {
                let start = floor_boundary(&plain, start);
                let end = floor_boundary(&plain, start + length);
                plain.replace_range(start..end, &with);
                buffer.replace(start..end, &with);
                prop_assert_eq!(&buffer, &Buffer::new(plain.clone()));
            }
        }

        #[test]
        fn positions_and_offsets_agree(text in "[ab\n\ré𝒳]{0,20}") {
            let buffer = Buffer::new(text.clone());
            for (at, character) in text.char_indices() {
                // The bytes of a line end are not positions of their own.
                if character == '\n' && at > 0 && text.as_bytes()[at - 1] == b'\r' {
                    continue;
                }
                for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
                    prop_assert_eq!(buffer.offset(buffer.position(at, encoding), encoding), at);
                }
            }
        }
    }
}
