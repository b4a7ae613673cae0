//! Reports in the shapes that people and programs read.

mod checkpoint;
mod delimited;
mod fidelity;
mod json;
mod tree;

use modelcost_core::convention::{Convention, Unit};
use modelcost_core::dim::Dim;
use modelcost_core::report::{Layer, Report};
use modelcost_reader::Model;

use crate::args::{Format, OutputArgs, Sort};

pub use checkpoint::render as render_checkpoint;
pub use delimited::{csv_line, markdown_table};
pub use fidelity::{legend, mark, section as fidelity_section, word as fidelity_word};
pub use json::to_text as json_text;

/// One answer, and what is needed to show it.
pub struct Answer<'a> {
    /// The model.
    pub model: &'a Model,
    /// The convention.
    pub convention: &'a dyn Convention,
    /// What it gave.
    pub report: &'a Report,
    /// How to show it.
    pub output: &'a OutputArgs,
}

impl Answer<'_> {
    /// The main number; zero for a convention that counts parameters only.
    fn count(&self) -> Option<&Dim> {
        self.report.count.as_ref().map(|cost| cost.count())
    }

    fn unit(&self) -> Unit {
        self.report.convention.unit
    }

    /// The rows to show, in the order asked for.
    fn rows(&self) -> Vec<&Layer> {
        let depth = self.output.depth.unwrap_or(usize::MAX);
        let mut rows: Vec<&Layer> = self
            .report
            .layers
            .iter()
            .filter(|layer| layer.depth <= depth)
            .collect();
        let by = |value: &Option<Dim>| value.as_ref().map_or(-1.0, Dim::approx);
        match self.output.sort {
            Sort::Model => {}
            Sort::Count => rows.sort_by(|a, b| by(&b.count).total_cmp(&by(&a.count))),
            Sort::Params => rows.sort_by(|a, b| by(&b.params).total_cmp(&by(&a.params))),
            Sort::Path => rows.sort_by(|a, b| a.path.cmp(&b.path)),
        }
        rows
    }
}

/// The answer as text.
pub fn render(answer: &Answer) -> String {
    match answer.output.format {
        Format::Json => json::render(answer),
        Format::Csv => delimited::csv(answer),
        Format::Markdown => delimited::markdown(answer),
        Format::Tree if answer.output.sort == Sort::Model => tree::render(answer),
        Format::Tree | Format::Table => tree::table(answer),
    }
}

/// A module's path; the root's own is empty.
pub fn path_text(path: &str) -> &str {
    match path {
        "" => "(model)",
        path => path,
    }
}
