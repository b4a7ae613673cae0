//! Peak activation memory against what PyTorch's own tensors took, and training cost against what
//! torch's counter printed.

use std::collections::HashMap;

use modelcost_analysis::memory::{MemoryError, memory};
use modelcost_core::convention::{Convention, Options};
use modelcost_core::dim::Dim;
use modelcost_core::trace::{Target, Trace};
use modelcost_tests::corpus::{Corpus, Expected};
use modelcost_tests::parallel;

/// What memory/measure.py measured on torch 2.15.0, by model.
fn measured() -> HashMap<&'static str, [u128; 3]> {
    let text = include_str!("memory/peak.csv");
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |at: usize| cells[at].parse::<u128>().expect("bytes");
            (cells[0], [number(1), number(2), number(3)])
        })
        .collect()
}

/// What a function gives for every program of the corpus that it has something to say about.
fn each<R: Send>(check: impl Fn(&Expected, &Trace) -> Option<R> + Sync) -> Vec<R> {
    let corpus = Corpus::find();
    let models = corpus.models.iter();
    let files: Vec<_> = models
        .filter_map(|model| Some((model, corpus.file(model, "pt2")?)))
        .collect();
    let results = parallel::map(&files, |(model, path)| {
        let options = modelcost_reader::Options::default();
        match modelcost_reader::open(path, &options) {
            Ok(read) => check(model, &read.trace),
            Err(error) => panic!("{error}"),
        }
    });
    results.into_iter().flatten().collect()
}

#[test]
fn as_much_is_alive_as_pytorch_holds() {
    let measured = measured();
    let results = each(|model, trace| {
        let expected = measured.get(model.model.as_str())?;
        let got = memory(trace).map(|it| [it.inputs, it.peak_activations, it.all_activations]);
        let is_same = got.as_ref() == Ok(expected);
        Some((!is_same).then(|| format!("{}: {got:?}, measured {expected:?}", model.model)))
    });
    let wrong: Vec<&String> = results.iter().flatten().collect();
    assert!(results.len() >= 60, "only {} models", results.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("memory: {} models as measured", results.len());
}

/// Whether torch's counter has its own view of a backward pass: it takes the weight gradient of a
/// grouped convolution for a dense one, adds the scores that attention computes again, and sees
/// only some operators of recurrent and bilinear layers.
fn is_counted_otherwise(trace: &Trace) -> bool {
    trace.calls().any(|(_, call)| match &call.target {
        Target::Operator(name) => {
            let is_grouped = name.contains("conv")
                && call.argument("groups").and_then(|groups| groups.int()) != Some(Dim::ONE);
            let special = ["scaled_dot", "lstm", "gru", "rnn", "bilinear"];
            is_grouped || special.iter().any(|word| name.contains(word))
        }
        _ => false,
    })
}

/// The corpus's `torch@2.15.0/train`: forward, then backward of the sum of the outputs.
#[test]
fn training_costs_what_torch_counted() {
    let macs = modelcost_conventions::find("macs").expect("a convention");
    let torch = modelcost_conventions::find("torch/train").expect("a convention");
    let results = each(|model, trace| {
        let expected = model.tools.get("torch@2.15.0/train")?;
        let expected = Dim::from(expected["count"].as_i64()?);
        let count = |convention: &dyn Convention, training| {
            let report = convention.count(trace, &Options { training }).ok()?;
            report.count.map(|cost| cost.count().clone())
        };
        let own = count(torch, false);
        // Two FLOPs a multiply-accumulate, where torch's own formulas say the same.
        let ideal = count(macs, true).map(|macs| macs * 2);
        let is_plain = !is_counted_otherwise(trace);
        let expected = Some(expected);
        let is_right = own == expected && (!is_plain || ideal == expected);
        let told = format!(
            "{}: {own:?}, 2 × macs {ideal:?}, not {expected:?}",
            model.model
        );
        Some((is_plain, (!is_right).then_some(told)))
    });
    let wrong: Vec<&String> = results
        .iter()
        .filter_map(|(_, wrong)| wrong.as_ref())
        .collect();
    let (tried, ideal_too) = (
        results.len(),
        results.iter().filter(|(plain, _)| *plain).count(),
    );
    assert!(
        tried >= 50 && ideal_too >= 20,
        "only {tried} and {ideal_too} models"
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("training: {tried} models as torch counted, {ideal_too} by 2 × macs too");
}

#[test]
fn free_sizes_have_no_bytes() {
    let mut trace = Trace::default();
    trace.parameters.push(modelcost_core::trace::Parameter {
        name: "weight".into(),
        shape: vec![Dim::symbol("width")],
        dtype: modelcost_core::dtype::DType::Float32,
        requires_grad: true,
        tensor: modelcost_core::trace::TensorId::new(0),
    });
    assert_eq!(memory(&trace), Err(MemoryError::Symbolic("width".into())));
}
