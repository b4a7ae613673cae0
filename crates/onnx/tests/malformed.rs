//! Files that are cut off, hostile or nonsense: an error that names the problem, or an answer; never
//! a panic, and never more memory than the file has reason to ask for.

#![allow(clippy::unwrap_used)]

mod common;

use modelcost_onnx::infer::Options;
use modelcost_onnx::text::{Arena, parse};
use modelcost_onnx::{ModelFile, OnnxError, encode, trace};

/// Reads bytes as the program does. An answer is what its fidelity says.
fn read(bytes: &[u8]) -> Result<Vec<String>, OnnxError> {
    let file = ModelFile::from_bytes("model.onnx", bytes.to_vec());
    let model = file.model()?;
    trace(&model, &Options::default(), "model").map(|trace| trace.fidelity.notes)
}

fn binary(text: &str) -> Vec<u8> {
    let arena = Arena::default();
    let parsed = parse(text, &arena);
    assert_eq!(parsed.diagnostics, [], "{text}");
    encode(&parsed.model).unwrap()
}

fn error(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

fn model(body: &str) -> String {
    format!("<ir_version: 10, opset_import: [\"\" : 21]>\ng {body}")
}

/// Protobuf by hand: a field of bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    out.extend(varint(content.len() as u64));
    out.extend(content);
    out
}

fn number(field: u8, value: u64) -> Vec<u8> {
    let mut out = vec![field << 3];
    out.extend(varint(value));
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

/// A model of one graph: field 7 of ModelProto, beside the version in field 1.
fn of_graph(graph: &[u8]) -> Vec<u8> {
    [number(1, 10), field(7, graph)].concat()
}

const NET: &str = "(float[N, 8] x, float[4, 8] w) => (float[N, 4] y)
<float[4] b = {1, 2, 3, 4}, int64[2] s = {-1, 4}>
{
   h = Gemm <transB = 1> (x, w, b)
   r = Reshape (h, s)
   y = If (c) <then_branch = t () => (float[N, 4] p) { p = Relu (r) }, else_branch = e () => (float[N, 4] q) { q = Neg (r) }>
}";

#[test]
fn cut_off_anywhere() {
    let net = NET.replace("float[N, 8] x,", "float[N, 8] x, bool c,");
    let whole = binary(&model(&net));
    assert!(read(&whole).is_ok());
    for end in 0..whole.len() {
        // Cut between two fields of the model a file is a smaller one; anything else is an error.
        if let Err(error) = read(&whole[..end]) {
            assert!(!error.to_string().is_empty());
        }
    }
    let error = error(&whole[..whole.len() / 2]);
    assert!(error.contains("cut off"), "{error}");
}

/// Every byte of a small model changed, in every bit.
#[test]
fn changed_anywhere() {
    let net = NET.replace("float[N, 8] x,", "float[N, 8] x, bool c,");
    let whole = binary(&model(&net));
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            let _ = read(&changed);
        }
    }
}

#[test]
fn a_length_larger_than_the_file() {
    for length in [1 << 20, 1 << 31, 1 << 62, 1 << 63, u64::MAX] {
        // The graph, a name in it, and the raw data of an initializer.
        let mut graph = vec![7 << 3 | 2];
        graph.extend(varint(length));
        let name = of_graph(&[vec![2 << 3 | 2], varint(length)].concat());
        let raw = [number(1, 4), vec![9 << 3 | 2], varint(length)].concat();
        for bytes in [graph, name, of_graph(&field(5, &raw))] {
            let error = error(&bytes);
            assert!(
                error.contains("cut off") && error.contains(&length.to_string()),
                "{error}"
            );
        }
    }
}

#[test]
fn not_protobuf() {
    for bytes in [
        &b"\x00\x01\x02\x03"[..],
        b"\x0f\x0f",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        assert!(read(bytes).is_err(), "{bytes:?}");
    }
    assert!(read(b"").is_err());
    let mut noise = 1u64;
    for length in 0..200 {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                noise = noise
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (noise >> 56) as u8
            })
            .collect();
        let _ = read(&bytes);
    }
}

#[test]
fn cycles_and_values_from_nowhere() {
    let cycle =
        model("(float[2] x) => (float[2] y) { a = Add (x, b)\n b = Relu (a)\n y = Neg (b) }");
    let error = error(&binary(&cycle));
    assert!(error.contains("cycle") && error.contains("'b'"), "{error}");
    let own = model("(float[2] x) => (float[2] y) { y = Add (x, y) }");
    assert!(read(&binary(&own)).unwrap_err().to_string().contains("'y'"));
    let nowhere = model("(float[2] x) => (float[2] y) { y = Add (x, z) }");
    let error = read(&binary(&nowhere)).unwrap_err().to_string();
    assert!(error.contains("'z'") && error.contains("Add"), "{error}");
}

#[test]
fn names_used_twice() {
    let twice =
        model("(float[2] x) => (float[2] y) { a = Relu (x)\n a = Neg (x)\n y = Add (a, a) }");
    let _ = read(&binary(&twice));
    let inputs = model("(float[2] x, float[3] x) => (float[2] x) { x = Relu (x) }");
    let _ = read(&binary(&inputs));
}

