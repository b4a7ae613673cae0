//! Arithmetic on the elements of small tensors.
//!
//! An element may be a symbolic integer. Models compute shapes in float now and then (`h * 0.5`,
//! then `Floor`), so a quotient stays an exact fraction until it is rounded.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::bounds;
use super::fact::Scalar;

/// A number with the precision and range of its element type.
pub(crate) fn round_to(dtype: Option<DType>, scalar: Scalar) -> Scalar {
    match (dtype, scalar) {
        (Some(DType::Float32), Scalar::Float(value)) => Scalar::Float(f64::from(value as f32)),
        (Some(DType::Bool), Scalar::Int(value)) => Scalar::maybe(Scalar::Int(value).truth()),
        (Some(dtype), Scalar::Int(Dim::Const(value))) if !dtype.is_floating_point() => {
            wrap(dtype, value)
        }
        (_, scalar) => scalar,
    }
}

/// Two's complement.
fn wrap(dtype: DType, value: i128) -> Scalar {
    let bits = dtype.bits().clamp(1, 64);
    let masked = value & ((1i128 << bits) - 1);
    let signed = dtype.name().starts_with("int") && masked >> (bits - 1) == 1;
    Scalar::Int(Dim::Const(if signed {
        masked - (1i128 << bits)
    } else {
        masked
    }))
}

/// `Cast` to an element type.
pub(crate) fn cast(to: DType, scalar: &Scalar) -> Scalar {
    if to == DType::String {
        return match scalar {
            Scalar::Str(_) => scalar.clone(),
            _ => Scalar::Unknown,
        };
    }
    if to == DType::Bool {
        return Scalar::maybe(scalar.truth());
    }
    if to.is_floating_point() {
        return match scalar {
            Scalar::Str(text) => text.parse().map_or(Scalar::Unknown, Scalar::Float),
            // Above 2^24 a float32 no longer holds every integer.
            Scalar::Int(Dim::Const(value)) if value.abs() > 1 << 24 => {
                round_to(Some(to), Scalar::Float(*value as f64))
            }
            other => round_to(Some(to), other.clone()),
        };
    }
    match scalar {
        Scalar::Int(_) => round_to(Some(to), scalar.clone()),
        Scalar::Float(value) if value.is_finite() && value.abs() < 9e15 => {
            wrap(to, value.trunc() as i128)
        }
        Scalar::Ratio(a, b) if bounds::lower(a) >= Some(0) && bounds::lower(b) > Some(0) => {
            Scalar::Int(a.floor_div(b))
        }
        Scalar::Str(text) => text
            .parse::<i64>()
            .map_or(Scalar::Unknown, |value| Scalar::Int(value.into())),
        _ => Scalar::Unknown,
    }
}

fn ratio(a: Dim, b: Dim) -> Scalar {
    if let Some(exact) = a.exact_div(&b) {
        return Scalar::Int(exact);
    }
    match (a.as_const(), b.as_const()) {
        (Some(a), Some(b)) => Scalar::Float(a as f64 / b as f64),
        _ => Scalar::Ratio(a, b),
    }
}

/// A number as an exact fraction, if it is one with a small denominator.
fn fraction(scalar: &Scalar) -> Option<(Dim, Dim)> {
    match scalar {
        Scalar::Int(value) => Some((value.clone(), Dim::ONE)),
        Scalar::Ratio(a, b) => Some((a.clone(), b.clone())),
        Scalar::Float(value) => {
            let scaled = value * 1024.0;
            (scaled.fract() == 0.0 && scaled.abs() < 1e15)
                .then_some((Dim::Const(scaled as i128), Dim::Const(1024)))
        }
        _ => None,
    }
}

fn numeric(a: &Scalar, b: &Scalar, float: fn(f64, f64) -> f64) -> Option<Scalar> {
    Some(Scalar::Float(float(a.float()?, b.float()?)))
}

