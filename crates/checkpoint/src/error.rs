//! What can be wrong with a checkpoint, where, and what mends it.

use std::io;

use modelcost_archive::ArchiveError;

use crate::pickle::PickleError;

/// Why a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file could not be opened.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The archive around it is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The file is not of a kind that is read here.
    #[error("{file}: this is no checkpoint: {found}")]
    Unrecognised {
        /// The file.
        file: String,
        /// What it is instead, and the mend.
        found: String,
    },
    /// It is not what its format says.
    #[error("{file}: {place}: {message}; download or save the checkpoint again")]
    Damaged {
        /// The file.
        file: String,
        /// Where in the file.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// It holds more than any checkpoint does.
    #[error("{file}: {what}; no checkpoint has that, so the file is refused")]
    TooLarge {
        /// The file.
        file: String,
        /// What is too large.
        what: String,
    },
    /// It holds no tensor at all.
    #[error("{file}: it holds no tensors: {found}")]
    NoTensors {
        /// The file.
        file: String,
        /// What it holds.
        found: String,
    },
}

impl CheckpointError {
    /// A pickle's error; `entry` is the entry of the archive that holds it.
    pub(crate) fn pickle(file: &str, entry: &str, error: PickleError) -> CheckpointError {
        let file = file.to_owned();
        match error {
            PickleError::Damaged { offset, message } => CheckpointError::Damaged {
                file,
                place: match entry {
                    "" => format!("byte {offset}"),
                    entry => format!("{entry}, byte {offset}"),
                },
                message,
            },
            PickleError::TooLarge(what) => CheckpointError::TooLarge {
                file,
                what: what.into(),
            },
        }
    }
}

/// The result of reading.
pub type Result<T> = std::result::Result<T, CheckpointError>;
