//! Statements of Python, as far as the expressions in them.

/// The expression of a simple statement, `return x`, `a, b = x`, `a += x`, and the operator of the
/// last kind.
pub fn assigned(code: &str) -> (&str, Option<&str>) {
    let code = code.strip_prefix("return ").unwrap_or(code);
    let bytes = code.as_bytes();
    let mut depth = 0usize;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'=' if depth == 0 => {
                let value = &code[at + 1..];
                let before = code[..at].trim_end_matches(['/', '*', '@', '-', '+', '%', '|', '&']);
                if bytes.get(at + 1) == Some(&b'=') || code[..at].ends_with(['!', '<', '>', '=']) {
                    continue;
                }
                return match before.len() < at {
                    true => (value.trim(), Some(&code[before.len()..=at])),
                    false => assigned(value.trim()),
                };
            }
            _ => {}
        }
    }
    (code, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_statements() {
        for (code, value, operator) in [
            ("return x + y", "x + y", None),
            ("a, b = f(x, dim=1)", "f(x, dim=1)", None),
            ("a = b = x", "x", None),
            ("a += x", "x", Some("+=")),
            ("x[k == 1] //= 2", "2", Some("//=")),
            ("a == b", "a == b", None),
            ("f(x, dim=1)", "f(x, dim=1)", None),
        ] {
            assert_eq!(assigned(code), (value, operator), "{code}");
        }
    }
}
