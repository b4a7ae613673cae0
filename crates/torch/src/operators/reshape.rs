//! Operators that move, join and cut, and change no number.

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Shape, TensorId};
use modelcost_core::value::Value;

use super::elementwise::promote;
use super::{Entry, Op, compatible, row, unify};
use crate::bound::MAX_LIST;
use crate::error::Result;
use crate::show;

pub(super) static OPERATORS: [Entry; 44] = [
    row("view(self, size)", view),
    row("reshape(self, shape)", |op| reshaped(op, "shape")),
    row("_unsafe_view(self, size)", view),
    row("view_as(self, other)", as_other),
    row("reshape_as(self, other)", as_other),
    row("expand_as(self, other)", as_other),
    row("flatten(self, start_dim=0, end_dim=-1)", flatten),
    row("ravel(self)", |op| {
        let size = Dim::product(&op.shape("self")?);
        op.like("self", vec![size])
    }),
    row("unflatten(self, dim, sizes)", unflatten),
    row("permute(self, dims)", permute),
    row("transpose(self, dim0, dim1)", transpose),
    row("swapaxes(self, axis0, axis1)", transpose),
    row("swapdims(self, dim0, dim1)", transpose),
    row("t(self)", t),
    row("numpy_T(self)", |op| {
        let shape = op.shape("self")?.into_iter().rev().collect();
        op.like("self", shape)
    }),
    row("mT(self)", swap_last),
    row("adjoint(self)", swap_last),
    row("movedim(self, source, destination)", movedim),
    row("moveaxis(self, source, destination)", movedim),
    row("squeeze(self, dim=None)", squeeze),
    row("unsqueeze(self, dim)", unsqueeze),
    row("expand(self, size, *, implicit=False)", expand),
    row("repeat(self, repeats)", repeat),
    row("tile(self, dims)", repeat),
    row(
        "repeat_interleave(self, repeats, dim=None, *, output_size=None)",
        repeat_interleave,
    ),
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
    row("pixel_shuffle(self, upscale_factor)", pixel_shuffle),
    row("pixel_unshuffle(self, downscale_factor)", pixel_unshuffle),
    row("unfold(self, dimension, size, step)", unfold),
    row("diagonal(self, offset=0, dim1=0, dim2=1)", diagonal),
    row("broadcast_to(self, size)", expand),
];

fn view(op: &mut Op<'_>) -> Result<Value> {
    // `x.view(dtype)` keeps the shape when the sizes agree.
    if let Value::DType(dtype) = op.args.value("size") {
        let (dtype, shape) = (*dtype, op.shape("self")?);
        return op.tensor(shape, dtype);
    }
    reshaped(op, "size")
}

fn reshaped(op: &mut Op<'_>, name: &str) -> Result<Value> {
    let input = op.shape("self")?;
    let wanted = op.args.ints(name)?;
    let shape = resolve(op, &input, wanted)?;
    op.like("self", shape)
}

fn as_other(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("other")?;
    op.like("self", shape)
}

/// A wanted shape with its -1 found.
fn resolve(op: &Op<'_>, input: &[Dim], mut wanted: Shape) -> Result<Shape> {
    let problem = |wanted: &[Dim]| {
        Err(op.error(format!(
            "cannot make {} of {}",
            show::shape(wanted),
            show::shape(input)
        )))
    };
    let total = Dim::product(input);
    let free: Vec<usize> = (0..wanted.len())
        .filter(|i| wanted[*i] == Dim::Const(-1))
        .collect();
    let negative = wanted
        .iter()
        .any(|dim| dim.as_const().is_some_and(|n| n < -1));
    match free.as_slice() {
        _ if negative => problem(&wanted),
        [] => match compatible(&total, &Dim::product(&wanted)) {
            true => Ok(wanted),
            false => problem(&wanted),
        },
        [index] => {
            let others: Vec<&Dim> = wanted
                .iter()
                .enumerate()
                .filter(|(i, _)| i != index)
                .map(|(_, dim)| dim)
                .collect();
            let known = Dim::product(others);
            let rest = match (total.as_const(), known.as_const()) {
                (_, Some(0)) => None,
                (Some(_), Some(_)) => total.exact_div(&known),
                _ => {
                    Some(divide(input, &wanted, *index).unwrap_or_else(|| total.floor_div(&known)))
                }
            };
            match rest {
                Some(rest) => {
                    wanted[*index] = rest;
                    Ok(wanted)
                }
                None => problem(&wanted),
            }
        }
        _ => Err(op.error("can find one size of -1, not several")),
    }
}

