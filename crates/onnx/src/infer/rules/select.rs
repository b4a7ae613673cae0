//! Operators whose output size depends on values.

use std::collections::BTreeSet;

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::Row;
use crate::infer::arithmetic as arith;
use crate::infer::fact::{Content, Scalar, indices};
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    ("", "NonZero", non_zero),
    ("", "Compress", compress),
    ("", "Unique", unique),
    ("", "TopK", top_k),
    ("", "OneHot", one_hot),
    ("", "NonMaxSuppression", non_max_suppression),
];

/// The indices of the elements that are not zero, one column each.
fn non_zero(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Int64);
    op.set_shape(0, op.fresh_shape(2));
    let rank = op.rank(0)?;
    op.set_shape(0, vec![Dim::from(rank), op.fresh()]);
    let content = op.content(0)?;
    let mut found: Vec<Vec<usize>> = Vec::new();
    for (index, item) in indices(&content.shape).zip(&content.items) {
        if item.truth()? {
            found.push(index);
        }
    }
    let items = (0..rank)
        .flat_map(|axis| {
            found
                .iter()
                .map(move |index| Scalar::Int(Dim::from(index[axis])))
        })
        .collect();
    op.set_content(
        0,
        Content {
            shape: vec![rank, found.len()],
            items,
        },
    );
    // Without elements there is no content to keep, but the shape is known.
    op.set_shape(0, vec![Dim::from(rank), Dim::from(found.len())]);
    Some(())
}

/// The slices along an axis whose condition holds; of the flattened input without an axis.
fn compress(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let axis = op.attr_int("axis");
    if axis.is_none() {
        op.set_shape(0, vec![op.fresh()]);
    }
    let held = || -> Option<Dim> {
        let items = &op.content(1)?.items;
        let mut count = 0;
        for item in items {
            count += usize::from(item.truth()?);
        }
        Some(Dim::from(count))
    };
    let count = held().unwrap_or_else(|| op.fresh());
    match axis {
        None => op.set_shape(0, vec![count]),
        Some(axis) => {
            let mut shape = op.shape(0)?.to_vec();
            let axis = op.axis(axis, shape.len())?;
            shape[axis] = count;
            op.set_shape(0, shape);
        }
    }
    Some(())
}

/// The distinct elements or slices, and where they stand.
fn unique(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    for index in 1..4 {
        op.set_dtype(index, DType::Int64);
    }
    let axis = op.attr_int("axis");
    let count = distinct(op, axis).map_or_else(|| op.fresh(), Dim::from);
    let vector = vec![count.clone()];
    if axis.is_none() {
        op.set_shape(0, vector.clone());
    }
    op.set_shape(1, vector.clone());
    op.set_shape(3, vector);
    op.set_shape(2, vec![op.fresh()]);
    let shape = op.shape(0)?;
    match axis {
        None => op.set_shape(2, vec![Dim::product(shape)]),
        Some(axis) => {
            let mut out = shape.to_vec();
            let axis = op.axis(axis, out.len())?;
            op.set_shape(2, vec![out[axis].clone()]);
            out[axis] = count;
            op.set_shape(0, out);
        }
    }
    Some(())
}

/// How many distinct slices along an axis, or elements, there are.
fn distinct(op: &Op<'_, '_>, axis: Option<i64>) -> Option<usize> {
    let content = op.content(0)?;
    let keys: Vec<String> = content
        .items
        .iter()
        .map(|item| match item {
            Scalar::Str(text) => Some(text.to_string()),
            item => Some(format!("{:?}", item.float()?)),
        })
        .collect::<Option<_>>()?;
    let Some(axis) = axis else {
        return Some(keys.iter().collect::<BTreeSet<_>>().len());
    };
    let axis = op.axis(axis, content.shape.len())?;
    let mut slices = vec![Vec::new(); content.shape[axis]];
    for (index, key) in indices(&content.shape).zip(&keys) {
        slices[index[axis]].push(key);
    }
    Some(slices.into_iter().collect::<BTreeSet<_>>().len())
}

/// The largest elements along an axis, and where they stand.
fn top_k(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    op.set_dtype(1, DType::Int64);
    let mut shape = op.shape(0)?.to_vec();
    let axis = op.axis(op.attr_int_or("axis", -1), shape.len())?;
    let k = op.attr_int("k").map(Dim::from).or_else(|| op.int(1));
    shape[axis] = k.unwrap_or_else(|| op.fresh());
    op.set_shape(0, shape.clone());
    op.set_shape(1, shape);
    Some(())
}

/// One more dimension, with one position switched on.
fn one_hot(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(2));
    let mut shape = op.shape(0)?.to_vec();
    let axis = op.axis(op.attr_int_or("axis", -1), shape.len() + 1)?;
    let depth = op.int(1).unwrap_or_else(|| op.fresh());
    shape.insert(axis, depth);
    op.set_shape(0, shape);
    Some(())
}

/// Boxes that survive, as rows of batch, class and box. How many depends on the boxes.
fn non_max_suppression(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Int64);
    let most = match op.has(2) {
        true => op.content(2).and_then(|c| c.items.first()?.int()),
        false => Some(Dim::ZERO),
    };
    let none = most.is_some_and(|most| {
        arith::equal(&Scalar::Int(most), &Scalar::Int(Dim::ZERO)) == Some(true)
    });
    let rows = if none { Dim::ZERO } else { op.fresh() };
    op.set_shape(0, vec![rows, Dim::Const(3)]);
    Some(())
}
