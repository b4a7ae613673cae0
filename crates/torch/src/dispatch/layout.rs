//! Where a tensor's elements are, and whether gradients flow to it: both decide which operators
//! PyTorch takes.

mod kept;

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Call, CallId, Origin, Shape, Target, TensorId, Trace};
use modelcost_core::value::Value;
use modelcost_core::views::shares_storage;

use kept::{CHANNELS_LAST, IN_ORDER, in_memory, ordered};
pub use kept::{channels_last, is_channels_last};

use super::einsum;

/// The strides of a tensor whose elements follow one another.
pub fn dense_strides(shape: &[Dim]) -> Shape {
    let mut strides = vec![Dim::ONE; shape.len()];
    for at in (1..shape.len()).rev() {
        strides[at - 1] = &strides[at] * &at_least_one(&shape[at]);
    }
    strides
}

fn at_least_one(dim: &Dim) -> Dim {
    if *dim == Dim::ZERO {
        Dim::ONE
    } else {
        dim.clone()
    }
}

/// `tensor.is_contiguous()` from shape and strides: dimensions of one element do not matter.
pub fn is_dense(shape: &[Dim], strides: &[Dim]) -> bool {
    if shape.len() != strides.len() || shape.contains(&Dim::ZERO) {
        return shape.len() == strides.len();
    }
    let mut expected = Dim::ONE;
    for (size, stride) in shape.iter().zip(strides).rev() {
        if *size == Dim::ONE {
            continue;
        }
        if *stride != expected {
            return false;
        }
        expected *= size;
    }
    true
}

/// Whether a tensor is contiguous.
pub fn is_contiguous(trace: &Trace, tensor: TensorId) -> bool {
    match (&trace.tensor(tensor).shape, strides(trace, tensor)) {
        (Some(shape), Some(strides)) => is_dense(shape, &strides),
        _ => true,
    }
}

/// Whether the elements of the last dimension follow one another.
pub fn last_is_dense(trace: &Trace, tensor: TensorId) -> bool {
    match strides(trace, tensor) {
        Some(strides) => strides.last().is_none_or(|stride| *stride == Dim::ONE),
        None => true,
    }
}

/// Views of views; programs have four or five in a row.
const MAX_DEPTH: usize = 64;

/// The strides of a tensor: as the source tells, or put back from the views that made it.
pub fn strides(trace: &Trace, tensor: TensorId) -> Option<Shape> {
    strides_at(trace, tensor, 0)
}

fn strides_at(trace: &Trace, tensor: TensorId, depth: usize) -> Option<Shape> {
    let own = trace.tensor(tensor);
    let shape = own.shape.as_ref()?;
    if let Some(strides) = &own.strides {
        return Some(strides.clone());
    }
    let made = maker(trace, tensor).filter(|_| depth < MAX_DEPTH);
    let seen = made.and_then(|call| {
        recurrent(call, tensor, shape).or_else(|| view(trace, call, shape, depth))
    });
    Some(seen.unwrap_or_else(|| dense_strides(shape)))
}

/// The outermost operator that made a tensor, as far as it has ended.
fn maker(trace: &Trace, tensor: TensorId) -> Option<&Call> {
    let Origin::Call(mut id) = trace.tensor(tensor).origin else {
        return None;
    };
    loop {
        let call = trace.call(id);
        match (&call.target, call.parent) {
            (Target::Operator(_), Some(parent)) if is_operator(trace, parent) => id = parent,
            (Target::Operator(_), _) => return Some(call),
            _ => return None,
        }
    }
}

fn is_operator(trace: &Trace, id: CallId) -> bool {
    matches!(trace.call(id).target, Target::Operator(_))
}

/// The strides of what a recurrent layer returns for every step: time comes first inside, so that
/// with the batch first it is a transpose (`aten/src/ATen/native/RNN.cpp`).
fn recurrent(call: &Call, tensor: TensorId, shape: &[Dim]) -> Option<Shape> {
    let Target::Operator(name) = &call.target else {
        return None;
    };
    let layers = ["aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu"];
    let first = call.output.items()?.first()?.tensor()?;
    let batch_first = call.argument("batch_first") == Some(&Value::Bool(true));
    let [batch, _, width] = shape else {
        return None;
    };
    (layers.contains(&name.as_str()) && first == tensor && batch_first)
        .then(|| vec![width.clone(), batch * width, Dim::ONE])
}

