//! Operators that join and cut.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{Shape, TensorId};
use modelcost_core::value::Value;

use super::elementwise::promote;
use super::{Entry, Op, compatible, row, unify};
use crate::bound::MAX_LIST;
use crate::error::Result;
use crate::show;

pub(super) static OPERATORS: [Entry; 16] = [
    row("cat(tensors, dim=0)", cat),
    row("concat(tensors, dim=0)", cat),
    row("concatenate(tensors, dim=0)", cat),
    row("hstack(tensors)", |op| edge_stack(op, 1)),
    row("vstack(tensors)", |op| edge_stack(op, 0)),
    row("stack(tensors, dim=0)", stack),
    row("split(self, split_size, dim=0)", split),
    row("split_with_sizes(self, split_sizes, dim=0)", split),
    row("chunk(self, chunks, dim=0)", chunk),
    row("unbind(self, dim=0)", unbind),
    row("select(self, dim, index)", select),
    row("slice(self, dim=0, start=None, end=None, step=1)", slice),
    row("narrow(self, dim, start, length)", narrow),
    row("pad(self, pad, mode='constant', value=None)", pad),
    row("unfold(self, dimension, size, step)", unfold),
    row("diagonal(self, offset=0, dim1=0, dim2=1)", diagonal),
];

fn joined_type(op: &Op<'_>, tensors: &[TensorId]) -> DType {
    let mut types = tensors.iter().map(|id| op.tracer.dtype(*id));
    let first = types.next().unwrap_or(DType::Float32);
    types.fold(first, |a, b| promote((a, false), (b, false)))
}

fn cat(op: &mut Op<'_>) -> Result<Value> {
    let tensors = op.args.tensors("tensors")?;
    let shapes: Vec<Shape> = tensors.iter().map(|id| op.shape_of(*id)).collect();
    let dim = op.args.index("dim")?;
    join(op, tensors, shapes, dim)
}

/// `hstack` and `vstack`: as `cat`, of tensors made to have a dimension to join along.
fn edge_stack(op: &mut Op<'_>, dim: i64) -> Result<Value> {
    let tensors = op.args.tensors("tensors")?;
    let mut shapes: Vec<Shape> = tensors.iter().map(|id| op.shape_of(*id)).collect();
    let flat = shapes.iter().all(|shape| shape.len() < 2);
    for shape in &mut shapes {
        if shape.is_empty() {
            shape.push(Dim::ONE);
        }
        if dim == 0 && shape.len() == 1 {
            shape.insert(0, Dim::ONE);
        }
    }
    join(op, tensors, shapes, if flat { 0 } else { dim })
}

fn join(op: &mut Op<'_>, tensors: Vec<TensorId>, shapes: Vec<Shape>, dim: i64) -> Result<Value> {
    // An empty vector is left out, whatever the others are.
    let empty = |shape: &Shape| shape.as_slice() == [Dim::ZERO];
    let mut shapes = shapes.into_iter().filter(|shape| !empty(shape)).enumerate();
    let Some((_, mut shape)) = shapes.next() else {
        return Err(op.error("needs at least one tensor"));
    };
    let dim = op.wrap(dim, shape.len())?;
    if shape.is_empty() {
        return Err(op.error("cannot join scalars; torch.stack can"));
    }
    for (index, other) in shapes {
        let fits = other.len() == shape.len()
            && (0..shape.len()).all(|i| i == dim || compatible(&shape[i], &other[i]));
        if !fits {
            return Err(op.error(format!(
                "joins along dimension {dim}, where all others must be equal: {} and {} (tensor {index})",
                show::shape(&shape),
                show::shape(&other)
            )));
        }
        for (i, size) in other.iter().enumerate() {
            shape[i] = if i == dim {
                &shape[i] + size
            } else {
                unify(&shape[i], size)
            };
        }
    }
    let dtype = joined_type(op, &tensors);
    op.tensor(shape, dtype)
}

fn stack(op: &mut Op<'_>) -> Result<Value> {
    let tensors = op.args.tensors("tensors")?;
    let shapes: Vec<Shape> = tensors.iter().map(|id| op.shape_of(*id)).collect();
    let Some(first) = shapes.first() else {
        return Err(op.error("needs at least one tensor"));
    };
    for other in &shapes {
        let fits =
            other.len() == first.len() && first.iter().zip(other).all(|(a, b)| compatible(a, b));
        if !fits {
            return Err(op.error(format!(
                "needs tensors of one shape, not {} and {}",
                show::shape(first),
                show::shape(other)
            )));
        }
    }
    let mut shape = first.clone();
    let dim = op.dimension("dim", shape.len() + 1)?;
    shape.insert(dim, Dim::from(tensors.len()));
    let dtype = joined_type(op, &tensors);
    op.tensor(shape, dtype)
}

