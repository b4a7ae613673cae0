//! Integer functions of expressions: floor division and its kin, simplified.

use std::sync::Arc;

use super::{Atom, AtomFn, Dim};

impl AtomFn {
    pub(super) fn apply(self, a: &Dim, b: &Dim) -> Dim {
        if a.is_overflow() || b.is_overflow() {
            return Dim::Overflow;
        }
        if let (Dim::Const(a), Dim::Const(b)) = (a, b) {
            return self.on_integers(*a, *b).map_or(Dim::Overflow, Dim::Const);
        }
        match self {
            AtomFn::FloorDiv => {
                if let Some(exact) = a.exact_div(b) {
                    return exact;
                }
                if let Dim::Const(divisor) = b {
                    return floor_div_by_const(a, *divisor);
                }
            }
            AtomFn::Mod if a.exact_div(b).is_some() => return Dim::ZERO,
            AtomFn::Mod => {}
            AtomFn::Max | AtomFn::Min => {
                // Sizes are positive, so a difference that is a constant decides.
                if let Dim::Const(difference) = a.clone() - b {
                    return if (difference >= 0) == (self == AtomFn::Max) {
                        a.clone()
                    } else {
                        b.clone()
                    };
                }
            }
        }
        Dim::atom(self, a.clone(), b.clone())
    }

    fn on_integers(self, a: i128, b: i128) -> Option<i128> {
        match self {
            AtomFn::FloorDiv => {
                let quotient = a.checked_div(b)?;
                Some(if a % b != 0 && (a < 0) != (b < 0) {
                    quotient - 1
                } else {
                    quotient
                })
            }
            AtomFn::Mod => {
                let rest = a.checked_rem(b)?;
                Some(if rest != 0 && (rest < 0) != (b < 0) {
                    rest + b
                } else {
                    rest
                })
            }
            AtomFn::Max => Some(a.max(b)),
            AtomFn::Min => Some(a.min(b)),
        }
    }
}

/// `a // divisor` with the multiples of the divisor taken out: `(2*n + 5) // 2` is `n + 2`.
fn floor_div_by_const(a: &Dim, divisor: i128) -> Dim {
    if divisor == 0 {
        return Dim::Overflow;
    }
    let (mut whole, mut rest) = (Vec::new(), Vec::new());
    for (monomial, coefficient) in a.terms() {
        let (Some(quotient), Some(remainder)) = (
            AtomFn::FloorDiv.on_integers(coefficient, divisor),
            AtomFn::Mod.on_integers(coefficient, divisor),
        ) else {
            return Dim::Overflow;
        };
        // Only the constant and exact multiples move out, so that the rest keeps the shape people
        // wrote: `(n - 1) // 2` stays what it is.
        if remainder == 0 || monomial.is_empty() {
            whole.push((monomial.clone(), quotient));
            if remainder != 0 {
                rest.push((monomial, remainder));
            }
        } else {
            rest.push((monomial, coefficient));
        }
    }
    let rest = Dim::from_terms(rest);
    let inner = match nested_floor_div(&rest) {
        // ((x // b) + c) // d is (x + b*c) // (b*d): a stack of strides is one division.
        Some((dividend, by, plus)) => {
            let shifted = dividend + Dim::Const(by) * plus;
            let divisor = by.checked_mul(divisor).map_or(Dim::Overflow, Dim::Const);
            return Dim::from_terms(whole) + shifted.floor_div(&divisor);
        }
        None => rest,
    };
    let inner = match inner {
        Dim::Const(value) => AtomFn::FloorDiv
            .on_integers(value, divisor)
            .map_or(Dim::Overflow, Dim::Const),
        rest => Dim::atom(AtomFn::FloorDiv, rest, Dim::Const(divisor)),
    };
    Dim::from_terms(whole) + inner
}

/// `(x // b) + c` as `(x, b, c)`, with positive `b`.
fn nested_floor_div(dim: &Dim) -> Option<(Dim, i128, i128)> {
    let Dim::Poly(poly) = dim else { return None };
    let mut found = None;
    let mut plus = 0;
    for (monomial, coefficient) in &poly.0 {
        match (&monomial[..], coefficient) {
            ([], constant) => plus = *constant,
            ([(Atom::Apply(AtomFn::FloorDiv, args), 1)], 1) if found.is_none() => {
                let by = args.1.as_const().filter(|by| *by > 0)?;
                found = Some((args.0.clone(), by));
            }
            _ => return None,
        }
    }
    found.map(|(dividend, by)| (dividend, by, plus))
}

impl Dim {
    fn atom(function: AtomFn, a: Dim, b: Dim) -> Dim {
        Dim::from_terms(vec![(
            vec![(Atom::Apply(function, Arc::new((a, b))), 1)],
            1,
        )])
    }
}
