//! The module tree and the flat table.

use std::collections::HashMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::report::{Entry, Layer};
use modelcost_core::trace::ModuleId;

use super::{Answer, fidelity};
use crate::args::Units;
use crate::paint::{paint, styled};
use crate::units::{grouped, scaled, shape, share, with_unit};
use crate::width::{pad, push_padded, spaces, widest, width};

pub(super) const DIM: Style = AnsiColor::BrightBlack.on_default();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const NUMBER: Style = AnsiColor::Cyan.on_default();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();

/// One printed line: its cells, and what goes under it.
struct Line {
    name: String,
    /// Columns that `name` takes, without colour codes.
    width: usize,
    cells: [String; 5],
    below: Vec<String>,
}

pub(super) fn render(answer: &Answer) -> String {
    let rows = answer.rows();
    let guides = guides(rows.iter().map(|row| row.depth));
    lines_to_text(answer, &rows, |index| {
        let layer = rows[index];
        if layer.depth == 0 {
            return (styled(BOLD, &layer.class), width(&layer.class));
        }
        let guide = &guides[index];
        let name = layer.path.rsplit('.').next().unwrap_or_default();
        let width = width(guide) + width(name) + 1 + width(&layer.class);
        let mut text = String::with_capacity(guide.len() + name.len() + 1 + layer.class.len());
        paint(&mut text, DIM, |out| out.push_str(guide));
        text.push_str(name);
        text.push(' ');
        paint(&mut text, DIM, |out| out.push_str(&layer.class));
        (text, width)
    })
}

pub(super) fn table(answer: &Answer) -> String {
    let rows = answer.rows();
    lines_to_text(answer, &rows, |index| {
        let path = super::path_text(&rows[index].path);
        (path.to_string(), width(path))
    })
}

/// The lines that join each row to its siblings below: `│  └─ `. One pass from the end, which
/// knows at every depth whether a sibling follows.
pub(super) fn guides(depths: impl DoubleEndedIterator<Item = usize>) -> Vec<String> {
    let mut follows: Vec<bool> = Vec::new();
    let mut out = Vec::new();
    for own in depths.rev() {
        follows.resize(own + 1, false);
        // Three characters of up to three bytes for each depth.
        let mut guide = String::with_capacity(9 * own);
        for (depth, follows) in follows.iter().enumerate().skip(1) {
            guide.push_str(match (depth == own, follows) {
                (true, true) => "├─ ",
                (true, false) => "└─ ",
                (false, true) => "│  ",
                (false, false) => "   ",
            });
        }
        follows[own] = true;
        out.push(guide);
    }
    out.reverse();
    out
}

fn lines_to_text(
    answer: &Answer,
    rows: &[&Layer],
    name: impl Fn(usize) -> (String, usize),
) -> String {
    let total = answer.count().cloned().unwrap_or_default();
    let params = answer.report.params.clone().unwrap_or_default();
    let mut entries: HashMap<ModuleId, Vec<&Entry>> = HashMap::new();
    if answer.output.verbose {
        for entry in &answer.report.entries {
            entries.entry(entry.module).or_default().push(entry);
        }
    }
    let units = answer.output.units;
    let mut lines = Vec::with_capacity(rows.len());
    for (index, layer) in rows.iter().enumerate() {
        let (name, width) = name(index);
        let below = entries
            .get(&layer.module)
            .map(|entries| formulas(answer, entries))
            .unwrap_or_default();
        lines.push(Line {
            name,
            width,
            cells: cells(layer, units, answer, &params, &total),
            below,
        });
    }
    let header = header(answer);
    let name_width = lines.iter().map(|line| line.width).max().unwrap_or(0);
    let mut widths = header.each_ref().map(|text| width(text));
    for line in &lines {
        for (widest, cell) in widths.iter_mut().zip(&line.cells) {
            *widest = (*widest).max(width(cell));
        }
    }
    // A column that says nothing is left out.
    let shown: Vec<usize> = (0..5)
        .filter(|column| lines.iter().any(|line| !line.cells[*column].is_empty()))
        .collect();

    let mut out = String::new();
    spaces(&mut out, name_width);
    for &column in &shown {
        cell(&mut out, &header[column], widths[column], column > 0, DIM);
    }
    out.push('\n');
    for line in &lines {
        out.push_str(&line.name);
        spaces(&mut out, name_width - line.width);
        // Nothing is printed after the last cell that says something.
        let last = shown
            .iter()
            .rposition(|column| !line.cells[*column].is_empty());
        for &column in &shown[..last.map_or(0, |last| last + 1)] {
            let width = if column == 0 && last == Some(0) {
                0
            } else {
                widths[column]
            };
            let style = if column == 1 || column == 3 {
                NUMBER
            } else {
                DIM
            };
            cell(&mut out, &line.cells[column], width, column > 0, style);
        }
        out.push('\n');
        for text in &line.below {
            let _ = writeln!(out, "{}", styled(DIM, &format!("      {text}")));
        }
    }
    out.push_str(&totals(answer));
    out
}

