//! Numbers that the project was asked for by name, and what the formulas of its own conventions give.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use modelcost_core::convention::{Options as CountOptions, find};
use modelcost_core::dim::Dim;
use modelcost_core::report::Report;
use modelcost_core::trace::Trace;
use modelcost_reader::Options;

/// A spec of one layer or a few: the shape of the input, and what stands under `[layers]`.
fn layers(input: &str, layers: &str) -> Trace {
    let text = format!("[model]\nname = \"m\"\ninput = {input}\n[layers]\n{layers}\n");
    match modelcost_spec::read(&text, &modelcost_spec::Options::default()) {
        Ok(trace) => trace,
        Err(diagnostics) => panic!("{text}{diagnostics:#?}"),
    }
}

fn report(trace: &Trace, convention: &str) -> Report {
    modelcost_conventions::link();
    let convention = find(convention).unwrap();
    let report = convention.count(trace, &CountOptions::default()).unwrap();
    let sum: Dim = report.entries.iter().map(|entry| entry.count.clone()).sum();
    if let Some(count) = &report.count {
        assert_eq!(
            sum + &report.rounding,
            *count.count(),
            "entries and rounding are the count"
        );
    }
    report
}

fn count(trace: &Trace, convention: &str) -> i128 {
    let count = report(trace, convention).count.unwrap();
    count.count().as_const().unwrap()
}

fn training(trace: &Trace) -> i128 {
    modelcost_conventions::link();
    let options = CountOptions { training: true };
    let report = find("macs").unwrap().count(trace, &options).unwrap();
    report.count.unwrap().count().as_const().unwrap()
}

fn alexnet(options: &Options) -> Trace {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/alexnet.toml");
    modelcost_reader::open(&path, options).unwrap().trace
}

#[test]
fn alexnet_by_seven_tools() {
    // Printed by the tools of these releases at 1×3×224×224.
    let trace = alexnet(&Options::default());
    for (convention, expected) in [
        ("thop@0.0.31", 714_691_904),
        ("thop@0.1.1", 714_206_912),
        ("ptflops@0.6.9", 715_561_896),
        ("ptflops@0.7.5", 716_441_128),
        ("ptflops/aten", 714_682_664),
        ("torchinfo@1.8.0", 714_682_664),
        ("fvcore", 714_197_696),
        ("torch", 1_428_376_960),
    ] {
        assert_eq!(count(&trace, convention), expected, "{convention}");
    }
    for convention in [
        "thop",
        "thop@0.0.31",
        "ptflops",
        "ptflops@0.6.9",
        "ptflops/aten",
        "torchinfo",
    ] {
        let params = report(&trace, convention).params;
        assert_eq!(params, Some(Dim::from(61_100_840)), "{convention}");
    }
}

#[test]
fn alexnet_by_layers_of_ptflops() {
    let report = report(&alexnet(&Options::default()), "ptflops@0.6.9");
    let row = |path: &str| {
        let row = report.layers.iter().find(|layer| layer.path == path);
        row.and_then(|row| row.count.clone()).unwrap()
    };
    // ptflops 0.6.9 prints 9.848 % and 0.027 % beside these.
    assert_eq!(row("features.0"), Dim::from(70_470_400));
    assert_eq!(row("features.1"), Dim::from(193_600));
}

#[test]
fn alexnet_at_other_sizes() {
    // thop 0.0.31 at 1×3×512×512 and at batch 8.
    let large = vec![1, 3, 512, 512].into_iter().map(Dim::from).collect();
    let options = Options {
        inputs: vec![(None, large)],
        ..Options::default()
    };
    assert_eq!(count(&alexnet(&options), "thop@0.0.31"), 3_710_034_752);
    let options = Options {
        batch: Some(Dim::from(8)),
        ..Options::default()
    };
    assert_eq!(count(&alexnet(&options), "thop@0.0.31"), 5_717_535_232);
}

#[test]
fn parameters_of_layers() {
    // numel of the parameters of the modules of torch 2.15.
    for (input, text, expected) in [
        ("[1, 512]", "fc = 'Linear(512, 1000)'", 513_000),
        ("[1, 3, 8, 8]", "conv = 'Conv2d(3, 64, 3)'", 1_792),
        (
            "[1, 32, 8, 8]",
            "conv = 'Conv2d(32, 64, 3, groups=2)'",
            9_280,
        ),
        (
            "[1, 32, 8, 8]",
            "depthwise = 'Conv2d(32, 32, 3, groups=32)'\npointwise = 'Conv2d(32, 64, 1)'",
            2_432,
        ),
        ("[1, 64, 8, 8]", "bn = 'BatchNorm2d(64)'", 128),
        ("[1, 4, 128]", "ln = 'LayerNorm(128)'", 256),
        ("[4, 1, 128]", "rnn = 'LSTM(128, 256)'", 395_264),
        ("[4, 1, 128]", "rnn = 'GRU(128, 256)'", 296_448),
        (
            "[4, 1, 512]",
            "mha = 'MultiheadAttention(512, 8)(input, input, input)'",
            1_050_624,
        ),
        (
            "[4, 1, 512]",
            "layer = 'TransformerEncoderLayer(512, 8, 2048)'",
            3_152_384,
        ),
    ] {
        let trace = layers(input, text);
        let (total, _) = trace.parameter_count(Trace::ROOT);
        assert_eq!(total, Dim::from(expected), "{text}");
    }
}

