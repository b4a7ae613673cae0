//! Every tensor's inferred shape and dtype.

use std::fmt::Write as _;
use std::path::Path;

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Target, TensorId, Trace};
use modelcost_onnx::infer::Options;
use modelcost_onnx::{Shapes, ValueShape, parse_value, shapes};
use modelcost_reader::{Kind, onnx_bindings};
use serde::Serialize;

use super::{kind_of, open, without_file};
use crate::args::{ShapesArgs, TextFormat};
use crate::errors::Failed;
use crate::files::read_text;
use crate::render::json_text;
use crate::width::{pad, widest};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    shapes: &'a Shapes,
}

pub fn run(args: &ShapesArgs) -> Result<String, Failed> {
    let path = &args.model;
    let answer = match kind_of(path)? {
        (Kind::Onnx | Kind::OnnxText, file) => shapes(&file, &options(args, &file)?)
            .map_err(|error| Failed::in_file(path, without_file(&error, &file)))?,
        _ if !args.value.is_empty() || args.values.is_some() => {
            return Err(Failed::input(
                "--value and --values are for the inputs of ONNX models",
            ));
        }
        _ => of_trace(&open(path, &args.read.options().map_err(Failed::input)?)?.trace),
    };
    Ok(match args.format {
        TextFormat::Json => json_text(&Document {
            schema: "modelcost-shapes/1",
            shapes: &answer,
        }),
        TextFormat::Text => text(&answer),
    })
}

fn options(args: &ShapesArgs, model: &Path) -> Result<Options, Failed> {
    let read = args.read.options().map_err(Failed::input)?;
    let mut options = onnx_bindings(model, &read).map_err(|error| Failed::open(&error))?;
    if let Some(file) = &args.values {
        let values: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&read_text(file)?).map_err(|error| {
                Failed::in_file(file, format!("{error}; it must map input names to values"))
            })?;
        for (name, value) in &values {
            options.values.push(binding(name, value)?);
        }
    }
    for given in &args.value {
        let parsed = given.split_once('=').and_then(|(name, value)| {
            Some((name.trim(), serde_json::from_str(value.trim()).ok()?))
        });
        let Some((name, value)) = parsed else {
            return Err(Failed::input(format!(
                "--value {given}: write it as NAME=[1,2]"
            )));
        };
        options.values.push(binding(name, &value)?);
    }
    Ok(options)
}

fn binding(
    name: &str,
    value: &serde_json::Value,
) -> Result<(modelcost_core::SmolStr, modelcost_onnx::infer::Binding), Failed> {
    parse_value(name, value).map_err(|error| Failed::input(error.to_string()))
}

/// The inputs, the outputs, and what every module and operator gives.
fn of_trace(trace: &Trace) -> Shapes {
    let value = |name: String, id: TensorId| {
        let tensor = trace.tensor(id);
        ValueShape {
            name,
            shape: tensor.shape.clone(),
            dtype: tensor.dtype,
            kind: None,
            element: None,
        }
    };
    let paths: std::collections::HashMap<_, _> = trace
        .named_modules()
        .into_iter()
        .map(|(path, id)| (id, path))
        .collect();
    let mut values = Vec::new();
    for (id, call) in trace.calls() {
        let name = match &call.target {
            Target::Module(module) => paths.get(module).cloned().unwrap_or_default(),
            Target::Operator(name) => format!(
                "{}/{name}",
                paths.get(&trace.enclosing_module(id)).map_or("", |p| p)
            ),
            Target::Function(_) => continue,
        };
        if !name.is_empty() {
            values.extend(
                call.output
                    .tensors()
                    .into_iter()
                    .map(|tensor| value(name.clone(), tensor)),
            );
        }
    }
    let outputs = trace.output.tensors();
    Shapes {
        inputs: trace
            .inputs
            .iter()
            .map(|(name, id)| value(name.to_string(), *id))
            .collect(),
        outputs: outputs
            .iter()
            .enumerate()
            .map(|(index, id)| value(format!("output{index}"), *id))
            .collect(),
        values,
        unsupported: Vec::new(),
    }
}

fn text(answer: &Shapes) -> String {
    let mut out = String::new();
    let groups = [
        ("inputs", &answer.inputs),
        ("outputs", &answer.outputs),
        ("values", &answer.values),
    ];
    let names = groups
        .iter()
        .flat_map(|(_, values)| values.iter())
        .map(|value| &value.name);
    let width = widest(names).min(60);
    for (title, values) in groups.iter().filter(|(_, values)| !values.is_empty()) {
        let _ = writeln!(out, "{title}");
        for value in values.iter() {
            let name = pad(&value.name, width, false);
            let _ = writeln!(out, "  {name}  {}", describe(value));
        }
    }
    for (name, count) in &answer.unsupported {
        let _ = writeln!(
            out,
            "no rule for {name} ({count} {})",
            if *count == 1 { "call" } else { "calls" }
        );
    }
    out
}

fn describe(value: &ValueShape) -> String {
    if let Some(kind) = value.kind {
        let element = value
            .element
            .as_deref()
            .map(|element| format!(" of {}", describe(element)));
        return format!("{kind}{}", element.unwrap_or_default());
    }
    let dtype = value.dtype.map_or("?", |dtype| dtype.name());
    let dim = |dim: &Dim| {
        if dim.has_unknown() {
            "?".to_string()
        } else {
            dim.to_string()
        }
    };
    match &value.shape {
        None => format!("{dtype} of unknown rank"),
        Some(shape) => format!(
            "{dtype} [{}]",
            shape.iter().map(dim).collect::<Vec<_>>().join(", ")
        ),
    }
}
