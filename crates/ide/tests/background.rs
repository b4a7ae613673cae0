//! Specs that take long to read are read in the background; what is answered in the end is what a fresh reading gives.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use modelcost_ide::Workspace;
use modelcost_ide::hints::Hint;

const URI: &str = "deep.toml";
/// More than can be read at once on any machine.
const LAYERS: usize = 1_500;

fn spec() -> String {
    let mut text = String::from("[model]\nname = \"deep\"\ninput = [1, 8, 64, 64]\n\n[layers]\n");
    for at in 0..LAYERS {
        let _ = writeln!(text, "conv{at} = \"Conv2d(8, 8, 3, padding=1)\"");
    }
    text
}

/// Replaces the first occurrence of a text.
fn edit(workspace: &mut Workspace, version: i32, what: &str, with: &str) {
    let start = workspace.document(URI).unwrap().buffer().text().find(what);
    let start = start.unwrap();
    workspace.edit(URI, version, Some(start..start + what.len()), with);
}

/// The hints of the lines around one, each with its line.
fn around(workspace: &mut Workspace, line: usize) -> std::ops::Range<usize> {
    let buffer = workspace.document(URI).unwrap().buffer();
    buffer.line(line - 3).start..buffer.line(line + 3).end
}

fn shown(workspace: &Workspace, hints: &[Hint]) -> Vec<String> {
    let buffer = workspace.document(URI).unwrap().buffer();
    let line = |hint: &Hint| buffer.text()[buffer.line(buffer.line_of(hint.offset))].to_string();
    let each = hints.iter();
    each.map(|hint| format!("{} {}", line(hint), hint.label))
        .collect()
}

fn fresh(workspace: &Workspace, range: std::ops::Range<usize>) -> Vec<Hint> {
    let text = workspace.document(URI).unwrap().buffer().text().to_string();
    let mut other = Workspace::new();
    other.open(URI, None, 1, text);
    other.hints(URI, range)
}

#[test]
fn what_stood_there_before_comes_first() {
    let (woken, wakes) = channel();
    let mut workspace = Workspace::new();
    workspace.set_wake(Arc::new(move || woken.send(()).unwrap()));
    workspace.open(URI, None, 1, spec());
    let range = around(&mut workspace, 700);
    let before = workspace.hints(URI, range.clone());
    assert_eq!(before.len(), 7);

    // The line that is edited keeps its old numbers, the others move along.
    edit(
        &mut workspace,
        2,
        "conv698 = \"Conv2d(8, 8, 3",
        "conv698 = \"Conv2d(8, 8, 1",
    );
    edit(&mut workspace, 3, "conv0 =", "act = \"ReLU()\"\nconv0 =");
    let range = around(&mut workspace, 701);
    let (early, is_earlier) = workspace.hints_within(URI, range.clone(), Duration::ZERO);
    assert!(is_earlier);
    assert!(early.iter().all(|hint| hint.stale));
    let labels =
        |hints: &[Hint]| -> Vec<String> { hints.iter().map(|hint| hint.label.clone()).collect() };
    assert_eq!(labels(&early), labels(&before));
    assert!(
        shown(&workspace, &early)[0].starts_with("conv692 = "),
        "{:?}",
        shown(&workspace, &early)
    );

    // Whoever wants to know is told, and whoever must know waits.
    wakes.recv_timeout(Duration::from_secs(60)).unwrap();
    let (late, is_earlier) = workspace.hints_within(URI, range.clone(), Duration::ZERO);
    if !is_earlier {
        assert_eq!(late, fresh(&workspace, range.clone()));
    }
    let current = workspace.hints(URI, range.clone());
    assert_eq!(current, fresh(&workspace, range));
    assert_ne!(labels(&current), labels(&before));
}

#[test]
fn only_the_last_text_counts() {
    let mut workspace = Workspace::new();
    workspace.open(URI, None, 1, spec());
    let range = around(&mut workspace, 700);
    workspace.hints(URI, range.clone());
    for (version, kernel) in [(2, "1"), (3, "5"), (4, "7")] {
        let at = workspace
            .document(URI)
            .unwrap()
            .buffer()
            .text()
            .find("conv3 =")
            .unwrap();
        let kernel_at = at + "conv3 = \"Conv2d(8, 8, ".len();
        workspace.edit(URI, version, Some(kernel_at..kernel_at + 1), kernel);
        assert!(workspace.hints_within(URI, range.clone(), Duration::ZERO).1);
    }
    // An error, and back.
    edit(
        &mut workspace,
        5,
        "conv9 = \"Conv2d(8",
        "conv9 = \"Conv2d(9",
    );
    assert!(workspace.hints_within(URI, range.clone(), Duration::ZERO).1);
    assert!(!workspace.diagnostics(URI).is_empty());
    edit(
        &mut workspace,
        6,
        "conv9 = \"Conv2d(9",
        "conv9 = \"Conv2d(8",
    );
    assert!(workspace.hints_within(URI, range.clone(), Duration::ZERO).1);
    assert!(workspace.diagnostics(URI).is_empty());
    assert_eq!(
        workspace.hints(URI, range.clone()),
        fresh(&workspace, range)
    );
}

#[test]
fn the_layers_in_view_come_first() {
    let mut workspace = Workspace::new();
    workspace.open(URI, None, 1, spec());
    let range = around(&mut workspace, 700);
    workspace.hints(URI, range.clone());
    edit(
        &mut workspace,
        2,
        "conv695 = \"Conv2d(8, 8, 3",
        "conv695 = \"Conv2d(8, 8, 1",
    );
    let (early, is_early) = workspace.hints_within(URI, range.clone(), Duration::ZERO);
    assert!(is_early);
    assert_eq!(early, fresh(&workspace, range));

    // What is said of the model as a whole is from before.
    edit(
        &mut workspace,
        3,
        "conv2 = \"Conv2d(8, 8, 3",
        "conv2 = \"Conv2d(8, 8, 1",
    );
    let range = 0..workspace.document(URI).unwrap().buffer().line(20).end;
    workspace.hints(URI, range.clone());
    edit(
        &mut workspace,
        4,
        "conv4 = \"Conv2d(8, 8, 3",
        "conv4 = \"Conv2d(8, 8, 1",
    );
    let (early, is_early) = workspace.hints_within(URI, range.clone(), Duration::ZERO);
    assert!(is_early);
    let stale = early.iter().filter(|hint| hint.stale).count();
    assert_eq!((early.len(), stale), (17, 1));
    assert_eq!(early[1..], fresh(&workspace, range)[1..]);
}
