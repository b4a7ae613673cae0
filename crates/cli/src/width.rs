//! Columns of a terminal: what texts take, and how many there are.

use unicode_width::UnicodeWidthStr;

/// The columns that a text takes: two for a wide character, none for an accent of its own.
pub fn width(text: &str) -> usize {
    // Most names are plain, and a table measures thousands.
    if text.is_ascii() {
        text.len()
    } else {
        text.width()
    }
}

/// The widest of some texts.
pub fn widest<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> usize {
    let widths = texts.into_iter().map(|text| width(text.as_ref()));
    widths.max().unwrap_or(0)
}

/// A text with spaces up to a width, on its left side to stand right.
pub fn pad(text: &str, to: usize, right: bool) -> String {
    let mut out = String::new();
    push_padded(&mut out, text, to, right);
    out
}

/// Adds what `pad` gives.
pub fn push_padded(out: &mut String, text: &str, to: usize, right: bool) {
    let fill = to.saturating_sub(width(text));
    if right {
        spaces(out, fill);
    }
    out.push_str(text);
    if !right {
        spaces(out, fill);
    }
}

/// Adds spaces.
pub fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// The terminal's columns; elsewhere wide enough that most reasons stay on one line.
pub fn of_terminal() -> u16 {
    std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .unwrap_or_else(|| terminal_size::terminal_size().map_or(150, |(width, _)| width.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_take_columns_and_not_characters() {
        assert_eq!(width("conv1"), 5);
        assert_eq!(width("1×64×112"), 8);
        assert_eq!(width("├─ "), 3);
        assert_eq!(width("卷积"), 4);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(pad("卷积", 6, false), "卷积  ");
        assert_eq!(pad("卷积", 6, true), "  卷积");
    }
}
