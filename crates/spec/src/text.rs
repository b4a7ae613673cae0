//! Strings of a TOML text, and where each of their bytes stands in it.
//!
//! Expressions live inside TOML strings. A string with escapes or a multi-line string is shorter
//! or longer than its source, so spans inside it have to be carried back byte by byte.

use modelcost_core::expr::{Argument, Expr, ExprKind, Ident, Span, SyntaxError, parse_at};

/// A string with the source position of its bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Text {
    /// The string as TOML decodes it.
    pub value: String,
    /// Where it stands, quotes included.
    pub span: Span,
    offsets: Offsets,
}

#[derive(Clone, Debug, PartialEq)]
enum Offsets {
    /// The source is the string: offsets differ by a constant.
    Shifted(u32),
    /// One source offset per byte, and one for the end.
    Mapped(Vec<u32>),
}

impl Text {
    /// A decoded string and the span of its source in `source`.
    pub fn new(source: &str, value: &str, span: Span) -> Text {
        let raw = source.get(span.range()).unwrap_or_default();
        let (open, close) = quotes(raw);
        let content = raw
            .get(open..raw.len().saturating_sub(close).max(open))
            .unwrap_or_default();
        let start = span.start + open as u32;
        let offsets = if content == value {
            Offsets::Shifted(start)
        } else {
            Offsets::Mapped(decode(content, value, start))
        };
        Text {
            value: value.to_string(),
            span,
            offsets,
        }
    }

    /// The source span of a range of the decoded string.
    pub fn source_span(&self, start: usize, end: usize) -> Span {
        Span {
            start: self.offset(start),
            end: self.offset(end),
        }
    }

    fn offset(&self, at: usize) -> u32 {
        match &self.offsets {
            Offsets::Shifted(base) => base + at as u32,
            Offsets::Mapped(map) => map
                .get(at)
                .or(map.last())
                .copied()
                .unwrap_or(self.span.start),
        }
    }

    /// Parses the string as an expression with spans in the source.
    pub fn expression(&self) -> (Expr, Vec<SyntaxError>) {
        let parsed = match &self.offsets {
            Offsets::Shifted(base) => parse_at(&self.value, *base as usize),
            Offsets::Mapped(_) => parse_at(&self.value, 0),
        };
        let (mut expr, mut errors) = (parsed.expr, parsed.errors);
        if let Offsets::Mapped(_) = self.offsets {
            let carry =
                |span: &mut Span| *span = self.source_span(span.start as usize, span.end as usize);
            carry_expr(&mut expr, &carry);
            errors.iter_mut().for_each(|error| carry(&mut error.span));
        }
        (expr, errors)
    }

    /// Parses the string as what stands between the parentheses of a call: `width, stride=1`.
    pub fn arguments(&self) -> (Vec<Argument>, Vec<SyntaxError>) {
        // Parsed as the call it is a part of; two bytes longer than the string.
        let call = format!("f({})", self.value);
        let parsed = parse_at(&call, 0);
        let (mut expr, mut errors) = (parsed.expr, parsed.errors);
        let length = self.value.len();
        let carry = |span: &mut Span| {
            let inside = |at: u32| (at as usize).saturating_sub(2).min(length);
            *span = self.source_span(inside(span.start), inside(span.end));
        };
        carry_expr(&mut expr, &carry);
        errors.iter_mut().for_each(|error| carry(&mut error.span));
        match expr.kind {
            ExprKind::Call(_, arguments) => (arguments, errors),
            _ => (Vec::new(), errors),
        }
    }
}

/// The lengths of the opening and closing quotes, a first newline after `"""` included.
fn quotes(raw: &str) -> (usize, usize) {
    for quote in ["\"\"\"", "'''"] {
        if raw.starts_with(quote) && raw.len() >= 6 {
            let newline = match &raw[3..] {
                rest if rest.starts_with("\r\n") => 2,
                rest if rest.starts_with('\n') => 1,
                _ => 0,
            };
            return (3 + newline, 3);
        }
    }
    match raw.chars().next() {
        Some('"' | '\'') if raw.len() >= 2 => (1, 1),
        _ => (0, 0),
    }
}

