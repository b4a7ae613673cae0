//! PyTorch's files: programs of `torch.export` (`.pt2`), and checkpoints.

mod archive;
mod error;
mod json;
mod program;
mod symbols;

use std::path::Path;

use modelcost_core::trace::Trace;

pub use error::{ExportError, Result};

use archive::Archive;

/// Reads a `.pt2` file. Its weights are never read.
pub fn read_path(path: &Path) -> Result<Trace> {
    let file = path.display().to_string();
    let io = |source| ExportError::Io {
        file: file.clone(),
        source,
    };
    let handle = std::fs::File::open(path).map_err(io)?;
    let map = map(&handle).map_err(io)?;
    read_bytes(&map, &file)
}

/// Maps a file into memory, so that only what is looked at is read.
#[allow(unsafe_code)]
fn map(file: &std::fs::File) -> std::io::Result<memmap2::Mmap> {
    // SAFETY: the map is read-only. Another process that truncates the file meanwhile can make an
    // access fault, as with every program that maps files; there is no other way not to read
    // gigabytes of weights.
    unsafe { memmap2::Mmap::map(file) }
}

/// Reads the bytes of a `.pt2` file; `name` stands in messages and names the model.
pub fn read_bytes(bytes: &[u8], name: &str) -> Result<Trace> {
    if !bytes.starts_with(b"PK") {
        return Err(ExportError::Unrecognised {
            file: name.to_owned(),
            found: "it is not a zip archive".into(),
        });
    }
    let mut archive = Archive::open(bytes, name)?;
    let Some(entry) = program::entry(&archive) else {
        return Err(ExportError::Unrecognised {
            file: name.to_owned(),
            found: "the archive holds no program".into(),
        });
    };
    let model = Path::new(name)
        .file_stem()
        .map_or(name.into(), |stem| stem.to_string_lossy());
    program::read(&mut archive, &entry, name, &model)
}
