//! What can be wrong with an archive.

/// Why an archive, or an entry of one, could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not what the format says.
    #[error("{file}: the archive is damaged: {message}; copy or export the file again")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong, and with which entry.
        message: String,
    },
    /// An entry is larger than any model's.
    #[error("{file}: {what}; no model has that, so the file is refused")]
    TooLarge {
        /// The file.
        file: String,
        /// What is too large.
        what: String,
    },
}
