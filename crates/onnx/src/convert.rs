//! `modelcost convert`: between the binary format and the textual syntax.

use crate::encode::encode;
use crate::error::OnnxError;
use crate::file::ModelFile;
use crate::text::print;

/// A model in the other format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Converted {
    /// ONNX's textual syntax.
    Text(String),
    /// The binary format.
    Binary(Vec<u8>),
}

/// Converts a binary model to text and a text to binary. In text, weights are not written out but
/// point into the binary file, so both must stay in one folder.
///
/// # Errors
/// When the file is not a valid model.
pub fn convert(file: &ModelFile) -> Result<Converted, OnnxError> {
    let model = file.model()?;
    if file.text().is_some() {
        return Ok(Converted::Binary(encode(&model)?));
    }
    let location = file.path().file_name().map(|name| name.to_string_lossy());
    Ok(Converted::Text(print(&model, location.as_deref())))
}
