//! Text to tokens.

use smol_str::SmolStr;

use super::{Span, SyntaxError};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(SmolStr),
    Int(i128),
    Float(f64),
    Str(SmolStr),
    /// An operator or a bracket.
    Punct(&'static str),
    /// Text that no token starts with; an error was reported.
    Bad,
    End,
}

/// Longest first, so that `**` is not two `*`.
const PUNCT: &[&str] = &[
    "...", "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "@", "(", ")", "[", "]",
    "{", "}", ",", ".", ":", "=", "<", ">", "~", "&", "|",
];

pub(super) fn tokenize(
    text: &str,
    base: usize,
    errors: &mut Vec<SyntaxError>,
) -> Vec<(Token, Span)> {
    let mut tokens = Vec::with_capacity(text.len() / 3 + 2);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let first = rest.chars().next().unwrap_or(' ');
        let start = at;
        let mut error = |message: String, end: usize| {
            errors.push(SyntaxError {
                message,
                span: Span::new(base + start, base + end),
            });
        };
        let token = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if first == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else if first.is_alphabetic() || first == '_' {
            let length = name_length(rest);
            at += length;
            Token::Name(rest[..length].into())
        } else if first.is_ascii_digit()
            || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            let length = number_length(rest);
            at += length;
            match small_integer(&rest[..length]) {
                Some(integer) => Token::Int(integer),
                None => match number(&rest[..length]) {
                    Ok(token) => token,
                    Err(message) => {
                        error(message, at);
                        Token::Bad
                    }
                },
            }
        } else if first == '\'' || first == '"' {
            match rest[1..].find(first) {
                Some(length) => {
                    at += length + 2;
                    Token::Str(rest[1..=length].into())
                }
                None => {
                    at = bytes.len();
                    error(format!("this string is not closed: add {first}"), at);
                    Token::Str(rest[1..].into())
                }
            }
        } else if let Some(punct) = lone_punct(bytes[at], bytes.get(at + 1)) {
            at += 1;
            Token::Punct(punct)
        } else if let Some(punct) = PUNCT.iter().find(|punct| rest.starts_with(**punct)) {
            at += punct.len();
            Token::Punct(punct)
        } else {
            at += first.len_utf8();
            error(format!("'{first}' has no meaning here"), at);
            Token::Bad
        };
        tokens.push((token, Span::new(base + start, base + at)));
    }
    tokens.push((Token::End, Span::new(base + text.len(), base + text.len())));
    tokens
}

/// The punctuation that most expressions are made of, where no longer one can begin.
fn lone_punct(byte: u8, next: Option<&u8>) -> Option<&'static str> {
    Some(match byte {
        b'(' => "(",
        b')' => ")",
        b'[' => "[",
        b']' => "]",
        b',' => ",",
        b'=' if next != Some(&b'=') => "=",
        _ => return None,
    })
}

fn name_length(text: &str) -> usize {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = text.bytes().take_while(|byte| is_plain(byte)).count();
    match text.as_bytes().get(length) {
        Some(byte) if !byte.is_ascii() => {
            let is_other = |c: char| !c.is_alphanumeric() && c != '_';
            text.find(is_other).unwrap_or(text.len())
        }
        _ => length,
    }
}

fn number(text: &str) -> Result<Token, String> {
    let digits = text.replace('_', "");
    match (digits.parse::<i128>(), digits.parse::<f64>()) {
        (Ok(integer), _) => Ok(Token::Int(integer)),
        (_, Ok(float)) if digits.contains(['.', 'e', 'E']) => Ok(Token::Float(float)),
        (_, Ok(_)) => Err(format!("the integer {digits} is too large")),
        _ => Err(format!("'{digits}' is not a number")),
    }
}

/// A number of digits alone that needs no more than 64 bits.
fn small_integer(text: &str) -> Option<i128> {
    let is_digits = text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| {
        text.bytes()
            .fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'))
    })
}

fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut length = 0;
    let mut seen_exponent = false;
    while let Some(byte) = bytes.get(length) {
        let fits = match byte {
            b'0'..=b'9' | b'_' => true,
            b'.' => !seen_exponent,
            b'e' | b'E' if !seen_exponent => {
                let digit = if matches!(bytes.get(length + 1), Some(b'+' | b'-')) {
                    length + 2
                } else {
                    length + 1
                };
                seen_exponent = bytes.get(digit).is_some_and(u8::is_ascii_digit);
                seen_exponent
            }
            b'+' | b'-' => length > 0 && matches!(bytes[length - 1], b'e' | b'E'),
            _ => false,
        };
        if !fits {
            break;
        }
        length += 1;
    }
    length
}
