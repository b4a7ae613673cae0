//! Operators that take or replace elements by index.

use modelcost_core::dim::Dim;

use super::util::small_sizes;
use super::{ML, Row};
use crate::infer::bounds;
use crate::infer::fact::{Content, Scalar};
use crate::infer::op::{MAX_RANK, Op};

pub(super) const RULES: &[Row] = &[
    ("", "Gather", gather),
    ("", "GatherElements", gather_elements),
    ("", "GatherND", gather_nd),
    ("", "Scatter", scatter_elements),
    ("", "ScatterElements", scatter_elements),
    ("", "ScatterND", scatter_nd),
    ("", "Slice", slice),
    (ML, "ArrayFeatureExtractor", array_feature_extractor),
];

/// Slices of the data at each index.
fn gather(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let (data, at) = (op.shape(0)?, op.shape(1)?);
    let axis = op.axis(op.attr_int_or("axis", 0), data.len())?;
    let mut out = data[..axis].to_vec();
    out.extend_from_slice(at);
    out.extend_from_slice(&data[axis + 1..]);
    op.set_shape(0, out.clone());
    let content = op.content(0)?;
    let size = *content.shape.get(axis)?;
    let wanted: Vec<Option<usize>> = op
        .content(1)?
        .items
        .iter()
        .map(|item| op.axis(item.int()?.as_i64()?, size))
        .collect();
    let rank = at.len();
    let index_shape: Vec<usize> = at.iter().map(Dim::as_usize).collect::<Option<_>>()?;
    let taken = content.pick(small_sizes(&out)?, |index| {
        let at = index[axis..axis + rank]
            .iter()
            .zip(&index_shape)
            .fold(0, |at, (i, size)| at * size + i);
        let mut source = index[..axis].to_vec();
        source.push((*wanted.get(at)?)?);
        source.extend_from_slice(&index[axis + rank..]);
        Some(content.offset(&source))
    });
    op.set_content(0, taken);
    Some(())
}

/// One element of the data for each index.
fn gather_elements(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let out = op.shape(1)?.to_vec();
    op.set_shape(0, out.clone());
    let (content, at) = (op.content(0)?, op.content(1)?);
    let axis = op.axis(op.attr_int_or("axis", 0), content.shape.len())?;
    let size = content.shape[axis];
    let taken = content.pick(small_sizes(&out)?, |index| {
        let wanted = at.items.get(at.offset(index))?.int()?.as_i64()?;
        let mut source = index.to_vec();
        *source.get_mut(axis)? = op.axis(wanted, size)?;
        Some(content.offset(&source))
    });
    op.set_content(0, taken);
    Some(())
}

/// Slices of the data at index tuples.
fn gather_nd(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let (data, at) = (op.shape(0)?, op.shape(1)?);
    let batch = usize::try_from(op.attr_int_or("batch_dims", 0)).ok()?;
    let (tuple, leading) = at.split_last()?;
    let start = batch.checked_add(tuple.as_usize()?)?;
    let mut out = leading.to_vec();
    out.extend_from_slice(data.get(start..)?);
    op.set_shape(0, out);
    Some(())
}

/// The data with some elements replaced.
fn scatter_elements(op: &mut Op<'_, '_>) -> Option<()> {
    op.same(0, 0)?;
    let (data, at, updates) = (op.content(0)?, op.content(1)?, op.content(2)?);
    if data.shape.len() != 1 || op.attr_str("reduction").unwrap_or("none") != "none" {
        return None;
    }
    let mut items = data.items.clone();
    for (wanted, update) in at.items.iter().zip(&updates.items) {
        let wanted = op.axis(wanted.int()?.as_i64()?, items.len())?;
        items[wanted] = update.clone();
    }
    op.set_content(0, Content::vector(items));
    Some(())
}

/// The data with the slices at index tuples replaced.
fn scatter_nd(op: &mut Op<'_, '_>) -> Option<()> {
    op.same(0, 0)?;
    let (data, at, updates) = (op.content(0)?, op.content(1)?, op.content(2)?);
    if at.shape.last() != Some(&1)
        || data.shape.len() != 1
        || op.attr_str("reduction").unwrap_or("none") != "none"
    {
        return None;
    }
    let mut items = data.items.clone();
    for (wanted, update) in at.items.iter().zip(&updates.items) {
        let wanted = op.axis(wanted.int()?.as_i64()?, items.len())?;
        items[wanted] = update.clone();
    }
    op.set_content(0, Content::vector(items));
    Some(())
}

/// Bounds beyond this are "to the end": exporters write the largest integers.
const FAR: i64 = i32::MAX as i64;

/// One bound of a slice along an axis, clamped to `0..=size`, or `-1..=size-1` when going down.
fn bound(value: &Dim, size: &Dim, down: bool) -> Option<Dim> {
    let (low, high) = if down {
        (Dim::Const(-1), size - Dim::ONE)
    } else {
        (Dim::ZERO, size.clone())
    };
    if let Some(value) = value.as_const() {
        if value >= i128::from(FAR) {
            return Some(high);
        }
        if value <= -i128::from(FAR) {
            return Some(low);
        }
    }
    let at = if bounds::lower(value).is_some_and(|least| least >= 0) {
        value.clone()
    } else if bounds::upper(value).is_some_and(|most| most < 0) {
        value + size
    } else {
        return None;
    };
    Some(bounds::max(&low, &bounds::min(&at, &high)))
}

