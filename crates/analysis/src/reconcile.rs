//! Which convention, unit and circumstances give a reported figure.
//!
//! Every reading is a value computed exactly, and a list of what must be assumed for it. A reading
//! fits when the value rounds to the figure at the figure's own precision. Among those that fit, the
//! one that assumes least comes first.

use modelcost_core::convention::{Convention, Info, Options, Standing, Unit};
use modelcost_core::dim::Dim;
use modelcost_core::report::Report;
use modelcost_core::trace::{CallId, ModuleId, Target, Trace};
use serde::Serialize;

use crate::category::{self, Category};
use crate::figure::Figure;
pub use crate::scenario::Scenario;

mod differ;

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
    /// Whether it assumes nothing but the unit.
    fn only_unit_differs(&self) -> bool {
        self.changes.iter().all(|change| change.contains("MAC"))
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

/// Parts of a count that people leave out.
#[derive(Clone, Copy, PartialEq)]
enum LeftOut {
    Nothing,
    Bias,
    BatchNorm,
    Classifier,
    AttentionProducts,
}

impl LeftOut {
    const ALL: [LeftOut; 5] = [
        LeftOut::Nothing,
        LeftOut::Bias,
        LeftOut::BatchNorm,
        LeftOut::Classifier,
        LeftOut::AttentionProducts,
    ];

    fn change(self) -> Option<&'static str> {
        match self {
            LeftOut::Nothing => None,
            LeftOut::Bias => Some("without bias"),
            LeftOut::BatchNorm => Some("BatchNorm folded into the convolutions"),
            LeftOut::Classifier => Some("without the classifier"),
            LeftOut::AttentionProducts => Some("without the attention products"),
        }
    }

    fn surprise(self) -> u32 {
        match self {
            LeftOut::Nothing => 0,
            LeftOut::Classifier | LeftOut::AttentionProducts => 8,
            LeftOut::Bias | LeftOut::BatchNorm => 9,
        }
    }

    /// What remains of a report's count.
    fn remaining(self, trace: &Trace, report: &Report, total: &Dim) -> Option<Dim> {
        if self == LeftOut::Nothing {
            return Some(total.clone());
        }
        let classifier = last_linear(trace);
        let mut left_out = Dim::ZERO;
        for entry in &report.entries {
            let drop = match self {
                LeftOut::Nothing => false,
                LeftOut::Bias => entry.part == "bias",
                LeftOut::BatchNorm => is_batch_norm(trace, entry.call),
                LeftOut::Classifier => Some(entry.module) == classifier,
                LeftOut::AttentionProducts => matches!(
                    category::of_call(trace, entry.call),
                    Category::AttentionProduct | Category::MatrixProduct
                ),
            };
            if drop {
                left_out += &entry.count;
            }
        }
        (left_out != Dim::ZERO).then(|| total - &left_out)
    }
}

fn is_batch_norm(trace: &Trace, call: CallId) -> bool {
    let own = std::iter::once(trace.call(call));
    own.chain(trace.inside(call).map(|(_, inner)| inner))
        .any(|inner| matches!(&inner.target, Target::Operator(name) if name.contains("batch_norm")))
}

/// The module that runs the model's last linear operator.
fn last_linear(trace: &Trace) -> Option<ModuleId> {
    let is_linear =
        |target: &Target| matches!(target, Target::Operator(name) if name == "aten.linear");
    trace
        .calls()
        .filter(|(_, call)| is_linear(&call.target))
        .last()
        .map(|(id, _)| trace.enclosing_module(id))
}

/// How far readings with a gap are still worth naming when none fits.
const NEAREST: usize = 5;

/// Searches all conventions in all scenarios for readings of a figure.
pub fn reconcile(
    scenarios: &[Scenario],
    conventions: &[&dyn Convention],
    figure: &Figure,
    params: Option<&Figure>,
) -> Reconciliation {
    let mut readings = Vec::new();
    for scenario in scenarios {
        for convention in conventions
            .iter()
            .filter(|convention| convention.info().counts)
        {
            readings.extend(readings_of(scenario, *convention, figure, params));
        }
    }
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
    let nearest_unchanged = readings
        .iter()
        .find(|reading| fitting == 0 && reading.only_unit_differs())
        .cloned();
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
        differ: nearest_unchanged
            .and_then(|nearest| differ::differ(scenarios.first()?, conventions, &nearest, figure)),
        readings,
    }
}

