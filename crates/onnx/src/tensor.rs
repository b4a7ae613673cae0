//! The elements of small constant tensors.

use modelcost_core::dtype::DType;

use crate::model::{Tensor, TensorData};
use crate::wire::Reader;

/// The elements of a tensor, widened.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Integers and booleans.
    Ints(Vec<i64>),
    /// Floating point.
    Floats(Vec<f64>),
    /// Strings.
    Strings(Vec<String>),
}

impl Elements {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Elements::Ints(values) => values.len(),
            Elements::Floats(values) => values.len(),
            Elements::Strings(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Tensor<'_> {
    /// The number of elements, if the sizes are valid.
    pub fn numel(&self) -> Option<u64> {
        self.dims.iter().try_fold(1u64, |numel, size| {
            numel.checked_mul(u64::try_from(*size).ok()?)
        })
    }

    /// The elements, when the file holds them, there are at most `limit`, and as many as the
    /// sizes say. Nothing is read otherwise.
    pub fn elements(&self, limit: usize) -> Option<Elements> {
        let numel = usize::try_from(self.numel()?).ok()?;
        if numel > limit {
            return None;
        }
        let dtype = self.elem_type.dtype()?;
        let elements = match &self.data {
            TensorData::Raw(bytes) => from_raw(dtype, bytes.read().ok()?, numel)?,
            TensorData::Fields(message) => from_fields(dtype, message.reader(), numel, limit)?,
            TensorData::Strings(strings) => Elements::Strings(strings.iter().map(lossy).collect()),
            // A tensor without elements needs no data.
            TensorData::Absent if numel == 0 => Elements::Ints(Vec::new()),
            TensorData::Absent | TensorData::External(_) => return None,
        };
        (elements.len() == numel).then_some(elements)
    }
}

fn lossy(bytes: &&[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn from_raw(dtype: DType, bytes: &[u8], numel: usize) -> Option<Elements> {
    let bits = dtype.bits() as usize;
    if bits < 8 {
        let packed = bytes.get(..numel.checked_mul(bits)?.div_ceil(8))?;
        let fields = (0..numel).map(|index| {
            let bit = index * bits;
            u64::from((packed[bit / 8] >> (bit % 8)) & ((1u8 << bits) - 1))
        });
        return widen(dtype, fields);
    }
    if dtype.is_complex() || dtype == DType::String {
        return None;
    }
    let size = bits / 8;
    let bytes = bytes.get(..numel.checked_mul(size)?)?;
    let words = bytes.chunks_exact(size).map(|chunk| {
        chunk
            .iter()
            .rev()
            .fold(0u64, |word, byte| (word << 8) | u64::from(*byte))
    });
    widen(dtype, words)
}

/// From the bits of each element.
fn widen(dtype: DType, words: impl Iterator<Item = u64>) -> Option<Elements> {
    let floats = |convert: fn(u64) -> f64, words: &mut dyn Iterator<Item = u64>| {
        Elements::Floats(words.map(convert).collect())
    };
    let mut words = words;
    Some(match dtype {
        DType::Float64 => floats(f64::from_bits, &mut words),
        DType::Float32 => floats(|w| f64::from(f32::from_bits(w as u32)), &mut words),
        DType::BFloat16 => floats(|w| f64::from(f32::from_bits((w as u32) << 16)), &mut words),
        DType::Float16 => floats(|w| small_float(w, 5, 10), &mut words),
        DType::Float8E5M2 => floats(|w| small_float(w, 5, 2), &mut words),
        DType::Float8E4M3Fn => floats(|w| finite_float(w, 4, 3), &mut words),
        DType::Float6E2M3Fn => floats(|w| finite_float(w, 2, 3), &mut words),
        DType::Float6E3M2Fn => floats(|w| finite_float(w, 3, 2), &mut words),
        DType::Float4E2M1Fn => floats(|w| finite_float(w, 2, 1), &mut words),
        DType::Float8E4M3FnUz | DType::Float8E5M2FnUz | DType::Float8E8M0Fnu => return None,
        DType::Complex32 | DType::Complex64 | DType::Complex128 | DType::String => return None,
        DType::Bool => Elements::Ints(words.map(|w| i64::from(w != 0)).collect()),
        signed if signed.name().starts_with("int") => {
            let shift = 64 - signed.bits();
            Elements::Ints(words.map(|w| ((w << shift) as i64) >> shift).collect())
        }
        DType::UInt64 => {
            let values: Option<Vec<i64>> = words.map(|w| i64::try_from(w).ok()).collect();
            Elements::Ints(values?)
        }
        _ => Elements::Ints(words.map(|w| w as i64).collect()),
    })
}

/// IEEE-like: the highest exponent is for infinities and NaN.
fn small_float(word: u64, exponent_bits: u32, mantissa_bits: u32) -> f64 {
    let highest = (1u64 << exponent_bits) - 1;
    let exponent = (word >> mantissa_bits) & highest;
    let mantissa = word & ((1 << mantissa_bits) - 1);
    if exponent == highest {
        let sign = if (word >> (exponent_bits + mantissa_bits)) & 1 == 1 {
            -1.0
        } else {
            1.0
        };
        return if mantissa == 0 {
            sign * f64::INFINITY
        } else {
            f64::NAN
        };
    }
    finite_float(word, exponent_bits, mantissa_bits)
}

/// The highest exponent is an ordinary one.
fn finite_float(word: u64, exponent_bits: u32, mantissa_bits: u32) -> f64 {
    let bias = (1i32 << (exponent_bits - 1)) - 1;
    let exponent = ((word >> mantissa_bits) & ((1 << exponent_bits) - 1)) as i32;
    let fraction = (word & ((1 << mantissa_bits) - 1)) as f64 / (1u64 << mantissa_bits) as f64;
    let magnitude = if exponent == 0 {
        fraction * 2f64.powi(1 - bias)
    } else {
        (1.0 + fraction) * 2f64.powi(exponent - bias)
    };
    if (word >> (exponent_bits + mantissa_bits)) & 1 == 1 {
        -magnitude
    } else {
        magnitude
    }
}

/// From `float_data`, `int32_data` and so on.
fn from_fields(
    dtype: DType,
    mut reader: Reader<'_>,
    numel: usize,
    limit: usize,
) -> Option<Elements> {
    let (mut ints, mut floats, mut doubles, mut strings) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    while let Some((number, field)) = reader.field().ok()? {
        // A field longer than the sizes allow is not read to its end.
        let length = field.message().map_or(0, |message| message.left());
        match number {
            4 | 5 | 7 | 10 | 11 if length > limit.saturating_mul(10) as u64 => return None,
            4 => field.floats(&mut floats).ok()?,
            5 | 7 | 11 => field.ints(&mut ints).ok()?,
            6 => strings.extend(field.bytes().ok()?.as_ref().map(lossy)),
            10 => field.doubles(&mut doubles).ok()?,
            _ => {}
        }
        if ints.len().max(floats.len()).max(strings.len()) > limit.saturating_mul(2) {
            return None;
        }
    }
    Some(match dtype {
        DType::Float32 => Elements::Floats(floats.into_iter().map(f64::from).collect()),
        DType::Float64 => Elements::Floats(doubles),
        DType::String => Elements::Strings(strings),
        DType::Complex64 | DType::Complex128 => return None,
        // Below a byte, one entry holds a packed byte; half precision is kept as its bits.
        _ if dtype.bits() < 8 => {
            let bytes: Vec<u8> = ints.iter().map(|value| *value as u8).collect();
            from_raw(dtype, &bytes, numel)?
        }
        _ => {
            let mask = if dtype.bits() == 64 {
                u64::MAX
            } else {
                (1 << dtype.bits()) - 1
            };
            widen(dtype, ints.into_iter().map(|value| value as u64 & mask))?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ElemType;

    fn raw(elem: i32, dims: &[i64], bytes: &[u8]) -> Option<Elements> {
        let tensor = Tensor {
            dims: dims.to_vec(),
            elem_type: ElemType(elem),
            data: TensorData::Raw(bytes.into()),
            ..Tensor::default()
        };
        tensor.elements(16)
    }

    #[test]
    fn narrow_types_widen() {
        // int4: two to a byte, low half first.
        assert_eq!(
            raw(22, &[3], &[0xf1, 0x08]),
            Some(Elements::Ints(vec![1, -1, -8]))
        );
        // float16 1.5, -2
        assert_eq!(
            raw(10, &[2], &[0x00, 0x3e, 0x00, 0xc0]),
            Some(Elements::Floats(vec![1.5, -2.0]))
        );
        // float8e4m3fn 448 is the largest
        assert_eq!(raw(17, &[1], &[0x7e]), Some(Elements::Floats(vec![448.0])));
    }

    #[test]
    fn sizes_that_do_not_fit_read_nothing() {
        assert_eq!(raw(7, &[2], &[0; 8]), None);
        assert_eq!(raw(7, &[-1], &[0; 8]), None);
        assert_eq!(raw(7, &[i64::MAX, i64::MAX], &[0; 8]), None);
        assert_eq!(raw(7, &[17], &[0; 136]), None);
    }
}
