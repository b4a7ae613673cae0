//! How much of an answer the file holds, and how much was put back or is missing.

use serde::Serialize;

/// How far an answer can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The file holds all that the rules need.
    #[default]
    Exact,
    /// Something that the file no longer says was put back.
    Reconstructed,
    /// Something is unknown; the count leaves it out or contains a symbol for it.
    Partial,
}

/// A level and the reasons for it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Fidelity {
    /// The level.
    pub level: Level,
    /// What was put back or is unknown, one sentence each.
    pub notes: Vec<String>,
}

impl Fidelity {
    /// Lowers the level and says why. The same note is kept once.
    pub fn note(&mut self, level: Level, note: impl Into<String>) {
        let note = note.into();
        self.level = self.level.max(level);
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Takes over what `other` says.
    pub fn merge(&mut self, other: &Fidelity) {
        self.level = self.level.max(other.level);
        for note in &other.notes {
            self.note(other.level, note.clone());
        }
    }
}
