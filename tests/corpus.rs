//! Every convention over every model of the corpus: equal to the unit, or listed with its reason.

use std::path::Path;

use modelcost_core::trace::Trace;
use modelcost_tests::check::{self, Reader};
use modelcost_tests::corpus::Corpus;
use modelcost_tests::known::Known;
use modelcost_tests::summary::summary;

fn read(path: &Path) -> Result<Trace, String> {
    let options = modelcost_reader::Options::default();
    let model = modelcost_reader::open(path, &options).map_err(|error| error.to_string())?;
    Ok(model.trace)
}

/// Runs one kind of files and fails where a number is neither equal nor known to differ.
fn run(extension: &'static str) {
    modelcost_conventions::link();
    let corpus = Corpus::find();
    let outcomes = check::run(&corpus, Reader { extension, read });
    assert!(!outcomes.is_empty(), "no {extension} files in the corpus");
    let (text, unknown) = summary(extension, &outcomes, &Known::load());
    println!("{text}");
    assert_eq!(
        unknown, 0,
        "numbers that differ from the tools' and are not in known.toml"
    );
}

#[test]
fn programs() {
    run("pt2");
}
