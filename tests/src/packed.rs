//! Models that stand in one archive, so that thousands of small files are not in the repository.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// The files of a `.tar.xz` by their names: `dec__var.raw.onnx`.
///
/// # Panics
/// When the archive cannot be read.
#[allow(clippy::unwrap_used)]
pub fn files(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let packed = std::fs::read(archive).unwrap();
    let mut tar = Vec::new();
    lzma_rs::xz_decompress(&mut packed.as_slice(), &mut tar).unwrap();
    let mut out = BTreeMap::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        out.insert(name, bytes);
    }
    out
}
