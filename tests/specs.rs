//! Every convention over the specs of `specs/` and over the examples: what the real tools printed
//! for the same networks, to the unit.

use std::path::{Path, PathBuf};

use modelcost_core::trace::Trace;
use modelcost_spec::Options;
use modelcost_tests::check::{Outcome, check_model};
use modelcost_tests::corpus::Corpus;
use modelcost_tests::known::Known;
use modelcost_tests::summary::summary;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `mod/acts` is `tests/specs/acts.toml`, `tv/alexnet` is `examples/alexnet.toml`.
fn file(model: &str) -> PathBuf {
    let (family, name) = model.split_once('/').expect("family/name");
    let folder = match family {
        "mod" => "tests/specs",
        _ => "examples",
    };
    repository().join(folder).join(format!("{name}.toml"))
}

fn trace(path: &Path) -> Result<Trace, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    modelcost_spec::read(&text, &Options::default()).map_err(|diagnostics| {
        let messages: Vec<&str> = diagnostics.iter().map(|d| d.message.as_str()).collect();
        messages.join("; ")
    })
}

#[test]
fn numbers() {
    modelcost_conventions::link();
    let corpus = Corpus::open(&repository().join("tests/specs"));
    let outcomes: Vec<Outcome> = corpus
        .models
        .iter()
        .flat_map(|expected| check_model(expected, trace(&file(&expected.model))))
        .collect();
    let (text, unknown) = summary("toml", &outcomes, &Known::load());
    println!("{text}");
    assert_eq!(
        unknown, 0,
        "numbers that differ from the tools' and are not in known.toml"
    );
}

/// A spec without numbers, or numbers without a spec, would be a test that tests nothing.
#[test]
fn every_spec_has_its_numbers() {
    let corpus = Corpus::open(&repository().join("tests/specs"));
    let known: Vec<String> = corpus.models.iter().map(|m| m.model.clone()).collect();
    for model in &known {
        assert!(file(model).exists(), "no spec for {model}");
    }
    let entries = std::fs::read_dir(repository().join("tests/specs")).expect("tests/specs");
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            assert!(
                known.contains(&format!("mod/{name}")),
                "no numbers for {name}"
            );
        }
    }
}
