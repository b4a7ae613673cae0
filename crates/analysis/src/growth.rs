//! How a count grows with one dimension, and where two counts cross.

use modelcost_core::dim::{Atom, AtomFn, Dim};
use serde::Serialize;

/// The order of growth of a count in one symbol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// The symbol.
    pub symbol: String,
    /// Its highest power.
    pub degree: u32,
    /// In the usual notation, other symbols of the leading term included: `Θ(batch·seq²)`.
    pub order: String,
    /// The leading term: 24576*batch*seq**2.
    pub leading: Dim,
    /// The smallest size from which the leading term is more than all others together, every other
    /// symbol at 1; none when it never is below 2^40.
    pub dominates_from: Option<u64>,
}

/// The power with which an expression grows in a symbol. A floor division by a number grows as
/// what it divides does.
pub fn degree(count: &Dim, symbol: &str) -> u32 {
    count
        .terms()
        .iter()
        .map(|(monomial, _)| {
            monomial
                .iter()
                .map(|(atom, power)| power * atom_degree(atom, symbol))
                .sum()
        })
        .max()
        .unwrap_or(0)
}

fn atom_degree(atom: &Atom, symbol: &str) -> u32 {
    match atom {
        Atom::Symbol(name) => u32::from(name == symbol),
        Atom::Apply(function, args) => {
            let (a, b) = (degree(&args.0, symbol), degree(&args.1, symbol));
            match function {
                AtomFn::FloorDiv => a.saturating_sub(b),
                AtomFn::Mod => a.min(b),
                AtomFn::Max => a.max(b),
                AtomFn::Min => a.min(b),
            }
        }
    }
}

/// The order of growth in a symbol; `None` if the count does not contain it.
pub fn growth(count: &Dim, symbol: &str) -> Option<Growth> {
    if !count.symbols().contains(symbol) {
        return None;
    }
    let degree_of = |dim: &Dim| degree(dim, symbol);
    let degree = degree_of(count);
    let mut leading = Dim::ZERO;
    let mut rest = Dim::ZERO;
    for (monomial, coefficient) in count.terms() {
        let mut term = Dim::Const(coefficient);
        for (atom, power) in &monomial {
            term = term * rebuild(atom).pow(*power);
        }
        if degree_of(&term) == degree {
            leading += term
        } else {
            rest += term
        }
    }
    let at = |dim: &Dim, size: u64| {
        dim.substitute(&|name| {
            Some(if name == symbol {
                Dim::from(size)
            } else {
                Dim::ONE
            })
        })
        .as_const()
    };
    let dominates =
        |size: u64| matches!((at(&leading, size), at(&rest, size)), (Some(a), Some(b)) if a > b);
    Some(Growth {
        symbol: symbol.to_string(),
        degree,
        order: order(&leading, symbol, degree),
        dominates_from: first_true(1 << 40, dominates),
        leading,
    })
}

fn rebuild(atom: &Atom) -> Dim {
    match atom {
        Atom::Symbol(name) => Dim::symbol(name.clone()),
        Atom::Apply(AtomFn::FloorDiv, args) => args.0.floor_div(&args.1),
        Atom::Apply(AtomFn::Mod, args) => args.0.modulo(&args.1),
        Atom::Apply(AtomFn::Max, args) => args.0.maximum(&args.1),
        Atom::Apply(AtomFn::Min, args) => args.0.minimum(&args.1),
    }
}

fn order(leading: &Dim, symbol: &str, degree: u32) -> String {
    let mut factors: Vec<(String, u32)> = Vec::new();
    for name in leading.symbols() {
        let power = if name == symbol {
            degree
        } else {
            self::degree(leading, &name)
        };
        if power > 0 {
            factors.push((name.to_string(), power));
        }
    }
    let text: Vec<String> = factors
        .iter()
        .map(|(name, power)| format!("{name}{}", superscript(*power)))
        .collect();
    format!(
        "Θ({})",
        if text.is_empty() {
            "1".to_string()
        } else {
            text.join("·")
        }
    )
}

fn superscript(power: u32) -> String {
    if power == 1 {
        return String::new();
    }
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    power
        .to_string()
        .chars()
        .filter_map(|c| c.to_digit(10))
        .map(|digit| digits[digit as usize])
        .collect()
}

/// The smallest size up to a limit at which `test` holds, if it holds from there on. Sizes are
/// doubled first, then halved in; an expression whose truth changes to and fro between powers of
/// two is answered at one of its changes.
fn first_true(limit: u64, test: impl Fn(u64) -> bool) -> Option<u64> {
    let mut high = 1;
    while !test(high) {
        high *= 2;
        if high > limit {
            return None;
        }
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if test(middle) {
            high = middle
        } else {
            low = middle
        }
    }
    Some(high)
}

/// The smallest size from which `a` is as much as `b` or more, when it is less before; other symbols
/// at 1.
pub fn crossing(a: &Dim, b: &Dim, symbol: &str) -> Option<u64> {
    let difference = a - b;
    let above = |size: u64| {
        let value = difference.substitute(&|name| {
            Some(if name == symbol {
                Dim::from(size)
            } else {
                Dim::ONE
            })
        });
        value.as_const().is_some_and(|value| value >= 0)
    };
    first_true(1 << 40, above).filter(|size| *size > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_order() {
        let (batch, seq) = (Dim::symbol("batch"), Dim::symbol("seq"));
        // A transformer layer of width 512: 12·seq·512² + 2·seq²·512 multiply-accumulates.
        let cost = &batch * &seq * (12 * 512 * 512) + &batch * &seq * &seq * (2 * 512);
        let growth = growth(&cost, "seq").unwrap();
        assert_eq!((growth.degree, growth.order.as_str()), (2, "Θ(batch·seq²)"));
        assert_eq!(growth.dominates_from, Some(6 * 512 + 1));
        assert!(super::growth(&cost, "width").is_none());
    }

    #[test]
    fn strides_keep_the_order() {
        let side = Dim::symbol("side");
        let half = (&side + 1).floor_div(&Dim::from(2));
        assert_eq!(degree(&(&half * &half * 64), "side"), 2);
        assert_eq!(
            growth(&(&half * &half * 64), "side").unwrap().order,
            "Θ(side²)"
        );
    }

    #[test]
    fn finds_crossings() {
        let n = Dim::symbol("n");
        assert_eq!(crossing(&(&n * &n * 2), &(&n * 6144), "n"), Some(3072));
        assert_eq!(crossing(&n, &(&n + 1), "n"), None);
    }
}
