//! Element types, by PyTorch's names.

use std::fmt;
use std::str::FromStr;

macro_rules! dtypes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $bits:literal;)*) => {
        /// The element type of a tensor.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        pub enum DType { $(#[doc = $name] $variant,)* }

        impl DType {
            /// Every element type, for completion and messages.
            pub const ALL: &[DType] = &[$(DType::$variant),*];

            /// PyTorch's name, without `torch.`.
            pub fn name(self) -> &'static str {
                match self { $(DType::$variant => $name,)* }
            }

            /// Bits that one element takes.
            pub fn bits(self) -> u32 {
                match self { $(DType::$variant => $bits,)* }
            }
        }
    };
}

dtypes! {
    Float64 = "float64", 64;
    Float32 = "float32", 32;
    Float16 = "float16", 16;
    BFloat16 = "bfloat16", 16;
    Float8E4M3Fn = "float8_e4m3fn", 8;
    Float8E4M3FnUz = "float8_e4m3fnuz", 8;
    Float8E5M2 = "float8_e5m2", 8;
    Float8E5M2FnUz = "float8_e5m2fnuz", 8;
    Float8E8M0Fnu = "float8_e8m0fnu", 8;
    Float4E2M1Fn = "float4_e2m1fn", 4;
    Float6E2M3Fn = "float6_e2m3fn", 6;
    Float6E3M2Fn = "float6_e3m2fn", 6;
    Complex32 = "complex32", 32;
    Complex64 = "complex64", 64;
    Complex128 = "complex128", 128;
    Int64 = "int64", 64;
    Int32 = "int32", 32;
    Int16 = "int16", 16;
    Int8 = "int8", 8;
    Int4 = "int4", 4;
    Int2 = "int2", 2;
    UInt64 = "uint64", 64;
    UInt32 = "uint32", 32;
    UInt16 = "uint16", 16;
    UInt8 = "uint8", 8;
    UInt4 = "uint4", 4;
    UInt2 = "uint2", 2;
    Bool = "bool", 8;
    QInt8 = "qint8", 8;
    QUInt8 = "quint8", 8;
    QInt32 = "qint32", 32;
    String = "string", 0;
}

impl DType {
    /// Whether a parameter of this type can have a gradient.
    pub fn is_floating_point(self) -> bool {
        self.name().starts_with("float") || self == DType::BFloat16 || self.is_complex()
    }

    /// Whether elements are complex numbers.
    pub fn is_complex(self) -> bool {
        self.name().starts_with("complex")
    }

    /// Bytes that one element takes in a PyTorch tensor (at least one).
    pub fn bytes(self) -> u32 {
        self.bits().div_ceil(8)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = ();

    /// Accepts PyTorch's names and aliases, with or without `torch.`.
    fn from_str(text: &str) -> Result<DType, ()> {
        let name = text.strip_prefix("torch.").unwrap_or(text);
        let canonical = match name {
            "float" => "float32",
            "double" => "float64",
            "half" => "float16",
            "long" => "int64",
            "int" => "int32",
            "short" => "int16",
            "cfloat" => "complex64",
            "cdouble" => "complex128",
            other => other,
        };
        DType::ALL
            .iter()
            .copied()
            .find(|dtype| dtype.name() == canonical)
            .ok_or(())
    }
}

impl serde::Serialize for DType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
