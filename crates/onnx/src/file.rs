//! Models in files.

use std::fs;
use std::path::{Path, PathBuf};

use modelcost_core::diagnostic::Severity;

use crate::decode::decode;
use crate::error::OnnxError;
use crate::model::{Attribute, AttributeValue, Graph, Model, Tensor, TensorData};
use crate::text::{self, Arena};

/// An open model file, binary or text. Models borrow from it.
pub struct ModelFile {
    path: PathBuf,
    bytes: Bytes,
    arena: Arena,
}

enum Bytes {
    Map(memmap2::Mmap),
    Owned(Vec<u8>),
}

impl ModelFile {
    /// Opens a file without reading it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<ModelFile, OnnxError> {
        let path = path.as_ref();
        let io = |source| OnnxError::Io {
            path: path.to_owned(),
            source,
        };
        let file = fs::File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let bytes = if length == 0 {
            Bytes::Owned(Vec::new())
        } else {
            // SAFETY: the map is read-only. A file that another program cuts short while it is
            // being read raises SIGBUS, as it does for every program that maps files; copying
            // gigabytes of weights to be safe from that would cost what the map saves.
            #[allow(unsafe_code)]
            let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
            // Without the hint the kernel reads weights ahead that nobody asks for.
            #[cfg(unix)]
            let _ = map.advise(memmap2::Advice::Random);
            Bytes::Map(map)
        };
        Ok(ModelFile {
            path: path.to_owned(),
            bytes,
            arena: Arena::default(),
        })
    }

    /// A model that is in memory already.
    pub fn from_bytes(path: impl Into<PathBuf>, bytes: Vec<u8>) -> ModelFile {
        ModelFile {
            path: path.into(),
            bytes: Bytes::Owned(bytes),
            arena: Arena::default(),
        }
    }

    /// Where it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Map(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }

    /// The text, if this is ONNX's textual syntax and not the binary format: it starts with the
    /// model's properties or the graph's name, where the binary has a byte below space.
    pub fn text(&self) -> Option<&str> {
        let bytes = self.bytes();
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
        let starts = matches!(first, b'<' | b'#' | b'"' | b'_') || first.is_ascii_alphabetic();
        let head = bytes.get(..bytes.len().min(512))?;
        if !starts || bytes[0] < b'\t' || head.contains(&0) {
            return None;
        }
        std::str::from_utf8(bytes).ok()
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
            None => decode(self.bytes())?,
        };
        check_external(&model)?;
        Ok(model)
    }
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
