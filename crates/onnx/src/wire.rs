//! The protobuf wire format, read in place.
//!
//! ONNX is protobuf, but a general decoder is the wrong tool for a file that is 99.9 % weights.
//! `prost` over [`bytes::Bytes`] leaves `raw_data` in place, yet it copies every string and turns
//! the packed fields that older exporters keep weights in (`float_data`, `int64_data`) into vectors,
//! which reads all of them. This walker borrows everything from what was read: a field that
//! nobody asks for costs one length prefix, and its bytes stay in the file. It also puts
//! malformed input in one place: every length is checked against what is left of the enclosing
//! message before anything is allocated.
//!
//! [`bytes::Bytes`]: https://docs.rs/bytes

use crate::error::OnnxError;
use crate::source::Source;

/// Fields of up to this many bytes are read with what is around them; longer ones when they are
/// asked for.
const SMALL: u64 = 4 << 10;
/// What is read first behind a field that was left in the file: more than the head of a tensor.
const FIRST_WINDOW: u64 = 1 << 10;
/// What is read at once where everything is asked for.
const MAX_WINDOW: u64 = 64 << 10;

/// A position in a message.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    /// What was read of the message: the bytes at `base` and after.
    window: &'a [u8],
    /// Where the window starts in the file.
    base: u64,
    /// Where in the file the next byte is.
    at: u64,
    /// Where in the file the message ends.
    end: u64,
    /// The file, if there may be more than the window.
    source: Option<&'a Source>,
    /// How much was read last.
    ahead: u64,
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
    /// A message in memory.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader {
            window: bytes,
            base: 0,
            at: 0,
            end: bytes.len() as u64,
            source: None,
            ahead: 0,
        }
    }

    /// A file that is one message.
    pub fn of(source: &'a Source) -> Reader<'a> {
        Reader {
            end: source.len(),
            source: Some(source),
            ..Reader::new(&[])
        }
    }

    /// Where in the file the next byte is.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// How much is left of this message.
    pub fn left(&self) -> u64 {
        self.end - self.at
    }

    pub fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// What is left of this message.
    pub fn rest(mut self) -> Result<&'a [u8], OnnxError> {
        let left = self.left();
        self.need(left, "a field")
    }

    fn malformed(&self, what: &'static str) -> OnnxError {
        OnnxError::Malformed {
            what,
            offset: self.at,
        }
    }

    fn truncated(&self, what: &'static str, needed: u64) -> OnnxError {
        OnnxError::Truncated {
            what,
            offset: self.at,
            needed,
            left: self.left(),
        }
    }

    /// What was read of the bytes ahead.
    fn at_hand(&self) -> &'a [u8] {
        let passed = usize::try_from(self.at - self.base).unwrap_or(usize::MAX);
        self.window.get(passed..).unwrap_or_default()
    }

    /// The next bytes, without passing them.
    fn need(&mut self, length: u64, what: &'static str) -> Result<&'a [u8], OnnxError> {
        if length > self.left() {
            return Err(self.truncated(what, length));
        }
        let size = usize::try_from(length).map_err(|_| self.truncated(what, length))?;
        if let Some(bytes) = self.at_hand().get(..size) {
            return Ok(bytes);
        }
        let Some(source) = self.source else {
            return Err(self.truncated(what, length));
        };
        let follows = self.at - self.base <= self.window.len() as u64;
        self.ahead = match follows && self.ahead > 0 {
            true => (2 * self.ahead).min(MAX_WINDOW),
            false => FIRST_WINDOW,
        };
        let window = length.max(self.ahead.min(self.left()));
        self.window = source.read(self.at, window as usize)?;
        self.base = self.at;
        Ok(&self.window[..size])
    }

    /// A base-128 integer of at most ten bytes.
    pub fn varint(&mut self) -> Result<u64, OnnxError> {
        let mut bytes = self.at_hand();
        // Most are the heads of fields and the lengths of names.
        if let [byte @ 0..0x80, ..] = bytes
            && !self.is_empty()
        {
            self.at += 1;
            return Ok(u64::from(*byte));
        }
        if bytes.len() < 10 && (bytes.len() as u64) < self.left() {
            bytes = self.need(self.left().min(10), "an integer")?;
        }
        let mut value = 0u64;
        for (index, byte) in bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f)
                .checked_shl(7 * index as u32)
                .unwrap_or(0);
            if byte & 0x80 == 0 {
                self.at += index as u64 + 1;
                return Ok(value);
            }
        }
        Err(match self.left() < 10 {
            true => self.truncated("an integer", self.left() + 1),
            false => self.malformed("an integer of more than ten bytes"),
        })
    }

    /// Passes a field, which is read now if it is small.
    fn take(&mut self, length: u64, what: &'static str) -> Result<Reader<'a>, OnnxError> {
        if length > self.left() {
            return Err(self.truncated(what, length));
        }
        if length <= SMALL {
            self.need(length, what)?;
        }
        let at_hand = self.at_hand();
        let whole = usize::try_from(length).unwrap_or(usize::MAX);
        let reader = Reader {
            window: at_hand.get(..whole).unwrap_or(at_hand),
            base: self.at,
            at: self.at,
            end: self.at + length,
            source: self.source,
            ahead: 0,
        };
        self.at = reader.end;
        Ok(reader)
    }

    fn word(&mut self, length: u64, what: &'static str) -> Result<u64, OnnxError> {
        let bytes = self.need(length, what)?;
        self.at += length;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |word, byte| (word << 8) | u64::from(*byte)))
    }

    /// A little-endian 32-bit word.
    pub fn fixed32(&mut self) -> Result<u32, OnnxError> {
        Ok(self.word(4, "a 32-bit number")? as u32)
    }

    /// A little-endian 64-bit word.
    pub fn fixed64(&mut self) -> Result<u64, OnnxError> {
        self.word(8, "a 64-bit number")
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

    /// Bytes, all of which are read now.
    pub fn bytes(self) -> Result<Option<&'a [u8]>, OnnxError> {
        self.message().map(Reader::rest).transpose()
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
            Field::Bytes(reader) => std::str::from_utf8(reader.rest()?)
                .map_err(|_| reader.malformed("a name that is not UTF-8")),
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