#[test]
fn dimensions_beyond_reason() {
    for dims in [
        vec![u64::MAX, 4],
        vec![i64::MAX as u64, i64::MAX as u64, 2],
        vec![i64::MIN as u64],
        vec![1 << 62; 8],
    ] {
        let dims: Vec<u8> = dims.iter().flat_map(|size| number(1, *size)).collect();
        // Data that the dimensions do not fit, and none at all.
        for data in [field(9, &[0; 8]), Vec::new()] {
            let tensor = [dims.clone(), number(2, 1), field(8, b"w"), data].concat();
            let node = [field(1, b"w"), field(2, b"y"), field(4, b"Relu")].concat();
            let output = field(12, &field(1, b"y"));
            let bytes = of_graph(&[field(1, &node), field(5, &tensor), output].concat());
            let _ = read(&bytes);
        }
    }
    // Sizes that only a constant asks for.
    for (op, shape) in [
        ("ConstantOfShape (s)", "{4611686018427387904, 4}"),
        ("Expand (x, s)", "{1099511627776, 1099511627776}"),
        ("Tile (x, s)", "{9223372036854775807, 9223372036854775807}"),
        ("Reshape (x, s)", "{-5, -7}"),
    ] {
        let text = model(&format!(
            "(float[1, 1] x) => (y) <int64[2] s = {shape}> {{ t = {op}\n y = Relu (t) }}"
        ));
        let _ = read(&binary(&text));
    }
    let range = model(
        "(float[1] x) => (y) <int64 a = {0}, int64 b = {9223372036854775807}, int64 d = {1}> { y = Range (a, b, d) }",
    );
    let _ = read(&binary(&range));
}

#[test]
fn nested_too_deep() {
    // Subgraphs inside subgraphs: field 5 of a node is an attribute, whose field 6 is a graph.
    let mut graph = Vec::new();
    for _ in 0..2_000 {
        let node = field(5, &[field(1, b"body"), field(6, &graph)].concat());
        graph = field(1, &[field(4, b"If"), node].concat());
    }
    let error = error(&of_graph(&graph));
    assert!(error.contains("nested more than"), "{error}");
    // Types inside types: a sequence of sequences of …
    let mut kind = Vec::new();
    for _ in 0..2_000 {
        kind = field(4, &field(1, &kind));
    }
    let input = field(11, &[field(1, b"x"), field(2, &kind)].concat());
    let error = read(&of_graph(&input)).unwrap_err().to_string();
    assert!(error.contains("nested more than"), "{error}");
    // The same in text.
    let text = format!(
        "<ir_version: 10, opset_import: [\"\" : 21]>\ng ({}float[1]{} x) => (y) {{ y = Identity (x) }}",
        "seq(".repeat(5_000),
        ")".repeat(5_000)
    );
    let file = ModelFile::from_bytes("model.onnxtxt", text.into_bytes());
    assert!(file.model().is_err());
}

#[test]
fn functions_that_call_themselves() {
    let own = r#"<ir_version: 10, opset_import: ["" : 21, "f" : 1]>
g (float[2] x) => (float[2] y) { y = f.again (x) }
<domain: "f", opset_import: ["" : 21, "f" : 1]>
again (x) => (y) { y = f.again (x) }
"#;
    let error = error(&binary(own));
    assert!(error.contains("nested more than"), "{error}");
    // Each calls the next one twice: 2^60 calls.
    let mut text = String::from(
        "<ir_version: 10, opset_import: [\"\" : 21, \"f\" : 1]>\ng (float[2] x) => (float[2] y) { y = f.f0 (x) }\n",
    );
    for at in 0..60 {
        let next = if at < 59 {
            format!("f.f{}", at + 1)
        } else {
            "Relu".into()
        };
        text += &format!(
            "<domain: \"f\", opset_import: [\"\" : 21, \"f\" : 1]>\nf{at} (x) => (y) {{ a = {next} (x)\n y = {next} (a) }}\n"
        );
    }
    let error = read(&binary(&text)).unwrap_err().to_string();
    assert!(error.contains("operator calls"), "{error}");
}

#[test]
fn external_data() {
    let with = |location: &str| {
        let text = model(&format!(
            "(float[4] x, float[4] w = [\"location\": \"{location}\", \"length\": \"16\"]) => (float[4] y) {{ y = Add (x, w) }}"
        ));
        read(&binary(&text))
    };
    for location in ["/etc/passwd", "../w.bin", "a/../../w.bin"] {
        let error = with(location).unwrap_err().to_string();
        assert!(
            error.contains("outside the model's folder") && error.contains(location),
            "{error}"
        );
    }
    // Weights are never read, so a file that is not there is no trouble.
    assert!(with("missing/w.bin").is_ok());
}

/// Ends of files that share a prefix with every operator model of the onnx package.
#[test]
fn operator_models_cut_in_two() {
    let (models, _) = common::load();
    for bytes in models.values() {
        for part in 1..4 {
            let _ = read(&bytes[..bytes.len() * part / 4]);
        }
    }
}
