//! `F.multi_head_attention_forward`, step by step as PyTorch 2.15 runs it without its fused path.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::value::Value;

use super::{Entry, F};
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::show;
use crate::signature::Arguments;
use crate::tracer::Tracer;

pub(super) static FUNCTIONS: [Entry; 1] = [Entry::code(
    F,
    "multi_head_attention_forward(query, key, value, embed_dim_to_check, num_heads, \
     in_proj_weight, in_proj_bias, bias_k, bias_v, add_zero_attn, dropout_p, out_proj_weight, \
     out_proj_bias, training=True, key_padding_mask=None, need_weights=True, attn_mask=None, \
     use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None, v_proj_weight=None, \
     static_k=None, static_v=None, average_attn_weights=True, is_causal=False)",
    forward,
    "Projects, attends with several heads, and projects back.",
)];

/// Calls a method of a tensor.
fn method(
    t: &mut Tracer,
    tensor: &Value,
    name: &str,
    arguments: impl IntoIterator<Item = Value>,
) -> Result<Value> {
    let arguments = Arguments::of([tensor.clone()].into_iter().chain(arguments));
    t.call_function(&format!("torch.Tensor.{name}"), &arguments, None)
}

fn call<const N: usize>(t: &mut Tracer, name: &str, arguments: [Value; N]) -> Result<Value> {
    t.call_function(name, &Arguments::of(arguments), None)
}

fn view<const N: usize>(
    t: &mut Tracer,
    tensor: &Value,
    name: &str,
    shape: [Dim; N],
) -> Result<Value> {
    method(t, tensor, name, shape.map(Value::Int))
}

fn item(t: &mut Tracer, tuple: &Value, index: usize) -> Result<Value> {
    match tuple.items() {
        Some(items) => Ok(items.get(index).cloned().unwrap_or_default()),
        None => call(t, "operator.getitem", [tuple.clone(), index.into()]),
    }
}

fn shape(t: &Tracer, tensor: &Value) -> Vec<Dim> {
    tensor.tensor().map(|id| t.shape(id)).unwrap_or_default()
}

/// A mask of truth values becomes one that is added to the scores.
pub(crate) fn canonical_mask(t: &mut Tracer, mask: Value, dtype: DType) -> Result<Value> {
    let Some(id) = mask.tensor() else {
        return Ok(mask);
    };
    if t.dtype(id).is_floating_point() {
        return Ok(mask);
    }
    let zeros = Arguments::of([mask.clone()]).named("dtype", dtype);
    let zeros = t.call_function("torch.zeros_like", &zeros, None)?;
    method(
        t,
        &zeros,
        "masked_fill_",
        [mask, Value::Float(f64::NEG_INFINITY)],
    )
}

