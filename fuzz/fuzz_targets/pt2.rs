//! Any bytes as a `.pt2` archive.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = modelcost_export::read_bytes(data, "fuzz.pt2");
});
