//! How much of an answer the file holds, and how much was put back or is missing.

use serde::{Deserialize, Serialize};

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

/// One of the kinds of calls that a tool can look at, and what else it can see of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Calls of modules, and the tree of them.
    Modules,
    /// Calls of Python functions.
    Functions,
    /// Calls of operators.
    Operators,
    /// What the layers right below the root take and return beside tensors.
    Values,
    /// What `torch.jit.trace` records.
    Traced,
    /// What autograd does in a backward pass.
    Gradients,
}

/// A note that concerns only the tools that look at certain calls.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Doubt {
    layers: Vec<Layer>,
    level: Level,
    note: String,
}

/// A level and the reasons for it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Fidelity {
    /// The level.
    pub level: Level,
    /// What was put back or is unknown, one sentence each.
    pub notes: Vec<String>,
    /// What lowers the level for some tools only.
    #[serde(skip)]
    doubts: Vec<Doubt>,
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

    /// Notes what is a guess about some layers only: a tool that looks at others is as right as
    /// before.
    pub fn doubt(&mut self, layers: &[Layer], level: Level, note: impl Into<String>) {
        let doubt = Doubt {
            layers: layers.to_vec(),
            level,
            note: note.into(),
        };
        if !self.doubts.contains(&doubt) {
            self.doubts.push(doubt);
        }
    }

    /// What of this concerns a tool that looks at these layers.
    pub fn seen_by(&self, layers: &[Layer]) -> Fidelity {
        let mut out = Fidelity {
            doubts: Vec::new(),
            ..self.clone()
        };
        for doubt in &self.doubts {
            if doubt.layers.iter().any(|layer| layers.contains(layer)) {
                out.note(doubt.level, doubt.note.clone());
            }
        }
        out
    }

    /// Takes over what `other` says.
    pub fn merge(&mut self, other: &Fidelity) {
        self.level = self.level.max(other.level);
        for note in &other.notes {
            self.note(other.level, note.clone());
        }
        for doubt in &other.doubts {
            self.doubt(&doubt.layers, doubt.level, doubt.note.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_concerns_some_tools() {
        let mut fidelity = Fidelity::default();
        fidelity.doubt(&[Layer::Functions], Level::Reconstructed, "a guess");
        assert_eq!(fidelity.seen_by(&[Layer::Operators]).level, Level::Exact);
        let seen = fidelity.seen_by(&[Layer::Modules, Layer::Functions]);
        assert_eq!(seen.level, Level::Reconstructed);
        assert_eq!(seen.notes, ["a guess"]);
    }
}