fn is_float(scalar: &Scalar) -> bool {
    matches!(scalar, Scalar::Float(_))
}

fn fractions(
    a: &Scalar,
    b: &Scalar,
    float: fn(f64, f64) -> f64,
    exact: fn((Dim, Dim), (Dim, Dim)) -> Scalar,
) -> Scalar {
    if (is_float(a) || is_float(b))
        && let Some(result) = numeric(a, b, float)
    {
        return result;
    }
    match (fraction(a), fraction(b)) {
        (Some(a), Some(b)) => exact(a, b),
        _ => Scalar::Unknown,
    }
}

/// `a + b`
pub(crate) fn add(a: &Scalar, b: &Scalar) -> Scalar {
    fractions(
        a,
        b,
        |a, b| a + b,
        |(a, p), (b, q)| ratio(a * &q + b * &p, p * q),
    )
}

/// `a - b`
pub(crate) fn sub(a: &Scalar, b: &Scalar) -> Scalar {
    fractions(
        a,
        b,
        |a, b| a - b,
        |(a, p), (b, q)| ratio(a * &q - b * &p, p * q),
    )
}

/// `a * b`
pub(crate) fn mul(a: &Scalar, b: &Scalar) -> Scalar {
    fractions(a, b, |a, b| a * b, |(a, p), (b, q)| ratio(a * b, p * q))
}

/// Division of floats.
pub(crate) fn div_float(a: &Scalar, b: &Scalar) -> Scalar {
    if let (Some(x), Some(y)) = (a.float(), b.float()) {
        return Scalar::Float(x / y);
    }
    fractions(a, b, |a, b| a / b, |(a, p), (b, q)| ratio(a * q, p * b))
}

/// Division of integers, which rounds towards zero.
pub(crate) fn div_int(a: &Scalar, b: &Scalar) -> Scalar {
    let (Some(a), Some(b)) = (a.int(), b.int()) else {
        return Scalar::Unknown;
    };
    if let (Some(a), Some(b)) = (a.as_const(), b.as_const()) {
        return a
            .checked_div(b)
            .map_or(Scalar::Unknown, |q| Scalar::Int(Dim::Const(q)));
    }
    if bounds::lower(&a) >= Some(0) && bounds::lower(&b) > Some(0) {
        return Scalar::Int(a.floor_div(&b));
    }
    a.exact_div(&b).map_or(Scalar::Unknown, Scalar::Int)
}

/// Remainder with the sign of the divisor, or with `fmod` of the dividend.
pub(crate) fn modulo(a: &Scalar, b: &Scalar, fmod: bool) -> Scalar {
    if is_float(a) || is_float(b) {
        return match (a.float(), b.float()) {
            (Some(a), Some(b)) if fmod => Scalar::Float(a % b),
            _ => Scalar::Unknown,
        };
    }
    let (Some(a), Some(b)) = (a.int(), b.int()) else {
        return Scalar::Unknown;
    };
    match (a.as_const(), b.as_const()) {
        (_, Some(0)) => Scalar::Unknown,
        (Some(a), Some(b)) if fmod => Scalar::Int(Dim::Const(a % b)),
        (Some(_), Some(_)) => Scalar::Int(a.modulo(&b)),
        _ if bounds::lower(&a) >= Some(0) && bounds::lower(&b) > Some(0) => {
            Scalar::Int(a.modulo(&b))
        }
        _ => Scalar::Unknown,
    }
}

/// The smaller of two.
pub(crate) fn minimum(a: &Scalar, b: &Scalar) -> Scalar {
    match (a.int(), b.int()) {
        (Some(a), Some(b)) => Scalar::Int(bounds::min(&a, &b)),
        _ => numeric(a, b, f64::min).unwrap_or_default(),
    }
}

