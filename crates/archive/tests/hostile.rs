//! Archives that are damaged or made to do harm end in an error, in bounded time and memory.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

use std::io::Write;

use modelcost_archive::{Archive, ArchiveError, Contents};
use rawzip::{CompressionMethod, ZipArchiveWriter};

/// An archive of the given entries, deflated where the flag says so.
fn archive(entries: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut out);
    for (name, content, is_deflated) in entries {
        let method = match is_deflated {
            true => CompressionMethod::DEFLATE,
            false => CompressionMethod::STORE,
        };
        let builder = archive.new_file(name).compression_method(method);
        let (mut entry, config) = builder.start().unwrap();
        let descriptor = if *is_deflated {
            let best = flate2::Compression::best();
            let encoder = flate2::write::DeflateEncoder::new(&mut entry, best);
            let mut writer = config.wrap(encoder);
            writer.write_all(content).unwrap();
            let (encoder, descriptor) = writer.finish().unwrap();
            encoder.finish().unwrap();
            descriptor
        } else {
            let mut writer = config.wrap(&mut entry);
            writer.write_all(content).unwrap();
            writer.finish().unwrap().1
        };
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    out
}

/// Where the only directory entry begins.
fn directory(bytes: &[u8]) -> usize {
    let at = bytes.windows(4).rposition(|bytes| bytes == b"PK\x01\x02");
    at.unwrap()
}

fn set32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Places in a directory entry.
const CHECKSUM: usize = 16;
const COMPRESSED: usize = 20;
const SIZE: usize = 24;
const OFFSET: usize = 42;

fn error(bytes: &[u8]) -> ArchiveError {
    let result = Archive::open(bytes, "a.pt").and_then(|archive| {
        let name = archive.names().next().unwrap().to_owned();
        archive.read(&name).map(drop)
    });
    result.unwrap_err()
}

fn is_damaged(error: &ArchiveError, message: &str) {
    let text = error.to_string();
    let is_damaged = matches!(error, ArchiveError::Damaged { .. });
    assert!(is_damaged && text.contains(message), "{text}");
}

#[test]
fn stored_and_deflated_entries_are_read() {
    let bytes = archive(&[
        ("m/data.pkl", b"stored", false),
        ("m/version", b"3\n", true),
    ]);
    let archive = Archive::open(&bytes, "a.pt").unwrap();
    assert_eq!(&*archive.read("m/data.pkl").unwrap(), b"stored");
    assert_eq!(&*archive.read("m/version").unwrap(), b"3\n");
    assert_eq!(archive.size("m/version"), Some(2));
    assert_eq!(archive.contents(), Contents::Pickle("m/data.pkl".into()));
    is_damaged(&archive.read("m/data/0").unwrap_err(), "no such entry");
}

#[test]
fn contents_are_told_apart() {
    let of = |names: &[&str]| {
        let entries: Vec<_> = names
            .iter()
            .map(|name| (*name, b"".as_slice(), false))
            .collect();
        let bytes = archive(&entries);
        Archive::open(&bytes, "a").unwrap().contents()
    };
    let program = |name: &str| Contents::Program(name.into());
    assert_eq!(of(&["m/models/model.json"]), program("m/models/model.json"));
    assert_eq!(
        of(&["serialized_exported_program.json"]),
        program("serialized_exported_program.json")
    );
    assert_eq!(of(&["m/models/net.json"]), program("m/models/net.json"));
    assert_eq!(
        of(&["m/data.pkl", "m/constants.pkl"]),
        Contents::TorchScript
    );
    assert_eq!(
        of(&["m/data.pkl", "m/.data/extern_modules"]),
        Contents::Package
    );
    assert_eq!(of(&["m/data/aotinductor/model/a.so"]), Contents::Compiled);
    // Deeper than any writer of PyTorch puts it.
    assert_eq!(of(&["a/b/data.pkl"]), Contents::Unknown);
    assert_eq!(of(&[]), Contents::Unknown);
}

#[test]
fn a_cut_archive_is_damaged() {
    let bytes = archive(&[("m/data.pkl", &[7; 500], false), ("m/x", &[1; 500], true)]);
    for part in 0..64 {
        let cut = &bytes[..bytes.len() * part / 64];
        assert!(matches!(
            Archive::open(cut, "a.pt").err(),
            Some(ArchiveError::Damaged { .. })
        ));
    }
}

#[test]
fn no_byte_makes_it_panic() {
    let bytes = archive(&[("m/data.pkl", b"stored", false), ("m/x", &[1; 99], true)]);
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            let Ok(archive) = Archive::open(&bytes, "a.pt") else {
                continue;
            };
            archive.contents();
            for name in archive.names() {
                let _ = archive.read(name);
            }
        }
    }
}

#[test]
fn bombs_are_refused() {
    // Declared: more than any model has.
    let mut bytes = archive(&[("a", b"small", true)]);
    let at = directory(&bytes);
    set32(&mut bytes, at + SIZE, 0xffff_fff0);
    assert!(matches!(error(&bytes), ArchiveError::TooLarge { .. }));
    // Declared, and true: a thousand times its deflated size.
    let bytes = archive(&[("a", &vec![0; 4 << 20], true)]);
    assert!(matches!(error(&bytes), ArchiveError::TooLarge { .. }));
    // Undeclared: it ends after the size that it declares.
    let mut bytes = archive(&[("a", &vec![0; 4 << 20], true)]);
    let at = directory(&bytes);
    set32(&mut bytes, at + SIZE, 100);
    is_damaged(&error(&bytes), "holds 101 bytes and declares 100");
}

#[test]
fn a_directory_that_lies_is_damaged() {
    let good = archive(&[("a", b"stored", false)]);
    let at = directory(&good);
    let with = |place: usize, value: u32| {
        let mut bytes = good.clone();
        set32(&mut bytes, at + place, value);
        error(&bytes)
    };
    is_damaged(&with(CHECKSUM, 12), "checksum is wrong");
    is_damaged(&with(SIZE, 5), "holds 6 bytes and declares 5");
    is_damaged(&with(COMPRESSED, 1 << 30), "a: ");
    is_damaged(&with(OFFSET, 1 << 30), "a: ");
    is_damaged(&with(OFFSET, 3), "a: ");
    // torch.serialization.set_crc32_options(False) leaves checksums at zero.
    let mut bytes = good.clone();
    set32(&mut bytes, at + CHECKSUM, 0);
    let archive_without = Archive::open(&bytes, "a").unwrap();
    assert_eq!(&*archive_without.read("a").unwrap(), b"stored");
    // The end of the directory says how many entries it has.
    let mut bytes = good.clone();
    let end = bytes
        .windows(4)
        .rposition(|bytes| bytes == b"PK\x05\x06")
        .unwrap();
    bytes[end + 8] = 200;
    bytes[end + 10] = 200;
    let failed = Archive::open(&bytes, "a").err().unwrap();
    is_damaged(&failed, "has 1 entries and declares 200");
}

#[test]
fn two_entries_of_one_name_are_refused() {
    let bytes = archive(&[("a", b"one", false), ("a", b"two", false)]);
    is_damaged(&Archive::open(&bytes, "a").err().unwrap(), "two entries a");
}
