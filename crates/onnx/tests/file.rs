//! A model in a file is read piece by piece, and gives what the same bytes give in memory.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use modelcost_onnx::model::*;
use modelcost_onnx::{ModelFile, encode};

/// Longer than what is read at once.
const LONG: usize = 200_000;

fn with_file<T>(name: &str, bytes: &[u8], look: impl FnOnce(&Path) -> T) -> T {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, bytes).unwrap();
    let seen = look(&path);
    fs::remove_file(&path).unwrap();
    seen
}

/// All that a model says, or what is wrong with it.
fn described(file: &ModelFile) -> String {
    match file.model() {
        Ok(model) => format!("{model:?}"),
        Err(error) => error.to_string(),
    }
}

fn tensor<'a>(name: &'a str, raw: &'a [u8]) -> Tensor<'a> {
    Tensor {
        name,
        dims: vec![raw.len() as i64],
        elem_type: ElemType(2),
        data: TensorData::Raw(raw.into()),
        doc_string: "",
    }
}

/// Weights and texts of every length around those that are read at once, in turn.
fn sample() -> Vec<u8> {
    let lengths = [0, 1, 900, 1023, 1024, 1025, 4095, 4096, 4097, 65_537, LONG];
    let weights = vec![7u8; LONG];
    let text = "é".repeat(LONG / 2);
    let names: Vec<String> = (0..40).map(|at| format!("value_{at}")).collect();
    let mut graph = Graph {
        name: "sample",
        ..Graph::default()
    };
    for (at, name) in names.iter().enumerate() {
        let length = lengths[at % lengths.len()];
        graph.initializers.push(tensor(name, &weights[..length]));
        graph.nodes.push(Node {
            name,
            op_type: "Concat",
            inputs: names[..at].iter().map(String::as_str).collect(),
            metadata: vec![("note", &text[..length & !1])],
            attributes: vec![Attribute {
                name: "value",
                value: AttributeValue::Tensor(Box::new(tensor(
                    "",
                    &weights[..lengths[(at * 7) % lengths.len()]],
                ))),
                doc_string: &text[..length & !1],
            }],
            ..Node::default()
        });
    }
    encode(&Model {
        ir_version: 8,
        producer_name: "test",
        opset_import: vec![("", 17)],
        graph,
        doc_string: &text,
        ..Model::default()
    })
    .unwrap()
}

#[test]
fn a_file_says_what_its_bytes_say() {
    let bytes = sample();
    let expected = described(&ModelFile::from_bytes("model.onnx", bytes.clone()));
    assert!(expected.starts_with("Model {"), "{expected}");
    with_file("whole.onnx", &bytes, |path| {
        let file = ModelFile::open(path).unwrap();
        assert_eq!(described(&file), expected);
        // Weights can still be had, and say where they are.
        let model = file.model().unwrap();
        for tensor in &model.graph.initializers {
            let TensorData::Raw(raw) = tensor.data else {
                panic!("{} has no data", tensor.name);
            };
            let at = raw.offset().unwrap() as usize;
            assert_eq!(raw.read().unwrap(), &bytes[at..at + raw.len() as usize]);
            assert_eq!(raw.len(), tensor.dims[0] as u64);
        }
    });
}

#[test]
fn a_file_that_is_cut_off_says_where() {
    let bytes = sample();
    // Every kind of place, and not all of two million.
    let cuts = (1..2_000).chain((2_000..bytes.len()).step_by(50_021));
    for cut in cuts {
        let cut_off = &bytes[..cut];
        let expected = described(&ModelFile::from_bytes("model.onnx", cut_off.to_vec()));
        let found = with_file("cut.onnx", cut_off, |path| {
            described(&ModelFile::open(path).unwrap())
        });
        assert_eq!(found, expected, "{cut} of {} bytes", bytes.len());
    }
}

#[test]
fn weights_that_are_left_in_the_file_are_not_looked_at() {
    // A file with a hole of four gigabytes in it, which takes no room and no time.
    let head = encode(&Model {
        ir_version: 8,
        graph: Graph {
            name: "sparse",
            ..Graph::default()
        },
        ..Model::default()
    })
    .unwrap();
    let hole = 4u64 << 30;
    let varint = |mut value: u64| {
        let mut out = Vec::new();
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
        out
    };
    // A second graph message with one initializer, whose raw data is the hole.
    let tensor = [vec![0x4a], varint(hole)].concat();
    let initializer = [vec![0x2a], varint(tensor.len() as u64 + hole), tensor].concat();
    let length = varint(initializer.len() as u64 + hole);
    let bytes = [head, vec![0x3a], length, initializer].concat();
    with_file("sparse.onnx", &bytes, |path| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(bytes.len() as u64 + hole).unwrap();
        let file = ModelFile::open(path).unwrap();
        let model = file.model().unwrap();
        let TensorData::Raw(raw) = model.graph.initializers[0].data else {
            panic!("no raw data");
        };
        assert_eq!(raw.len(), hole);
        assert_eq!(raw.offset(), Some(bytes.len() as u64));
    });
}
