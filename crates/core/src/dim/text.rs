//! How a dimension is written: in Python syntax.

use std::fmt;

use super::{Atom, AtomFn, Dim, Monomial, Poly};

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