/// Pieces of one dimension, as a tuple of tensors.
fn pieces(op: &mut Op<'_>, shape: &[Dim], dim: usize, sizes: Vec<Dim>) -> Result<Value> {
    let mut out = Vec::with_capacity(sizes.len());
    for size in sizes {
        let mut piece = shape.to_vec();
        piece[dim] = size;
        out.push(op.like("self", piece)?);
    }
    Ok(Value::Tuple(out))
}

fn known_size(op: &Op<'_>, shape: &[Dim], dim: usize) -> Result<(Dim, Option<i128>)> {
    match shape.get(dim) {
        Some(size) => Ok((size.clone(), size.as_const())),
        None => Err(op.error("cannot take a scalar apart")),
    }
}

fn too_many<T>(op: &Op<'_>, count: i128) -> Result<T> {
    Err(op.error(format!("would make {count} pieces, more than {MAX_LIST}")))
}

fn split(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    let dim = op.dimension("dim", shape.len())?;
    let (size, known) = known_size(op, &shape, dim)?;
    let name = if op.args.has("split_sizes") {
        "split_sizes"
    } else {
        "split_size"
    };
    if op.args.value(name).items().is_some() {
        let sizes = op.args.ints(name)?;
        let sum = sizes.iter().fold(Dim::ZERO, |sum, size| sum + size);
        if !compatible(&sum, &size) {
            return Err(op.error(format!(
                "is given sizes that add up to {sum}, but dimension {dim} is {size}"
            )));
        }
        return pieces(op, &shape, dim, sizes);
    }
    let each = op.args.positive(name)?;
    let (Some(known), Some(each)) = (known, each.as_const()) else {
        // `x.split(d)` of a size that is a multiple of `d`, such as `3*d`.
        return match size.exact_div(&each).and_then(|count| count.as_usize()) {
            Some(count) if count <= MAX_LIST => pieces(op, &shape, dim, vec![each; count]),
            _ => Err(op.error(format!(
                "cannot split a dimension of {size} by {each}: how many?"
            ))),
        };
    };
    equal_pieces(op, &shape, dim, known, each)
}

fn equal_pieces(
    op: &mut Op<'_>,
    shape: &[Dim],
    dim: usize,
    size: i128,
    each: i128,
) -> Result<Value> {
    let count = (size + each - 1).div_euclid(each).max(1);
    if count > MAX_LIST as i128 {
        return too_many(op, count);
    }
    let piece = |i: i128| Dim::Const(each.min(size - i * each));
    pieces(op, shape, dim, (0..count).map(piece).collect())
}

fn chunk(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    let dim = op.dimension("dim", shape.len())?;
    let (size, known) = known_size(op, &shape, dim)?;
    let count = op.args.positive("chunks")?;
    match (known, count.as_const()) {
        (Some(known), Some(count)) => {
            let each = (known + count - 1).div_euclid(count).max(1);
            equal_pieces(op, &shape, dim, known, each)
        }
        (None, Some(count)) if count <= MAX_LIST as i128 => {
            let each = size.ceil_div(&Dim::Const(count));
            pieces(op, &shape, dim, vec![each; count as usize])
        }
        _ => Err(op.error(format!("cannot cut a dimension of {size} into {count}"))),
    }
}

fn unbind(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let dim = op.dimension("dim", shape.len())?;
    let (size, known) = known_size(op, &shape, dim)?;
    let Some(count) = known else {
        return Err(op.error(format!(
            "cannot take a dimension of {size} apart: how many?"
        )));
    };
    if count > MAX_LIST as i128 {
        return too_many(op, count);
    }
    shape.remove(dim);
    let items: Result<Vec<Value>> = (0..count).map(|_| op.like("self", shape.clone())).collect();
    Ok(Value::Tuple(items?))
}

