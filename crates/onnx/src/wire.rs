//! The protobuf wire format, read in place.
//!
//! ONNX is protobuf, but a general decoder is the wrong tool for a file that is 99.9 % weights.
//! `prost` over [`bytes::Bytes`] leaves `raw_data` in place, yet it copies every string and turns
//! the packed fields that older exporters keep weights in (`float_data`, `int64_data`) into vectors,
//! which reads all of them. This walker borrows everything from the map: a field that
//! nobody asks for costs one length prefix, so its pages are never read from disk. It also puts
//! malformed input in one place: every length is checked against what is left of the enclosing
//! message before anything is allocated.
//!
//! [`bytes::Bytes`]: https://docs.rs/bytes

use crate::error::OnnxError;

/// A position in a message.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// Where `bytes` starts in the file, for error messages.
    base: usize,
    at: usize,
}

/// One field's value.
#[derive(Clone, Copy)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(Reader<'a>),
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader {
            bytes,
            base: 0,
            at: 0,
        }
    }

    /// Where in the file the next byte is.
    pub fn offset(&self) -> usize {
        self.base + self.at
    }

    /// What is left of this message.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn malformed(&self, what: &'static str) -> OnnxError {
        OnnxError::Malformed {
            what,
            offset: self.offset(),
        }
    }

    /// A base-128 integer of at most ten bytes.
    pub fn varint(&mut self) -> Result<u64, OnnxError> {
        let mut value = 0u64;
        for (index, byte) in self.rest().iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f)
                .checked_shl(7 * index as u32)
                .unwrap_or(0);
            if byte & 0x80 == 0 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        if self.rest().len() < 10 {
            Err(OnnxError::Truncated {
                what: "an integer",
                offset: self.offset(),
                needed: self.rest().len() as u64 + 1,
                left: self.rest().len(),
            })
        } else {
            Err(self.malformed("an integer of more than ten bytes"))
        }
    }

    fn take(&mut self, length: u64, what: &'static str) -> Result<Reader<'a>, OnnxError> {
        let left = self.rest().len();
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest().get(..length))
            .ok_or(OnnxError::Truncated {
                what,
                offset: self.offset(),
                needed: length,
                left,
            })?;
        let reader = Reader {
            bytes: taken,
            base: self.offset(),
            at: 0,
        };
        self.at += taken.len();
        Ok(reader)
    }

    /// A little-endian 32-bit word.
    pub fn fixed32(&mut self) -> Result<u32, OnnxError> {
        let bytes = self.take(4, "a 32-bit number")?.bytes;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |word, byte| (word << 8) | u32::from(*byte)))
    }

    /// A little-endian 64-bit word.
    pub fn fixed64(&mut self) -> Result<u64, OnnxError> {
        let bytes = self.take(8, "a 64-bit number")?.bytes;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |word, byte| (word << 8) | u64::from(*byte)))
    }

    /// The next field's number and value, or `None` at the end of the message.
    pub fn field(&mut self) -> Result<Option<(u32, Field<'a>)>, OnnxError> {
        if self.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| self.malformed("a field number out of range"))?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(self.fixed64()?),
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length, "a field")?)
            }
            5 => Field::Fixed32(self.fixed32()?),
            _ => return Err(self.malformed("an unknown wire type")),
        };
        Ok(Some((number, field)))
    }
}

impl<'a> Field<'a> {
    /// An integer; other wire types are skipped as protobuf does with unknown fields.
    pub fn int(self) -> Option<i64> {
        match self {
            Field::Varint(value) => Some(value as i64),
            _ => None,
        }
    }

    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Field::Bytes(reader) => Some(reader.rest()),
            _ => None,
        }
    }

    pub fn message(self) -> Option<Reader<'a>> {
        match self {
            Field::Bytes(reader) => Some(reader),
            _ => None,
        }
    }

    /// Text. Names that are not UTF-8 are an error: they could not be printed or compared.
    pub fn text(self) -> Result<&'a str, OnnxError> {
        match self {
            Field::Bytes(reader) => {
                std::str::from_utf8(reader.rest()).map_err(|_| OnnxError::Malformed {
                    what: "a name that is not UTF-8",
                    offset: reader.offset(),
                })
            }
            _ => Ok(""),
        }
    }

    /// Appends one integer, or the integers of a packed field.
    pub fn ints(self, out: &mut Vec<i64>) -> Result<(), OnnxError> {
        match self {
            Field::Varint(value) => out.push(value as i64),
            Field::Bytes(mut reader) => {
                while !reader.is_empty() {
                    out.push(reader.varint()? as i64);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends one float, or the floats of a packed field.
    pub fn floats(self, out: &mut Vec<f32>) -> Result<(), OnnxError> {
        match self {
            Field::Fixed32(word) => out.push(f32::from_bits(word)),
            Field::Bytes(mut reader) => {
                while !reader.is_empty() {
                    out.push(f32::from_bits(reader.fixed32()?));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends one double, or the doubles of a packed field.
    pub fn doubles(self, out: &mut Vec<f64>) -> Result<(), OnnxError> {
        match self {
            Field::Fixed64(word) => out.push(f64::from_bits(word)),
            Field::Bytes(mut reader) => {
                while !reader.is_empty() {
                    out.push(f64::from_bits(reader.fixed64()?));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_end_is_an_error() {
        // Field 7 (graph), length-delimited, declared length 2^63.
        let mut bytes = vec![0x3a];
        bytes.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]);
        let error = Reader::new(&bytes).field().err().unwrap();
        assert!(
            matches!(error, OnnxError::Truncated { needed, .. } if needed == 1 << 63),
            "{error}"
        );
    }

    #[test]
    fn negative_integers_take_ten_bytes() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Reader::new(&bytes).varint().unwrap() as i64, -1);
    }

    #[test]
    fn groups_are_refused() {
        assert!(Reader::new(&[0x0b]).field().is_err());
    }
}
