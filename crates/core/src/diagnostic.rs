//! Messages about a source text, as plain data: the command line and the editor render the same ones.

use std::ops::Range;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The text has no meaning as it stands.
    Error,
    /// It has one, but probably not the intended one.
    Warning,
    /// A remark.
    Information,
}

/// A replacement that mends the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The bytes to replace.
    pub span: Range<usize>,
    /// What to put there.
    pub replacement: String,
}

/// What is wrong with a text, where, and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A sentence.
    pub message: String,
    /// The bytes that it is about, if it has a place.
    pub span: Option<Range<usize>>,
    /// The mend, in a sentence.
    pub help: Option<String>,
    /// The mend as an edit, where it is certain enough to offer.
    pub suggestion: Option<Suggestion>,
    /// Other places that explain it: where the other shape comes from.
    pub related: Vec<(Range<usize>, String)>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(message: impl Into<String>, span: Range<usize>) -> Diagnostic {
        Diagnostic {
            span: Some(span),
            ..Diagnostic::without_place(message)
        }
    }

    /// An error about a file as a whole.
    pub fn without_place(message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            span: None,
            help: None,
            suggestion: None,
            related: Vec::new(),
        }
    }

    /// The same with a mend.
    pub fn with_help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
}
