//! Operators that work element by element, broadcasting where they take two.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::{Entry, Op, broadcast, compatible, row};
use crate::error::Result;
use crate::show;

pub(super) static OPERATORS: [Entry; 120] = [
    // Activations.
    row("relu(self)", same),
    row("relu6(self)", same),
    row("hardtanh(self, min_val=-1, max_val=1)", same),
    row("elu(self, alpha=1, scale=1, input_scale=1)", same),
    row("selu(self)", same),
    row("celu(self, alpha=1.0)", same),
    row("gelu(self, approximate='none')", same),
    row("silu(self)", same),
    row("mish(self)", same),
    row("sigmoid(self)", floating),
    row("tanh(self)", floating),
    row("hardsigmoid(self)", same),
    row("hardswish(self)", same),
    row("leaky_relu(self, negative_slope=0.01)", same),
    row("log_sigmoid(self)", same),
    row("softplus(self, beta=1, threshold=20)", same),
    row("softshrink(self, lambd=0.5)", same),
    row("hardshrink(self, lambd=0.5)", same),
    row("threshold(self, threshold, value)", same),
    row(
        "rrelu(self, lower=0.125, upper=0.3333333333333333, training=False, generator=None)",
        same,
    ),
    row("prelu(self, weight)", prelu),
    row("glu(self, dim=-1)", glu),
    // Dropout.
    row("dropout(input, p, train)", dropout),
    row("feature_dropout(input, p, train)", dropout),
    row("alpha_dropout(input, p, train)", dropout),
    row("feature_alpha_dropout(input, p, train)", dropout),
    row("bernoulli(self, p=None)", same),
    // One argument.
    row("abs(self)", |op| {
        let (shape, dtype) = (op.shape("self")?, op.dtype("self")?);
        op.tensor(shape, super::spectral::real(dtype))
    }),
    row("neg(self)", same),
    row("exp(self)", floating),
    row("exp2(self)", floating),
    row("expm1(self)", floating),
    row("log(self)", floating),
    row("log2(self)", floating),
    row("log10(self)", floating),
    row("log1p(self)", floating),
    row("sqrt(self)", floating),
    row("rsqrt(self)", floating),
    row("reciprocal(self)", floating),
    row("sin(self)", floating),
    row("cos(self)", floating),
    row("tan(self)", floating),
    row("asin(self)", floating),
    row("acos(self)", floating),
    row("atan(self)", floating),
    row("sinh(self)", floating),
    row("cosh(self)", floating),
    row("erf(self)", floating),
    row("erfc(self)", floating),
    row("square(self)", same),
    row("sign(self)", same),
    row("floor(self)", same),
    row("ceil(self)", same),
    row("round(self)", same),
    row("trunc(self)", same),
    row("frac(self)", same),
    row("clamp(self, min=None, max=None)", same),
    row("clamp_min(self, min)", same),
    row("clamp_max(self, max)", same),
    row("clip(self, min=None, max=None)", same),
    row("nan_to_num(self, nan=None, posinf=None, neginf=None)", same),
    row("logical_not(self)", logical),
    row("bitwise_not(self)", same),
    row("isnan(self)", logical),
    row("isinf(self)", logical),
    row("isfinite(self)", logical),
    row("logit(self, eps=None)", floating),
    row("special_expit(self)", floating),
    // Two arguments.
    row("add(self, other, *, alpha=1)", binary),
    row("sub(self, other, *, alpha=1)", binary),
    row("subtract(self, other, *, alpha=1)", binary),
    row("multiply(self, other)", binary),
    row("divide(self, other, *, rounding_mode=None)", division),
    row("rsub(self, other, *, alpha=1)", binary),
    row("mul(self, other)", binary),
    row("div(self, other, *, rounding_mode=None)", division),
    row("true_divide(self, other)", division),
    row("floor_divide(self, other)", binary),
    row("remainder(self, other)", binary),
    row("fmod(self, other)", binary),
    row("pow(self, exponent)", |op| {
        pair(op, "self", "exponent", Kind::Arithmetic)
    }),
    row("maximum(self, other)", binary),
    row("minimum(self, other)", binary),
    row("atan2(self, other)", division),
    row("hypot(self, other)", division),
    row("bitwise_and(self, other)", binary),
    row("bitwise_or(self, other)", binary),
    row("bitwise_xor(self, other)", binary),
    row("__and__(self, other)", binary),
    row("__or__(self, other)", binary),
    row("__xor__(self, other)", binary),
    row("logical_and(self, other)", comparison),
    row("logical_or(self, other)", comparison),
    row("logical_xor(self, other)", comparison),
    row("eq(self, other)", comparison),
    row("ne(self, other)", comparison),
    row("lt(self, other)", comparison),
    row("le(self, other)", comparison),
    row("gt(self, other)", comparison),
    row("ge(self, other)", comparison),
    // Three.
    row("where(condition, self, other)", where_),
    row("masked_fill(self, mask, value)", |op| {
        pair(op, "self", "mask", Kind::Keep)
    }),
    row("lerp(self, end, weight)", |op| {
        pair(op, "self", "end", Kind::Arithmetic)
    }),
    row("addcmul(self, tensor1, tensor2, *, value=1)", three),
    row("addcdiv(self, tensor1, tensor2, *, value=1)", three),
    row("cumsum(self, dim, *, dtype=None)", along),
    row("cumprod(self, dim, *, dtype=None)", along),
    row("flip(self, dims)", flip),
    row("roll(self, shifts, dims=())", same),
    row("tril(self, diagonal=0)", same),
    row("triu(self, diagonal=0)", same),
    row("fill(self, value)", same),
    row("copy(self, src, non_blocking=False)", same),
    row("clone(self, *, memory_format=None)", same),
    row("contiguous(self, *, memory_format=None)", same),
    row("detach(self)", same),
    row("alias(self)", same),
    row("to(self, dtype)", to),
    row("type_as(self, other)", |op| {
        let dtype = op.dtype("other")?;
        let shape = op.shape("self")?;
        op.tensor(shape, dtype)
    }),
    row("channel_shuffle(self, groups)", channel_shuffle),
];

