//! A table of figures: which convention explains most of them, and which rows it does not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use modelcost_analysis::figure::Figure;
use modelcost_analysis::reconcile::{
    Reconciliation, Scenario, TableAnswer, TableRow, Value, judge, reconcile_table, values,
};
use modelcost_core::convention::{Convention, Unit};
use serde::{Deserialize, Serialize};

use super::{BOLD, FAINT, assumed, figure, read_model, scenarios_of, value};
use crate::args::{ReadArgs, ReconcileArgs, ReconcileFormat};
use crate::errors::Failed;
use crate::files::read_text;
use crate::parallel;
use crate::render::{json_text, markdown_table};

/// A line of the file.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    model: PathBuf,
    #[serde(alias = "figure")]
    reported: String,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    params: String,
    #[serde(default)]
    input: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    source: String,
    #[serde(default, rename = "where")]
    place: String,
    #[serde(default)]
    year: String,
    /// Where it stands.
    #[serde(skip)]
    at: u64,
}

impl Line {
    fn name(&self) -> String {
        match self.name.as_str() {
            "" => self.model.display().to_string(),
            name => name.to_string(),
        }
    }

    /// Whether a reading in a unit is what the line says. Only "MACs" and its like are plain words:
    /// "FLOPs" in papers are one or two a multiply-accumulate.
    fn allows(&self, unit: Unit) -> bool {
        let word = self.unit.to_lowercase().replace(['-', ' '], "");
        let is_mac = ["mac", "gmac", "mmac", "madd", "multadd", "multiplyadd"]
            .iter()
            .any(|known| word.starts_with(known));
        !is_mac || unit == Unit::Mac
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    answer: &'a TableAnswer,
    rows: &'a [TableRow],
}

/// What was read, and what was found.
struct Table {
    /// The comment that the file begins with.
    introduction: String,
    lines: Vec<Line>,
    rows: Vec<TableRow>,
}

pub fn run(
    path: &Path,
    args: &ReconcileArgs,
    conventions: &[&dyn Convention],
) -> Result<String, Failed> {
    let (introduction, lines) = read(path)?;
    let figures = figures(path, &lines)?;
    let rows = answers(path, &lines, &figures, args, conventions)?;
    let table = Table {
        introduction,
        lines,
        rows,
    };
    let answer = reconcile_table(&table.rows);
    Ok(match args.format {
        ReconcileFormat::Json => json_text(&Document {
            schema: "modelcost-reconcile-table/1",
            answer: &answer,
            rows: &table.rows,
        }),
        ReconcileFormat::Text => text(&table, &answer),
        ReconcileFormat::Markdown => page(&table),
    })
}

/// The comment at the top and the lines. Without a header the columns are MODEL,FIGURE[,UNIT].
fn read(path: &Path) -> Result<(String, Vec<Line>), Failed> {
    let text = read_text(path)?;
    let introduction: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix('#'))
        .map(str::trim)
        .collect();
    let first = text.lines().find(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let has_header = first.is_some_and(|line| line.split(',').any(|cell| cell.trim() == "model"));
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .flexible(true)
        .has_headers(true)
        .from_reader(text.as_bytes());
    if !has_header {
        reader.set_headers(csv::StringRecord::from(vec!["model", "reported", "unit"]));
    }
    let headers = reader.headers().cloned().unwrap_or_default();
    let mut lines: Vec<Line> = Vec::new();
    for record in reader.records() {
        let wrong = |at: u64, what: &str| {
            let mend = "a row is MODEL,FIGURE or MODEL,FIGURE,UNIT, or has the header's columns";
            Failed::input(format!("{}:{at}: {what}; {mend}", path.display()))
        };
        let mut record = record.map_err(|error| {
            let at = error.position().map_or(0, csv::Position::line);
            wrong(at, &error.to_string())
        })?;
        let at = record.position().map_or(0, csv::Position::line);
        if record.len() > headers.len() {
            return Err(wrong(at, "too many columns"));
        }
        // What is left out at the end of a row is empty.
        while record.len() < headers.len() {
            record.push_field("");
        }
        let line: Line = match record.deserialize(Some(&headers)) {
            Ok(line) => line,
            Err(_) => return Err(wrong(at, "the header has no column for the figure")),
        };
        if line.model.as_os_str().is_empty() || line.reported.is_empty() {
            return Err(wrong(at, "the model or its figure is missing"));
        }
        lines.push(Line { at, ..line });
    }
    if lines.is_empty() {
        return Err(Failed::input(format!("{} has no rows", path.display())));
    }
    Ok((introduction.join("\n"), lines))
}

/// What a line reports: the count, and the parameters where it has them.
type Figures = (Figure, Option<Figure>);

/// The figures of all lines; the error says in which line one is wrong.
fn figures(path: &Path, lines: &[Line]) -> Result<Vec<Figures>, Failed> {
    let read = |line: &Line, text: &str| {
        figure(text)
            .map_err(|error| Failed::input(format!("{}:{}: {error}", path.display(), line.at)))
    };
    let both = |line: &Line| -> Result<Figures, Failed> {
        input_of(line, &ReadArgs::default())
            .options()
            .map_err(|error| Failed::input(format!("{}:{}: {error}", path.display(), line.at)))?;
        let params = match line.params.as_str() {
            "" => None,
            params => Some(read(line, params)?),
        };
        Ok((read(line, &line.reported)?, params))
    };
    lines.iter().map(both).collect()
}

/// Every row's readings. The rows of one model at one input share its numbers.
fn answers(
    path: &Path,
    lines: &[Line],
    figures: &[Figures],
    args: &ReconcileArgs,
    conventions: &[&dyn Convention],
) -> Result<Vec<TableRow>, Failed> {
    let mut models: BTreeMap<(&Path, &str), Vec<usize>> = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        let key = (line.model.as_path(), line.input.as_str());
        models.entry(key).or_default().push(index);
    }
    let models: Vec<((&Path, &str), Vec<usize>)> = models.into_iter().collect();
    let folder = path.parent().unwrap_or(Path::new(""));
    let done = parallel::map(&models, |((model, _), indices)| {
        let lines = indices
            .iter()
            .map(|index| (&lines[*index], &figures[*index]));
        let lines: Vec<(&Line, &Figures)> = lines.collect();
        of_model(&folder.join(model), &lines, args, conventions)
    });
    let mut rows: Vec<(usize, TableRow)> = Vec::new();
    for ((_, indices), answers) in models.iter().zip(done) {
        rows.extend(indices.iter().copied().zip(answers?));
    }
    rows.sort_by_key(|(index, _)| *index);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// How the model of a line is read: at the line's input, where it says one.
fn input_of(line: &Line, read: &ReadArgs) -> ReadArgs {
    let mut read = read.clone();
    if !line.input.is_empty() {
        read.input = vec![line.input.clone()];
    }
    read
}

fn of_model(
    model: &Path,
    lines: &[(&Line, &Figures)],
    args: &ReconcileArgs,
    conventions: &[&dyn Convention],
) -> Result<Vec<TableRow>, Failed> {
    let Some((first, _)) = lines.first() else {
        return Ok(Vec::new());
    };
    let options = input_of(first, &args.read)
        .options()
        .map_err(Failed::input)?;
    let as_it_is = values(
        &Scenario::unchanged(read_model(model, &options)?),
        conventions,
    );
    // Most figures are about the model as it is; the rest is worked out when one is not.
    let mut changed: Option<Vec<Value>> = None;
    let mut rows = Vec::new();
    for (line, (reported, params)) in lines {
        let judged = |values: &[Value]| {
            let allowed = values.iter().filter(|value| line.allows(value.unit));
            judge(
                &allowed.cloned().collect::<Vec<_>>(),
                reported,
                params.as_ref(),
            )
        };
        let mut answer = judged(&as_it_is);
        let is_read = answer.readings.iter().any(|reading| reading.fits);
        // An input that the table gives is not doubted.
        if !is_read && line.input.is_empty() {
            let changed = match &changed {
                Some(known) => known,
                None => {
                    let tried = scenarios_of(model, &options, &args.sizes)?.tried;
                    let all = tried
                        .iter()
                        .flat_map(|scenario| values(scenario, conventions));
                    changed.insert(all.collect())
                }
            };
            answer = judged(changed);
        }
        rows.push(TableRow {
            name: line.name(),
            answer,
        });
    }
    Ok(rows)
}

fn text(table: &Table, answer: &TableAnswer) -> String {
    let mut out = String::new();
    let _ = match (&answer.convention, answer.unit) {
        (Some(convention), Some(unit)) => writeln!(
            out,
            "{BOLD}{convention} in {unit}s{BOLD:#} explains {} of {} rows",
            answer.explained.len(),
            table.rows.len()
        ),
        _ => writeln!(out, "{BOLD}No convention explains any row{BOLD:#}"),
    };
    for index in &answer.unexplained {
        let (row, line) = (&table.rows[*index], &table.lines[*index]);
        let _ = writeln!(
            out,
            "  not {} ({})  {FAINT}{}{FAINT:#}",
            row.name,
            line.reported,
            in_words(&row.answer)
        );
    }
    out
}

/// The best reading of a row that no common convention explains.
fn in_words(answer: &Reconciliation) -> String {
    match answer.readings.first() {
        None => "no reading".into(),
        Some(best) if best.fits => {
            format!("{} {}s, {}", best.convention, best.unit, assumed(best))
        }
        Some(nearest) => format!(
            "none; the nearest is {} at {:+.1}%, {}",
            nearest.convention,
            nearest.gap * 100.0,
            assumed(nearest)
        ),
    }
}

/// The table as a page, a section for each source.
fn page(table: &Table) -> String {
    let mut out = match table.introduction.split_once('\n') {
        Some((title, rest)) => format!("# {title}\n{}\n\n", rest.trim_end()),
        None if table.introduction.is_empty() => "# Reported figures\n\n".to_owned(),
        None => format!("# {}\n\n", table.introduction),
    };
    let indices: Vec<usize> = (0..table.rows.len()).collect();
    let fitting = |index: &&usize| table.rows[**index].answer.readings.iter().any(|r| r.fits);
    let read = indices.iter().filter(fitting).count();
    let plain = |index: &&usize| {
        let readings = &table.rows[**index].answer.readings;
        readings.iter().any(|r| r.fits && r.only_unit_differs())
    };
    let plainly = indices.iter().filter(plain).count();
    let _ = writeln!(
        out,
        "{} figures: {plainly} are what a tool prints for the model as it is, in its unit or in the other; \
         {} need a further assumption; for {} there is no reading.",
        indices.len(),
        read - plainly,
        indices.len() - read
    );
    for group in indices.chunk_by(|a, b| {
        let (a, b) = (&table.lines[*a], &table.lines[*b]);
        (&a.source, &a.place) == (&b.source, &b.place)
    }) {
        section(&mut out, table, group);
    }
    out
}

fn section(out: &mut String, table: &Table, group: &[usize]) {
    let Some(first) = group.first().map(|index| &table.lines[*index]) else {
        return;
    };
    let title: Vec<&str> = [&first.source, &first.place, &first.year]
        .into_iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
        .collect();
    let _ = match title.as_slice() {
        [] => writeln!(out),
        title => writeln!(out, "\n## {}\n", title.join(", ")),
    };
    let rows: Vec<TableRow> = group
        .iter()
        .map(|index| table.rows[*index].clone())
        .collect();
    let answer = reconcile_table(&rows);
    if let (Some(convention), Some(unit)) = (&answer.convention, answer.unit)
        && group.len() > 1
    {
        let _ = writeln!(
            out,
            "`{convention}` in {unit}s explains {} of {}.\n",
            answer.explained.len(),
            group.len()
        );
    }
    let cells = group.iter().zip(&rows).map(|(index, row)| {
        let line = &table.lines[*index];
        let readings = &row.answer.readings;
        let common = readings.iter().find(|reading| {
            reading.fits
                && reading.only_unit_differs()
                && Some(&reading.convention) == answer.convention.as_ref()
                && Some(reading.unit) == answer.unit
        });
        let best = common.or_else(|| readings.first().filter(|reading| reading.fits));
        let others = readings.iter().filter(|reading| reading.fits).count();
        let mut cells = vec![
            row.name.clone(),
            format!("{} {}", line.reported, line.unit),
            line.params.clone(),
        ];
        cells.extend(match best {
            Some(best) => [
                best.convention.clone(),
                format!("{} {}", value(best), best.unit),
                match &best.changes[..] {
                    [] => String::new(),
                    _ => assumed(best),
                },
                match others {
                    1 => String::new(),
                    n => (n - 1).to_string(),
                },
            ],
            None => {
                let nearest = in_words(&row.answer);
                [
                    "none".into(),
                    String::new(),
                    nearest.replacen("none; ", "", 1),
                    String::new(),
                ]
            }
        });
        cells
    });
    let cells: Vec<Vec<String>> = cells.collect();
    let heads = [
        "network",
        "printed",
        "parameters",
        "read as",
        "exactly",
        "assumed",
        "further readings",
    ];
    let right = [false, true, true, false, true, false, true];
    *out += &markdown_table(&heads, &right, &cells);
}
