//! Which convention, unit and circumstances give a reported figure.
//!
//! Every reading is a value computed exactly, and a list of what must be assumed for it. A reading
//! fits when the value rounds to the figure at the figure's own precision. Among those that fit, the
//! one that assumes least comes first.

use modelcost_core::convention::{Convention, Unit};
use modelcost_core::fidelity::Level;
use serde::Serialize;

use crate::figure::Figure;
pub use crate::scenario::Scenario;
pub use table::{TableAnswer, TableRow, reconcile_table};
pub use values::{Value, values};

mod differ;
mod table;
mod values;

/// One way to read the figure.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// The convention's identity.
    pub convention: String,
    /// What the figure counts under this reading: `MAC` or `FLOP`.
    pub unit: Unit,
    /// The exact value.
    pub value: u128,
    /// What must be assumed besides.
    pub changes: Vec<String>,
    /// Whether the value rounds to the figure at its own precision.
    pub fits: bool,
    /// How surprising the reading is; 0 assumes nothing.
    pub surprise: u32,
    /// The value minus the figure, as a share of the figure.
    pub gap: f64,
    /// In a sentence: where the value comes from.
    pub why: String,
    /// Parameters under this convention.
    pub params: Option<u128>,
    /// How far the value can be trusted.
    pub fidelity: Level,
}

/// The answer about one figure.
#[derive(Clone, Debug, Serialize)]
pub struct Reconciliation {
    /// The figure as a number.
    pub reported: u128,
    /// Readings, the best first: those that fit by how little they assume, or, when none does, the
    /// nearest.
    pub readings: Vec<Reading>,
    /// What further number would tell the fitting readings apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decide: Option<String>,
    /// When no reading fits: what would have to be otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differ: Option<String>,
}

impl Reading {
    fn new(value: &Value, figure: &Figure, params: Option<&Figure>) -> Reading {
        let is_off = |figure: &Figure, own: u128| !figure.fits(own) && !figure.fits_truncated(own);
        let params_off = params
            .zip(value.params)
            .is_some_and(|(figure, own)| is_off(figure, own));
        let mut changes = value.changes.clone();
        let mut surprise = value.surprise;
        let mut fits = figure.fits(value.value);
        // Some tables cut digits off; that is only believed where nothing else is assumed.
        if !fits && value.only_unit_differs() && figure.fits_truncated(value.value) {
            fits = true;
            changes.push(CUT_OFF.into());
            surprise += 4;
        }
        if params_off {
            surprise += 6;
        }
        let reported = figure.value() as f64;
        Reading {
            convention: value.convention.clone(),
            unit: value.unit,
            value: value.value,
            fits,
            surprise,
            gap: (value.value as f64 - reported) / reported.max(1.0),
            why: why(&value.convention, &changes, params_off),
            changes,
            params: value.params,
            fidelity: value.fidelity,
        }
    }

    /// Whether it assumes nothing but the unit.
    pub fn only_unit_differs(&self) -> bool {
        only_unit(&self.changes)
    }

    /// How surprising it is, in a word.
    pub fn plausibility(&self) -> &'static str {
        match self.surprise {
            0..=3 => "plain",
            4..=5 => "rarer",
            6..=9 => "unusual",
            _ => "far-fetched",
        }
    }
}

impl Value {
    fn only_unit_differs(&self) -> bool {
        only_unit(&self.changes)
    }
}

/// Changes of unit are named with the unit.
fn only_unit(changes: &[String]) -> bool {
    changes.iter().all(|change| change.contains("MAC"))
}

/// What is assumed when a figure's digits were not rounded.
const CUT_OFF: &str = "digits cut off, not rounded";

/// How far readings with a gap are still worth naming when none fits.
const NEAREST: usize = 5;

/// Searches all conventions in all scenarios for readings of a figure.
pub fn reconcile(
    scenarios: &[Scenario],
    conventions: &[&dyn Convention],
    figure: &Figure,
    params: Option<&Figure>,
) -> Reconciliation {
    let values: Vec<Value> = scenarios
        .iter()
        .flat_map(|scenario| values(scenario, conventions))
        .collect();
    let mut answer = judge(&values, figure, params);
    if answer.readings.iter().all(|reading| !reading.fits) {
        let plain = values.iter().filter(|value| value.only_unit_differs());
        let nearest = plain
            .map(|value| Reading::new(value, figure, params))
            .min_by(|a, b| a.gap.abs().total_cmp(&b.gap.abs()));
        answer.differ = nearest
            .and_then(|nearest| differ::differ(scenarios.first()?, conventions, &nearest, figure));
    }
    answer
}

/// Which of a model's numbers are readings of a figure. Without the model there is no telling what
/// would have to differ when none is.
pub fn judge(values: &[Value], figure: &Figure, params: Option<&Figure>) -> Reconciliation {
    let mut readings: Vec<Reading> = values
        .iter()
        .map(|value| Reading::new(value, figure, params))
        .collect();
    readings.sort_by(|a, b| {
        (!a.fits, if a.fits { a.surprise } else { 0 })
            .cmp(&(!b.fits, if b.fits { b.surprise } else { 0 }))
            .then_with(|| a.gap.abs().total_cmp(&b.gap.abs()))
            .then_with(|| a.surprise.cmp(&b.surprise))
    });
    // The same number of the same tool twice tells nothing: the less surprising way to it is kept.
    let mut seen = std::collections::HashSet::new();
    readings.retain(|reading: &Reading| {
        seen.insert((reading.convention.clone(), reading.unit, reading.value))
    });
    let fitting = readings.iter().filter(|reading| reading.fits).count();
    if fitting == 0 {
        // The nearest of each convention, so that one convention's variations do not fill the list.
        let mut seen: Vec<String> = Vec::new();
        readings.retain(|reading| {
            let new = !seen.contains(&reading.convention);
            seen.push(reading.convention.clone());
            new
        });
        readings.truncate(NEAREST);
    } else {
        readings.truncate(fitting);
    }
    Reconciliation {
        reported: figure.value(),
        decide: decide(&readings, figure),
        differ: None,
        readings,
    }
}

fn why(identity: &str, changes: &[String], params_off: bool) -> String {
    let mut out = match changes {
        [] => format!("what {identity} prints"),
        changes => format!("what {identity} prints, {}", changes.join(", ")),
    };
    if params_off {
        out.push_str("; its parameters are not the reported ones");
    }
    out
}

/// The coarsest further number that tells the leading reading from the next ones.
fn decide(readings: &[Reading], figure: &Figure) -> Option<String> {
    let first = readings.first().filter(|reading| reading.fits)?;
    let other = readings
        .iter()
        .find(|reading| reading.fits && reading.value != first.value)?;
    let name = |reading: &Reading| match &reading.changes[..] {
        changes if first.convention == other.convention => match changes {
            [] => format!("{} as it is", reading.convention),
            changes => format!("{} with {}", reading.convention, changes.join(", ")),
        },
        _ => reading.convention.clone(),
    };
    let mut step = figure.step();
    while step > 1 {
        step /= 10;
        let round = |value: u128| (value + step / 2) / step * step;
        let (a, b) = (round(first.value), round(other.value));
        if a != b {
            let (a, b) = (Figure::rounded(a, step), Figure::rounded(b, step));
            let (first, other) = (name(first), name(other));
            return Some(format!(
                "more digits: {a} would mean {first}, {b} would mean {other}"
            ));
        }
    }
    None
}
