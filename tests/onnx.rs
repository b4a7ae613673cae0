//! Totals of every convention from ONNX files, against what the tools printed for the live models.
//!
//! `MODELCOST_CORPUS=… cargo test -p modelcost-tests --test onnx -- --nocapture` prints exact / total
//! for each convention and format, and every miss. An answer that says it is exact and is not the
//! tool's number fails whatever the shares are.

use std::collections::BTreeMap;
use std::path::Path;

use modelcost_core::fidelity::Level;
use modelcost_core::trace::Trace;
use modelcost_onnx::infer::Options;
use modelcost_tests::check::{Figure, check_model};
use modelcost_tests::corpus::Corpus;
use modelcost_tests::parallel;

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
    let models: Vec<_> = corpus
        .models
        .iter()
        .filter(|expected| expected.model.contains(&filter))
        .filter_map(|expected| Some((expected, corpus.file(expected, extension)?)))
        .collect();
    let outcomes = parallel::map(&models, |(expected, path)| {
        check_model(expected, read(path))
    });
    for outcome in outcomes.into_iter().flatten() {
        if outcome.figure != Figure::Count {
            continue;
        }
        let row = rows.entry(outcome.tool.clone()).or_default();
        row.1 += 1;
        row.0 += usize::from(outcome.miss.is_none());
        let Some(miss) = &outcome.miss else { continue };
        // A file that cannot be read promises nothing.
        let level = outcome.level.unwrap_or(Level::Partial);
        let line = format!(
            "{} {}: expected {}, got {} ({level:?})",
            outcome.tool, outcome.model, miss.expected, miss.got
        );
        if level == Level::Exact {
            lies.push(line.clone());
        }
        misses.push(line);
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
    assert!(lies.is_empty(), "wrong without saying so: {lies:#?}");
    assert!(
        !filter.is_empty() || reached >= share,
        "{reached:.1} % of the totals are exact, {share} % are promised"
    );
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
