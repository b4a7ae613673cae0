//! What the reader makes of small programs, as text: a change in the reader is a change here.
#![allow(clippy::unwrap_used)]

use std::path::Path;

#[path = "../examples/dump/text.rs"]
mod text;

fn trace(file: &str) -> String {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    text::text(&modelcost_export::read_path(&corpus.join(file)).unwrap())
}

/// Functions in the source, and none of their modules.
#[test]
fn functional() {
    insta::assert_snapshot!(trace("small/mod__functional.pt2"));
}

/// One layer called three times.
#[test]
fn shared() {
    insta::assert_snapshot!(trace("small/mod__shared.pt2"));
}

/// A layer that calls functions, which call operators.
#[test]
fn attention() {
    insta::assert_snapshot!(trace("small/mod__mha.pt2"));
}

/// A layer with a state, which it returns.
#[test]
fn recurrent() {
    insta::assert_snapshot!(trace("small/mod__gru.pt2"));
}

/// Tied weights and symbolic sizes.
#[test]
fn symbolic() {
    insta::assert_snapshot!(trace("releases/2.15.0/rel__attention_sequence.pt2"));
}

/// A region without gradients, as torch 2.5 wrote it.
#[test]
fn an_older_release() {
    insta::assert_snapshot!(trace("releases/2.5.1/rel__no_grad.pt2"));
}

/// A branch on data.
#[test]
fn a_branch() {
    insta::assert_snapshot!(trace("releases/2.15.0/rel__cond.pt2"));
}
