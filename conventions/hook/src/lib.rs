//! Convention: the forward-hook counter that many posts print. It is nothing but its table.

use once_cell::sync::Lazy;

use modelcost_core::convention::{Convention, Registration};
use modelcost_core::table::Table;

static HOOK: Lazy<Table> = Lazy::new(|| Table::built_in(include_str!("../rules/hook-1.toml")));

inventory::submit! { Registration {
    id: "hook", version: "1", variant: "", default_variant: true, order: 80,
    load: || &*HOOK as &dyn Convention,
} }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_three_classes() {
        let rules = HOOK.rules().iter().flat_map(|rule| &rule.modules);
        assert_eq!(
            rules.collect::<Vec<_>>(),
            ["Conv2d", "Linear", "BatchNorm2d"]
        );
    }
}
