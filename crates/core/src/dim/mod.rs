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

mod arithmetic;
mod functions;
mod text;

use std::collections::BTreeSet;
use std::fmt;
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
        // ((n¹⁶)¹⁶)… would overflow the exponent, and binding n would never end.
        let power = (0..8).fold(Dim::symbol("n"), |power, _| power.pow(16));
        assert!(power.is_overflow());
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
