//! Bridges sum to the difference of the two totals, for every ordered pair of conventions.

use std::path::{Path, PathBuf};

use modelcost_analysis::bridge::{Bridge, Kind, bridge};
use modelcost_core::convention::Options;
use modelcost_core::dim::Dim;
use modelcost_core::report::Report;
use modelcost_core::trace::Trace;
use modelcost_tests::corpus::Corpus;
use modelcost_tests::parallel;

fn read(path: &Path) -> Trace {
    let options = modelcost_reader::Options::default();
    match modelcost_reader::open(path, &options) {
        Ok(model) => model.trace,
        Err(error) => panic!("{error}"),
    }
}

fn reports(trace: &Trace) -> Vec<Report> {
    let all = modelcost_conventions::all().into_iter();
    all.filter_map(|registration| {
        (registration.load)()
            .count(trace, &Options::default())
            .ok()
            .filter(|report| report.count.is_some())
    })
    .collect()
}

/// What is wrong with a bridge.
fn fault(bridge: &Bridge) -> Option<String> {
    let sum: Dim = bridge.causes.iter().map(|cause| cause.delta.clone()).sum();
    let difference = &bridge.to_count - &bridge.from_count;
    if sum != difference {
        return Some(format!("causes sum to {sum}, not {difference}"));
    }
    bridge.causes.iter().find_map(|cause| {
        let layers: Dim = cause.layers.iter().map(|layer| layer.delta.clone()).sum();
        let fits = cause.kind == Kind::Rounding || layers == cause.delta;
        (!fits).then(|| {
            format!(
                "layers of '{}' sum to {layers}, not {}",
                cause.title, cause.delta
            )
        })
    })
}

/// Every ordered pair on one model: how many there were, and what is wrong.
fn check(path: &Path) -> (usize, Vec<String>) {
    let trace = read(path);
    let reports = reports(&trace);
    let (mut pairs, mut wrong) = (0, Vec::new());
    for from in &reports {
        for to in &reports {
            pairs += 1;
            let fault = match bridge(&trace, from, to) {
                Some(bridge) => fault(&bridge),
                None => Some("no bridge".into()),
            };
            if let Some(fault) = fault {
                wrong.push(format!(
                    "{}: {} to {}: {fault}",
                    path.display(),
                    from.convention.identity(),
                    to.convention.identity()
                ));
            }
        }
    }
    (pairs, wrong)
}

fn titles(spec: &str, from: &str, to: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(spec);
    let trace = read(&path);
    let count = |name: &str| {
        let convention = modelcost_conventions::find(name).expect("a convention");
        let report = convention.count(&trace, &Options::default());
        report.expect("a count")
    };
    let bridge = bridge(&trace, &count(from), &count(to)).expect("a bridge");
    let causes = bridge.causes.iter();
    causes
        .map(|cause| format!("{} {}", cause.delta, cause.title))
        .collect()
}

#[test]
fn bridges_sum_to_the_difference() {
    let corpus = Corpus::find();
    let models = corpus.models.iter();
    let paths: Vec<PathBuf> = models
        .filter_map(|model| corpus.file(model, "pt2"))
        .collect();
    let checked = parallel::map(&paths, |path| check(path));
    let pairs: usize = checked.iter().map(|(pairs, _)| pairs).sum();
    let wrong: Vec<String> = checked.into_iter().flat_map(|(_, wrong)| wrong).collect();
    let models = paths.len();
    assert!(
        models >= 50 && pairs > models * 100,
        "{models} models, {pairs} pairs"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("bridges: {pairs} pairs on {models} models");
}

/// thop 0.0.31 prints 714,691,904 for AlexNet, thop 0.1.1 714,206,912, ptflops 0.7.5 716,441,128 and
/// torch's counter 1,428,376,960; the rules of each say what is between.
#[test]
fn causes_say_what_is_counted() {
    assert_eq!(
        titles("alexnet.toml", "thop@0.0.31", "thop@0.1.1"),
        ["-484992 bias of convolutions, counted only by thop@0.0.31"]
    );
    assert_eq!(
        titles("alexnet.toml", "thop", "ptflops"),
        [
            "986368 activations, counted only by ptflops@0.7.5/pytorch",
            "753664 pooling, counted only by ptflops@0.7.5/pytorch",
            "484992 bias of convolutions, counted only by ptflops@0.7.5/pytorch",
            "9192 bias of linear layers, counted only by ptflops@0.7.5/pytorch",
        ]
    );
    assert_eq!(
        titles("alexnet.toml", "torchinfo", "torch"),
        [
            "655566528 products of convolutions: two FLOPs for each MAC",
            "58621952 products of linear layers: two FLOPs for each MAC",
            "-484992 bias of convolutions, counted only by torchinfo@1.8.0",
            "-9192 bias of linear layers, counted only by torchinfo@1.8.0",
        ]
    );
}