/// The source offset of every byte of `value`, whose source is `content`.
fn decode(content: &str, value: &str, start: u32) -> Vec<u32> {
    let mut map = Vec::with_capacity(value.len() + 1);
    let mut at = 0;
    let mut produced = 0;
    while produced < value.len() && at < content.len() {
        let rest = &content[at..];
        let (consumed, length) = match escape(rest) {
            Some(escape) => escape,
            // A newline may be normalised by the reader.
            None if rest.starts_with("\r\n") && value[produced..].starts_with('\n') => (2, 1),
            None => {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                (length, length)
            }
        };
        map.extend((0..length).map(|byte| {
            // A plain character has its bytes in the source; an escape stands as a whole.
            start + (at + if consumed == length { byte } else { 0 }) as u32
        }));
        at += consumed;
        produced += length;
    }
    map.resize(value.len(), start + at as u32);
    map.push(start + content.len() as u32);
    map
}

/// The length of an escape at the start of `text`, and of what it stands for.
fn escape(text: &str) -> Option<(usize, usize)> {
    let rest = text.strip_prefix('\\')?;
    let hex = |digits: usize| {
        let code = rest.get(1..1 + digits)?;
        let character = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
        Some((2 + digits, character.len_utf8()))
    };
    match rest.chars().next()? {
        'x' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        // A backslash at the end of a line swallows the white space that follows.
        first if first.is_whitespace() => Some((1 + rest.len() - rest.trim_start().len(), 0)),
        first => Some((1 + first.len_utf8(), 1)),
    }
}

fn carry_ident(ident: &mut Ident, carry: &dyn Fn(&mut Span)) {
    carry(&mut ident.span);
}

fn carry_expr(expr: &mut Expr, carry: &dyn Fn(&mut Span)) {
    carry(&mut expr.span);
    let each = |items: &mut Vec<Expr>| items.iter_mut().for_each(|item| carry_expr(item, carry));
    match &mut expr.kind {
        ExprKind::Tuple(items) | ExprKind::List(items) => each(items),
        ExprKind::Unary(_, operand) => carry_expr(operand, carry),
        ExprKind::Binary(_, a, b) | ExprKind::And(a, b) | ExprKind::Or(a, b) => {
            carry_expr(a, carry);
            carry_expr(b, carry);
        }
        ExprKind::Compare(first, rest) => {
            carry_expr(first, carry);
            rest.iter_mut()
                .for_each(|(_, operand)| carry_expr(operand, carry));
        }
        ExprKind::IfElse {
            test,
            then,
            otherwise,
        } => {
            carry_expr(test, carry);
            carry_expr(then, carry);
            carry_expr(otherwise, carry);
        }
        ExprKind::Call(function, arguments) => {
            carry_expr(function, carry);
            for argument in arguments {
                if let Some(name) = &mut argument.name {
                    carry_ident(name, carry);
                }
                carry_expr(&mut argument.value, carry);
            }
        }
        ExprKind::Attribute(base, ident) => {
            carry_expr(base, carry);
            carry_ident(ident, carry);
        }
        ExprKind::Subscript(base, indices) => {
            carry_expr(base, carry);
            each(indices);
        }
        ExprKind::Slice(lower, upper, step) => {
            for bound in [lower, upper, step].into_iter().flatten() {
                carry_expr(bound, carry);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str, value: &str) -> Text {
        Text::new(source, value, Span::new(0, source.len()))
    }

    #[test]
    fn spans_are_those_of_the_source() {
        let source = r#""Pad(\"same\", \u0078, wide)""#;
        let text = text(source, r#"Pad("same", x, wide)"#);
        let (expr, errors) = text.expression();
        assert!(errors.is_empty());
        let ExprKind::Call(_, arguments) = expr.kind else {
            panic!("a call")
        };
        let shown: Vec<&str> = arguments
            .iter()
            .map(|a| &source[a.value.span.range()])
            .collect();
        assert_eq!(shown, [r#"\"same\""#, r"\u0078", "wide"]);
    }

    #[test]
    fn lines_may_be_broken() {
        let source = "\"\"\"\nconv1 + \\\n    conv2\"\"\"";
        let text = text(source, "conv1 + conv2");
        let (expr, _) = text.expression();
        let ExprKind::Binary(_, a, b) = expr.kind else {
            panic!("a sum")
        };
        assert_eq!(&source[a.span.range()], "conv1");
        assert_eq!(&source[b.span.range()], "conv2");
    }

    #[test]
    fn argument_lists() {
        let source = r#""width, stride=1""#;
        let (arguments, errors) = text(source, "width, stride=1").arguments();
        assert!(errors.is_empty());
        assert_eq!(&source[arguments[0].value.span.range()], "width");
        let name = arguments[1].name.clone().unwrap();
        assert_eq!(&source[name.span.range()], "stride");
    }
}
