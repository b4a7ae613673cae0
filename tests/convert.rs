//! Specs written from exported programs: every convention gives the same numbers for what is read
//! back, and writing that again gives the same text.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use modelcost_analysis::agreement::differences;
use modelcost_core::convention::Convention;
use modelcost_core::trace::Trace;
use modelcost_spec::{WriteOptions, write};
use modelcost_tests::{packed, parallel};

/// Models of the whole corpus that are tried too where that is there: of each kind a small one.
const MORE: &[&str] = &[
    "dynamic__tv__resnet18",
    "dynamic__tv__vit_b_16",
    "seg__lraspp_mobilenet_v3_large",
    "tv__inception_v3",
    "tv__mnasnet0_5",
    "tv__mobilenet_v3_small",
    "tv__regnet_x_400mf",
    "tv__shufflenet_v2_x0_5",
    "vid__r3d_18",
];

fn small() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/small")
}

fn conventions() -> Vec<&'static dyn Convention> {
    let all = modelcost_conventions::all().into_iter();
    all.map(|registration| (registration.load)()).collect()
}

/// What is wrong with the spec of a model, in lines.
fn problems(path: &Path) -> Vec<String> {
    let name = path.file_stem().unwrap().to_string_lossy().to_string();
    let model = modelcost_reader::open(path, &Default::default()).unwrap();
    problems_of(&model.trace, &name)
}

fn problems_of(trace: &Trace, name: &str) -> Vec<String> {
    let options = WriteOptions::default();
    let written = write(trace, options);
    let found = match &written.read_back {
        Ok(found) => found,
        Err(diagnostics) => return vec![format!("{name}: {}", diagnostics[0].message)],
    };
    let different = differences(trace, found, &conventions());
    let mut out: Vec<String> = different
        .into_iter()
        .map(|difference| format!("{name}: {}: {}", difference.convention, difference.what))
        .collect();
    if write(found, options).text != written.text {
        out.push(format!(
            "{name}: writing what was read back gives another text"
        ));
    }
    out
}

#[test]
fn every_convention_agrees() {
    modelcost_conventions::link();
    let mut files: Vec<PathBuf> = std::fs::read_dir(small())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pt2"))
        .collect();
    assert!(!files.is_empty());
    if let Some(folder) = std::env::var_os("MODELCOST_CORPUS") {
        let more = MORE
            .iter()
            .map(|name| Path::new(&folder).join(format!("{name}.pt2")));
        files.extend(more.filter(|path| path.exists()));
    }
    files.sort();
    let problems = parallel::map(&files, |path| problems(path)).concat();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Layers of users' classes that derive from PyTorch's, parametrized layers, products over chosen
/// dimensions: what rules read of them is put back from what they call.
#[test]
fn derived_and_parametrized_layers_keep_their_numbers() {
    modelcost_conventions::link();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (family, names) in [
        ("wide", &["conformer", "spectral", "state_space", "vocoder"]),
        ("dec", &["convs", "norms", "residual", "vectors"]),
    ] {
        let files = packed::files(&corpus.join(family).join("models.tar.xz"));
        for name in names {
            let name = format!("{family}__{name}.pt2");
            let trace = modelcost_export::read_bytes(&files[&name], &name).unwrap();
            let problems = problems_of(&trace, &name);
            assert!(problems.is_empty(), "{}", problems.join("\n"));
        }
    }
}

/// Of the older exporter's files too, which say less.
#[test]
fn specs_of_the_older_exporters_files_agree() {
    modelcost_conventions::link();
    for name in [
        "depthwise_separable",
        "functional",
        "gru_2l_bi_nobias",
        "lstm_cell",
        "pixelshuffle",
        "rnn",
        "sdpa",
        "simple_model",
    ] {
        let problems = problems(&small().join(format!("mod__{name}.leg.onnx")));
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}

fn text(name: &str) -> String {
    let path = small().join(format!("{name}.pt2"));
    let model = modelcost_reader::open(&path, &Default::default()).unwrap();
    write(&model.trace, WriteOptions::default()).text
}

/// Two kinds of blocks, with a downsampling branch and without, are one; repeats are repeats.
#[test]
fn a_residual_network_reads_as_a_person_writes_it() {
    let text = text("tv__resnet50");
    for line in [
        r#"conv1   = "Conv2d(3, 64, 7, stride=2, padding=3, bias=False)""#,
        r#"layer1  = ["Bottleneck(64, 64, down=True)", "2 * Bottleneck(256, 64)"]"#,
        r#"args  = "in_channels, out_channels, stride=1, down=False""#,
        r#"out        = "relu(bn3 + (downsample if down else input))""#,
    ] {
        assert!(text.contains(line), "no line {line} in\n{text}");
    }
}

#[test]
fn layers_of_pytorch_stay_one_line() {
    let text = text("tv__vit_b_16");
    for part in [
        "MultiheadAttention(768, 12, batch_first=True)(ln_1, ln_1, ln_1, need_weights=False)[0]",
        r#"layers  = { "encoder_layer_{i}" = "12 * EncoderBlock()" }"#,
        "class_token = [1, 1, 768]",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let encoder = self::text("mod__encoder_6");
    assert!(
        encoder.contains("TransformerEncoder(TransformerEncoderLayer("),
        "{encoder}"
    );
}

#[test]
fn tied_and_frozen_parameters_are_said() {
    let tied = text("mod__tied_lm");
    assert!(tied.contains("[tie]"), "{tied}");
    let frozen = text("mod__frozen");
    assert!(frozen.contains(r#"= ["a"]"#), "{frozen}");
}
