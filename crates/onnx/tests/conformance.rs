//! The operator models of the onnx package, 1.23.2, against the shapes that its reference
//! implementation computes (tests/conformance/onnx-node.tar.xz).
//!
//! `cargo test -p modelcost-onnx --test conformance -- --nocapture` lists every case that is not
//! right with the reason.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_onnx::infer::{Fact, Options, infer};
use modelcost_onnx::model::ElemType;
use modelcost_onnx::{decode, parse_value};
use serde_json::Value;

struct Case {
    name: String,
    outputs: Vec<Value>,
    elem: Vec<Option<i32>>,
    values: Vec<(String, Value)>,
}

fn load() -> (Vec<Case>, BTreeMap<String, Vec<u8>>) {
    let (models, lines) = common::load();
    (lines.iter().map(case).collect(), models)
}

fn case(json: &Value) -> Case {
    Case {
        name: json["name"].as_str().unwrap().to_owned(),
        outputs: json["outputs"].as_array().unwrap().clone(),
        elem: json["elem"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e.as_i64().map(|e| e as i32))
            .collect(),
        values: json["values"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    }
}

/// What inference made of one case.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Right,
    Unknown(String),
    Wrong(String),
}

/// Right when every tensor output's shape is fully known and equal, and its type too.
fn run(case: &Case, bytes: &[u8], with_values: bool) -> Outcome {
    let mut options = Options::default();
    if with_values {
        for (name, value) in &case.values {
            match parse_value(name, value) {
                Ok(binding) => options.values.push(binding),
                Err(error) => return Outcome::Wrong(error.to_string()),
            }
        }
    }
    let model = match decode(bytes) {
        Ok(model) => model,
        Err(error) => return Outcome::Wrong(error.to_string()),
    };
    let program = match infer(&model, &options) {
        Ok(program) => program,
        Err(error) => return Outcome::Wrong(error.to_string()),
    };
    let mut unknown = None;
    for (at, expected) in case.outputs.iter().enumerate() {
        let is_tensor = expected.as_array().is_some_and(|e| e[0].is_array());
        if !is_tensor {
            continue;
        }
        let Some((name, id)) = program.outputs.get(at) else {
            return Outcome::Wrong("an output is missing".into());
        };
        let expected: Vec<i128> = expected[0]
            .as_array()
            .unwrap()
            .iter()
            .map(|size| i128::from(size.as_i64().unwrap()))
            .collect();
        let mut fact = program.fact(*id);
        if let Fact::Optional { element, .. } = fact {
            fact = element;
        }
        let dtype = case.elem[at].and_then(|elem| ElemType(elem).dtype());
        if let (Some(found), Some(dtype)) = (fact.dtype(), dtype)
            && found != dtype
        {
            return Outcome::Wrong(format!("'{name}' is {found}, not {dtype}"));
        }
        let Some(shape) = fact.shape() else {
            unknown = unknown.or(Some(format!("'{name}' has unknown rank")));
            continue;
        };
        let fits = shape.len() == expected.len()
            && shape
                .iter()
                .zip(&expected)
                .all(|(dim, size)| dim.as_const().is_none_or(|known| known == *size));
        if !fits {
            return Outcome::Wrong(format!("'{name}' is {shape:?}, not {expected:?}"));
        }
        if !shape.iter().all(Dim::is_const) || fact.dtype().is_none() {
            let dtype = fact.dtype().map_or("?", DType::name);
            unknown = unknown.or(Some(format!("'{name}' is {dtype} {shape:?}")));
        }
    }
    unknown.map_or(Outcome::Right, Outcome::Unknown)
}

/// Why an output of these operators cannot be known without the data.
const DATA_DEPENDENT: &[(&str, &str)] = &[
    ("NonZero", "as many columns as there are non-zero elements"),
    ("NonMaxSuppression", "as many rows as boxes survive"),
    ("Unique", "as many elements as are distinct"),
    ("Compress", "as many slices as the condition holds for"),
    (
        "ImageDecoder",
        "the size of the image is in its encoded bytes",
    ),
    ("StringSplit", "as many columns as the longest split has"),
    ("StringNormalizer", "as many words as are not stop words"),
    ("Loop", "how often the loop runs depends on its values"),
];

fn reason(bytes: &[u8], with_values: bool) -> String {
    let Ok(model) = decode(bytes) else {
        return "unreadable".into();
    };
    for (op, why) in DATA_DEPENDENT {
        if model.graph.nodes.iter().any(|node| node.op_type == *op) {
            return format!("{op}: {why}");
        }
    }
    if with_values {
        "a size depends on an input that is too large to be bound".into()
    } else {
        "a shape, an axis or a size is a graph input".into()
    }
}

fn conformance(with_values: bool, minimum: usize) {
    let (cases, models) = load();
    assert_eq!(cases.len(), 1884);
    let (mut right, mut wrong) = (0, Vec::new());
    let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for case in &cases {
        let bytes = &models[&case.name];
        match run(case, bytes, with_values) {
            Outcome::Right => right += 1,
            Outcome::Unknown(what) => left
                .entry(reason(bytes, with_values))
                .or_default()
                .push(format!("{}: {what}", case.name)),
            Outcome::Wrong(what) => wrong.push(format!("{}: {what}", case.name)),
        }
    }
    let mode = if with_values { "with" } else { "without" };
    println!(
        "{mode} values: {right} right, {} wrong, of {}",
        wrong.len(),
        cases.len()
    );
    for (reason, cases) in &left {
        println!("  {} unknown: {reason}", cases.len());
        for case in cases {
            println!("    {case}");
        }
    }
    assert!(wrong.is_empty(), "wrong:\n{}", wrong.join("\n"));
    assert!(right >= minimum, "{right} right, {minimum} wanted");
}

#[test]
fn without_values() {
    conformance(false, 1560);
}

#[test]
fn with_values() {
    conformance(true, 1800);
}
