//! Matrix products.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::util::{broadcast, broadcast_dim};
use super::{MICROSOFT, Row};
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    ("", "MatMul", |op| matmul_of(op, 1, None)),
    ("", "MatMulInteger", |op| {
        matmul_of(op, 1, Some(DType::Int32))
    }),
    ("", "QLinearMatMul", qlinear_matmul),
    ("", "Gemm", gemm),
    ("", "Einsum", einsum),
    ("", "Det", det),
    (MICROSOFT, "FusedMatMul", fused_matmul),
    (MICROSOFT, "FusedMatMulActivation", fused_matmul),
    (MICROSOFT, "TransposeMatMul", fused_matmul),
    (MICROSOFT, "FusedGemm", gemm),
    (MICROSOFT, "GemmFloat8", gemm),
    (MICROSOFT, "GemmFastGelu", |op| matmul_of(op, 1, None)),
    (MICROSOFT, "SparseToDenseMatMul", fused_matmul),
    (MICROSOFT, "MatMulInteger16", |op| {
        matmul_of(op, 1, Some(DType::Int32))
    }),
    (MICROSOFT, "MatMulIntegerToFloat", matmul_integer_to_float),
    (MICROSOFT, "DynamicQuantizeMatMul", |op| {
        matmul_of(op, 1, None)
    }),
    (MICROSOFT, "MatMulNBits", matmul_n_bits),
    (MICROSOFT, "MatMulBnb4", matmul_n_bits),
    (MICROSOFT, "MatMulFpQ4", matmul_n_bits),
];

/// The shape of a matrix product as NumPy has it.
pub(super) fn matmul(op: &Op<'_, '_>, a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let (row, a_batch) = match a {
        [] => return None,
        [_] => (None, &a[..0]),
        [batch @ .., rows, _] => (Some(rows), batch),
    };
    let (column, b_batch) = match b {
        [] => return None,
        [_] => (None, &b[..0]),
        [batch @ .., _, columns] => (Some(columns), batch),
    };
    let mut out = broadcast(op, a_batch, b_batch);
    out.extend(row.cloned());
    out.extend(column.cloned());
    Some(out)
}

/// A product of inputs 0 and `second`.
fn matmul_of(op: &mut Op<'_, '_>, second: usize, dtype: Option<DType>) -> Option<()> {
    op.set_dtype(0, dtype.or(op.dtype(0)));
    let shape = matmul(op, op.shape(0)?, op.shape(second)?)?;
    op.set_shape(0, shape);
    Some(())
}

/// A quantised product: operands, scales and zero points alternate.
fn qlinear_matmul(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.dtype(7).or(op.dtype(0));
    matmul_of(op, 3, dtype)
}

fn matmul_integer_to_float(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.dtype(2);
    matmul_of(op, 1, dtype)
}

/// A product of matrices, either of which may be transposed first.
fn gemm(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.dtype(0);
    op.set_dtype(0, dtype);
    let pick = |index: usize, transposed: bool, first: bool| match op.shape(index) {
        Some([a, b]) => Some(if transposed != first {
            a.clone()
        } else {
            b.clone()
        }),
        _ => None,
    };
    let rows = pick(0, op.attr_int_or("transA", 0) != 0, true);
    let columns = pick(1, op.attr_int_or("transB", 0) != 0, false);
    let shape = vec![
        rows.unwrap_or_else(|| op.fresh()),
        columns.unwrap_or_else(|| op.fresh()),
    ];
    op.set_shape(0, shape);
    Some(())
}

/// A batched product with transposes as attributes.
fn fused_matmul(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let oriented = |index: usize, attribute: &str, batch: &str| {
        let mut shape = op.shape(index)?.to_vec();
        let rank = shape.len();
        if rank >= 2 && op.attr_int_or(batch, 0) != 0 {
            // The batch dimensions move behind the rows.
            shape[..rank - 1].rotate_left(1);
        }
        if rank >= 2 && op.attr_int_or(attribute, 0) != 0 {
            shape.swap(rank - 1, rank - 2);
        }
        Some(shape)
    };
    let a = oriented(0, "transA", "transBatchA")?;
    let b = oriented(1, "transB", "transBatchB")?;
    let shape = matmul(op, &a, &b)?;
    op.set_shape(0, shape);
    Some(())
}

/// A product with weights packed to a few bits; `N` is the number of columns.
fn matmul_n_bits(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let columns = match op.attr_int("N") {
        Some(columns) => Dim::from(columns),
        // MatMulFpQ4 has the shape of the weights as an input.
        None => op.ints(2)?.pop()?,
    };
    let (_, leading) = op.shape(0)?.split_last()?;
    let mut shape = leading.to_vec();
    shape.push(columns);
    op.set_shape(0, shape);
    Some(())
}

/// Sums of products over labelled dimensions.
fn einsum(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let equation: String = op
        .attr_str("equation")?
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let mut sizes: Vec<(char, Dim)> = Vec::new();
    let mut counts: Vec<(char, usize)> = Vec::new();
    let mut ellipsis: Vec<Dim> = Vec::new();
    for (index, term) in left.split(',').enumerate() {
        let shape = op.shape(index)?;
        let (before, after) = match term.split_once("...") {
            Some((before, after)) => (before, after),
            None if term.chars().count() == shape.len() => (term, ""),
            None => return None,
        };
        let (head, tail) = (before.chars().count(), after.chars().count());
        let middle = shape.get(head..shape.len().checked_sub(tail)?)?;
        ellipsis = broadcast(op, &ellipsis, middle);
        let labels = before
            .chars()
            .zip(shape)
            .chain(after.chars().zip(shape.get(shape.len() - tail..)?));
        for (label, size) in labels {
            match counts.iter_mut().find(|(l, _)| *l == label) {
                Some((_, count)) => *count += 1,
                None => counts.push((label, 1)),
            }
            match sizes.iter_mut().find(|(l, _)| *l == label) {
                Some((_, known)) => *known = broadcast_dim(known, size)?,
                None => sizes.push((label, size.clone())),
            }
        }
    }
    let implicit = || {
        let mut once: Vec<char> = counts
            .iter()
            .filter(|(_, count)| *count == 1)
            .map(|(label, _)| *label)
            .collect();
        once.sort_unstable();
        format!("...{}", once.into_iter().collect::<String>())
    };
    let output = right.map_or_else(implicit, str::to_owned);
    let mut shape = Vec::new();
    for part in output.split_inclusive("...") {
        let labels = part.strip_suffix("...").unwrap_or(part);
        for label in labels.chars() {
            shape.push(sizes.iter().find(|(l, _)| *l == label)?.1.clone());
        }
        if part.ends_with("...") {
            shape.extend(ellipsis.iter().cloned());
        }
    }
    op.set_shape(0, shape);
    Some(())
}

/// The determinant of each matrix.
fn det(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?;
    let batch = shape.get(..shape.len().checked_sub(2)?)?.to_vec();
    op.set_shape(0, batch);
    Some(())
}
