//! The core of modelcost: what one forward pass calls, and how conventions count it.
//!
//! A reader (a TOML spec, a `.pt2` program, ONNX) builds a [`trace::Trace`]. A
//! [`convention::Convention`] folds over it and gives a [`report::Report`]. This crate names no
//! tool and no file format, does no input or output, and starts no thread.

pub mod convention;
pub mod diagnostic;
pub mod dim;
pub mod dtype;
pub mod einsum;
pub mod expr;
pub mod fidelity;
pub mod formula;
pub mod fused;
pub mod gradients;
pub mod jit;
pub mod patched;
mod places;
pub mod report;
pub mod sketch;
pub mod table;
pub mod trace;
pub mod value;
pub mod views;

pub use smol_str::SmolStr;
