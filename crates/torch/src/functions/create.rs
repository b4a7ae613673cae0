//! Functions that make tensors of nothing.

use modelcost_core::dim::Dim;
use modelcost_core::trace::Origin;
use modelcost_core::value::Value;

use super::{Entry, TORCH};
use crate::bound::Bound;
use crate::error::Result;
use crate::signature::Arguments;
use crate::tracer::Tracer;

macro_rules! sized {
    ($name:literal, $doc:literal) => {
        Entry::line(
            TORCH,
            concat!(
                $name,
                "(*size, dtype=None, device=None, requires_grad=False)"
            ),
            concat!("aten.", $name, "(size, dtype=dtype)"),
            $doc,
        )
    };
}

macro_rules! like {
    ($name:literal, $doc:literal) => {
        Entry::line(
            TORCH,
            concat!($name, "(input, *, dtype=None, device=None)"),
            concat!("aten.", $name, "(input, dtype=dtype)"),
            $doc,
        )
    };
}

pub(super) static FUNCTIONS: [Entry; 19] = [
    sized!("zeros", "Zeros."),
    sized!("ones", "Ones."),
    sized!("empty", "A tensor whose numbers do not matter."),
    sized!("rand", "Random numbers between 0 and 1."),
    sized!("randn", "Random numbers of the normal distribution."),
    Entry::line(
        TORCH,
        "full(size, fill_value, *, dtype=None, device=None)",
        "aten.full(size, fill_value, dtype=dtype)",
        "One value everywhere.",
    ),
    like!("zeros_like", "Zeros in another tensor's shape."),
    like!("ones_like", "Ones in another tensor's shape."),
    like!("empty_like", "A tensor in another's shape."),
    like!("rand_like", "Random numbers in another tensor's shape."),
    like!("randn_like", "Random numbers in another tensor's shape."),
    Entry::line(
        TORCH,
        "full_like(input, fill_value, *, dtype=None, device=None)",
        "aten.full_like(input, fill_value, dtype=dtype)",
        "One value in another tensor's shape.",
    ),
    Entry::line(
        TORCH,
        "eye(n, m=None, *, dtype=None, device=None)",
        "aten.eye(n, m, dtype=dtype)",
        "Ones on the diagonal.",
    ),
    Entry::code(
        TORCH,
        "arange(start, end=None, step=1, *, dtype=None, device=None)",
        arange,
        "Numbers from a start up to an end: arange(n), arange(a, b).",
    ),
    Entry::line(
        TORCH,
        "linspace(start, end, steps, *, dtype=None, device=None)",
        "aten.linspace(start, end, steps, dtype=dtype)",
        "Numbers spread evenly from a start to an end.",
    ),
    Entry::line(
        TORCH,
        "meshgrid(*tensors, indexing='ij')",
        "aten.meshgrid(tensors, indexing)",
        "The coordinates of a grid.",
    ),
    Entry::code(
        TORCH,
        "tensor(data, *, dtype=None, device=None)",
        tensor,
        "A constant.",
    ),
    Entry::line(
        TORCH,
        "tril_indices(row, col, offset=0, *, dtype=None, device=None)",
        "aten.tril_indices(row, col, offset)",
        "Indices of the lower triangle.",
    ),
    Entry::line(
        TORCH,
        "triu_indices(row, col, offset=0, *, dtype=None, device=None)",
        "aten.triu_indices(row, col, offset)",
        "Indices of the upper triangle.",
    ),
];

fn arange(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let first = args.value("start").clone();
    let (start, end) = match args.value("end") {
        Value::None => (0.into(), first),
        end => (first, end.clone()),
    };
    let arguments = Arguments::of([start, end, args.value("step").clone()])
        .named("dtype", args.value("dtype").clone());
    t.call_operator("aten.arange", &arguments)
}

/// The shape of nested lists; a constant is no operator.
fn tensor(t: &mut Tracer, args: &Bound) -> Result<Value> {
    use modelcost_core::dtype::DType;
    let mut shape = Vec::new();
    let mut data = args.value("data");
    while let Some(items) = data.items() {
        shape.push(Dim::from(items.len()));
        match items.first() {
            Some(first) => data = first,
            None => break,
        }
    }
    let dtype = match (args.value("dtype"), data) {
        (Value::DType(dtype), _) => *dtype,
        (_, Value::Bool(_)) => DType::Bool,
        (_, Value::Int(_)) => DType::Int64,
        _ => DType::Float32,
    };
    let tensor = t.builder.tensor(Some(shape), Some(dtype), Origin::Constant);
    Ok(tensor.into())
}
