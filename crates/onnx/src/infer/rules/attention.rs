//! Attention and rotary embeddings, of ONNX and of onnxruntime's contrib operators.

use modelcost_core::dim::Dim;

use super::{MICROSOFT, PREVIEW, Row};
use crate::infer::bounds;
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    ("", "Attention", attention),
    ("", "RotaryEmbedding", |op| op.same(0, 0)),
    ("", "LinearAttention", linear_attention),
    (PREVIEW, "FlexAttention", flex_attention),
    (MICROSOFT, "Attention", contrib_attention),
    (MICROSOFT, "QAttention", q_attention),
    (MICROSOFT, "MultiHeadAttention", multi_head_attention),
    (
        MICROSOFT,
        "DecoderMaskedMultiHeadAttention",
        multi_head_attention,
    ),
    (MICROSOFT, "GroupQueryAttention", group_query_attention),
    (MICROSOFT, "SparseAttention", group_query_attention),
    (MICROSOFT, "PackedAttention", packed_attention),
    (
        MICROSOFT,
        "PackedMultiHeadAttention",
        packed_multi_head_attention,
    ),
    (MICROSOFT, "PagedAttention", |op| op.same(0, 0)),
    (MICROSOFT, "LongformerAttention", |op| op.same(0, 0)),
    (MICROSOFT, "RotaryEmbedding", |op| op.same(0, 0)),
    (MICROSOFT, "GemmaRotaryEmbedding", gemma_rotary),
    (MICROSOFT, "RelativePositionBias", relative_position_bias),
    (
        MICROSOFT,
        "GatedRelativePositionBias",
        gated_relative_position_bias,
    ),
];

/// Batch, heads, length and head size of a tensor that may have the heads in its last dimension.
fn heads(shape: &[Dim], heads: Option<i64>) -> Option<[Dim; 4]> {
    match shape {
        [batch, heads, length, size] => {
            Some([batch.clone(), heads.clone(), length.clone(), size.clone()])
        }
        [batch, length, hidden] => {
            let heads = Dim::from(heads.filter(|heads| *heads > 0)?);
            Some([
                batch.clone(),
                heads.clone(),
                length.clone(),
                hidden.floor_div(&heads),
            ])
        }
        _ => None,
    }
}

/// Scaled dot-product attention with an optional cache.
fn attention(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    op.set_dtype(1, op.dtype(4).or(op.dtype(1)));
    op.set_dtype(2, op.dtype(5).or(op.dtype(2)));
    op.set_dtype(3, op.dtype(0));
    let (q_heads, kv_heads) = (op.attr_int("q_num_heads"), op.attr_int("kv_num_heads"));
    let query = op.shape(0)?;
    let [batch, q_heads, length, _] = heads(query, q_heads)?;
    let value = op.shape(2).and_then(|shape| heads(shape, kv_heads));
    let v_size = match &value {
        Some([.., size]) => size.clone(),
        None => op.fresh(),
    };
    op.set_shape(
        0,
        if query.len() == 3 {
            vec![batch.clone(), length.clone(), &q_heads * &v_size]
        } else {
            vec![batch.clone(), q_heads.clone(), length.clone(), v_size]
        },
    );
    let key = op.shape(1).and_then(|shape| heads(shape, kv_heads));
    let grown = |now: Option<[Dim; 4]>, past: usize| {
        let [batch, heads, length, size] = now?;
        let past = match op.has(past) {
            true => op.shape(past)?.get(2)?.clone(),
            false => Dim::ZERO,
        };
        Some(vec![batch, heads, past + length, size])
    };
    let (key, value) = (grown(key, 4), grown(value, 5));
    let total = key.as_ref().map(|key| key[2].clone());
    if let Some(key) = key {
        op.set_shape(1, key);
    }
    if let Some(value) = value {
        op.set_shape(2, value);
    }
    let total = total.unwrap_or_else(|| op.fresh());
    op.set_shape(3, vec![batch, q_heads, length, total]);
    Some(())
}

