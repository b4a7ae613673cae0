//! Checkpoints: what `torch.save` writes (archives, and the pickles of releases before 1.6),
//! safetensors, and either in shards with an index. Which parameters and buffers they hold, of what
//! shape and type; never the values.
//!
//! A pickle is read as data: nothing in it is imported, called or built. A hostile file costs
//! bounded time and memory and gives an error, or is shown as what it is.

mod assemble;
mod element;
mod error;
mod index;
mod legacy;
mod model;
mod names;
pub mod pickle;
mod roles;
mod safetensors;
mod torch;
mod tree;

use std::path::Path;

use modelcost_archive::{Archive, Contents};

pub use element::Element;
pub use error::{CheckpointError, Result};
pub use model::{ByDtype, Checkpoint, Format, Module, Part, PartKind, Role, Tensor, Totals};
pub use tree::{Row, rows};

use assemble::Contained;
use pickle::{Cursor, Heap};
use torch::Storages;

/// Reads a checkpoint of any kind, and the shards beside it if it is an index.
pub fn read_path(path: &Path) -> Result<Checkpoint> {
    let file = path.display().to_string();
    let map = modelcost_archive::map(path).map_err(|source| CheckpointError::Io {
        file: file.clone(),
        source,
    })?;
    if index::is_index(path, &map) {
        return index::read(path, &map);
    }
    Ok(contained(&map, &file)?.alone(&file).finish())
}

/// Reads the bytes of a checkpoint in one file; `file` stands in messages.
pub fn read_bytes(bytes: &[u8], file: &str) -> Result<Checkpoint> {
    Ok(contained(bytes, file)?.finish())
}

/// Reads the checkpoint in an archive whose pickle is the given entry.
pub fn read_archive(archive: &Archive<'_>, entry: &str, file: &str) -> Result<Checkpoint> {
    Ok(in_archive(archive, entry, file)?.alone(file).finish())
}

/// What files begin with that people take for checkpoints, and what they are.
const OTHERS: [(&[u8], &str); 6] = [
    (
        b"version https://git-lfs",
        "it is a pointer of Git LFS and not the file; get that with git lfs pull",
    ),
    (
        b"<",
        "it is a web page; download the checkpoint again, perhaps with a token",
    ),
    (b"\x89HDF", "it is HDF5, which Keras writes"),
    (b"GGUF", "it is GGUF, which llama.cpp reads"),
    (b"\x93NUMPY", "it is a NumPy array"),
    (b"\x1f\x8b", "it is compressed with gzip; unpack it first"),
];

fn contained(bytes: &[u8], file: &str) -> Result<Contained> {
    let unrecognised = |found: &str| CheckpointError::Unrecognised {
        file: file.to_owned(),
        found: found.to_owned(),
    };
    if bytes.starts_with(b"PK") {
        let archive = Archive::open(bytes, file)?;
        return match archive.contents() {
            Contents::Pickle(entry) => in_archive(&archive, &entry, file),
            other => Err(unrecognised(describe(&other))),
        };
    }
    if let Some((_, found)) = OTHERS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(unrecognised(found));
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Err(unrecognised(
            "it is a tar archive, which torch 0.1 wrote; load it in Python and save it again",
        ));
    }
    if file.ends_with(".safetensors") || safetensors::is_likely(bytes) {
        return safetensors::read(bytes, file);
    }
    match pickled(bytes, file) {
        // Every pickle since Python 2.3 begins with its protocol; without, this may be anything.
        Err(CheckpointError::Damaged { .. }) if bytes.first() != Some(&0x80) => Err(unrecognised(
            "it is neither a zip archive nor a pickle nor safetensors",
        )),
        result => result,
    }
}

fn describe(contents: &Contents) -> &'static str {
    match contents {
        Contents::Program(_) => "it is a program of torch.export",
        Contents::TorchScript => "it is a TorchScript archive (torch.jit.save)",
        Contents::Compiled => "it is a package of AOTInductor, which is compiled code",
        Contents::Package => "it is an archive of torch.package",
        Contents::Pickle(_) | Contents::Unknown => "the archive holds no data.pkl",
    }
}

fn in_archive(archive: &Archive<'_>, entry: &str, file: &str) -> Result<Contained> {
    let bytes = archive.read(entry)?;
    let mut heap = Heap::default();
    let root = pickle::load(&mut Cursor::new(&bytes), &mut heap)
        .map_err(|error| CheckpointError::pickle(file, entry, error))?;
    let folder = entry.strip_suffix("data.pkl").unwrap_or_default();
    let size = |key: &str| archive.size(&format!("{folder}data/{key}"));
    let mut storages = Storages::of_archive(&size);
    let walked = torch::walk(&heap, &mut storages, root);
    Contained::of_pickle(Format::Torch, &heap, walked, storages.sizes(), file, entry)
}

fn pickled(bytes: &[u8], file: &str) -> Result<Contained> {
    let legacy = legacy::read(bytes, file)?;
    let mut storages = Storages::default();
    let walked = legacy.walk(&mut storages, bytes.len());
    let format = legacy.format();
    Contained::of_pickle(format, &legacy.heap, walked, storages.sizes(), file, "")
}
