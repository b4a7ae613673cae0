//! Every number of a model stands at one line of its text.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use modelcost_core::convention;
use modelcost_core::dim::Dim;
use modelcost_core::trace::CallId;
use modelcost_ide::hints::Subject;
use modelcost_ide::model::Subjects;
use modelcost_ide::program::{Program, View};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// What the lines of a program come to, and what the model does.
fn sums(program: &Program, depth: usize) -> Vec<(String, Dim, Dim)> {
    modelcost_conventions::link();
    let model = program.model();
    let all = CallId::new(0)..CallId::new(model.trace.calls.len());
    let root = CallId::new(0)..CallId::new(1);
    let mut out = Vec::new();
    for registration in convention::all() {
        let numbers = model.numbers((registration.load)());
        let Some(total) = numbers.count(&all) else {
            continue;
        };
        let mut sum = numbers.count(&root).unwrap();
        for (at, place) in program.places().iter().enumerate() {
            if place.depth == depth {
                let calls = program.facts(Subject::Node(at)).calls;
                sum += model.count(&numbers, &calls).unwrap_or(Dim::ZERO);
            }
        }
        out.push((registration.identity(), sum, total));
    }
    out
}

#[test]
fn every_count_is_at_a_node_of_an_onnx_file() {
    let view = View::read(
        &repository("tests/editors/fixtures/alexnet.onnx"),
        &Default::default(),
    )
    .unwrap();
    let sums = sums(&view.program, 0);
    assert!(sums.len() > 10, "{sums:?}");
    for (identity, sum, total) in sums {
        assert_eq!(sum, total, "{identity}");
    }
}

#[test]
fn every_count_is_at_a_line_of_a_program() {
    for name in [
        "tv__alexnet",
        "tv__densenet121",
        "mod__mha",
        "mod__transformer",
        "mod__shared",
    ] {
        let path = repository(&format!("tests/corpus/small/{name}.pt2"));
        let view = View::read(&path, &Default::default()).unwrap();
        for (identity, sum, total) in sums(&view.program, 0) {
            assert_eq!(sum, total, "{name} under {identity}");
        }
    }
}

#[test]
fn a_layer_of_several_nodes_is_counted_once() {
    // Under torchinfo the layer's count is the module's; its nodes have none of their own.
    let text = r#"<ir_version: 8, opset_import: ["" : 17], producer_name: "pytorch">
net (float[1,8] x) => (float[1,4] y) <float[8,4] "fc.weight" = ["location": "w"], float[4] "fc.bias" = ["location": "w"]>
{
   ["/fc/MatMul"] a = MatMul (x, "fc.weight")
   ["/fc/Add"] y = Add (a, "fc.bias")
}
"#;
    let program = Program::of_onnx_text(text, "net", &Default::default());
    assert_eq!(program.diagnostics, []);
    let params: Vec<_> = (0..2)
        .map(|at| program.facts(Subject::Node(at)).params)
        .collect();
    assert!(params.contains(&Some(Dim::from(36))), "{params:?}");
    for (identity, sum, total) in sums(&program, 0) {
        assert_eq!(sum, total, "{identity}");
    }
}

#[test]
fn what_is_shown_of_a_file_reads_back_as_the_same_model() {
    let path = repository("tests/editors/fixtures/alexnet.onnx");
    let view = View::read(&path, &Default::default()).unwrap();
    let read = Program::of_onnx_text(&view.text, "alexnet", &Default::default());
    assert_eq!(read.diagnostics, []);
    assert_eq!(read.places().len(), view.program.places().len());
    for (one, other) in read.places().iter().zip(view.program.places()) {
        assert_eq!(one.span, other.span);
        assert_eq!(one.shapes, other.shapes, "{}", one.name);
    }
}
