//! Exact integers that may hold free symbols.
//!
//! A [`Dim`] is the size of a dimension, a number of elements or an operation count. Most are plain
//! integers; a model exported with a free batch or sequence length has polynomials in `batch` and
//! `seq`, with floor divisions where strides make them.
//!
//! Arithmetic is checked, and failure is sticky: an operation that leaves the range of `i128` gives
//! [`Dim::Overflow`], every operation on that gives it again, and no conversion to a number
//! succeeds. So formulas read like formulas, and a model that overflows is an error at the end
//! rather than a wrong number.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Add, AddAssign, Mul, MulAssign, Neg, Sub};
use std::sync::Arc;

use smol_str::SmolStr;

/// An exact integer, or an integer-valued expression over symbols.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dim {
    /// A known integer.
    Const(i128),
    /// A polynomial that is not a constant.
    Poly(Arc<Poly>),
    /// The result of arithmetic that left the range of `i128`.
    Overflow,
}

/// A sum of monomials with integer coefficients: sorted, no zero coefficient, no duplicate.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Poly(Vec<(Monomial, i128)>);

/// A product of powers of atoms: sorted, no zero exponent. Empty for the constant term.
pub type Monomial = Vec<(Atom, u32)>;

/// What a polynomial is a polynomial in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// A named dimension such as `batch`. A name that starts with `?` stands for a size that the
    /// file does not determine.
    Symbol(SmolStr),
    /// An integer function of two expressions that is not a polynomial.
    Apply(AtomFn, Arc<(Dim, Dim)>),
}

/// The functions that appear as atoms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AtomFn {
    /// `a // b`, rounding towards minus infinity.
    FloorDiv,
    /// `a % b`, with the sign of `b`.
    Mod,
    /// The larger of two.
    Max,
    /// The smaller of two.
    Min,
}

impl Dim {
    /// Zero.
    pub const ZERO: Dim = Dim::Const(0);
    /// One.
    pub const ONE: Dim = Dim::Const(1);

    /// A free symbol.
    pub fn symbol(name: impl Into<SmolStr>) -> Dim {
        Dim::from_terms(vec![(vec![(Atom::Symbol(name.into()), 1)], 1)])
    }

    /// A size that is not known; `tag` keeps different unknowns apart.
    pub fn unknown(tag: impl fmt::Display) -> Dim {
        Dim::symbol(format!("?{tag}"))
    }

