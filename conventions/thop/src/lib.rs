//! Conventions: thop 0.1.1, 0.0.31 and older, ultralytics-thop 2.2.3.
//!
//! thop registers a forward hook on every module whose exact class it has a rule for; the rules are
//! the tables in `rules/`. [`profile`] is the walk of the releases since April 2020, [`leaves`] that
//! of the older ones. ultralytics-thop walks otherwise and also counts functions, which is
//! [`ultralytics`].

use once_cell::sync::Lazy;

use modelcost_core::convention::{Convention, Registration};
use modelcost_core::table::Table;

mod attention;
mod functions;
pub mod leaves;
pub mod profile;
pub mod recurrent;
pub mod tree;
pub mod ultralytics;

static THOP_0_1_1: Lazy<profile::Thop> = Lazy::new(|| profile::Thop {
    table: Table::built_in(include_str!("../rules/thop-0.1.1.toml")),
    root_counts: true,
});

static THOP_0_0_31: Lazy<profile::Thop> = Lazy::new(|| profile::Thop {
    table: Table::built_in(include_str!("../rules/thop-0.0.31.toml")),
    root_counts: false,
});

static THOP_0_0_31_OF_JANUARY_2020: Lazy<leaves::Leaves> = Lazy::new(|| leaves::Leaves {
    table: Table::built_in(include_str!("../rules/thop-0.0.31.post2001170342.toml")),
    reads_kernels: false,
});

static THOP_0_0_30: Lazy<leaves::Leaves> = Lazy::new(|| leaves::Leaves {
    table: Table::built_in(include_str!("../rules/thop-0.0.30.toml")),
    reads_kernels: true,
});

static ULTRALYTICS: Lazy<ultralytics::Ultralytics> = Lazy::new(|| ultralytics::Ultralytics {
    table: Table::built_in(include_str!("../rules/ultralytics-thop-2.2.3.toml")),
});

inventory::submit! { Registration {
    id: "thop", version: "0.1.1", variant: "", default_variant: true, order: 20,
    load: || &*THOP_0_1_1 as &dyn Convention,
} }

inventory::submit! { Registration {
    id: "thop", version: "0.0.31", variant: "", default_variant: true, order: 20,
    load: || &*THOP_0_0_31 as &dyn Convention,
} }

inventory::submit! { Registration {
    id: "thop", version: "0.0.31.post2001170342", variant: "", default_variant: true, order: 20,
    load: || &*THOP_0_0_31_OF_JANUARY_2020 as &dyn Convention,
} }

inventory::submit! { Registration {
    id: "thop", version: "0.0.30", variant: "", default_variant: true, order: 20,
    load: || &*THOP_0_0_30 as &dyn Convention,
} }

inventory::submit! { Registration {
    id: "ultralytics-thop", version: "2.2.3", variant: "", default_variant: true, order: 120,
    load: || &*ULTRALYTICS as &dyn Convention,
} }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_source() {
        for convention in [
            &*THOP_0_1_1 as &dyn Convention,
            &*THOP_0_0_31,
            &*THOP_0_0_31_OF_JANUARY_2020,
            &*THOP_0_0_30,
            &*ULTRALYTICS,
        ] {
            assert!(!convention.rules().is_empty());
            for rule in convention.rules() {
                assert!(rule.source.starts_with("thop/"), "{:?}", rule.modules);
            }
        }
    }
}