/// The strides of what an operator returns that only looks at its input differently, or that keeps
/// its input's layout.
fn view(trace: &Trace, call: &Call, shape: &[Dim], depth: usize) -> Option<Shape> {
    let Target::Operator(name) = &call.target else {
        return None;
    };
    let name = name.strip_prefix("aten.")?;
    match name {
        "cat" | "concat" | "concatenate" => return joined(trace, call, shape, depth),
        "einsum" => return contracted(trace, call, shape),
        _ => {}
    }
    let input = call
        .argument("self")
        .or_else(|| call.argument("input"))?
        .tensor()?;
    let of = || strides_at(trace, input, depth + 1);
    let rank = trace.tensor(input).shape.as_ref()?.len();
    let index = |name: &str| wrap(call.argument(name)?.int()?.as_i64()?, rank);
    match name {
        "transpose" | "swapaxes" | "swapdims" => {
            let (a, b) = match name {
                "swapaxes" => (index("axis0")?, index("axis1")?),
                _ => (index("dim0")?, index("dim1")?),
            };
            let mut strides = of()?;
            strides.swap(a, b);
            Some(strides)
        }
        "t" | "mT" | "mH" | "adjoint" | "numpy_T" if rank >= 2 => {
            let mut strides = of()?;
            strides.swap(rank - 1, rank - 2);
            Some(strides)
        }
        "permute" => {
            let strides = of()?;
            let dims = call.argument("dims")?.items()?;
            let at = |value: &Value| {
                let at = wrap(value.int()?.as_i64()?, rank)?;
                strides.get(at).cloned()
            };
            dims.iter().map(at).collect()
        }
        "unsqueeze" => {
            let mut strides = of()?;
            let at = wrap(call.argument("dim")?.int()?.as_i64()?, rank + 1)?;
            strides.insert(at.min(strides.len()), Dim::ONE);
            Some(strides)
        }
        "select" => {
            let mut strides = of()?;
            let at = index("dim")?;
            (at < strides.len()).then(|| strides.remove(at));
            Some(strides)
        }
        "slice" | "narrow" | "chunk" | "split" | "split_with_sizes" | "tensor_split" | "alias"
        | "detach" => of().filter(|strides| strides.len() == shape.len()),
        "unbind" => {
            let mut strides = of()?;
            let at = call
                .argument("dim")
                .and_then(Value::int)
                .and_then(|dim| dim.as_i64());
            let at = wrap(at.unwrap_or(0), rank)?;
            (at < strides.len()).then(|| strides.remove(at));
            Some(strides)
        }
        "expand" | "expand_as" => {
            let strides = of()?;
            let before = trace.tensor(input).shape.as_ref()?;
            let new = shape.len().checked_sub(rank)?;
            let mut out = vec![Dim::ZERO; new];
            for ((size, was), stride) in shape[new..].iter().zip(before).zip(strides) {
                out.push(if size == was { stride } else { Dim::ZERO });
            }
            Some(out)
        }
        // Where a file leaves out copies, what is seen in another shape has been copied before.
        "view" | "reshape" | "flatten" | "unflatten" | "squeeze" | "view_as" | "reshape_as"
            if !trace.views_unknown =>
        {
            viewed(trace.tensor(input).shape.as_ref()?, &of()?, shape)
        }
        _ if CHANNELS_LAST.contains(&name) => {
            let before = trace.tensor(input).shape.as_ref()?;
            let kept = before.len() == shape.len() && is_channels_last(before, &of()?);
            kept.then(|| channels_last(shape))
        }
        "adaptive_avg_pool1d" | "adaptive_max_pool1d" | "avg_pool1d" => {
            pooled(trace.tensor(input).shape.as_ref()?, &of()?, shape)
        }
        // Without a gradient another kernel is taken, which writes densely (`aten/src/ATen/native/Pooling.cpp`).
        "max_pool1d" if requires_grad(trace, input) => {
            pooled(trace.tensor(input).shape.as_ref()?, &of()?, shape)
        }
        "clone" if !matches!(call.argument("memory_format"), None | Some(Value::None)) => None,
        "glu" => ordered(shape, &of()?),
        _ if IN_ORDER.contains(&name.trim_end_matches('_')) => {
            // The first operand that is not expanded decides (`aten/src/ATen/TensorIterator.cpp`).
            let mut operands = call.arguments.iter().filter_map(|a| a.value.tensor());
            let whole = operands.find(|id| trace.tensor(*id).shape.as_deref() == Some(shape))?;
            ordered(shape, &strides_at(trace, whole, depth + 1)?)
        }
        _ => None,
    }
}

/// The strides of what is joined: channels last where all the parts are (`aten/src/ATen/native/TensorShape.cpp`).
fn joined(trace: &Trace, call: &Call, shape: &[Dim], depth: usize) -> Option<Shape> {
    let parts = call.argument("tensors")?.tensors();
    let last = |part: &TensorId| {
        let before = trace.tensor(*part).shape.as_ref();
        let strides = strides_at(trace, *part, depth + 1);
        before
            .zip(strides)
            .is_some_and(|(shape, strides)| is_channels_last(shape, &strides))
    };
    (!parts.is_empty() && parts.iter().all(last)).then(|| channels_last(shape))
}

/// The strides of what an equation gives: those of its last product, seen in the order of its output.
fn contracted(trace: &Trace, call: &Call, shape: &[Dim]) -> Option<Shape> {
    let Value::Str(equation) = call.argument("equation")? else {
        return None;
    };
    let operands = call.argument("tensors")?.tensors();
    let shape_of = |id: &TensorId| trace.tensor(*id).shape.clone();
    let shapes = operands
        .iter()
        .map(shape_of)
        .collect::<Option<Vec<Shape>>>()?;
    let order = einsum::written(equation, &shapes)?;
    (order.len() == shape.len()).then(|| in_memory(shape, order))
}

