//! The models that ship in the onnx package (onnx/backend/test/data of release 1.23.2: `light`,
//! `pytorch-converted`, `pytorch-operator`): every shape is known, and totals are those of the same
//! networks in torchvision.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use modelcost_core::convention::{Options as CountOptions, lookup};
use modelcost_core::fidelity::Level;
use modelcost_core::trace::Trace;
use modelcost_onnx::infer::Options;
use modelcost_onnx::{ModelFile, shapes_of};
use modelcost_tests::packed;

/// The models by set and name: `light/light_vgg19`.
fn models() -> BTreeMap<String, ModelFile> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/onnx-models.tar.xz");
    packed::files(&path)
        .into_iter()
        .filter_map(|(file, bytes)| {
            let name = file.strip_suffix(".onnx")?.to_owned();
            Some((name, ModelFile::from_bytes(file, bytes)))
        })
        .collect()
}

#[test]
fn every_shape_is_known() {
    let models = models();
    assert_eq!(models.len(), 9 + 82 + 35);
    for (name, file) in &models {
        let shapes = shapes_of(&file.model().unwrap(), &Options::default()).unwrap();
        assert!(
            shapes.unsupported.is_empty(),
            "{name}: {:?}",
            shapes.unsupported
        );
        for value in shapes.values.iter().chain(&shapes.outputs) {
            let known = value
                .shape
                .as_ref()
                .is_some_and(|shape| shape.iter().all(|size| size.as_const().is_some()));
            assert!(known && value.dtype.is_some(), "{name}: {value:?}");
        }
    }
}

fn trace(models: &BTreeMap<String, ModelFile>, name: &str) -> Trace {
    let model = models[name].model().unwrap();
    modelcost_onnx::trace(&model, &Options::default(), name).unwrap()
}

/// What torch 2.15.0's FlopCounterMode and the parameters of thop 0.1.1 are for torchvision 0.29.2's model
/// of the same architecture.
const RELATIVES: &[(&str, i128, i128)] = &[
    ("light_densenet121", 5_668_323_328, 7_978_856),
    ("light_resnet50", 8_178_368_512, 25_557_032),
    ("light_squeezenet", 698_303_872, 1_235_496),
];

/// The same without a relative in the corpus: multiply-adds and parameters of the published networks
/// (VGG-19; GoogLeNet; AlexNet with its two groups), within two in a hundred.
const PUBLISHED: &[(&str, f64, f64)] = &[
    ("light_vgg19", 19.6e9, 143.7e6),
    ("light_inception_v1", 1.43e9, 7.0e6),
    ("light_bvlc_alexnet", 0.655e9, 61.0e6),
];

/// FLOPs and parameters.
fn numbers(trace: &Trace) -> (i128, i128) {
    let report = |name: &str| {
        let convention = (lookup(name).unwrap().load)();
        let report = convention.count(trace, &CountOptions::default()).unwrap();
        // Nothing in these files says what a module was.
        assert_eq!(report.fidelity.level, Level::Reconstructed);
        report
    };
    let flops = report("torch@2.15.0").count.unwrap();
    let parameters = report("thop@0.1.1").params.unwrap();
    (
        flops.count().as_const().unwrap(),
        parameters.as_const().unwrap(),
    )
}

#[test]
fn totals_are_those_of_the_same_networks() {
    modelcost_conventions::link();
    let models = models();
    for (name, flops, params) in RELATIVES {
        let got = numbers(&trace(&models, &format!("light/{name}")));
        assert_eq!(got, (*flops, *params), "{name}");
    }
    for (name, macs, params) in PUBLISHED {
        let (flops, parameters) = numbers(&trace(&models, &format!("light/{name}")));
        let near = |got: i128, wanted: f64| (got as f64 / wanted - 1.0).abs() < 0.02;
        assert!(near(flops / 2, *macs), "{name}: {flops}");
        assert!(near(parameters, *params), "{name}: {parameters}");
    }
}

/// A graph that no exporter of PyTorch wrote never calls an answer exact: modules are a guess.
#[test]
fn no_answer_is_called_exact() {
    modelcost_conventions::link();
    let models = models();
    for name in models.keys() {
        let trace = trace(&models, name);
        assert_ne!(trace.fidelity.level, Level::Exact, "{name}");
    }
}