fn readings_of(
    scenario: &Scenario,
    convention: &dyn Convention,
    figure: &Figure,
    params: Option<&Figure>,
) -> Vec<Reading> {
    let info = convention.info();
    let mut out = Vec::new();
    for training in [false, true] {
        let Ok(report) = convention.count(&scenario.trace, &Options { training }) else {
            continue;
        };
        let Some(cost) = &report.count else { continue };
        let own_params = report
            .params
            .as_ref()
            .and_then(Dim::as_const)
            .and_then(|value| u128::try_from(value).ok());
        for left_out in LeftOut::ALL {
            let Some(count) = left_out.remaining(&scenario.trace, &report, cost.count()) else {
                continue;
            };
            let Some(count) = count
                .as_const()
                .and_then(|count| u128::try_from(count).ok())
            else {
                continue;
            };
            for (unit, value, unit_change, unit_surprise) in units(info, count) {
                let standing = match info.standing {
                    Standing::Builtin => 0,
                    Standing::Common => 2,
                    Standing::Rare => 4,
                    Standing::Ideal => 5,
                };
                let mut changes = scenario.changes.clone();
                changes.extend(left_out.change().map(String::from));
                if training {
                    changes.push("forward and backward".into());
                }
                changes.extend(unit_change.map(String::from));
                let params_off = match (params, own_params) {
                    (Some(figure), Some(own)) => !figure.fits(own) && !figure.fits_truncated(own),
                    _ => false,
                };
                let fits = figure.fits(value);
                let surprise = standing
                    + unit_surprise
                    + scenario.surprise
                    + left_out.surprise()
                    + if training { 8 } else { 0 }
                    + if params_off { 6 } else { 0 };
                out.push(Reading {
                    convention: info.identity(),
                    unit,
                    value,
                    fits,
                    surprise,
                    gap: (value as f64 - figure.value() as f64) / (figure.value() as f64).max(1.0),
                    why: why(&info.identity(), &changes, params_off),
                    changes,
                    params: own_params,
                });
            }
        }
    }
    out
}

/// The ways in which a count is printed.
fn units(info: &Info, count: u128) -> Vec<(Unit, u128, Option<&'static str>, u32)> {
    let own = (info.unit, count, None, 0);
    match info.work_unit() {
        Unit::Mac => {
            let doubled = count.saturating_mul(2);
            vec![own, (Unit::Flop, doubled, Some("2 FLOPs for each MAC"), 2)]
        }
        // "FLOPs" in papers mostly means multiply-accumulates: half of what FLOP counters give.
        Unit::Flop => vec![own, (Unit::Mac, count / 2, Some("2 FLOPs = 1 MAC"), 1)],
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
    /// Rows that it explains with no further change.
    pub explained: Vec<String>,
    /// Rows that it does not explain.
    pub unexplained: Vec<String>,
}

/// Finds the one reading that explains most rows: with the fewest assumptions, and among equals the
/// least surprising.
pub fn reconcile_table(rows: &[TableRow]) -> TableAnswer {
    let unit_only = Reading::only_unit_differs;
    let mut candidates: Vec<(String, Unit, u32)> = Vec::new();
    for reading in rows
        .iter()
        .flat_map(|row| &row.answer.readings)
        .filter(|r| r.fits && unit_only(r))
    {
        if !candidates
            .iter()
            .any(|(name, unit, _)| *name == reading.convention && *unit == reading.unit)
        {
            candidates.push((reading.convention.clone(), reading.unit, reading.surprise));
        }
    }
    let explains = |row: &TableRow, name: &str, unit: Unit| {
        row.answer
            .readings
            .iter()
            .any(|r| r.fits && unit_only(r) && r.convention == name && r.unit == unit)
    };
    let best = candidates.into_iter().max_by_key(|(name, unit, surprise)| {
        (
            rows.iter().filter(|row| explains(row, name, *unit)).count(),
            std::cmp::Reverse(*surprise),
        )
    });
    let Some((convention, unit, _)) = best else {
        let unexplained = rows.iter().map(|row| row.name.clone()).collect();
        return TableAnswer {
            convention: None,
            unit: None,
            explained: Vec::new(),
            unexplained,
        };
    };
    let (explained, unexplained): (Vec<&TableRow>, Vec<&TableRow>) = rows
        .iter()
        .partition(|row| explains(row, &convention, unit));
    let names = |rows: Vec<&TableRow>| rows.into_iter().map(|row| row.name.clone()).collect();
    TableAnswer {
        convention: Some(convention),
        unit: Some(unit),
        explained: names(explained),
        unexplained: names(unexplained),
    }
}
