//! The parameters of a checkpoint, which has nothing to count.

use std::fmt::Write as _;
use std::path::Path;

use modelcost_core::dim::Dim;
use modelcost_reader::checkpoint::{Checkpoint, Part, PartKind, Role, Row, Tensor, rows};
use serde::Serialize;

use super::delimited::{csv_line, markdown_table};
use super::json_text;
use super::tree::{BOLD, DIM, NUMBER, WARN, guides};
use crate::args::{Format, OutputArgs, Sort};
use crate::paint::styled;
use crate::units::{grouped, megabytes, scaled, share};
use crate::width::{pad, widest, width};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    path: String,
    #[serde(flatten)]
    checkpoint: &'a Checkpoint,
}

/// A checkpoint in the shape that is asked for.
pub fn render(path: &Path, checkpoint: &Checkpoint, output: &OutputArgs) -> String {
    match output.format {
        Format::Json => json_text(&Document {
            schema: "modelcost-checkpoint/1",
            path: path.display().to_string(),
            checkpoint,
        }),
        Format::Csv => {
            let mut out = csv_line(&HEADS);
            for tensor in &checkpoint.model.tensors {
                out += &csv_line(&cells(tensor).map(|cell| cell.replace('×', "x")));
            }
            out
        }
        Format::Markdown => {
            let right = HEADS.map(|head| matches!(head, "values" | "bytes"));
            let lines = checkpoint.model.tensors.iter();
            let lines: Vec<Vec<String>> = lines.map(|tensor| cells(tensor).into()).collect();
            markdown_table(&HEADS, &right, &lines)
        }
        Format::Tree | Format::Table => text(path, checkpoint, output),
    }
}

const HEADS: [&str; 7] = [
    "name", "role", "shape", "dtype", "values", "bytes", "tied_to",
];

/// A tensor for programs.
fn cells(tensor: &Tensor) -> [String; 7] {
    [
        tensor.name.clone(),
        role(tensor.role).replace(' ', "_"),
        shape(&tensor.shape),
        tensor.dtype.to_string(),
        tensor.numel.to_string(),
        tensor.bytes.to_string(),
        tensor.tied_to.clone().unwrap_or_default(),
    ]
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Parameter => "parameter",
        Role::NormStatistic => "norm statistic",
        Role::NormCounter => "norm counter",
        Role::Buffer => "buffer",
    }
}

fn shape(sizes: &[u64]) -> String {
    match sizes {
        [] => "scalar".into(),
        sizes => {
            let sizes: Vec<String> = sizes.iter().map(u64::to_string).collect();
            sizes.join("×")
        }
    }
}

/// `1 layer`, `53 layers`
fn counted(count: u128, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(&number(count)))
}

/// A name from the file without what a terminal would obey.
fn clean(name: &str) -> String {
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().map(safe).collect()
}

fn number(value: u128) -> Dim {
    i128::try_from(value).map_or(Dim::Overflow, Dim::Const)
}

/// A row's name, which may hold colour codes, its printed width, and its cells.
struct Line {
    name: String,
    width: usize,
    cells: [String; 6],
    below: Vec<String>,
}

const COLUMNS: [&str; 6] = ["params", "%", "buffers", "bytes", "dtype", "tensors"];

fn text(path: &Path, checkpoint: &Checkpoint, output: &OutputArgs) -> String {
    let part = &checkpoint.model;
    let mut all = rows(part);
    let depth = output.depth.unwrap_or(usize::MAX);
    all.retain(|row| row.depth <= depth);
    match output.sort {
        Sort::Model => {}
        Sort::Params => all.sort_by_key(|row| std::cmp::Reverse(row.params)),
        Sort::Count => all.sort_by_key(|row| std::cmp::Reverse(row.bytes)),
        Sort::Path => all.sort_by_key(|row| row.path),
    }
    let is_tree = output.format == Format::Tree && output.sort == Sort::Model;
    let guides = guides(all.iter().map(|row| row.depth));
    let root = root_name(path, part);
    let lines: Vec<Line> = all
        .iter()
        .zip(&guides)
        .map(|(row, guide)| {
            let (name, width) = name(row, if is_tree { Some(guide) } else { None }, &root);
            let below = match output.verbose {
                true => row
                    .tensors
                    .iter()
                    .map(|at| detail(&part.tensors[*at]))
                    .collect(),
                false => Vec::new(),
            };
            Line {
                name,
                width,
                cells: row_cells(row, part, output),
                below,
            }
        })
        .collect();
    let mut out = table(&lines);
    out += &totals(checkpoint);
    out
}

