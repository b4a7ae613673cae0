//! What can be wrong with a file.

use std::path::PathBuf;

use modelcost_core::diagnostic::Diagnostic;

/// Why a model could not be read.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file ends inside a field, or a declared length is larger than what is left.
    #[error(
        "the file is cut off: {what} at byte {offset} needs {needed} bytes and {left} are left; fetch or export it again"
    )]
    Truncated {
        /// The field.
        what: &'static str,
        /// Where it starts.
        offset: u64,
        /// The declared length.
        needed: u64,
        /// What is left of the enclosing message.
        left: u64,
    },
    /// The bytes are not what protobuf allows there.
    #[error("not a valid ONNX file: {what} at byte {offset}; copy or export the file again")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where.
        offset: u64,
    },
    /// Subgraphs, types or function calls are nested deeper than any real model.
    #[error("{what} are nested more than {limit} deep")]
    TooDeep {
        /// What is nested.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Running the model symbolically would take more steps than any real model.
    #[error("the model expands to more than {limit} operator calls")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The file is something else.
    #[error("this is not an ONNX model: {0}")]
    NotOnnx(String),
    /// A node reads a value that nothing before it makes.
    #[error(
        "{node} reads '{value}', which no input, initializer or earlier node defines{hint}",
        hint = if *.cyclic { "; the graph has a cycle" } else { "" }
    )]
    Undefined {
        /// The node, by name and operator.
        node: String,
        /// The value.
        value: String,
        /// Whether a later node makes it.
        cyclic: bool,
    },
    /// A tensor keeps its data in a file outside the model's folder.
    #[error("'{tensor}' points to external data outside the model's folder: '{location}'")]
    ExternalPath {
        /// The tensor.
        tensor: String,
        /// The declared location.
        location: String,
    },
    /// The textual syntax has errors.
    #[error("{}", .0.iter().map(|d| d.message.as_str()).collect::<Vec<_>>().join("\n"))]
    Syntax(Vec<Diagnostic>),
    /// A binding names something that the model does not have, or has the wrong form.
    #[error("{0}")]
    Binding(String),
}
