//! safetensors: the length of a JSON header, the header, and the data, of which only the header is
//! read.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, Metadata, SafeTensors};

use crate::assemble::Contained;
use crate::element::Element;
use crate::error::{CheckpointError, Result};
use crate::model::Format;
use crate::names::natural;
use crate::torch::{Found, Group, Kind, RawTensor, Slice};

/// The longest header, which is the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// Whether bytes begin as safetensors does.
pub fn is_likely(bytes: &[u8]) -> bool {
    let length = bytes
        .first_chunk::<8>()
        .map(|head| u64::from_le_bytes(*head));
    length.is_some_and(|length| length <= MAX_HEADER) && bytes.get(8) == Some(&b'{')
}

/// Reads the header.
pub fn read(bytes: &[u8], file: &str) -> Result<Contained> {
    let damaged = |message: String| CheckpointError::Damaged {
        file: file.to_owned(),
        place: "the header".into(),
        message,
    };
    let (_, header) =
        SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
    let tensors = tensors(&header).map_err(damaged)?;
    if tensors.is_empty() {
        return Err(CheckpointError::NoTensors {
            file: file.to_owned(),
            found: "its header is empty".into(),
        });
    }
    let mut metadata: Vec<(String, String)> = header
        .metadata()
        .iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    metadata.sort();
    Ok(Contained {
        format: Format::Safetensors,
        groups: vec![Group {
            path: Vec::new(),
            found: Found::Model,
            tensors,
            modules: Vec::new(),
        }],
        notes: Vec::new(),
        dangers: Vec::new(),
        metadata,
        shards: Vec::new(),
        shard_of: HashMap::new(),
        stored: None,
    })
}

/// All tensors, in the order of names: files are sorted by size of the element type.
fn tensors(header: &Metadata) -> std::result::Result<Vec<(String, RawTensor, Kind)>, String> {
    let mut named: Vec<_> = header.tensors().into_iter().collect();
    named.sort_by(|(a, _), (b, _)| natural(a, b));
    let tensor = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let element = element(info.dtype);
        let element = element.ok_or_else(|| format!("{name} has an element type unknown here"))?;
        let (start, end) = info.data_offsets;
        let shape: Vec<u64> = info.shape.iter().map(|size| *size as u64).collect();
        // The header was checked: the product is no overflow.
        let numel = shape.iter().product();
        let slice = Slice {
            storage: 0,
            start: start as u64,
            length: (end - start) as u64,
        };
        let raw = RawTensor {
            shape,
            element,
            numel,
            slice: Some(slice),
            parts: Vec::new(),
            more_bytes: 0,
            is_parameter: false,
            requires_grad: false,
        };
        Ok((name, raw, Kind::Plain))
    };
    named.into_iter().map(tensor).collect()
}

fn element(dtype: Dtype) -> Option<Element> {
    let name = match dtype {
        Dtype::BOOL => "bool",
        Dtype::F4 => "float4_e2m1fn",
        Dtype::F6_E2M3 => "float6_e2m3fn",
        Dtype::F6_E3M2 => "float6_e3m2fn",
        Dtype::U8 => "uint8",
        Dtype::I8 => "int8",
        Dtype::F8_E5M2 => "float8_e5m2",
        Dtype::F8_E4M3 => "float8_e4m3fn",
        Dtype::F8_E8M0 => "float8_e8m0fnu",
        Dtype::F8_E4M3FNUZ => "float8_e4m3fnuz",
        Dtype::F8_E5M2FNUZ => "float8_e5m2fnuz",
        Dtype::I16 => "int16",
        Dtype::U16 => "uint16",
        Dtype::F16 => "float16",
        Dtype::BF16 => "bfloat16",
        Dtype::I32 => "int32",
        Dtype::U32 => "uint32",
        Dtype::F32 => "float32",
        Dtype::C64 => "complex64",
        Dtype::F64 => "float64",
        Dtype::I64 => "int64",
        Dtype::U64 => "uint64",
        // The list may grow with the format.
        _ => return None,
    };
    Element::of(name)
}