/// Attention by a recurrent state, heads packed in the last dimension.
fn linear_attention(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    op.set_dtype(1, op.dtype(3).or(op.dtype(0)));
    let (q_heads, kv_heads) = (op.attr_int("q_num_heads")?, op.attr_int("kv_num_heads")?);
    let [batch, length, _] = op.shape(0)? else {
        return None;
    };
    let key = op.shape(1).and_then(|shape| heads(shape, Some(kv_heads)));
    let value = op.shape(2).and_then(|shape| heads(shape, Some(kv_heads)));
    let size = |heads: Option<[Dim; 4]>| heads.map_or_else(|| op.fresh(), |[.., size]| size);
    let (k_size, v_size) = (size(key), size(value));
    op.set_shape(
        0,
        vec![batch.clone(), length.clone(), Dim::from(q_heads) * &v_size],
    );
    op.set_shape(1, vec![batch.clone(), Dim::from(kv_heads), k_size, v_size]);
    Some(())
}

/// Attention with subgraphs that change scores and probabilities.
fn flex_attention(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let mut shape = op.shape(0)?.to_vec();
    let size = op.shape(2).and_then(|shape| shape.last().cloned());
    *shape.last_mut()? = size.unwrap_or_else(|| op.fresh());
    op.set_shape(0, shape);
    Some(())
}

/// Attention with the projections of query, key and value packed in one weight.
fn contrib_attention(op: &mut Op<'_, '_>) -> Option<()> {
    packed_projection(op, 4)
}

fn q_attention(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.dtype(3);
    let done = packed_projection(op, 8);
    op.set_dtype(0, dtype);
    op.set_dtype(1, dtype);
    done
}

fn packed_projection(op: &mut Op<'_, '_>, past: usize) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    op.set_dtype(1, op.dtype(0));
    let [batch, length, _] = op.shape(0)? else {
        return None;
    };
    let (batch, length) = (batch.clone(), length.clone());
    let hidden = match op.attr_ints("qkv_hidden_sizes") {
        Some([_, _, value]) => Dim::from(*value),
        _ => match op.shape(1).and_then(|shape| shape.get(1)) {
            Some(packed) => packed.floor_div(&Dim::Const(3)),
            None => op.fresh(),
        },
    };
    op.set_shape(0, vec![batch.clone(), length.clone(), hidden.clone()]);
    let heads = Dim::from(op.attr_int("num_heads").filter(|heads| *heads > 0)?);
    let before = match op.has(past) {
        true => op.shape(past).and_then(|shape| shape.get(3).cloned()),
        false => Some(Dim::ZERO),
    };
    let total = before.map_or_else(|| op.fresh(), |before| before + &length);
    let size = hidden.floor_div(&heads);
    op.set_shape(1, vec![Dim::Const(2), batch, heads, total, size]);
    Some(())
}

/// Attention on projected queries, keys and values, which may be packed together.
fn multi_head_attention(op: &mut Op<'_, '_>) -> Option<()> {
    for index in 0..3 {
        op.set_dtype(index, op.dtype(0));
    }
    let num_heads = op.attr_int("num_heads").filter(|heads| *heads > 0)?;
    let query = op.shape(0)?;
    if let [batch, length, heads, _, size] = query {
        op.set_shape(0, vec![batch.clone(), length.clone(), heads * size]);
        return Some(());
    }
    let [batch, length, hidden] = query else {
        return None;
    };
    let (batch, length) = (batch.clone(), length.clone());
    let n = Dim::from(num_heads);
    let key = match op.shape(1) {
        // Keys and values packed: batch, length, heads, 2, size.
        Some([batch, length, heads, _, size]) => {
            Some([batch.clone(), heads.clone(), length.clone(), size.clone()])
        }
        Some(shape) => heads(shape, Some(num_heads)),
        None => None,
    };
    let value = match op.shape(2) {
        Some(shape) => heads(shape, Some(num_heads)),
        None if !op.has(2) => key.clone(),
        None => None,
    };
    let width = match &value {
        Some([.., size]) => &n * size,
        None if !op.has(1) => hidden.clone(),
        None => op.fresh(),
    };
    op.set_shape(0, vec![batch, length, width]);
    let past = if op.node.op_type == "MultiHeadAttention" {
        6
    } else {
        5
    };
    for (output, now, past) in [(1, key, past), (2, value, past + 1)] {
        let Some([batch, heads, length, size]) = now else {
            continue;
        };
        let before = match op.has(past) {
            true => op.shape(past).and_then(|shape| shape.get(2).cloned()),
            false => Some(Dim::ZERO),
        };
        let shared = op.attr_int_or("past_present_share_buffer", 0) != 0;
        let total = match before {
            Some(before) if shared => before,
            Some(before) => before + length,
            None => op.fresh(),
        };
        op.set_shape(output, vec![batch, heads, total, size]);
    }
    Some(())
}

