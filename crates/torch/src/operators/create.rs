//! Operators that make tensors of nothing.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::value::Value;

use super::{Entry, Op, row};
use crate::bound::number;
use crate::error::Result;

pub(super) static OPERATORS: [Entry; 24] = [
    row("zeros(size, *, dtype=None)", sized),
    row("ones(size, *, dtype=None)", sized),
    row("empty(size, *, dtype=None)", sized),
    row("rand(size, *, dtype=None)", sized),
    row("randn(size, *, dtype=None)", sized),
    row("full(size, fill_value, *, dtype=None)", full),
    row("eye(n, m=None, *, dtype=None)", eye),
    row("arange(start, end, step=1, *, dtype=None)", arange),
    row("linspace(start, end, steps, *, dtype=None)", linspace),
    row("zeros_like(self, *, dtype=None)", like),
    row("ones_like(self, *, dtype=None)", like),
    row("empty_like(self, *, dtype=None)", like),
    row("rand_like(self, *, dtype=None)", like),
    row("randn_like(self, *, dtype=None)", like),
    row("full_like(self, fill_value, *, dtype=None)", like),
    row("new_zeros(self, size, *, dtype=None)", new),
    row("new_ones(self, size, *, dtype=None)", new),
    row("new_empty(self, size, *, dtype=None)", new),
    row("new_full(self, size, fill_value, *, dtype=None)", new),
    row("zero(self)", like),
    row("one_hot(self, num_classes=-1)", one_hot),
    row("meshgrid(tensors, indexing='ij')", meshgrid),
    row("tril_indices(row, col, offset=0, *, dtype=None)", |op| {
        triangle(op, false)
    }),
    row("triu_indices(row, col, offset=0, *, dtype=None)", |op| {
        triangle(op, true)
    }),
];

fn given_type(op: &Op<'_>) -> Option<DType> {
    match op.args.value("dtype") {
        Value::DType(dtype) => Some(*dtype),
        _ => None,
    }
}

fn sized(op: &mut Op<'_>) -> Result<Value> {
    let (shape, dtype) = (op.args.ints("size")?, given_type(op));
    op.tensor(shape, dtype.unwrap_or(DType::Float32))
}

fn full(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.args.ints("size")?;
    let dtype = given_type(op).unwrap_or(match op.args.value("fill_value") {
        Value::Bool(_) => DType::Bool,
        Value::Int(_) => DType::Int64,
        _ => DType::Float32,
    });
    op.tensor(shape, dtype)
}

fn eye(op: &mut Op<'_>) -> Result<Value> {
    let n = op.args.size("n")?;
    let m = op.args.optional_int("m")?.unwrap_or_else(|| n.clone());
    let dtype = given_type(op).unwrap_or(DType::Float32);
    op.tensor(vec![n, m], dtype)
}

fn arange(op: &mut Op<'_>) -> Result<Value> {
    let (start, end, step) = (
        op.args.value("start"),
        op.args.value("end"),
        op.args.value("step"),
    );
    let (length, natural) = match (start.int(), end.int(), step.int()) {
        (Some(start), Some(end), Some(step)) if step != Dim::ZERO => {
            let length = (end - start).ceil_div(&step);
            (Dim::maximum(&length, &Dim::ZERO), DType::Int64)
        }
        _ => match (number(start), number(end), number(step)) {
            (Some(start), Some(end), Some(step)) if step != 0.0 => {
                let length = ((end - start) / step).ceil().max(0.0);
                if length.is_nan() || length >= 9e15 {
                    return Err(op.error("would make more elements than memory holds"));
                }
                (Dim::Const(length as i128), DType::Float32)
            }
            _ => return Err(op.error("needs a start, an end and a step other than 0")),
        },
    };
    let dtype = given_type(op).unwrap_or(natural);
    op.tensor(vec![length], dtype)
}

fn linspace(op: &mut Op<'_>) -> Result<Value> {
    let steps = op.args.size("steps")?;
    let dtype = given_type(op).unwrap_or(DType::Float32);
    op.tensor(vec![steps], dtype)
}

fn like(op: &mut Op<'_>) -> Result<Value> {
    let (shape, dtype) = (op.shape("self")?, op.dtype_or("self")?);
    op.tensor(shape, dtype)
}

fn new(op: &mut Op<'_>) -> Result<Value> {
    let (shape, dtype) = (op.args.ints("size")?, op.dtype_or("self")?);
    op.tensor(shape, dtype)
}

fn one_hot(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let classes = op.args.int("num_classes")?;
    shape.push(match classes.as_const() {
        Some(count) if count < 1 => op.unknown("num_classes"),
        _ => classes,
    });
    op.tensor(shape, DType::Int64)
}

fn meshgrid(op: &mut Op<'_>) -> Result<Value> {
    let tensors = op.args.tensors("tensors")?;
    let mut shape = Vec::new();
    for id in &tensors {
        shape.push(Dim::product(&op.shape_of(*id)));
    }
    if matches!(op.args.value("indexing"), Value::Str(mode) if mode == "xy") && shape.len() > 1 {
        shape.swap(0, 1);
    }
    let grids: Result<Vec<Value>> = tensors
        .iter()
        .map(|id| {
            let dtype = op.tracer.dtype(*id);
            op.tensor(shape.clone(), dtype)
        })
        .collect();
    Ok(Value::Tuple(grids?))
}

/// The places on and below a diagonal, or on and above it.
fn triangle(op: &mut Op<'_>, upper: bool) -> Result<Value> {
    let (rows, columns) = (op.args.size("row")?, op.args.size("col")?);
    let offset = op.args.index("offset")?;
    let known = rows.as_const().zip(columns.as_const());
    let count = known.and_then(|(rows, columns)| {
        let offset = i128::from(offset);
        match upper {
            false => below(rows, columns, offset),
            true => {
                let below = below(rows, columns, offset.checked_sub(1)?)?;
                rows.checked_mul(columns)?.checked_sub(below)
            }
        }
    });
    let count = match count {
        Some(count) => Dim::Const(count),
        None => op.unknown("triangle"),
    };
    op.tensor(vec![Dim::Const(2), count], DType::Int64)
}

/// How many places have a column of at most the row plus the offset.
fn below(rows: i128, columns: i128, offset: i128) -> Option<i128> {
    // The first rows have none, then one more each row, then all columns.
    let empty = (-offset).clamp(0, rows);
    let full = (rows + offset - columns).clamp(0, rows);
    let growing = rows - empty - full;
    let first = (empty + offset + 1).clamp(0, columns);
    let grown = first
        .checked_mul(growing)?
        .checked_add(growing.checked_mul(growing - 1)? / 2)?;
    grown.checked_add(full.checked_mul(columns)?)
}
