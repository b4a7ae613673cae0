//! Zip archives over a memory map: entries are found by name and read only when asked for.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use zip::ZipArchive;

use crate::error::{ExportError, Result};

/// The largest inflated size of an entry that is read. Programs of the largest models are tens of
/// megabytes of JSON.
const MAX_ENTRY: u64 = 2 << 30;

/// How much more than the whole file an entry may inflate to. JSON deflates by about twenty.
const MAX_RATIO: u64 = 200;

/// An open archive.
pub struct Archive<'a> {
    file: String,
    bytes: &'a [u8],
    zip: ZipArchive<Cursor<&'a [u8]>>,
}

impl<'a> Archive<'a> {
    /// Reads the central directory.
    pub fn open(bytes: &'a [u8], file: &str) -> Result<Archive<'a>> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| ExportError::Archive {
            file: file.to_owned(),
            message: error.to_string(),
        })?;
        Ok(Archive {
            file: file.to_owned(),
            bytes,
            zip,
        })
    }

    /// The names of all entries.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.zip.file_names()
    }

    /// The first name that ends in `suffix`, at the root or in the archive's one folder.
    pub fn find(&self, suffix: &str) -> Option<String> {
        let at_boundary = |name: &&str| {
            name.strip_suffix(suffix)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        self.names().find(at_boundary).map(str::to_owned)
    }

    /// The bytes of an entry: borrowed when it is stored, inflated otherwise.
    pub fn read(&mut self, name: &str) -> Result<Cow<'a, [u8]>> {
        let file = self.file.clone();
        let damaged = |message: String| ExportError::Archive {
            file: file.clone(),
            message: format!("{name}: {message}"),
        };
        let mut entry = self
            .zip
            .by_name(name)
            .map_err(|error| damaged(error.to_string()))?;
        let size = entry.size();
        let limit = MAX_ENTRY.min(MAX_RATIO.saturating_mul(self.bytes.len() as u64));
        if size > limit {
            return Err(ExportError::TooLarge {
                file: file.clone(),
                what: format!("{name} would inflate to {size} bytes"),
            });
        }
        if entry.compression() == zip::CompressionMethod::Stored {
            let stored = usize::try_from(entry.data_start())
                .ok()
                .zip(usize::try_from(size).ok())
                .and_then(|(start, len)| self.bytes.get(start..start.checked_add(len)?));
            return stored
                .map(Cow::Borrowed)
                .ok_or_else(|| damaged("it ends behind the end of the file".into()));
        }
        let mut out = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(64 << 20));
        // The declared size may lie, so the limit holds for what really comes out.
        let read = entry.by_ref().take(limit + 1).read_to_end(&mut out);
        read.map_err(|error| damaged(error.to_string()))?;
        if out.len() as u64 > limit {
            return Err(ExportError::TooLarge {
                file,
                what: format!("{name} inflates to more than {limit} bytes"),
            });
        }
        Ok(Cow::Owned(out))
    }
}
