//! Convention: the FLOPs profiler of DeepSpeed 0.19.8.
//!
//! It replaces the functions of `torch.nn.functional` and some of `torch` and `torch.Tensor` by ones
//! that count, and hooks recurrent layers; the rules are tables in `rules/`. What a function costs
//! is added to the innermost module that is being called, each module's sum once to the total.

use std::sync::LazyLock;

use modelcost_core::convention::{Convention, Registration};
use modelcost_core::patched::{Aliases, PatchedConvention, Signatures};
use modelcost_core::table::Table;

static DEEPSPEED: LazyLock<PatchedConvention> = LazyLock::new(|| PatchedConvention {
    table: Table::built_in(include_str!("../rules/deepspeed-0.19.8.toml")),
    macs: Table::built_in(include_str!("../rules/macs.toml")),
    signatures: Signatures::built_in(include_str!("../rules/signatures.toml")),
    aliases: Aliases::Once,
    without_parameters: None,
});

inventory::submit! { Registration {
    id: "deepspeed", version: "0.19.8", variant: "", default_variant: true, order: 100,
    load: || &*DEEPSPEED as &dyn Convention,
} }