/// How many elements a slice takes.
fn length(size: &Dim, start: &Dim, end: &Dim, step: i64) -> Option<Dim> {
    let (start, end) = (bound(start, size, step < 0)?, bound(end, size, step < 0)?);
    let span = if step > 0 { end - &start } else { start - &end };
    let count = span.ceil_div(&Dim::from(step.checked_abs()?));
    Some(bounds::max(&count, &Dim::ZERO))
}

/// Part of each dimension, by start, end and step.
fn slice(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?.to_vec();
    let rank = shape.len();
    let attribute = |name: &str| -> Option<Vec<Scalar>> {
        let values = op.attr_ints(name)?;
        Some(values.iter().map(|v| Scalar::Int(Dim::from(*v))).collect())
    };
    let old = op.version < 10;
    let starts = if old {
        attribute("starts")
    } else {
        op.items(1)
    };
    let ends = if old { attribute("ends") } else { op.items(2) };
    let axes: Option<Vec<i64>> = match (old, op.has(3)) {
        (true, _) => op.attr_ints("axes").map(<[i64]>::to_vec),
        (false, true) => match op.const_ints(3) {
            Some(axes) => Some(axes),
            None => {
                op.set_shape(0, op.fresh_shape(rank));
                return None;
            }
        },
        (false, false) => None,
    };
    let (Some(starts), Some(ends)) = (starts, ends) else {
        // Without the axes, any dimension may be cut; with them, only those.
        let axes = axes.map(|axes| axes.iter().map(|a| op.axis(*a, rank)).collect::<Vec<_>>());
        let out = shape.iter().enumerate().map(|(at, size)| match &axes {
            Some(axes) if !axes.contains(&Some(at)) => size.clone(),
            _ => op.fresh(),
        });
        let out = out.collect();
        op.set_shape(0, out);
        return None;
    };
    let axes: Vec<i64> = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps: Vec<Scalar> = match !old && op.has(4) {
        true => op.items(4)?,
        false => vec![Scalar::Int(Dim::ONE); axes.len()],
    };
    if axes.len() > MAX_RANK || starts.len() != axes.len() || ends.len() != axes.len() {
        return None;
    }
    let mut out = shape.clone();
    let mut walks: Vec<Option<(usize, i64)>> = vec![Some((0, 1)); rank];
    for (at, axis) in axes.iter().enumerate() {
        let axis = op.axis(*axis, rank)?;
        let step = steps.get(at)?.int().and_then(|step| step.as_i64());
        let cut = match (starts[at].int(), ends[at].int(), step) {
            (Some(start), Some(end), Some(step)) if step != 0 => {
                let first = bound(&start, &shape[axis], step < 0).and_then(|d| d.as_usize());
                walks[axis] = first.map(|first| (first, step));
                length(&shape[axis], &start, &end, step)
            }
            _ => None,
        };
        if cut.is_none() {
            walks[axis] = None;
        }
        out[axis] = cut.unwrap_or_else(|| op.fresh());
    }
    op.set_shape(0, out.clone());
    let content = op.content(0)?;
    let walks: Vec<(usize, i64)> = walks.into_iter().collect::<Option<_>>()?;
    let cut = content.pick(small_sizes(&out)?, |index| {
        let source: Vec<usize> = index
            .iter()
            .zip(&walks)
            .map(|(i, (first, step))| usize::try_from(*first as i64 + *i as i64 * step).ok())
            .collect::<Option<_>>()?;
        Some(content.offset(&source))
    });
    op.set_content(0, cut);
    Some(())
}

/// Columns of the input.
fn array_feature_extractor(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let (shape, at) = (op.shape(0)?, op.shape(1)?);
    let (_, leading) = shape.split_last()?;
    let mut out = if shape.len() == 1 {
        vec![Dim::ONE]
    } else {
        leading.to_vec()
    };
    out.push(Dim::product(at));
    op.set_shape(0, out);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_symbolic_dimensions() {
        let n = Dim::symbol("n");
        let cut = |start: i64, end: i64, step| {
            length(&n, &Dim::from(start), &Dim::from(end), step).map(|d| d.to_string())
        };
        assert_eq!(cut(0, i64::MAX, 1).unwrap(), "n");
        assert_eq!(cut(1, i64::MAX, 1).unwrap(), "n - 1");
        assert_eq!(cut(0, -1, 1).unwrap(), "n - 1");
        assert_eq!(cut(-1, i64::MAX, 1).unwrap(), "1");
        assert_eq!(cut(-1, -i64::MAX, -1).unwrap(), "n");
        assert_eq!(cut(0, i64::MAX, 2).unwrap(), "((n + 1)//2)");
        let ten = Dim::Const(10);
        let cut = |start: i64, end: i64, step| {
            length(&ten, &Dim::from(start), &Dim::from(end), step).and_then(|d| d.as_i64())
        };
        assert_eq!(cut(20, 30, 1), Some(0));
        assert_eq!(cut(8, 2, -3), Some(2));
        assert_eq!(cut(5, 3, 1), Some(0));
    }
}