fn same(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    op.like("self", shape)
}

fn dropout(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("input")?;
    let p = op.args.float("p")?;
    if !(0.0..=1.0).contains(&p) {
        return Err(op.error(format!("needs a probability between 0 and 1, not {p}")));
    }
    op.like("input", shape)
}

/// The type of a result that cannot be an integer.
fn as_floating(dtype: DType) -> DType {
    if dtype.is_floating_point() {
        dtype
    } else {
        DType::Float32
    }
}

fn floating(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    let dtype = as_floating(op.dtype("self")?);
    op.tensor(shape, dtype)
}

fn logical(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    op.tensor(shape, DType::Bool)
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Arithmetic,
    Division,
    Comparison,
    /// The type of the first argument, whatever the second's.
    Keep,
}

fn binary(op: &mut Op<'_>) -> Result<Value> {
    pair(op, "self", "other", Kind::Arithmetic)
}

fn division(op: &mut Op<'_>) -> Result<Value> {
    let kind = match op.args.value("rounding_mode") {
        Value::Str(_) => Kind::Arithmetic,
        _ => Kind::Division,
    };
    pair(op, "self", "other", kind)
}

fn comparison(op: &mut Op<'_>) -> Result<Value> {
    pair(op, "self", "other", Kind::Comparison)
}

/// An operand: a tensor, or a number that broadcasts to anything.
fn operand(op: &Op<'_>, name: &str) -> Result<(Shape, DType, bool)> {
    match op.args.value(name) {
        Value::Tensor(id) => {
            let shape = op.shape_of(*id);
            let weak = shape.is_empty();
            Ok((shape, op.tracer.dtype(*id), weak))
        }
        Value::Bool(_) => Ok((Vec::new(), DType::Bool, true)),
        Value::Int(_) => Ok((Vec::new(), DType::Int64, true)),
        Value::Float(_) => Ok((Vec::new(), DType::Float32, true)),
        other => Err(op.error(format!("cannot use {} as a number", show::plain(other)))),
    }
}

/// Broadcasts two shapes, or says which dimension does not fit.
pub(super) fn broadcast_or(op: &mut Op<'_>, a: &[Dim], b: &[Dim]) -> Result<Shape> {
    op.assume_equal(a, b);
    broadcast(a, b).map_err(|(x, y)| {
        op.error(format!(
            "cannot broadcast {} with {}: {x} against {y}",
            show::shape(a),
            show::shape(b)
        ))
    })
}

