//! Bad specs and what is said about them: `data/errors.txt`, cases of a text and the messages.
//!
//! `UPDATE_EXPECT=1 cargo test -p modelcost-spec --test errors` writes down what is said now.

use std::fmt::Write as _;
use std::sync::OnceLock;

use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_spec::{Document, Options};

const CASES: &str = include_str!("data/errors.txt");

fn show(text: &str, diagnostic: &Diagnostic) -> String {
    let mut out = String::new();
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Information => "information",
    };
    let _ = writeln!(out, "{severity}: {}", diagnostic.message);
    let place = |span: &std::ops::Range<usize>| {
        let before = &text[..span.start];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("{line}:{column} `{}`", &text[span.clone()])
    };
    if let Some(span) = &diagnostic.span {
        let _ = writeln!(out, "  at {}", place(span));
    }
    for (span, message) in &diagnostic.related {
        let _ = writeln!(out, "  {message}: {}", place(span));
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "  help: {help}");
    }
    if let Some(suggestion) = &diagnostic.suggestion {
        let replaced = &text[suggestion.span.clone()];
        let _ = writeln!(out, "  mend: {replaced} -> {}", suggestion.replacement);
    }
    out
}

/// Title, text, what is expected and what is said.
type Case = (&'static str, &'static str, &'static str, String);

fn cases() -> &'static [Case] {
    static ALL: OnceLock<Vec<Case>> = OnceLock::new();
    ALL.get_or_init(|| {
        let cases = CASES.split("=== ").skip(1).map(|case| {
            let (title, rest) = case.split_once('\n').expect("a title");
            let (text, expected) = rest.split_once("---\n").expect("a text and its messages");
            (title, text, expected, messages(text))
        });
        cases.collect()
    })
}

fn messages(text: &str) -> String {
    let (document, mut diagnostics) = Document::parse(text);
    diagnostics.extend(document.trace_partial(&Options::default()).diagnostics);
    diagnostics.iter().map(|d| show(text, d)).collect()
}

#[test]
fn messages_are_these() {
    let mut all = String::new();
    let mut wrong = Vec::new();
    for (title, text, expected, found) in cases() {
        if found.trim() != expected.trim() {
            wrong.push(format!("{title}\nexpected:\n{expected}\nfound:\n{found}"));
        }
        let _ = write!(all, "=== {title}\n{text}---\n{found}\n");
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/errors.txt");
        let intro = CASES.split("=== ").next().unwrap_or_default();
        std::fs::write(path, format!("{intro}{}\n", all.trim_end())).expect("written");
    } else {
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// Every case that stops the model has one error, with a place or without, and no second one that
/// follows from it.
#[test]
fn one_error_each() {
    for (title, _, _, found) in cases() {
        let errors = found.matches("error: ").count();
        let expected = usize::from(!title.starts_with("(fine)"));
        assert_eq!(errors, expected, "{title}");
    }
}