fn root_name(path: &Path, part: &Part) -> String {
    match &part.class {
        Some(class) => clean(short(class)),
        None => path
            .file_stem()
            .map_or("(model)".into(), |stem| stem.to_string_lossy().into_owned()),
    }
}

fn short(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

fn name(row: &Row<'_>, guide: Option<&String>, root: &str) -> (String, usize) {
    if row.depth == 0 {
        return (styled(BOLD, root), width(root));
    }
    let Some(guide) = guide else {
        return (clean(row.path), width(row.path));
    };
    let own = clean(short(row.path));
    let mut columns = width(guide) + width(&own);
    let mut text = format!("{}{own}", styled(DIM, guide));
    if let Some(class) = row.class {
        let class = clean(short(class));
        columns += 1 + width(&class);
        let _ = write!(text, " {}", styled(DIM, &class));
    }
    (text, columns)
}

fn row_cells(row: &Row<'_>, part: &Part, output: &OutputArgs) -> [String; 6] {
    let nonzero = |value: u128| match value {
        0 => String::new(),
        value => scaled(&number(value), output.units),
    };
    let own = || row.tensors.iter().map(|at| &part.tensors[*at]);
    let mut types: Vec<&str> = Vec::new();
    for tensor in own().filter(|tensor| tensor.role == Role::Parameter) {
        if !types.contains(&tensor.dtype.name()) {
            types.push(tensor.dtype.name());
        }
    }
    // Statistics of normalisation layers are always the same four; the rest is worth a name.
    let named = own().filter(|tensor| matches!(tensor.role, Role::Parameter | Role::Buffer));
    let tensors: Vec<String> = named.map(brief).collect();
    [
        nonzero(row.params),
        match row.params {
            0 => String::new(),
            params => share(&number(params), &number(part.totals.params)).unwrap_or_default(),
        },
        nonzero(row.buffers),
        match row.bytes {
            0 => String::new(),
            bytes => megabytes(bytes),
        },
        types.join(", "),
        tensors.join(", "),
    ]
}

/// `weight 64×3×7×7`, `(position_ids 1×512)`, `weight = embed.weight`
fn brief(tensor: &Tensor) -> String {
    let name = clean(short(&tensor.name));
    match (&tensor.tied_to, tensor.role) {
        (Some(other), _) => format!("{name} = {}", clean(other)),
        (None, Role::Parameter) => format!("{name} {}", shape(&tensor.shape)),
        (None, _) => format!("({name} {})", shape(&tensor.shape)),
    }
}

/// A tensor in a line of its own.
fn detail(tensor: &Tensor) -> String {
    let mut out = format!(
        "{}  {}  {}  {}  {}",
        clean(short(&tensor.name)),
        shape(&tensor.shape),
        tensor.dtype,
        megabytes(tensor.bytes.into()),
        role(tensor.role)
    );
    if tensor.requires_grad == Some(false) && tensor.role == Role::Parameter {
        out += ", frozen";
    }
    if let Some(other) = &tensor.tied_to {
        let _ = write!(out, ", the same memory as {}", clean(other));
    }
    out
}

fn table(lines: &[Line]) -> String {
    let name_width = lines.iter().map(|line| line.width).max().unwrap_or(0);
    let widths: Vec<usize> = COLUMNS
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = lines.iter().map(|line| line.cells[column].as_str());
            widest(cells.chain([*head]))
        })
        .collect();
    // A column that says nothing is left out.
    let shown: Vec<usize> = (0..COLUMNS.len())
        .filter(|column| lines.iter().any(|line| !line.cells[*column].is_empty()))
        .collect();
    let mut out = String::new();
    let mut row = |name: &str, width: usize, cell: &dyn Fn(usize) -> (String, bool)| {
        let mut line = format!("{name}{}", " ".repeat(name_width - width));
        let last = shown.iter().rposition(|column| !cell(*column).0.is_empty());
        for column in &shown[..last.map_or(0, |last| last + 1)] {
            let (text, is_number) = cell(*column);
            let is_right = *column < 4;
            let is_last = Some(*column) == last.map(|last| shown[last]);
            let text = match is_last && !is_right {
                true => text,
                false => pad(&text, widths[*column], is_right),
            };
            let _ = write!(
                line,
                "  {}",
                styled(if is_number { NUMBER } else { DIM }, &text)
            );
        }
        line.push('\n');
        out += &line;
    };
    row("", 0, &|column| (COLUMNS[column].to_owned(), false));
    for line in lines {
        row(&line.name, line.width, &|column| {
            (line.cells[column].clone(), column == 0)
        });
        for text in &line.below {
            row(&styled(DIM, &format!("      {text}")), name_width, &|_| {
                (String::new(), false)
            });
        }
    }
    out
}

