//! Every convention side by side, for one model or many.

use std::path::Path;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use modelcost_core::convention::{Convention, Failure, Options, Unit};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::report::Report;
use modelcost_reader::Options as ReadOptions;
use serde::Serialize;

use super::{chosen_conventions, expand, open};
use crate::args::{Column, CompareArgs, CompareFormat, Units};
use crate::errors::Failed;
use crate::parallel;
use crate::render::{csv_line, fidelity_word, json_text, legend, mark, markdown_table};
use crate::units::{self, grouped};
use crate::width::{of_terminal, width};

/// One convention's answer for one model.
#[derive(Serialize)]
struct Row {
    model: String,
    convention: String,
    unit: Option<Unit>,
    count: Option<Dim>,
    params: Option<Dim>,
    trainable_params: Option<Dim>,
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
    let conventions = chosen_conventions(&args.convention)?;
    let options = args.read.options().map_err(Failed::input)?;
    let paths = expand(&args.models)?;
    let rows = parallel::map(&paths, |path| rows_of(path, &conventions, &options));
    let rows: Vec<Vec<Row>> = rows.into_iter().collect::<Result<_, _>>()?;
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    let columns = columns(args, paths.len());
    let heads: Vec<&str> = columns.iter().map(|column| column.head()).collect();
    let right: Vec<bool> = columns.iter().map(|column| column.is_number()).collect();
    // A count says its unit unless a column beside it does.
    let beside = [Column::Scaled, Column::Unit];
    let with_unit = !columns.iter().any(|column| beside.contains(column));
    let cells = |row: &Row| {
        columns
            .iter()
            .map(|column| cell(*column, row, args.units, with_unit))
            .collect::<Vec<_>>()
    };
    Ok(match args.format {
        CompareFormat::Json => json_text(&Document {
            schema: "modelcost-compare/1",
            rows: &rows,
        }),
        CompareFormat::Csv => {
            let mut out = csv_line(&heads);
            for row in &rows {
                out += &csv_line(
                    &columns
                        .iter()
                        .map(|column| plain(*column, row))
                        .collect::<Vec<_>>(),
                );
            }
            out
        }
        CompareFormat::Markdown => {
            markdown_table(&heads, &right, &rows.iter().map(cells).collect::<Vec<_>>())
        }
        CompareFormat::Table => {
            let mut out = table(&heads, &right, rows.iter().map(cells));
            let counted = rows.iter().filter(|row| row.failure.is_none());
            out += &legend(counted.map(|row| row.fidelity));
            if paths.len() == 1 && !columns.contains(&Column::Params) {
                out += &parameters(&rows);
            }
            out
        }
    })
}

fn rows_of(
    path: &Path,
    conventions: &[&dyn Convention],
    options: &ReadOptions,
) -> Result<Vec<Row>, Failed> {
    let model = open(path, options)?;
    let name = path.display().to_string();
    let answers = conventions.iter().map(|convention| {
        let result = convention.count(&model.trace, &Options::default());
        let fidelity = model.trace.fidelity.seen_by(&convention.info().sees);
        row(name.clone(), *convention, result, fidelity.level)
    });
    Ok(answers.collect())
}

fn row(
    model: String,
    convention: &dyn Convention,
    result: Result<Report, Failure>,
    fidelity: Level,
) -> Row {
    let info = convention.info();
    let mut row = Row {
        model,
        convention: info.identity(),
        unit: info.counts.then_some(info.unit),
        count: None,
        params: None,
        trainable_params: None,
        fidelity,
        failure: None,
        why: info.summary.clone(),
    };
    match result {
        Ok(report) => {
            row.count = report.count.map(|cost| cost.count().clone());
            row.params = report.params;
            row.trainable_params = report.trainable_params;
            row.fidelity = report.fidelity.level;
        }
        Err(failure) => row.failure = Some(failure.to_string()),
    }
    row
}

