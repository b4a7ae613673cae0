//! Operators that read a shape or give a tensor another one, with the same elements in order.

use std::sync::Arc;

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::Row;
use super::util::{axes, broadcast, broadcast_dim, list, small_sizes};
use crate::infer::bounds;
use crate::infer::fact::{Content, Fact, Scalar, TensorFact};
use crate::infer::op::{MAX_RANK, Op};

pub(super) const RULES: &[Row] = &[
    ("", "Shape", shape_of),
    ("", "Size", size_of),
    ("", "Reshape", reshape),
    ("", "Flatten", flatten),
    ("", "Squeeze", squeeze),
    ("", "Unsqueeze", unsqueeze),
    ("", "Expand", expand),
    ("", "ConstantOfShape", constant_of_shape),
];

/// The sizes of the input from `start` to `end`.
fn shape_of(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Int64);
    op.set_shape(0, vec![op.fresh()]);
    let shape = op.shape(0)?;
    let rank = shape.len() as i64;
    let clamp =
        |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let start = clamp(op.attr_int_or("start", 0));
    let end = clamp(op.attr_int_or("end", rank)).max(start);
    op.set_content(0, Content::ints(shape[start..end].iter().cloned()));
    Some(())
}

/// The number of elements.
fn size_of(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Int64);
    op.set_shape(0, Vec::new());
    let numel = Dim::product(op.shape(0)?);
    op.set_content(0, Content::scalar(Scalar::Int(numel)));
    Some(())
}

/// The elements of the input under the output's shape, when both are known.
fn keep_elements(op: &mut Op<'_, '_>, shape: &[Dim]) -> Option<()> {
    let content = op.content(0)?;
    let sizes = small_sizes(shape)?;
    if sizes.iter().product::<usize>() == content.items.len() {
        let items = content.items.clone();
        op.set_content(
            0,
            Content {
                shape: sizes,
                items,
            },
        );
    }
    Some(())
}

/// Another shape for the same elements: 0 keeps a size, -1 is what is left.
fn reshape(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let wanted: Vec<Scalar> = match op.attr_ints("shape") {
        Some(values) => values.iter().map(|v| Scalar::Int(Dim::from(*v))).collect(),
        None => op.items(1)?,
    };
    if wanted.len() > MAX_RANK {
        return None;
    }
    let shape = op.shape(0);
    let zero_is_zero = op.attr_int_or("allowzero", 0) != 0;
    let mut out: Vec<Option<Dim>> = Vec::new();
    let mut rest = None;
    for (at, size) in wanted.iter().enumerate() {
        let size = size.int();
        match size.as_ref().and_then(Dim::as_const) {
            Some(0) if !zero_is_zero => {
                out.push(shape.and_then(|shape| shape.get(at)).cloned());
            }
            Some(-1) => {
                rest = Some(at);
                out.push(None);
            }
            Some(negative) if negative < 0 => out.push(None),
            // A symbolic element could be the -1 in disguise unless it is a size.
            _ => out.push(size.filter(|size| bounds::lower(size).is_some_and(|low| low >= 0))),
        }
    }
    let missing: Vec<usize> = (0..out.len()).filter(|at| out[*at].is_none()).collect();
    if let (Some(shape), [at]) = (shape, missing.as_slice())
        && (rest == Some(*at) || wanted[*at] == Scalar::Unknown)
    {
        // One unknown size follows from the number of elements, unless that may be zero.
        out[*at] = left_over(shape, &out);
    }
    let out: Vec<Dim> = out
        .into_iter()
        .map(|size| size.unwrap_or_else(|| op.fresh()))
        .collect();
    op.set_shape(0, out.clone());
    keep_elements(op, &out)
}

/// The size that makes the number of elements come out.
fn left_over(shape: &[Dim], out: &[Option<Dim>]) -> Option<Dim> {
    // Sizes that stand on both sides cancel, so that unknown ones do not matter.
    let mut numerator: Vec<&Dim> = shape.iter().collect();
    let mut denominator = Vec::new();
    for size in out.iter().flatten() {
        match numerator.iter().position(|other| *other == size) {
            Some(at) if size.as_const() != Some(0) => {
                numerator.swap_remove(at);
            }
            _ => denominator.push(size),
        }
    }
    let (total, known) = (Dim::product(numerator), Dim::product(denominator));
    if known.as_const() == Some(0) {
        return None;
    }
    match total.exact_div(&known) {
        Some(size) => Some(size),
        // Constants that do not divide are a malformed model.
        None if total.is_const() && known.is_const() => None,
        None => Some(total.floor_div(&known)),
    }
}

