//! Numbers and shapes as text for people: short beside a line, with more digits in tables.

use std::fmt::Write as _;

use modelcost_core::convention::Unit;
use modelcost_core::dim::{Atom, Dim};

use serde::Deserialize;

/// In what numbers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Units {
    /// `9.4 k`, `118 M` as it fits.
    #[default]
    Auto,
    /// `118,013,952`
    Raw,
    /// Thousands.
    K,
    /// Millions.
    M,
    /// Thousands of millions.
    G,
}

/// How many digits are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// Three figures at most: `9.4 k`, `118 M`. Polynomials are scaled too: `118 M·batch`.
    Few,
    /// Two decimals, which stand under each other in a table: `9.41 K`, `118.01 M`. Polynomials stay as they are.
    Table,
}

/// `118013952` as `118 M`, `9408` as `9.4 k`; a polynomial as its scaled terms, `118 M·batch`.
pub fn scaled(value: &Dim, units: Units) -> String {
    scaled_to(value, units, Digits::Few)
}

/// A number as wide as is asked for.
pub fn scaled_to(value: &Dim, units: Units, digits: Digits) -> String {
    match value {
        Dim::Const(number) => scaled_integer(*number, units, digits),
        Dim::Overflow => "too large".into(),
        Dim::Poly(_) => match digits {
            Digits::Few => polynomial(value, units),
            Digits::Table => value.to_string(),
        },
    }
}

/// A count with its unit: `118 MMac`, `1.4 GFLOP`, `118 M·batch Mac`.
pub fn count(value: &Dim, units: Units, unit: Unit) -> String {
    count_to(value, units, unit, Digits::Few)
}

/// A count with its unit, as wide as is asked for.
pub fn count_to(value: &Dim, units: Units, unit: Unit, digits: Digits) -> String {
    let unit = match unit {
        Unit::Mac => "Mac",
        Unit::Flop => "FLOP",
    };
    let text = scaled_to(value, units, digits);
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
    let mut out = String::with_capacity(4 * dims.len());
    for (at, dim) in dims.iter().enumerate() {
        if at > 0 {
            out.push('×');
        }
        let _ = match dim {
            Dim::Const(size) => out.write_str(&size.to_string()),
            dim if dim.has_unknown() => write!(out, "?"),
            dim => match dim.to_string() {
                sum if sum.contains(' ') => write!(out, "({sum})"),
                product => write!(out, "{product}"),
            },
        };
    }
    out
}

/// The share of a part in a whole, `9.848%`, when both are numbers.
pub fn share(part: &Dim, whole: &Dim, decimals: usize) -> Option<String> {
    let (part, whole) = (part.as_const()?, whole.as_const()?);
    (whole != 0).then(|| decimal(part as f64 / whole as f64 * 100.0, decimals) + "%")
}

fn scaled_integer(number: i128, units: Units, digits: Digits) -> String {
    let magnitude = number.unsigned_abs() as f64;
    // Few digits round up to the next unit.
    let (round, thousand) = match digits {
        Digits::Few => (0.9995, "k"),
        Digits::Table => (1.0, "K"),
    };
    let (divisor, suffix) = match units {
        Units::Raw => return grouped(number),
        Units::K => (1e3, thousand),
        Units::M => (1e6, "M"),
        Units::G => (1e9, "G"),
        Units::Auto => match magnitude {
            m if m >= round * 1e12 => (1e12, "T"),
            m if m >= round * 1e9 => (1e9, "G"),
            m if m >= round * 1e6 => (1e6, "M"),
            m if m >= 1e3 => (1e3, thousand),
            _ => return number.to_string(),
        },
    };
    // Three figures at most where the unit is free; enough to see anything where it is fixed.
    let scaled = number as f64 / divisor;
    let digits = match scaled.abs() {
        _ if digits == Digits::Table => 2,
        s if s >= 99.95 => 0,
        s if s >= 0.95 || units == Units::Auto => 1,
        _ => 3,
    };
    decimal(scaled, digits) + " " + suffix
}

/// `{value:.digits$}`, from an integer where the rounding does not hang on the float's last bits: a
/// table has hundreds, and most of what printing it took was exact arithmetic on floats.
fn decimal(value: f64, digits: usize) -> String {
    let scaled = value * 10f64.powi(digits as i32);
    let is_clear = (scaled.fract() - 0.5).abs() > 1e-6;
    if digits == 0 || !is_clear || !(0.0..1e9).contains(&scaled) {
        return format!("{value:.digits$}");
    }
    let mut out = (scaled.round() as u64).to_string();
    if out.len() <= digits {
        out.insert_str(0, &"0".repeat(digits + 1 - out.len()));
    }
    out.insert(out.len() - digits, '.');
    out
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
            factors.push(scaled_integer(coefficient, units, Digits::Few));
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
    fn numbers_of_tables() {
        let table = |number: i64| scaled_to(&Dim::from(number), Units::Auto, Digits::Table);
        assert_eq!(table(716_441_128), "716.44 M");
        assert_eq!(table(999_999), "1000.00 K");
        assert_eq!(table(12), "12");
        let part = Dim::from(70_470_400);
        let share = share(&part, &Dim::from(715_561_896), 3);
        assert_eq!(share.as_deref(), Some("9.848%"));
    }

    #[test]
    fn decimals_are_those_of_the_float() {
        let mut value = 1e-5;
        while value < 1e12 {
            for scale in [1.0, 0.001, 0.005, 2.675, 1.005, 99.995] {
                let value: f64 = value * scale;
                for digits in 0..4 {
                    assert_eq!(decimal(value, digits), format!("{value:.digits$}"));
                }
            }
            value *= 1.0371;
        }
        assert_eq!(decimal(0.125, 2), format!("{:.2}", 0.125));
        assert_eq!(decimal(-1.5, 1), "-1.5");
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
