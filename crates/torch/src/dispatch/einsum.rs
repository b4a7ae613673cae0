//! `aten.einsum` (`aten/src/ATen/native/Linear.cpp`): operands are contracted from left to right,
//! two at a time, each pair by one batched product. (With the package opt_einsum installed PyTorch
//! takes another order for three or more.)

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::{Dispatch, Matrix};

/// An operand with one size for every label of the equation, one where it has none.
type Aligned = Vec<Dim>;

pub(super) fn einsum(d: &mut Dispatch<'_>) -> Option<()> {
    let Value::Str(equation) = d.value("equation") else {
        return None;
    };
    let tensors = d.value("tensors").tensors();
    let dtype = d.trace().tensor(*tensors.first()?).dtype;
    let shapes = tensors
        .iter()
        .map(|id| d.shape_of(*id))
        .collect::<Option<Vec<Shape>>>()?;
    for pair in pairs(equation, &shapes)?.0 {
        // Without a sum it is an element-wise product.
        if pair.summed {
            let Pair {
                both,
                rows,
                inner,
                columns,
                ..
            } = pair;
            d.bmm(
                Matrix::new([both.clone(), rows, inner.clone()], dtype),
                Matrix::new([both, inner, columns], dtype),
            )?;
        }
    }
    Some(())
}

/// The dimensions of the output in the order in which they are in memory, where a product comes last.
pub(super) fn written(equation: &str, shapes: &[Shape]) -> Option<Vec<usize>> {
    let (pairs, outputs) = pairs(equation, shapes)?;
    let last = pairs.into_iter().next_back().filter(|pair| pair.summed)?;
    Some(last.order.into_iter().filter(|at| *at < outputs).collect())
}

/// A product of two operands.
struct Pair {
    summed: bool,
    both: Dim,
    rows: Dim,
    inner: Dim,
    columns: Dim,
    /// The labels of what it gives as they are in memory: those of both operands, of the rows, those that are
    /// summed, and those of the columns.
    order: Vec<usize>,
}

/// The products of an equation, and how many labels its output has.
fn pairs(equation: &str, shapes: &[Shape]) -> Option<(Vec<Pair>, usize)> {
    let (mut operands, outputs) = Equation::parse(equation)?.align(shapes)?;
    let labels = operands.first()?.len();
    // How many operands are left that have more than one element along a label.
    let mut left: Vec<usize> = (0..labels)
        .map(|at| {
            operands
                .iter()
                .filter(|operand| operand[at] != Dim::ONE)
                .count()
        })
        .collect();
    let mut pairs = Vec::new();
    while operands.len() > 1 {
        let mut a = operands.remove(0);
        let mut b = operands.remove(0);
        let mut summed = Vec::new();
        for at in outputs..labels {
            match left[at] {
                1 if a[at] != Dim::ONE => a[at] = Dim::ONE,
                1 if b[at] != Dim::ONE => b[at] = Dim::ONE,
                2 if a[at] != Dim::ONE && b[at] != Dim::ONE => summed.push(at),
                _ => continue,
            }
            left[at] = 0;
        }
        for at in 0..labels {
            if a[at] != Dim::ONE && b[at] != Dim::ONE && !summed.contains(&at) {
                left[at] = left[at].saturating_sub(1);
            }
        }
        let (pair, product) = product(&a, &b, &summed);
        pairs.push(pair);
        operands.insert(0, product);
    }
    Some((pairs, outputs))
}

/// `sumproduct_pair`: a label with one element in both operands is with those of the second, and the operands change
/// places where all of those come before the first's (torch 2.15.0: the strides of a thousand random equations).
fn product(a: &Aligned, b: &Aligned, summed: &[usize]) -> (Pair, Aligned) {
    let mut result = Vec::with_capacity(a.len());
    let (mut both, mut only_a, mut only_b, mut inner) = (Dim::ONE, Dim::ONE, Dim::ONE, Dim::ONE);
    let (mut of_both, mut of_a, mut of_b, mut of_sum) = (vec![], vec![], vec![], vec![]);
    for at in 0..a.len() {
        let (wide_a, wide_b) = (a[at] != Dim::ONE, b[at] != Dim::ONE);
        if summed.contains(&at) {
            inner *= &a[at];
            of_sum.push(at);
            result.push(Dim::ONE);
            continue;
        }
        result.push(if wide_a { a[at].clone() } else { b[at].clone() });
        if wide_a && wide_b {
            both *= &a[at];
            of_both.push(at);
        } else if wide_a {
            only_a *= &a[at];
            of_a.push(at);
        } else {
            only_b *= &b[at];
            of_b.push(at);
        }
    }
    let (mut rows, mut columns) = ((only_a, of_a), (only_b, of_b));
    if let (Some(first), Some(last)) = (rows.1.first(), columns.1.last())
        && last < first
    {
        std::mem::swap(&mut rows, &mut columns);
    }
    let pair = Pair {
        summed: !summed.is_empty(),
        both,
        rows: rows.0,
        inner,
        columns: columns.0,
        order: [of_both, rows.1, of_sum, columns.1].concat(),
    };
    (pair, result)
}

