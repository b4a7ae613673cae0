//! Products over chosen dimensions, and of vectors.

use modelcost_core::value::Value;

use super::{ALL, BOTH, Entry, TORCH};
use crate::bound::Bound;
use crate::error::Result;
use crate::signature::Arguments;
use crate::tracer::Tracer;

pub(super) static FUNCTIONS: [Entry; 7] = [
    Entry::code(
        TORCH,
        "tensordot(a, b, dims=2)",
        tensordot,
        "Products summed over the last dimensions of one tensor and the first of another, or over those that are named.",
    ),
    Entry::line(
        BOTH,
        "inner(input, other)",
        "aten.inner(input, other)",
        "Products summed over the last dimensions.",
    ),
    Entry::line(
        BOTH,
        "vdot(input, other)",
        "aten.vdot(input, other)",
        "Product of two vectors.",
    ),
    Entry::line(
        BOTH,
        "ger(input, vec2)",
        "aten.ger(input, vec2)",
        "All products of two vectors' elements.",
    ),
    Entry::line(
        ALL,
        "addr(input, vec1, vec2, *, beta=1, alpha=1)",
        "aten.addr(input, vec1, vec2, beta=beta, alpha=alpha)",
        "β·x + α·(all products of two vectors' elements).",
    ),
    Entry::line(
        ALL,
        "addbmm(input, batch1, batch2, *, beta=1, alpha=1)",
        "aten.addbmm(input, batch1, batch2, beta=beta, alpha=alpha)",
        "β·x + α·(the sum of A B over batches).",
    ),
    Entry::line(
        TORCH,
        "_weight_norm(v, g, dim=0)",
        "aten._weight_norm(v, g, dim)",
        "A weight from its direction and its length.",
    ),
];

/// `dims` is how many dimensions, or which of each tensor.
fn tensordot(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let dims = args.value("dims").clone();
    let (over_a, over_b) = match dims.items() {
        Some([over_a, over_b]) => {
            let list = |value: &Value| match value {
                Value::Int(_) => Value::List(vec![value.clone()]),
                value => value.clone(),
            };
            (list(over_a), list(over_b))
        }
        Some(_) => return Err(args.error("dims", "expects two lists of dimensions")),
        None => {
            let count = args.index("dims")?;
            let (rank, other) = (
                t.shape(args.tensor("a")?).len(),
                t.shape(args.tensor("b")?).len(),
            );
            if count < 0 || count > rank.min(other) as i64 {
                let message = format!("{count} dimensions of tensors that have {rank} and {other}");
                return Err(args.error("dims", message));
            }
            let list = |range: std::ops::Range<i64>| Value::List(range.map(Value::from).collect());
            (list(-count..0), list(0..count))
        }
    };
    let arguments = Arguments::of([
        args.value("a").clone(),
        args.value("b").clone(),
        over_a,
        over_b,
    ]);
    t.call_operator("aten.tensordot", &arguments)
}
