//! Numbers for people, as tables show them.

use modelcost_analysis::format::{self, Digits};
use modelcost_core::convention::Unit;
use modelcost_core::dim::Dim;

use crate::args::Units;

pub use modelcost_analysis::format::{exact as grouped, shape};

/// `716441128` as `716.44 M`. Symbolic counts stay expressions.
pub fn scaled(value: &Dim, units: Units) -> String {
    format::scaled_to(value, units.into(), Digits::Table)
}

/// A scaled count with its unit: `716.44 MMac`, `1.43 GFLOP`.
pub fn with_unit(value: &Dim, units: Units, unit: Unit) -> String {
    format::count_to(value, units.into(), unit, Digits::Table)
}

/// `244403360` as `244.40 MB` (10^6).
pub fn megabytes(bytes: u128) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.2} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// The share of a part in a whole, `9.848%`, when both are numbers.
pub fn share(part: &Dim, whole: &Dim) -> Option<String> {
    format::share(part, whole, 3)
}
