//! ONNX's textual syntax: read back what is written, and go on after errors.

#![allow(clippy::unwrap_used)]

mod common;

use modelcost_onnx::infer::{Options, infer};
use modelcost_onnx::model::{AttributeValue, Model};
use modelcost_onnx::text::{Arena, parse, print};
use modelcost_onnx::{ModelFile, decode, encode, shapes_of};

fn shapes(model: &Model<'_>) -> String {
    match shapes_of(model, &Options::default()) {
        Ok(shapes) => serde_json::to_string(&shapes).unwrap(),
        Err(error) => error.to_string(),
    }
}

/// Every operator model survives: binary → text → model → binary → model, with the same shapes.
#[test]
fn every_operator_model_survives_text() {
    let (models, _) = common::load();
    for (name, bytes) in &models {
        let model = decode(bytes).unwrap();
        let text = print(&model, None);
        let arena = Arena::default();
        let parsed = parse(&text, &arena);
        assert_eq!(parsed.diagnostics, [], "{name}:\n{text}");
        assert_eq!(shapes(&parsed.model), shapes(&model), "{name}:\n{text}");
        assert_eq!(print(&parsed.model, None), text, "{name}");
        let again = encode(&parsed.model).unwrap();
        assert_eq!(shapes(&decode(&again).unwrap()), shapes(&model), "{name}");
    }
}

const MODEL: &str = r#"<
   ir_version: 8,  # a comment
   opset_import: ["" : 17, "com.microsoft" : 1, "local" : 1]
>
agraph (float[batch, 3, 224, "2*w"] X, float[8,3,3,3] W = ["location": "weights.bin", "length": "864"]) => (float[] Y)
<float bias = {-0.5}, int64[2] sizes = {2, -1}>
{
   [first] conv = Conv <pads = [1, 1, 1, 1], kernel_shape: ints = [3, 3]> (X, W)
   [second] gelu = com.microsoft.Gelu (conv)
   scaled = local.scale <alpha = 3> (gelu)
   c = Constant <value_string = "say \"hi\" \\ bye"> ()
   Y = Add (scaled, bias)
}

<domain: "local", opset_import: ["" : 17]>
scale <alpha, beta: float = 0.5> (x) => (y) {
   a = Constant <value_float: float = @alpha> ()
   y = Mul (x, a)
}
"#;

#[test]
fn reads_what_people_write() {
    let arena = Arena::default();
    let parsed = parse(MODEL, &arena);
    assert_eq!(parsed.diagnostics, []);
    let model = parsed.model;
    assert_eq!(model.opset_import[1], ("com.microsoft", 1));
    let conv = &model.graph.nodes[0];
    assert_eq!(
        (conv.name, conv.op_type, conv.inputs.len()),
        ("first", "Conv", 2)
    );
    let place = conv.span.unwrap().range();
    assert!(MODEL[place.clone()].starts_with("[first] conv") && MODEL[place].ends_with("(X, W)"));
    let text = model.graph.nodes[3].attribute("value_string");
    let Some(AttributeValue::String(text)) = text else {
        panic!("{text:?}")
    };
    assert_eq!(*text, br#"say "hi" \ bye"#);
    let program = infer(&model, &Options::default()).unwrap();
    let shape = program.fact(program.outputs[0].1).shape().unwrap();
    assert_eq!(format!("{shape:?}"), "[batch, 8, 224, 2*w]");
    assert_eq!(program.frames.len(), 2, "the function is expanded");
}

#[test]
fn goes_on_after_errors() {
    let text = r#"<ir_version: 8, opset_imports: ["" : 17]>
g (flaot[2] X) => (float[2] Y) {
   A = Relu (X
   B = Add (X, X)
   C = Mul <axis = 1 1> (B, X)
   Y = Sub (B, X)
}"#;
    let arena = Arena::default();
    let parsed = parse(text, &arena);
    let found: Vec<(usize, &str)> = parsed
        .diagnostics
        .iter()
        .map(|d| {
            let at = d.span.as_ref().unwrap().start;
            (text[..at].lines().count(), d.message.as_str())
        })
        .collect();
    let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    assert!(
        found[0]
            .1
            .starts_with("a model has no property 'opset_imports'"),
        "{found:?}"
    );
    assert_eq!(lines.first(), Some(&1));
    // The nodes that can be read are there.
    let nodes: Vec<&str> = parsed.model.graph.nodes.iter().map(|n| n.op_type).collect();
    assert!(nodes.contains(&"Sub"), "{nodes:?} {found:?}");
    assert!(found.len() >= 4, "{found:?}");
}

#[test]
fn never_loops_or_panics() {
    for cut in 0..MODEL.len() {
        if MODEL.is_char_boundary(cut) {
            let arena = Arena::default();
            parse(&MODEL[..cut], &arena);
            let arena = Arena::default();
            parse(&MODEL[cut..], &arena);
        }
    }
    let deep = format!(
        "g () => () {{ {}",
        "y = If <then_branch = g () => () { ".repeat(500)
    );
    let arena = Arena::default();
    assert!(!parse(&deep, &arena).diagnostics.is_empty());
    let deep = format!("g ({}", "seq(".repeat(5000));
    let arena = Arena::default();
    assert!(!parse(&deep, &arena).diagnostics.is_empty());
}

#[test]
fn files_are_told_apart_by_content() {
    let text = ModelFile::from_bytes("m.onnxtxt", MODEL.as_bytes().to_vec());
    assert_eq!(text.model().unwrap().graph.name, "agraph");
    let binary = encode(&text.model().unwrap()).unwrap();
    let binary = ModelFile::from_bytes("m.onnx", binary);
    assert!(binary.text().is_none());
    assert_eq!(binary.model().unwrap().graph.name, "agraph");
}
