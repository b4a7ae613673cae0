//! Programs that are damaged or made to do harm end in an error or a trace, in bounded time and
//! memory.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;

use modelcost_archive::Archive;
use modelcost_export::read_bytes;

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/small");
    std::fs::read(folder.join(name)).unwrap()
}

/// The JSON of a fixture's program.
fn program(name: &str) -> String {
    let bytes = fixture(name);
    let archive = Archive::open(&bytes, name).unwrap();
    let entry = archive.find("models/model.json").unwrap().to_owned();
    String::from_utf8(archive.read(&entry).unwrap().into_owned()).unwrap()
}

/// An archive with one program.
fn archive(json: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut out);
    let builder = archive
        .new_file("m/models/model.json")
        .compression_method(rawzip::CompressionMethod::STORE);
    let (mut entry, config) = builder.start().unwrap();
    let mut writer = config.wrap(&mut entry);
    writer.write_all(json.as_bytes()).unwrap();
    let descriptor = writer.finish().unwrap().1;
    entry.finish(descriptor).unwrap();
    archive.finish().unwrap();
    out
}

fn read(json: &str) -> Result<modelcost_core::trace::Trace, String> {
    read_bytes(&archive(json), "a.pt2").map_err(|error| error.to_string())
}

const SMALL: &str = "mod__linear_512_1000.pt2";

#[test]
fn a_cut_archive_is_an_error() {
    let bytes = fixture(SMALL);
    for part in 0..64 {
        assert!(read_bytes(&bytes[..bytes.len() * part / 64], "a.pt2").is_err());
    }
    assert!(read_bytes(&bytes[..bytes.len() - 1], "a.pt2").is_err());
}

#[test]
fn a_cut_program_is_an_error_with_its_place() {
    let json = program(SMALL);
    assert!(read(&json).is_ok());
    for part in 0..64 {
        let error = read(&json[..json.len() * part / 64]).unwrap_err();
        assert!(error.contains("m/models/model.json, line "), "{error}");
    }
}

#[test]
fn json_that_is_no_program() {
    for json in ["", "null", "[]", "{}", "{\"graph_module\": {\"graph\": 3}}"] {
        assert!(read(json).unwrap_err().contains("line 1"), "{json}");
    }
    for open in ["[", "{\"graph_module\":", "{\"x\":["] {
        assert!(read(&open.repeat(100_000)).unwrap_err().contains("line 1"));
    }
    // A key that is twice there: which of them counts?
    let json = program(SMALL);
    let twice = json.replacen("\"nodes\"", "\"nodes\": [], \"nodes\"", 1);
    let error = read(&twice).map(drop).unwrap_err();
    assert!(error.contains("duplicate field"), "{error}");
}

/// Sizes of every kind in the place of every size.
#[test]
fn absurd_sizes() {
    let json = program(SMALL);
    assert!(json.contains("\"as_int\":512"), "{json}");
    let sizes = [
        "\"as_int\": 9223372036854775807".to_string(),
        "\"as_int\": -9223372036854775808".into(),
        "\"as_int\": -1".into(),
        "\"as_int\": 0".into(),
        expression(&format!("{}s0{}", "(".repeat(20_000), ")".repeat(20_000))),
        expression(&"-".repeat(50_000)),
        // A polynomial of more terms than there are atoms, and a power without end.
        expression(&format!("({})**16", symbols(40))),
        expression(&format!("s0{}", "**16".repeat(12))),
        expression(&format!("{}s0{}", "Pow(".repeat(12), ", 16)".repeat(12))),
        expression(&format!("{}s0{}", "Max(s0, ".repeat(60), ")".repeat(60))),
        expression("s0 // 0"),
        expression(&symbols(3000)),
    ];
    for size in sizes {
        let short: String = size.chars().take(60).collect();
        // Whatever comes out, it comes out.
        if let Ok(trace) = read(&json.replace("\"as_int\":512", &size)) {
            assert!(!trace.modules.is_empty(), "{short}");
        }
    }
    let fraction = read(&json.replace("\"as_int\":512", "\"as_int\": 1.5"));
    assert!(fraction.unwrap_err().contains("line "));
    let large = read(&json.replace("\"as_int\":512", "\"as_int\": 92233720368547758070"));
    assert!(large.unwrap_err().contains("line "));
}

fn symbols(count: usize) -> String {
    let names: Vec<String> = (0..count).map(|n| format!("s{n}")).collect();
    names.join(" + ")
}

fn expression(text: &str) -> String {
    format!("\"as_expr\": {{\"expr_str\": \"{text}\", \"hint\": null}}")
}

/// Names that are nowhere, modules in themselves, stacks deeper than any model's.
#[test]
fn references_that_lead_nowhere() {
    let json = program(SMALL);
    for (old, new) in [("\"p_weight\"", "\"nowhere\""), ("\"x\"", "\"p_weight\"")] {
        let _ = read(&json.replacen(old, new, 2));
    }
    let deep: String = (0..5000)
        .map(|at| format!("m{at},{}x,torch.nn.Linear;", "a.".repeat(at % 300)))
        .collect();
    for stack in [
        deep.as_str(),
        "L__self__,,torch.nn.Linear;L__self__,,torch.nn.Linear",
        ";;;,,,;",
        "\\u0000",
        "",
    ] {
        let field = format!("\"nn_module_stack\": \"{stack}\", \"was\": \"");
        let _ = read(&json.replace("\"nn_module_stack\": \"", &field));
    }
}
