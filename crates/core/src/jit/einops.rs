//! Arithmetic on sizes in einops (einops/einops.py, einops 0.8: `_reconstruct_from_shape_uncached`).
//!
//! `rearrange(x, "b (h w) c -> b c h w", h=8)` divides the length of a group by what is known of it,
//! and makes each length of the result a product, which begins at 1 even for a single axis.

use crate::expr::{Argument, ExprKind};

/// What the length of an axis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// A number of the program's.
    Number,
    /// A size of a tensor, which the tracer follows.
    Size,
}

/// The pattern of a call by this name, if it is one of einops.
pub fn pattern<'a>(name: &str, arguments: &'a [Argument]) -> Option<&'a str> {
    if !matches!(name, "rearrange" | "reduce" | "repeat") {
        return None;
    }
    arguments
        .iter()
        .find_map(|argument| match &argument.value.kind {
            ExprKind::Str(text) if text.contains("->") => Some(&**text),
            _ => None,
        })
}

/// The operators on scalars that a pattern records with these lengths given; `None` where the rank
/// of the tensor decides.
pub fn arithmetic(pattern: &str, given: &[(&str, Length)]) -> Option<Vec<&'static str>> {
    let (before, after) = pattern.split_once("->")?;
    let (before, after) = (groups(before)?, groups(after)?);
    let mut recorded = Vec::new();
    let mut lengths: Vec<(&str, Length)> = given.to_vec();
    let splits = before.iter().any(|group| group.len() != 1);
    for group in &before {
        let unknown = group.iter().find(|axis| length(&lengths, axis).is_none());
        let Some(unknown) = unknown else { continue };
        if group.len() > 1 && splits {
            let known = group.iter().filter_map(|axis| length(&lengths, axis));
            product(known, &mut recorded);
            recorded.push("floor_divide");
        }
        lengths.push((unknown, Length::Size));
    }
    if after.iter().any(|group| group.len() != 1) {
        for group in &after {
            let of = group.iter().filter_map(|axis| length(&lengths, axis));
            product(of, &mut recorded);
        }
    }
    Some(recorded)
}

/// `result = 1; for length in lengths: result *= length`
fn product(lengths: impl Iterator<Item = Length>, recorded: &mut Vec<&'static str>) {
    let mut result = Length::Number;
    for length in lengths {
        match (result, length) {
            (Length::Size, _) => recorded.push("mul_"),
            (Length::Number, Length::Size) => recorded.push("mul"),
            (Length::Number, Length::Number) => {}
        }
        if length == Length::Size {
            result = Length::Size;
        }
    }
}

fn length(lengths: &[(&str, Length)], axis: &str) -> Option<Length> {
    if axis.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Length::Number);
    }
    let known = lengths.iter().find(|(name, _)| *name == axis);
    known.map(|(_, length)| *length)
}

/// The axes of each dimension: `b (h w) 1` has three dimensions, the last without an axis.
fn groups(side: &str) -> Option<Vec<Vec<&str>>> {
    if side.contains("...") || side.contains('\u{2026}') {
        return None;
    }
    let mut out: Vec<Vec<&str>> = Vec::new();
    let mut inside = false;
    for word in words(side) {
        match word {
            "(" => {
                inside = true;
                out.push(Vec::new());
            }
            ")" => inside = false,
            "1" if inside => {}
            "1" => out.push(Vec::new()),
            axis if inside => out.last_mut()?.push(axis),
            axis => out.push(vec![axis]),
        }
    }
    Some(out)
}

/// Names and parentheses.
fn words(side: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    side.char_indices().filter_map(move |(at, c)| {
        if c == '(' || c == ')' {
            return Some(&side[at..at + 1]);
        }
        let begins = is_name(c) && !side[..at].ends_with(is_name);
        begins.then(|| {
            let rest = &side[at..];
            &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_lengths() {
        use Length::{Number, Size};
        // Scalar operators in the graphs of torch 2.15 with einops 0.8.2.
        for (pattern, given, products) in [
            ("b c h w -> b h w c", &[] as &[_], 0),
            ("b n (h d) -> b h n d", &[("h", Number)], 0),
            ("b h n d -> b n (h d)", &[], 4),
            ("(b h) n d -> b n (h d)", &[("h", Number)], 3),
            ("b n (h d) -> (b h) n d", &[("h", Number)], 4),
            ("b c h -> b c 1 h", &[], 3),
            ("1 l d -> d l", &[], 0),
            ("b c -> b r c", &[("r", Number)], 0),
            ("b (h w) c -> b c h w", &[("h", Size), ("w", Size)], 0),
            ("b (h w) c -> (b c) h w", &[("h", Size)], 5),
        ] {
            let recorded = arithmetic(pattern, given).unwrap();
            let count = recorded.iter().filter(|kind| kind.starts_with("mul"));
            assert_eq!(count.count(), products, "{pattern}: {recorded:?}");
        }
        assert_eq!(arithmetic("... c -> c ...", &[]), None);
    }
}
