//! What an Einstein summation costs, as `numpy.einsum_path(…, optimize="optimal")` says it.
//!
//! Several counters ask NumPy for the cheapest order of pairwise contractions and read the figure
//! from the text that it prints, where it has four significant digits. Both steps are here, from
//! `numpy/_core/einsumfunc.py` of NumPy 2.4.

use std::collections::{BTreeMap, BTreeSet};

use crate::dim::Dim;
use crate::formula::{EvalError, Quantity};
use crate::trace::Shape;

/// Why an equation and its operands do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum EinsumError {
    #[error("'{0}' is not a valid subscript of an einsum")]
    Symbol(char),
    #[error("the equation '{0}' is not a valid one")]
    Equation(String),
    #[error("the equation '{equation}' has {terms} terms for {operands} operands")]
    Operands {
        equation: String,
        terms: usize,
        operands: usize,
    },
    #[error("subscript '{term}' does not fit an operand with {dimensions} dimensions")]
    Rank { term: String, dimensions: usize },
    #[error("the sizes of '{0}' do not agree")]
    Size(String),
    #[error("an einsum of {0} operands has too many orders to try them all")]
    TooMany(usize),
}

/// A subscript: a letter, or a dimension that an ellipsis stands for, counted from the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Label {
    Ellipsis(usize),
    Letter(char),
}

type Labels = BTreeSet<Label>;

/// An equation with the sizes of its subscripts.
#[derive(Clone, Debug)]
pub struct Einsum {
    inputs: Vec<Vec<Label>>,
    output: Labels,
    sizes: BTreeMap<Label, Dim>,
}

/// Orders to try grow with the factorial of the operands twice over: NumPy itself does not come
/// back from ten.
const MAX_OPERANDS: usize = 7;

