//! Functions that exporters take apart (`corpus/zoo_dec.py`), styles of models (`corpus/zoo_wide.py`), research code
//! (`corpus/zoo_res.py`), architectures of the literature (`corpus/zoo_arch.py`) and layouts, sizes and changes in place
//! (`corpus/zoo_nets.py`), as programs and as ONNX: whatever a tool printed for the live model, an answer that calls itself exact is equal.
//! The numbers are those of the tools with torch 2.15.0.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use modelcost_core::fidelity::Level;
use modelcost_core::trace::Trace;
use modelcost_onnx::ModelFile;
use modelcost_onnx::infer::Options;
use modelcost_tests::check::{Figure, check_model};
use modelcost_tests::corpus::Expected;
use modelcost_tests::{packed, parallel};

fn trace(name: &str, bytes: &[u8]) -> Result<Trace, String> {
    if name.ends_with(".pt2") {
        return modelcost_export::read_bytes(bytes, name).map_err(|error| error.to_string());
    }
    let file = ModelFile::from_bytes(name, bytes.to_vec());
    let model = file.model().map_err(|error| error.to_string())?;
    modelcost_onnx::trace(&model, &Options::default(), name).map_err(|error| error.to_string())
}

/// The extensions of a model's files, and how many of a hundred answers are equal at least.
type Bars = [(&'static str, usize); 4];

fn exact_answers_are_equal(family: &str, bars: Bars) {
    modelcost_conventions::link();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(family);
    let files = packed::files(&folder.join("models.tar.xz"));
    let table = std::fs::read_to_string(folder.join(format!("{family}.jsonl"))).unwrap();
    let expected: Vec<Expected> = table
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (extension, bar) in bars {
        let (mut equal, mut all, mut lies) = (0, 0, Vec::new());
        let outcomes = parallel::map(&expected, |expected| {
            let name = format!("{}.{extension}", expected.model.replace('/', "__"));
            let bytes = files.get(&name)?;
            Some((name.clone(), check_model(expected, trace(&name, bytes))))
        });
        for (name, outcomes) in outcomes.into_iter().flatten() {
            for outcome in outcomes {
                if !matches!(outcome.figure, Figure::Count | Figure::Params) {
                    continue;
                }
                all += 1;
                let Some(miss) = outcome.miss else {
                    equal += 1;
                    continue;
                };
                if outcome.level.unwrap_or(Level::Partial) == Level::Exact {
                    lies.push(format!("{name} {}: {miss:?}", outcome.tool));
                }
            }
        }
        assert!(lies.is_empty(), "wrong without saying so: {lies:#?}");
        println!("{family} {extension}: {equal} of {all} are equal");
        assert!(
            all > 0 && equal * 100 >= all * bar,
            "{extension}: {equal} of {all} are equal"
        );
    }
}

#[test]
fn functions_that_exporters_take_apart() {
    exact_answers_are_equal(
        "dec",
        [
            ("pt2", 95),
            ("raw.onnx", 90),
            ("dyn.onnx", 85),
            ("leg.onnx", 80),
        ],
    );
}

#[test]
fn styles_of_models() {
    exact_answers_are_equal(
        "wide",
        [
            ("pt2", 95),
            ("raw.onnx", 90),
            ("dyn.onnx", 80),
            ("leg.onnx", 70),
        ],
    );
}

#[test]
fn research_code() {
    exact_answers_are_equal(
        "res",
        [
            ("pt2", 95),
            ("raw.onnx", 80),
            ("dyn.onnx", 45),
            ("leg.onnx", 45),
        ],
    );
}

#[test]
fn architectures() {
    exact_answers_are_equal(
        "arch",
        [
            ("pt2", 95),
            ("raw.onnx", 85),
            ("dyn.onnx", 60),
            ("leg.onnx", 50),
        ],
    );
}

#[test]
fn layouts_and_sizes() {
    exact_answers_are_equal(
        "nets",
        [
            ("pt2", 90),
            ("raw.onnx", 80),
            ("dyn.onnx", 65),
            ("leg.onnx", 45),
        ],
    );
}
