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

/// What is wrong with the shorter spec, or if that is anything, with the longer one.
fn problems_of(trace: &Trace, name: &str) -> Vec<String> {
    let problems = |keep_unused| problems_with(trace, name, WriteOptions { keep_unused });
    match problems(false).as_slice() {
        [] => Vec::new(),
        _ => problems(true),
    }
}

fn problems_with(trace: &Trace, name: &str, options: WriteOptions) -> Vec<String> {
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

/// ONNX files whose spec does not agree.
const DIFFERENT: &[&str] = &[
    // Calls of the layer that the optimizer left have not the same inputs.
    "mod__lstm_nobias_seqfirst.dyn",
    // Products of sizes in attention that are told from views which the spec does not make.
    "mod__transformer.dyn",
    // The file passes attention what is computed inside it.
    "mod__mha.leg",
];

/// Of ONNX files too, from both exporters, which say less.
#[test]
fn specs_of_onnx_files_agree() {
    modelcost_conventions::link();
    let files: Vec<PathBuf> = std::fs::read_dir(small())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "onnx")
        })
        .filter(|path| {
            let name = path.file_stem().unwrap().to_string_lossy();
            !DIFFERENT.contains(&&*name)
        })
        .collect();
    assert!(files.len() > 100, "{}", files.len());
    let problems = parallel::map(&files, |path| problems(path)).concat();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Parameters whose shape a file no longer says, operators that no vocabulary has, and functions that
/// give something else than their arguments tell.
#[test]
fn specs_say_what_a_file_does_not() {
    modelcost_conventions::link();
    let parts = |text: &str| {
        let read = modelcost_spec::read(text, &Default::default()).unwrap();
        (read.fidelity.level, write(&read, WriteOptions::default()))
    };
    let (level, written) = parts(
        r#"
        [model]
        input = [1, 4, 8, 8]
        [parameters]
        scale = ["?"]
        [layers]
        kept = "torch.ops.mine.pick(input, returns=[dict(shape=(3,), dtype=torch.int64), (5, 2)])"
        out  = "F.linear(kept[1], torch.ones(4, 2), returns=(5, 9))"
        "#,
    );
    assert_eq!(level, modelcost_core::fidelity::Level::Partial);
    for part in [
        r#"scale = ["?"]"#,
        ", returns=(5, 9))",
        "returns=[dict(shape=(3,), dtype=torch.int64), (5, 2)])[1]",
    ] {
        assert!(
            written.text.contains(part),
            "no {part} in\n{}",
            written.text
        );
    }
    let trace = written.read_back.unwrap();
    let params = trace.parameters[0].shape[0].to_string();
    assert_eq!(params, "?scale");
}

/// Hooks, layers without gradients, items called again, inputs that only later calls give.
#[test]
fn what_a_forward_does_beside_its_layers_is_kept() {
    modelcost_conventions::link();
    let text = r#"
        [model]
        input   = [1, 8]
        output  = "{'0': hooked(trunk[1]), 'out': head}"
        no_grad = ["trunk"]
        [layers]
        trunk = ["Linear(8, 8)", "ReLU()", "Linear(8, 8)"]
        items = "Items()"
        gate  = "Gate()(items)"
        gate2 = "gate(gate, items)"
        head  = "Linear(8, 2)"
        [block.Items]
        class  = "torch.nn.Sequential"
        output = "x + self[0](x)"
        [block.Items.layers]
        0 = "Linear(8, 8)"
        1 = "ReLU()"
        x = "_"
        [block.Gate]
        input = "x, mask=None"
        [block.Gate.layers]
        fc = "Linear(8, 8)"
        "#;
    let trace = modelcost_spec::read(text, &Default::default()).unwrap();
    let problems = problems_of(&trace, "hooks");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let written = write(&trace, WriteOptions::default()).text;
    for part in [
        "{'0': hooked(trunk[1]), 'out': head}",
        r#"no_grad = ["trunk"]"#,
        "self[0](x)",
        r#"input = "x, y=None""#,
    ] {
        assert!(written.contains(part), "no {part} in\n{written}");
    }
}

/// torchprofile 0.1.0 prints 1,048,577 for `x = x.view(b * h, t, d)` and a Linear(64, 64) after it:
/// the product of sizes is one of them.
#[test]
fn products_of_sizes_are_counted() {
    modelcost_conventions::link();
    let text = r#"
        [model]
        input = [2, 8, 16, 64]
        [layers]
        heads = "Heads()"
        [block.Heads]
        sizes = ["x = x.view(b * h, t, d)"]
        [block.Heads.layers]
        x    = "input.view(16, 16, 64)"
        proj = "Linear(64, 64)"
        "#;
    let trace = modelcost_spec::read(text, &Default::default()).unwrap();
    let convention = modelcost_core::convention::find("torchprofile").unwrap();
    let count = |trace: &Trace| {
        let report = convention.count(trace, &Default::default()).unwrap();
        report.count.unwrap().count().to_string()
    };
    assert_eq!(count(&trace), "1048577");
    let written = write(&trace, WriteOptions::default());
    assert!(
        written.text.contains("sizes = [\"x = x.view("),
        "{}",
        written.text
    );
    assert_eq!(count(&written.read_back.unwrap()), "1048577");
}

/// The older exporter folds a BatchNorm away; what else its module calls is in the same call of it.
#[test]
fn a_folded_batch_norm_with_an_activation_is_called_once() {
    let text = r#"<ir_version: 8, opset_import: ["" : 17], producer_name: "pytorch">
        main_graph (float[1, 3, 8, 8] x) => (float[1, 4, 6, 6] y)
           <float[4, 3, 3, 3] "onnx::Conv_12" = ["location": "weights.bin"],
            float[4] "onnx::Conv_13" = ["location": "weights.bin"]>
        {
           ["/stem/conv/Conv"] z = Conv <kernel_shape: ints = [3, 3]> (x, "onnx::Conv_12", "onnx::Conv_13")
           ["/stem/bn/act/Relu"] y = Relu (z)
        }"#;
    let file = modelcost_onnx::ModelFile::from_bytes("stem.onnxtxt", text.into());
    let trace = modelcost_onnx::trace(&file.model().unwrap(), &Default::default(), "stem").unwrap();
    let calls = trace.calls_by_module();
    let named = trace.named_modules();
    let mut norms = named.iter().filter(|(name, _)| name.as_str() == "stem.bn");
    let (_, norm) = norms.next().unwrap();
    assert_eq!(calls[norm.index()].len(), 1);
    assert_eq!(trace.module(*norm).children[0].0, "act");
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
