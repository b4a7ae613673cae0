//! Any bytes as a checkpoint: an archive, a legacy file, a plain pickle.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(checkpoint) = modelcost_checkpoint::read_bytes(data, "fuzz.pt") {
        for part in checkpoint.others.iter().chain([&checkpoint.model]) {
            let rows = modelcost_checkpoint::rows(part);
            assert_eq!(rows[0].bytes, part.totals.bytes);
        }
    }
});
