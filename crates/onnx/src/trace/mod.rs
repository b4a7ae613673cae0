//! A model as a trace: the modules and the calls that PyTorch made, put back.
//!
//! How much the file still says depends on what exported it. The exporter built on `torch.export`
//! leaves the FX node, the modules around it and the source line in every node's metadata
//! ([`dynamo`]); the older one names nodes after modules ([`legacy`]); anything else has operators
//! alone ([`plain`]).

mod assemble;
mod attention;
mod dynamo;
mod folded;
mod fused;
mod fx_text;
mod graph;
mod known;
mod legacy;
mod mapping;
mod origin;
mod patterns;
mod piece;
mod pieces;
mod places;
mod plain;
mod recompose;
mod recurrent;
mod recurrent_cell;
mod recurrent_layer;
mod repair;
mod rounds;
mod schema;
mod shapes;
mod signature;
mod values;

use std::path::Path;

use modelcost_core::trace::Trace;

use crate::error::OnnxError;
use crate::file::ModelFile;
use crate::infer::{Options, Program, infer};
use crate::model::Model;
use values::Values;

pub use places::{Listing, NodePlace};

/// Reads a model file, binary or text, as a trace.
///
/// # Errors
/// When the file cannot be read, is malformed, or a binding does not fit it.
pub fn read_path(path: &Path, options: &Options) -> Result<Trace, OnnxError> {
    let file = ModelFile::open(path)?;
    let name = path
        .file_stem()
        .map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
    trace(&file.model()?, options, &name)
}

/// A model as a trace.
///
/// # Errors
/// When the model is malformed, or a binding does not fit it.
pub fn trace(model: &Model<'_>, options: &Options, name: &str) -> Result<Trace, OnnxError> {
    let program = infer(model, options)?;
    build(model, &program, name).map(|built| built.trace)
}

/// A model as a trace, and where each node of it is there.
///
/// # Errors
/// As [`trace`].
pub fn listing(model: &Model<'_>, options: &Options, name: &str) -> Result<Listing, OnnxError> {
    let program = infer(model, options)?;
    let built = build(model, &program, name)?;
    Ok(places::listing(&program, built))
}

/// A trace, and which of its tensors the values of the model are.
struct Built {
    trace: Trace,
    values: Values,
}

fn build(model: &Model<'_>, program: &Program<'_>, name: &str) -> Result<Built, OnnxError> {
    let arena = crate::text::Arena::default();
    let mut built = dynamo::build(model, program, &arena, name)
        .or_else(|| legacy::build(model, program, &arena, name))
        .or_else(|| plain::build(model, program, &arena, name))
        .ok_or(OnnxError::TooDeep {
            what: "modules",
            limit: modelcost_fx::MAX_DEPTH,
        })?;
    // ONNX has weights, and no way to say which of them training leaves alone.
    built.trace.frozen_unknown = true;
    // Modules stand in it as the places of nodes.
    built.trace.idle_unknown = true;
    Ok(built)
}
