//! CSV and Markdown.

use modelcost_core::dim::Dim;

use super::Answer;
use crate::units::{grouped, shape, share};

/// One CSV line, quoted where needed.
pub fn csv_line<S: AsRef<str>>(cells: &[S]) -> String {
    let cell = |text: &str| {
        if text.contains(['"', ',', '\n']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_string()
        }
    };
    let mut line = cells
        .iter()
        .map(|text| cell(text.as_ref()))
        .collect::<Vec<_>>()
        .join(",");
    line.push('\n');
    line
}

/// A Markdown table; `right` says which columns hold numbers.
pub fn markdown_table(header: &[&str], right: &[bool], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(header.iter().map(|text| text.to_string()).collect());
    out += &line(
        right
            .iter()
            .map(|right| if *right { "---:".into() } else { "---".into() })
            .collect(),
    );
    for row in rows {
        out += &line(row.iter().map(|text| text.replace('|', "\\|")).collect());
    }
    out
}

fn plain(value: &Option<Dim>) -> String {
    value.as_ref().map(Dim::to_string).unwrap_or_default()
}

pub(super) fn csv(answer: &Answer) -> String {
    let mut out = csv_line(&["path", "class", "calls", "count", "params", "output_shape"]);
    for layer in answer.rows() {
        let output = layer
            .output_shape
            .as_deref()
            .map(shape)
            .unwrap_or_default()
            .replace('×', "x");
        out += &csv_line(&[
            layer.path.clone(),
            layer.class.to_string(),
            layer.calls.to_string(),
            plain(&layer.count),
            plain(&layer.params),
            output,
        ]);
    }
    out
}

pub(super) fn markdown(answer: &Answer) -> String {
    let total = answer.count().cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = answer
        .rows()
        .into_iter()
        .map(|layer| {
            let count = layer.count.as_ref();
            vec![
                if layer.path.is_empty() {
                    "(total)".into()
                } else {
                    format!("`{}`", layer.path)
                },
                layer.class.to_string(),
                layer.output_shape.as_deref().map(shape).unwrap_or_default(),
                layer.params.as_ref().map(grouped).unwrap_or_default(),
                count.map(grouped).unwrap_or_default(),
                count
                    .and_then(|count| share(count, &total))
                    .unwrap_or_default(),
            ]
        })
        .collect();
    let unit = format!("{}s", answer.unit());
    let header = [
        "Layer",
        "Class",
        "Output",
        "Parameters",
        unit.as_str(),
        "Share",
    ];
    let mut out = markdown_table(&header, &[false, false, false, true, true, true], &rows);
    out += &format!(
        "\nCounted as {} does.\n",
        answer.report.convention.identity()
    );
    out
}
