//! Links every convention of the repository into a program.
//!
//! A convention registers itself when its crate is linked. Front ends depend on this crate and
//! call [`link`]; a new convention adds its line here and nowhere else.

use modelcost_convention_calflops as _;
use modelcost_convention_deepspeed as _;
use modelcost_convention_fvcore as _;
use modelcost_convention_hook as _;
use modelcost_convention_macs as _;
use modelcost_convention_ptflops as _;
use modelcost_convention_pytorch_model_summary as _;
use modelcost_convention_textbook as _;
use modelcost_convention_thop as _;
use modelcost_convention_torch as _;
use modelcost_convention_torchinfo as _;
use modelcost_convention_torchprofile as _;

pub use modelcost_core::convention::{all, find, lookup};

/// Keeps the linker from leaving out crates that nothing else refers to.
pub fn link() {}
