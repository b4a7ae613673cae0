//! What a run prints: conventions by rows, `exact / total`, and every miss by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use modelcost_core::fidelity::Level;

use crate::check::{Figure, Outcome};
use crate::known::Known;

/// How many misses of one tool and model are shown: a row that is missing shifts all that follow.
const SHOWN: usize = 4;

/// The text of a run, and the number of misses that are not known.
pub fn summary(extension: &str, outcomes: &[Outcome], known: &Known) -> (String, usize) {
    let mut rows: BTreeMap<&str, BTreeMap<Figure, (usize, usize)>> = BTreeMap::new();
    // A tool and a model count once for each figure, however many numbers it has.
    let mut cells: BTreeMap<(&str, &str, Figure), bool> = BTreeMap::new();
    for outcome in outcomes {
        let cell = (
            outcome.tool.as_str(),
            outcome.model.as_str(),
            outcome.figure,
        );
        *cells.entry(cell).or_insert(true) &= outcome.miss.is_none();
    }
    for ((tool, _, figure), is_exact) in cells {
        let (exact, total) = rows.entry(tool).or_default().entry(figure).or_default();
        *exact += usize::from(is_exact);
        *total += 1;
    }
    let mut out = String::new();
    let _ = writeln!(
        out,
        "\n{extension:<30} {:>11} {:>11} {:>11} {:>11}",
        "count", "params", "other", "layers"
    );
    for (tool, figures) in rows {
        let _ = write!(out, "{tool:<30}");
        for figure in [Figure::Count, Figure::Params, Figure::Other, Figure::Layers] {
            let cell = figures.get(&figure);
            let cell = cell.map(|(exact, total)| format!("{exact} / {total}"));
            let _ = write!(out, " {:>11}", cell.unwrap_or_default());
        }
        out.push('\n');
    }
    let mut unknown = 0;
    let mut shown: BTreeMap<(&str, &str, Figure), usize> = BTreeMap::new();
    for outcome in outcomes {
        let Some(miss) = &outcome.miss else {
            continue;
        };
        let reason = known.reason(extension, outcome);
        unknown += usize::from(reason.is_none());
        let cell = (
            outcome.tool.as_str(),
            outcome.model.as_str(),
            outcome.figure,
        );
        let shown = shown.entry(cell).or_default();
        *shown += 1;
        if *shown > SHOWN {
            continue;
        }
        let _ = writeln!(
            out,
            "{} {} {}: expected {}, got {}{}{}",
            if reason.is_some() { "known:" } else { "MISS:" },
            outcome.tool,
            format_args!("{} {}", outcome.model, miss.what),
            miss.expected,
            miss.got,
            if outcome.level == Some(Level::Exact) {
                ", and calls it exact"
            } else {
                ""
            },
            reason
                .map(|reason| format!(" ({reason})"))
                .unwrap_or_default()
        );
    }
    (out, unknown)
}