fn forward(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let given = |name: &str| args.value(name).clone();
    let (mut query, mut key, mut value) = (given("query"), given("key"), given("value"));
    let (dtype, rank) = {
        let id = args.tensor("query")?;
        (t.dtype(id), t.shape(id).len())
    };
    let mut padding_mask = given("key_padding_mask");
    for input in [&key, &value] {
        if !matches!(rank, 2 | 3) || shape(t, input).len() != rank {
            return Err(TorchError::new(format!(
                "attention expects query, key and value of 3 dimensions, or all of 2 without a \
                 batch: {}, {} and {}",
                show::shape(&shape(t, &query)),
                show::shape(&shape(t, &key)),
                show::shape(&shape(t, &value)),
            )));
        }
    }
    let batched = rank == 3;
    if !batched {
        query = method(t, &query, "unsqueeze", [1.into()])?;
        key = method(t, &key, "unsqueeze", [1.into()])?;
        value = method(t, &value, "unsqueeze", [1.into()])?;
        if !padding_mask.is_none() {
            padding_mask = method(t, &padding_mask, "unsqueeze", [0.into()])?;
        }
    }
    let sizes: [Dim; 3] = shape(t, &query)
        .try_into()
        .map_err(|_| TorchError::new("attention expects a query of 3 dimensions"))?;
    let [tgt_len, bsz, embed_dim] = sizes;
    let need_weights = args.bool("need_weights")?;
    let mut is_causal = args.bool("is_causal")?;
    padding_mask = canonical_mask(t, padding_mask, dtype)?;
    let mut mask = given("attn_mask");
    if is_causal && mask.is_none() {
        return Err(TorchError::new(
            "attention with is_causal=True also needs the attn_mask itself",
        ));
    }
    if is_causal && padding_mask.is_none() && !need_weights {
        mask = Value::None;
    } else {
        mask = canonical_mask(t, mask, dtype)?;
        is_causal &= padding_mask.is_none();
    }
    let expected = args.int("embed_dim_to_check")?;
    if !crate::operators::compatible(&embed_dim, &expected) {
        return Err(TorchError::new(format!(
            "attention expects {expected} features in the last dimension of the query, but it is {}",
            show::shape(&shape(t, &query))
        )));
    }
    let heads = args.positive("num_heads")?;
    let head_dim = embed_dim.floor_div(&heads);
    let all_heads = &bsz * &heads;

    let mut parts = Projection { query, key, value }.project(t, args)?;
    if !mask.is_none() && shape(t, &mask).len() == 2 {
        mask = method(t, &mask, "unsqueeze", [0.into()])?;
    }
    let widen = |t: &mut Tracer, mask: Value| match mask {
        Value::None => Ok(Value::None),
        mask => call(t, "F.pad", [mask, Value::Tuple(vec![0.into(), 1.into()])]),
    };
    if !args.value("bias_k").is_none() {
        for (part, bias) in [(1, "bias_k"), (2, "bias_v")] {
            let repeated = method(
                t,
                &given(bias),
                "repeat",
                [1.into(), Value::Int(bsz.clone()), 1.into()],
            )?;
            let both = Value::List(vec![parts[part].clone(), repeated]);
            parts[part] = call(t, "torch.cat", [both])?;
        }
        mask = widen(t, mask)?;
        padding_mask = widen(t, padding_mask)?;
    }
    for part in &mut parts {
        let length = shape(t, part).first().cloned().unwrap_or(Dim::ONE);
        let heads_apart = view(
            t,
            part,
            "view",
            [length, all_heads.clone(), head_dim.clone()],
        )?;
        *part = method(t, &heads_apart, "transpose", [0.into(), 1.into()])?;
    }
    let [q, mut k, mut v] = parts;
    if args.bool("add_zero_attn")? {
        for part in [&mut k, &mut v] {
            let size = [all_heads.clone(), Dim::ONE, head_dim.clone()].map(Value::Int);
            let size = Value::Tuple(size.to_vec());
            let zeros = t.call_function(
                "torch.zeros",
                &Arguments::of([size]).named("dtype", dtype),
                None,
            )?;
            let both = Arguments::of([Value::List(vec![part.clone(), zeros])]).named("dim", 1);
            *part = t.call_function("torch.cat", &both, None)?;
        }
        mask = widen(t, mask)?;
        padding_mask = widen(t, padding_mask)?;
    }
    let src_len = shape(t, &k).get(1).cloned().unwrap_or(Dim::ONE);
    if !padding_mask.is_none() {
        let open = view(
            t,
            &padding_mask,
            "view",
            [bsz.clone(), Dim::ONE, Dim::ONE, src_len.clone()],
        )?;
        let keep = Dim::Const(-1);
        let wide = view(
            t,
            &open,
            "expand",
            [keep.clone(), heads.clone(), keep.clone(), keep],
        )?;
        let flat = view(
            t,
            &wide,
            "reshape",
            [all_heads.clone(), Dim::ONE, src_len.clone()],
        )?;
        mask = match mask {
            Value::None => flat,
            mask => call(t, "operator.add", [mask, flat])?,
        };
    }
    let shapes = Sizes {
        tgt_len,
        bsz,
        embed_dim,
        heads,
        head_dim,
        src_len,
        batched,
    };
    match need_weights {
        true => with_weights(t, args, &shapes, [q, k, v], mask),
        false => fused(t, args, &shapes, [q, k, v], mask, is_causal),
    }
}