fn columns(args: &CompareArgs, models: usize) -> Vec<Column> {
    if !args.columns.is_empty() {
        return args.columns.clone();
    }
    let mut out = vec![Column::Convention, Column::Count];
    // On a narrow terminal the reasons need the room; the parameters are told below.
    let is_table = args.format == CompareFormat::Table;
    if !is_table || of_terminal() >= WIDE {
        out.extend([Column::Scaled, Column::Params]);
    }
    out.push(Column::Why);
    if models > 1 {
        out.insert(0, Column::Model);
    }
    out
}

/// Columns of a terminal that has room for everything.
const WIDE: u16 = 120;

impl Column {
    fn head(self) -> &'static str {
        match self {
            Column::Model => "model",
            Column::Convention => "convention",
            Column::Count => "count",
            Column::Scaled => "",
            Column::Unit => "unit",
            Column::Params => "parameters",
            Column::Trainable => "trainable",
            Column::Fidelity => "fidelity",
            Column::Why => "why",
        }
    }

    fn is_number(self) -> bool {
        matches!(
            self,
            Column::Count | Column::Scaled | Column::Params | Column::Trainable
        )
    }
}

/// A cell for programs.
fn plain(column: Column, row: &Row) -> String {
    let number = |value: &Option<Dim>| value.as_ref().map(Dim::to_string).unwrap_or_default();
    match column {
        Column::Count | Column::Scaled => number(&row.count),
        Column::Params => number(&row.params),
        Column::Trainable => number(&row.trainable_params),
        other => cell(other, row, Units::Raw, false),
    }
}

/// A cell for people.
fn cell(column: Column, row: &Row, units: Units, with_unit: bool) -> String {
    let number = |value: &Option<Dim>| value.as_ref().map_or("–".into(), grouped);
    match column {
        Column::Model => row.model.clone(),
        Column::Convention => row.convention.clone(),
        Column::Count => {
            let mark = mark(row.fidelity);
            match (&row.failure, &row.count) {
                (Some(_), _) => "fails".into(),
                (None, Some(count)) => match row.unit.filter(|_| with_unit) {
                    Some(unit) => format!("{} {unit}{mark}", grouped(count)),
                    None => format!("{}{mark}", grouped(count)),
                },
                (None, None) => "–".into(),
            }
        }
        Column::Scaled => match (&row.count, row.unit) {
            (Some(count), Some(unit)) if count.is_const() && units != Units::Raw => {
                units::with_unit(count, units, unit)
            }
            (Some(_), Some(unit)) => unit.to_string(),
            _ => String::new(),
        },
        Column::Unit => row.unit.map_or("–".into(), |unit| unit.to_string()),
        Column::Params => number(&row.params),
        Column::Trainable => number(&row.trainable_params),
        Column::Fidelity => fidelity_word(row.fidelity).into(),
        Column::Why => row.failure.clone().unwrap_or_else(|| row.why.clone()),
    }
}

fn table(heads: &[&str], right: &[bool], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(of_terminal());
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
            .zip(right)
            .map(|(text, right)| Cell::new(text).set_alignment(align(right)))
            .collect()
    };
    table.set_header(line(heads.iter().map(|text| text.to_string()).collect()));
    for row in rows {
        table.add_row(line(row));
    }
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// The parameters in a line: what most conventions give, and those that give something else.
fn parameters(rows: &[Row]) -> String {
    let mut values: Vec<(&Dim, Vec<&str>)> = Vec::new();
    for row in rows {
        let Some(params) = &row.params else { continue };
        match values.iter_mut().find(|(value, _)| *value == params) {
            Some((_, names)) => names.push(&row.convention),
            None => values.push((params, vec![&row.convention])),
        }
    }
    values.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let texts: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(index, (value, names))| match index {
            0 => grouped(value),
            _ => format!("{} ({})", grouped(value), names.join(", ")),
        })
        .collect();
    if texts.is_empty() {
        return String::new();
    }
    let (mut out, mut used) = (String::from("\nParameters:"), 11);
    for (index, text) in texts.iter().enumerate() {
        let end = if index + 1 < texts.len() { ";" } else { "" };
        let length = width(text) + end.len() + 1;
        if used + length > usize::from(of_terminal()) {
            out.push_str("\n ");
            used = 1;
        }
        used += length;
        out += &format!(" {text}{end}");
    }
    out + "\n"
}
