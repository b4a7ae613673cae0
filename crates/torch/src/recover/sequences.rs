//! Recurrent layers and attention.

use modelcost_core::dim::Dim;
use modelcost_core::trace::Target;
use modelcost_core::value::Value;

use super::{Layer, Out, given, is};

/// How many gates a recurrent layer computes at once.
fn gates(class: &str) -> i128 {
    if class.contains("LSTM") {
        4
    } else if class.contains("GRU") {
        3
    } else {
        1
    }
}

pub(super) fn recurrent(layer: &Layer<'_>, out: &mut Out) {
    let class = &layer.trace.module(layer.module).class;
    let family = ["LSTM", "GRU", "RNN"]
        .into_iter()
        .find(|name| is(class, name));
    let family = family.unwrap_or("RNN");
    let call = ["lstm", "gru", "rnn_"]
        .iter()
        .find_map(|op| layer.operator(op));
    let relu = layer.operator("rnn_relu").is_some();
    out.set(
        "mode",
        match family {
            "RNN" if relu => "RNN_RELU",
            "RNN" => "RNN_TANH",
            other => other,
        },
    );
    let first = layer.parameter("weight_ih_l0").map(Vec::as_slice);
    let second = layer.parameter("weight_hh_l0").map(Vec::as_slice);
    if let (Some([rows, inputs]), Some([_, state])) = (first, second) {
        let hidden = rows.floor_div(&Dim::Const(gates(family)));
        out.set("input_size", inputs.clone());
        // With a projection the state is smaller than the cell.
        out.set(
            "proj_size",
            if *state == hidden {
                Dim::ZERO
            } else {
                state.clone()
            },
        );
        out.set("hidden_size", hidden);
    }
    let parameters = &layer.trace.module(layer.module).parameters;
    let own = |prefix: &str, reverse: bool| {
        let names = parameters.iter().map(|(name, _)| name.as_str());
        names
            .filter(|n| n.starts_with(prefix) && n.ends_with("_reverse") == reverse)
            .count()
    };
    let layers = i64::try_from(own("weight_ih_l", false)).unwrap_or_default();
    out.set(
        "num_layers",
        given(call, "num_layers").unwrap_or(Value::from(layers)),
    );
    out.set("bias", own("bias_ih_l", false) > 0);
    out.set("bidirectional", own("weight_ih_l", true) > 0);
    out.known("batch_first", given(call, "batch_first"));
    out.known("dropout", given(call, "dropout"));
}

pub(super) fn recurrent_cell(layer: &Layer<'_>, out: &mut Out) {
    let class = &layer.trace.module(layer.module).class;
    if let Some([rows, inputs]) = layer.parameter("weight_ih").map(Vec::as_slice) {
        let family = ["LSTMCell", "GRUCell"]
            .into_iter()
            .find(|name| is(class, name));
        out.set("input_size", inputs.clone());
        out.set(
            "hidden_size",
            rows.floor_div(&Dim::Const(gates(family.unwrap_or("")))),
        );
    }
    out.set("bias", layer.parameter("bias_ih").is_some());
}

pub(super) fn attention(layer: &Layer<'_>, out: &mut Out) {
    let module = layer.trace.module(layer.module);
    let project = module.children.iter().find(|(name, _)| name == "out_proj");
    let project = project.and_then(|(_, id)| {
        let (_, weight) = layer
            .trace
            .module(*id)
            .parameters
            .iter()
            .find(|(n, _)| n == "weight")?;
        layer.trace.parameter((*weight)?).shape.first()
    });
    let embed = project.or_else(|| layer.parameter("in_proj_weight").and_then(|w| w.get(1)));
    let Some(embed) = embed.cloned() else {
        return;
    };
    let own = |name: &str| {
        layer
            .parameter(name)
            .and_then(|shape| shape.get(1))
            .cloned()
    };
    let kdim = own("k_proj_weight").unwrap_or_else(|| embed.clone());
    let vdim = own("v_proj_weight").unwrap_or_else(|| embed.clone());
    let same = layer.parameter("in_proj_weight").is_some();
    // Attention itself sees the heads apart: … × heads × length × head_dim.
    let query = layer.operator("scaled_dot_product_attention");
    let query = query.and_then(|call| call.argument("query"));
    let product = layer.first(&["aten.bmm", "aten.baddbmm"]);
    let product = product.and_then(|call| call.argument("batch1").or(call.argument("self")));
    let head = layer
        .shape(query.or(product))
        .and_then(|shape| shape.last())
        .cloned();
    if let Some(head) = head {
        out.set("num_heads", embed.floor_div(&head));
        out.set("head_dim", head);
    }
    out.set("embed_dim", embed);
    out.set("kdim", kdim);
    out.set("vdim", vdim);
    out.set("_qkv_same_embed_dim", same);
    // Only batch_first transposes before it projects.
    let names = layer
        .operators
        .iter()
        .filter_map(|id| match &layer.trace.call(*id).target {
            Target::Operator(name) => Some(name.as_str()),
            _ => None,
        });
    let before = names
        .take_while(|name| *name != "aten.linear")
        .collect::<Vec<_>>();
    if !layer.operators.is_empty() {
        out.set("batch_first", before.contains(&"aten.transpose"));
    }
    out.set("bias", layer.parameter("in_proj_bias").is_some());
    // Nothing else in `multi_head_attention_forward` makes zeros but of the shape of a mask.
    out.set("add_zero_attn", layer.first(&["aten.zeros"]).is_some());
}
