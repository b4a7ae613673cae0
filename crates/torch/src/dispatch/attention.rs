//! Attention (`aten/src/ATen/native/transformers/attention.cpp`, `sdp_utils_cpp.cpp`).

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::layout::{last_is_dense, requires_grad};
use super::{Dispatch, Matrix};

/// `aten.scaled_dot_product_attention`: the fused kernel of the CPU where it applies, else two
/// products and a softmax.
pub(super) fn attention(d: &mut Dispatch<'_>) -> Option<()> {
    let (query, key, value) = (d.shape("query")?, d.shape("key")?, d.shape("value")?);
    if fused(d, &query, &key, &value)? {
        return flash(d, query, key, value);
    }
    math(d, query, key, value)
}

/// `use_flash_attention_cpp`, and that no gradient for the mask is wanted.
fn fused(d: &Dispatch<'_>, query: &Shape, key: &Shape, value: &Shape) -> Option<bool> {
    let rank = query.len();
    let dropout = matches!(d.value("dropout_p"), Value::Float(p) if *p > 0.0);
    if !(3..=4).contains(&rank) || key.len() != rank || value.len() != rank || dropout {
        return Some(false);
    }
    if let Some(mask) = d.tensor("attn_mask") {
        let dims = d.shape_of(mask)?.len();
        if dims != 2 && dims != 4 || requires_grad(d.trace(), mask) {
            return Some(false);
        }
    }
    let same_width = query.last() == key.last() && query.last() == value.last();
    // A batch of three dimensions has heads in the place of the batch.
    let same_batch = rank == 3 || query[0] == key[0] && query[0] == value[0];
    let some = |shape: &Shape| shape.iter().all(|dim| *dim != Dim::ZERO);
    let dense = ["query", "key", "value"].iter().all(|name| {
        d.tensor(name)
            .is_some_and(|id| last_is_dense(d.trace(), id))
    });
    Some(same_width && same_batch && dense && some(query) && some(key) && some(value))
}

fn flash(d: &mut Dispatch<'_>, query: Shape, key: Shape, value: Shape) -> Option<()> {
    let dtype = d.dtype("query");
    let mut output = d.shape_of(d.output.tensor()?)?;
    let mut arguments = Vec::new();
    for (name, mut shape) in [("query", query), ("key", key), ("value", value)] {
        let given = d.value(name).clone();
        arguments.push((
            name,
            match shape.len() {
                3 => {
                    shape.insert(0, Dim::ONE);
                    d.temporary(shape, dtype)
                }
                _ => given,
            },
        ));
    }
    if output.len() == 3 {
        output.insert(0, Dim::ONE);
    }
    let output = d.result(output, dtype);
    for name in ["dropout_p", "is_causal", "attn_mask", "scale"] {
        arguments.push((name, d.value(name).clone()));
    }
    d.call(
        "aten._scaled_dot_product_flash_attention_for_cpu",
        arguments,
        output,
    );
    Some(())
}

/// `_scaled_dot_product_attention_math`
fn math(d: &mut Dispatch<'_>, query: Shape, key: Shape, value: Shape) -> Option<()> {
    // Nothing is multiplied where there is nothing.
    if [&query, &key, &value]
        .iter()
        .any(|shape| shape.contains(&Dim::ZERO))
    {
        return Some(());
    }
    let dtype = d.dtype("query");
    let ([batch @ .., length, width], [.., keys, _]) = (query.as_slice(), key.as_slice()) else {
        return None;
    };
    let columns = value.last()?;
    let matrix = |rows: &Dim, columns: &Dim, batch: Option<&Dim>| {
        let mut shape: Shape = batch.into_iter().cloned().collect();
        shape.extend([rows.clone(), columns.clone()]);
        Matrix::new(shape, dtype)
    };
    if batch.is_empty() {
        d.mm(matrix(length, width, None), matrix(width, keys, None))?;
        return d.mm(matrix(length, keys, None), matrix(keys, columns, None));
    }
    // What has fewer heads or one batch is expanded.
    let other = key.len().checked_sub(2).map(|end| &key[..end])?;
    let larger = |(a, b): (&Dim, &Dim)| if *a == Dim::ONE { b.clone() } else { a.clone() };
    let batch: Vec<Dim> = batch.iter().zip(other).map(larger).collect();
    let batch = Dim::product(&batch);
    d.bmm(
        matrix(length, width, Some(&batch)),
        matrix(width, keys, Some(&batch)),
    )?;
    d.bmm(
        matrix(length, keys, Some(&batch)),
        matrix(keys, columns, Some(&batch)),
    )
}
