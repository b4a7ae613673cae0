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

/// `mod/acts` is `tests/specs/acts.toml`, `hand/unet` is `tests/specs/hand/unet.toml`, `tv/alexnet` is
/// `examples/alexnet.toml`.
fn file(model: &str) -> PathBuf {
    let (family, name) = model.split_once('/').expect("family/name");
    let folder = match family {
        "mod" => "tests/specs",
        "hand" => "tests/specs/hand",
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
    for (family, folder) in [("mod", "tests/specs"), ("hand", "tests/specs/hand")] {
        let entries = std::fs::read_dir(repository().join(folder)).expect(folder);
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let model = format!("{family}/{name}");
                assert!(known.contains(&model), "no numbers for {model}");
            }
        }
    }
}

/// What torchprofile 0.1.0 counts of products of sizes, and how sure that is: as the lines have them, as numbers in their
/// place leave open, and as `sizes` says.
#[test]
fn products_of_sizes() {
    modelcost_conventions::link();
    let said = |model: &str, line: &str| {
        let text = format!(
            "[model]\ninput = [2, 3, 4, 5]\n{model}\n[layers]\n\"b, c, h, w\" = \"input.shape\"\nx = \"{line}\"\n"
        );
        let trace = modelcost_spec::read(&text, &Options::default()).expect(line);
        let registration = modelcost_core::convention::lookup("torchprofile").expect("registered");
        let counted = (registration.load)().count(&trace, &Default::default());
        let report = counted.expect(line);
        let count = report.count.map(|count| count.count().to_string());
        (count.unwrap_or_default(), report.fidelity.level)
    };
    use modelcost_core::fidelity::Level::{Exact, Reconstructed};
    for (model, line, count, level) in [
        ("", "input.view(b * c, h, w)", "1", Exact),
        ("", "input.view(b, c, -1)", "0", Exact),
        ("", "input.view(b * c, h * w)", "2", Exact),
        ("", "input.view(int(b * c), h, w)", "0", Exact),
        (
            "",
            "input.view(b * c, h, w) if b > 9 else input.view(b, -1)",
            "0",
            Exact,
        ),
        ("", "input.view(-1, 3 * 4 * 5)", "0", Exact),
        ("", "input.view(6, 4, 5)", "0", Reconstructed),
        ("", "input.reshape((2, 3, 4 * 5))", "0", Reconstructed),
        ("", "input.view(2, 3, 2, 2, 5)", "0", Exact),
        ("", "input.view(2, 12, 5)", "0", Reconstructed),
        ("", "input.view(b, 60)", "0", Exact),
        ("", "input.sum() + torch.arange(20)", "0", Reconstructed),
        ("", "input.sum() + torch.arange(h * w)", "1", Exact),
        ("", "input.unflatten(3, (1, 5))", "0", Exact),
        ("sizes = []", "input.view(6, 4, 5)", "0", Exact),
        (
            "sizes = ['x = x.view(b * c, h, w)']",
            "input.view(6, 4, 5)",
            "1",
            Reconstructed,
        ),
    ] {
        assert_eq!(said(model, line), (count.into(), level), "{model} {line}");
    }
}
