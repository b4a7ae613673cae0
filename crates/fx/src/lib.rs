//! Programs of `torch.fx` as traces.
//!
//! `torch.export` and the ONNX exporter built on it write down, for every node, which module calls
//! it was made inside of and where in the source it stands. [`emit`] puts the tree of calls back
//! from that: modules hold functions, functions hold operators. It knows no file format; readers
//! make the list of [`Flat`] nodes and the [`tree`] of modules.

mod arguments;
mod autograd;
mod calls;
pub mod classes;
mod doubts;
mod flat;
mod frames;
mod function;
mod infer;
mod kept;
mod known;
mod layout;
mod modules;
mod operators;
mod passing;
mod replaced;
mod replay;
mod scripted;
mod shown;
mod site;
mod stack;
mod unknown;
mod written;

pub use calls::{Root, emit};
pub use flat::{Flat, Scope};
pub use frames::MAX_DEPTH;
pub use function::is_builtin_functional;
pub use modules::{Called, Kind, State, Storage, Tree, called, every_path, tree};
pub use replay::{Refusal, replay};
pub use stack::{Entry, StackId, Stacks};
