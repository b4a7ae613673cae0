//! What the server reads from disk.

use std::path::{Path, PathBuf};

use modelcost_ide::config::CONFIG_FILE;
use tower_lsp::ls_types::Uri;

/// Settings files are a few lines; a longer one is something else.
const MAX_CONFIG: u64 = 1 << 20;

/// The scheme of documents that show a program file as text, where the editor has one of its own for that.
const VIEW_SCHEME: &str = "modelcost-view";

/// The path of a document that is a file or shows one.
pub fn path_of(uri: &Uri) -> Option<PathBuf> {
    match uri.scheme().as_str() {
        "file" => Some(uri.to_file_path()?.into_owned()),
        VIEW_SCHEME => {
            let file: Uri = uri.as_str().replacen(VIEW_SCHEME, "file", 1).parse().ok()?;
            Some(file.to_file_path()?.into_owned())
        }
        _ => None,
    }
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
