//! The operator models of the onnx package (tests/conformance/onnx-node.tar.xz).

#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// The models by name, and the lines of `expected.jsonl`.
pub fn load() -> (BTreeMap<String, Vec<u8>>, Vec<serde_json::Value>) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance/onnx-node.tar.xz");
    let packed = std::fs::read(path).unwrap();
    let mut tar = Vec::new();
    lzma_rs::xz_decompress(&mut packed.as_slice(), &mut tar).unwrap();
    let (mut models, mut lines) = (BTreeMap::new(), Vec::new());
    for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        match path.extension().and_then(|e| e.to_str()) {
            Some("onnx") => {
                let name = path.file_stem().unwrap().to_str().unwrap();
                models.insert(name.to_owned(), bytes);
            }
            Some("jsonl") => lines.extend(
                String::from_utf8(bytes)
                    .unwrap()
                    .lines()
                    .map(|line| serde_json::from_str(line).unwrap()),
            ),
            _ => {}
        }
    }
    (models, lines)
}
