//! What comes through a pipe: standard input (`-`), or a named one.
//!
//! Readers go back and forth in a file and pass over its weights, which a pipe does not allow. So it
//! is kept as a file, once, however often the model is read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, FileType};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use modelcost_core::diagnostic::Diagnostic;
use tempfile::NamedTempFile;

/// The path that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

static KEPT: Mutex<BTreeMap<PathBuf, NamedTempFile>> = Mutex::new(BTreeMap::new());

/// The file to read for a path: itself, or the copy of what came through the pipe.
pub fn file(path: &Path) -> Result<Cow<'_, Path>, Box<Diagnostic>> {
    if !is_pipe(path) {
        return Ok(Cow::Borrowed(path));
    }
    let fail =
        |error: io::Error| Diagnostic::without_place(format!("the pipe cannot be read: {error}"));
    // A thread that panicked in here left the map as it was.
    let mut kept = KEPT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(copy) = kept.get(path) {
        return Ok(Cow::Owned(copy.path().into()));
    }
    let copy = copy_of(path).map_err(fail)?;
    let file = copy.path().to_path_buf();
    kept.insert(path.into(), copy);
    Ok(Cow::Owned(file))
}

/// Removes the copies. Whoever reads models calls it before the program ends: nothing else does.
pub fn forget() {
    let mut kept = KEPT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    kept.clear();
}

/// Whether a path is standard input or a named pipe.
pub fn is_pipe(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
        || std::fs::metadata(path).is_ok_and(|metadata| is_pipe_type(metadata.file_type()))
}

#[cfg(unix)]
fn is_pipe_type(kind: FileType) -> bool {
    use std::os::unix::fs::FileTypeExt;
    kind.is_fifo() || kind.is_socket()
}

#[cfg(not(unix))]
fn is_pipe_type(_: FileType) -> bool {
    false
}

fn copy_of(path: &Path) -> io::Result<NamedTempFile> {
    let mut copy = tempfile::Builder::new().prefix("modelcost-").tempfile()?;
    let mut from: Box<dyn Read> = if path == Path::new(STANDARD_INPUT) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path)?)
    };
    io::copy(&mut from, &mut copy)?;
    copy.flush()?;
    Ok(copy)
}