/// The size in place of -1 when dividing the products leaves a rest that may vanish by cancelling
/// equal symbolic factors first.
fn divide(input: &[Dim], wanted: &[Dim], free: usize) -> Option<Dim> {
    let total = Dim::product(input);
    let known = Dim::product(
        wanted
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != free)
            .map(|(_, d)| d),
    );
    if let Some(exact) = total.exact_div(&known) {
        return Some(exact);
    }
    let mut left: Vec<Dim> = input.to_vec();
    let mut divisors = Vec::new();
    for (index, dim) in wanted.iter().enumerate() {
        if index == free {
            continue;
        }
        match left.iter().position(|other| other == dim) {
            Some(at) => {
                left.swap_remove(at);
            }
            None => divisors.push(dim.clone()),
        }
    }
    Dim::product(&left).exact_div(&Dim::product(&divisors))
}

fn flatten(op: &mut Op<'_>) -> Result<Value> {
    let input = op.shape("self")?;
    if input.is_empty() {
        return op.like("self", vec![Dim::ONE]);
    }
    let start = op.dimension("start_dim", input.len())?;
    let end = op.dimension("end_dim", input.len())?;
    if start > end {
        return Err(op.error(format!(
            "cannot flatten from dimension {start} to {end}: the first lies behind the last"
        )));
    }
    let mut shape = input[..start].to_vec();
    shape.push(Dim::product(&input[start..=end]));
    shape.extend_from_slice(&input[end + 1..]);
    op.like("self", shape)
}

fn unflatten(op: &mut Op<'_>) -> Result<Value> {
    let input = op.shape("self")?;
    let dim = op.dimension("dim", input.len())?;
    let Some(size) = input.get(dim).cloned() else {
        return Err(op.error("cannot unflatten a scalar"));
    };
    let sizes = resolve(op, &[size], op.args.ints("sizes")?)?;
    let mut shape = input[..dim].to_vec();
    shape.extend(sizes);
    shape.extend_from_slice(&input[dim + 1..]);
    op.like("self", shape)
}

fn permute(op: &mut Op<'_>) -> Result<Value> {
    let input = op.shape("self")?;
    let dims = op.dimensions("dims", input.len())?;
    if dims.len() != input.len() {
        return Err(op.error(format!(
            "is given {} dimensions to order, but the input has {}: {}",
            dims.len(),
            input.len(),
            show::shape(&input)
        )));
    }
    let shape = dims
        .iter()
        .filter_map(|dim| input.get(*dim).cloned())
        .collect();
    op.like("self", shape)
}

fn transpose(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let names = match op.args.has("axis0") {
        true => ["axis0", "axis1"],
        false => ["dim0", "dim1"],
    };
    let (a, b) = (
        op.dimension(names[0], shape.len())?,
        op.dimension(names[1], shape.len())?,
    );
    if !shape.is_empty() {
        shape.swap(a, b);
    }
    op.like("self", shape)
}

fn t(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    if shape.len() > 2 {
        return Err(op.expected("at most 2 dimensions", &shape));
    }
    shape.reverse();
    op.like("self", shape)
}

fn swap_last(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let rank = shape.len();
    if rank < 2 {
        return Err(op.expected("at least 2 dimensions", &shape));
    }
    shape.swap(rank - 2, rank - 1);
    op.like("self", shape)
}

fn movedim(op: &mut Op<'_>) -> Result<Value> {
    let input = op.shape("self")?;
    let from = op.dimensions("source", input.len())?;
    let to = op.dimensions("destination", input.len())?;
    if from.len() != to.len() {
        return Err(op.error("needs as many sources as destinations"));
    }
    let mut order = vec![None; input.len()];
    for (from, to) in from.iter().zip(&to) {
        if let Some(slot) = order.get_mut(*to) {
            *slot = Some(*from);
        }
    }
    let mut rest = (0..input.len()).filter(|dim| !from.contains(dim));
    let shape = order
        .into_iter()
        .filter_map(|slot| slot.or_else(|| rest.next()))
        .map(|dim| input[dim].clone())
        .collect();
    op.like("self", shape)
}

