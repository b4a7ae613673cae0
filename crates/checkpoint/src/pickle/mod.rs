//! Python's pickles as data. An opcode that would import, call or build something records that it
//! would: nothing is ever executed.
//!
//! Crates that read pickles resolve persistent ids and calls, which is where tensors are, to
//! nothing; so the opcodes are read here, protocols 0 to 5, with bounds on everything.

mod cursor;
mod heap;
mod machine;

pub use cursor::Cursor;
pub use heap::{Heap, Object, Ref, Value};
pub use machine::load;

/// Why a pickle could not be read.
#[derive(Debug, PartialEq, Eq)]
pub enum PickleError {
    /// It is not what the format says.
    Damaged {
        /// The byte of the file, or of the archive's entry.
        offset: usize,
        /// What is wrong there.
        message: String,
    },
    /// It holds more than any checkpoint does.
    TooLarge(&'static str),
}
