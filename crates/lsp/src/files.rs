//! What the server reads from disk.

use std::path::{Path, PathBuf};

use modelcost_ide::config::CONFIG_FILE;
use tower_lsp::ls_types::Uri;

/// Settings files are a few lines; a longer one is something else.
const MAX_CONFIG: u64 = 1 << 20;

/// The path of a `file:` document.
pub fn path_of(uri: &Uri) -> Option<PathBuf> {
    (uri.scheme().as_str() == "file")
        .then(|| uri.to_file_path().map(|path| path.into_owned()))
        .flatten()
}

/// The text of a folder's settings file, if it has one.
pub fn read_config(folder: &Path) -> Option<String> {
    let path = folder.join(CONFIG_FILE);
    let size = std::fs::metadata(&path)
        .ok()
        .filter(|found| found.is_file())?
        .len();
    if size > MAX_CONFIG {
        return None;
    }
    std::fs::read_to_string(path).ok()
}
