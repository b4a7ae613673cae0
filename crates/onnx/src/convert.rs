//! `modelcost convert`: between the binary format and the textual syntax.

use crate::encode::encode;
use crate::error::OnnxError;
use crate::file::ModelFile;
use crate::model::{Model, Tensor, TensorData};
use crate::text::print;

/// A model in the other format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Converted {
    /// ONNX's textual syntax, and sentences about what the syntax has no place for.
    Text(String, Vec<String>),
    /// The binary format.
    Binary(Vec<u8>),
}

/// Converts a binary model to text and a text to binary. In text, weights are not written out but
/// point into the file that `weights` names, which must stay beside it; without one they are left out.
///
/// # Errors
/// When the file is not a valid model.
pub fn convert(file: &ModelFile, weights: Option<&str>) -> Result<Converted, OnnxError> {
    let model = file.model()?;
    if file.text().is_some() {
        return Ok(Converted::Binary(encode(&model)?));
    }
    Ok(Converted::Text(
        print(&model, weights),
        lost(&model, weights),
    ))
}

/// What a reader of the text would miss.
fn lost(model: &Model<'_>, weights: Option<&str>) -> Vec<String> {
    let mut out = Vec::new();
    let is_inside = |tensor: &Tensor<'_>| matches!(tensor.data, TensorData::Raw(_));
    if model.graph.initializers.iter().any(is_inside) {
        out.push(match weights {
            Some(file) => format!("weights stay in {file}, and the text belongs beside it"),
            None => "weights are left out".into(),
        });
    }
    let graph = &model.graph;
    let has_notes = graph.nodes.iter().any(|node| !node.metadata.is_empty());
    if has_notes || !graph.metadata.is_empty() {
        out.push(
            "the text has no place for what the exporter noted of modules: counts of it are \
             reconstructed; convert to a spec (--to toml) to keep them"
                .into(),
        );
    }
    out
}
