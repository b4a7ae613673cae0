//! Cost as a function of one or two dimensions.

use std::fmt::Write as _;

use modelcost_analysis::groups::{Crossing, crossings};
use modelcost_analysis::growth::{Growth, growth};
use modelcost_analysis::sweep::{self, Axis};
use modelcost_core::convention::Convention;
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Fidelity;
use modelcost_core::trace::{Shape, Trace};
use modelcost_reader::{Model, Options};
use serde::Serialize;
use smol_str::SmolStr;

use super::{convention, open};
use crate::args::{SweepArgs, SweepFormat};
use crate::errors::Failed;
use crate::render::{csv_line, fidelity_section, json_text, markdown_table};
use crate::svg;
use crate::units::grouped;
use crate::width::{push_padded, widest};

/// More points than any chart shows.
const MOST_POINTS: usize = 10_000;

#[derive(Serialize)]
struct Point {
    at: Vec<(String, u64)>,
    count: Option<Dim>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    convention: String,
    polynomial: Option<String>,
    growth: Vec<Growth>,
    crossings: Vec<Crossing>,
    points: Vec<Point>,
    fidelity: Fidelity,
}

pub fn run(args: &SweepArgs) -> Result<String, Failed> {
    let convention = convention(&args.convention)?;
    let axes = axes(args)?;
    let options = args.read_options().map_err(Failed::input)?;
    let model = open(&args.model, &Options::default())?;
    let side = match args.input_size {
        Some(_) => Some(image_of(&model, &options)?),
        None => None,
    };
    let swept = sweep::sweep(
        &axes,
        &|sizes| read_at(&model, &options, side.as_ref(), sizes),
        convention,
    );
    let points: Vec<Point> = swept
        .points
        .iter()
        .map(|point| Point {
            at: point.at.clone(),
            count: point.count.clone().ok(),
            failure: point.count.clone().err(),
        })
        .collect();
    if points.iter().all(|point| point.count.is_none())
        && let Some(Point {
            failure: Some(message),
            ..
        }) = points.first()
    {
        return Err(Failed::input(message.clone()));
    }
    let total = swept.polynomial().cloned();
    let growth: Vec<Growth> = total
        .iter()
        .flat_map(|total| axes.iter().filter_map(|axis| growth(total, &axis.name)))
        .collect();
    let crossings: Vec<Crossing> = swept
        .symbolic
        .iter()
        .flat_map(|(trace, report)| {
            let of_axis = |axis: &Axis| crossings(trace, report, &axis.name);
            axes.iter().flat_map(of_axis)
        })
        .collect();
    let document = Document {
        schema: "modelcost-sweep/1",
        convention: convention.info().identity(),
        polynomial: total.map(|total| total.to_string()),
        growth,
        crossings,
        points,
        fidelity: swept.fidelity,
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

/// The input that `--input-size` is about.
fn image_of(model: &Model, options: &Options) -> Result<(SmolStr, Shape), Failed> {
    let resized = model.resized(options);
    let trace = resized.map_err(|error| Failed::open(&error))?.trace;
    image(&trace).ok_or_else(|| {
        Failed::input(
            "--input-size needs a first input of four dimensions (batch, channels, height, width)",
        )
    })
}

/// The first input of a model, when it is an image: its name and shape.
pub fn image(trace: &Trace) -> Option<(SmolStr, Shape)> {
    let (name, id) = trace.inputs.first()?;
    let shape = trace.tensor(*id).shape.clone()?;
    (shape.len() == 4).then(|| (name.clone(), shape))
}

/// The name of the axis that `--input-size` makes.
pub const INPUT_SIZE: &str = "side";

/// A model with its axes at given sizes. `image` is the input that the axis `side` is about.
pub fn read_at(
    model: &Model,
    options: &Options,
    image: Option<&(SmolStr, Shape)>,
    sizes: &[(String, Dim)],
) -> Result<Trace, String> {
    let mut options = options.clone();
    for (name, size) in sizes {
        match image {
            Some((input, shape)) if name == INPUT_SIZE => {
                let mut shape = shape.clone();
                shape[2..].fill(size.clone());
                options.inputs.push((Some(input.clone()), shape));
            }
            _ => {
                options.dims.insert(name.as_str().into(), size.clone());
            }
        }
    }
    match model.resized(&options) {
        Ok(model) => Ok(model.trace),
        Err(error) => Err(error.to_string()),
    }
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
    let unit = format!("{}s", convention.info().unit);
    let heads: Vec<&str> = axes
        .iter()
        .map(|axis| axis.name.as_str())
        .chain([unit.as_str()])
        .collect();
    let widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = rows.iter().map(|row| row[column].as_str());
            widest(cells.chain([*head]))
        })
        .collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for (column, (cell, width)) in cells.zip(&widths).enumerate() {
            out.push_str(if column > 0 { "  " } else { "" });
            push_padded(&mut out, cell, *width, true);
        }
        out.push('\n');
    };
    line(&mut heads.iter().copied());
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
    if let Some(polynomial) = &document.polynomial {
        let _ = write!(out, "\nExactly: {polynomial}\n");
    }
    for growth in &document.growth {
        let from = match growth.dominates_from {
            Some(1) => ", which is the larger part at every size".to_string(),
            Some(size) => format!(
                ", which is the larger part from {} = {}",
                growth.symbol,
                grouped(&Dim::from(size))
            ),
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
            "{} pass{} {} at {} = {}",
            capitalized(&crossing.above),
            if crossing.above.ends_with('s') {
                ""
            } else {
                "es"
            },
            crossing.below,
            crossing.dimension,
            grouped(&Dim::from(crossing.from))
        );
    }
    out + &fidelity_section("Fidelity", &document.fidelity)
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().collect::<String>() + characters.as_str(),
        None => String::new(),
    }
}
