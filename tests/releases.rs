//! The same models exported by several releases of torch: the numbers of the tools, or said to be
//! short of them.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use modelcost_core::convention::{Options, lookup};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::report::Report;
use modelcost_core::trace::Trace;
use modelcost_tests::corpus::{Corpus, Expected};

/// Models whose program has a branch or a loop on data, which the tools fail on.
const ON_DATA: [&str; 2] = ["rel/cond", "rel/while_loop"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/releases")
}

fn open(path: &Path) -> Trace {
    let options = modelcost_reader::Options::default();
    modelcost_reader::open(path, &options).unwrap().trace
}

/// The sizes that the tools were given, by the symbols that the program has for them.
fn sizes(trace: &Trace, expected: &Expected) -> Vec<(String, i64)> {
    let mut out = Vec::new();
    for ((_, tensor), given) in trace.inputs.iter().zip(&expected.inputs) {
        let shape = trace.tensor(*tensor).shape.as_ref().unwrap();
        for (dim, size) in shape.iter().zip(given) {
            if !dim.is_const() {
                out.push((dim.to_string(), *size));
            }
        }
    }
    out
}

fn count(report: &Report, sizes: &[(String, i64)]) -> Option<Dim> {
    let bind = |name: &str| {
        let found = sizes.iter().find(|(symbol, _)| symbol == name)?;
        Some(Dim::from(found.1))
    };
    Some(report.count.as_ref()?.count().substitute(&bind))
}

fn run(release: &str) {
    modelcost_conventions::link();
    let corpus = Corpus::from_tables(&[&folder()], folder().join(release));
    let mut misses = Vec::new();
    let mut compared = 0;
    for model in &corpus.models {
        let trace = open(&corpus.file(model, "pt2").unwrap());
        let sizes = sizes(&trace, model);
        for (tool, answer) in &model.tools {
            if tool == "params" {
                continue;
            }
            let name = if tool == "hook" { "hook@1" } else { tool };
            let convention = (lookup(name).unwrap().load)();
            let result = convention.count(&trace, &Options::default());
            compared += 1;
            let miss = match (&result, answer.get("error")) {
                (Err(_), Some(_)) => continue,
                (Ok(report), None) => {
                    let want = answer.get("count").and_then(|count| count.as_i64());
                    let got = count(report, &sizes);
                    let params = answer.get("params").and_then(|params| params.as_u64());
                    let same = params.is_none() || report.params == params.map(Dim::from);
                    if got == want.map(Dim::from) && same {
                        continue;
                    }
                    let (own, theirs) = (&report.params, params);
                    format!("{got:?} ({own:?}) for {want:?} ({theirs:?})")
                }
                (Ok(_), Some(error)) => format!("a number where the tool fails: {error}"),
                (Err(failure), None) => failure.to_string(),
            };
            let level = match &result {
                Ok(report) => report.fidelity.level,
                Err(_) => trace.fidelity.seen_by(&convention.info().sees).level,
            };
            let on_data = ON_DATA.contains(&model.model.as_str()) && level == Level::Partial;
            if !on_data && level == Level::Exact {
                misses.push(format!(
                    "{} {tool}: {miss}, and calls itself exact",
                    model.model
                ));
            } else if !on_data && !open_in(release, &model.model) {
                misses.push(format!("{} {tool}: {miss}", model.model));
            }
        }
    }
    assert!(compared > 100);
    assert!(misses.is_empty(), "torch {release}:\n{}", misses.join("\n"));
}

/// What a release leaves open. torch 2.5 does not divide what a TransformerEncoderLayer does among
/// its parts.
fn open_in(release: &str, model: &str) -> bool {
    release == "2.5.1" && model == "rel/layers"
}

#[test]
fn torch_2_15() {
    run("2.15.0");
}

#[test]
fn torch_2_5() {
    run("2.5.1");
}

/// `Dim("batch")` stays a symbol, and the count is a polynomial of it.
#[test]
fn sizes_stay_symbolic() {
    modelcost_conventions::link();
    for release in ["2.5.1", "2.15.0"] {
        let trace = open(&folder().join(release).join("rel__attention_sequence.pt2"));
        let (_, input) = &trace.inputs[0];
        let shape = trace.tensor(*input).shape.as_ref().unwrap();
        assert!(shape.iter().all(|dim| !dim.is_const()), "{shape:?}");
        let convention = (lookup("torch").unwrap().load)();
        let report = convention.count(&trace, &Options::default()).unwrap();
        let (batch, length) = (&shape[0], &shape[1]);
        // FlopCounterMode of torch 2.15.0 says 66,816 for two sequences of six.
        let square = &(batch * length) * length;
        let expected = &(&Dim::from(64) * &square) + &(&Dim::from(5184) * &(batch * length));
        assert_eq!(*report.count.unwrap().count(), expected);
    }
}

/// A branch or a loop on data is walked once, and the answer says what is missing.
#[test]
fn higher_order_operators_are_said() {
    for release in ["2.5.1", "2.15.0"] {
        for (model, word) in [("cond", "torch.cond"), ("while_loop", "while_loop")] {
            let trace = open(&folder().join(release).join(format!("rel__{model}.pt2")));
            assert_eq!(trace.fidelity.level, Level::Partial);
            let notes = trace.fidelity.notes.join("; ");
            assert!(notes.contains(word), "{notes}");
        }
        for model in ["no_grad", "autocast"] {
            let trace = open(&folder().join(release).join(format!("rel__{model}.pt2")));
            assert_eq!(trace.fidelity.level, Level::Exact, "{release} {model}");
        }
    }
}
