//! Convention: the multiply-accumulates that matrix products and convolutions need, and nothing else.
//!
//! The formulas are in `rules/macs-1.toml`. With `--training` the backward pass is added, operator by
//! operator: see [`gradients`].

use once_cell::sync::Lazy;

use modelcost_core::convention::{Convention, Failure, Options, Registration};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::formula::Formula;
use modelcost_core::report::{Entry, Report};
use modelcost_core::table::{Params, Table, finish};
use modelcost_core::trace::Trace;

pub mod gradients;

/// The ideal count.
pub struct Macs {
    table: Table,
}

static MACS: Lazy<Macs> = Lazy::new(|| Macs {
    table: Table::built_in(include_str!("../rules/macs-1.toml")),
});

inventory::submit! { Registration {
    id: "macs", version: "1", variant: "", default_variant: true, order: 70,
    load: || &*MACS as &dyn Convention,
} }

impl Convention for Macs {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        let mut report = self.table.count(trace, &Options::default())?;
        if !options.training {
            return Ok(report);
        }
        trace.note_frozen(&mut report.fidelity, Level::Reconstructed);
        let gradients = gradients::Gradients::of(trace);
        let mut entries = Vec::with_capacity(report.entries.len() * 3);
        for parts in report.entries.chunk_by(|a, b| a.call == b.call) {
            entries.extend_from_slice(parts);
            let Some(first) = parts.first() else {
                continue;
            };
            let forward: Vec<_> = parts
                .iter()
                .map(|entry| (entry.part.clone(), entry.count.clone()))
                .collect();
            let backward = gradients.backward(trace, first.call, &forward);
            entries.extend(backward.into_iter().map(|(part, count)| Entry {
                part,
                count,
                ..first.clone()
            }));
        }
        let total: Dim = entries.iter().map(|entry| entry.count.clone()).sum();
        let report = Report { entries, ..report };
        finish(trace, report, Some(total), Params::All, |_| true)
    }

    fn formula(&self, entry: &Entry) -> Option<&Formula> {
        // A gradient is a product of the same size as the forward one.
        let rule = self.rules().get(entry.rule)?;
        let own = rule.parts.iter().find(|(part, _)| *part == entry.part);
        own.or(rule.parts.first()).map(|(_, formula)| formula)
    }
}
