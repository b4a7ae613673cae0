//! What a document turned out to be.

use std::ops::Range;

use modelcost_core::diagnostic::Diagnostic;

use crate::analysis::{Analysis, Dims};
use crate::hints::Anchors;
use crate::model::Subjects;
use crate::outline::{self, OutlineItem};
use crate::program::Program;
use crate::text::Buffer;

/// A model in a text, read and run.
#[derive(Debug)]
pub enum Content {
    /// A spec.
    Spec(Box<Analysis>),
    /// ONNX text, or the text of a program file.
    Program(Box<Program>),
}

impl Content {
    /// The parts that can be pointed at.
    pub fn subjects(&self) -> &dyn Subjects {
        match self {
            Content::Spec(analysis) => &**analysis,
            Content::Program(program) => &**program,
        }
    }

    /// The spec, if it is one.
    pub fn spec(&self) -> Option<&Analysis> {
        match self {
            Content::Spec(analysis) => Some(analysis),
            Content::Program(_) => None,
        }
    }

    /// What is wrong with the text.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Content::Spec(analysis) => &analysis.diagnostics,
            Content::Program(program) => &program.diagnostics,
        }
    }

    /// The sizes of free dimensions that it was run with.
    pub fn dims(&self) -> &Dims {
        match self {
            Content::Spec(analysis) => &analysis.dims,
            Content::Program(program) => &program.dims,
        }
    }

    /// Whether the text means a whole model.
    pub fn is_complete(&self) -> bool {
        match self {
            Content::Spec(analysis) => analysis.is_complete(),
            Content::Program(program) => program.is_complete(),
        }
    }

    /// The lines that have a hint.
    pub fn anchors(&self, buffer: &Buffer) -> Anchors {
        match self {
            Content::Spec(analysis) => Anchors::of_spec(&analysis.document, buffer),
            Content::Program(program) => program.anchors(buffer),
        }
    }

    /// Where the model as a whole is spoken of.
    pub fn head(&self) -> Option<Range<usize>> {
        match self {
            Content::Spec(analysis) => {
                let document = &analysis.document;
                let name = document.name.as_ref().map(|name| name.span);
                document.model_span.or(name).map(|span| span.range())
            }
            Content::Program(program) => Some(program.head()),
        }
    }

    /// The structure of the text.
    pub fn outline(&self, text: &str) -> Vec<OutlineItem> {
        match self {
            Content::Spec(analysis) => outline::outline(analysis, text),
            Content::Program(program) => program.outline(),
        }
    }

    /// The lines that can be folded: first and last of each piece.
    pub fn folds(&self, buffer: &Buffer) -> Vec<(usize, usize)> {
        match self {
            Content::Spec(_) => outline::folds(buffer),
            Content::Program(program) => outline::folds_of(&program.outline(), buffer),
        }
    }
}
