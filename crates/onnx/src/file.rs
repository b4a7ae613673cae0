//! Models in files.

use std::fs;
use std::path::{Path, PathBuf};

use modelcost_core::diagnostic::Severity;

use crate::decode;
use crate::error::OnnxError;
use crate::model::{Attribute, AttributeValue, Graph, Model, Tensor, TensorData};
use crate::source::Source;
use crate::text::{self, Arena};
use crate::wire::Reader;

/// An open model file, binary or text. Models borrow from it.
pub struct ModelFile {
    path: PathBuf,
    content: Content,
    arena: Arena,
}

enum Content {
    /// A binary file, of which the structure is read and the weights are not.
    File(Source),
    Memory(Vec<u8>),
}

impl ModelFile {
    /// Opens a file. Of a binary one nothing but the first bytes is read yet.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<ModelFile, OnnxError> {
        let path = path.as_ref();
        let source = Source::open(path)?;
        let head = source.read(0, source.len().min(HEAD) as usize)?;
        let content = if looks_like_text(head) {
            Content::Memory(fs::read(path).map_err(|source| OnnxError::Io {
                path: path.to_owned(),
                source,
            })?)
        } else {
            Content::File(source)
        };
        Ok(ModelFile {
            path: path.to_owned(),
            content,
            arena: Arena::default(),
        })
    }

    /// A model that is in memory already.
    pub fn from_bytes(path: impl Into<PathBuf>, bytes: Vec<u8>) -> ModelFile {
        ModelFile {
            path: path.into(),
            content: Content::Memory(bytes),
            arena: Arena::default(),
        }
    }

    /// Where it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text, if this is ONNX's textual syntax and not the binary format.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Memory(bytes) if looks_like_text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Decodes the model.
    ///
    /// # Errors
    /// When the file is not a valid model, or keeps tensors outside its folder.
    pub fn model(&self) -> Result<Model<'_>, OnnxError> {
        let model = match self.text() {
            Some(text) => {
                let parsed = text::parse(text, &self.arena);
                let mut diagnostics = parsed.diagnostics;
                if diagnostics.iter().any(|d| d.severity == Severity::Error) {
                    // The first few are what matters; the rest follows from them.
                    diagnostics.truncate(20);
                    return Err(OnnxError::Syntax(diagnostics));
                }
                parsed.model
            }
            None => decode::model(match &self.content {
                Content::File(source) => Reader::of(source),
                Content::Memory(bytes) => Reader::new(bytes),
            })?,
        };
        check_external(&model)?;
        Ok(model)
    }
}

/// How much of a file tells text from the binary format.
const HEAD: u64 = 512;

/// Text starts with the model's properties or the graph's name, where the binary has a byte below
/// space.
fn looks_like_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(HEAD as usize)];
    let Some(first) = head.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return false;
    };
    let starts = matches!(first, b'<' | b'#' | b'"' | b'_') || first.is_ascii_alphabetic();
    starts && head[0] >= b'\t' && !head.contains(&0)
}

/// External data must stay in the model's folder. The files need not exist: nothing reads them.
fn check_external(model: &Model<'_>) -> Result<(), OnnxError> {
    check_graph(&model.graph)?;
    let nodes = model.functions.iter().flat_map(|function| &function.nodes);
    nodes
        .flat_map(|node| &node.attributes)
        .try_for_each(check_attribute)
}

fn check_graph(graph: &Graph<'_>) -> Result<(), OnnxError> {
    graph.initializers.iter().try_for_each(check_tensor)?;
    let mut attributes = graph.nodes.iter().flat_map(|node| &node.attributes);
    attributes.try_for_each(check_attribute)
}

fn check_attribute(attribute: &Attribute<'_>) -> Result<(), OnnxError> {
    match &attribute.value {
        AttributeValue::Graph(graph) => check_graph(graph),
        AttributeValue::Graphs(graphs) => graphs.iter().try_for_each(check_graph),
        AttributeValue::Tensor(tensor) => check_tensor(tensor),
        _ => Ok(()),
    }
}

fn check_tensor(tensor: &Tensor<'_>) -> Result<(), OnnxError> {
    let TensorData::External(entries) = &tensor.data else {
        return Ok(());
    };
    let location = entries
        .iter()
        .find(|(key, _)| *key == "location")
        .map_or("", |(_, value)| *value);
    if leaves_folder(location) {
        return Err(OnnxError::ExternalPath {
            tensor: tensor.name.to_owned(),
            location: location.to_owned(),
        });
    }
    Ok(())
}

fn leaves_folder(location: &str) -> bool {
    let drive = location.as_bytes().get(1) == Some(&b':');
    let mut depth = 0i32;
    for part in location.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    drive || location.starts_with(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::leaves_folder;

    #[test]
    fn paths_out_of_the_folder() {
        for path in ["/etc/passwd", "../x", "a/../../x", "C:\\x", "\\\\host\\x"] {
            assert!(leaves_folder(path), "{path}");
        }
        for path in ["weights.bin", "data/w.bin", "a/../b", "./w", ""] {
            assert!(!leaves_folder(path), "{path}");
        }
    }
}
