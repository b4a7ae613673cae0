//! A model file of which only what is asked for is read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use typed_arena::Arena;

use crate::error::OnnxError;
use crate::wire::Reader;

/// No name and no constant is larger: protobuf itself stops here.
const MAX_PIECE: usize = 1 << 31;

/// An open file, and the pieces of it that were read.
///
/// The file is not mapped. Pages are mapped around the one that is touched, and with large folios
/// that is megabytes: the headers between the weights of a 435 MB model would keep 170 MB of
/// weights resident that nobody looks at.
pub(crate) struct Source {
    path: PathBuf,
    file: File,
    length: u64,
    pieces: Arena<Vec<u8>>,
}

impl Source {
    pub fn open(path: &Path) -> Result<Source, OnnxError> {
        let io = |source| OnnxError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        Ok(Source {
            path: path.to_owned(),
            file,
            length,
            pieces: Arena::new(),
        })
    }

    /// How many bytes the file has.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Reads a piece, which is kept as long as the source.
    pub fn read(&self, offset: u64, length: usize) -> Result<&[u8], OnnxError> {
        let mut piece = Vec::new();
        let read = if length > MAX_PIECE {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a name or a constant of more than 2 GiB",
            ))
        } else {
            piece
                .try_reserve_exact(length)
                .map_err(io::Error::from)
                .and_then(|()| {
                    piece.resize(length, 0);
                    read_exact_at(&self.file, &mut piece, offset)
                })
        };
        match read {
            Ok(()) => Ok(self.pieces.alloc(piece)),
            Err(source) => Err(OnnxError::Io {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, piece: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, piece, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, piece: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < piece.len() {
        let at = offset + done as u64;
        match std::os::windows::fs::FileExt::seek_read(file, &mut piece[done..], at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(())
}

/// Bytes of a model that may still be in its file: they are read when they are asked for.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    reader: Reader<'a>,
    offset: Option<u64>,
}

impl<'a> Bytes<'a> {
    pub(crate) fn in_file(reader: Reader<'a>) -> Bytes<'a> {
        Bytes {
            reader,
            offset: Some(reader.offset()),
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.reader.left()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where they stand in the model file, if they are from one.
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// All of them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> Result<&'a [u8], OnnxError> {
        self.reader.rest()
    }

    pub(crate) fn reader(&self) -> Reader<'a> {
        self.reader
    }
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes {
            reader: Reader::new(bytes),
            offset: None,
        }
    }
}

impl std::fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())?;
        match self.offset {
            Some(offset) => write!(f, " at {offset}"),
            None => Ok(()),
        }
    }
}
