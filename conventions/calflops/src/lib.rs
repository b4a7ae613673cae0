//! Convention: calflops 0.3.2.
//!
//! A relative of DeepSpeed's profiler: it replaces functions of `torch.nn.functional`, `torch` and
//! `torch.Tensor` by ones that count, and hooks recurrent layers; the rules are tables in `rules/`.
//! What a function costs is added to the innermost module that is being called. The total goes from
//! each module to its children, so a module that stands in two places is added twice.

use std::sync::LazyLock;

use modelcost_core::convention::{Convention, Registration};
use modelcost_core::patched::{Aliases, PatchedConvention, Signatures};
use modelcost_core::table::Table;

static CALFLOPS: LazyLock<PatchedConvention> = LazyLock::new(|| PatchedConvention {
    table: Table::built_in(include_str!("../rules/calflops-0.3.2.toml")),
    macs: Table::built_in(include_str!("../rules/macs.toml")),
    signatures: Signatures::built_in(include_str!("../rules/signatures.toml")),
    aliases: Aliases::EveryPlace,
    // `calculate_flops` asks for the device of the first parameter.
    without_parameters: Some("StopIteration: the model has no parameter to take the device of"),
});

inventory::submit! { Registration {
    id: "calflops", version: "0.3.2", variant: "", default_variant: true, order: 90,
    load: || &*CALFLOPS as &dyn Convention,
} }