    /// The integer, if this holds no symbol.
    pub fn as_const(&self) -> Option<i128> {
        match self {
            Dim::Const(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer as a `usize`, if it is one.
    pub fn as_usize(&self) -> Option<usize> {
        usize::try_from(self.as_const()?).ok()
    }

    /// The integer as an `i64`, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        i64::try_from(self.as_const()?).ok()
    }

    /// Whether arithmetic overflowed on the way to this value.
    pub fn is_overflow(&self) -> bool {
        matches!(self, Dim::Overflow)
    }

    /// Whether this is one of the integers, not an expression.
    pub fn is_const(&self) -> bool {
        matches!(self, Dim::Const(_))
    }

    /// The names of all symbols in this expression, sorted.
    pub fn symbols(&self) -> BTreeSet<SmolStr> {
        let mut out = BTreeSet::new();
        self.collect_symbols(&mut out);
        out
    }

    /// Whether any symbol stands for a size that the file does not determine.
    pub fn has_unknown(&self) -> bool {
        self.symbols().iter().any(|name| name.starts_with('?'))
    }

    fn collect_symbols(&self, out: &mut BTreeSet<SmolStr>) {
        let Dim::Poly(poly) = self else { return };
        for (atom, _) in poly.0.iter().flat_map(|(monomial, _)| monomial) {
            match atom {
                Atom::Symbol(name) => {
                    out.insert(name.clone());
                }
                Atom::Apply(_, args) => {
                    args.0.collect_symbols(out);
                    args.1.collect_symbols(out);
                }
            }
        }
    }

    /// The terms of the polynomial, the constant included.
    pub fn terms(&self) -> Vec<(Monomial, i128)> {
        match self {
            Dim::Const(0) | Dim::Overflow => Vec::new(),
            Dim::Const(value) => vec![(Vec::new(), *value)],
            Dim::Poly(poly) => poly.0.clone(),
        }
    }

    /// This expression with symbols replaced where `bind` knows them.
    pub fn substitute(&self, bind: &dyn Fn(&str) -> Option<Dim>) -> Dim {
        let Dim::Poly(poly) = self else {
            return self.clone();
        };
        let mut sum = Dim::ZERO;
        for (monomial, coefficient) in &poly.0 {
            let mut product = Dim::Const(*coefficient);
            for (atom, exponent) in monomial {
                let base = match atom {
                    Atom::Symbol(name) => bind(name).unwrap_or_else(|| Dim::symbol(name.clone())),
                    Atom::Apply(function, args) => {
                        function.apply(&args.0.substitute(bind), &args.1.substitute(bind))
                    }
                };
                product = product * base.pow(*exponent);
            }
            sum += product;
        }
        sum
    }

    /// `self ** exponent`.
    pub fn pow(&self, exponent: u32) -> Dim {
        (0..exponent).fold(Dim::ONE, |product, _| product * self)
    }

    /// Python's `//`. Division by zero gives [`Dim::Overflow`].
    pub fn floor_div(&self, divisor: &Dim) -> Dim {
        AtomFn::FloorDiv.apply(self, divisor)
    }

    /// Division rounding up, as convolutions with `ceil_mode` use it.
    pub fn ceil_div(&self, divisor: &Dim) -> Dim {
        match divisor {
            // The same, and shorter to read: `(n + 1)//2` rather than `-((-n)//2)`.
            Dim::Const(known) if *known > 0 => (self + (known - 1)).floor_div(divisor),
            _ => -(-self.clone()).floor_div(divisor),
        }
    }

    /// Python's `%`. Division by zero gives [`Dim::Overflow`].
    pub fn modulo(&self, divisor: &Dim) -> Dim {
        AtomFn::Mod.apply(self, divisor)
    }

    /// The larger of two.
    pub fn maximum(&self, other: &Dim) -> Dim {
        AtomFn::Max.apply(self, other)
    }

    /// The smaller of two.
    pub fn minimum(&self, other: &Dim) -> Dim {
        AtomFn::Min.apply(self, other)
    }

    /// The quotient, if the division leaves no rest for every value of the symbols.
    pub fn exact_div(&self, divisor: &Dim) -> Option<Dim> {
        match (self, divisor) {
            (_, Dim::Const(0)) | (Dim::Overflow, _) | (_, Dim::Overflow) => None,
            (Dim::Const(a), Dim::Const(b)) => (a.checked_rem(*b)? == 0).then(|| Dim::Const(a / b)),
            _ if self == divisor => Some(Dim::ONE),
            _ => {
                let [(by, by_coefficient)] = <[_; 1]>::try_from(divisor.terms()).ok()?;
                let mut quotient = Vec::new();
                for (monomial, coefficient) in self.terms() {
                    if coefficient.checked_rem(by_coefficient)? != 0 {
                        return None;
                    }
                    quotient.push((
                        divide_monomial(&monomial, &by)?,
                        coefficient / by_coefficient,
                    ));
                }
                Some(Dim::from_terms(quotient))
            }
        }
    }

    /// The product of all `dims`; one for none.
    pub fn product<'a>(dims: impl IntoIterator<Item = &'a Dim>) -> Dim {
        dims.into_iter()
            .fold(Dim::ONE, |product, dim| product * dim)
    }

    /// With commas between thousands, as Python's `{:,}` has them; an expression as it is.
    pub fn grouped(&self) -> String {
        let Dim::Const(value) = self else {
            return self.to_string();
        };
        let digits = value.unsigned_abs().to_string();
        let mut out = String::from(if *value < 0 { "-" } else { "" });
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        out
    }

    /// An approximation for sorting and shares; symbols count as one.
    pub fn approx(&self) -> f64 {
        match self {
            Dim::Const(value) => *value as f64,
            Dim::Overflow => f64::INFINITY,
            Dim::Poly(_) => self
                .substitute(&|_| Some(Dim::ONE))
                .as_const()
                .map_or(f64::INFINITY, |v| v as f64),
        }
    }

    fn from_terms(mut terms: Vec<(Monomial, i128)>) -> Dim {
        terms.sort_by(|a, b| a.0.cmp(&b.0));
        let mut out: Vec<(Monomial, i128)> = Vec::with_capacity(terms.len());
        for (monomial, coefficient) in terms {
            match out.last_mut() {
                Some(last) if last.0 == monomial => match last.1.checked_add(coefficient) {
                    Some(sum) => last.1 = sum,
                    None => return Dim::Overflow,
                },
                _ => out.push((monomial, coefficient)),
            }
        }
        out.retain(|(_, coefficient)| *coefficient != 0);
        match out.as_slice() {
            [] => Dim::ZERO,
            [(monomial, coefficient)] if monomial.is_empty() => Dim::Const(*coefficient),
            _ => Dim::Poly(Arc::new(Poly(out))),
        }
    }
}

fn divide_monomial(dividend: &Monomial, divisor: &Monomial) -> Option<Monomial> {
    let mut out = dividend.clone();
    for (atom, exponent) in divisor {
        let entry = out.iter_mut().find(|(a, _)| a == atom)?;
        entry.1 = entry.1.checked_sub(*exponent)?;
    }
    out.retain(|(_, exponent)| *exponent > 0);
    Some(out)
}

impl AtomFn {
    fn apply(self, a: &Dim, b: &Dim) -> Dim {
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
                        let Some(coefficient) = x.checked_mul(*y) else {
                            return Dim::Overflow;
                        };
                        terms.push((multiply_monomials(a, b), coefficient));
                    }
                }
                Dim::from_terms(terms)
            }
        }
    }
}

