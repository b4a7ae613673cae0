//! Any bytes as the JSON program of a `.pt2` archive: the zip around it is always right, so that
//! all effort goes into the program.
#![no_main]

use std::io::Write;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let archive = archive(data).expect("an archive in memory");
    let _ = modelcost_export::read_bytes(&archive, "fuzz.pt2");
});

fn archive(program: &[u8]) -> Result<Vec<u8>, rawzip::Error> {
    let mut out = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut out);
    let (mut entry, config) = archive
        .new_file("model/models/model.json")
        .compression_method(rawzip::CompressionMethod::STORE)
        .start()?;
    let mut writer = config.wrap(&mut entry);
    writer.write_all(program).expect("memory");
    let (_, descriptor) = writer.finish()?;
    entry.finish(descriptor)?;
    archive.finish()?;
    Ok(out)
}
