//! Matrix products (`aten/src/ATen/native/Linear.cpp`, `LinearAlgebra.cpp`).

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Shape, TensorId};
use modelcost_core::value::Value;

use super::layout::{is_contiguous, requires_grad};
use super::{Dispatch, Matrix};

/// `aten.linear`: one `addmm` where the input is a matrix or can be seen as one, else a product and
/// an addition.
pub(super) fn linear(d: &mut Dispatch<'_>) -> Option<()> {
    let (input, weight) = (d.shape("input")?, d.shape("weight")?);
    let dtype = d.dtype("input");
    let bias = d.value("bias").clone();
    let contiguous = is_contiguous(d.trace(), d.tensor("input")?);
    let [outputs, inputs] = weight.as_slice() else {
        // A weight of one dimension is a vector.
        return product(d, Operand::of(d, "input")?, Operand::of(d, "weight")?);
    };
    let transposed = vec![inputs.clone(), outputs.clone()];
    if bias.is_none() || input.len() > 2 && !contiguous {
        let weight = Operand {
            shape: transposed,
            dtype,
            requires_grad: requires_grad(d.trace(), d.tensor("weight")?),
            contiguous: false,
        };
        return product(d, Operand::of(d, "input")?, weight);
    }
    let rows = Dim::product(&input[..input.len().checked_sub(1)?]);
    let flat = Matrix::new([rows, inputs.clone()], dtype);
    d.addmm(bias, flat, Matrix::new(transposed, dtype))
}

/// `aten.matmul`
pub(super) fn matmul(d: &mut Dispatch<'_>) -> Option<()> {
    let name = if d.value("self").is_none() {
        "input"
    } else {
        "self"
    };
    product(d, Operand::of(d, name)?, Operand::of(d, "other")?)
}

/// What decides how a product is computed.
#[derive(Clone, Debug)]
struct Operand {
    shape: Shape,
    dtype: Option<modelcost_core::dtype::DType>,
    requires_grad: bool,
    contiguous: bool,
}

impl Operand {
    fn of(d: &Dispatch<'_>, name: &str) -> Option<Operand> {
        Operand::tensor(d, d.tensor(name)?)
    }

    fn tensor(d: &Dispatch<'_>, id: TensorId) -> Option<Operand> {
        Some(Operand {
            shape: d.shape_of(id)?,
            dtype: d.trace().tensor(id).dtype,
            requires_grad: requires_grad(d.trace(), id),
            contiguous: is_contiguous(d.trace(), id),
        })
    }
}

/// `_matmul_impl`: vectors and matrices are multiplied as they are, a batch times a matrix becomes
/// one matrix where that needs no copy or saves one in backward, and the rest are batches.
fn product(d: &mut Dispatch<'_>, a: Operand, b: Operand) -> Option<()> {
    let dtype = a.dtype;
    let matrix = |shape: Shape| Matrix::new(shape, dtype);
    match (a.shape.as_slice(), b.shape.as_slice()) {
        ([n], [_]) => vectors(
            d,
            "aten.dot",
            ["self", "tensor"],
            vec![n.clone()],
            vec![n.clone()],
        ),
        ([m, k], [_]) => vectors(
            d,
            "aten.mv",
            ["self", "vec"],
            vec![m.clone(), k.clone()],
            b.shape,
        ),
        ([k], [_, n]) => d.mm(
            matrix(vec![Dim::ONE, k.clone()]),
            matrix(vec![k.clone(), n.clone()]),
        ),
        ([_, _], [_, _]) => d.mm(matrix(a.shape), matrix(b.shape)),
        _ if folds(&a, &b) => folded(d, a, b),
        _ => batched(d, a, b),
    }
}

