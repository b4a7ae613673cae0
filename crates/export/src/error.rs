//! What can be wrong with a file, where, and what mends it.

use std::io;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file could not be opened.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not of a kind that is read here.
    #[error(
        "{file}: this is neither a program of torch.export nor a checkpoint ({found}); \
         write one with torch.export.save(torch.export.export(model, inputs), \"model.pt2\")"
    )]
    Unrecognised {
        /// The file.
        file: String,
        /// What it seems to be.
        found: String,
    },
    /// The archive is damaged.
    #[error("{file}: the archive is damaged: {message}; copy or export the file again")]
    Archive {
        /// The file.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// The program or its index is not what its schema says.
    #[error("{file}: {place}: {message}; export the program again with torch.export.save")]
    Program {
        /// The file.
        file: String,
        /// Which entry, line and column, or node.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// The checkpoint is damaged, or holds what no checkpoint holds.
    #[error("{file}: {place}: {message}")]
    Checkpoint {
        /// The file.
        file: String,
        /// Where in the file.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// Something is larger than any model's.
    #[error("{file}: {what}; no model has that, so the file is refused")]
    TooLarge {
        /// The file.
        file: String,
        /// What is too large.
        what: String,
    },
    /// The file holds no computation to count.
    #[error(
        "{file} is {kind}: it holds parameters but no graph, so there is nothing to count; \
         where the model is built, write a program instead: \
         torch.export.save(torch.export.export(model.eval(), inputs), \"model.pt2\")"
    )]
    NoGraph {
        /// The file.
        file: String,
        /// What it is: "a checkpoint", "a TorchScript archive".
        kind: &'static str,
    },
}

/// The result of reading.
pub type Result<T> = std::result::Result<T, ExportError>;