/// Where the broadcast dimensions of `...` stand.
const ELLIPSIS: char = '.';

#[derive(Debug, PartialEq)]
struct Equation {
    inputs: Vec<Vec<char>>,
    output: Vec<char>,
}

impl Equation {
    fn parse(text: &str) -> Option<Equation> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left.to_owned(), Some(right.to_owned())),
            None => (text, None),
        };
        let labels = |term: &str| -> Option<Vec<char>> {
            let term = term.replace("...", ".");
            let valid = |c: char| c.is_ascii_alphabetic() || c == ELLIPSIS;
            term.chars().all(valid).then(|| term.chars().collect())
        };
        let inputs = left.split(',').map(labels).collect::<Option<Vec<_>>>()?;
        let output = match right {
            Some(right) => labels(&right)?,
            None => {
                // What occurs once, in alphabetical order, behind what is broadcast.
                let mut all: Vec<char> = inputs.iter().flatten().copied().collect();
                all.sort_unstable();
                let once = |c: &char| all.iter().filter(|other| *other == c).count() == 1;
                let mut out: Vec<char> = Vec::new();
                if all.contains(&ELLIPSIS) {
                    out.push(ELLIPSIS);
                }
                out.extend(all.iter().copied().filter(|c| *c != ELLIPSIS).filter(once));
                out
            }
        };
        Some(Equation { inputs, output })
    }

    /// Gives every operand one size for each label: those of the output first. Returns how many
    /// those are too.
    fn align(&self, shapes: &[Shape]) -> Option<(Vec<Aligned>, usize)> {
        if shapes.len() != self.inputs.len() {
            return None;
        }
        let broadcast = |labels: &[char], shape: &Shape| match labels.contains(&ELLIPSIS) {
            true => shape.len().checked_sub(labels.len() - 1),
            false => Some(0),
        };
        let mut wide = 0;
        for (labels, shape) in self.inputs.iter().zip(shapes) {
            wide = wide.max(broadcast(labels, shape)?);
        }
        // Positions of the labels; those of `...` are next to one another.
        let mut order: Vec<char> = self.output.clone();
        let mut rest: Vec<char> = self.inputs.iter().flatten().copied().collect();
        rest.sort_unstable();
        rest.dedup();
        rest.retain(|c| !order.contains(c));
        order.extend(rest);
        let mut position = std::collections::HashMap::new();
        let mut count = 0;
        let mut outputs = 0;
        for (at, label) in order.iter().enumerate() {
            position.insert(*label, count);
            count += if *label == ELLIPSIS { wide } else { 1 };
            if at < self.output.len() {
                outputs = count;
            }
        }
        let mut out = Vec::with_capacity(shapes.len());
        for (labels, shape) in self.inputs.iter().zip(shapes) {
            let mut aligned = vec![Dim::ONE; count];
            let own = broadcast(labels, shape)?;
            let mut sizes = shape.iter();
            for label in labels {
                let at = *position.get(label)?;
                match *label {
                    ELLIPSIS => {
                        for k in 0..own {
                            aligned[at + wide - own + k] = sizes.next()?.clone();
                        }
                    }
                    _ => {
                        let size = sizes.next()?;
                        // A label that stands twice takes the diagonal.
                        if aligned[at] == Dim::ONE {
                            aligned[at] = size.clone();
                        }
                    }
                }
            }
            if sizes.next().is_some() {
                return None;
            }
            out.push(aligned);
        }
        Some((out, outputs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.einsum(equation, …).stride()` of torch 2.15.0, as the order of the output's dimensions in memory.
    #[test]
    fn outputs_lie_as_the_last_product_wrote_them() {
        type Row = (&'static str, &'static [&'static [i64]], &'static [usize]);
        let rows: [Row; 7] = [
            ("bts,bcs->bct", &[&[2, 5, 6], &[2, 4, 6]], &[0, 1, 2]),
            (
                "bnij,bjnd->bind",
                &[&[2, 5, 3, 6], &[2, 6, 5, 4]],
                &[0, 2, 1, 3],
            ),
            ("bchw,co->bohw", &[&[2, 3, 4, 4], &[3, 5]], &[0, 2, 3, 1]),
            ("ij,bj->bi", &[&[3, 4], &[2, 4]], &[0, 1]),
            (
                "nkctv,kvw->nctw",
                &[&[2, 3, 4, 6, 5], &[3, 5, 5]],
                &[0, 1, 2, 3],
            ),
            (
                "abc,bcd,dae->eb",
                &[&[2, 3, 4], &[3, 4, 5], &[5, 2, 6]],
                &[1, 0],
            ),
            ("bfd,be->ef", &[&[3, 7, 5], &[3, 6]], &[1, 0]),
        ];
        for (equation, shapes, order) in rows {
            let dims = |sizes: &&[i64]| -> Shape { sizes.iter().map(|s| Dim::from(*s)).collect() };
            let shapes: Vec<Shape> = shapes.iter().map(dims).collect();
            assert_eq!(written(equation, &shapes).unwrap(), order, "{equation}");
        }
    }
}
