//! What is known about the value of a symbolic integer.
//!
//! A named dimension is at least one; an unknown size (`?…`) is at least zero.

use modelcost_core::dim::{Atom, AtomFn, Dim};

/// The least value that the expression can have.
pub(crate) fn lower(dim: &Dim) -> Option<i128> {
    bound(dim, true)
}

/// The greatest value that the expression can have.
pub(crate) fn upper(dim: &Dim) -> Option<i128> {
    bound(dim, false)
}

fn bound(dim: &Dim, low: bool) -> Option<i128> {
    if dim.is_overflow() {
        return None;
    }
    let mut sum = 0i128;
    for (monomial, coefficient) in dim.terms() {
        if monomial.is_empty() {
            sum = sum.checked_add(coefficient)?;
            continue;
        }
        // The extreme of a product of factors that are not negative.
        let take_low = low == (coefficient > 0);
        let mut product = 1i128;
        for (atom, exponent) in &monomial {
            let least = atom_bound(atom, true).filter(|least| *least >= 0)?;
            let extreme = if take_low {
                least
            } else {
                atom_bound(atom, false)?
            };
            product = product.checked_mul(extreme.checked_pow(*exponent)?)?;
        }
        sum = sum.checked_add(product.checked_mul(coefficient)?)?;
    }
    Some(sum)
}

fn atom_bound(atom: &Atom, low: bool) -> Option<i128> {
    match atom {
        Atom::Symbol(name) => low.then_some(i128::from(!name.starts_with('?'))),
        Atom::Apply(function, args) => {
            let (a, b) = (&args.0, &args.1);
            match function {
                AtomFn::FloorDiv => {
                    let divisor = lower(b).filter(|divisor| *divisor > 0)?;
                    if low {
                        let least = lower(a)?;
                        match b.as_const() {
                            Some(exact) => Some(least.div_euclid(exact)),
                            None => (least >= 0).then_some(0),
                        }
                    } else {
                        upper(a).filter(|a| *a >= 0).map(|a| a / divisor)
                    }
                }
                AtomFn::Mod => {
                    lower(b).filter(|divisor| *divisor > 0)?;
                    if low {
                        Some(0)
                    } else {
                        upper(b).map(|b| b - 1)
                    }
                }
                AtomFn::Max => match (bound(a, low), bound(b, low)) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    (Some(one), None) | (None, Some(one)) if low => Some(one),
                    _ => None,
                },
                AtomFn::Min => match (bound(a, low), bound(b, low)) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (Some(one), None) | (None, Some(one)) if !low => Some(one),
                    _ => None,
                },
            }
        }
    }
}

/// Whether two integers are equal, if that is certain.
pub(crate) fn equal(a: &Dim, b: &Dim) -> Option<bool> {
    let difference = a - b;
    if let Some(value) = difference.as_const() {
        return Some(value == 0);
    }
    let apart = lower(&difference).is_some_and(|low| low > 0)
        || upper(&difference).is_some_and(|high| high < 0);
    apart.then_some(false)
}

/// Whether `a < b`, if that is certain.
pub(crate) fn less(a: &Dim, b: &Dim) -> Option<bool> {
    let difference = a - b;
    if lower(&difference).is_some_and(|low| low >= 0) {
        Some(false)
    } else if upper(&difference).is_some_and(|high| high < 0) {
        Some(true)
    } else {
        None
    }
}

/// Whether `a <= b` for every value of the symbols.
fn at_most(a: &Dim, b: &Dim) -> bool {
    lower(&(b - a)).is_some_and(|low| low >= 0)
}

/// The smaller of two, without a `min` where the bounds decide.
pub(crate) fn min(a: &Dim, b: &Dim) -> Dim {
    if at_most(a, b) {
        a.clone()
    } else if at_most(b, a) {
        b.clone()
    } else {
        a.minimum(b)
    }
}

/// The larger of two, without a `max` where the bounds decide.
pub(crate) fn max(a: &Dim, b: &Dim) -> Dim {
    if at_most(a, b) {
        b.clone()
    } else if at_most(b, a) {
        a.clone()
    } else {
        a.maximum(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_compare() {
        let n = Dim::symbol("n");
        let two = Dim::Const(2);
        assert_eq!(equal(&n, &Dim::Const(-1)), Some(false));
        assert_eq!(equal(&n, &Dim::Const(1)), None);
        assert_eq!(less(&(&n * 2), &n), Some(false));
        assert_eq!(less(&(-n.clone()), &Dim::ZERO), Some(true));
        assert_eq!(lower(&(&n * 3 + 5).floor_div(&two)), Some(4));
        assert_eq!(min(&n, &(&n + 1)), n);
        assert_eq!(lower(&Dim::unknown(1)), Some(0));
    }
}
