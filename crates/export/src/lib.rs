//! Programs of `torch.export` (`.pt2`).

mod error;
mod json;
mod program;
mod symbols;

use std::path::Path;

use modelcost_archive::{Archive, Contents};
use modelcost_core::trace::{Shape, Trace};

pub use error::{ExportError, Result};
pub use modelcost_fx::Refusal;
use smol_str::SmolStr;

/// Reads a `.pt2` file. Its weights are never read.
pub fn read_path(path: &Path) -> Result<Trace> {
    let file = path.display().to_string();
    let map = modelcost_archive::map(path).map_err(|source| ExportError::Io {
        file: file.clone(),
        source,
    })?;
    read_bytes(&map, &file)
}

/// Reads the bytes of a `.pt2` file; `name` stands in messages and names the model.
pub fn read_bytes(bytes: &[u8], name: &str) -> Result<Trace> {
    if !bytes.starts_with(b"PK") {
        return Err(ExportError::Unrecognised {
            file: name.to_owned(),
            found: "it is not a zip archive".into(),
        });
    }
    let archive = Archive::open(bytes, name)?;
    let Contents::Program(entry) = archive.contents() else {
        return Err(ExportError::Unrecognised {
            file: name.to_owned(),
            found: "the archive holds no program".into(),
        });
    };
    read_archive(&archive, &entry, name)
}

/// Reads the program in an archive whose JSON is the given entry.
pub fn read_archive(archive: &Archive<'_>, entry: &str, name: &str) -> Result<Trace> {
    read_archive_at(archive, entry, name, &[])
}

/// As [`read_archive`], with other shapes for the inputs of the given names: its operators are run
/// again on them, where it is certain what sizes in the program follow.
pub fn read_archive_at(
    archive: &Archive<'_>,
    entry: &str,
    name: &str,
    shapes: &[(SmolStr, Shape)],
) -> Result<Trace> {
    let model = Path::new(name)
        .file_stem()
        .map_or(name.into(), |stem| stem.to_string_lossy());
    program::read(archive, entry, name, &model, shapes)
}
