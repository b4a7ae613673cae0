//! What PyTorch's pickles say: tensors, modules, state dicts, and what stands around them.

mod calls;
mod module;
mod tensor;
mod walk;

pub use calls::{dangers, unread};
pub use tensor::{RawTensor, Slice, Storages, stored};
pub use walk::{Found, Group, Kind, Walked, found_by, walk};
