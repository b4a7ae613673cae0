//! Several figures at once.

use modelcost_core::convention::Unit;
use serde::Serialize;

use super::{Reading, Reconciliation};

/// One figure of a table: the model it is about is the caller's business.
#[derive(Clone, Debug, Serialize)]
pub struct TableRow {
    /// The row's name.
    pub name: String,
    /// Its readings.
    pub answer: Reconciliation,
}

/// The convention and unit that explain most rows of a table.
#[derive(Clone, Debug, Serialize)]
pub struct TableAnswer {
    /// The convention's identity; none if no row has a fitting reading.
    pub convention: Option<String>,
    /// The unit.
    pub unit: Option<Unit>,
    /// The positions of the rows that it explains with no further change.
    pub explained: Vec<usize>,
    /// The positions of the rows that it does not explain.
    pub unexplained: Vec<usize>,
}

/// Finds the one reading that explains most rows: with the fewest assumptions, and among equals the
/// least surprising.
pub fn reconcile_table(rows: &[TableRow]) -> TableAnswer {
    let mut candidates: Vec<Candidate> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        for reading in plain(row) {
            match candidates.iter_mut().find(|known| known.is_of(reading)) {
                Some(known) if known.explained.last() == Some(&index) => {}
                Some(known) => known.explained.push(index),
                None => candidates.push(Candidate {
                    convention: reading.convention.clone(),
                    unit: reading.unit,
                    surprise: reading.surprise,
                    explained: vec![index],
                }),
            }
        }
    }
    let best = candidates.into_iter().min_by_key(|candidate| {
        let most = std::cmp::Reverse(candidate.explained.len());
        (most, candidate.surprise)
    });
    let explained = best
        .as_ref()
        .map(|best| best.explained.clone())
        .unwrap_or_default();
    TableAnswer {
        unexplained: (0..rows.len())
            .filter(|index| !explained.contains(index))
            .collect(),
        explained,
        unit: best.as_ref().map(|best| best.unit),
        convention: best.map(|best| best.convention),
    }
}

struct Candidate {
    convention: String,
    unit: Unit,
    surprise: u32,
    explained: Vec<usize>,
}

impl Candidate {
    fn is_of(&self, reading: &Reading) -> bool {
        self.convention == reading.convention && self.unit == reading.unit
    }
}

/// The readings of a row that assume nothing but the unit.
fn plain(row: &TableRow) -> impl Iterator<Item = &Reading> {
    let readings = row.answer.readings.iter();
    readings.filter(|reading| reading.fits && reading.only_unit_differs())
}
