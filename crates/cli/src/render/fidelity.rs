//! How far an answer can be trusted, said beside it.

use std::fmt::Write as _;

use modelcost_core::fidelity::{Fidelity, Level};

use super::tree::WARN;
use crate::paint::styled;

/// A level in a word, as JSON has it.
pub fn word(level: Level) -> &'static str {
    match level {
        Level::Exact => "exact",
        Level::Reconstructed => "reconstructed",
        Level::Partial => "partial",
    }
}

/// The mark behind a number.
pub fn mark(level: Level) -> &'static str {
    match level {
        Level::Exact => "",
        Level::Reconstructed => " ~",
        Level::Partial => " ?",
    }
}

/// What the marks mean, where there are any.
pub fn legend(levels: impl Iterator<Item = Level>) -> String {
    let levels: Vec<Level> = levels.collect();
    let notes = [
        (
            Level::Reconstructed,
            "~ something that the file no longer says was put back",
        ),
        (
            Level::Partial,
            "? something is unknown; run the convention alone for the notes",
        ),
    ];
    notes
        .iter()
        .filter(|(level, _)| levels.contains(level))
        .map(|(_, note)| format!("\n{note}\n"))
        .collect()
}

/// The reasons, one a line.
pub fn notes(fidelity: &Fidelity) -> String {
    let mut out = String::new();
    for note in &fidelity.notes {
        let _ = writeln!(out, "  {}", styled(WARN, &format!("· {note}")));
    }
    out
}

/// A level that is not exact with its reasons, under a heading such as `Fidelity`.
pub fn section(heading: &str, fidelity: &Fidelity) -> String {
    if fidelity.level == Level::Exact && fidelity.notes.is_empty() {
        return String::new();
    }
    let level = styled(WARN, word(fidelity.level));
    format!("\n{heading}  {level}\n{}", notes(fidelity))
}
