//! The bytes of a pickle, read front to back.

use std::borrow::Cow;

use super::PickleError;

/// A place in the bytes. Nothing is read behind their end.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// From the first byte.
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// An error at this place.
    pub fn damaged(&self, message: impl Into<String>) -> PickleError {
        PickleError::Damaged {
            offset: self.at,
            message: message.into(),
        }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: u64) -> Result<&'a [u8], PickleError> {
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| self.at.checked_add(count));
        match end.and_then(|end| Some((end, self.bytes.get(self.at..end)?))) {
            Some((end, bytes)) => {
                self.at = end;
                Ok(bytes)
            }
            None => Err(self.damaged(format!(
                "{count} bytes should follow, but the pickle ends after {}",
                self.bytes.len() - self.at
            ))),
        }
    }

    /// The next bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let bytes = self.take(N as u64)?;
        let array = bytes.try_into();
        array.map_err(|_| self.damaged("the pickle ends too early"))
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.array::<1>()?[0])
    }

    /// A length of 1, 2, 4 or 8 bytes, lowest first.
    pub fn length(&mut self, width: u64) -> Result<u64, PickleError> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// The rest of the line, without its end.
    pub fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(self.damaged("the pickle ends inside a line"));
        };
        self.at += end + 1;
        let line = &rest[..end];
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The rest of the line as text.
    pub fn text_line(&mut self) -> Result<Cow<'a, str>, PickleError> {
        Ok(String::from_utf8_lossy(self.line()?))
    }
}
