//! Cost as a function of one or two dimensions.

use std::fmt::Write as _;
use std::path::Path;

use modelcost_analysis::growth::{Growth, crossing, growth};
use modelcost_core::convention::{Convention, Options as CountOptions};
use modelcost_core::dim::Dim;
use modelcost_core::report::Report;
use modelcost_reader::{Model, Options};
use serde::Serialize;

use super::convention;
use crate::args::{SweepArgs, SweepFormat};
use crate::errors::Failed;
use crate::render::{csv_line, json_text, markdown_table};
use crate::svg;
use crate::units::grouped;

/// More points than any chart shows.
const MOST_POINTS: usize = 10_000;

/// A dimension and the sizes to try.
struct Axis {
    name: String,
    sizes: Vec<u64>,
}

#[derive(Serialize)]
struct Point {
    at: Vec<(String, u64)>,
    count: Option<Dim>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

#[derive(Serialize)]
struct Crossing {
    above: String,
    below: String,
    dimension: String,
    from: u64,
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    convention: String,
    polynomial: Option<String>,
    growth: Vec<Growth>,
    crossings: Vec<Crossing>,
    points: Vec<Point>,
}

pub fn run(args: &SweepArgs) -> Result<String, Failed> {
    let convention = convention(&args.convention)?;
    let axes = axes(args)?;
    let options = args.read_options().map_err(Failed::input)?;
    let symbolic = symbolic(args, &options, &axes, convention);
    let mut points = Vec::new();
    for at in grid(&axes) {
        let result = evaluate(args, &options, convention, symbolic.as_ref(), &at);
        let (count, failure) = match result {
            Ok(count) => (Some(count), None),
            Err(message) => (None, Some(message)),
        };
        points.push(Point { at, count, failure });
    }
    if points.iter().all(|point| point.count.is_none())
        && let Some(Point {
            failure: Some(message),
            ..
        }) = points.first()
    {
        return Err(Failed::input(message.clone()));
    }
    let total = symbolic
        .as_ref()
        .and_then(|(_, report)| report.count.as_ref())
        .map(|cost| cost.count().clone());
    let growth: Vec<Growth> = total
        .iter()
        .flat_map(|total| axes.iter().filter_map(|axis| growth(total, &axis.name)))
        .collect();
    let crossings = symbolic
        .as_ref()
        .map(|(_, report)| crossings(report, &axes))
        .unwrap_or_default();
    let document = Document {
        schema: "modelcost-sweep/1",
        convention: convention.info().identity(),
        polynomial: total.map(|total| total.to_string()),
        growth,
        crossings,
        points,
    };
    Ok(match args.format {
        SweepFormat::Json => json_text(&document),
        SweepFormat::Csv => csv(&axes, &document),
        SweepFormat::Markdown => {
            let header: Vec<&str> = axes
                .iter()
                .map(|axis| axis.name.as_str())
                .chain(["count"])
                .collect();
            markdown_table(&header, &vec![true; header.len()], &rows(&document))
        }
        SweepFormat::Svg => chart(&axes, &document),
        SweepFormat::Text => text(&axes, &document, convention),
    })
}

/// The model with the axes left free, where the file allows it.
fn symbolic(
    args: &SweepArgs,
    options: &Options,
    axes: &[Axis],
    convention: &dyn Convention,
) -> Option<(Model, Report)> {
    let symbols: Vec<(String, Dim)> = axes
        .iter()
        .map(|axis| (axis.name.clone(), Dim::symbol(axis.name.as_str())))
        .collect();
    let options = with_sizes(args, options, &symbols)?;
    let model = modelcost_reader::open(&args.model, &options).ok()?;
    let report = convention
        .count(&model.trace, &CountOptions::default())
        .ok()?;
    let total = report.count.as_ref()?.count();
    // A symbol that does not reach the count was bound away, or has no effect: try points instead.
    let reaches = axes
        .iter()
        .all(|axis| total.symbols().contains(axis.name.as_str()));
    reaches.then_some((model, report))
}

/// The reader's options with the first input, an image, at a given side; `None` for other inputs.
pub fn with_side(model: &Path, options: &Options, side: impl Into<Dim>) -> Option<Options> {
    let opened = modelcost_reader::open(model, options).ok()?;
    let (input, id) = opened.trace.inputs.first()?;
    let mut shape = opened.trace.tensor(*id).shape.clone()?;
    let side = side.into();
    let [_, _, height, width] = &mut shape[..] else {
        return None;
    };
    (*height, *width) = (side.clone(), side);
    let mut options = options.clone();
    options.inputs.push((Some(input.clone()), shape));
    Some(options)
}

/// The reader's options with the axes at given sizes.
fn with_sizes(args: &SweepArgs, options: &Options, sizes: &[(String, Dim)]) -> Option<Options> {
    let mut options = options.clone();
    for (name, size) in sizes {
        if args.input_size.is_some() && name == INPUT_SIZE {
            options = with_side(&args.model, &options, size.clone())?;
        } else {
            options.dims.insert(name.as_str().into(), size.clone());
        }
    }
    Some(options)
}

/// The name of the axis that `--input-size` makes.
const INPUT_SIZE: &str = "side";

fn evaluate(
    args: &SweepArgs,
    options: &Options,
    convention: &dyn Convention,
    symbolic: Option<&(Model, Report)>,
    at: &[(String, u64)],
) -> Result<Dim, String> {
    if let Some(total) = symbolic.and_then(|(_, report)| report.count.as_ref()) {
        let size = |name: &str| {
            at.iter()
                .find(|(axis, _)| axis == name)
                .map(|(_, size)| Dim::from(*size))
        };
        return Ok(total.count().substitute(&size));
    }
    let sizes: Vec<(String, Dim)> = at
        .iter()
        .map(|(name, size)| (name.clone(), Dim::from(*size)))
        .collect();
    let options = with_sizes(args, options, &sizes).ok_or_else(|| {
        "--input-size needs a first input of four dimensions (batch, channels, height, width)"
            .to_string()
    })?;
    let model = modelcost_reader::open(&args.model, &options).map_err(|error| error.to_string())?;
    let report = convention
        .count(&model.trace, &CountOptions::default())
        .map_err(|failure| failure.to_string())?;
    let cost = report
        .count
        .ok_or_else(|| format!("{} counts parameters only", convention.info().identity()))?;
    Ok(cost.count().clone())
}

fn axes(args: &SweepArgs) -> Result<Vec<Axis>, Failed> {
    let mut axes = Vec::new();
    for text in &args.dim {
        if let Some((name, range)) = text.split_once('=')
            && range.contains("..")
        {
            axes.push(Axis {
                name: name.trim().to_string(),
                sizes: sizes(range)?,
            });
        }
    }
    if let Some(range) = &args.input_size {
        axes.push(Axis {
            name: INPUT_SIZE.into(),
            sizes: sizes(range)?,
        });
    }
    match axes.len() {
        1 | 2 => {}
        0 => {
            return Err(Failed::input(
                "what is swept? Give --dim NAME=128..4096 or --input-size 160..512+32",
            ));
        }
        _ => return Err(Failed::input("a sweep has one or two dimensions")),
    }
    let points: usize = axes.iter().map(|axis| axis.sizes.len()).product();
    if points > MOST_POINTS {
        return Err(Failed::input(format!(
            "{points} points are more than {MOST_POINTS}; take larger steps"
        )));
    }
    Ok(axes)
}

/// `128..4096*2`, `160..512+32`, or `128..4096` for eight steps.
fn sizes(range: &str) -> Result<Vec<u64>, Failed> {
    let error = || {
        Failed::input(format!(
            "'{range}' is not a range; write 128..4096*2 or 160..512+32"
        ))
    };
    let (start, rest) = range.split_once("..").ok_or_else(error)?;
    let start: u64 = start.trim().parse().map_err(|_| error())?;
    let (end, step) = match rest.find(['*', '+']) {
        Some(at) => (
            &rest[..at],
            Some((
                &rest[at..=at],
                rest[at + 1..].trim().parse::<u64>().map_err(|_| error())?,
            )),
        ),
        None => (rest, None),
    };
    let end: u64 = end.trim().parse().map_err(|_| error())?;
    let valid_step = match step {
        Some(("*", factor)) => factor > 1,
        Some((_, step)) => step > 0,
        None => true,
    };
    if start == 0 || end < start || !valid_step {
        return Err(error());
    }
    let mut out = Vec::new();
    let mut at = start;
    let default_step = ((end - start) / 8).max(1);
    while at <= end && out.len() <= MOST_POINTS {
        out.push(at);
        let next = match step {
            Some(("*", factor)) => at.checked_mul(factor),
            Some((_, step)) => at.checked_add(step),
            None => at.checked_add(default_step),
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(out)
}

fn grid(axes: &[Axis]) -> Vec<Vec<(String, u64)>> {
    axes.iter().fold(vec![Vec::new()], |points, axis| {
        points
            .iter()
            .flat_map(|point| {
                axis.sizes.iter().map(move |size| {
                    let mut point = point.clone();
                    point.push((axis.name.clone(), *size));
                    point
                })
            })
            .collect()
    })
}

/// Where one child of the model, or one kind of its leaves, passes another.
fn crossings(report: &Report, axes: &[Axis]) -> Vec<Crossing> {
    let mut out = Vec::new();
    // The classes of counted leaves, summed: attention against the MLP is what people ask for.
    let mut classes: Vec<(String, Dim)> = Vec::new();
    for layer in report.layers.iter().filter(|layer| !layer.is_container) {
        let Some(count) = &layer.count else { continue };
        match classes
            .iter_mut()
            .find(|(class, _)| *class == layer.class.as_str())
        {
            Some((_, sum)) => *sum += count,
            None => classes.push((layer.class.to_string(), count.clone())),
        }
    }
    for axis in axes {
        for (above, a) in &classes {
            for (below, b) in &classes {
                if above != below
                    && let Some(from) = crossing(a, b, &axis.name)
                {
                    out.push(Crossing {
                        above: above.clone(),
                        below: below.clone(),
                        dimension: axis.name.clone(),
                        from,
                    });
                }
            }
        }
    }
    out
}

fn rows(document: &Document) -> Vec<Vec<String>> {
    let cell = |point: &Point| match &point.count {
        Some(count) => grouped(count),
        None => point.failure.clone().unwrap_or_default(),
    };
    document
        .points
        .iter()
        .map(|point| {
            point
                .at
                .iter()
                .map(|(_, size)| size.to_string())
                .chain([cell(point)])
                .collect()
        })
        .collect()
}

fn csv(axes: &[Axis], document: &Document) -> String {
    let header: Vec<&str> = axes
        .iter()
        .map(|axis| axis.name.as_str())
        .chain(["count"])
        .collect();
    let mut out = csv_line(&header);
    for point in &document.points {
        let mut cells: Vec<String> = point.at.iter().map(|(_, size)| size.to_string()).collect();
        cells.push(point.count.as_ref().map(Dim::to_string).unwrap_or_default());
        out += &csv_line(&cells);
    }
    out
}

fn chart(axes: &[Axis], document: &Document) -> String {
    let Some(axis) = axes.first() else {
        return String::new();
    };
    let points: Vec<(f64, Dim)> = document
        .points
        .iter()
        .filter_map(|point| Some((point.at.first()?.1 as f64, point.count.clone()?)))
        .collect();
    svg::curve(&points, &axis.name, &document.convention)
}

fn text(axes: &[Axis], document: &Document, convention: &dyn Convention) -> String {
    let mut out = format!("{}\n\n", document.convention);
    let rows = rows(document);
    let width = |column: usize, head: &str| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
            .max(head.chars().count())
    };
    let unit = format!("{}s", convention.info().unit);
    let heads: Vec<&str> = axes
        .iter()
        .map(|axis| axis.name.as_str())
        .chain([unit.as_str()])
        .collect();
    for (column, head) in heads.iter().enumerate() {
        let _ = write!(out, "{head:>0$}  ", width(column, head));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(out, "{cell:>0$}  ", width(column, heads[column]));
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    if let Some(polynomial) = &document.polynomial {
        let _ = write!(out, "\nExactly: {polynomial}\n");
    }
    for growth in &document.growth {
        let from = match growth.dominates_from {
            Some(1) => ", which is the larger part at every size".to_string(),
            Some(size) => format!(", which is the larger part from {} = {size}", growth.symbol),
            None => String::new(),
        };
        let _ = writeln!(
            out,
            "Growth in {}: {}, from {}{from}",
            growth.symbol, growth.order, growth.leading
        );
    }
    for crossing in &document.crossings {
        let _ = writeln!(
            out,
            "{} passes {} at {} = {}",
            crossing.above,
            crossing.below,
            crossing.dimension,
            grouped(&Dim::from(crossing.from))
        );
    }
    out
}
