//! Names, strings, numbers and lists as the syntax has them.

use crate::model::ElemType;

pub(super) fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '\\' | '"') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

pub(super) fn name(text: &str) -> String {
    // A value called `float` would be read as a type.
    let keyword = ElemType::from_name(text).is_some()
        || matches!(
            text,
            "seq" | "map" | "optional" | "sparse_tensor" | "opaque"
        );
    if is_identifier(text) && !keyword {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// The syntax has only plain words for operators, domains and attributes.
pub(super) fn word(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

pub(super) fn dotted(text: &str) -> String {
    text.split('.').map(word).collect::<Vec<_>>().join(".")
}

pub(super) fn float(value: f64, shortest: String) -> String {
    if value.is_nan() {
        "nan".into()
    } else if value.is_infinite() {
        if value > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        }
    } else if shortest.contains(['.', 'e']) {
        shortest
    } else {
        // Without a point it would be an integer.
        format!("{shortest}.0")
    }
}

pub(super) fn float32(value: f32) -> String {
    let plain = (1e-5..1e16).contains(&value.abs()) || value == 0.0;
    let text = if plain {
        value.to_string()
    } else {
        format!("{value:e}")
    };
    float(f64::from(value), text)
}

pub(super) fn float64(value: f64) -> String {
    let plain = (1e-5..1e16).contains(&value.abs()) || value == 0.0;
    let text = if plain {
        value.to_string()
    } else {
        format!("{value:e}")
    };
    float(value, text)
}

pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

pub(super) fn opsets(opsets: &[(&str, i64)]) -> String {
    list(
        opsets
            .iter()
            .map(|(domain, version)| format!("{} : {version}", quoted(domain))),
    )
}

pub(super) fn entries<V: AsRef<str>>(entries: &[(&str, V)]) -> String {
    let entry = |(key, value): &(&str, V)| format!("{}: {}", quoted(key), quoted(value.as_ref()));
    list(entries.iter().map(entry))
}
