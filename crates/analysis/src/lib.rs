//! What explains a number.
//!
//! Everything here is a fold over reports and traces: it names no tool and opens no file.

pub mod agreement;
pub mod bridge;
pub mod budget;
pub mod category;
pub mod figure;
pub mod format;
pub mod groups;
pub mod growth;
pub mod memory;
pub mod reconcile;
pub mod roofline;
pub mod scenario;
pub mod settings;
pub mod storage;
pub mod sweep;
mod wording;
