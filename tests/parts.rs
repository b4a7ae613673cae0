//! Functions that exporters take apart (`corpus/zoo_dec.py`), as programs and as ONNX: whatever a tool
//! printed for the live model, an answer that calls itself exact is equal. The numbers are those of the tools
//! with torch 2.15.0.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use modelcost_core::fidelity::Level;
use modelcost_core::trace::Trace;
use modelcost_onnx::ModelFile;
use modelcost_onnx::infer::Options;
use modelcost_tests::check::{Figure, check_model};
use modelcost_tests::corpus::Expected;

/// The files by their names: `dec__var.raw.onnx`.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let packed = std::fs::read(folder.join("models.tar.xz")).unwrap();
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

fn trace(name: &str, bytes: &[u8]) -> Result<Trace, String> {
    if name.ends_with(".pt2") {
        return modelcost_export::read_bytes(bytes, name).map_err(|error| error.to_string());
    }
    let file = ModelFile::from_bytes(name, bytes.to_vec());
    let model = file.model().map_err(|error| error.to_string())?;
    modelcost_onnx::trace(&model, &Options::default(), name).map_err(|error| error.to_string())
}

#[test]
fn exact_answers_are_equal() {
    modelcost_conventions::link();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/dec");
    let files = files(&folder);
    let table = std::fs::read_to_string(folder.join("dec.jsonl")).unwrap();
    let (mut equal, mut all, mut lies) = (0, 0, Vec::new());
    for line in table.lines() {
        let expected: Expected = serde_json::from_str(line).unwrap();
        let name = expected.model.replace('/', "__");
        for extension in ["pt2", "raw.onnx", "dyn.onnx", "leg.onnx"] {
            let name = format!("{name}.{extension}");
            let Some(bytes) = files.get(&name) else {
                continue;
            };
            for outcome in check_model(&expected, trace(&name, bytes)) {
                if !matches!(outcome.figure, Figure::Count | Figure::Params) {
                    continue;
                }
                all += 1;
                let Some(miss) = outcome.miss else {
                    equal += 1;
                    continue;
                };
                if outcome.level.unwrap_or(Level::Partial) == Level::Exact {
                    lies.push(format!("{name} {}: {miss:?}", outcome.tool));
                }
            }
        }
    }
    assert!(lies.is_empty(), "wrong without saying so: {lies:#?}");
    assert!(equal * 10 >= all * 8, "{equal} of {all} are equal");
}
