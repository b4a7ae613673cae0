//! Cost hints, hovers, diagnostics and completions for documents: plain data in, plain data out.
pub mod analysis;
pub mod budget;
pub mod config;
pub mod format;
pub mod hints;
mod lexical;
pub mod names;
pub mod numbers;
mod text;
mod workspace;
pub use text::{Buffer, Encoding, Position};
pub use workspace::{Choice, Chosen, Document, Kind, MAX_TEXT, Workspace};
