//! Any text as a TOML spec, as an editor reads it while someone types.
#![no_main]

use modelcost_spec::{Document, Options};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (document, _) = Document::parse(text);
    let _ = document.trace_partial(&Options::default());
    let _ = document.names();
});
