//! Operators that reshape, and change no number.

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::{Entry, Op, compatible, row, unify};
use crate::error::Result;
use crate::show;

pub(super) static OPERATORS: [Entry; 28] = [
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
    row("pixel_shuffle(self, upscale_factor)", pixel_shuffle),
    row("pixel_unshuffle(self, downscale_factor)", pixel_unshuffle),
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
