//! Constants: a few elements are written out, weights are not.

use std::borrow::Cow;
use std::fmt::Write as _;

use modelcost_core::dtype::DType;

use super::words::{entries, float32, float64, is_identifier, name, quoted};
use crate::model::*;
use crate::tensor::Elements;

/// Constants of up to this many elements are written out.
const MAX_ELEMENTS: usize = 32;

/// `float[2] name = {1.0, 2.0}`. What is not written out is in the file `weights`.
pub(super) fn constant(tensor: &Tensor<'_>, initializer: bool, weights: Option<&str>) -> String {
    let mut out = tensor.elem_type.name().unwrap_or("undefined").to_owned();
    if !tensor.dims.is_empty() {
        let dims: Vec<String> = tensor.dims.iter().map(i64::to_string).collect();
        let _ = write!(out, "[{}]", dims.join(","));
    }
    if initializer {
        let _ = write!(out, " {}", name(tensor.name));
    } else if is_identifier(tensor.name) && name(tensor.name) == tensor.name {
        // Inside an attribute the syntax takes no quoted names.
        let _ = write!(out, " {}", tensor.name);
    }
    out.push_str(" = ");
    out.push_str(&match elements(tensor) {
        Some(elements) => elements,
        None => entries(&external(tensor, weights)),
    });
    out
}

/// Where the elements are that are not written out.
fn external<'t>(tensor: &Tensor<'t>, weights: Option<&'t str>) -> Vec<(&'t str, Cow<'t, str>)> {
    let raw_at = |location: &'t str, raw: &Bytes<'_>| {
        Some(vec![
            ("location", location.into()),
            ("offset", raw.offset()?.to_string().into()),
            ("length", raw.len().to_string().into()),
        ])
    };
    let found = match (&tensor.data, weights) {
        (TensorData::External(entries), _) => {
            Some(entries.iter().map(|(k, v)| (*k, (*v).into())).collect())
        }
        (TensorData::Raw(raw), Some(location)) => raw_at(location, raw),
        _ => None,
    };
    found.unwrap_or_else(|| vec![("location", "elided".into())])
}

/// The elements between braces, if they are in the file and few.
fn elements(tensor: &Tensor<'_>) -> Option<String> {
    let dtype = tensor.elem_type.dtype()?;
    let braces = |items: Vec<String>| Some(format!("{{{}}}", items.join(", ")));
    // The syntax wants the bits of small floats, and packed bytes below that.
    let bits = match dtype {
        DType::Float32 | DType::Float64 | DType::String => None,
        dtype if dtype.is_complex() => return None,
        dtype if dtype.is_floating_point() || dtype.bits() < 8 => Some(dtype.bits()),
        _ => None,
    };
    if let (Some(bits), TensorData::Raw(raw)) = (bits, &tensor.data) {
        let numel = tensor
            .numel()
            .filter(|numel| *numel <= MAX_ELEMENTS as u64)?;
        if raw.len() != (numel * u64::from(bits)).div_ceil(8) {
            return None;
        }
        let chunks = raw.read().ok()?.chunks((bits as usize).div_ceil(8));
        let word = |chunk: &[u8]| {
            chunk
                .iter()
                .rev()
                .fold(0u32, |w, b| (w << 8) | u32::from(*b))
        };
        return braces(chunks.map(|chunk| word(chunk).to_string()).collect());
    }
    if bits.is_some() {
        return None;
    }
    match tensor.elements(MAX_ELEMENTS)? {
        Elements::Ints(values) => braces(values.iter().map(i64::to_string).collect()),
        Elements::Floats(values) if dtype == DType::Float32 => {
            braces(values.iter().map(|v| float32(*v as f32)).collect())
        }
        Elements::Floats(values) => braces(values.iter().map(|v| float64(*v)).collect()),
        Elements::Strings(values) => braces(values.iter().map(|v| quoted(v)).collect()),
    }
}