fn select(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let dim = op.dimension("dim", shape.len())?;
    let (size, known) = known_size(op, &shape, dim)?;
    let index = op.args.int("index")?;
    if let (Some(known), Some(index)) = (known, index.as_const())
        && (index < -known || index >= known)
    {
        return Err(op.error(format!("takes element {index} of a dimension of {size}")));
    }
    shape.remove(dim);
    op.like("self", shape)
}

/// How many elements `start:end:step` takes of a dimension.
pub(super) fn slice_size(size: &Dim, start: Option<Dim>, end: Option<Dim>, step: &Dim) -> Dim {
    // torch.export writes the largest integer for an open end.
    let open = |end: &Dim| end.as_const().is_some_and(|end| end >= i64::MAX as i128);
    let from_end = |value: Dim| match value.as_const() {
        Some(n) if n < 0 => Dim::maximum(&(size + &value), &Dim::ZERO),
        _ => value,
    };
    let start = Dim::minimum(&from_end(start.unwrap_or(Dim::ZERO)), size);
    let end = match end.filter(|end| !open(end)) {
        Some(end) => Dim::minimum(&from_end(end), size),
        None => size.clone(),
    };
    let length = Dim::maximum(&(&end - &start), &Dim::ZERO);
    length.ceil_div(step)
}

fn slice(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let dim = op.dimension("dim", shape.len())?;
    let (size, _) = known_size(op, &shape, dim)?;
    let (start, end) = (op.args.optional_int("start")?, op.args.optional_int("end")?);
    let step = op.args.positive("step")?;
    shape[dim] = slice_size(&size, start, end, &step);
    op.like("self", shape)
}

fn narrow(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let dim = op.dimension("dim", shape.len())?;
    let (size, known) = known_size(op, &shape, dim)?;
    let (start, length) = (op.args.int("start")?, op.args.size("length")?);
    let end = &start + &length;
    if let (Some(known), Some(end)) = (known, end.as_const())
        && end > known
    {
        return Err(op.error(format!(
            "takes elements up to {end} of a dimension of {size}"
        )));
    }
    shape[dim] = length;
    op.like("self", shape)
}

fn pad(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let around = op.args.ints("pad")?;
    let rank = shape.len();
    if around.len() % 2 != 0 || around.len() / 2 > rank {
        return Err(op.error(format!(
            "needs two amounts for each of at most {rank} dimensions, not {}",
            around.len()
        )));
    }
    let mode = op.args.str("mode")?.to_string();
    for (index, both) in around.chunks(2).enumerate() {
        let dim = rank - 1 - index;
        let size = &shape[dim] + &both[0] + &both[1];
        if let (Some(own), [Some(before), Some(after)]) = (
            shape[dim].as_const(),
            [both[0].as_const(), both[1].as_const()],
        ) {
            let most = before.max(after);
            if (mode == "reflect" && most >= own) || (mode == "circular" && most > own) {
                return Err(op.error(format!(
                    "cannot pad a dimension of {own} by {most} in mode '{mode}'"
                )));
            }
        }
        if size.as_const().is_some_and(|size| size < 0) {
            return Err(op.error(format!("would cut dimension {dim} to {size}")));
        }
        shape[dim] = size;
    }
    op.like("self", shape)
}

fn unfold(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let dim = op.dimension("dimension", shape.len())?;
    let (size, _) = known_size(op, &shape, dim)?;
    let (window, step) = (op.args.size("size")?, op.args.positive("step")?);
    let count = (&size - &window).floor_div(&step) + 1;
    if count.as_const().is_some_and(|count| count < 1) {
        return Err(op.error(format!(
            "takes windows of {window} from a dimension of {size}"
        )));
    }
    shape[dim] = count;
    shape.push(window);
    op.like("self", shape)
}

fn diagonal(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let (a, b) = (
        op.dimension("dim1", shape.len())?,
        op.dimension("dim2", shape.len())?,
    );
    let offset = op.args.int("offset")?;
    if shape.len() < 2 || a == b {
        return Err(op.expected("two different dimensions", &shape));
    }
    let (rows, columns) = (shape[a].clone(), shape[b].clone());
    let length = match offset.as_const() {
        Some(offset) if offset >= 0 => Dim::minimum(&rows, &(columns - Dim::Const(offset))),
        _ => Dim::minimum(&(rows + &offset), &columns),
    };
    let (first, last) = (a.min(b), a.max(b));
    shape.remove(last);
    shape.remove(first);
    shape.push(Dim::maximum(&length, &Dim::ZERO));
    op.like("self", shape)
}
