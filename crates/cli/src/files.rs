//! The files beside the models: tables, settings, answers that were kept; and what is written.

use std::fs;
use std::path::Path;

use crate::errors::Failed;

/// The text of a file. Windows' shells write what is redirected as UTF-16, or with a mark in front.
pub fn read_text(path: &Path) -> Result<String, Failed> {
    let fail = |what: String| Failed::input(format!("cannot read {}: {what}", path.display()));
    let bytes = fs::read(path).map_err(|error| fail(error.to_string()))?;
    let units = |from: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let pairs = bytes.chunks_exact(2);
        let units: Vec<u16> = pairs.map(|pair| from([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok()
    };
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => units(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => units(u16::from_be_bytes, rest),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes).ok(),
    };
    text.ok_or_else(|| fail("it is no text; save it as UTF-8".into()))
}

/// Writes a file, and gives the sentence that says so.
pub fn write(path: &Path, bytes: &[u8]) -> Result<String, Failed> {
    fs::write(path, bytes)
        .map_err(|error| Failed::input(format!("cannot write {}: {error}", path.display())))?;
    Ok(format!("{} written\n", path.display()))
}
