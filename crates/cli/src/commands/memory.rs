//! Bytes, and the roofline of a chip.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use modelcost_analysis::memory::{Memory, memory};
use modelcost_analysis::roofline::{Bound, Chip, Roofline, chips, parse_chips, roofline};
use modelcost_core::convention::Options;
use modelcost_core::fidelity::{Fidelity, Layer};
use modelcost_core::report::Extra;
use modelcost_reader::Model;
use serde::Serialize;

use super::explain::count;
use super::{all_conventions, convention, open};
use crate::args::{MemoryArgs, TextFormat};
use crate::errors::Failed;
use crate::files::read_text;
use crate::render::{fidelity_section, json_text, path_text};
use crate::units::{grouped, megabytes};
use crate::width::{pad, widest};

const BOLD: Style = Style::new().bold();
const FAINT: Style = AnsiColor::BrightBlack.on_default();

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    model: String,
    bytes: &'a Memory,
    inference: u128,
    training_sgd: u128,
    training_adam: u128,
    tools: &'a [Printed],
    #[serde(skip_serializing_if = "Option::is_none")]
    roofline: Option<&'a Roofline>,
    fidelity: &'a Fidelity,
}

/// What a tool prints about memory.
#[derive(Serialize)]
struct Printed {
    convention: String,
    #[serde(flatten)]
    figure: Extra,
}

pub fn run(args: &MemoryArgs) -> Result<String, Failed> {
    let model = open(&args.model, &args.read.options().map_err(Failed::input)?)?;
    let bytes = memory(&model.trace).map_err(|error| Failed::in_file(&args.model, error))?;
    let dtype = args.dtype.as_deref().unwrap_or("float16");
    let roof = match &args.chip {
        None => None,
        Some(name) => {
            let chip = find_chip(name, args)?;
            let report = count(&model, convention(&args.convention)?)?;
            Some(
                roofline(&model.trace, &report, &chip, dtype)
                    .map_err(|error| Failed::in_file(&args.model, error))?,
            )
        }
    };
    // Parameters hang on modules and activations on operators.
    let seen = [Layer::Modules, Layer::Operators];
    let fidelity = model.trace.fidelity.seen_by(&seen);
    let tools = printed(&model);
    if args.format == TextFormat::Json {
        return Ok(json_text(&Document {
            schema: "modelcost-memory/1",
            model: args.model.display().to_string(),
            inference: bytes.inference(),
            training_sgd: bytes.training_sgd(),
            training_adam: bytes.training_adam(),
            bytes: &bytes,
            tools: &tools,
            roofline: roof.as_ref(),
            fidelity: &fidelity,
        }));
    }
    let mut out = text(&bytes);
    out += &printed_text(&tools);
    if let Some(roof) = &roof {
        out += &roofline_text(roof);
    }
    out += &fidelity_section("Fidelity", &fidelity);
    Ok(out)
}

/// The figures about memory among what the conventions report besides their counts.
fn printed(model: &Model) -> Vec<Printed> {
    let is_about_memory = |name: &str| name.ends_with("(MB)") || name == "activations";
    let mut out = Vec::new();
    for convention in all_conventions() {
        let Ok(report) = convention.count(&model.trace, &Options::default()) else {
            continue;
        };
        let figures = report.extras.into_iter();
        out.extend(
            figures
                .filter(|figure| is_about_memory(&figure.name))
                .map(|figure| Printed {
                    convention: report.convention.identity(),
                    figure,
                }),
        );
    }
    out
}

fn printed_text(tools: &[Printed]) -> String {
    let mut out = String::new();
    let mut last = "";
    for Printed { convention, figure } in tools {
        if convention != last {
            let _ = writeln!(out, "\n{BOLD}{convention}{BOLD:#} prints");
            last = convention;
        }
        let exact = figure
            .exact
            .as_ref()
            .filter(|exact| exact.to_string() != figure.value)
            .map(|exact| format!("{} bytes", grouped(exact)))
            .unwrap_or_default();
        let _ = write!(out, "{:<34} {:>12}", figure.name, figure.value);
        end_line(&mut out, &exact);
    }
    out
}

/// Ends a line, with a remark if there is one.
fn end_line(out: &mut String, remark: &str) {
    let _ = match remark {
        "" => writeln!(out),
        remark => writeln!(out, "  {FAINT}{remark}{FAINT:#}"),
    };
}

fn find_chip(name: &str, args: &MemoryArgs) -> Result<Chip, Failed> {
    let mut all = chips();
    if let Some(path) = &args.chips {
        let text = read_text(path)?;
        all.extend(parse_chips(&text).map_err(|error| Failed::in_file(path, error))?);
    }
    let wanted = name.to_lowercase();
    let found = all
        .iter()
        .rev()
        .find(|chip| chip.name.to_lowercase() == wanted);
    let names = || {
        all.iter()
            .map(|chip| chip.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    found
        .cloned()
        .ok_or_else(|| Failed::input(format!("there is no chip '{name}'; there are {}", names())))
}

fn text(bytes: &Memory) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: u128, note: &str| {
        let _ = write!(out, "{name:<34} {BOLD}{:>12}{BOLD:#}", megabytes(value));
        end_line(&mut out, note);
    };
    line("Parameters", bytes.parameters, "");
    line("Buffers", bytes.buffers, "");
    line("Inputs", bytes.inputs, "");
    line(
        "Activations, most alive at once",
        bytes.peak_activations,
        "inputs included, in the order of the program",
    );
    line(
        "Activations, all",
        bytes.all_activations,
        "kept for the backward pass",
    );
    line("Gradients", bytes.gradients, "of trainable parameters");
    line("Optimizer state, SGD with momentum", bytes.sgd_momentum, "");
    line("Optimizer state, Adam", bytes.adam, "");
    line(
        "Inference",
        bytes.inference(),
        "parameters, buffers and the peak",
    );
    line(
        "Training with SGD",
        bytes.training_sgd(),
        "parameters, buffers, activations, gradients, momentum",
    );
    line("Training with Adam", bytes.training_adam(), "");
    out
}

fn roofline_text(roof: &Roofline) -> String {
    let mut out = format!(
        "\n{BOLD}{}{BOLD:#} in {}: the least time its published rates allow, {BOLD}{:.3} ms{BOLD:#}\n\
         compute bounds a layer of more than {:.1} FLOPs a byte\n\n",
        roof.chip,
        roof.dtype,
        roof.seconds * 1e3,
        roof.ridge
    );
    let width = widest(roof.layers.iter().map(|layer| path_text(&layer.path)));
    for layer in &roof.layers {
        let bound = match layer.bound {
            Bound::Compute => "compute",
            Bound::Memory => "memory",
        };
        let path = pad(path_text(&layer.path), width, false);
        let _ = writeln!(
            out,
            "{path}  {:>10.2} FLOPs/B  {bound:7}  {:>9.2} µs",
            layer.intensity,
            layer.seconds * 1e6
        );
    }
    out
}
