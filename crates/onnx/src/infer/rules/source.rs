//! Operators that make tensors out of attributes and sizes.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::{MICROSOFT, Row};
use crate::infer::arithmetic as arith;
use crate::infer::bounds;
use crate::infer::fact::{Content, Fact, MAX_ITEMS, Scalar, TensorFact};
use crate::infer::given::{constant, sparse_constant};
use crate::infer::op::Op;
use crate::model::AttributeValue;

pub(super) const RULES: &[Row] = &[
    ("", "Constant", constant_node),
    ("", "Range", range),
    (MICROSOFT, "Range", range),
    ("", "EyeLike", eye_like),
    ("", "RandomNormal", random),
    ("", "RandomUniform", random),
    ("", "Multinomial", multinomial),
    ("", "BlackmanWindow", window),
    ("", "HammingWindow", window),
    ("", "HannWindow", window),
    ("", "MelWeightMatrix", mel_weight_matrix),
];

/// The value of whichever attribute is given.
fn constant_node(op: &mut Op<'_, '_>) -> Option<()> {
    let of = |dtype, content| Fact::Tensor(TensorFact::of(dtype, content));
    let vector = |dtype, length: usize, items: Vec<Scalar>| {
        if length <= MAX_ITEMS {
            of(dtype, Content::vector(items))
        } else {
            Fact::tensor(Some(dtype), Some(vec![Dim::from(length)]))
        }
    };
    let string = |bytes: &&[u8]| Scalar::Str(String::from_utf8_lossy(bytes).as_ref().into());
    for name in [
        "value",
        "sparse_value",
        "value_int",
        "value_ints",
        "value_float",
        "value_floats",
        "value_string",
        "value_strings",
    ] {
        let fact = match op.attr(name) {
            Some(AttributeValue::Tensor(tensor)) => constant(tensor),
            Some(AttributeValue::SparseTensor(sparse)) => sparse_constant(sparse),
            Some(AttributeValue::Int(value)) => of(
                DType::Int64,
                Content::scalar(Scalar::Int(Dim::from(*value))),
            ),
            Some(AttributeValue::Ints(values)) => vector(
                DType::Int64,
                values.len(),
                values.iter().map(|v| Scalar::Int(Dim::from(*v))).collect(),
            ),
            Some(AttributeValue::Float(value)) => of(
                DType::Float32,
                Content::scalar(Scalar::Float(f64::from(*value))),
            ),
            Some(AttributeValue::Floats(values)) => vector(
                DType::Float32,
                values.len(),
                values
                    .iter()
                    .map(|v| Scalar::Float(f64::from(*v)))
                    .collect(),
            ),
            Some(AttributeValue::String(value)) => {
                of(DType::String, Content::scalar(string(value)))
            }
            Some(AttributeValue::Strings(values)) => vector(
                DType::String,
                values.len(),
                values.iter().map(string).collect(),
            ),
            _ => continue,
        };
        op.set(0, fact);
        return Some(());
    }
    None
}

/// Numbers from a start to a limit.
fn range(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    op.set_shape(0, vec![op.fresh()]);
    let item = |index: usize| op.content(index)?.items.first().cloned();
    let (start, limit) = (item(0)?, item(1)?);
    let delta = if op.has(2) {
        item(2)?
    } else {
        Scalar::Int(Dim::ONE)
    };
    let span = arith::sub(&limit, &start);
    let count = match (span.int(), delta.int()) {
        (Some(_), Some(step)) if step.as_const() == Some(0) => return None,
        (Some(span), Some(step)) if bounds::lower(&step) > Some(0) => {
            Some(bounds::max(&span.ceil_div(&step), &Dim::ZERO))
        }
        (Some(span), Some(step)) if bounds::upper(&step) < Some(0) => {
            let count = (-span).ceil_div(&(-step));
            Some(bounds::max(&count, &Dim::ZERO))
        }
        _ => {
            let count = (limit.float()? - start.float()?) / delta.float()?;
            (count.abs() < 1e15).then(|| Dim::Const(count.ceil().max(0.0) as i128))
        }
    }?;
    op.set_shape(0, vec![count.clone()]);
    let count = count.as_usize().filter(|count| *count <= MAX_ITEMS)?;
    let dtype = op.dtype(0);
    let items = (0..count)
        .map(|at| {
            let steps = arith::mul(&delta, &Scalar::Int(Dim::from(at)));
            arith::round_to(dtype, arith::add(&start, &steps))
        })
        .collect();
    op.set_content(0, Content::vector(items));
    op.set_shape(0, vec![Dim::from(count)]);
    Some(())
}

/// A matrix of the input's shape with ones on a diagonal.
fn eye_like(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.attr_dtype_or("dtype", op.dtype(0));
    op.set_dtype(0, dtype);
    op.set_shape(0, op.shape(0)?.to_vec());
    Some(())
}

/// Random numbers in a given shape.
fn random(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.attr_dtype_or("dtype", Some(DType::Float32));
    op.set_dtype(0, dtype);
    let shape = op.attr_ints("shape")?;
    op.set_shape(0, shape.iter().map(|size| Dim::from(*size)).collect());
    Some(())
}

/// Samples of each row's distribution.
fn multinomial(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = op.attr_dtype_or("dtype", Some(DType::Int32));
    op.set_dtype(0, dtype);
    let samples = Dim::from(op.attr_int_or("sample_size", 1));
    let batch = op.shape(0).and_then(|shape| shape.first().cloned());
    op.set_shape(0, vec![batch.unwrap_or_else(|| op.fresh()), samples]);
    Some(())
}

fn output_datatype(op: &Op<'_, '_>) -> Option<DType> {
    op.attr_dtype_or("output_datatype", Some(DType::Float32))
}

/// A window of a given length.
fn window(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, output_datatype(op));
    let size = op.int(0).unwrap_or_else(|| op.fresh());
    op.set_shape(0, vec![size]);
    Some(())
}

/// A matrix from frequency bins to mel bins.
fn mel_weight_matrix(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, output_datatype(op));
    let bins = op.int(0).unwrap_or_else(|| op.fresh());
    let length = op.int(1).map(|length| length.floor_div(&Dim::Const(2)) + 1);
    op.set_shape(0, vec![length.unwrap_or_else(|| op.fresh()), bins]);
    Some(())
}