fn squeeze(op: &mut Op<'_>) -> Result<Value> {
    let input = op.shape("self")?;
    let dims = match op.args.value("dim") {
        Value::None => (0..input.len()).collect(),
        _ => op.dimensions("dim", input.len())?,
    };
    let keep = |index: usize, size: &Dim| !dims.contains(&index) || *size != Dim::ONE;
    let shape = input
        .iter()
        .enumerate()
        .filter(|(index, size)| keep(*index, size))
        .map(|(_, size)| size.clone())
        .collect();
    op.like("self", shape)
}

fn unsqueeze(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let dim = op.dimension("dim", shape.len() + 1)?;
    shape.insert(dim, Dim::ONE);
    op.like("self", shape)
}

fn expand(op: &mut Op<'_>) -> Result<Value> {
    let input = op.shape("self")?;
    let size = op.args.ints("size")?;
    let problem = |op: &Op<'_>| {
        op.error(format!(
            "cannot expand {} to {}",
            show::shape(&input),
            show::shape(&size)
        ))
    };
    if size.len() < input.len() {
        return Err(problem(op));
    }
    let missing = size.len() - input.len();
    let mut shape = Vec::with_capacity(size.len());
    for (index, wanted) in size.iter().enumerate() {
        let own = index.checked_sub(missing).map(|i| &input[i]);
        shape.push(match own {
            Some(own) if *wanted == Dim::Const(-1) => own.clone(),
            Some(own) if *own == Dim::ONE => wanted.clone(),
            Some(own) if compatible(own, wanted) => unify(own, wanted),
            None if *wanted != Dim::Const(-1) => wanted.clone(),
            _ => return Err(problem(op)),
        });
    }
    op.like("self", shape)
}

fn repeat(op: &mut Op<'_>) -> Result<Value> {
    let mut input = op.shape("self")?;
    let tile = op.args.has("dims");
    let mut counts = op.args.ints(if tile { "dims" } else { "repeats" })?;
    if tile && counts.len() < input.len() {
        let missing = input.len() - counts.len();
        counts.splice(0..0, std::iter::repeat_n(Dim::ONE, missing));
    }
    if counts.len() < input.len() {
        return Err(op.error(format!(
            "needs a count for each of the {} dimensions, not {}",
            input.len(),
            counts.len()
        )));
    }
    let missing = counts.len() - input.len();
    input.splice(0..0, std::iter::repeat_n(Dim::ONE, missing));
    let shape = input
        .iter()
        .zip(&counts)
        .map(|(size, count)| size * count)
        .collect();
    op.like("self", shape)
}

fn repeat_interleave(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let repeats = op.args.size("repeats")?;
    match op.args.value("dim") {
        Value::None => shape = vec![Dim::product(&shape) * repeats],
        _ => {
            let dim = op.dimension("dim", shape.len())?;
            if let Some(size) = shape.get_mut(dim) {
                *size = &*size * &repeats;
            }
        }
    }
    op.like("self", shape)
}

fn joined_type(op: &Op<'_>, tensors: &[TensorId]) -> modelcost_core::dtype::DType {
    let mut types = tensors.iter().map(|id| op.tracer.dtype(*id));
    let first = types
        .next()
        .unwrap_or(modelcost_core::dtype::DType::Float32);
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

fn pixel_shuffle(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let factor = op.args.positive("upscale_factor")?;
    let square = &factor * &factor;
    let rank = shape.len();
    if rank < 3 || shape[rank - 3].modulo(&square).as_const().unwrap_or(0) != 0 {
        return Err(op.expected(
            format!("a number of channels that {square} divides"),
            &shape,
        ));
    }
    shape[rank - 3] = shape[rank - 3].floor_div(&square);
    shape[rank - 2] = &shape[rank - 2] * &factor;
    shape[rank - 1] = &shape[rank - 1] * &factor;
    op.like("self", shape)
}

fn pixel_unshuffle(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let factor = op.args.positive("downscale_factor")?;
    let rank = shape.len();
    let divides = |size: &Dim| size.modulo(&factor).as_const().unwrap_or(0) == 0;
    if rank < 3 || !divides(&shape[rank - 2]) || !divides(&shape[rank - 1]) {
        return Err(op.expected(format!("a height and width that {factor} divides"), &shape));
    }
    shape[rank - 3] = &shape[rank - 3] * &(&factor * &factor);
    shape[rank - 2] = shape[rank - 2].floor_div(&factor);
    shape[rank - 1] = shape[rank - 1].floor_div(&factor);
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
