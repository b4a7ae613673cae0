//! Lists and optional values.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::Row;
use super::util::list;
use crate::infer::bounds;
use crate::infer::fact::{Content, Fact, MAX_ITEMS, Scalar, SequenceFact};
use crate::infer::op::Op;
use crate::model::AttributeValue;

pub(super) const RULES: &[Row] = &[
    ("", "SequenceEmpty", sequence_empty),
    ("", "SequenceConstruct", sequence_construct),
    ("", "SequenceAt", sequence_at),
    ("", "SequenceInsert", sequence_insert),
    ("", "SequenceErase", sequence_erase),
    ("", "SequenceLength", sequence_length),
    ("", "SplitToSequence", split_to_sequence),
    ("", "ConcatFromSequence", concat_from_sequence),
    ("", "Optional", optional),
    ("", "OptionalGetElement", optional_get_element),
    ("", "OptionalHasElement", optional_has_element),
];

fn sequence<'a>(op: &Op<'a, '_>, index: usize) -> Option<&'a SequenceFact> {
    match op.fact(index)? {
        Fact::Sequence(sequence) => Some(sequence),
        Fact::Optional { element, .. } => match element.as_ref() {
            Fact::Sequence(sequence) => Some(sequence),
            _ => None,
        },
        _ => None,
    }
}

/// No elements, of a given type.
fn sequence_empty(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.attr_dtype_or("dtype", Some(DType::Float32));
    op.set(
        0,
        Fact::Sequence(SequenceFact {
            element: Box::new(Fact::tensor(dtype, None)),
            items: Some(Vec::new()),
        }),
    );
    Some(())
}

/// The inputs as a list.
fn sequence_construct(op: &mut Op<'_, '_>) -> Option<()> {
    let items = op
        .inputs
        .iter()
        .map(|fact| fact.cloned().unwrap_or_default());
    let items = items.collect();
    op.set_sequence(0, items);
    Some(())
}

/// A position in a list of known length; negative ones count from the end.
fn position(op: &Op<'_, '_>, index: usize, length: usize) -> Option<usize> {
    op.axis(op.int(index)?.as_i64()?, length)
}

/// One element.
fn sequence_at(op: &mut Op<'_, '_>) -> Option<()> {
    let sequence = sequence(op, 0)?;
    let known = sequence
        .items
        .as_ref()
        .and_then(|items| items.get(position(op, 1, items.len())?));
    op.set(0, known.unwrap_or(&sequence.element).clone());
    Some(())
}

/// One element more, at the end by default.
fn sequence_insert(op: &mut Op<'_, '_>) -> Option<()> {
    let sequence = sequence(op, 0)?;
    let added = op.fact(1)?.clone();
    if let Some(items) = &sequence.items {
        let at = match op.has(2) {
            true => {
                // One past the end is a position too.
                let at = op.int(2)?.as_i64()?;
                let length = items.len() as i64;
                let at = if at < 0 { at.checked_add(length)? } else { at };
                usize::try_from(at).ok().filter(|at| *at <= items.len())
            }
            false => Some(items.len()),
        };
        let mut items = items.clone();
        items.insert(at?, added);
        op.set_sequence(0, items);
    } else {
        let element = sequence.element.join(&added, &mut || op.fresh());
        op.set(0, Fact::list_of(element));
    }
    Some(())
}

/// One element less, the last by default.
fn sequence_erase(op: &mut Op<'_, '_>) -> Option<()> {
    let sequence = sequence(op, 0)?;
    let items = sequence.items.as_ref().and_then(|items| {
        let at = match op.has(1) {
            true => position(op, 1, items.len())?,
            false => items.len().checked_sub(1)?,
        };
        let mut items = items.clone();
        items.remove(at);
        Some(items)
    });
    op.set(
        0,
        Fact::Sequence(SequenceFact {
            element: sequence.element.clone(),
            items,
        }),
    );
    Some(())
}

/// The number of elements.
fn sequence_length(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Int64);
    op.set_shape(0, Vec::new());
    let length = sequence(op, 0)?.items.as_ref()?.len();
    op.set_content(0, Content::scalar(Scalar::Int(Dim::from(length))));
    Some(())
}

