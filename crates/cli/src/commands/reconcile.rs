//! Which convention gave a reported number.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use modelcost_analysis::figure::Figure;
use modelcost_analysis::reconcile::{
    Reading, Reconciliation, TableRow, reconcile, reconcile_table,
};
use modelcost_analysis::scenario::{NotTried, Scenarios, Variation, scenarios};
use modelcost_core::convention::Convention;
use modelcost_core::dim::Dim;
use modelcost_reader::Options;
use serde::Serialize;

use super::{all_conventions, convention, open};
use crate::args::{ReconcileArgs, TextFormat};
use crate::errors::Failed;
use crate::render::json_text;
use crate::units::grouped;

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

#[derive(Serialize)]
struct TableDocument<'a> {
    schema: &'static str,
    #[serde(flatten)]
    answer: &'a modelcost_analysis::reconcile::TableAnswer,
    rows: &'a [TableRow],
}

pub fn run(args: &ReconcileArgs) -> Result<String, Failed> {
    let conventions: Vec<&dyn Convention> = if args.convention.is_empty() {
        all_conventions()
    } else {
        args.convention
            .iter()
            .map(|name| convention(name))
            .collect::<Result<_, _>>()?
    };
    match (&args.table, &args.model, &args.reported) {
        (Some(table), _, _) => run_table(table, args, &conventions),
        (None, Some(model), Some(reported)) => {
            let params = args.reported_params.as_deref().map(figure).transpose()?;
            let figure = figure(reported)?;
            let scenarios = variations(model, args)?;
            let answer = reconcile(&scenarios.tried, &conventions, &figure, params.as_ref());
            Ok(match args.format {
                TextFormat::Json => json_text(&Document {
                    schema: "modelcost-reconcile/1",
                    answer: &answer,
                    not_tried: &scenarios.not_tried,
                }),
                TextFormat::Text => text(&answer, &scenarios, reported, args.most),
            })
        }
        _ => Err(Failed::input(
            "give a model and --reported FIGURE, or --table FILE.csv",
        )),
    }
}

fn figure(text: &str) -> Result<Figure, Failed> {
    text.parse()
        .map_err(|error: modelcost_analysis::figure::FigureError| Failed::input(error.to_string()))
}

/// The model as it is, and what papers vary.
fn variations(path: &Path, args: &ReconcileArgs) -> Result<Scenarios, Failed> {
    let options = args.read.options().map_err(Failed::input)?;
    let file = open(path, &Options::default())?;
    let has_none = options.dims.is_empty() && options.inputs.is_empty() && options.batch.is_none();
    let model = if has_none {
        file.trace.clone()
    } else {
        let resized = file.resized(&options);
        resized.map_err(|error| Failed::open(&error))?.trace
    };
    Ok(scenarios(model, &args.sizes, &|shapes| {
        file.at_shapes(&options, shapes)
    }))
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
    let value = |reading: &Reading| grouped(&Dim::Const(reading.value as i128));
    let assumed = |reading: &Reading| match &reading.changes[..] {
        [] => "as the tool prints it".to_string(),
        changes => changes.join(", "),
    };
    let (value_width, name_width) = (width(&value), width(&|reading| reading.convention.clone()));
    let assumed_width = width(&assumed);
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
            "{:>3}  {style}{:>value_width$} {unit:5}{style:#}  {:name_width$}  {:assumed_width$}  {FAINT}{last}{FAINT:#}",
            index + 1,
            value(reading),
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

fn run_table(
    table: &Path,
    args: &ReconcileArgs,
    conventions: &[&dyn Convention],
) -> Result<String, Failed> {
    let text = std::fs::read_to_string(table)
        .map_err(|error| Failed::input(format!("cannot read {}: {error}", table.display())))?;
    let folder = table.parent().unwrap_or(Path::new(""));
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        // The first line may be a header, and empty lines are nobody's row.
        if line.trim().is_empty()
            || line.starts_with('#')
            || (number == 0 && cells.get(1).is_some_and(|c| c.parse::<Figure>().is_err()))
        {
            continue;
        }
        let [model, reported, ..] = cells[..] else {
            let message = format!(
                "{}:{}: a row is MODEL,FIGURE or MODEL,FIGURE,UNIT",
                table.display(),
                number + 1
            );
            return Err(Failed::input(message));
        };
        let path: PathBuf = folder.join(model);
        let unit = cells.get(2).map(|unit| unit.to_ascii_uppercase());
        let scenarios = variations(&path, args)?;
        let mut answer = reconcile(&scenarios.tried, conventions, &figure(reported)?, None);
        if let Some(unit) = unit.filter(|unit| !unit.is_empty()) {
            answer
                .readings
                .retain(|reading| unit.starts_with(&reading.unit.to_string()));
        }
        rows.push(TableRow {
            name: model.to_string(),
            answer,
        });
    }
    let answer = reconcile_table(&rows);
    if args.format == TextFormat::Json {
        return Ok(json_text(&TableDocument {
            schema: "modelcost-reconcile-table/1",
            answer: &answer,
            rows: &rows,
        }));
    }
    let mut out = String::new();
    let _ = match (&answer.convention, answer.unit) {
        (Some(convention), Some(unit)) => writeln!(
            out,
            "{BOLD}{convention} in {unit}s{BOLD:#} explains {} of {} rows",
            answer.explained.len(),
            rows.len()
        ),
        _ => writeln!(out, "{BOLD}No convention explains any row{BOLD:#}"),
    };
    for name in &answer.unexplained {
        let Some(row) = rows.iter().find(|row| row.name == *name) else {
            continue;
        };
        let best = row.answer.readings.first();
        let reading = best.map_or("no reading".to_string(), |reading| {
            let fits = if reading.fits { "fits" } else { "nearest" };
            format!(
                "{fits}: {} {}",
                reading.convention,
                reading.changes.join(", ")
            )
        });
        let _ = writeln!(
            out,
            "  not {name} ({})  {FAINT}{reading}{FAINT:#}",
            row.answer.reported
        );
    }
    Ok(out)
}
