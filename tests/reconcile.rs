//! The figures that torchvision publishes for its weights: torch's own counter, halved, must be the
//! first reading of each.

use std::path::{Path, PathBuf};

use modelcost_analysis::figure::Figure;
use modelcost_analysis::reconcile::reconcile;
use modelcost_analysis::scenario::scenarios;
use modelcost_core::convention::{Convention, Unit};
use modelcost_core::dim::Dim;
use modelcost_core::trace::Trace;
use modelcost_reader::{Options, open};
use modelcost_tests::corpus::Corpus;
use modelcost_tests::parallel;

struct Row {
    model: String,
    side: u64,
    ops: String,
    params: i128,
}

fn rows() -> Vec<Row> {
    let text = include_str!("reconcile/torchvision.csv");
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            Row {
                model: cells[0].into(),
                side: cells[1].parse().expect("a side"),
                ops: format!("{}G", cells[2]),
                params: cells[3].parse().expect("parameters"),
            }
        })
        .collect()
}

/// The spec and the programs of a classifier that are at hand.
fn files(corpus: &Corpus, model: &str) -> Vec<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    [
        examples.join(format!("{model}.toml")),
        corpus.files.join(format!("tv__{model}.pt2")),
    ]
    .into_iter()
    .filter(|path| path.exists())
    .collect()
}

fn conventions() -> Vec<&'static dyn Convention> {
    let all = modelcost_conventions::all().into_iter();
    all.map(|registration| (registration.load)()).collect()
}

fn runs_at(trace: &Trace, side: u64) -> bool {
    trace.inputs.first().is_some_and(|(_, input)| {
        let shape = trace.tensor(*input).shape.as_deref();
        shape.is_some_and(|shape| shape.last() == Some(&Dim::from(side)))
    })
}

/// What is wrong with the first reading of a file; nothing to say when it runs at another size.
fn check(row: &Row, path: &Path) -> Option<Result<(), String>> {
    let model = match open(path, &Options::default()) {
        Ok(model) => model,
        Err(error) => return Some(Err(error.to_string())),
    };
    if !runs_at(&model.trace, row.side) {
        return None;
    }
    let figure: Figure = row.ops.parse().expect("a figure");
    let params = model.trace.parameter_count(Trace::ROOT).0;
    let scenarios = scenarios(model.trace.clone(), &[], &|shapes| {
        model.at_shapes(&Options::default(), shapes)
    });
    let answer = reconcile(&scenarios.tried, &conventions(), &figure, None);
    let first = &answer.readings[0];
    let is_named = first.convention == "torch@2.15.0"
        && first.unit == Unit::Mac
        && first.fits
        && first.changes == ["2 FLOPs = 1 MAC"];
    // GoogLeNet's weights come without the auxiliary classifiers that the model is built with.
    let same_params = row.model == "googlenet" || params == Dim::Const(row.params);
    Some(if is_named && same_params {
        Ok(())
    } else {
        let path = path.display();
        Err(format!(
            "{path}: {} is read as {first:?}; {params} parameters",
            row.ops
        ))
    })
}

#[test]
fn torchvision_counts_with_torch_and_halves() {
    let corpus = Corpus::find();
    let rows = rows();
    let files: Vec<(&Row, PathBuf)> = rows
        .iter()
        .flat_map(|row| {
            files(&corpus, &row.model)
                .into_iter()
                .map(move |path| (row, path))
        })
        .collect();
    let checked = parallel::map(&files, |(row, path)| check(row, path));
    let checked: Vec<_> = checked.into_iter().flatten().collect();
    let wrong: Vec<String> = checked
        .iter()
        .filter_map(|result| result.clone().err())
        .collect();
    // The repository holds specs of a dozen of them, and programs of as many.
    assert!(checked.len() >= 20, "only {} files", checked.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!(
        "torchvision: the convention of {} files named",
        checked.len()
    );
}