impl Einsum {
    /// Reads an equation such as `bhid,bhjd->bhij` for operands of the given shapes.
    pub fn parse(equation: &str, shapes: &[Shape]) -> Result<Einsum, EinsumError> {
        let equation: String = equation.chars().filter(|c| *c != ' ').collect();
        let invalid = || EinsumError::Equation(equation.clone());
        let (left, right) = match equation.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (equation.as_str(), None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != shapes.len() {
            return Err(EinsumError::Operands {
                equation: equation.clone(),
                terms: terms.len(),
                operands: shapes.len(),
            });
        }
        let mut inputs = Vec::new();
        let mut sizes: BTreeMap<Label, Dim> = BTreeMap::new();
        for (term, shape) in terms.iter().zip(shapes) {
            let rank_error = || EinsumError::Rank {
                term: (*term).to_string(),
                dimensions: shape.len(),
            };
            let letters = term.replace("...", "").chars().count();
            let hidden = shape.len().checked_sub(letters).ok_or_else(rank_error)?;
            let labels = labels(term, hidden)?.ok_or_else(invalid)?;
            if labels.len() != shape.len() {
                return Err(rank_error());
            }
            for (label, size) in labels.iter().zip(shape) {
                let known = sizes.entry(*label).or_insert_with(|| size.clone());
                if *known == Dim::ONE {
                    *known = size.clone();
                } else if known.is_const() && size.is_const() && *size != Dim::ONE && size != known
                {
                    return Err(EinsumError::Size((*term).to_string()));
                }
            }
            inputs.push(labels);
        }
        let hidden = sizes
            .keys()
            .filter(|label| matches!(label, Label::Ellipsis(_)))
            .count();
        let output: Labels = match right {
            Some(right) => {
                let given = labels(right, hidden)?.ok_or_else(invalid)?;
                let set: Labels = given.iter().copied().collect();
                if set.len() != given.len() || !set.iter().all(|label| sizes.contains_key(label)) {
                    return Err(invalid());
                }
                set
            }
            // Without an arrow the result has what appears once, and what an ellipsis stands for.
            None => sizes
                .keys()
                .copied()
                .filter(|label| {
                    matches!(label, Label::Ellipsis(_))
                        || inputs.iter().flatten().filter(|l| *l == label).count() == 1
                })
                .collect(),
        };
        Ok(Einsum {
            inputs,
            output,
            sizes,
        })
    }

    /// The product of the sizes of all subscripts.
    pub fn space(&self) -> Dim {
        Dim::product(self.sizes.values())
    }

    /// NumPy's cost of the cheapest order: for each contraction the product of its sizes, twice if
    /// it sums over something, and one more for the whole.
    pub fn optimized_flop_count(&self) -> Result<Dim, EinsumError> {
        let inputs: Vec<Labels> = self
            .inputs
            .iter()
            .map(|term| term.iter().copied().collect())
            .collect();
        let everything: Labels = inputs.iter().flatten().copied().collect();
        let path = if inputs.len() <= 2 || everything == self.output {
            vec![(0..inputs.len()).collect()]
        } else if inputs.len() <= MAX_OPERANDS {
            self.optimal_path(&inputs)
        } else {
            return Err(EinsumError::TooMany(inputs.len()));
        };
        let mut remaining = inputs;
        let mut total = Dim::ONE;
        for positions in path {
            let contraction = Contraction::new(&positions, &remaining, &self.output);
            total += contraction.cost(positions.len(), &|label| self.sizes[&label].clone());
            remaining = contraction.remaining;
        }
        Ok(total)
    }

    /// All orders of pairwise contractions whose intermediates are no larger than the largest
    /// operand or the result; the first of the cheapest.
    fn optimal_path(&self, inputs: &[Labels]) -> Vec<Vec<usize>> {
        // A free dimension decides nothing here: the order is the one for a large size.
        let size = |label: Label| -> f64 {
            let bound = self.sizes[&label].substitute(&|_| Some(Dim::from(1024)));
            bound.as_const().map_or(f64::INFINITY, |value| value as f64)
        };
        let product = |labels: &mut dyn Iterator<Item = Label>| labels.map(size).product::<f64>();
        let memory_limit = self
            .inputs
            .iter()
            .map(|term| product(&mut term.iter().copied()))
            .chain([product(&mut self.output.iter().copied())])
            .fold(0.0, f64::max);
        struct Partial {
            cost: f64,
            path: Vec<Vec<usize>>,
            remaining: Vec<Labels>,
        }
        let cheapest = |partials: Vec<Partial>| {
            partials
                .into_iter()
                .reduce(|best, next| if next.cost < best.cost { next } else { best })
                .map_or_else(Vec::new, |best| best.path)
        };
        let mut partials = vec![Partial {
            cost: 0.0,
            path: Vec::new(),
            remaining: inputs.to_vec(),
        }];
        for iteration in 0..inputs.len() - 1 {
            let terms = inputs.len() - iteration;
            let mut next = Vec::new();
            for partial in &partials {
                for first in 0..terms {
                    for second in first + 1..terms {
                        let positions = vec![first, second];
                        let contraction =
                            Contraction::new(&positions, &partial.remaining, &self.output);
                        if product(&mut contraction.result.iter().copied()) > memory_limit {
                            continue;
                        }
                        let all = product(&mut contraction.involved.iter().copied());
                        let factor = if contraction.sums() { 2.0 } else { 1.0 };
                        let mut path = partial.path.clone();
                        path.push(positions);
                        next.push(Partial {
                            cost: partial.cost + all * factor,
                            path,
                            remaining: contraction.remaining,
                        });
                    }
                }
            }
            if next.is_empty() {
                let mut path = cheapest(partials);
                path.push((0..terms).collect());
                return path;
            }
            partials = next;
        }
        cheapest(partials)
    }
}

/// Some terms contracted into one.
struct Contraction {
    result: Labels,
    involved: Labels,
    remaining: Vec<Labels>,
}

impl Contraction {
    fn new(positions: &[usize], terms: &[Labels], output: &Labels) -> Contraction {
        let mut involved = Labels::new();
        let mut kept = output.clone();
        let mut remaining = Vec::new();
        for (index, term) in terms.iter().enumerate() {
            if positions.contains(&index) {
                involved.extend(term);
            } else {
                kept.extend(term);
                remaining.push(term.clone());
            }
        }
        let result: Labels = kept.intersection(&involved).copied().collect();
        remaining.push(result.clone());
        Contraction {
            result,
            involved,
            remaining,
        }
    }

    fn sums(&self) -> bool {
        self.result.len() < self.involved.len()
    }