struct Sizes {
    tgt_len: Dim,
    bsz: Dim,
    embed_dim: Dim,
    heads: Dim,
    head_dim: Dim,
    src_len: Dim,
    batched: bool,
}

/// The projections of query, key and value by one weight or by three.
struct Projection {
    query: Value,
    key: Value,
    value: Value,
}

impl Projection {
    fn project(self, t: &mut Tracer, args: &Bound) -> Result<[Value; 3]> {
        let Projection { query, key, value } = self;
        let bias = args.value("in_proj_bias").clone();
        if args.bool("use_separate_proj_weight")? {
            let biases = split(t, &bias, "chunk", 3.into(), 3)?;
            let weights = ["q_proj_weight", "k_proj_weight", "v_proj_weight"];
            let weights = weights.map(|name| args.value(name).clone());
            return linear3(t, [query, key, value], weights, biases);
        }
        let weight = args.value("in_proj_weight").clone();
        if shape(t, &key) != shape(t, &value) {
            return Err(TorchError::new(format!(
                "attention expects key and value of one shape, not {} and {}",
                show::shape(&shape(t, &key)),
                show::shape(&shape(t, &value)),
            )));
        }
        let width = shape(t, &query).last().cloned().unwrap_or(Dim::ONE);
        if key != value {
            let weights = split(t, &weight, "chunk", 3.into(), 3)?;
            let biases = split(t, &bias, "chunk", 3.into(), 3)?;
            return linear3(t, [query, key, value], triple(weights), biases);
        }
        if query == key {
            let all = call(t, "F.linear", [query, weight, bias])?;
            let all = unpack(t, all, 3, width)?;
            return Ok([item(t, &all, 0)?, item(t, &all, 1)?, item(t, &all, 2)?]);
        }
        let sizes = Value::List(vec![Value::Int(width.clone()), Value::Int(&width * 2)]);
        let weights = split(t, &weight, "split", sizes.clone(), 2)?;
        let biases = split(t, &bias, "split", sizes, 2)?;
        let q = call(
            t,
            "F.linear",
            [query, weights[0].clone(), biases[0].clone()],
        )?;
        let kv = call(t, "F.linear", [key, weights[1].clone(), biases[1].clone()])?;
        let kv = unpack(t, kv, 2, width)?;
        Ok([q, item(t, &kv, 0)?, item(t, &kv, 1)?])
    }
}

/// Takes a weight or bias apart; the parts of `None` are `None`.
fn split(t: &mut Tracer, tensor: &Value, how: &str, by: Value, count: usize) -> Result<Vec<Value>> {
    if tensor.is_none() {
        return Ok(vec![Value::None; count]);
    }
    let parts = method(t, tensor, how, [by])?;
    match parts.items() {
        Some(items) if items.len() == count => Ok(items.to_vec()),
        _ => Err(TorchError::new(
            "attention expects a projection of three times its width",
        )),
    }
}

fn triple(values: Vec<Value>) -> [Value; 3] {
    values.try_into().unwrap_or_default()
}

fn linear3(
    t: &mut Tracer,
    inputs: [Value; 3],
    weights: [Value; 3],
    biases: Vec<Value>,
) -> Result<[Value; 3]> {
    let mut out = Vec::with_capacity(3);
    for ((input, weight), bias) in inputs.into_iter().zip(weights).zip(biases) {
        out.push(call(t, "F.linear", [input, weight, bias])?);
    }
    Ok(triple(out))
}

/// Moves the parts of a joint projection to the front.
fn unpack(t: &mut Tracer, joint: Value, parts: i64, width: Dim) -> Result<Value> {
    let sizes = Value::Tuple(vec![parts.into(), Value::Int(width)]);
    let apart = method(t, &joint, "unflatten", [(-1).into(), sizes])?;
    let apart = method(t, &apart, "unsqueeze", [0.into()])?;
    let apart = method(t, &apart, "transpose", [0.into(), (-2).into()])?;
    let apart = method(t, &apart, "squeeze", [(-2).into()])?;
    method(t, &apart, "contiguous", [])
}

