//! Element types by the names that files give them.

use std::fmt;

use modelcost_core::dtype::DType;
use serde::Serialize;
use smol_str::SmolStr;

/// The element type of a tensor in a file: PyTorch's name of it, and its size.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element {
    name: SmolStr,
    bits: u32,
}

/// Types that only checkpoints have: the name and the bits of one stored element.
const PACKED: [(&str, u32); 18] = [
    ("float4_e2m1fn_x2", 8),
    ("uint1", 8),
    ("uint3", 8),
    ("uint5", 8),
    ("uint6", 8),
    ("uint7", 8),
    ("int1", 8),
    ("int3", 8),
    ("int5", 8),
    ("int6", 8),
    ("int7", 8),
    ("quint4x2", 4),
    ("quint2x4", 2),
    ("bits8", 8),
    ("bits16", 16),
    ("bits1x8", 8),
    ("bits2x4", 8),
    ("bits4x2", 8),
];

/// The classes of storages, which stand for an element type in pickles.
const STORAGES: [(&str, &str); 20] = [
    ("DoubleStorage", "float64"),
    ("FloatStorage", "float32"),
    ("HalfStorage", "float16"),
    ("BFloat16Storage", "bfloat16"),
    ("LongStorage", "int64"),
    ("IntStorage", "int32"),
    ("ShortStorage", "int16"),
    ("CharStorage", "int8"),
    ("ByteStorage", "uint8"),
    ("BoolStorage", "bool"),
    ("ComplexDoubleStorage", "complex128"),
    ("ComplexFloatStorage", "complex64"),
    ("QUInt8Storage", "quint8"),
    ("QInt8Storage", "qint8"),
    ("QInt32Storage", "qint32"),
    ("QUInt4x2Storage", "quint4x2"),
    ("QUInt2x4Storage", "quint2x4"),
    // Bytes; the tensor says what they are.
    ("UntypedStorage", "uint8"),
    ("_UntypedStorage", "uint8"),
    ("TypedStorage", "uint8"),
];

impl Element {
    /// From PyTorch's name, with or without `torch.`.
    pub fn of(name: &str) -> Option<Element> {
        let name = name.strip_prefix("torch.").unwrap_or(name);
        let bits = match name.parse::<DType>() {
            // PyTorch stores narrow integers one a byte.
            Ok(DType::String) => return None,
            Ok(dtype) if dtype.name().starts_with("float") => dtype.bits(),
            Ok(dtype) => dtype.bits().max(8),
            Err(()) => PACKED.iter().find(|(known, _)| *known == name)?.1,
        };
        // DType knows aliases: `half`.
        let name = match name.parse::<DType>() {
            Ok(dtype) => SmolStr::new_static(dtype.name()),
            Err(()) => name.into(),
        };
        Some(Element { name, bits })
    }

    /// From the class of a storage.
    pub fn of_storage(class: &str) -> Option<Element> {
        let (_, name) = STORAGES.iter().find(|(known, _)| *known == class)?;
        Element::of(name)
    }

    /// PyTorch's name, without `torch.`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes that so many elements take; `None` when that is more than a file can be.
    pub fn bytes(&self, elements: u64) -> Option<u64> {
        let bits = u128::from(elements) * u128::from(self.bits);
        u64::try_from(bits.div_ceil(8)).ok()
    }

    /// Whether elements are whole numbers or truth values, which are not trained. Quantized types
    /// (`qint8`) are weights.
    pub fn is_integer(&self) -> bool {
        self.name.starts_with("int") || self.name.starts_with("uint") || self.name == "bool"
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Serialize for Element {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}