/// Attention whose keys and values have fewer heads, with a cache.
fn group_query_attention(op: &mut Op<'_, '_>) -> Option<()> {
    for index in 0..3 {
        op.set_dtype(index, op.dtype(0));
    }
    let n = Dim::from(op.attr_int("num_heads").filter(|heads| *heads > 0)?);
    let kv = Dim::from(op.attr_int("kv_num_heads").filter(|heads| *heads > 0)?);
    let [batch, length, hidden] = op.shape(0)? else {
        return None;
    };
    let (batch, length) = (batch.clone(), length.clone());
    // Without a key, the query holds all three.
    let size = if op.has(1) {
        hidden.floor_div(&n)
    } else {
        hidden.floor_div(&(&n + &kv * 2))
    };
    op.set_shape(0, vec![batch.clone(), length.clone(), &n * &size]);
    let past = op.shape(3).and_then(|shape| shape.get(2).cloned());
    let total = op.int(6).or_else(|| match (&past, op.has(3)) {
        // The first call: what is there is what is new.
        (_, false) => Some(length.clone()),
        (Some(past), true) if past.as_const() == Some(0) => Some(length.clone()),
        _ => None,
    });
    let present = match (total, past) {
        // A cache with room is kept as long as it is.
        (Some(total), Some(past)) => bounds::max(&total, &past),
        (Some(total), None) if !op.has(3) => total,
        _ => op.fresh(),
    };
    for output in 1..3 {
        op.set_shape(
            output,
            vec![batch.clone(), kv.clone(), present.clone(), size.clone()],
        );
    }
    Some(())
}

/// Tokens of all sequences one after the other.
fn packed_attention(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let [tokens, _] = op.shape(0)? else {
        return None;
    };
    let hidden = match op.attr_ints("qkv_hidden_sizes") {
        Some([_, _, value]) => Dim::from(*value),
        _ => op.shape(1)?.get(1)?.floor_div(&Dim::Const(3)),
    };
    op.set_shape(0, vec![tokens.clone(), hidden]);
    Some(())
}

fn packed_multi_head_attention(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let out = match (op.shape(0)?, op.shape(2)) {
        ([tokens, heads, _, size], _) => vec![tokens.clone(), heads * size],
        ([tokens, _], Some([_, hidden])) => vec![tokens.clone(), hidden.clone()],
        _ => return None,
    };
    op.set_shape(0, out);
    Some(())
}

/// Queries and keys rotated by one table of angles.
fn gemma_rotary(op: &mut Op<'_, '_>) -> Option<()> {
    for (output, input) in [(0, 1), (1, 3)] {
        op.set_dtype(output, op.dtype(input));
        if let Some(shape) = op.shape(input) {
            op.set_shape(output, shape.to_vec());
        }
    }
    Some(())
}

/// A bias for each head and pair of positions.
fn relative_position_bias(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let heads = op.shape(0)?.get(1)?.clone();
    let length = |index: usize| op.int(index).unwrap_or_else(|| op.fresh());
    let shape = vec![Dim::ONE, heads, length(1), length(2)];
    op.set_shape(0, shape);
    Some(())
}

fn gated_relative_position_bias(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let heads = Dim::from(op.attr_int("num_heads")?);
    let [batch, length, _] = op.shape(0)? else {
        return None;
    };
    op.set_shape(
        0,
        vec![batch.clone(), heads, length.clone(), length.clone()],
    );
    Some(())
}
