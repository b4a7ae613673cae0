//! The specs in docs/spec.md and the examples run.

use std::path::Path;

use modelcost_core::diagnostic::Diagnostic;
use modelcost_spec::{Document, Options};

fn run(title: &str, text: &str) {
    let (document, diagnostics) = Document::parse(text);
    let none: Vec<Diagnostic> = Vec::new();
    assert_eq!(diagnostics, none, "{title}:\n{text}");
    let traced = document.trace_partial(&Options::default());
    assert_eq!(traced.diagnostics, none, "{title}:\n{text}");
    assert!(traced.is_complete() && !traced.trace.output.tensors().is_empty());
}

#[test]
fn documentation() {
    let text = include_str!("../../../docs/spec.md");
    let blocks: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(blocks.len() >= 8);
    for block in blocks {
        run("docs/spec.md", block);
    }
}

#[test]
fn examples() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("examples") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let text = std::fs::read_to_string(&path).expect("text");
            run(&path.display().to_string(), &text);
            count += 1;
        }
    }
    assert!(count >= 14);
}
