//! Numbers for people.

use modelcost_core::convention::Unit;
use modelcost_core::dim::Dim;

use crate::args::Units;

/// `61100840` as `61,100,840`; an expression as it is.
pub fn grouped(value: &Dim) -> String {
    let Some(value) = value.as_const() else {
        return value.to_string();
    };
    let digits = value.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    if value < 0 {
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

/// `716441128` as `716.44 M`. Symbolic counts stay expressions.
pub fn scaled(value: &Dim, units: Units) -> String {
    let Some(number) = value.as_const() else {
        return value.to_string();
    };
    let magnitude = number.unsigned_abs() as f64;
    let (divisor, suffix) = match units {
        Units::Raw => return grouped(value),
        Units::K => (1e3, "K"),
        Units::M => (1e6, "M"),
        Units::G => (1e9, "G"),
        Units::Auto if magnitude >= 1e12 => (1e12, "T"),
        Units::Auto if magnitude >= 1e9 => (1e9, "G"),
        Units::Auto if magnitude >= 1e6 => (1e6, "M"),
        Units::Auto if magnitude >= 1e3 => (1e3, "K"),
        Units::Auto => return number.to_string(),
    };
    format!("{:.2} {suffix}", number as f64 / divisor)
}

/// A scaled count with its unit: `716.44 MMac`, `1.43 GFLOP`.
pub fn with_unit(value: &Dim, units: Units, unit: Unit) -> String {
    let unit = match unit {
        Unit::Mac => "Mac",
        Unit::Flop => "FLOP",
    };
    let text = scaled(value, units);
    // "716.44 M" and "Mac" join to "716.44 MMac"; a plain number or an expression keeps a space.
    let joins = value.is_const() && text.ends_with(['K', 'M', 'G', 'T']);
    if joins {
        format!("{text}{unit}")
    } else {
        format!("{text} {unit}")
    }
}

/// `244403360` as `244.40 MB` (10^6).
pub fn megabytes(bytes: u128) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.2} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// The share of a part in a whole, `9.848%`, when both are numbers.
pub fn share(part: &Dim, whole: &Dim) -> Option<String> {
    let (part, whole) = (part.as_const()?, whole.as_const()?);
    (whole != 0).then(|| format!("{:.3}%", part as f64 / whole as f64 * 100.0))
}

/// `1×64×55×55`
pub fn shape(dims: &[Dim]) -> String {
    if dims.is_empty() {
        return "scalar".into();
    }
    let text = |dim: &Dim| match dim {
        dim if dim.has_unknown() => "?".to_string(),
        dim => dim.to_string(),
    };
    dims.iter().map(text).collect::<Vec<_>>().join("×")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_for_people() {
        assert_eq!(grouped(&Dim::from(61_100_840)), "61,100,840");
        assert_eq!(grouped(&Dim::from(-484_992)), "-484,992");
        assert_eq!(
            with_unit(&Dim::from(716_441_128), Units::Auto, Unit::Mac),
            "716.44 MMac"
        );
        assert_eq!(
            with_unit(&Dim::from(12), Units::Auto, Unit::Flop),
            "12 FLOP"
        );
        assert_eq!(
            with_unit(&(Dim::symbol("batch") * 3), Units::Auto, Unit::Mac),
            "3*batch Mac"
        );
        assert_eq!(
            share(&Dim::from(70_470_400), &Dim::from(715_561_896)),
            Some("9.848%".into())
        );
    }
}
