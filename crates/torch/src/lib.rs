//! PyTorch's vocabulary: what each module owns and calls, and the shapes of its operators.
//!
//! [`Tracer`] runs modules and functions on shapes alone and writes down the calls that PyTorch
//! would have made: a module's `forward` calls functions, functions call operators, and each
//! operator knows the shape of its output over symbolic dimensions. Classes, functions and
//! operators are tables ([`classes`], [`functions`], [`operators`]); most rows are a signature and
//! one line of Python, only what a line cannot say is Rust.
//!
//! Functions that PyTorch itself calls on the way but that no tool can hook by name
//! (`torch.relu` under `F.relu`) are left out of the trace.

mod bound;
pub mod classes;
mod copy;
pub mod dispatch;
mod docs;
mod error;
mod eval;
pub mod functions;
mod memo;
pub mod operators;
mod output;
#[cfg(test)]
mod recorded;
pub mod recover;
pub mod show;
mod signature;
mod tracer;

pub use bound::Bound;
pub use classes::{ClassInfo, Parametrization, class, classes};
pub use error::{ArgumentRef, Result, TorchError};
pub use functions::index::{ellipsis, slice};
pub use functions::{FunctionInfo, function, functions, operator_name};
pub use memo::Memo;
pub use output::Output;
pub use signature::{Arguments, Kind, Parameter, Signature};
pub use tracer::Tracer;
