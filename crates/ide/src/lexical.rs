//! What stands around a cursor, read from the characters alone: it works on half-typed lines, of which a parser makes
//! little.

use std::ops::Range;

/// A string of the document and the cursor in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InString<'t> {
    /// The bytes between the quotes, as far as the string is there.
    pub range: Range<usize>,
    /// Its text before the cursor.
    pub before: &'t str,
    /// Its text after the cursor.
    pub after: &'t str,
}

/// A call that is open at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCall<'t> {
    /// What is called: `Conv2d`, `F.relu`.
    pub callee: &'t str,
    /// Where the callee's name starts, in the string's text before the cursor.
    pub callee_start: usize,
    /// The position of the argument that the cursor is in.
    pub index: usize,
    /// The name before `=` of that argument.
    pub keyword: Option<&'t str>,
    /// The names of the arguments given by name, before the cursor or after it.
    pub named: Vec<&'t str>,
}

/// What an offset is in.
enum Place<'t> {
    /// A string.
    String(InString<'t>),
    /// A comment.
    Comment,
    /// Neither.
    Bare,
}

/// The string that holds an offset. TOML's four kinds of string are told apart by their quotes.
pub fn string_at(text: &str, offset: usize) -> Option<InString<'_>> {
    match place(text, offset) {
        Place::String(string) => Some(string),
        _ => None,
    }
}

/// Whether an offset is in a comment.
pub fn in_comment(text: &str, offset: usize) -> bool {
    matches!(place(text, offset), Place::Comment)
}

fn place(text: &str, offset: usize) -> Place<'_> {
    let offset = offset.min(text.len());
    // Multi-line strings are rare; a text without their quotes is not searched from its start.
    let before = &text[..offset];
    let mut at = match before.contains("\"\"\"") || before.contains("'''") {
        true => 0,
        false => line_start(text, offset),
    };
    while at < offset {
        let rest = &text[at..];
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        if rest.starts_with('#') {
            at += rest.find(['\n', '\r']).unwrap_or(rest.len());
            if offset <= at {
                return Place::Comment;
            }
        } else if let Some(quote) = quotes.into_iter().find(|quote| rest.starts_with(*quote)) {
            let start = at + quote.len();
            let end = string_end(text, start, quote);
            if start <= offset && offset <= end {
                return Place::String(InString {
                    range: start..end,
                    before: &text[start..offset],
                    after: &text[offset..end],
                });
            }
            at = (end + quote.len()).max(start).min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Place::Bare
}

fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind(['\n', '\r']).map_or(0, |at| at + 1)
}

/// Where a string ends: before its closing quote, or where the line ends if it has none.
fn string_end(text: &str, start: usize, quote: &str) -> usize {
    let multiline = quote.len() == 3;
    let escapes = quote.starts_with('"');
    let mut at = start;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(quote) || (!multiline && rest.starts_with(['\n', '\r'])) {
            return at;
        }
        let mut characters = rest.chars();
        let first = characters.next().map_or(1, char::len_utf8);
        let escaped = escapes && rest.starts_with('\\');
        let second = characters
            .next()
            .filter(|c| escaped && (multiline || *c != '\n'))
            .map_or(0, char::len_utf8);
        at += first + second;
    }
    text.len()
}

/// The (dotted) name that ends at the cursor: what is being typed.
pub fn word_before(before: &str) -> &str {
    let start = before
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric() || matches!(c, '_' | '.'))
        .last()
        .map_or(before.len(), |(at, _)| at);
    &before[start..]
}

/// The innermost call that is open where `before` ends.
pub fn open_call<'t>(before: &'t str, after: &'t str) -> Option<OpenCall<'t>> {
    let mut depth = 0usize;
    let mut open = None;
    for (at, character) in before.char_indices().rev() {
        match character {
            ')' | ']' | '}' => depth += 1,
            '(' if depth == 0 => {
                // `(a + b)` is not a call; look further out.
                let callee = word_before(before[..at].trim_end());
                if !callee.is_empty()
                    && !matches!(callee, "if" | "else" | "and" | "or" | "not" | "in")
                {
                    open = Some((at, callee));
                    break;
                }
            }
            '(' | '[' | '{' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    let (parenthesis, callee) = open?;
    let callee_end = before[..parenthesis].trim_end().len();
    let inside = &before[parenthesis + 1..];
    let mut pieces = split_arguments(inside);
    let rest = split_arguments(until_closed(after));
    let index = pieces.len().saturating_sub(1);
    let current = pieces.last().copied().unwrap_or_default();
    let keyword = keyword_of(current);
    pieces.extend(rest.iter().skip(1));
    let named = pieces
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != index || keyword.is_some())
        .filter_map(|(_, piece)| keyword_of(piece))
        .collect();
    Some(OpenCall {
        callee,
        callee_start: callee_end - callee.len(),
        index,
        keyword,
        named,
    })
}

/// The text up to the parenthesis that closes what is open before it.
fn until_closed(after: &str) -> &str {
    let mut depth = 0usize;
    for (at, character) in after.char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return &after[..at],
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    after
}

/// The arguments of a call, cut at the commas between them.
fn split_arguments(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                out.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

fn keyword_of(argument: &str) -> Option<&str> {
    let (name, value) = argument.split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (is_name && !value.starts_with('=')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(text: &str) -> (String, usize) {
        let at = text.find('|').unwrap();
        (text.replacen('|', "", 1), at)
    }

    #[test]
    fn strings() {
        let (text, at) = cursor("a = \"x\"\nconv = \"Conv2d(3, |64)\" # \"no\"\n");
        let string = string_at(&text, at).unwrap();
        assert_eq!((string.before, string.after), ("Conv2d(3, ", "64)"));
        let (text, at) = cursor("conv = \"Conv2d(3, |\nrelu = 'x'\n");
        assert_eq!(string_at(&text, at).unwrap().before, "Conv2d(3, ");
        let (text, at) = cursor("co|nv = \"Conv2d\"");
        assert_eq!(string_at(&text, at), None);
        let (text, at) = cursor("a = '''\nx +\n  y|'''");
        assert_eq!(string_at(&text, at).unwrap().before, "\nx +\n  y");
        let (text, at) = cursor("a = \"\\\"|\"");
        assert_eq!(string_at(&text, at).unwrap().before, "\\\"");
    }

    #[test]
    fn comments() {
        let (text, at) = cursor("a = \"#\" # no|te");
        assert!(in_comment(&text, at));
        let (text, at) = cursor("a = \"#|\"");
        assert!(!in_comment(&text, at));
    }

    #[test]
    fn calls() {
        let call = open_call("Conv2d(3, (1, 2), str", ", bias=False)").unwrap();
        assert_eq!((call.callee, call.index, call.keyword), ("Conv2d", 2, None));
        assert_eq!(call.named, ["bias"]);
        let call = open_call("relu(F.pad(x, [1, 2], mode='re", "").unwrap();
        assert_eq!(
            (call.callee, call.index, call.keyword),
            ("F.pad", 2, Some("mode"))
        );
        assert_eq!(open_call("Conv2d(3)", ""), None);
        assert_eq!(open_call("x + (a", ""), None);
        assert_eq!(open_call("Linear(4 * (w", "").unwrap().callee, "Linear");
    }
}