fn multiply_monomials(a: &Monomial, b: &Monomial) -> Monomial {
    let mut out: Monomial = Vec::with_capacity(a.len() + b.len());
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some(x), Some(y)) => match x.0.cmp(&y.0) {
                Ordering::Less => left.next().cloned(),
                Ordering::Greater => right.next().cloned(),
                Ordering::Equal => {
                    let merged = (x.0.clone(), x.1 + y.1);
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
            None => return out,
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
                #[allow(clippy::unnecessary_fallible_conversions)]
                i128::try_from(value).map_or(Dim::Overflow, Dim::Const)
            }
        }
    )*};
}
from_integer!(i32, u32, i64, u64, usize, i128);

/// Python syntax: `12*batch*seq**2 + 3*seq - 1`, highest degree first.
impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Const(value) => write!(f, "{value}"),
            Dim::Overflow => f.write_str("overflow"),
            Dim::Poly(poly) => write!(f, "{poly}"),
        }
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Poly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let degree = |monomial: &Monomial| monomial.iter().map(|(_, e)| *e).sum::<u32>();
        let mut terms: Vec<_> = self.0.iter().collect();
        terms.sort_by(|a, b| degree(&b.0).cmp(&degree(&a.0)).then_with(|| a.0.cmp(&b.0)));
        for (index, (monomial, coefficient)) in terms.into_iter().enumerate() {
            match (index, *coefficient < 0) {
                (0, false) => {}
                (0, true) => f.write_str("-")?,
                (_, false) => f.write_str(" + ")?,
                (_, true) => f.write_str(" - ")?,
            }
            let magnitude = coefficient.unsigned_abs();
            if magnitude != 1 || monomial.is_empty() {
                write!(f, "{magnitude}")?;
            }
            for (position, (atom, exponent)) in monomial.iter().enumerate() {
                if position > 0 || magnitude != 1 {
                    f.write_str("*")?;
                }
                write!(f, "{atom}")?;
                if *exponent > 1 {
                    write!(f, "**{exponent}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Symbol(name) => f.write_str(name),
            Atom::Apply(AtomFn::Max, args) => write!(f, "max({}, {})", args.0, args.1),
            Atom::Apply(AtomFn::Min, args) => write!(f, "min({}, {})", args.0, args.1),
            // A floor division is one factor of a product, so it keeps its own parentheses.
            Atom::Apply(AtomFn::FloorDiv, args) => {
                write!(f, "({}//{})", Operand(&args.0), Operand(&args.1))
            }
            Atom::Apply(AtomFn::Mod, args) => {
                write!(f, "({}%{})", Operand(&args.0), Operand(&args.1))
            }
        }
    }
}

struct Operand<'a>(&'a Dim);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let simple = match self.0 {
            Dim::Const(value) => *value >= 0,
            Dim::Poly(poly) => {
                matches!(&poly.0[..], [(monomial, 1)] if matches!(&monomial[..], [(_, 1)]))
            }
            Dim::Overflow => true,
        };
        if simple {
            write!(f, "{}", self.0)
        } else {
            write!(f, "({})", self.0)
        }
    }
}

