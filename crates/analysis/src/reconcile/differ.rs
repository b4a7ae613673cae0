//! When no reading fits: what would have to be otherwise.

use modelcost_core::convention::{Convention, Options, Unit};
use modelcost_core::dim::Dim;
use modelcost_core::report::{Report, inclusive_counts};
use modelcost_core::trace::Trace;

use super::{Reading, Scenario};
use crate::figure::Figure;

/// A part of the model explains a gap when it is as large, to this share of it.
const CLOSE: f64 = 0.05;

/// A sentence or two about the gap between a figure and the nearest reading of the model as it is:
/// its size, the image that it would take, and a part of the model as large as what is missing.
pub fn differ(
    model: &Scenario,
    conventions: &[&dyn Convention],
    nearest: &Reading,
    figure: &Figure,
) -> Option<String> {
    let wanted = figure.value();
    let difference = wanted.abs_diff(nearest.value);
    let direction = if wanted > nearest.value {
        "more"
    } else {
        "fewer"
    };
    let mut out = format!(
        "{} {direction} {}s than {} gives ({:+.1}%)",
        Figure::rounded(difference, rounded_step(difference)),
        nearest.unit,
        nearest.convention,
        -nearest.gap / (1.0 + nearest.gap) * 100.0
    );
    if let Some(side) = side(&model.trace) {
        let ratio = (wanted as f64 / (nearest.value as f64).max(1.0)).sqrt();
        out += &format!(
            "; as the cost of convolutions grows with the area, an image of about {0}×{0} instead of {side}×{side}",
            (side as f64 * ratio).round()
        );
    }
    let convention = conventions
        .iter()
        .find(|convention| convention.info().identity() == nearest.convention)?;
    let report = convention.count(&model.trace, &Options::default()).ok()?;
    let scale = match (report.convention.unit, nearest.unit) {
        (Unit::Mac, Unit::Flop) => 2.0,
        (Unit::Flop, Unit::Mac) => 0.5,
        _ => 1.0,
    };
    if let Some(path) = as_large_as(&model.trace, &report, difference as f64 / scale) {
        let verb = if wanted > nearest.value {
            "counting"
        } else {
            "leaving out"
        };
        let times = if wanted > nearest.value { " twice" } else { "" };
        out += &format!("; or {verb} '{path}'{times}, which is about as much");
    }
    Some(out)
}

/// Four digits are enough to see how much is missing.
fn rounded_step(value: u128) -> u128 {
    10u128.pow(value.checked_ilog10().unwrap_or(0).saturating_sub(3))
}

/// The side of the square image that the model takes.
fn side(trace: &Trace) -> Option<i128> {
    let (_, input) = trace.inputs.first()?;
    match trace.tensor(*input).shape.as_deref()? {
        [_, _, height, width] if height == width => height.as_const(),
        _ => None,
    }
}

/// The module whose count is nearest to a difference, if it is near.
fn as_large_as(trace: &Trace, report: &Report, difference: f64) -> Option<String> {
    let counts = inclusive_counts(trace, &report.entries);
    let distance = |count: &Dim| (count.approx() - difference).abs() / difference.max(1.0);
    trace
        .named_modules()
        .into_iter()
        .filter(|(path, _)| !path.is_empty())
        .filter_map(|(path, module)| Some((distance(counts.get(&module)?), path)))
        .filter(|(distance, _)| *distance < CLOSE)
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, path)| path)
}
