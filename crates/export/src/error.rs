//! What can be wrong with a file, where, and what mends it.

use std::io;

use modelcost_archive::ArchiveError;
use modelcost_fx::Refusal;

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
        "{file}: this is no program of torch.export ({found}); \
         write one with torch.export.save(torch.export.export(model, inputs), \"model.pt2\")"
    )]
    Unrecognised {
        /// The file.
        file: String,
        /// What it seems to be.
        found: String,
    },
    /// The archive is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
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
    /// The program cannot be run with inputs of other shapes.
    #[error(
        "{file}: the program cannot be run at these shapes: {refusal}; \
         export it at them, or with dynamic_shapes"
    )]
    Fixed {
        /// The file.
        file: String,
        /// What is in the way.
        refusal: Refusal,
    },
    /// Something is larger than any model's.
    #[error("{file}: {what}; no model has that, so the file is refused")]
    TooLarge {
        /// The file.
        file: String,
        /// What is too large.
        what: String,
    },
}

/// The result of reading.
pub type Result<T> = std::result::Result<T, ExportError>;