    fn cost(&self, terms: usize, size: &dyn Fn(Label) -> Dim) -> Dim {
        let all: Dim = self
            .involved
            .iter()
            .fold(Dim::ONE, |product, label| product * size(*label));
        all * Dim::from(terms.saturating_sub(1).max(1) + usize::from(self.sums()))
    }
}

/// The subscripts of one term, an ellipsis written out; `None` if the term is malformed.
fn labels(term: &str, hidden: usize) -> Result<Option<Vec<Label>>, EinsumError> {
    let mut out = Vec::new();
    let mut rest = term;
    let mut seen_ellipsis = false;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            if std::mem::replace(&mut seen_ellipsis, true) {
                return Ok(None);
            }
            out.extend((0..hidden).rev().map(Label::Ellipsis));
            rest = after;
        } else if c.is_ascii_alphabetic() {
            out.push(Label::Letter(c));
            rest = &rest[1..];
        } else if c == '.' {
            return Ok(None);
        } else {
            return Err(EinsumError::Symbol(c));
        }
    }
    Ok(Some(out))
}

/// What formulas may ask about an einsum, for [`crate::formula::Scope::call`]:
///
/// | function | value |
/// |---|---|
/// | `einsum_flops(equation, operands)` | NumPy's cost of the cheapest order, as it is printed |
/// | `einsum_space(equation, operands)` | the product of the sizes of all subscripts |
/// | `canonical(equation)` | the equation with its letters renamed `a`, `b`, … |
pub fn formula_function(name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
    let einsum = |equation: &str, operands: &[Quantity]| {
        let shapes = operands.iter().map(|operand| match operand {
            Quantity::Tensor {
                shape: Some(shape), ..
            } => Ok(shape.clone()),
            // `[o.shape for o in operands]` of operands in a list.
            Quantity::Seq(_) => Err(EvalError::Raises(
                "AttributeError: a list of operands has no shape".into(),
            )),
            _ => Err(EvalError::UnknownShape("an operand of an einsum".into())),
        });
        let shapes: Vec<Shape> = shapes.collect::<Result<_, _>>()?;
        Einsum::parse(equation, &shapes).map_err(|error| EvalError::Type(error.to_string()))
    };
    match (name, arguments) {
        ("einsum_flops", [Quantity::Str(equation), Quantity::Seq(operands)]) => {
            Some(einsum(equation, operands).and_then(|einsum| {
                let exact = einsum.optimized_flop_count();
                let exact = exact.map_err(|error| EvalError::Type(error.to_string()))?;
                Ok(Quantity::Int(four_digits(&exact)))
            }))
        }
        ("einsum_space", [Quantity::Str(equation), Quantity::Seq(operands)]) => {
            Some(einsum(equation, operands).map(|einsum| Quantity::Int(einsum.space())))
        }
        ("canonical", [Quantity::Str(equation)]) => {
            Some(Ok(Quantity::Str(canonical(equation).into())))
        }
        _ => None,
    }
}

/// The equation with its letters renamed `a`, `b`, … in the order in which they come, so that
/// equations that mean the same read the same.
pub fn canonical(equation: &str) -> String {
    let mut order: Vec<char> = Vec::new();
    let rename = |c: char| {
        if !c.is_alphabetic() {
            return c;
        }
        let position = order.iter().position(|known| *known == c);
        let position = position.unwrap_or_else(|| {
            order.push(c);
            order.len() - 1
        });
        u8::try_from(position)
            .ok()
            .and_then(|position| b'a'.checked_add(position))
            .map_or(c, char::from)
    };
    equation.chars().filter(|c| *c != ' ').map(rename).collect()
}

