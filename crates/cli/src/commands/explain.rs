//! The bridge between two totals, by cause.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use modelcost_analysis::bridge::{Bridge, Cause, bridge};
use modelcost_core::convention::{Convention, Options};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Fidelity;
use modelcost_core::report::Report;
use modelcost_reader::Model;
use serde::Serialize;

use super::{convention, open};
use crate::args::{BridgeFormat, ExplainArgs, Units};
use crate::errors::Failed;
use crate::render::{fidelity_section, json_text, path_text};
use crate::svg;
use crate::units::{grouped, with_unit};

const BOLD: Style = Style::new().bold();
const UP: Style = AnsiColor::Red.on_default();
const DOWN: Style = AnsiColor::Green.on_default();
const FAINT: Style = AnsiColor::BrightBlack.on_default();

/// Columns of the bar beside each cause.
const BAR: usize = 24;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    model: String,
    #[serde(flatten)]
    bridge: &'a Bridge,
    from_fidelity: &'a Fidelity,
    to_fidelity: &'a Fidelity,
}

pub fn run(args: &ExplainArgs) -> Result<String, Failed> {
    let (from, to) = (convention(&args.from)?, convention(&args.to)?);
    let model = open(&args.model, &args.read.options().map_err(Failed::input)?)?;
    let reports = (count(&model, from)?, count(&model, to)?);
    let Some(bridge) = bridge(&model.trace, &reports.0, &reports.1) else {
        let which = if reports.0.count.is_none() { from } else { to };
        return Err(Failed::input(format!(
            "{} counts parameters only",
            which.info().identity()
        )));
    };
    Ok(match args.format {
        BridgeFormat::Json => json_text(&Document {
            schema: "modelcost-bridge/1",
            model: args.model.display().to_string(),
            bridge: &bridge,
            from_fidelity: &reports.0.fidelity,
            to_fidelity: &reports.1.fidelity,
        }),
        BridgeFormat::Svg => svg::waterfall(&bridge),
        BridgeFormat::Text => {
            text(&bridge, (from, to), args.verbose) + &trusted(&reports.0, &reports.1)
        }
    })
}

/// How far the two totals can be trusted, where that is not all the way.
fn trusted(from: &Report, to: &Report) -> String {
    if from.fidelity == to.fidelity {
        return fidelity_section("Fidelity", &from.fidelity);
    }
    let of = |report: &Report| {
        let heading = format!("Fidelity of {}", report.convention.identity());
        fidelity_section(&heading, &report.fidelity)
    };
    of(from) + &of(to)
}

/// A model's report, or why there is none.
pub fn count(model: &Model, convention: &dyn Convention) -> Result<Report, Failed> {
    convention
        .count(&model.trace, &Options::default())
        .map_err(|failure| Failed::in_file(&model.path, failure))
}

fn text(bridge: &Bridge, conventions: (&dyn Convention, &dyn Convention), verbose: bool) -> String {
    let mut out = String::new();
    let signed = |delta: &Dim| {
        let text = grouped(delta);
        if delta.approx() > 0.0 {
            format!("+{text}")
        } else {
            text
        }
    };
    let width = bridge
        .causes
        .iter()
        .map(|cause| signed(&cause.delta).chars().count())
        .chain(
            [grouped(&bridge.from_count), grouped(&bridge.to_count)]
                .iter()
                .map(|text| text.chars().count()),
        )
        .max()
        .unwrap_or(0);
    let name = bridge.from.chars().count().max(bridge.to.chars().count());
    let total = |out: &mut String, identity: &str, count: &Dim, convention: &dyn Convention| {
        let scaled = with_unit(count, Units::Auto, convention.info().unit);
        let _ = writeln!(
            out,
            "{BOLD}{:>width$}{BOLD:#}  {identity:name$}  {FAINT}{scaled}{FAINT:#}",
            grouped(count)
        );
    };
    total(&mut out, &bridge.from, &bridge.from_count, conventions.0);
    let largest = bridge
        .causes
        .iter()
        .map(|cause| cause.delta.approx().abs())
        .fold(0.0, f64::max);
    for cause in &bridge.causes {
        let style = if cause.delta.approx() > 0.0 { UP } else { DOWN };
        let filled =
            ((cause.delta.approx().abs() / largest * BAR as f64).round() as usize).clamp(1, BAR);
        let bar = "█".repeat(filled);
        let _ = writeln!(
            out,
            "{style}{:>width$}{style:#}  {}",
            signed(&cause.delta),
            cause.title
        );
        let _ = writeln!(out, "{:>width$}  {style}{bar}{style:#}", "");
        if verbose {
            details(&mut out, cause, conventions, width);
        }
    }
    total(&mut out, &bridge.to, &bridge.to_count, conventions.1);
    out
}

fn details(
    out: &mut String,
    cause: &Cause,
    conventions: (&dyn Convention, &dyn Convention),
    width: usize,
) {
    let sides = [
        (conventions.0, &cause.from_rules),
        (conventions.1, &cause.to_rules),
    ];
    for (convention, rules) in sides {
        for rule in rules
            .iter()
            .filter_map(|rule| convention.rules().get(*rule))
        {
            for (part, formula) in &rule.parts {
                // A rule with a single number has it under another name than the part it is for.
                let is_other = cause.part.as_ref().is_some_and(|wanted| wanted != part);
                if is_other && rule.parts.len() > 1 {
                    continue;
                }
                let id = convention.info().identity();
                let _ = writeln!(
                    out,
                    "{:>width$}  {FAINT}{id}: {}  [{}]{FAINT:#}",
                    "",
                    formula.text(),
                    rule.source
                );
            }
        }
    }
    for layer in cause.layers.iter().take(5) {
        let path = path_text(&layer.path);
        let _ = writeln!(
            out,
            "{:>width$}  {FAINT}{path}  {}{FAINT:#}",
            "",
            grouped(&layer.delta)
        );
    }
    if cause.layers.len() > 5 {
        let _ = writeln!(
            out,
            "{:>width$}  {FAINT}and {} more layers{FAINT:#}",
            "",
            cause.layers.len() - 5
        );
    }
}
