//! Opens any model file: finds out what it is and hands it to the reader of its format.

mod bind;
mod detect;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_core::dim::Dim;
use modelcost_core::trace::{Shape, Trace};
use smol_str::SmolStr;

pub use detect::{Kind, detect};

/// What is said beside the file: sizes of its free dimensions and of its inputs.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Sizes of free dimensions by name.
    pub dims: BTreeMap<SmolStr, Dim>,
    /// Shapes of inputs; without a name, of the first one that has none yet.
    pub inputs: Vec<(Option<SmolStr>, Shape)>,
    /// The first dimension of every input.
    pub batch: Option<Dim>,
}

/// A model file that was read.
#[derive(Clone, Debug)]
pub struct Model {
    /// Where it is.
    pub path: PathBuf,
    /// What one forward pass calls.
    pub trace: Trace,
    /// The source, for files that people write.
    pub text: Option<String>,
}

/// Why a file could not be read: one or more messages, with places where the file is text.
#[derive(Clone, Debug)]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// Its text, for the places.
    pub text: Option<String>,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<&str> = self
            .diagnostics
            .iter()
            .map(|diagnostic| diagnostic.message.as_str())
            .collect();
        write!(f, "{}: {}", self.path.display(), messages.join("; "))
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    fn new(path: &Path, diagnostic: Diagnostic) -> OpenError {
        OpenError {
            path: path.into(),
            text: None,
            diagnostics: vec![diagnostic],
        }
    }
}

/// Reads a model file of any kind.
pub fn open(path: &Path, options: &Options) -> Result<Model, OpenError> {
    let fail = |diagnostic| OpenError::new(path, diagnostic);
    match detect(path).map_err(fail)? {
        kind => Err(fail(Diagnostic::without_place(format!("{kind:?}")))),
    }
}
