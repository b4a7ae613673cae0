//! PyTorch's zip archives over a memory map: `torch.export.save`, `torch.save` and `torch.jit.save`
//! all write one.
//!
//! Only the directory and the entries that are asked for are touched, so gigabytes of weights stay
//! on disk. A hostile archive costs bounded time and memory.

mod contents;
mod error;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};

pub use contents::Contents;
pub use error::ArchiveError;

/// The largest inflated size of an entry that is read. Programs of the largest models are tens of
/// megabytes of JSON.
const MAX_INFLATED: u64 = 256 << 20;

/// How much an entry may inflate by. JSON deflates by about twenty, the format's limit is 1032.
const MAX_RATIO: u64 = 200;

/// The most entries. A checkpoint has one for each tensor.
const MAX_ENTRIES: u64 = 1 << 20;

/// An open archive.
pub struct Archive<'a> {
    file: String,
    zip: ZipSliceArchive<&'a [u8]>,
    entries: Vec<Entry>,
    index: HashMap<Box<str>, usize>,
}

/// A line of the directory.
struct Entry {
    name: Box<str>,
    method: CompressionMethod,
    crc: u32,
    place: ZipArchiveEntryWayfinder,
}

impl<'a> Archive<'a> {
    /// Reads the directory; `file` stands in messages.
    pub fn open(bytes: &'a [u8], file: &str) -> Result<Archive<'a>, ArchiveError> {
        let zip = ZipArchive::from_slice(bytes).map_err(|error| damaged(file, error))?;
        let mut archive = Archive {
            file: file.to_owned(),
            zip,
            entries: Vec::new(),
            index: HashMap::new(),
        };
        archive.read_directory()?;
        Ok(archive)
    }

    fn read_directory(&mut self) -> Result<(), ArchiveError> {
        for header in self.zip.entries() {
            let header = header.map_err(|error| damaged(&self.file, error))?;
            if self.entries.len() as u64 >= MAX_ENTRIES {
                return Err(ArchiveError::TooLarge {
                    file: self.file.clone(),
                    what: format!("it has more than {MAX_ENTRIES} entries"),
                });
            }
            let path = header.file_path();
            let name: Box<str> = String::from_utf8_lossy(path.as_bytes()).into();
            // Which of the two a program sees depends on the program.
            if self
                .index
                .insert(name.clone(), self.entries.len())
                .is_some()
            {
                return Err(damaged(&self.file, format!("it has two entries {name}")));
            }
            self.entries.push(Entry {
                name,
                method: header.compression_method(),
                crc: header.crc32(),
                place: header.wayfinder(),
            });
        }
        let (found, declared) = (self.entries.len() as u64, self.zip.entries_hint());
        if found != declared {
            let message = format!("its directory has {found} entries and declares {declared}");
            return Err(damaged(&self.file, message));
        }
        Ok(())
    }

    /// The names of all entries.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.name)
    }

    /// The name of the entry `path` at the root, or in a folder at the root: all of PyTorch's
    /// writers but the oldest put everything into one folder.
    pub fn find(&self, path: &str) -> Option<&str> {
        let fits = |name: &&str| {
            *name == path
                || name
                    .split_once('/')
                    .is_some_and(|(_, inside)| inside == path)
        };
        self.names().find(fits)
    }

    /// What the archive holds.
    pub fn contents(&self) -> Contents {
        contents::of(self)
    }

    /// The size of an entry's content as the directory declares it.
    pub fn size(&self, name: &str) -> Option<u64> {
        let entry = &self.entries[*self.index.get(name)?];
        Some(entry.place.uncompressed_size_hint())
    }

    /// The bytes of an entry: borrowed when it is stored, inflated otherwise.
    pub fn read(&self, name: &str) -> Result<Cow<'a, [u8]>, ArchiveError> {
        let fail = |message: String| damaged(&self.file, format!("{name}: {message}"));
        let Some(&at) = self.index.get(name) else {
            return Err(fail("there is no such entry".into()));
        };
        let entry = &self.entries[at];
        let place = self.zip.get_entry(entry.place);
        let (start, end) = place
            .map_err(|error| fail(error.to_string()))?
            .compressed_data_range();
        let bytes: &'a [u8] = self.zip.get_ref();
        let data = usize::try_from(start)
            .ok()
            .zip(usize::try_from(end).ok())
            .and_then(|(start, end)| bytes.get(start..end))
            .ok_or_else(|| fail("it ends behind the end of the file".into()))?;
        let size = entry.place.uncompressed_size_hint();
        let content = match entry.method {
            CompressionMethod::STORE => Cow::Borrowed(data),
            CompressionMethod::DEFLATE => Cow::Owned(self.inflate(data, size, name)?),
            other => {
                let message = format!("its compression ({}) is not read", other.as_u16());
                return Err(fail(message));
            }
        };
        if content.len() as u64 != size {
            return Err(fail(format!(
                "it holds {} bytes and declares {size}",
                content.len()
            )));
        }
        // torch.save leaves the checksum at zero where it is told not to compute it.
        let mut crc = flate2::Crc::new();
        crc.update(&content);
        if entry.crc != 0 && crc.sum() != entry.crc {
            return Err(fail("its checksum is wrong".into()));
        }
        Ok(content)
    }

    fn inflate(&self, data: &[u8], size: u64, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let limit = MAX_INFLATED.min(MAX_RATIO.saturating_mul(data.len() as u64));
        if size > limit {
            return Err(ArchiveError::TooLarge {
                file: self.file.clone(),
                what: format!("{name} would inflate from {} to {size} bytes", data.len()),
            });
        }
        // The declared size may lie: no more than it and one byte is ever inflated.
        let mut content = Vec::new();
        flate2::bufread::DeflateDecoder::new(data)
            .take(size + 1)
            .read_to_end(&mut content)
            .map_err(|error| damaged(&self.file, format!("{name}: {error}")))?;
        Ok(content)
    }
}

fn damaged(file: &str, message: impl ToString) -> ArchiveError {
    ArchiveError::Damaged {
        file: file.to_owned(),
        message: message.to_string(),
    }
}

/// A file's bytes, of which only those that are looked at are read.
pub type Map = memmap2::Mmap;

/// Maps a file into memory.
#[allow(unsafe_code)]
pub fn map(path: &Path) -> std::io::Result<Map> {
    let file = std::fs::File::open(path)?;
    // SAFETY: the map is read-only. Another process that truncates the file meanwhile can make an
    // access fault, as with every program that maps files; there is no other way not to read
    // gigabytes of weights.
    unsafe { memmap2::Mmap::map(&file) }
}
