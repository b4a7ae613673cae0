//! Conventions: ptflops 0.7.5, its backends "pytorch" (the default) and "aten", and ptflops 0.6.9.
//!
//! [`pytorch`] is how hooks and function handlers reach calls and are added up; the rules are the
//! tables in `rules/`. The backend "aten" is [`aten`].

use once_cell::sync::Lazy;

use modelcost_core::convention::{Convention, Registration};
use modelcost_core::patched::Signatures;
use modelcost_core::table::Table;

pub mod aten;
pub mod pytorch;
pub mod scope;

static PTFLOPS_0_7_5: Lazy<pytorch::Ptflops> = Lazy::new(|| pytorch::Ptflops {
    table: Table::built_in(include_str!("../rules/ptflops-0.7.5.toml")),
    signatures: Signatures::built_in(include_str!("../rules/signatures-0.7.5.toml")),
    passes_batch: true,
});

static PTFLOPS_0_6_9: Lazy<pytorch::Ptflops> = Lazy::new(|| pytorch::Ptflops {
    table: Table::built_in(include_str!("../rules/ptflops-0.6.9.toml")),
    signatures: Signatures::default(),
    passes_batch: false,
});

static ATEN: Lazy<aten::Aten> = Lazy::new(|| aten::Aten {
    table: Table::built_in(include_str!("../rules/ptflops-0.7.5-aten.toml")),
});

inventory::submit! { Registration {
    id: "ptflops", version: "0.7.5", variant: "pytorch", default_variant: true, order: 30,
    load: || &*PTFLOPS_0_7_5 as &dyn Convention,
} }

inventory::submit! { Registration {
    id: "ptflops", version: "0.7.5", variant: "aten", default_variant: false, order: 30,
    load: || &*ATEN as &dyn Convention,
} }

inventory::submit! { Registration {
    id: "ptflops", version: "0.6.9", variant: "", default_variant: true, order: 30,
    load: || &*PTFLOPS_0_6_9 as &dyn Convention,
} }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_source_and_every_handler_parameters() {
        for convention in [&*PTFLOPS_0_7_5 as &dyn Convention, &*PTFLOPS_0_6_9, &*ATEN] {
            for rule in convention.rules() {
                assert!(rule.source.starts_with("ptflops/"), "{:?}", rule.source);
            }
        }
        let functions = PTFLOPS_0_7_5
            .rules()
            .iter()
            .flat_map(|rule| &rule.functions);
        for name in functions {
            let name = name.replace("F.", "torch.nn.functional.");
            let name = name.replace("Tensor.", "torch.Tensor.");
            assert!(PTFLOPS_0_7_5.signatures.get(&name).is_some(), "{name}");
        }
    }
}