/// The larger of two.
pub(crate) fn maximum(a: &Scalar, b: &Scalar) -> Scalar {
    match (a.int(), b.int()) {
        (Some(a), Some(b)) => Scalar::Int(bounds::max(&a, &b)),
        _ => numeric(a, b, f64::max).unwrap_or_default(),
    }
}

/// Power.
pub(crate) fn power(a: &Scalar, b: &Scalar) -> Scalar {
    if let (Some(a), Some(exponent)) = (a.int(), b.int().and_then(|b| b.as_usize()))
        && exponent <= 16
    {
        return Scalar::Int(a.pow(exponent as u32));
    }
    numeric(a, b, f64::powf).unwrap_or_default()
}

/// Whether two elements are equal, if that is certain.
pub(crate) fn equal(a: &Scalar, b: &Scalar) -> Option<bool> {
    match (a, b) {
        (Scalar::Str(a), Scalar::Str(b)) => Some(a == b),
        (Scalar::Int(a), Scalar::Int(b)) => bounds::equal(a, b),
        _ => Some(a.float()? == b.float()?),
    }
}

/// Whether `a < b`, if that is certain.
pub(crate) fn less(a: &Scalar, b: &Scalar) -> Option<bool> {
    match (a, b) {
        (Scalar::Int(a), Scalar::Int(b)) => bounds::less(a, b),
        _ => Some(a.float()? < b.float()?),
    }
}

/// Rounds down.
pub(crate) fn floor(a: &Scalar) -> Scalar {
    match a {
        Scalar::Int(_) => a.clone(),
        Scalar::Ratio(a, b) => Scalar::Int(a.floor_div(b)),
        _ => on_float(a, f64::floor),
    }
}

/// Rounds up.
pub(crate) fn ceil(a: &Scalar) -> Scalar {
    match a {
        Scalar::Int(_) => a.clone(),
        Scalar::Ratio(a, b) => Scalar::Int(a.ceil_div(b)),
        _ => on_float(a, f64::ceil),
    }
}

/// Rounds to the nearest integer, halves to even.
pub(crate) fn round(a: &Scalar) -> Scalar {
    match a {
        Scalar::Int(_) => a.clone(),
        _ => on_float(a, f64::round_ties_even),
    }
}

/// A function of one float. An integer that stays one is kept as one.
pub(crate) fn on_float(a: &Scalar, function: fn(f64) -> f64) -> Scalar {
    match a {
        Scalar::Float(value) => Scalar::Float(function(*value)),
        Scalar::Int(value) => match value.as_const() {
            Some(value) => {
                let result = function(value as f64);
                if result.fract() == 0.0 && result.abs() < 9e15 {
                    Scalar::Int(Dim::Const(result as i128))
                } else {
                    Scalar::Float(result)
                }
            }
            None => Scalar::Unknown,
        },
        _ => Scalar::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n() -> Scalar {
        Scalar::Int(Dim::symbol("n"))
    }

    #[test]
    fn halves_are_exact() {
        let half = mul(&n(), &Scalar::Float(0.5));
        let Scalar::Int(dim) = floor(&half) else {
            panic!("{half:?}")
        };
        let four = dim.substitute(&|_| Some(Dim::Const(9)));
        assert_eq!(four, Dim::Const(4));
        assert_eq!(mul(&half, &Scalar::Int(Dim::Const(2))), n());
    }

    #[test]
    fn integers_divide_towards_zero_and_wrap() {
        let int = |value: i128| Scalar::Int(Dim::Const(value));
        assert_eq!(div_int(&int(-7), &int(2)), int(-3));
        assert_eq!(div_int(&int(1), &int(0)), Scalar::Unknown);
        assert_eq!(modulo(&int(-7), &int(3), false), int(2));
        assert_eq!(modulo(&int(-7), &int(3), true), int(-1));
        assert_eq!(cast(DType::UInt8, &int(-1)), int(255));
        assert_eq!(cast(DType::Int8, &Scalar::Float(200.7)), int(-56));
    }
}
