//! ONNX's textual syntax: what `onnx.parser.parse_model` reads and `onnx.printer.to_text` writes.
//!
//! The parser keeps places and goes on after an error, so that an editor can show all of them at
//! once. The printer writes no weights: a tensor of more than a few elements becomes external data
//! that points into the model file that was printed, which loses nothing.

mod arena;
mod attribute;
mod lexer;
mod parser;
mod print;
mod tensor;

pub use arena::Arena;
pub use parser::{Parsed, parse};
pub use print::{print, print_in_place};