fn project_back(t: &mut Tracer, args: &Bound, sizes: &Sizes, attended: Value) -> Result<Value> {
    let weight = args.value("out_proj_weight").clone();
    let output = call(
        t,
        "F.linear",
        [attended, weight, args.value("out_proj_bias").clone()],
    )?;
    let width = shape(t, &output).last().cloned().unwrap_or(Dim::ONE);
    view(
        t,
        &output,
        "view",
        [sizes.tgt_len.clone(), sizes.bsz.clone(), width],
    )
}

/// Scores, softmax and sum as separate products, so that the weights can be returned.
fn with_weights(
    t: &mut Tracer,
    args: &Bound,
    sizes: &Sizes,
    [q, k, v]: [Value; 3],
    mask: Value,
) -> Result<Value> {
    let scale = (1.0 / sizes.head_dim.approx()).sqrt();
    let scaled = call(t, "operator.mul", [q, Value::Float(scale)])?;
    let keys = method(t, &k, "transpose", [(-2).into(), (-1).into()])?;
    let scores = match mask {
        Value::None => call(t, "torch.bmm", [scaled, keys])?,
        mask => call(t, "torch.baddbmm", [mask, scaled, keys])?,
    };
    let softmax = Arguments::of([scores]).named("dim", -1);
    let weights = t.call_function("F.softmax", &softmax, None)?;
    let attended = call(t, "torch.bmm", [weights.clone(), v])?;
    let attended = method(t, &attended, "transpose", [0.into(), 1.into()])?;
    let rows = &sizes.tgt_len * &sizes.bsz;
    let attended = view(t, &attended, "reshape", [rows, sizes.embed_dim.clone()])?;
    let output = project_back(t, args, sizes, attended)?;
    let by_head = [&sizes.bsz, &sizes.heads, &sizes.tgt_len, &sizes.src_len].map(Dim::clone);
    let mut weights = view(t, &weights, "view", by_head)?;
    if args.bool("average_attn_weights")? {
        let mean = Arguments::of([weights]).named("dim", 1);
        weights = t.call_function("torch.Tensor.mean", &mean, None)?;
    }
    if sizes.batched {
        return Ok(Value::Tuple(vec![output, weights]));
    }
    let output = method(t, &output, "squeeze", [1.into()])?;
    let weights = method(t, &weights, "squeeze", [0.into()])?;
    Ok(Value::Tuple(vec![output, weights]))
}

/// One call of scaled_dot_product_attention; the weights are never seen.
fn fused(
    t: &mut Tracer,
    args: &Bound,
    sizes: &Sizes,
    [q, k, v]: [Value; 3],
    mut mask: Value,
    is_causal: bool,
) -> Result<Value> {
    if !mask.is_none() {
        let known = shape(t, &mask);
        mask = match known.len() == 3 && known[0] == Dim::ONE {
            true => method(t, &mask, "unsqueeze", [0.into()])?,
            false => {
                let open = [
                    sizes.bsz.clone(),
                    sizes.heads.clone(),
                    Dim::Const(-1),
                    sizes.src_len.clone(),
                ];
                view(t, &mask, "view", open)?
            }
        };
    }
    let by_head = |t: &mut Tracer, tensor: &Value, length: &Dim| {
        let shape = [&sizes.bsz, &sizes.heads, length, &sizes.head_dim].map(Dim::clone);
        view(t, tensor, "view", shape)
    };
    let q = by_head(t, &q, &sizes.tgt_len)?;
    let k = by_head(t, &k, &sizes.src_len)?;
    let v = by_head(t, &v, &sizes.src_len)?;
    let attended = call(
        t,
        "F.scaled_dot_product_attention",
        [q, k, v, mask, Value::Float(0.0), is_causal.into()],
    )?;
    let attended = method(t, &attended, "permute", [2, 0, 1, 3].map(Value::from))?;
    let rows = &sizes.bsz * &sizes.tgt_len;
    let attended = view(t, &attended, "reshape", [rows, sizes.embed_dim.clone()])?;
    let mut output = project_back(t, args, sizes, attended)?;
    if !sizes.batched {
        output = method(t, &output, "squeeze", [1.into()])?;
    }
    Ok(Value::Tuple(vec![output, Value::None]))
}
