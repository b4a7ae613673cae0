//! What the tests that cross crates share.
//!
//! The corpus is a folder of `*.jsonl`, one model a line with the numbers that the real tools printed,
//! beside the same models as files. [`corpus`] reads it, [`check`] asks every convention about every
//! model, [`known`] is the list of cases that are not equal, each with its reason, and [`summary`] is
//! what a run prints.

pub mod check;
pub mod corpus;
pub mod known;
pub mod layers;
pub mod packed;
pub mod parallel;
pub mod summary;
