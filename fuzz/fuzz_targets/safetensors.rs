//! Any bytes as the header of a safetensors file. The length before it is always right, and the
//! data behind it is as long as the number in front says.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (u16, &[u8])| {
    let (length, header) = input;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header);
    file.resize(file.len() + usize::from(length), 0);
    if let Ok(checkpoint) = modelcost_checkpoint::read_bytes(&file, "fuzz.safetensors") {
        let rows = modelcost_checkpoint::rows(&checkpoint.model);
        assert_eq!(rows[0].params, checkpoint.model.totals.params);
    }
});