/// Two dimensions: what is before the axis, and the rest.
fn flatten(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    op.set_shape(0, op.fresh_shape(2));
    let shape = op.shape(0)?;
    let axis = op.attr_int_or("axis", 1);
    let rank = shape.len() as i64;
    let axis = if axis < 0 {
        axis.checked_add(rank)?
    } else {
        axis
    };
    let (before, after) = shape.split_at_checked(usize::try_from(axis).ok()?)?;
    let out = vec![Dim::product(before), Dim::product(after)];
    op.set_shape(0, out.clone());
    keep_elements(op, &out)
}

/// Takes out dimensions of size one.
fn squeeze(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?.to_vec();
    let axes = match list(op, "axes", 1) {
        Ok(Some(given)) => axes(op, &given, shape.len())?,
        Ok(None) => {
            // Which sizes are one must be known for every dimension.
            let one = Dim::ONE;
            let is_one: Vec<bool> = shape
                .iter()
                .map(|size| bounds::equal(size, &one))
                .collect::<Option<_>>()?;
            (0..shape.len()).filter(|axis| is_one[*axis]).collect()
        }
        Err(count) => {
            let rank = shape.len().checked_sub(count?)?;
            op.set_shape(0, op.fresh_shape(rank));
            return None;
        }
    };
    let out: Vec<Dim> = shape
        .into_iter()
        .enumerate()
        .filter(|(axis, _)| !axes.contains(axis))
        .map(|(_, size)| size)
        .collect();
    op.set_shape(0, out.clone());
    keep_elements(op, &out)
}

/// Puts in dimensions of size one.
fn unsqueeze(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?.to_vec();
    let axes = match list(op, "axes", 1) {
        Ok(given) => {
            let given = given?;
            axes(op, &given, shape.len() + given.len())?
        }
        Err(count) => {
            let rank = shape.len() + count.filter(|count| *count <= MAX_RANK)?;
            op.set_shape(0, op.fresh_shape(rank));
            return None;
        }
    };
    let mut rest = shape.into_iter();
    let rank = rest.len() + axes.len();
    let out: Vec<Dim> = (0..rank)
        .map(|axis| {
            if axes.contains(&axis) {
                Some(Dim::ONE)
            } else {
                rest.next()
            }
        })
        .collect::<Option<_>>()?;
    op.set_shape(0, out.clone());
    keep_elements(op, &out)
}

/// Broadcasts the input to a shape, which itself is broadcast.
fn expand(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?.to_vec();
    let wanted = op.items(1)?;
    let rank = wanted.len().max(shape.len());
    if rank > MAX_RANK {
        return None;
    }
    let known: Option<Vec<Dim>> = wanted.iter().map(Scalar::int).collect();
    let out: Vec<Dim> = match known {
        // -1 keeps the size, as PyTorch's exporter writes it.
        Some(sizes) => {
            let sizes: Vec<Dim> = sizes
                .into_iter()
                .map(|size| {
                    if size.as_const() == Some(-1) {
                        Dim::ONE
                    } else {
                        size
                    }
                })
                .collect();
            broadcast(op, &shape, &sizes)
        }
        None => (0..rank)
            .map(|at| {
                let size = (at + shape.len()).checked_sub(rank).map(|at| &shape[at]);
                let target = (at + wanted.len())
                    .checked_sub(rank)
                    .map_or(Some(Dim::ONE), |at| wanted[at].int());
                match (size, target) {
                    (None, Some(target)) => target,
                    (Some(size), Some(target)) => {
                        broadcast_dim(size, &target).unwrap_or_else(|| op.fresh())
                    }
                    // A size other than one can only stay.
                    (Some(size), None) if bounds::lower(size) > Some(1) => size.clone(),
                    _ => op.fresh(),
                }
            })
            .collect(),
    };
    op.set_shape(0, out.clone());
    let content = op.content(0)?;
    let whole = Content::fill(small_sizes(&out)?, |index| {
        Some(content.broadcast_at(index))
    });
    op.set_content(0, whole);
    Some(())
}

/// One value everywhere.
fn constant_of_shape(op: &mut Op<'_, '_>) -> Option<()> {
    let (dtype, value) = match op.attr_tensor("value") {
        Some(tensor) => {
            let fact = crate::infer::given::constant(tensor);
            let value = fact.content().and_then(|c| c.items.first().cloned());
            (tensor.elem_type.dtype(), value.unwrap_or_default())
        }
        None => (Some(DType::Float32), Scalar::Int(Dim::ZERO)),
    };
    op.set_dtype(0, dtype);
    let shape: Vec<Dim> = op
        .items(0)?
        .into_iter()
        .map(|size| size.int().unwrap_or_else(|| op.fresh()))
        .collect();
    if shape.len() > MAX_RANK {
        return None;
    }
    op.set_shape(0, shape.clone());
    let sizes = small_sizes(&shape)?;
    let items = vec![value; sizes.iter().product()];
    op.set(
        0,
        Fact::Tensor(TensorFact {
            dtype,
            shape: Some(shape),
            content: Some(Arc::new(Content {
                shape: sizes,
                items,
            })),
        }),
    );
    Some(())
}
