//! Cost hints, hovers, diagnostics and completions for documents: plain data in, plain data out.
//!
//! A [`Workspace`] holds the open documents, each a [`Buffer`] that is edited in place, and what is chosen for them. Every
//! question is asked of it with the document's key and bytes of its text, and answered with strings, numbers and byte
//! ranges: nothing here knows an editor or a protocol, so that everything an editor shows can be tested without one.

pub mod actions;
pub mod analysis;
mod answers;
mod background;
pub mod budget;
pub mod card;
pub mod completion;
pub mod config;
mod content;
mod document;
mod excerpt;
mod good;
pub mod hints;
pub mod hover;
mod lexical;
pub mod model;
pub mod names;
pub mod numbers;
pub mod outline;
pub mod program;
pub mod signature;
mod text;
mod workspace;

pub use answers::{Lens, Status};
pub use background::Wake;
pub use document::{Document, Kind, MAX_TEXT};
pub use text::{Buffer, Encoding, Position};
pub use workspace::{Choice, Chosen, Workspace};
