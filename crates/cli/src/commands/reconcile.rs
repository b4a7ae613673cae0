//! Which convention gave a reported number.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use modelcost_analysis::figure::Figure;
use modelcost_analysis::reconcile::{
    Reconciliation, Scenario, TableRow, reconcile, reconcile_table,
};
use modelcost_core::convention::Convention;
use modelcost_core::dim::Dim;
use serde::Serialize;

use super::{all_conventions, convention, open};
use crate::args::{ReconcileArgs, TextFormat};
use crate::errors::Failed;
use crate::render::json_text;
use crate::units::grouped;

const BOLD: Style = Style::new().bold();
const FITS: Style = AnsiColor::Green.on_default();
const FAINT: Style = AnsiColor::BrightBlack.on_default();

/// Input sizes that image papers use; those of the file come first and are not repeated.
const USUAL_SIZES: &[u64] = &[
    224, 256, 384, 288, 299, 240, 260, 300, 320, 380, 448, 512, 600, 640, 32, 64, 128, 160, 192,
];

/// Batch sizes that people leave in by mistake.
const USUAL_BATCHES: &[u64] = &[2, 4, 8, 16, 32, 64, 128];

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    answer: &'a Reconciliation,
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
            let answer = answer(
                model,
                args,
                &conventions,
                &figure(reported)?,
                params.as_ref(),
            )?;
            Ok(match args.format {
                TextFormat::Json => json_text(&Document {
                    schema: "modelcost-reconcile/1",
                    answer: &answer,
                }),
                TextFormat::Text => text(&answer, reported, args.most),
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

fn answer(
    path: &Path,
    args: &ReconcileArgs,
    conventions: &[&dyn Convention],
    reported: &Figure,
    params: Option<&Figure>,
) -> Result<Reconciliation, Failed> {
    let scenarios = scenarios(path, args)?;
    Ok(reconcile(&scenarios, conventions, reported, params))
}

/// The model as it is, then at other input sizes, then in larger batches.
fn scenarios(path: &Path, args: &ReconcileArgs) -> Result<Vec<Scenario>, Failed> {
    let options = args.read.options().map_err(Failed::input)?;
    let model = open(path, &options)?;
    let first = model
        .trace
        .inputs
        .first()
        .and_then(|(name, id)| Some((name.clone(), model.trace.tensor(*id).shape.clone()?)));
    let mut out = vec![Scenario {
        changes: Vec::new(),
        surprise: 0,
        trace: model.trace,
    }];
    let Some((name, shape)) = first else {
        return Ok(out);
    };
    // A different size is tried where the file lets it: a spec, or dimensions that are free.
    let mut attempt = |shape: Vec<Dim>, change: String, surprise: u32| {
        let mut options = options.clone();
        options
            .inputs
            .retain(|(given, _)| given.as_ref() != Some(&name) && given.is_some());
        options.inputs.push((Some(name.clone()), shape));
        options.batch = None;
        if let Ok(model) = modelcost_reader::open(path, &options) {
            out.push(Scenario {
                changes: vec![change],
                surprise,
                trace: model.trace,
            });
        }
    };
    if let [_, _, height, width] = &shape[..]
        && height == width
    {
        let sizes = if args.sizes.is_empty() {
            USUAL_SIZES.to_vec()
        } else {
            args.sizes.clone()
        };
        for (rank, size) in sizes.into_iter().enumerate() {
            if Dim::from(size) != *height {
                let mut shape = shape.clone();
                (shape[2], shape[3]) = (Dim::from(size), Dim::from(size));
                attempt(
                    shape,
                    format!("input {size}×{size}"),
                    if rank < 3 { 6 } else { 7 },
                );
            }
        }
    }
    if !shape.is_empty() {
        for batch in USUAL_BATCHES {
            if Dim::from(*batch) != shape[0] {
                let mut shape = shape.clone();
                shape[0] = Dim::from(*batch);
                attempt(shape, format!("batch of {batch}"), 8);
            }
        }
    }
    Ok(out)
}

fn text(answer: &Reconciliation, reported: &str, most: usize) -> String {
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
    let width = |f: &dyn Fn(&modelcost_analysis::reconcile::Reading) -> String| {
        shown
            .iter()
            .map(|reading| f(reading).chars().count())
            .max()
            .unwrap_or(0)
    };
    let value = |reading: &modelcost_analysis::reconcile::Reading| {
        grouped(&Dim::Const(reading.value as i128))
    };
    let (value_width, name_width) = (width(&value), width(&|reading| reading.convention.clone()));
    for (index, reading) in shown.iter().enumerate() {
        let style = if reading.fits { FITS } else { Style::new() };
        let unit = format!("{}s", reading.unit);
        let changes = if reading.changes.is_empty() {
            "as the tool prints it".into()
        } else {
            reading.changes.join(", ")
        };
        let gap = if reading.fits {
            String::new()
        } else {
            format!("  {:+.2}%", reading.gap * 100.0)
        };
        let _ = writeln!(
            out,
            "{:>3}  {style}{:>value_width$} {unit:5}{style:#}  {:name_width$}  {FAINT}{changes}{FAINT:#}{gap}",
            index + 1,
            value(reading),
            reading.convention,
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
    if fits == 0 {
        out.push_str("\nAnother architecture, input size or convention must be behind it.\n");
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
        let mut answer = answer(&path, args, conventions, &figure(reported)?, None)?;
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
