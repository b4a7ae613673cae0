//! Totals of every convention from ONNX files, against what the tools printed for the live models.
//!
//! `MODELCOST_CORPUS=… cargo test -p modelcost-tests --test onnx -- --nocapture` prints exact / total
//! for each convention and format, and every miss. An answer that says it is exact and is not the
//! tool's number fails whatever the shares are.

use std::collections::BTreeMap;
use std::path::Path;

use modelcost_core::convention::{Options as CountOptions, lookup};
use modelcost_core::fidelity::Level;
use modelcost_core::trace::Trace;
use modelcost_onnx::infer::Options;
use modelcost_tests::check::{Figure, Outcome, check_model};
use modelcost_tests::corpus::Corpus;

fn read(path: &Path) -> Result<Trace, String> {
    modelcost_onnx::read_path(path, &Options::default()).map_err(|error| error.to_string())
}

/// Of the outcomes, those of totals: tool by tool how many are exact, how many there are.
fn run(extension: &str, share: f64) {
    modelcost_conventions::link();
    let corpus = Corpus::find();
    let mut rows: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let (mut misses, mut lies) = (Vec::new(), Vec::new());
    let filter = std::env::var("MODELCOST_MODEL").unwrap_or_default();
    for expected in &corpus.models {
        let Some(path) = corpus.file(expected, extension) else {
            continue;
        };
        if !expected.model.contains(&filter) {
            continue;
        }
        let trace = read(&path);
        for outcome in check_model(expected, trace.clone()) {
            if outcome.figure != Figure::Count {
                continue;
            }
            let row = rows.entry(outcome.tool.clone()).or_default();
            row.1 += 1;
            row.0 += usize::from(outcome.miss.is_none());
            let Some(miss) = &outcome.miss else { continue };
            let level = level(&outcome, trace.as_ref().ok());
            let line = format!(
                "{} {}: expected {}, got {} ({level:?})",
                outcome.tool, outcome.model, miss.expected, miss.got
            );
            if level == Level::Exact {
                lies.push(line.clone());
            }
            misses.push(line);
        }
    }
    println!("\n{extension}");
    let (mut exact, mut total) = (0, 0);
    for (tool, (right, all)) in &rows {
        println!("  {tool:<30} {right:>4} / {all}");
        exact += right;
        total += all;
    }
    let reached = 100.0 * exact as f64 / total.max(1) as f64;
    println!("  {:<30} {exact:>4} / {total} = {reached:.1} %", "all");
    for miss in &misses {
        println!("MISS {miss}");
    }
    let new: Vec<&String> = lies
        .iter()
        .filter(|lie| !is_known(extension, lie))
        .collect();
    assert!(new.is_empty(), "wrong without saying so: {new:#?}");
    assert!(
        !filter.is_empty() || reached >= share,
        "{reached:.1} % of the totals are exact, {share} % are promised"
    );
}

/// Answers that are wrong and call themselves exact, with what the reader would have to notice.
const KNOWN: &[(&str, &str, &str)] = &[
    // An ONNX file does not say which parameters are frozen.
    (
        "",
        "torch@2.15.0/train mod/frozen",
        "requires_grad is not in the file",
    ),
    (
        "",
        "mod/acts:",
        "a ReLU that the exporter fused into a Clip is lost",
    ),
    (
        "",
        "mod/transformer:",
        "operands of cross-attention that the optimizer folded are mismatched",
    ),
    (
        "",
        "mod/lstm_nobias_seqfirst:",
        "the states that nn.LSTM returns beside its output",
    ),
];

fn is_known(extension: &str, lie: &str) -> bool {
    KNOWN
        .iter()
        .any(|(only, case, _)| extension.contains(only) && lie.contains(case))
}

/// What the convention's own report says of its answer.
fn level(outcome: &Outcome, trace: Option<&Trace>) -> Level {
    let name = if outcome.tool == "hook" {
        "hook@1"
    } else {
        &outcome.tool
    };
    let (Some(trace), Ok(registration)) = (trace, lookup(name)) else {
        return Level::Partial;
    };
    match (registration.load)().count(trace, &CountOptions::default()) {
        Ok(report) => report.fidelity.level,
        Err(_) => trace.fidelity.level,
    }
}

#[test]
fn unoptimised() {
    run("raw.onnx", 98.0);
}

#[test]
fn as_users_get_it() {
    run("dyn.onnx", 95.0);
}

#[test]
fn older_exporter() {
    run("leg.onnx", 85.0);
}