pub(super) fn pair(op: &mut Op<'_>, left: &str, right: &str, kind: Kind) -> Result<Value> {
    let (a, a_type, a_weak) = operand(op, left)?;
    let (b, b_type, b_weak) = operand(op, right)?;
    let shape = broadcast_or(op, &a, &b)?;
    let joined = promote((a_type, a_weak), (b_type, b_weak));
    let dtype = match kind {
        Kind::Arithmetic => joined,
        Kind::Division => as_floating(joined),
        Kind::Comparison => DType::Bool,
        Kind::Keep => a_type,
    };
    op.tensor(shape, dtype)
}

/// The type that an operation on two types has. A scalar changes it only by its category.
pub(super) fn promote(a: (DType, bool), b: (DType, bool)) -> DType {
    let category = |dtype: DType| match dtype {
        DType::Bool => 0,
        _ if dtype.is_complex() => 3,
        _ if dtype.is_floating_point() => 2,
        _ => 1,
    };
    let ((a, a_weak), (b, b_weak)) = (a, b);
    if a == b {
        return a;
    }
    let (in_a, in_b) = (category(a), category(b));
    match (a_weak, b_weak) {
        (false, true) if in_b <= in_a => return a,
        (true, false) if in_a <= in_b => return b,
        _ => {}
    }
    match in_a.cmp(&in_b) {
        std::cmp::Ordering::Less => b,
        std::cmp::Ordering::Greater => a,
        // Two different half types meet in float32.
        std::cmp::Ordering::Equal if in_a == 2 && a.bits() == b.bits() => DType::Float32,
        std::cmp::Ordering::Equal if a.bits() >= b.bits() => a,
        std::cmp::Ordering::Equal => b,
    }
}

fn where_(op: &mut Op<'_>) -> Result<Value> {
    let condition = op.shape("condition")?;
    let (a, a_type, a_weak) = operand(op, "self")?;
    let (b, b_type, b_weak) = operand(op, "other")?;
    let joined = broadcast_or(op, &a, &b)?;
    let shape = broadcast_or(op, &condition, &joined)?;
    op.tensor(shape, promote((a_type, a_weak), (b_type, b_weak)))
}

fn three(op: &mut Op<'_>) -> Result<Value> {
    let (a, b, c) = (
        op.shape("self")?,
        op.shape("tensor1")?,
        op.shape("tensor2")?,
    );
    let product = broadcast_or(op, &b, &c)?;
    let shape = broadcast_or(op, &a, &product)?;
    op.like("self", shape)
}

fn prelu(op: &mut Op<'_>) -> Result<Value> {
    let (input, weight) = (op.shape("self")?, op.shape("weight")?);
    let count = Dim::product(&weight);
    let channels = input.get(1).cloned().unwrap_or(Dim::ONE);
    if count != Dim::ONE && !compatible(&count, &channels) {
        return Err(op.expected(format!("{count} channels"), &input));
    }
    op.like("self", input)
}

fn glu(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let dim = op.dimension("dim", shape.len())?;
    let two = Dim::Const(2);
    match shape.get(dim).cloned() {
        Some(size) if size.modulo(&two).as_const().unwrap_or(0) == 0 => {
            shape[dim] = size.floor_div(&two);
            op.like("self", shape)
        }
        _ => Err(op.expected(format!("an even size of dimension {dim}"), &shape)),
    }
}

fn along(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    op.dimension("dim", shape.len())?;
    let mut dtype = op.dtype_or("self")?;
    if op.args.value("dtype").is_none() && !dtype.is_floating_point() {
        dtype = DType::Int64;
    }
    op.tensor(shape, dtype)
}

fn flip(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    op.dimensions("dims", shape.len())?;
    op.like("self", shape)
}

fn to(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    let dtype = op.dtype_or("self")?;
    op.tensor(shape, dtype)
}

fn channel_shuffle(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    let groups = op.args.positive("groups")?;
    match shape.get(1) {
        Some(channels) if channels.modulo(&groups).as_const().unwrap_or(0) == 0 => {
            op.like("self", shape)
        }
        _ => Err(op.expected(
            format!("a number of channels that {groups} groups divide"),
            &shape,
        )),
    }
}
