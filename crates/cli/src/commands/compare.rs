//! Every convention side by side.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use modelcost_core::convention::{Convention, Failure, Options};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::report::Report;
use serde::Serialize;

use super::{all_conventions, convention, open};
use crate::args::{CompareArgs, CompareFormat, Units};
use crate::errors::Failed;
use crate::render::{csv_line, json_text, markdown_table};
use crate::units::{grouped, with_unit};

/// One convention's answer for one model.
#[derive(Serialize)]
struct Row {
    model: String,
    convention: String,
    unit: modelcost_core::convention::Unit,
    count: Option<Dim>,
    params: Option<Dim>,
    fidelity: Level,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    why: String,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    rows: &'a [Row],
}

pub fn run(args: &CompareArgs) -> Result<String, Failed> {
    let conventions: Vec<&'static dyn Convention> = if args.convention.is_empty() {
        all_conventions()
    } else {
        args.convention
            .iter()
            .map(|name| convention(name))
            .collect::<Result<_, _>>()?
    };
    let options = args.read.options().map_err(Failed::input)?;
    let mut rows = Vec::new();
    for path in &args.models {
        let model = open(path, &options)?;
        for convention in &conventions {
            let result = convention.count(&model.trace, &Options::default());
            rows.push(row(path.display().to_string(), *convention, result));
        }
    }
    Ok(match args.format {
        CompareFormat::Json => json_text(&Document {
            schema: "modelcost-compare/1",
            rows: &rows,
        }),
        CompareFormat::Csv => {
            let mut out = csv_line(&[
                "model",
                "convention",
                "unit",
                "count",
                "params",
                "fidelity",
                "why",
            ]);
            for row in &rows {
                let plain =
                    |value: &Option<Dim>| value.as_ref().map(Dim::to_string).unwrap_or_default();
                out += &csv_line(&[
                    row.model.clone(),
                    row.convention.clone(),
                    row.unit.to_string(),
                    plain(&row.count),
                    plain(&row.params),
                    level(row.fidelity).into(),
                    row.failure.clone().unwrap_or_else(|| row.why.clone()),
                ]);
            }
            out
        }
        CompareFormat::Markdown => {
            let (header, right) = columns(args.models.len());
            markdown_table(
                &header,
                &right,
                &rows.iter().map(|row| cells(row, args)).collect::<Vec<_>>(),
            )
        }
        CompareFormat::Table => table(&rows, args),
    })
}

fn row(model: String, convention: &dyn Convention, result: Result<Report, Failure>) -> Row {
    let info = convention.info();
    let mut row = Row {
        model,
        convention: info.identity(),
        unit: info.unit,
        count: None,
        params: None,
        fidelity: Level::Exact,
        failure: None,
        why: info.summary.clone(),
    };
    match result {
        Ok(report) => {
            row.count = report.count.map(|cost| cost.count().clone());
            row.params = report.params;
            row.fidelity = report.fidelity.level;
        }
        Err(failure) => row.failure = Some(failure.to_string()),
    }
    row
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Exact => "exact",
        Level::Reconstructed => "reconstructed",
        Level::Partial => "partial",
    }
}

fn columns(models: usize) -> (Vec<&'static str>, Vec<bool>) {
    let mut header = vec!["convention", "count", "", "parameters", "why"];
    let mut right = vec![false, true, true, true, false];
    if models > 1 {
        header.insert(0, "model");
        right.insert(0, false);
    }
    (header, right)
}

fn cells(row: &Row, args: &CompareArgs) -> Vec<String> {
    let mark = match row.fidelity {
        Level::Exact => "",
        Level::Reconstructed => " ~",
        Level::Partial => " ?",
    };
    let count = match (&row.failure, &row.count) {
        (Some(_), _) => "fails".into(),
        (None, Some(count)) => format!("{}{mark}", grouped(count)),
        (None, None) => "–".into(),
    };
    let scaled = match &row.count {
        Some(count) if count.is_const() && args.units != Units::Raw => {
            with_unit(count, args.units, row.unit)
        }
        Some(_) => row.unit.to_string(),
        None => String::new(),
    };
    let mut cells = vec![
        row.convention.clone(),
        count,
        scaled,
        row.params.as_ref().map_or("–".into(), grouped),
        row.failure.clone().unwrap_or_else(|| row.why.clone()),
    ];
    if args.models.len() > 1 {
        cells.insert(0, row.model.clone());
    }
    cells
}

fn table(rows: &[Row], args: &CompareArgs) -> String {
    let (header, right) = columns(args.models.len());
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = terminal_width() {
        table.set_width(width);
    }
    let line = |cells: Vec<String>| -> Vec<Cell> {
        let align = |right: &bool| {
            if *right {
                CellAlignment::Right
            } else {
                CellAlignment::Left
            }
        };
        cells
            .into_iter()
            .zip(&right)
            .map(|(text, right)| Cell::new(text).set_alignment(align(right)))
            .collect()
    };
    table.set_header(line(header.iter().map(|text| text.to_string()).collect()));
    for row in rows {
        table.add_row(line(cells(row, args)));
    }
    let mut out: String = table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    let notes = [
        (
            Level::Reconstructed,
            "~ something that the file no longer says was put back",
        ),
        (
            Level::Partial,
            "? something is unknown; run the convention alone for the notes",
        ),
    ];
    for (level, note) in notes {
        if rows
            .iter()
            .any(|row| row.fidelity == level && row.failure.is_none())
        {
            out += &format!("\n{note}\n");
        }
    }
    out
}

/// The terminal's columns, or 120 elsewhere so that reasons stay on their lines.
fn terminal_width() -> Option<u16> {
    let columns = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    columns.or(Some(140))
}
