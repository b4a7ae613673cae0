//! Operators that reduce dimensions: sums, means, extremes, norms, sorting.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::elementwise::{self, broadcast_or};
use super::{Entry, Op, row};
use crate::error::Result;

pub(super) static OPERATORS: [Entry; 27] = [
    row("sum(self, dim=None, keepdim=False, *, dtype=None)", sum),
    row("prod(self, dim=None, keepdim=False, *, dtype=None)", sum),
    row("nansum(self, dim=None, keepdim=False, *, dtype=None)", sum),
    row("mean(self, dim=None, keepdim=False, *, dtype=None)", mean),
    row(
        "var(self, dim=None, *, correction=None, keepdim=False)",
        mean,
    ),
    row(
        "std(self, dim=None, *, correction=None, keepdim=False)",
        mean,
    ),
    row(
        "var_mean(self, dim=None, *, correction=None, keepdim=False)",
        |op| {
            let first = mean(op)?;
            let second = mean(op)?;
            Ok(Value::Tuple(vec![first, second]))
        },
    ),
    row("amax(self, dim=(), keepdim=False)", same_type),
    row("amin(self, dim=(), keepdim=False)", same_type),
    row("max(self, dim=None, keepdim=False)", with_index),
    row("min(self, dim=None, keepdim=False)", with_index),
    row("median(self, dim=None, keepdim=False)", with_index),
    row("argmax(self, dim=None, keepdim=False)", index),
    row("argmin(self, dim=None, keepdim=False)", index),
    row("count_nonzero(self, dim=None)", |op| {
        let shape = reduced(op, "dim", false)?;
        op.tensor(shape, DType::Int64)
    }),
    row("any(self, dim=None, keepdim=False)", truth),
    row("all(self, dim=None, keepdim=False)", truth),
    row("logsumexp(self, dim, keepdim=False)", mean),
    row(
        "linalg_vector_norm(self, ord=2, dim=None, keepdim=False, *, dtype=None)",
        mean,
    ),
    row(
        "linalg_norm(self, ord=None, dim=None, keepdim=False, *, dtype=None)",
        mean,
    ),
    row("norm(self, p=2, dim=None, keepdim=False)", mean),
    row("topk(self, k, dim=-1, largest=True, sorted=True)", topk),
    row("sort(self, dim=-1, descending=False)", |op| {
        let shape = op.shape("self")?;
        op.dimension("dim", shape.len())?;
        pair(op, shape)
    }),
    row("argsort(self, dim=-1, descending=False)", |op| {
        let shape = op.shape("self")?;
        op.dimension("dim", shape.len())?;
        op.tensor(shape, DType::Int64)
    }),
    row(
        "cosine_similarity(x1, x2, dim=1, eps=1e-08)",
        cosine_similarity,
    ),
    row(
        "pairwise_distance(x1, x2, p=2, eps=1e-06, keepdim=False)",
        pairwise_distance,
    ),
    row(
        "cross_entropy_loss(self, target, weight=None, reduction=1, ignore_index=-100, \
         label_smoothing=0.0)",
        |op| op.like("self", Vec::new()),
    ),
];

/// The shape without the dimensions that are reduced: all of them when none is named.
fn reduced(op: &Op<'_>, name: &str, keep: bool) -> Result<Shape> {
    let input = op.shape("self")?;
    let value = op.args.value(name);
    let all = value.is_none() || value.items().is_some_and(<[Value]>::is_empty);
    let dims = match all {
        true => (0..input.len()).collect(),
        false => op.dimensions(name, input.len())?,
    };
    let shape =
        input
            .iter()
            .enumerate()
            .filter_map(|(index, size)| match (dims.contains(&index), keep) {
                (false, _) => Some(size.clone()),
                (true, true) => Some(Dim::ONE),
                (true, false) => None,
            });
    Ok(shape.collect())
}

fn kept(op: &Op<'_>) -> Result<Shape> {
    reduced(op, "dim", op.args.bool("keepdim")?)
}

fn sum(op: &mut Op<'_>) -> Result<Value> {
    let shape = kept(op)?;
    let mut dtype = op.dtype_or("self")?;
    // Sums of integers and truth values are 64-bit integers.
    if op.args.value("dtype").is_none() && !dtype.is_floating_point() {
        dtype = DType::Int64;
    }
    op.tensor(shape, dtype)
}

fn mean(op: &mut Op<'_>) -> Result<Value> {
    let shape = kept(op)?;
    let dtype = op.dtype_or("self")?;
    op.tensor(shape, dtype)
}

fn same_type(op: &mut Op<'_>) -> Result<Value> {
    let shape = kept(op)?;
    op.like("self", shape)
}

fn truth(op: &mut Op<'_>) -> Result<Value> {
    let shape = kept(op)?;
    op.tensor(shape, DType::Bool)
}

fn index(op: &mut Op<'_>) -> Result<Value> {
    let shape = kept(op)?;
    op.tensor(shape, DType::Int64)
}

/// Values and where they were.
fn pair(op: &mut Op<'_>, shape: Shape) -> Result<Value> {
    let values = op.like("self", shape.clone())?;
    let indices = op.tensor(shape, DType::Int64)?;
    Ok(Value::Tuple(vec![values, indices]))
}

/// `torch.max(x)`, `torch.max(x, dim)` and `torch.max(x, y)` are one name.
fn with_index(op: &mut Op<'_>) -> Result<Value> {
    if op.args.value("dim").tensor().is_some() {
        return elementwise::pair(op, "self", "dim", elementwise::Kind::Arithmetic);
    }
    let shape = kept(op)?;
    match op.args.value("dim") {
        Value::None => op.like("self", shape),
        _ => pair(op, shape),
    }
}

fn topk(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let dim = op.dimension("dim", shape.len())?;
    let k = op.args.size("k")?;
    if let Some(size) = shape.get_mut(dim) {
        if let (Some(k), Some(size)) = (k.as_const(), size.as_const())
            && k > size
        {
            return Err(op.error(format!("takes {k} of a dimension of {size}")));
        }
        *size = k;
    }
    pair(op, shape)
}

fn cosine_similarity(op: &mut Op<'_>) -> Result<Value> {
    let (a, b) = (op.shape("x1")?, op.shape("x2")?);
    let mut shape = broadcast_or(op, &a, &b)?;
    let dim = op.dimension("dim", shape.len())?;
    if dim < shape.len() {
        shape.remove(dim);
    }
    op.like("x1", shape)
}

fn pairwise_distance(op: &mut Op<'_>) -> Result<Value> {
    let (a, b) = (op.shape("x1")?, op.shape("x2")?);
    let mut shape = broadcast_or(op, &a, &b)?;
    let last = shape.pop();
    if op.args.bool("keepdim")? && last.is_some() {
        shape.push(Dim::ONE);
    }
    op.like("x1", shape)
}