#[test]
fn textbook_formulas() {
    for (input, text, expected) in [
        // (2 C_in - 1) C_out, for each of 5 tokens
        ("[1, 5, 16]", "fc = 'Linear(16, 8)'", 5 * (2 * 16 - 1) * 8),
        // (2 K_h K_w C_in / g - 1) H_out W_out C_out
        (
            "[1, 4, 10, 10]",
            "conv = 'Conv2d(4, 6, 3, groups=2)'",
            (2 * 9 * 2 - 1) * 8 * 8 * 6,
        ),
        ("[1, 4, 10, 10]", "pool = 'MaxPool2d(2)'", 4 * 100),
        ("[1, 4, 10, 10]", "pool = 'AdaptiveAvgPool2d(1)'", 4 * 100),
        ("[1, 4, 10, 10]", "act = 'ReLU()'", 4 * 100),
        ("[1, 4, 10, 10]", "act = 'GELU()'", 4 * 100),
        ("[1, 4, 10, 10]", "bn = 'BatchNorm2d(4)'", 4 * 100),
        ("[1, 5, 16]", "ln = 'LayerNorm(16)'", 5 * 16),
        // Four projections of 5 tokens, then 2 heads of 8: scores and their product with the values.
        (
            "[5, 1, 16]",
            "mha = 'MultiheadAttention(16, 2)(input, input, input)'",
            4 * 5 * 31 * 16 + 2 * (5 * 5 * 15 + 5 * 8 * 9),
        ),
    ] {
        assert_eq!(count(&layers(input, text), "textbook"), expected, "{text}");
    }
}

#[test]
fn textbook_ignores_biases() {
    let trace = layers(
        "[1, 4, 10, 10]",
        "conv = 'Conv2d(4, 6, 3)'\nbn = 'BatchNorm2d(6)'",
    );
    let params = report(&trace, "textbook").params;
    assert_eq!(params, Some(Dim::from(4 * 6 * 9 + 2 * 6)));
}

#[test]
fn attention_as_articles_print_it() {
    let trace = layers(
        "[5, 1, 16]",
        "mha = 'MultiheadAttention(16, 2)(input, input, input)'",
    );
    // N (2C - 1) N, and 3 (2C - 1) C + (2C - 1) C that is not multiplied by N.
    assert_eq!(count(&trace, "textbook/article"), 5 * 31 * 5 + 4 * 31 * 16);
}

#[test]
fn ideal_macs_of_a_transformer_layer() {
    let (n, d) = (10, 64);
    let text = format!("layer = 'TransformerEncoderLayer({d}, 4, {})'", 4 * d);
    let trace = layers(&format!("[{n}, 1, {d}]"), &text);
    // 4nd² + 2n²d for self-attention, 8nd² for the feed-forward network.
    let expected = 4 * n * d * d + 2 * n * n * d + 8 * n * d * d;
    assert_eq!(count(&trace, "macs"), expected);
}

#[test]
fn training_is_counted_per_operator() {
    let convolutions =
        "first = 'Conv2d(3, 8, 3, padding=1)'\nsecond = 'Conv2d(8, 8, 3, padding=1)'";
    let trace = layers("[1, 3, 6, 6]", convolutions);
    let (first, second) = (36 * 8 * 27, 36 * 8 * 72);
    assert_eq!(count(&trace, "macs"), first + second);
    // The model's input needs no gradient, so the first layer has that of its weight only.
    assert_eq!(training(&trace), 2 * first + 3 * second);

    let mut frozen = trace.clone();
    for parameter in &mut frozen.parameters {
        parameter.requires_grad = !parameter.name.starts_with("first");
    }
    assert_eq!(training(&frozen), first + 2 * second);

    // Scores and their product with the values: two gradients each.
    let (n, d) = (10, 64);
    let attention = "mha = 'MultiheadAttention(64, 4)(fc, fc, fc, need_weights=False)'";
    let trace = layers(
        &format!("[{n}, 1, {d}]"),
        &format!("fc = 'Linear({d}, {d})'\n{attention}"),
    );
    let forward = 5 * n * d * d + 2 * n * n * d;
    assert_eq!(count(&trace, "macs"), forward);
    assert_eq!(training(&trace), 3 * forward - n * d * d);

    // A recurrent layer: the input of its first layer is the model's.
    let trace = layers("[7, 1, 12]", "rnn = 'GRU(12, 16, 2)'");
    let (input, state) = (7 * 48 * 12, 7 * 48 * 16);
    assert_eq!(count(&trace, "macs"), input + 3 * state);
    assert_eq!(training(&trace), 2 * input + 3 * 3 * state);
}

/// A model whose parameters are all frozen.
fn frozen(input: &str, text: &str) -> Trace {
    let mut trace = layers(input, text);
    for parameter in &mut trace.parameters {
        parameter.requires_grad = false;
    }
    trace
}

#[test]
fn frozen_attention_is_fused() {
    // ptflops 0.7.5 on modules of torch 2.15 in eval mode with requires_grad=False, gradients enabled.
    let attention = "mha = 'MultiheadAttention(12, 4, batch_first=True)(input, input, input)'";
    let trace = frozen("[2, 5, 12]", attention);
    assert_eq!(count(&trace, "ptflops/pytorch"), 3_880);
    assert_eq!(count(&trace, "ptflops/aten"), 0);
    let layer = "layer = 'TransformerEncoderLayer(12, 4, 16, batch_first=True)'";
    let trace = frozen("[2, 5, 12]", layer);
    assert_eq!(count(&trace, "ptflops/pytorch"), 6_060);
    assert_eq!(count(&trace, "ptflops/aten"), 4_120);
    let nested = "inner = [\"TransformerEncoderLayer(12, 4, 16, batch_first=True)\"]";
    assert_eq!(count(&frozen("[2, 5, 12]", nested), "ptflops/aten"), 0);
}