/// One cell of a line, after the gap between columns.
fn cell(out: &mut String, text: &str, width: usize, right: bool, style: Style) {
    out.push_str("  ");
    paint(out, style, |out| push_padded(out, text, width, right));
}

fn header(answer: &Answer) -> [String; 5] {
    let unit = match answer.unit() {
        modelcost_core::convention::Unit::Mac => "MACs",
        modelcost_core::convention::Unit::Flop => "FLOPs",
    };
    [
        "output".into(),
        "params".into(),
        "%".into(),
        unit.into(),
        "%".into(),
    ]
}

fn cells(layer: &Layer, units: Units, answer: &Answer, params: &Dim, total: &Dim) -> [String; 5] {
    let output = layer.output_shape.as_deref().map(shape).unwrap_or_default();
    let nonzero = |value: &Option<Dim>| value.clone().filter(|value| *value != Dim::ZERO);
    let (own_params, count) = (nonzero(&layer.params), nonzero(&layer.count));
    let text = |value: &Option<Dim>| {
        value
            .as_ref()
            .map(|value| scaled(value, units))
            .unwrap_or_default()
    };
    let share_of = |value: &Option<Dim>, whole: &Dim| {
        value
            .as_ref()
            .and_then(|v| share(v, whole))
            .unwrap_or_default()
    };
    let count_share = if answer.count().is_some() {
        share_of(&count, total)
    } else {
        String::new()
    };
    [
        output,
        text(&own_params),
        share_of(&own_params, params),
        text(&count),
        count_share,
    ]
}

fn formulas(answer: &Answer, entries: &[&Entry]) -> Vec<String> {
    let mut out = Vec::new();
    for entry in entries {
        let rule = answer.convention.rules().get(entry.rule);
        let mut line = String::new();
        if entry.part != "count" {
            let _ = write!(line, "{}: ", entry.part);
        }
        let _ = write!(line, "{}", grouped(&entry.count));
        if let Some(formula) = answer.convention.formula(entry) {
            let _ = write!(line, " = {}", formula.text());
        }
        if let Some(values) = answer.convention.with_values(&answer.model.trace, entry) {
            let _ = write!(line, " = {values}");
        }
        if let Some(source) = rule
            .map(|rule| &rule.source)
            .filter(|source| !source.is_empty())
        {
            let _ = write!(line, "   [{source}]");
        }
        if !out.contains(&line) {
            out.push(line);
        }
    }
    out
}

fn totals(answer: &Answer) -> String {
    let report = answer.report;
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut line = |name: &str, value: String| lines.push((name.to_string(), value));
    line("Convention", report.convention.identity());
    if let Some(params) = &report.params {
        line("Parameters", grouped(params));
    }
    if let (Some(params), Some(trainable)) = (&report.params, &report.trainable_params)
        && params != trainable
    {
        line("Trainable", grouped(trainable));
    }
    if let Some(count) = answer.count() {
        let whole = grouped(count);
        let scaled = with_unit(count, answer.output.units, answer.unit());
        let text = if count.is_const() && answer.output.units != Units::Raw {
            format!("{whole}  ({scaled})")
        } else {
            scaled
        };
        let name = match answer.unit() {
            modelcost_core::convention::Unit::Mac => "MACs",
            modelcost_core::convention::Unit::Flop => "FLOPs",
        };
        line(name, styled(BOLD, &text));
    }
    for extra in &report.extras {
        line(&extra.name, extra.value.clone());
    }
    if report.fidelity.level != Level::Exact {
        let level = fidelity::word(report.fidelity.level);
        line("Fidelity", styled(WARN, level));
    }
    let width = widest(lines.iter().map(|(name, _)| name));
    let mut out = String::from("\n");
    for (name, value) in lines {
        let _ = writeln!(out, "{}  {value}", pad(&name, width, false));
    }
    out + &fidelity::notes(&report.fidelity)
}
