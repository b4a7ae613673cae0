//! Which convention gave a reported number.

use std::fmt::Write as _;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use modelcost_analysis::figure::{Figure, FigureError};
use modelcost_analysis::reconcile::{Reading, Reconciliation, reconcile};
use modelcost_analysis::scenario::{NotTried, Scenarios, Variation, scenarios};
use modelcost_core::dim::Dim;
use modelcost_core::trace::Trace;
use modelcost_reader::Options;
use serde::Serialize;

use super::{chosen_conventions, open};
use crate::args::{ReconcileArgs, ReconcileFormat};
use crate::errors::Failed;
use crate::render::{json_text, legend, mark, markdown_table};
use crate::units::grouped;

mod table;

const BOLD: Style = Style::new().bold();
const FITS: Style = AnsiColor::Green.on_default();
const FAINT: Style = AnsiColor::BrightBlack.on_default();

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    answer: &'a Reconciliation,
    not_tried: &'a [NotTried],
}

pub fn run(args: &ReconcileArgs) -> Result<String, Failed> {
    let conventions = chosen_conventions(&args.convention)?;
    match (&args.table, &args.model, &args.reported) {
        (Some(table), _, _) => table::run(table, args, &conventions),
        (None, Some(model), Some(reported)) => {
            let params = args.reported_params.as_deref().map(figure).transpose();
            let params = params.map_err(Failed::input)?;
            let figure = figure(reported).map_err(Failed::input)?;
            let scenarios = variations(model, args)?;
            let answer = reconcile(&scenarios.tried, &conventions, &figure, params.as_ref());
            Ok(match args.format {
                ReconcileFormat::Json => json_text(&Document {
                    schema: "modelcost-reconcile/1",
                    answer: &answer,
                    not_tried: &scenarios.not_tried,
                }),
                ReconcileFormat::Text => text(&answer, &scenarios, reported, args.most),
                ReconcileFormat::Markdown => markdown(&answer, args.most),
            })
        }
        _ => Err(Failed::input(
            "give a model and --reported FIGURE, or --table FILE.csv",
        )),
    }
}

fn figure(text: &str) -> Result<Figure, String> {
    let figure: Figure = text
        .parse()
        .map_err(|error: FigureError| error.to_string())?;
    match figure.value() {
        0 => Err(format!(
            "{text} is nothing to explain; give the printed figure"
        )),
        _ => Ok(figure),
    }
}

/// The model as it is, and what papers vary.
fn variations(path: &Path, args: &ReconcileArgs) -> Result<Scenarios, Failed> {
    let options = args.read.options().map_err(Failed::input)?;
    scenarios_of(path, &options, &args.sizes)
}

fn scenarios_of(path: &Path, options: &Options, sizes: &[u64]) -> Result<Scenarios, Failed> {
    let model = read_model(path, options)?;
    let file = open(path, &Options::default())?;
    Ok(scenarios(model, sizes, &|shapes| {
        file.at_shapes(options, shapes)
    }))
}

fn read_model(path: &Path, options: &Options) -> Result<Trace, Failed> {
    Ok(open(path, options)?.trace)
}

/// What a reading assumes, in words.
fn assumed(reading: &Reading) -> String {
    match &reading.changes[..] {
        [] => "as the tool prints it".into(),
        changes => changes.join(", "),
    }
}

fn value(reading: &Reading) -> String {
    grouped(&Dim::Const(reading.value as i128))
}

fn markdown(answer: &Reconciliation, most: usize) -> String {
    let rows = answer.readings.iter().take(most).map(|reading| {
        let last = if reading.fits {
            reading.plausibility().to_string()
        } else {
            format!("{:+.2}%", reading.gap * 100.0)
        };
        let unit = reading.unit.to_string();
        vec![
            value(reading) + mark(reading.fidelity),
            unit,
            reading.convention.clone(),
            assumed(reading),
            last,
        ]
    });
    let heads = ["value", "unit", "convention", "assumed", "how plain"];
    let right = [true, false, false, false, false];
    markdown_table(&heads, &right, &rows.collect::<Vec<_>>())
}

fn text(answer: &Reconciliation, scenarios: &Scenarios, reported: &str, most: usize) -> String {
    let mut out = String::new();
    let fits = answer
        .readings
        .iter()
        .filter(|reading| reading.fits)
        .count();
    let _ = match fits {
        0 => writeln!(
            out,
            "{BOLD}No reading gives {reported}.{BOLD:#} The nearest:\n"
        ),
        1 => writeln!(out, "{BOLD}One reading gives {reported}{BOLD:#}\n"),
        n => writeln!(
            out,
            "{BOLD}{n} readings give {reported}{BOLD:#}, the plainest first\n"
        ),
    };
    let shown = &answer.readings[..answer.readings.len().min(most)];
    let width = |f: &dyn Fn(&Reading) -> String| {
        shown
            .iter()
            .map(|reading| f(reading).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (value_width, name_width) = (width(&value), width(&|reading| reading.convention.clone()));
    let assumed_width = width(&assumed);
    let mark_width = width(&|reading| mark(reading.fidelity).into());
    for (index, reading) in shown.iter().enumerate() {
        let style = if reading.fits { FITS } else { Style::new() };
        let unit = format!("{}s", reading.unit);
        let last = if reading.fits {
            reading.plausibility().to_string()
        } else {
            format!("{:+.2}%", reading.gap * 100.0)
        };
        let _ = writeln!(
            out,
            "{:>3}  {style}{:>value_width$} {unit:5}{style:#}{:mark_width$}  {:name_width$}  {:assumed_width$}  {FAINT}{last}{FAINT:#}",
            index + 1,
            value(reading),
            mark(reading.fidelity),
            reading.convention,
            assumed(reading),
        );
    }
    if answer.readings.len() > shown.len() {
        let _ = writeln!(
            out,
            "     {FAINT}and {} more (--most){FAINT:#}",
            answer.readings.len() - shown.len()
        );
    }
    out += &legend(shown.iter().map(|reading| reading.fidelity));
    if let Some(decide) = &answer.decide {
        let _ = writeln!(out, "\nWhat would decide: {decide}.");
    }
    if let Some(differ) = &answer.differ {
        let _ = writeln!(out, "\nWhat would have to differ: {differ}.");
    }
    let ruled_out = scenarios.ruled_out();
    if let Some(first) = ruled_out.first() {
        let what: Vec<&str> = ruled_out
            .iter()
            .map(|missed| match missed.variation {
                Variation::ImageSize => "input sizes",
                Variation::SequenceLength => "sequence lengths",
                Variation::Batch => "batches",
            })
            .collect();
        let what = what.join(" and ");
        let _ = writeln!(
            out,
            "\nNot tried on this file: other {what} ({}).",
            first.reason
        );
    }
    out
}