fn vectors(
    d: &mut Dispatch<'_>,
    operator: &'static str,
    names: [&'static str; 2],
    a: Shape,
    b: Shape,
) -> Option<()> {
    let shape = a[..a.len().saturating_sub(1)].to_vec();
    let output = d.result(shape, None);
    let (a, b) = (d.temporary(a, None), d.temporary(b, None));
    d.call(operator, vec![(names[0], a), (names[1], b)], output);
    Some(())
}

/// `should_fold`
fn folds(a: &Operand, b: &Operand) -> bool {
    let (large, small) = if a.shape.len() >= b.shape.len() {
        (a, b)
    } else {
        (b, a)
    };
    if large.shape.len() < 3 || small.shape.len() > 2 {
        return false;
    }
    if small.requires_grad {
        return true;
    }
    if a.shape.len() == 2 {
        return false;
    }
    // The larger one is seen transposed when it comes second, and then it is not contiguous.
    let empty = large.shape.contains(&Dim::ZERO);
    empty || large.contiguous && a.shape.len() >= b.shape.len()
}

/// The batch dimensions of the larger operand become rows of one matrix.
fn folded(d: &mut Dispatch<'_>, a: Operand, b: Operand) -> Option<()> {
    let dtype = a.dtype;
    let larger_first = a.shape.len() >= b.shape.len();
    let (large, small) = if larger_first { (a, b) } else { (b, a) };
    let [batch @ .., m, k] = large.shape.as_slice() else {
        return None;
    };
    // Of the second operand the transpose is folded.
    let (m, k) = if larger_first { (m, k) } else { (k, m) };
    let rows = Dim::product(batch) * m;
    match small.shape.as_slice() {
        [_] => vectors(
            d,
            "aten.mv",
            ["self", "vec"],
            vec![rows, k.clone()],
            small.shape,
        ),
        [first, second] => {
            let columns = if larger_first { second } else { first };
            d.mm(
                Matrix::new([rows, k.clone()], dtype),
                Matrix::new([k.clone(), columns.clone()], dtype),
            )
        }
        _ => None,
    }
}

/// Both are expanded to the same batch.
fn batched(d: &mut Dispatch<'_>, a: Operand, b: Operand) -> Option<()> {
    let dtype = a.dtype;
    let mut left = a.shape;
    let mut right = b.shape;
    if left.len() == 1 {
        left.insert(0, Dim::ONE);
    }
    if right.len() == 1 {
        right.push(Dim::ONE);
    }
    let [left_batch @ .., m, k] = left.as_slice() else {
        return None;
    };
    let [right_batch @ .., _, n] = right.as_slice() else {
        return None;
    };
    let batch = Dim::product(&broadcast(left_batch, right_batch));
    d.bmm(
        Matrix::new([batch.clone(), m.clone(), k.clone()], dtype),
        Matrix::new([batch, k.clone(), n.clone()], dtype),
    )
}

fn broadcast(a: &[Dim], b: &[Dim]) -> Shape {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    let offset = long.len() - short.len();
    let pick = |(at, dim): (usize, &Dim)| match at.checked_sub(offset).map(|at| &short[at]) {
        Some(other) if *dim == Dim::ONE => other.clone(),
        _ => dim.clone(),
    };
    long.iter().enumerate().map(pick).collect()
}

/// `aten.tensordot`: both are reshaped to matrices.
pub(super) fn tensordot(d: &mut Dispatch<'_>) -> Option<()> {
    let (a, b) = (d.shape("self")?, d.shape("other")?);
    let dtype = d.dtype("self");
    let dims = |name: &str, rank: usize| -> Option<Vec<usize>> {
        let items = d.value(name).items()?;
        let index = |value: &Value| {
            let index = value.int()?.as_i64()?;
            usize::try_from(if index < 0 {
                index + rank as i64
            } else {
                index
            })
            .ok()
        };
        items.iter().map(index).collect()
    };
    let (over_a, over_b) = (dims("dims_self", a.len())?, dims("dims_other", b.len())?);
    let free = |shape: &Shape, over: &[usize]| {
        let kept = shape
            .iter()
            .enumerate()
            .filter(|(at, _)| !over.contains(at));
        Dim::product(kept.map(|(_, dim)| dim))
    };
    let summed = over_a
        .iter()
        .map(|at| a.get(*at))
        .collect::<Option<Vec<&Dim>>>()?;
    let summed = Dim::product(summed);
    let (m, n) = (free(&a, &over_a), free(&b, &over_b));
    d.mm(
        Matrix::new([m, summed.clone()], dtype),
        Matrix::new([summed, n], dtype),
    )
}

/// `aten.inner`: a tensordot over the last dimensions.
pub(super) fn inner(d: &mut Dispatch<'_>) -> Option<()> {
    let (a, b) = (d.shape("self")?, d.shape("other")?);
    let dtype = d.dtype("self");
    let (Some((k, rows)), Some((_, columns))) = (a.split_last(), b.split_last()) else {
        return None;
    };
    if rows.is_empty() && columns.is_empty() {
        return vectors(d, "aten.dot", ["self", "tensor"], a.clone(), b.clone());
    }
    d.mm(
        Matrix::new([Dim::product(rows), k.clone()], dtype),
        Matrix::new([k.clone(), Dim::product(columns)], dtype),
    )
}

/// `aten.linalg_multi_dot`: products of two, in the order that needs the fewest multiplications.
pub(super) fn chain(d: &mut Dispatch<'_>) -> Option<()> {
    let items = match d.value("tensors") {
        Value::None => d.value("matrices"),
        value => value,
    };
    let tensors = items.tensors();
    let shapes = tensors
        .iter()
        .map(|id| d.shape_of(*id))
        .collect::<Option<Vec<Shape>>>()?;
    let dtype = d.trace().tensor(*tensors.first()?).dtype;
    let n = shapes.len();
    if !(2..=64).contains(&n) {
        return None;
    }
    // Sizes p[0] × p[1], p[1] × p[2], …; vectors at the ends are rows and columns.
    let mut sizes = Vec::with_capacity(n + 1);
    for (at, shape) in shapes.iter().enumerate() {
        match (shape.as_slice(), at) {
            ([rows, _], _) => sizes.push(rows.clone()),
            ([_], 0) => sizes.push(Dim::ONE),
            ([rows], _) => sizes.push(rows.clone()),
            _ => return None,
        }
    }
    sizes.push(match shapes.last()?.as_slice() {
        [_, columns] => columns.clone(),
        [_] => Dim::ONE,
        _ => return None,
    });
    let cost = |i: usize, k: usize, j: usize| &(&sizes[i] * &sizes[k + 1]) * &sizes[j + 1];
    let mut best = vec![vec![Dim::ZERO; n]; n];
    let mut split = vec![vec![0usize; n]; n];
    for length in 1..n {
        for i in 0..n - length {
            let j = i + length;
            let options = (i..j).map(|k| (&(&best[i][k] + &best[k + 1][j]) + &cost(i, k, j), k));
            let (least, at) = options.min_by(|x, y| x.0.approx().total_cmp(&y.0.approx()))?;
            best[i][j] = least;
            split[i][j] = at;
        }
    }
    multiply(d, &sizes, &split, 0, n - 1, dtype)
}

fn multiply(
    d: &mut Dispatch<'_>,
    sizes: &[Dim],
    split: &[Vec<usize>],
    i: usize,
    j: usize,
    dtype: Option<modelcost_core::dtype::DType>,
) -> Option<()> {
    if i == j {
        return Some(());
    }
    let k = split[i][j];
    multiply(d, sizes, split, i, k, dtype)?;
    multiply(d, sizes, split, k + 1, j, dtype)?;
    d.mm(
        Matrix::new([sizes[i].clone(), sizes[k + 1].clone()], dtype),
        Matrix::new([sizes[k + 1].clone(), sizes[j + 1].clone()], dtype),
    )
}

/// `aten.bilinear`: one operator that no counter takes for a product.
pub(super) fn bilinear(d: &mut Dispatch<'_>) -> Option<()> {
    let (first, second) = (d.shape("input1")?, d.shape("input2")?);
    let weight = d.shape("weight")?;
    let dtype = d.dtype("input1");
    let (last_first, rows) = first.split_last()?;
    let rows = Dim::product(rows);
    let output = d.result(vec![rows.clone(), weight.first()?.clone()], dtype);
    let a = d.temporary(vec![rows.clone(), last_first.clone()], dtype);
    let b = d.temporary(vec![rows, second.last()?.clone()], dtype);
    let weight = d.value("weight").clone();
    d.call(
        "aten._trilinear",
        vec![("i1", a), ("i2", weight), ("i3", b)],
        output,
    );
    Some(())
}