/// A tensor cut into a list along an axis.
fn split_to_sequence(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.dtype(0);
    op.set(0, Fact::list_of(Fact::tensor(dtype, None)));
    let shape = op.shape(0)?.to_vec();
    let axis = op.axis(op.attr_int_or("axis", 0), shape.len())?;
    let size = shape[axis].clone();
    let keep = op.attr_int_or("keepdims", 1) != 0 || op.has(1);
    let piece = |size: Option<Dim>| {
        let mut shape = shape.clone();
        match size {
            Some(size) => shape[axis] = size,
            None => {
                shape.remove(axis);
            }
        }
        Fact::tensor(dtype, Some(shape))
    };
    let pieces: Option<Vec<Fact>> = match list(op, "", 1) {
        Ok(None) => size
            .as_usize()
            .filter(|count| *count <= MAX_ITEMS)
            .map(|count| {
                (0..count)
                    .map(|_| piece(keep.then_some(Dim::ONE)))
                    .collect()
            }),
        Ok(Some(sizes)) => {
            // A scalar is the size of every piece but the last.
            if op.rank(1) == Some(0) {
                let each = Dim::from(*sizes.first()?);
                let count = size.ceil_div(&each);
                count
                    .as_usize()
                    .filter(|count| *count <= MAX_ITEMS)
                    .map(|count| {
                        let mut left = size.clone();
                        (0..count)
                            .map(|_| {
                                let this = bounds::min(&each, &left);
                                left = &left - &this;
                                piece(Some(this))
                            })
                            .collect()
                    })
            } else {
                Some(
                    sizes
                        .into_iter()
                        .map(|size| piece(Some(Dim::from(size))))
                        .collect(),
                )
            }
        }
        Err(Some(count)) if op.rank(1) == Some(1) && count <= MAX_ITEMS => {
            Some((0..count).map(|_| piece(Some(op.fresh()))).collect())
        }
        Err(_) => None,
    };
    match pieces {
        Some(pieces) => op.set_sequence(0, pieces),
        None => {
            let element = piece(if keep { Some(op.fresh()) } else { None });
            op.set(0, Fact::list_of(element));
        }
    }
    Some(())
}

/// A list joined along an axis, or stacked along a new one.
fn concat_from_sequence(op: &mut Op<'_, '_>) -> Option<()> {
    let sequence = sequence(op, 0)?;
    op.set_dtype(0, sequence.element.dtype());
    let stack = op.attr_int_or("new_axis", 0) != 0;
    let shape = sequence.element.shape()?;
    let axis = op.axis(op.attr_int("axis")?, shape.len() + usize::from(stack))?;
    let mut out = shape.to_vec();
    if stack {
        let count = sequence.items.as_ref().map(|items| Dim::from(items.len()));
        out.insert(axis, count.unwrap_or_else(|| op.fresh()));
    } else {
        let total: Option<Dim> = sequence.items.as_ref().and_then(|items| {
            items
                .iter()
                .map(|item| item.shape()?.get(axis).cloned())
                .sum::<Option<Dim>>()
        });
        out[axis] = total.unwrap_or_else(|| op.fresh());
    }
    op.set_shape(0, out);
    Some(())
}

/// A value, or none of a given type.
fn optional(op: &mut Op<'_, '_>) -> Option<()> {
    let element = match op.fact(0) {
        Some(fact) => fact.clone(),
        None => match op.attr("type") {
            Some(AttributeValue::Type(ty)) => match ty.as_ref() {
                crate::model::Type::Tensor(elem, _) => Fact::tensor(elem.dtype(), None),
                _ => Fact::Unknown,
            },
            _ => Fact::Unknown,
        },
    };
    let present = Some(op.has(0));
    op.set(
        0,
        Fact::Optional {
            element: Box::new(element),
            present,
        },
    );
    Some(())
}

/// The value of an optional one.
fn optional_get_element(op: &mut Op<'_, '_>) -> Option<()> {
    let fact = match op.fact(0)? {
        Fact::Optional { element, .. } => (**element).clone(),
        other => other.clone(),
    };
    op.set(0, fact);
    Some(())
}

/// Whether there is a value.
fn optional_has_element(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Bool);
    op.set_shape(0, Vec::new());
    let present = match op.fact(0) {
        None => Some(false),
        Some(Fact::Optional { present, .. }) => *present,
        Some(Fact::Unknown) => None,
        Some(_) => Some(true),
    }?;
    op.set_content(0, Content::scalar(Scalar::bool(present)));
    Some(())
}
