//! Any bytes as a binary ONNX model: decoded, shapes inferred, modules put back, printed as text.
#![no_main]

use modelcost_onnx::ModelFile;
use modelcost_onnx::infer::Options;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = ModelFile::from_bytes("model.onnx", bytes.to_vec());
    if file.text().is_some() {
        return;
    }
    let Ok(model) = file.model() else { return };
    let _ = modelcost_onnx::trace(&model, &Options::default(), "model");
    let _ = modelcost_onnx::text::print(&model, None);
});
