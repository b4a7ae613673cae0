//! No text makes the reader panic, or go on for ever.

use modelcost_core::dim::Dim;
use modelcost_spec::{Document, Options};
use proptest::prelude::*;

fn read(text: &str) {
    let (document, diagnostics) = Document::parse(text);
    let traced = document.trace_partial(&Options::default());
    for diagnostic in diagnostics.iter().chain(&traced.diagnostics) {
        let spans = diagnostic.related.iter().map(|(span, _)| span);
        for span in diagnostic.span.iter().chain(spans) {
            assert!(text.get(span.clone()).is_some(), "{diagnostic:?}");
        }
    }
    let names = document.names();
    for reference in names.references {
        assert!(text.get(reference.span.range()).is_some());
    }
    for call in &traced.trace.calls {
        assert!(
            call.span
                .is_none_or(|span| text.get(span.range()).is_some())
        );
    }
}

const SAMPLES: [&str; 4] = [
    include_str!("../../../examples/resnet18.toml"),
    include_str!("../../../examples/densenet121.toml"),
    include_str!("../../../examples/lstm_lm.toml"),
    include_str!("../../../examples/swin_t.toml"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any text, even one that looks like TOML.
    #[test]
    fn any_text(text in "[\\[\\]{}\"'=.,#\n a-z0-9(){}*+é-]{0,200}") {
        read(&text);
        read(&format!("[model]\ninput = [1, 3]\n[layers]\n{text}"));
    }

    /// An expression in the place of a layer.
    #[test]
    fn any_layer(text in "[a-zA-Z0-9_()\\[\\],.*/+=' :<>@-]{0,40}") {
        read(&format!("[model]\ninput = [1, 3]\n[layers]\na = \"Linear(3, 3)\"\nb = \"{text}\"\nc = [\"{text}\"]\n"));
    }

    /// A spec with a piece cut out, doubled, or replaced: what an editor sees while someone types.
    #[test]
    fn half_typed(sample in 0..SAMPLES.len(), at in 0usize..4000, length in 0usize..40, with in "[a-z(\"\\[=\n]{0,3}") {
        let text = SAMPLES[sample];
        let bound = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (start, end) = (bound(at % text.len()), bound(at % text.len() + length));
        read(&format!("{}{with}{}", &text[..start], &text[end..]));
    }

    /// Sizes and repetitions of any magnitude.
    #[test]
    fn any_size(a in any::<i64>(), b in -3i64..300, n in any::<i32>()) {
        read(&format!("[model]\ninput = [{b}, {a}]\n[layers]\nx = \"Linear({a}, {b})\"\n"));
        read(&format!("[model]\ninput = [1, 3]\n[layers]\nx = \"{} * Linear(3, 3)\"\n", n % 2000));
        read(&format!("[model]\ninput = [1, \"n\"]\n[layers]\ny = \"n ** {b} * {a}\"\nx = \"Linear(y, {b})\"\n"));
    }
}

#[test]
fn deep_nesting() {
    let header = "[model]\ninput = [1, 3]\n[layers]\n";
    let deep = 5000;
    read(&format!(
        "{header}a = {}\"ReLU()\"{}\n",
        "[".repeat(deep),
        "]".repeat(deep)
    ));
    read(&format!(
        "{header}a = \"{}input{}\"\n",
        "F.relu(".repeat(90),
        ")".repeat(90)
    ));
    read(&format!(
        "{header}a = \"input{}\"\n",
        " + input".repeat(400)
    ));
    read(&format!("{header}a{} = \"ReLU()\"\n", ".b".repeat(deep)));
    read(&format!(
        "{header}a = \"A()\"\n[block.A.layers]\nb = \"F.relu(F.relu(F.relu(A()(input))))\"\n"
    ));
    read(&format!(
        "{header}a = \"A()\"\n[block.A.layers]\nb = [[[[\"A()\"]]]]\n"
    ));
}

#[test]
fn hostile_work_ends() {
    let header = "[model]\ninput = [1, 3]\n[layers]\n";
    let doubling: String = (1..60)
        .map(|i| format!("x{i} = \"x{} + x{}\"\n", i - 1, i - 1))
        .collect();
    read(&format!(
        "{header}x0 = \"[1, 2]\"\n{doubling}r = \"ReLU()\"\n"
    ));
    let powers: String = (1..60)
        .map(|i| format!("x{i} = \"x{} * x{}\"\n", i - 1, i - 1))
        .collect();
    read(&format!(
        "[model]\ninput = [\"n\", \"m\"]\n[layers]\nx0 = \"n + m + 1\"\n{powers}r = \"ReLU()\"\n"
    ));
    read(&format!(
        "{header}\"x{{i}}\" = \"200000 * (i + 1)\"\nr = \"ReLU()\"\n"
    ));
}

/// Found by fuzzing: without an input nothing runs, and a block that holds itself twice was made
/// until the limit of modules instead of that of depth.
#[test]
fn a_block_in_itself_without_an_input() {
    let text = "[layers]\na = \"A()\"\n[block.A.layers]\nb = \"A()\"\nc = \"A()\"\n";
    let (document, _) = Document::parse(text);
    let traced = document.trace_partial(&Options::default());
    assert!(traced.trace.modules.len() < 1000);
    let mut messages = traced
        .diagnostics
        .iter()
        .map(|diagnostic| &diagnostic.message);
    assert!(
        messages.any(|message| message == "this block contains itself without end: A → A"),
        "{:?}",
        traced.diagnostics
    );
}

#[test]
fn options() {
    let text = "[model]\ninput = [\"batch\", \"seq=16\", 8]\n[layers]\nfc = \"Linear(8, 4)\"\n";
    let (document, _) = Document::parse(text);
    let shape = |options: &Options| {
        let trace = document.trace(options).expect("a trace");
        let output = trace.output.tensor().expect("a tensor");
        format!(
            "{:?}",
            trace.tensor(output).shape.clone().unwrap_or_default()
        )
    };
    assert_eq!(shape(&Options::default()), "[batch, 16, 4]");
    let batch = Options {
        batch: Some(Dim::from(2)),
        ..Options::default()
    };
    assert_eq!(shape(&batch), "[2, 16, 4]");
    let mut dims = Options::default();
    dims.dims.insert("seq".into(), Dim::symbol("seq"));
    dims.dims.insert("batch".into(), Dim::from(3));
    assert_eq!(shape(&dims), "[3, seq, 4]");
    let input = Options {
        inputs: vec![(None, vec![Dim::from(5), Dim::from(8)])],
        ..Options::default()
    };
    assert_eq!(shape(&input), "[5, 4]");
    let mut unknown = Options::default();
    unknown.dims.insert("sq".into(), Dim::from(3));
    let errors = document.trace(&unknown).expect_err("no such dimension");
    assert_eq!(errors[0].message, "the model has no dimension 'sq'");
    assert_eq!(errors[0].help.as_deref(), Some("did you mean 'seq'?"));
}