/// An integer as Python reads it back from `f"{value:.3e}"`: four significant digits, a half
/// rounded to even. A symbolic value is returned as it is.
pub fn four_digits(value: &Dim) -> Dim {
    let Some(exact) = value.as_const() else {
        return value.clone();
    };
    // Python formats the nearest float64.
    let exact = exact as f64 as i128;
    let mut unit = 1i128;
    while exact.abs() / unit >= 10_000 {
        unit *= 10;
    }
    let (quotient, rest) = (exact / unit, (exact % unit).abs() * 2);
    let up = rest > unit || (rest == unit && quotient % 2 != 0);
    let digits = quotient + if up { exact.signum() } else { 0 };
    format!("{digits}e{}", unit.to_string().len() - 1)
        .parse::<f64>()
        .map_or(Dim::Overflow, |read| Dim::Const(read as i128))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(equation: &str, shapes: &[&[i64]]) -> Dim {
        let shapes: Vec<Shape> = shapes
            .iter()
            .map(|shape| shape.iter().map(|d| Dim::from(*d)).collect())
            .collect();
        Einsum::parse(equation, &shapes)
            .unwrap()
            .optimized_flop_count()
            .unwrap()
    }

    #[test]
    fn costs_what_numpy_says() {
        // `numpy.einsum_path(equation, *arrays, optimize="optimal")[1]` of NumPy 2.4.6, which
        // prints four digits of these.
        let cases: &[(&str, &[&[i64]], i64)] = &[
            (
                "bnhd,bmhd->bhnm",
                &[&[2, 10, 4, 16], &[2, 10, 4, 16]],
                25_600,
            ),
            ("ij,jk,kl->il", &[&[2, 2], &[2, 5], &[5, 2]], 57),
            ("ij->ji", &[&[7, 9]], 64),
            ("ii->", &[&[7, 7]], 15),
            ("...ij,...jk", &[&[3, 4, 5, 6], &[4, 6, 7]], 5_041),
            ("a,b,ab->ab", &[&[30], &[20], &[30, 20]], 1_201),
            ("i,j->", &[&[3], &[4]], 25),
            ("i,i,i->", &[&[3], &[3], &[3]], 10),
            ("a,b,c,d->abcd", &[&[3], &[4], &[5], &[6]], 1_081),
            (
                "ea,fb,abcd,gc,hd->efgh",
                &[
                    &[10, 10],
                    &[10, 10],
                    &[10, 10, 10, 10],
                    &[10, 10],
                    &[10, 10],
                ],
                800_001,
            ),
            (
                "abc,cd,bde,ef->af",
                &[&[3, 50, 7], &[7, 11], &[50, 11, 2], &[2, 90]],
                20_680,
            ),
        ];
        for (equation, shapes, expected) in cases {
            assert_eq!(
                four_digits(&cost(equation, shapes)),
                four_digits(&Dim::from(*expected)),
                "{equation}"
            );
        }
    }

    #[test]
    fn stays_symbolic() {
        let seq = Dim::symbol("seq");
        let shape = |size: i64| vec![seq.clone(), Dim::from(size)];
        let einsum = Einsum::parse("id,jd->ij", &[shape(8), vec![Dim::from(5), Dim::from(8)]]);
        assert_eq!(
            einsum.unwrap().optimized_flop_count().unwrap().to_string(),
            "80*seq + 1"
        );
    }

    #[test]
    fn reads_back_what_python_prints() {
        // float(f"{x:.3e}") of Python 3.11.
        for (value, expected) in [
            (25_601i64, 25_600i64),
            (9_999, 9_999),
            (12_345, 12_340),
            (12_355, 12_360),
            (99_995, 100_000),
            (0, 0),
            (123_456_789_012_345_678, 123_500_000_000_000_000),
        ] {
            assert_eq!(
                four_digits(&Dim::from(value)),
                Dim::from(expected),
                "{value}"
            );
        }
    }

    #[test]
    fn malformed_equations_are_errors() {
        let parse = |equation: &str| Einsum::parse(equation, &[vec![Dim::from(2), Dim::from(3)]]);
        assert!(matches!(parse("i"), Err(EinsumError::Rank { .. })));
        assert!(matches!(parse("ij,jk"), Err(EinsumError::Operands { .. })));
        assert!(matches!(parse("i."), Err(EinsumError::Equation(_))));
        assert!(matches!(parse("i%"), Err(EinsumError::Symbol('%'))));
        assert!(matches!(parse("ij->ik"), Err(EinsumError::Equation(_))));
        assert!(matches!(parse("ii"), Err(EinsumError::Size(_))));
        assert_eq!(canonical("bnhd, bmhd -> bhnm"), "abcd,aecd->acbe");
    }
}
