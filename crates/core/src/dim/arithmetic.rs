//! Sums and products, and conversions from integers.

use std::cmp::Ordering;
use std::ops::{Add, AddAssign, Mul, MulAssign, Neg, Sub};

use super::{Dim, Monomial};

impl Add<&Dim> for Dim {
    type Output = Dim;
    fn add(self, other: &Dim) -> Dim {
        match (&self, other) {
            (Dim::Overflow, _) | (_, Dim::Overflow) => Dim::Overflow,
            (Dim::Const(a), Dim::Const(b)) => a.checked_add(*b).map_or(Dim::Overflow, Dim::Const),
            (Dim::Const(0), _) => other.clone(),
            (_, Dim::Const(0)) => self,
            _ => {
                let mut terms = self.terms();
                terms.extend(other.terms());
                Dim::from_terms(terms)
            }
        }
    }
}

impl Mul<&Dim> for Dim {
    type Output = Dim;
    fn mul(self, other: &Dim) -> Dim {
        match (&self, other) {
            (Dim::Overflow, _) | (_, Dim::Overflow) => Dim::Overflow,
            (Dim::Const(a), Dim::Const(b)) => a.checked_mul(*b).map_or(Dim::Overflow, Dim::Const),
            (Dim::Const(1), _) => other.clone(),
            (_, Dim::Const(1)) => self,
            _ => {
                let (left, right) = (self.terms(), other.terms());
                // A product of sums can grow without bound; a cost is never this long.
                if left.len().saturating_mul(right.len()) > 65_536 {
                    return Dim::Overflow;
                }
                let mut terms = Vec::with_capacity(left.len() * right.len());
                for (a, x) in &left {
                    for (b, y) in &right {
                        let product = multiply_monomials(a, b).zip(x.checked_mul(*y));
                        let Some(term) = product else {
                            return Dim::Overflow;
                        };
                        terms.push(term);
                    }
                }
                Dim::from_terms(terms)
            }
        }
    }
}

/// The largest exponent; a cost never has one like it.
const MAX_EXPONENT: u32 = 4096;

/// `None` when an exponent grows beyond all sense.
fn multiply_monomials(a: &Monomial, b: &Monomial) -> Option<Monomial> {
    let mut out: Monomial = Vec::with_capacity(a.len() + b.len());
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some(x), Some(y)) => match x.0.cmp(&y.0) {
                Ordering::Less => left.next().cloned(),
                Ordering::Greater => right.next().cloned(),
                Ordering::Equal => {
                    let exponent = x.1.checked_add(y.1).filter(|sum| *sum <= MAX_EXPONENT)?;
                    let merged = (x.0.clone(), exponent);
                    left.next();
                    right.next();
                    Some(merged)
                }
            },
            (Some(_), None) => left.next().cloned(),
            (None, _) => right.next().cloned(),
        };
        match next {
            Some(power) => out.push(power),
            None => return Some(out),
        }
    }
}

impl Neg for Dim {
    type Output = Dim;
    fn neg(self) -> Dim {
        self * &Dim::Const(-1)
    }
}

impl Sub<&Dim> for Dim {
    type Output = Dim;
    fn sub(self, other: &Dim) -> Dim {
        self + &(other.clone() * &Dim::Const(-1))
    }
}

macro_rules! forward {
    ($op:ident, $method:ident) => {
        impl $op for Dim {
            type Output = Dim;
            fn $method(self, other: Dim) -> Dim {
                self.$method(&other)
            }
        }
        impl $op<&Dim> for &Dim {
            type Output = Dim;
            fn $method(self, other: &Dim) -> Dim {
                self.clone().$method(other)
            }
        }
        impl $op<Dim> for &Dim {
            type Output = Dim;
            fn $method(self, other: Dim) -> Dim {
                self.clone().$method(&other)
            }
        }
        impl $op<i128> for Dim {
            type Output = Dim;
            fn $method(self, other: i128) -> Dim {
                self.$method(&Dim::Const(other))
            }
        }
        impl $op<i128> for &Dim {
            type Output = Dim;
            fn $method(self, other: i128) -> Dim {
                self.clone().$method(&Dim::Const(other))
            }
        }
    };
}
forward!(Add, add);
forward!(Sub, sub);
forward!(Mul, mul);

impl AddAssign for Dim {
    fn add_assign(&mut self, other: Dim) {
        *self += &other;
    }
}

impl AddAssign<&Dim> for Dim {
    fn add_assign(&mut self, other: &Dim) {
        let value = std::mem::replace(self, Dim::ZERO);
        *self = value + other;
    }
}

impl MulAssign<&Dim> for Dim {
    fn mul_assign(&mut self, other: &Dim) {
        let value = std::mem::replace(self, Dim::ZERO);
        *self = value * other;
    }
}

impl std::iter::Sum for Dim {
    fn sum<I: Iterator<Item = Dim>>(iter: I) -> Dim {
        iter.fold(Dim::ZERO, |sum, dim| sum + dim)
    }
}

impl Default for Dim {
    fn default() -> Self {
        Dim::ZERO
    }
}

macro_rules! from_integer {
    ($($int:ty),*) => {$(
        impl From<$int> for Dim {
            fn from(value: $int) -> Dim {
                // The one of these that is no `From` is usize.
                #[allow(clippy::unnecessary_fallible_conversions)]
                i128::try_from(value).map_or(Dim::Overflow, Dim::Const)
            }
        }
    )*};
}
from_integer!(i32, u32, i64, u64, usize, i128);
