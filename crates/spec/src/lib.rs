//! TOML specs: a network as a person writes it by hand, read into a trace.
//!
//! [`Document::parse`] reads a text and never fails; [`Document::trace`] runs the model on shapes
//! and gives the trace, or as much of it as the errors leave. The format is described in
//! `docs/spec.md`.

mod catalogue;
mod document;
mod excerpt;
pub mod keys;
mod names;
mod options;
mod read;
mod run;
mod text;
mod tree;
mod write;

use modelcost_core::diagnostic::Diagnostic;
use modelcost_core::trace::Trace;

pub use modelcost_torch::Memo;

pub use document::{
    Block, Body, Budget, Content, Document, Input, Key, Layer, LayerId, Layers, Parameter, Part,
    Piece, Size, TensorDecl, Variable,
};
pub use names::{Definition, DefinitionKind, Names, Reference};
pub use options::Options;
pub use run::{MAX_MODULES, Made, Traced};
pub use write::{WriteOptions, Written, write};

impl Document {
    /// Runs the model. Fails on any error of the text or of the run.
    pub fn trace(&self, options: &Options) -> Result<Trace, Vec<Diagnostic>> {
        if self.is_broken {
            return Err(self.errors.clone());
        }
        let traced = self.trace_partial(options);
        if traced.is_complete() {
            return Ok(traced.trace);
        }
        let mut diagnostics = self.errors.clone();
        diagnostics.extend(traced.diagnostics);
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| span.start));
        Err(diagnostics)
    }

    /// Runs as much of the model as can be run. The errors that [`Document::parse`] gave are not
    /// repeated.
    pub fn trace_partial(&self, options: &Options) -> Traced {
        self.trace_again(options, &mut Memo::default())
    }

    /// As [`Document::trace_partial`], with what is known from earlier runs of this or another document, which makes it
    /// faster and nothing else.
    pub fn trace_again(&self, options: &Options, memo: &mut Memo) -> Traced {
        let mut traced = run::run(self, options, memo);
        if self.is_broken {
            // What the rest of the text means is a guess until its TOML is right.
            traced.diagnostics.clear();
        }
        traced
    }
}

/// Reads a text and runs the model in it.
pub fn read(text: &str, options: &Options) -> Result<Trace, Vec<Diagnostic>> {
    Document::parse(text).0.trace(options)
}
