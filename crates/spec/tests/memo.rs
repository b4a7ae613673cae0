//! A document that is run with what is known from earlier runs gives what a fresh run gives.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use modelcost_spec::{Document, Memo, Options};

/// Everything that a run gives.
fn shown(text: &str, memo: &mut Memo) -> String {
    let (document, diagnostics) = Document::parse(text);
    let traced = document.trace_again(&Options::default(), memo);
    format!("{diagnostics:?} {traced:?}")
}

/// Runs texts one after another, again and again, each with what the runs before it left.
fn same_as_fresh(texts: &[String]) {
    let fresh = texts.iter().map(|text| shown(text, &mut Memo::default()));
    let fresh: Vec<String> = fresh.collect();
    let mut memo = Memo::default();
    // The first run sees what there is, the second keeps it, the third takes it.
    for round in 0..3 {
        for (text, fresh) in texts.iter().zip(&fresh) {
            let again = shown(text, &mut memo);
            if again != *fresh {
                let pairs = again.bytes().zip(fresh.bytes());
                let at = pairs.take_while(|(a, b)| a == b).count();
                let near = |text: &str| -> String {
                    let start = text.char_indices().skip(at.saturating_sub(400));
                    start.take(600).map(|(_, character)| character).collect()
                };
                let (again, fresh) = (near(&again), near(fresh));
                panic!("round {round} of\n{text}\ngives\n{again}\nand not\n{fresh}");
            }
        }
    }
}

#[test]
fn examples() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let names = [
        "alexnet",
        "lstm_lm",
        "mobilenet_v3_small",
        "pvt_tiny",
        "resnet18",
    ];
    let text = |name| std::fs::read_to_string(folder.join(format!("{name}.toml")));
    same_as_fresh(&names.map(|name| text(name).unwrap()));
}

fn model(input: &str, layers: &str) -> String {
    format!("[model]\ninput = {input}\n[layers]\n{layers}")
}

#[test]
fn layouts_and_gradients_matter() {
    // A matrix product of what was transposed, or of what no parameter went into, dispatches to other operators.
    let linear = "a = \"Linear(8, 8)\"\nb = \"Linear(8, 8)\"\nc = \"Linear(8, 8)\"\n";
    let turned = "x = \"input.transpose(1, 2)\"\na = \"Linear(8, 8)\"\nb = \"Linear(8, 8)\"\n";
    let attention =
        "q = \"Linear(8, 8)\"\nm = \"MultiheadAttention(8, 2, batch_first=True)(q, q, q)\"\n";
    let mixed =
        "q = \"Linear(8, 8)\"\nm = \"MultiheadAttention(8, 2, batch_first=True)(q, input, q)\"\n";
    let texts = [linear, turned, attention, mixed].map(|layers| model("[2, 8, 8]", layers));
    same_as_fresh(&texts);
}

#[test]
fn modules_that_are_shared_or_made_late() {
    let twice = "a = \"Linear(8, 8)\"\nr = \"ReLU()\"\nb = \"a(r)\"\nc = \"r(b)\"\nd = \"a(c)\"\n";
    let late = "a = \"LazyLinear(8)\"\nb = \"LazyLinear(16)\"\nc = \"LazyLinear(8)\"\nn = \"LayerNorm(8)\"\n";
    let recurrent = "a = \"LSTM(8, 8, 2, batch_first=True)\"\nx = \"a[0]\"\nb = \"LSTM(8, 8, 2, batch_first=True)(x)\"\n";
    let encoder = "e = \"TransformerEncoder(TransformerEncoderLayer(8, 2, 16, batch_first=True), 3)\"\nf = \"TransformerEncoderLayer(8, 2, 16, batch_first=True)\"\ng = \"TransformerEncoderLayer(8, 2, 16, batch_first=True)\"\n";
    let tied = "a = \"Linear(8, 8)\"\nb = \"Linear(8, 8)\"\nc = \"Linear(8, 8)\"\nd = \"Linear(8, 8)\"\n[tie]\n\"c.weight\" = \"a.weight\"\n";
    let frozen = "a = \"Linear(8, 8)\"\nb = { module = \"Linear(8, 8)\", freeze = true }\nc = \"Linear(8, 8)\"\n";
    let all = [twice, late, recurrent, encoder, tied, frozen];
    same_as_fresh(&all.map(|layers| model("[2, 4, 8]", layers)));
}

#[test]
fn sizes_blocks_and_errors() {
    let block = "[block.B]\nargs = \"width, stride=1\"\n[block.B.layers]\nconv = \"LazyConv2d(width, 3, stride=stride, padding=1)\"\nbn = \"LazyBatchNorm2d()\"\nact = \"ReLU()\"\nout = \"act + conv\"\n";
    let layers = |kernel: usize, last: &str| {
        format!(
            "stem = \"Conv2d(3, 8, {kernel})\"\nbody = [\"3 * B(8)\", \"2 * B(16, stride=2)\"]\nn = \"nonzero(body)\"\nx = \"Conv2d(16, 16, 3)(body)\"\ny = \"Conv2d(16, 16, 3)\"\n{last}\n{block}"
        )
    };
    let texts = [
        model("[\"batch\", 3, 32, 32]", &layers(3, "")),
        model("[\"batch\", 3, 32, 32]", &layers(5, "")),
        model("[\"batch=2\", 3, 32, \"w\"]", &layers(3, "")),
        model("[1, 3, 32, 32]", &layers(3, "z = \"Conv2d(3, 3, 1)\"")),
        model(
            "[1, 3, 32, 32]",
            &layers(3, "z = \"Conv2d(16, 3, 1)\"\nw = \"Linear(\""),
        ),
    ];
    same_as_fresh(&texts);
}