impl serde::Serialize for Dim {
    /// An integer when known, the expression as a string when symbolic, null when not known.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Dim::Const(value) => match i64::try_from(*value) {
                Ok(small) => serializer.serialize_i64(small),
                Err(_) => serializer.serialize_i128(*value),
            },
            Dim::Overflow => serializer.serialize_none(),
            symbolic if symbolic.has_unknown() => serializer.serialize_none(),
            symbolic => serializer.collect_str(symbolic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn n() -> Dim {
        Dim::symbol("n")
    }

    #[test]
    fn prints_as_python() {
        let batch = Dim::symbol("batch");
        let cost = &batch * &n().pow(2) * 12 + n() * 3 - 1;
        assert_eq!(cost.to_string(), "12*batch*n**2 + 3*n - 1");
        assert_eq!(
            (n() - 1).floor_div(&Dim::Const(2)).to_string(),
            "((n + 1)//2) - 1"
        );
        assert_eq!((n() * 2 + 5).floor_div(&Dim::Const(2)).to_string(), "n + 2");
        let halved_twice = ((n() + 1).floor_div(&Dim::Const(2)) + 1).floor_div(&Dim::Const(2));
        assert_eq!(halved_twice.to_string(), "((n + 3)//4)");
    }

    #[test]
    fn groups_thousands() {
        assert_eq!(Dim::from(0).grouped(), "0");
        assert_eq!(Dim::from(37_752_832).grouped(), "37,752,832");
        assert_eq!(Dim::from(-123_456).grouped(), "-123,456");
    }

    #[test]
    fn overflow_is_sticky() {
        let huge = Dim::Const(i128::MAX);
        let overflowed = &huge * &huge;
        assert!(overflowed.is_overflow());
        assert!((overflowed * Dim::ZERO).is_overflow());
        assert!(Dim::Const(1).floor_div(&Dim::ZERO).is_overflow());
    }

    proptest! {
        /// Simplification never changes the value.
        #[test]
        fn symbolic_and_concrete_agree(n_value in 1i128..500, a in -9i128..9, b in -9i128..9, d in 1i128..9) {
            let bind = |name: &str| (name == "n").then_some(Dim::Const(n_value));
            let symbolic = (n() * a + b).floor_div(&Dim::Const(d)) * (n() + a) + (n() * b).modulo(&Dim::Const(d));
            let concrete = (Dim::Const(n_value) * a + b).floor_div(&Dim::Const(d)) * (Dim::Const(n_value) + a)
                + (Dim::Const(n_value) * b).modulo(&Dim::Const(d));
            prop_assert_eq!(symbolic.substitute(&bind), concrete);
        }

        #[test]
        fn nested_floor_divisions_agree(n_value in 0i128..3000, a in -9i128..9, b in 1i128..9, c in -9i128..9, d in 1i128..9) {
            let bind = |name: &str| (name == "n").then_some(Dim::Const(n_value));
            let nested = |n: Dim| ((n + a).floor_div(&Dim::Const(b)) + c).floor_div(&Dim::Const(d));
            prop_assert_eq!(nested(n()).substitute(&bind), nested(Dim::Const(n_value)));
        }

        #[test]
        fn multiplication_distributes(a in -50i128..50, b in -50i128..50, c in -50i128..50) {
            let (x, y) = (n() * a + b, Dim::symbol("m") + c);
            prop_assert_eq!((&x + &y) * &n(), x * &n() + y * &n());
        }
    }
}
