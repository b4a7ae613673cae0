//! Any text as a model in ONNX's textual syntax.
#![no_main]

use modelcost_onnx::infer::Options;
use modelcost_onnx::text::{self, Arena};

libfuzzer_sys::fuzz_target!(|source: &str| {
    let arena = Arena::default();
    let parsed = text::parse(source, &arena);
    let _ = modelcost_onnx::trace(&parsed.model, &Options::default(), "model");
    let _ = text::print(&parsed.model, None);
});
