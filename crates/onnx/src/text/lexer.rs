//! Characters to words.

use modelcost_core::diagnostic::Diagnostic;

use super::arena::Arena;

/// A position in the text, and what went wrong so far.
pub(super) struct Cursor<'a> {
    pub text: &'a str,
    pub at: usize,
    pub arena: &'a Arena,
    pub diagnostics: Vec<Diagnostic>,
}

/// A number or a string.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Literal<'a> {
    Int(&'a str),
    Float(&'a str),
    Str(&'a str),
}

impl<'a> Cursor<'a> {
    pub fn skip_space(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'#' => {
                    let rest = &bytes[self.at..];
                    self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                }
                _ => break,
            }
        }
    }

    /// The next character after space, without taking it.
    pub fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.as_bytes().get(self.at).copied()
    }

    pub fn at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Takes a character if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes a character or says that it is missing.
    pub fn expect(&mut self, byte: u8, place: &str) -> Option<()> {
        if self.eat(byte) {
            return Some(());
        }
        self.error(format!("expected '{}' {place}", byte as char))
    }

    /// The word or character that stands next, for messages.
    fn next_text(&mut self) -> (usize, usize) {
        self.skip_space();
        let rest = &self.text[self.at..];
        let word = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .unwrap_or(rest.len());
        let length = if word > 0 {
            word
        } else {
            rest.chars().next().map_or(0, char::len_utf8)
        };
        (self.at, self.at + length)
    }

    /// Notes an error at what stands next.
    pub fn error<T>(&mut self, message: impl Into<String>) -> Option<T> {
        let (start, end) = self.next_text();
        let found = &self.text[start..end];
        let mut message = message.into();
        if found.is_empty() {
            message.push_str(", but the text ends here");
        } else {
            message.push_str(&format!(", found '{found}'"));
        }
        self.diagnostics
            .push(Diagnostic::error(message, start..end));
        None
    }

    /// Notes an error about a part of the text.
    pub fn error_at<T>(&mut self, message: impl Into<String>, from: usize) -> Option<T> {
        let span = from..self.at.max(from);
        self.diagnostics.push(Diagnostic::error(message, span));
        None
    }

    /// An identifier, if one is next.
    pub fn identifier(&mut self) -> Option<&'a str> {
        self.skip_space();
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.at += end;
        Some(word)
    }

    /// The identifier that is next, without taking it.
    pub fn peek_identifier(&mut self) -> Option<&'a str> {
        let at = self.at;
        let word = self.identifier();
        self.at = at;
        word
    }

    /// A name: an identifier or a quoted string.
    pub fn name(&mut self, what: &str) -> Option<&'a str> {
        match self.optional_name() {
            Some(name) => Some(name),
            None => self.error(format!("expected {what}")),
        }
    }

    /// A name, if one is next.
    pub fn optional_name(&mut self) -> Option<&'a str> {
        if self.peek() == Some(b'"') {
            self.quoted()
        } else {
            self.identifier()
        }
    }

    /// A string in double quotes. A backslash keeps the character after it as it is.
    pub fn quoted(&mut self) -> Option<&'a str> {
        let from = self.at;
        if !self.eat(b'"') {
            return self.error("expected a string in double quotes");
        }
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') if self.at + 1 < bytes.len() => {
                    escaped = true;
                    self.at += 2;
                }
                Some(_) => self.at += 1,
                None => {
                    return self.error_at("this string is not closed", from);
                }
            }
        }
        // Quotes and backslashes are single bytes, so these are character boundaries.
        let inside = self.text.get(start..self.at)?;
        self.at += 1;
        if !escaped {
            return Some(inside);
        }
        let mut out = String::with_capacity(inside.len());
        let mut chars = inside.chars();
        while let Some(c) = chars.next() {
            out.push(if c == '\\' {
                chars.next().unwrap_or(c)
            } else {
                c
            });
        }
        Some(self.arena.string(out))
    }

    /// Whether a float that is a word is next: `inf`, `infinity`, `nan`.
    pub fn is_float_word(&mut self) -> bool {
        self.peek_identifier().is_some_and(|word| {
            ["inf", "infinity", "nan"]
                .iter()
                .any(|name| word.eq_ignore_ascii_case(name))
        })
    }

    pub fn literal(&mut self) -> Option<Literal<'a>> {
        if self.peek() == Some(b'"') {
            return self.quoted().map(Literal::Str);
        }
        let from = self.at;
        if self.text.as_bytes().get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.is_float_word() {
            self.identifier();
            return self.text.get(from..self.at).map(Literal::Float);
        }
        let bytes = self.text.as_bytes();
        let digits = |at: &mut usize| {
            let start = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at > start
        };
        if !digits(&mut self.at) {
            self.at = from;
            return self.error("expected a number or a string");
        }
        let mut float = false;
        if bytes.get(self.at) == Some(&b'.') {
            float = true;
            self.at += 1;
            digits(&mut self.at);
        }
        if matches!(bytes.get(self.at), Some(b'e' | b'E')) {
            float = true;
            self.at += 1;
            if matches!(bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            digits(&mut self.at);
        }
        let text = self.text.get(from..self.at)?;
        Some(if float {
            Literal::Float(text)
        } else {
            Literal::Int(text)
        })
    }

    /// A 64-bit integer.
    pub fn integer(&mut self, what: &str) -> Option<i64> {
        let from = {
            self.skip_space();
            self.at
        };
        match self.literal()? {
            Literal::Int(text) => match text.parse() {
                Ok(value) => Some(value),
                Err(_) => self.error_at(format!("{what} must fit 64 bits"), from),
            },
            _ => self.error_at(format!("{what} must be an integer"), from),
        }
    }

    /// Skips to the end of the line, or further while brackets that opened on it are open. Stops
    /// before a bracket that closes what was open before.
    pub fn recover_line(&mut self) {
        let bytes = self.text.as_bytes();
        let mut depth = 0usize;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.pass_string();
                    continue;
                }
                b'#' => {
                    self.skip_space();
                    if depth == 0 {
                        return;
                    }
                    continue;
                }
                b'(' | b'[' | b'{' => depth += 1,
                b'}' if depth == 0 => return,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b'\n' if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Skips a string, or the quote of one that is not closed.
    fn pass_string(&mut self) {
        let (at, before) = (self.at, self.diagnostics.len());
        if self.quoted().is_none() {
            self.diagnostics.truncate(before);
            self.at = at + 1;
        }
    }

    /// Skips to one of `stops` outside of brackets and strings.
    pub fn recover_to(&mut self, stops: &[u8]) {
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            if depth == 0 && stops.contains(&byte) {
                return;
            }
            match byte {
                b'"' => {
                    self.pass_string();
                    continue;
                }
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' if depth == 0 => return,
                b')' | b']' | b'}' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
    }
}
