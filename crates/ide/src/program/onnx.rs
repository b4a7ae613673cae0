//! ONNX: its textual syntax as people write it, and binary files shown in it.

use std::path::Path;

use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_onnx::infer::Options;
use modelcost_onnx::model::{Dimension, Model as Onnx, Type};
use modelcost_onnx::text::{Arena, parse, print_in_place};
use modelcost_onnx::{Listing, ModelFile, OnnxError, listing};

use super::{Place, Program, View, spans};
use crate::analysis::Dims;
use crate::model::Model;

/// A binary file as text. What is wrong with the model is said at its name; only what is no model at all is an error.
pub fn view(path: &Path, dims: &Dims) -> Result<View, String> {
    let name = path.file_stem().map_or_else(
        || "model".into(),
        |stem| stem.to_string_lossy().into_owned(),
    );
    let location = path.file_name().map(|name| name.to_string_lossy());
    let file = ModelFile::open(path).map_err(|error| error.to_string())?;
    if let Some(text) = file.text() {
        return Ok(View {
            program: of_text(text, &name, dims),
            text: text.into(),
            language: LANGUAGE,
        });
    }
    let mut model = file.model().map_err(|error| error.to_string())?;
    // What the values in between are is said by the hints.
    let declared = std::mem::take(&mut model.graph.value_info);
    let text = print_in_place(&mut model, location.as_deref());
    model.graph.value_info = declared;
    Ok(View {
        program: of_model(&model, &name, dims, Vec::new()),
        text,
        language: LANGUAGE,
    })
}

const LANGUAGE: &str = "onnxtxt";

/// A text that is edited.
pub fn of_text(text: &str, name: &str, dims: &Dims) -> Program {
    let arena = Arena::default();
    let parsed = parse(text, &arena);
    let broken = parsed
        .diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error);
    if broken {
        return Program {
            is_onnx: true,
            diagnostics: parsed.diagnostics,
            dims: dims.clone(),
            ..Program::default()
        };
    }
    of_model(&parsed.model, name, dims, parsed.diagnostics)
}

fn of_model(
    model: &Onnx<'_>,
    name: &str,
    dims: &Dims,
    mut diagnostics: Vec<Diagnostic>,
) -> Program {
    let head = model.graph.span.map_or(0..0, |span| span.range());
    let listed = match listing(model, &options(model, dims), name) {
        Ok(listed) => listed,
        Err(error) => {
            let place = place_of(model, &error).unwrap_or(head.clone());
            diagnostics.push(Diagnostic::error(error.to_string(), place));
            return Program {
                is_onnx: true,
                diagnostics,
                dims: dims.clone(),
                head,
                ..Program::default()
            };
        }
    };
    let Listing { trace, nodes } = listed;
    let mut calls = spans::calls(&trace);
    let places = nodes.into_iter().map(|node| Place {
        calls: calls.remove(&node.span).unwrap_or_default(),
        span: node.span.range(),
        name: node.label,
        depth: 0,
        shapes: node.shapes,
        dtype: node.dtype,
        times: node.times,
    });
    Program {
        is_onnx: true,
        places: places.collect(),
        diagnostics,
        dims: dims.clone(),
        head,
        model: Model::new(trace),
        ..Program::default()
    }
}

/// The sizes of those dimensions that the model's inputs have.
fn options(model: &Onnx<'_>, dims: &Dims) -> Options {
    let mut options = Options::default();
    for input in &model.graph.inputs {
        let Some(Type::Tensor(_, Some(shape))) = &input.ty else {
            continue;
        };
        for dim in shape {
            if let Dimension::Param(name) = dim
                && let Some((name, size)) = dims.get_key_value(*name)
                && options.dims.iter().all(|(other, _)| other != name)
            {
                options.dims.push((name.clone(), (*size).into()));
            }
        }
    }
    options
}

/// The node that an error is about.
fn place_of(model: &Onnx<'_>, error: &OnnxError) -> Option<std::ops::Range<usize>> {
    let OnnxError::Undefined { node, .. } = error else {
        return None;
    };
    let mut nodes = model
        .graph
        .nodes
        .iter()
        .chain(model.functions.iter().flat_map(|function| &function.nodes));
    Some(nodes.find(|other| other.label() == *node)?.span?.range())
}
