//! Conventions: `FlopCounterMode` of PyTorch 2.15.
//!
//! It sees the operators that are dispatched below autograd, and counts those that it has a formula
//! for; the formulas are the tables in `rules/`. Three variants: the forward pass with gradients
//! enabled, as most people call it; `fused`, under `torch.no_grad()`, where attention layers take a
//! [path that hides them](modelcost_core::fused); and `train`, forward and backward, for which
//! [`gradients`](modelcost_core::gradients) finds out what autograd computes.

mod counter;
mod factorisations;
mod hooks;
mod in_place;
mod names;
mod operands;

use once_cell::sync::Lazy;

use modelcost_core::convention::{Convention, Registration, Standing};
use modelcost_core::table::Table;

use counter::{Counter, Pass};

const FORWARD: &str = include_str!("../rules/torch-2.15.0.toml");

static TORCH: Lazy<Counter> = Lazy::new(|| Counter {
    table: Table::built_in(FORWARD),
    pass: Pass::Forward,
});

static FUSED: Lazy<Counter> = Lazy::new(|| {
    let mut table = Table::built_in(FORWARD);
    table.info.variant = "fused".into();
    table.info.standing = Standing::Rare;
    table.info.summary =
        "without gradients, where attention layers are one fused operator that counts nothing"
            .into();
    table.info.source =
        "FlopCounterMode().get_total_flops() after model(*inputs) under torch.no_grad()".into();
    Counter {
        table,
        pass: Pass::WithoutGradients,
    }
});

static TRAIN: Lazy<Counter> = Lazy::new(|| Counter {
    table: Table::built_in(include_str!("../rules/train.toml")),
    pass: Pass::ForwardAndBackward,
});

inventory::submit! { Registration {
    id: "torch", version: "2.15.0", variant: "", default_variant: true, order: 50,
    load: || &*TORCH as &dyn Convention,
} }

inventory::submit! { Registration {
    id: "torch", version: "2.15.0", variant: "fused", default_variant: false, order: 50,
    load: || &*FUSED as &dyn Convention,
} }

inventory::submit! { Registration {
    id: "torch", version: "2.15.0", variant: "train", default_variant: false, order: 50,
    load: || &*TRAIN as &dyn Convention,
} }
