//! Fourier transforms and complex numbers: the shapes and types of `torch.fft` (PyTorch 2.15).

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::{Entry, Op, row};
use crate::error::Result;

pub(super) static OPERATORS: [Entry; 27] = [
    row("fft_fft(self, n=None, dim=-1, norm=None)", complex),
    row("fft_ifft(self, n=None, dim=-1, norm=None)", complex),
    row("fft_rfft(self, n=None, dim=-1, norm=None)", half),
    row("fft_irfft(self, n=None, dim=-1, norm=None)", back),
    row("fft_hfft(self, n=None, dim=-1, norm=None)", back),
    row("fft_ihfft(self, n=None, dim=-1, norm=None)", half),
    row("fft_fft2(self, s=None, dim=(-2, -1), norm=None)", complex),
    row("fft_ifft2(self, s=None, dim=(-2, -1), norm=None)", complex),
    row("fft_rfft2(self, s=None, dim=(-2, -1), norm=None)", half),
    row("fft_irfft2(self, s=None, dim=(-2, -1), norm=None)", back),
    row("fft_fftn(self, s=None, dim=None, norm=None)", complex),
    row("fft_ifftn(self, s=None, dim=None, norm=None)", complex),
    row("fft_rfftn(self, s=None, dim=None, norm=None)", half),
    row("fft_irfftn(self, s=None, dim=None, norm=None)", back),
    row("fft_fftshift(self, dim=None)", same),
    row("fft_ifftshift(self, dim=None)", same),
    row("fft_fftfreq(n, d=1.0, *, dtype=None)", |op| {
        frequencies(op, |n| n)
    }),
    row("fft_rfftfreq(n, d=1.0, *, dtype=None)", |op| {
        frequencies(op, |n| n.floor_div(&Dim::from(2)) + Dim::ONE)
    }),
    row("real(self)", real_part),
    row("imag(self)", real_part),
    row("angle(self)", real_part),
    row("conj(self)", same),
    row("_conj(self)", same),
    row("view_as_real(self)", |op| {
        let mut shape = op.shape("self")?;
        shape.push(Dim::from(2));
        let dtype = real(op.dtype("self")?);
        op.tensor(shape, dtype)
    }),
    row("view_as_complex(self)", |op| {
        let mut shape = op.shape("self")?;
        let pair = shape.pop();
        if pair
            .as_ref()
            .and_then(Dim::as_const)
            .is_some_and(|n| n != 2)
            || pair.is_none()
        {
            let shape = op.shape("self")?;
            return Err(op.expected("a last dimension of 2", &shape));
        }
        let dtype = complex_of(op.dtype("self")?);
        op.tensor(shape, dtype)
    }),
    row("complex(real, imag)", |op| of_two(op, "real", "imag")),
    row("polar(abs, angle)", |op| of_two(op, "abs", "angle")),
];

/// The type of a number's parts.
pub(super) fn real(dtype: DType) -> DType {
    match dtype {
        DType::Complex32 => DType::Float16,
        DType::Complex64 => DType::Float32,
        DType::Complex128 => DType::Float64,
        other => other,
    }
}

/// The type of complex numbers with parts of a type; of integers, of the default type.
fn complex_of(dtype: DType) -> DType {
    match dtype {
        complex if complex.is_complex() => complex,
        DType::Float16 => DType::Complex32,
        DType::Float64 => DType::Complex128,
        _ => DType::Complex64,
    }
}

fn same(op: &mut Op<'_>) -> Result<Value> {
    let shape = op.shape("self")?;
    op.like("self", shape)
}

fn real_part(op: &mut Op<'_>) -> Result<Value> {
    let (shape, dtype) = (op.shape("self")?, real(op.dtype("self")?));
    op.tensor(shape, dtype)
}

fn of_two(op: &mut Op<'_>, first: &str, second: &str) -> Result<Value> {
    let (a, b) = (op.shape(first)?, op.shape(second)?);
    let shape = super::elementwise::broadcast_or(op, &a, &b)?;
    let dtype = complex_of(op.dtype(first)?);
    op.tensor(shape, dtype)
}

fn frequencies(op: &mut Op<'_>, count: fn(Dim) -> Dim) -> Result<Value> {
    let n = op.args.int("n")?;
    op.tensor(vec![count(n)], DType::Float32)
}

/// The dimensions that are transformed, the last of them last, and the sizes that are asked for.
fn transformed(op: &Op<'_>, shape: &Shape) -> Result<Vec<(usize, Option<Dim>)>> {
    if shape.is_empty() {
        return Err(op.error("cannot transform a scalar"));
    }
    if op.args.has("n") {
        let dim = op.dimension("dim", shape.len())?;
        return Ok(vec![(dim, op.args.optional_int("n")?)]);
    }
    let sizes = match op.args.value("s") {
        Value::None => None,
        _ => Some(op.args.ints("s")?),
    };
    let dims = match (op.args.value("dim"), &sizes) {
        (Value::None, Some(sizes)) if sizes.len() <= shape.len() => {
            (shape.len() - sizes.len()..shape.len()).collect()
        }
        (Value::None, _) => (0..shape.len()).collect(),
        _ => op.dimensions("dim", shape.len())?,
    };
    let Some(sizes) = sizes else {
        return Ok(dims.into_iter().map(|dim| (dim, None)).collect());
    };
    if sizes.len() != dims.len() {
        let message = format!(
            "is given {} sizes for {} dimensions",
            sizes.len(),
            dims.len()
        );
        return Err(op.error(message));
    }
    // A size of -1 is that of the input.
    let asked = sizes
        .into_iter()
        .map(|size| Some(size).filter(|size| *size != Dim::Const(-1)));
    Ok(dims.into_iter().zip(asked).collect())
}

fn complex(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    for (dim, size) in transformed(op, &shape)? {
        if let Some(size) = size {
            shape[dim] = size;
        }
    }
    let dtype = complex_of(op.dtype("self")?);
    op.tensor(shape, dtype)
}

/// Of real numbers the half of the last dimension is enough.
fn half(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let dims = transformed(op, &shape)?;
    for (at, (dim, size)) in dims.iter().enumerate() {
        let size = size.clone().unwrap_or_else(|| shape[*dim].clone());
        shape[*dim] = match at + 1 == dims.len() {
            true => size.floor_div(&Dim::from(2)) + Dim::ONE,
            false => size,
        };
    }
    let dtype = complex_of(op.dtype("self")?);
    op.tensor(shape, dtype)
}

/// Back from the half to real numbers.
fn back(op: &mut Op<'_>) -> Result<Value> {
    let mut shape = op.shape("self")?;
    let dims = transformed(op, &shape)?;
    for (at, (dim, size)) in dims.iter().enumerate() {
        shape[*dim] = match (size, at + 1 == dims.len()) {
            (Some(size), _) => size.clone(),
            (None, true) => (shape[*dim].clone() - &Dim::ONE) * &Dim::from(2),
            (None, false) => shape[*dim].clone(),
        };
    }
    let dtype = real(complex_of(op.dtype("self")?));
    op.tensor(shape, dtype)
}