/// The strides of what a pool of one dimension gives, which is one of two with a dimension of one element more.
fn pooled(before: &[Dim], strides: &[Dim], shape: &[Dim]) -> Option<Shape> {
    let ([n, c, l], [s, t, u], [_, _, new]) = (before, strides, shape) else {
        return None;
    };
    let image = [n.clone(), c.clone(), Dim::ONE, l.clone()];
    let strides = [s.clone(), t.clone(), u * l, u.clone()];
    is_channels_last(&image, &strides).then(|| vec![c * new, Dim::ONE, c.clone()])
}

/// Whether the layout of a tensor is that of a function of what an operator is given, as far as is known here.
pub fn follows(operator: &str) -> bool {
    matches!(operator, "contiguous" | "cat" | "avg_pool1d" | "max_pool1d")
        || matches!(operator, "adaptive_avg_pool1d" | "adaptive_max_pool1d")
        || operator != "as_strided" && shares_storage(operator)
        || CHANNELS_LAST.contains(&operator)
        || IN_ORDER.contains(&operator.trim_end_matches('_'))
}

/// The strides of a tensor seen in another shape, where that needs no copy: dimensions that follow
/// one another in memory are one to it (`at::detail::computeStride`, `aten/src/ATen/TensorUtils.cpp`).
pub fn viewed(shape: &[Dim], strides: &[Dim], new: &[Dim]) -> Option<Shape> {
    let sizes = |dims: &[Dim]| -> Option<Vec<i64>> { dims.iter().map(Dim::as_i64).collect() };
    let (shape, strides, new) = (sizes(shape)?, sizes(strides)?, sizes(new)?);
    if shape.len() != strides.len() || shape.contains(&0) || new.contains(&0) {
        return None;
    }
    let mut out = vec![Dim::ONE; new.len()];
    let mut at = new.len();
    let (mut base, mut run, mut seen) = (strides.last().copied().unwrap_or(1), 1i64, 1i64);
    for (index, size) in shape.iter().enumerate().rev() {
        run = run.checked_mul(*size)?;
        let ends = match index.checked_sub(1) {
            None => true,
            Some(before) => shape[before] != 1 && strides[before] != run.checked_mul(base)?,
        };
        if !ends {
            continue;
        }
        while at > 0 && (seen < run || new[at - 1] == 1) {
            at -= 1;
            out[at] = Dim::from(seen.checked_mul(base)?);
            seen = seen.checked_mul(new[at])?;
        }
        if seen != run {
            return None;
        }
        if let Some(before) = index.checked_sub(1) {
            (base, run, seen) = (strides[before], 1, 1);
        }
    }
    (at == 0).then_some(out)
}

fn wrap(index: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let index = if index < 0 { index + rank } else { index };
    usize::try_from(index).ok().filter(|at| (*at as i64) < rank)
}

/// How many calls are looked back through for a parameter that trains.
const MAX_LOOK_BACK: usize = 4096;

/// Whether a gradient flows to a tensor: whether a parameter that trains went into it.
pub fn requires_grad(trace: &Trace, tensor: TensorId) -> bool {
    let mut seen = std::collections::HashSet::new();
    let mut open = vec![tensor];
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        if seen.len() > MAX_LOOK_BACK {
            return true;
        }
        let tensor = trace.tensor(id);
        if tensor.dtype.is_some_and(|dtype| !dtype.is_floating_point()) {
            continue;
        }
        match tensor.origin {
            Origin::Parameter(parameter) if trace.parameter(parameter).requires_grad => {
                return true;
            }
            Origin::Call(_) => {
                if let Some(call) = maker(trace, id) {
                    open.extend(call.arguments.iter().flat_map(|a| a.value.tensors()));
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What torch 2.15 gives: `torch.empty_strided(shape, strides).view(new).stride()`.
    #[test]
    fn views_keep_strides_where_they_need_no_copy() {
        let dims = |sizes: &[i64]| -> Shape { sizes.iter().map(|size| Dim::from(*size)).collect() };
        let strides = |shape: &[i64], strides: &[i64], new: &[i64]| {
            viewed(&dims(shape), &dims(strides), &dims(new))
        };
        // Heads and their width, behind the positions in memory, are one dimension still.
        let merged = strides(&[1, 16, 4, 32], &[2048, 1, 512, 16], &[1, 16, 128]);
        assert_eq!(merged, Some(dims(&[16, 1, 16])));
        assert_eq!(strides(&[2, 3, 4], &[12, 1, 3], &[2, 12]), None);
        let split = strides(&[2, 12], &[1, 2], &[2, 3, 4]);
        assert_eq!(split, Some(dims(&[1, 8, 2])));
        assert_eq!(strides(&[2, 3], &[3, 1], &[6]), Some(dims(&[1])));
        let image = strides(&[1, 64, 256], &[16384, 1, 64], &[1, 64, 16, 16]);
        assert_eq!(image, Some(dims(&[64, 1, 1024, 64])));
    }
}
