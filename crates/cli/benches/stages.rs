//! Where the time goes: `cargo bench -p modelcost`.
//!
//! `process` runs the program as a whole, start-up and printing included. The other groups time the
//! stages (parse, trace, count) of generated networks from 100 to 100,000 layers, which should grow
//! in proportion. Nothing is asserted: times depend on the machine.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use divan::Bencher;
use modelcost_core::convention::Options as CountOptions;
use modelcost_core::trace::Trace;
use modelcost_spec::{Document, Options};

const LAYERS: [usize; 4] = [100, 1_000, 10_000, 100_000];

fn main() {
    modelcost_conventions::link();
    divan::main();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A chain of linear layers and activations, each on a line of its own.
fn chain(layers: usize) -> String {
    let mut text = String::from("[model]\ninput = [1, 64]\n\n[layers]\n");
    for index in 0..layers / 2 {
        let _ = writeln!(
            text,
            "fc{index} = \"Linear(64, 64)\"\nact{index} = \"ReLU()\""
        );
    }
    text
}

fn trace_of(text: &str) -> Trace {
    match Document::parse(text).0.trace(&Options::default()) {
        Ok(trace) => trace,
        Err(diagnostics) => panic!("the generated network is wrong: {diagnostics:?}"),
    }
}

#[divan::bench_group(sample_count = 20, sample_size = 1)]
mod process {
    use super::*;

    #[divan::bench(args = ["alexnet", "resnet50", "densenet121", "bert_base"])]
    fn example(bencher: Bencher, name: &str) {
        let path = format!("examples/{name}.toml");
        bencher.bench(|| run(&[&path]));
    }

    #[divan::bench]
    fn compare_resnet50(bencher: Bencher) {
        bencher.bench(|| run(&["compare", "examples/resnet50.toml"]));
    }

    /// The least that any run takes: loading the program.
    #[divan::bench]
    fn nothing(bencher: Bencher) {
        bencher.bench(|| run(&["--version"]));
    }

    fn run(arguments: &[&str]) {
        let status = Command::new(env!("CARGO_BIN_EXE_modelcost"))
            .args(arguments)
            .current_dir(root())
            .stdout(Stdio::null())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "{arguments:?} fails"
        );
    }
}

#[divan::bench(args = LAYERS, sample_count = 5, sample_size = 1)]
fn parse(bencher: Bencher, layers: usize) {
    let text = chain(layers);
    bencher.bench(|| Document::parse(&text));
}

#[divan::bench(args = LAYERS, sample_count = 5, sample_size = 1)]
fn trace(bencher: Bencher, layers: usize) {
    let (document, _) = Document::parse(&chain(layers));
    bencher.bench(|| document.trace(&Options::default()));
}

#[divan::bench(args = LAYERS, consts = [0, 1, 2, 3], sample_count = 5, sample_size = 1)]
fn count<const CONVENTION: usize>(bencher: Bencher, layers: usize) {
    let name = ["torchinfo", "thop", "ptflops", "fvcore"][CONVENTION];
    let Ok(convention) = modelcost_conventions::find(name) else {
        panic!("there is no {name}")
    };
    let trace = trace_of(&chain(layers));
    bencher.bench(|| convention.count(&trace, &CountOptions::default()));
}
