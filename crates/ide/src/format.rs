//! Numbers and shapes as short text, for hints.

use modelcost_core::convention::Unit;
use modelcost_core::dim::{Atom, Dim};

use crate::config::Units;

/// `118013952` as `118 M`, `9408` as `9.4 k`; a polynomial as its scaled terms, `118 M·batch`.
pub fn scaled(value: &Dim, units: Units) -> String {
    match value {
        Dim::Const(number) => scaled_integer(*number, units),
        Dim::Overflow => "too large".into(),
        Dim::Poly(_) => polynomial(value, units),
    }
}

/// A count with its unit: `118 MMac`, `1.4 GFLOP`, `118 M·batch Mac`.
pub fn count(value: &Dim, units: Units, unit: Unit) -> String {
    let unit = match unit {
        Unit::Mac => "Mac",
        Unit::Flop => "FLOP",
    };
    let text = scaled(value, units);
    let joins = text.ends_with(|last: char| last.is_ascii_alphabetic())
        && value.is_const()
        && !value.is_overflow();
    if joins {
        format!("{text}{unit}")
    } else {
        format!("{text} {unit}")
    }
}

/// `9.4 k params`
pub fn params(value: &Dim, units: Units) -> String {
    format!("{} params", scaled(value, units))
}

/// `61,100,840`; a polynomial as it is.
pub fn exact(value: &Dim) -> String {
    match value {
        Dim::Const(number) => grouped(*number),
        other => other.to_string(),
    }
}

/// `64×112×112`. Sizes that are not known are question marks.
pub fn shape(dims: &[Dim]) -> String {
    if dims.is_empty() {
        return "scalar".into();
    }
    let size = |dim: &Dim| match dim {
        Dim::Const(size) => size.to_string(),
        dim if dim.has_unknown() => "?".into(),
        dim => match dim.to_string() {
            sum if sum.contains(' ') => format!("({sum})"),
            product => product,
        },
    };
    dims.iter().map(size).collect::<Vec<_>>().join("×")
}

fn scaled_integer(number: i128, units: Units) -> String {
    let magnitude = number.unsigned_abs() as f64;
    let (divisor, suffix) = match units {
        Units::Raw => return grouped(number),
        Units::K => (1e3, "k"),
        Units::M => (1e6, "M"),
        Units::G => (1e9, "G"),
        Units::Auto => match magnitude {
            m if m >= 999.5e9 => (1e12, "T"),
            m if m >= 999.5e6 => (1e9, "G"),
            m if m >= 999.5e3 => (1e6, "M"),
            m if m >= 1e3 => (1e3, "k"),
            _ => return number.to_string(),
        },
    };
    // Three figures at most where the unit is free; enough to see anything where it is fixed.
    let scaled = number as f64 / divisor;
    let digits = match scaled.abs() {
        s if s >= 99.95 => 0,
        s if s >= 0.95 || units == Units::Auto => 1,
        _ => 3,
    };
    format!("{scaled:.digits$} {suffix}")
}

fn grouped(number: i128) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    if number < 0 {
        out.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// More terms than this say nothing in a hint.
const MAX_TERMS: usize = 3;

fn polynomial(value: &Dim, units: Units) -> String {
    let mut terms = value.terms();
    if value.has_unknown() {
        return "?".into();
    }
    // The highest powers first, as people write them.
    terms.sort_by_key(|(monomial, _)| {
        std::cmp::Reverse(monomial.iter().map(|(_, exponent)| *exponent).sum::<u32>())
    });
    let mut out = String::new();
    for (index, (monomial, coefficient)) in terms.iter().enumerate() {
        if index == MAX_TERMS {
            out.push_str(" + …");
            break;
        }
        if index > 0 {
            out.push_str(if *coefficient < 0 { " - " } else { " + " });
        }
        let coefficient = if index > 0 {
            coefficient.saturating_abs()
        } else {
            *coefficient
        };
        let mut factors = Vec::new();
        if coefficient != 1 || monomial.is_empty() {
            factors.push(scaled_integer(coefficient, units));
        }
        for (atom, exponent) in monomial {
            let base = match atom {
                Atom::Symbol(name) => name.to_string(),
                Atom::Apply(function, arguments) => {
                    let mut text = format!("{function:?}").to_lowercase();
                    if text == "floordiv" {
                        text = format!("({} // {})", arguments.0, arguments.1);
                    } else {
                        text = format!("{text}({}, {})", arguments.0, arguments.1);
                    }
                    text
                }
            };
            factors.push(match exponent {
                1 => base,
                2 => format!("{base}²"),
                3 => format!("{base}³"),
                n => format!("{base}^{n}"),
            });
        }
        out.push_str(&factors.join("·"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers() {
        let auto = |number: i64| scaled(&Dim::from(number), Units::Auto);
        assert_eq!(auto(0), "0");
        assert_eq!(auto(999), "999");
        assert_eq!(auto(9_408), "9.4 k");
        assert_eq!(auto(118_013_952), "118 M");
        assert_eq!(auto(999_999), "1.0 M");
        assert_eq!(auto(4_133_742_592), "4.1 G");
        assert_eq!(scaled(&Dim::from(9_408), Units::Raw), "9,408");
        assert_eq!(scaled(&Dim::from(9_408), Units::M), "0.009 M");
    }

    #[test]
    fn counts_carry_their_unit() {
        assert_eq!(
            count(&Dim::from(118_013_952), Units::Auto, Unit::Mac),
            "118 MMac"
        );
        assert_eq!(count(&Dim::from(12), Units::Auto, Unit::Flop), "12 FLOP");
        assert_eq!(
            count(&Dim::from(1_234), Units::Raw, Unit::Flop),
            "1,234 FLOP"
        );
    }

    #[test]
    fn free_dimensions() {
        let batch = Dim::symbol("batch");
        let seq = Dim::symbol("seq");
        let cost = &(&batch * 118_013_952) * &seq.pow(2);
        let cost = cost + &batch * 1_500_000;
        assert_eq!(
            count(&cost, Units::Auto, Unit::Mac),
            "118 M·batch·seq² + 1.5 M·batch Mac"
        );
        assert_eq!(
            shape(&[batch.clone(), Dim::from(64), seq + 1]),
            "batch×64×(seq + 1)"
        );
        assert_eq!(scaled(&(batch * 1), Units::Auto), "batch");
    }
}