fn totals(checkpoint: &Checkpoint) -> String {
    let totals = &checkpoint.model.totals;
    let mut lines: Vec<(&str, String)> = vec![("Format", checkpoint.format.describe().into())];
    if !checkpoint.shards.is_empty() {
        lines[0].1 += &format!(" in {} files", checkpoint.shards.len());
    }
    let grouped = |value: u128| grouped(&number(value));
    lines.push(("Parameters", styled(BOLD, &grouped(totals.params))));
    match totals.trainable_params {
        Some(trainable) if trainable == totals.params => {}
        Some(trainable) => lines.push(("Trainable", grouped(trainable))),
        None => lines.push(("Trainable", "the file does not say".into())),
    }
    if totals.norm_layers > 0 {
        lines.push((
            "Normalisation",
            format!(
                "{} running statistics of {}, {}",
                grouped(totals.norm_statistics),
                counted(totals.norm_layers as u128, "layer"),
                counted(totals.norm_counters, "counter")
            ),
        ));
    }
    if totals.buffers > 0 {
        lines.push(("Other buffers", grouped(totals.buffers)));
    }
    let types: Vec<String> = totals
        .by_dtype
        .iter()
        .map(|entry| format!("{} {}", megabytes(entry.bytes), entry.dtype))
        .collect();
    let sum = match types.len() {
        1 => String::new(),
        _ => format!(" ({})", megabytes(totals.bytes)),
    };
    let bytes = format!("{}{sum}: {}", grouped(totals.bytes), types.join(", "));
    lines.push(("Bytes", bytes));
    for part in &checkpoint.others {
        let what = match part.kind {
            PartKind::Model => "model",
            PartKind::Average => "averaged weights",
            PartKind::Optimizer => "optimizer state",
            PartKind::Other => "other tensors",
        };
        let place = match part.path.as_str() {
            "" => String::new(),
            path => format!(" in {}", clean(path)),
        };
        let tensors = counted(part.tensors.len() as u128, "tensor");
        let bytes = megabytes(part.totals.bytes);
        lines.push(("Beside", format!("{what}{place}: {bytes} in {tensors}")));
    }
    let width = widest(lines.iter().map(|(name, _)| name));
    let mut out = String::from("\n");
    for (name, value) in lines {
        let _ = writeln!(out, "{}  {value}", pad(name, width, false));
    }
    let mut note = |text: &str| {
        let _ = writeln!(out, "  {}", styled(WARN, &format!("· {}", clean(text))));
    };
    if !checkpoint.model.roles_recorded {
        note(
            "which tensors are parameters is told from their names and types; the file does not say",
        );
    }
    for text in &checkpoint.notes {
        note(text);
    }
    if !checkpoint.dangers.is_empty() {
        note(&format!(
            "loading this file in Python would run code: {}; torch.load(…, weights_only=True) refuses it",
            checkpoint.dangers.join(", ")
        ));
    }
    out
}
