//! What a convention says about parts of a model: sums over ranges of calls.

use std::ops::Range;

use modelcost_core::convention::{Convention, Failure, Options, Unit};
use modelcost_core::dim::Dim;
use modelcost_core::report::{Entry, Report};
use modelcost_core::trace::{CallId, Trace};

/// A model under one convention, ready to be asked about any part of it.
#[derive(Debug)]
pub struct Numbers {
    /// What the convention answered.
    pub report: Result<Report, Failure>,
    /// `tool@version/variant`
    pub identity: String,
    /// The unit of its counts.
    pub unit: Unit,
    /// Whether it counts operations at all.
    pub counts: bool,
    /// The entries by call, as positions in the report's list.
    order: Vec<u32>,
    /// The sums of the entries in that order: `sums[i]` is what stands before the `i`th.
    sums: Vec<Dim>,
}

impl Numbers {
    /// Counts a model.
    pub fn new(convention: &dyn Convention, trace: &Trace) -> Numbers {
        let info = convention.info();
        let report = convention.count(trace, &Options::default());
        let entries = report
            .as_ref()
            .map_or(&[][..], |report| report.entries.as_slice());
        let mut order: Vec<u32> = (0..entries.len() as u32).collect();
        if !entries.is_sorted_by_key(|entry| entry.call) {
            order.sort_by_key(|index| entries[*index as usize].call);
        }
        let mut sums = Vec::with_capacity(entries.len() + 1);
        let mut sum = Dim::ZERO;
        for index in &order {
            sums.push(sum.clone());
            sum += &entries[*index as usize].count;
        }
        sums.push(sum);
        Numbers {
            report,
            identity: info.identity(),
            unit: info.unit,
            counts: info.counts,
            order,
            sums,
        }
    }

    /// The model's count, as the tool gives it.
    pub fn total(&self) -> Option<&Dim> {
        self.report
            .as_ref()
            .ok()?
            .count
            .as_ref()
            .map(|cost| cost.count())
    }

    /// The model's parameters, as the tool gives them.
    pub fn total_params(&self) -> Option<&Dim> {
        self.report.as_ref().ok()?.params.as_ref()
    }

    /// What is counted for the calls of a range; `None` if the convention counts nothing for this model.
    pub fn count(&self, calls: &Range<CallId>) -> Option<Dim> {
        self.total()?;
        let (first, last) = self.bounds(calls);
        Some(self.sums[last].clone() - &self.sums[first])
    }

    /// The contributions of the calls of a range, in the order of the calls.
    pub fn entries(&self, calls: &Range<CallId>) -> impl Iterator<Item = &Entry> {
        let (first, last) = self.bounds(calls);
        let entries = self.all();
        self.order[first..last]
            .iter()
            .filter_map(move |index| entries.get(*index as usize))
    }

    fn all(&self) -> &[Entry] {
        self.report
            .as_ref()
            .map_or(&[], |report| report.entries.as_slice())
    }

    fn bounds(&self, calls: &Range<CallId>) -> (usize, usize) {
        let entries = self.all();
        let at = |call: CallId| {
            self.order
                .partition_point(|index| entries[*index as usize].call < call)
        };
        let first = at(calls.start);
        (first, at(calls.end).max(first))
    }
}
