//! Operators that pick elements by index.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::value::Value;

use super::elementwise::broadcast_or;
use super::{Entry, Op, row};
use crate::error::Result;
use crate::show;

pub(super) static OPERATORS: [Entry; 12] = [
    row("index(self, indices)", index),
    row("index_put(self, indices, values, accumulate=False)", first),
    row("index_select(self, dim, index)", index_select),
    row("gather(self, dim, index, *, sparse_grad=False)", gather),
    row("take_along_dim(self, indices, dim=None)", |op| {
        let shape = op.shape("indices")?;
        op.like("self", shape)
    }),
    row("scatter(self, dim, index, src)", first),
    row("scatter_add(self, dim, index, src)", first),
    row("index_add(self, dim, index, source)", first),
    row("masked_select(self, mask)", |op| {
        let count = op.unknown("masked_select");
        op.like("self", vec![count])
    }),
    row("nonzero(self)", |op| {
        let rank = op.shape("self")?.len();
        let count = op.unknown("nonzero");
        op.tensor(vec![count, Dim::from(rank)], DType::Int64)
    }),
    row("bincount(self, weights=None, minlength=0)", |op| {
        let count = op.unknown("bincount");
        op.tensor(vec![count], DType::Int64)
    }),
    row("tensor_split(self, indices, dim=0)", tensor_split),
];

fn first(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    op.like("self", shape)
}

/// Advanced indexing: one entry for each dimension, `None` where a dimension stays. Index tensors
/// broadcast together; their dimensions stand where the first of them stood if they are adjacent,
/// else in front.
fn index(op: &mut Op<'_>) -> Result<Value> {
    let input = op.shape("self")?;
    let entries = op
        .args
        .value("indices")
        .items()
        .unwrap_or_default()
        .to_vec();
    let mut joined: Vec<Dim> = Vec::new();
    let mut rest = Vec::new();
    let mut places = Vec::new();
    let mut at = 0;
    for entry in &entries {
        let Some(id) = entry.tensor() else {
            rest.extend(input.get(at).cloned());
            at += 1;
            continue;
        };
        let shape = op.shape_of(id);
        // A mask takes as many dimensions as it has and gives one of unknown size.
        let (taken, shape) = match op.tracer.dtype(id) {
            DType::Bool => (shape.len().max(1), vec![op.unknown("mask")]),
            _ => (1, shape),
        };
        joined = broadcast_or(op, &joined, &shape)?;
        places.push((at, rest.len()));
        at += taken;
    }
    if at > input.len() {
        return Err(op.error(format!(
            "is given {at} indices for an input of {}",
            show::shape(&input)
        )));
    }
    rest.extend_from_slice(&input[at..]);
    let adjacent = places.windows(2).all(|pair| pair[0].1 == pair[1].1);
    let place = match places.first() {
        Some((_, place)) if adjacent => *place,
        _ => 0,
    };
    rest.splice(place..place, joined);
    op.like("self", rest)
}

fn index_select(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let dim = op.dimension("dim", shape.len())?;
    let count = Dim::product(&op.shape("index")?);
    if let Some(size) = shape.get_mut(dim) {
        *size = count;
    }
    op.like("self", shape)
}

fn gather(op: &mut Op<'_>) -> Result<Value> {
    let (input, shape) = (op.shape("self")?, op.shape("index")?);
    op.dimension("dim", input.len())?;
    if input.len() != shape.len() {
        return Err(op.error(format!(
            "needs an index with as many dimensions as its input, not {} for {}",
            show::shape(&shape),
            show::shape(&input)
        )));
    }
    op.like("self", shape)
}

/// Cuts at indices: `[2, 5]` gives `[:2]`, `[2:5]` and `[5:]`.
fn tensor_split(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    let dim = op.dimension("dim", shape.len())?;
    let Some(size) = shape.get(dim).cloned() else {
        return Err(op.error("cannot take a scalar apart"));
    };
    let mut cuts = op.args.ints("indices")?;
    if let (Some(Some(sections)), None) = (
        cuts.first().map(Dim::as_const),
        op.args.value("indices").items(),
    ) {
        let Some(whole) = size.as_const().filter(|_| (1..=65_536).contains(&sections)) else {
            return Err(op.error(format!("cannot cut a dimension of {size} into {sections}")));
        };
        let (each, extra) = (whole / sections, whole % sections);
        cuts = (1..sections)
            .map(|i| Dim::Const(i * each + i.min(extra)))
            .collect();
    }
    let mut out = Vec::new();
    let mut from = Dim::ZERO;
    for cut in cuts.into_iter().chain([size.clone()]) {
        let cut = Dim::minimum(&cut, &size);
        let mut piece = shape.clone();
        piece[dim] = Dim::maximum(&(&cut - &from), &Dim::ZERO);
        out.push(op.like("self", piece)?);
        from = cut;
    }
    Ok(Value::Tuple(out))
}
