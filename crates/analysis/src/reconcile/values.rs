//! The numbers that a model gives: every convention, unit and way of counting, in given circumstances.

use std::collections::HashMap;

use modelcost_core::convention::{Convention, Info, Options, Standing, Unit};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::report::{Entry, Report};
use modelcost_core::trace::{CallId, ModuleId, Target, Trace};

use crate::category::{self, Category};
use crate::scenario::Scenario;

/// A number that a model gives, and what must be assumed for it.
#[derive(Clone, Debug)]
pub struct Value {
    /// The convention's identity.
    pub convention: String,
    /// What the number counts.
    pub unit: Unit,
    /// The number.
    pub value: u128,
    /// What must be assumed besides the convention.
    pub changes: Vec<String>,
    /// How surprising that is; 0 assumes nothing.
    pub surprise: u32,
    /// Parameters under the convention.
    pub params: Option<u128>,
    /// How far it can be trusted.
    pub fidelity: Level,
}

/// The numbers of a model in given circumstances, under each convention that counts operations.
pub fn values(scenario: &Scenario, conventions: &[&dyn Convention]) -> Vec<Value> {
    let mut parts = Parts::new(&scenario.trace);
    // One thing besides the unit is assumed at a time: with two, anything fits anything.
    let is_changed = !scenario.changes.is_empty();
    let passes: &[bool] = if is_changed { &[false] } else { &[false, true] };
    let mut out = Vec::new();
    for convention in conventions {
        if !convention.info().counts {
            continue;
        }
        for training in passes.iter().copied() {
            if let Ok(report) = convention.count(&scenario.trace, &Options { training }) {
                out.extend(values_of(scenario, &report, training, &mut parts));
            }
        }
    }
    out
}

fn values_of(
    scenario: &Scenario,
    report: &Report,
    training: bool,
    parts: &mut Parts<'_>,
) -> Vec<Value> {
    let Some(cost) = &report.count else {
        return Vec::new();
    };
    let info = &report.convention;
    let standing = match info.standing {
        Standing::Builtin => 0,
        Standing::Common => 2,
        Standing::Rare => 4,
        Standing::Ideal => 5,
    };
    let params = report.params.as_ref().and_then(number);
    let mut out = Vec::new();
    let is_changed = training || !scenario.changes.is_empty();
    for left_out in LeftOut::ALL {
        if is_changed && left_out != LeftOut::Nothing {
            continue;
        }
        let Some(count) = parts.remaining(left_out, report, cost.count()) else {
            continue;
        };
        let Some(count) = number(&count) else {
            continue;
        };
        for (unit, value, unit_change, unit_surprise) in units(info, count) {
            let mut changes = scenario.changes.clone();
            changes.extend(left_out.change().map(String::from));
            if training {
                changes.push("forward and backward".into());
            }
            changes.extend(unit_change.map(String::from));
            out.push(Value {
                convention: info.identity(),
                unit,
                value,
                changes,
                surprise: standing
                    + unit_surprise
                    + scenario.surprise
                    + left_out.surprise()
                    + if training { 8 } else { 0 },
                params,
                fidelity: report.fidelity.level,
            });
        }
    }
    out
}

fn number(count: &Dim) -> Option<u128> {
    count
        .as_const()
        .and_then(|count| u128::try_from(count).ok())
}

/// The ways in which a count is printed.
fn units(info: &Info, count: u128) -> Vec<(Unit, u128, Option<&'static str>, u32)> {
    let own = (info.unit, count, None, 0);
    match info.work_unit() {
        Unit::Mac => {
            let doubled = count.saturating_mul(2);
            vec![own, (Unit::Flop, doubled, Some("2 FLOPs for each MAC"), 2)]
        }
        // "FLOPs" in papers mostly means multiply-accumulates: half of what FLOP counters give.
        Unit::Flop => vec![own, (Unit::Mac, count / 2, Some("2 FLOPs = 1 MAC"), 1)],
    }
}

/// Parts of a count that people leave out.
#[derive(Clone, Copy, PartialEq)]
enum LeftOut {
    Nothing,
    Bias,
    BatchNorm,
    Classifier,
    AttentionProducts,
}

impl LeftOut {
    const ALL: [LeftOut; 5] = [
        LeftOut::Nothing,
        LeftOut::Bias,
        LeftOut::BatchNorm,
        LeftOut::Classifier,
        LeftOut::AttentionProducts,
    ];

    fn change(self) -> Option<&'static str> {
        match self {
            LeftOut::Nothing => None,
            LeftOut::Bias => Some("without bias"),
            LeftOut::BatchNorm => Some("BatchNorm folded into the convolutions"),
            LeftOut::Classifier => Some("without the classifier"),
            LeftOut::AttentionProducts => Some("without the attention products"),
        }
    }

    fn surprise(self) -> u32 {
        match self {
            LeftOut::Nothing => 0,
            LeftOut::Classifier | LeftOut::AttentionProducts => 8,
            LeftOut::Bias | LeftOut::BatchNorm => 9,
        }
    }
}

/// What the calls of a trace are for. All conventions look at the same calls, so each is looked at
/// once.
struct Parts<'a> {
    trace: &'a Trace,
    classifier: Vec<ModuleId>,
    seen: HashMap<CallId, Part>,
}

#[derive(Clone, Copy)]
struct Part {
    is_batch_norm: bool,
    is_attention_product: bool,
}

impl<'a> Parts<'a> {
    fn new(trace: &'a Trace) -> Parts<'a> {
        Parts {
            trace,
            classifier: classifier(trace),
            seen: HashMap::new(),
        }
    }

    /// What remains of a report's count; `None` when there is nothing of the kind to leave out.
    fn remaining(&mut self, left_out: LeftOut, report: &Report, total: &Dim) -> Option<Dim> {
        if left_out == LeftOut::Nothing {
            return Some(total.clone());
        }
        let dropped = report
            .entries
            .iter()
            .filter(|entry| self.is_part(left_out, entry));
        let dropped: Dim = dropped.map(|entry| entry.count.clone()).sum();
        (dropped != Dim::ZERO).then(|| total - &dropped)
    }

    fn is_part(&mut self, left_out: LeftOut, entry: &Entry) -> bool {
        match left_out {
            LeftOut::Nothing => false,
            LeftOut::Bias => entry.part == "bias",
            LeftOut::Classifier => self.classifier.contains(&entry.module),
            LeftOut::BatchNorm => self.part(entry.call).is_batch_norm,
            LeftOut::AttentionProducts => self.part(entry.call).is_attention_product,
        }
    }

    fn part(&mut self, call: CallId) -> Part {
        let trace = self.trace;
        *self.seen.entry(call).or_insert_with(|| Part {
            is_batch_norm: is_batch_norm(trace, call),
            is_attention_product: matches!(
                category::of_call(trace, call),
                Category::AttentionProduct | Category::MatrixProduct
            ),
        })
    }
}

fn is_batch_norm(trace: &Trace, call: CallId) -> bool {
    let own = std::iter::once(trace.call(call));
    own.chain(trace.inside(call).map(|(_, inner)| inner))
        .any(|inner| matches!(&inner.target, Target::Operator(name) if name.contains("batch_norm")))
}

/// The modules of the classifier: the child of the model that runs its last linear operator, or as
/// large a part of that child as has no convolutions, recurrent layers or products of activations.
fn classifier(trace: &Trace) -> Vec<ModuleId> {
    let category = |target: &Target| match target {
        Target::Operator(name) => category::of_operator(name),
        _ => None,
    };
    let mut linear = None;
    let mut body: Vec<ModuleId> = Vec::new();
    for (id, call) in trace.calls() {
        match (&call.target, category(&call.target)) {
            (Target::Operator(name), _) if name == "aten.linear" => {
                linear = Some(trace.enclosing_module(id));
            }
            (
                _,
                Some(
                    Category::Convolution
                    | Category::AttentionProduct
                    | Category::MatrixProduct
                    | Category::Recurrent
                    | Category::Embedding,
                ),
            ) if trace
                .call(id)
                .parent
                .is_none_or(|parent| !matches!(trace.call(parent).target, Target::Operator(_))) =>
            {
                body.push(trace.enclosing_module(id));
            }
            _ => {}
        }
    }
    let Some(linear) = linear else {
        return Vec::new();
    };
    let paths = trace.named_modules();
    let path_of = |wanted: ModuleId| paths.iter().find(|(_, id)| *id == wanted);
    let Some((path, _)) = path_of(linear) else {
        return Vec::new();
    };
    let inside = |prefix: &str| {
        let is_inside = move |path: &str| {
            path == prefix
                || path
                    .strip_prefix(prefix)
                    .is_some_and(|rest| rest.starts_with('.'))
        };
        let found = paths.iter().filter(move |(path, _)| is_inside(path));
        found.map(|(_, id)| *id).collect::<Vec<ModuleId>>()
    };
    // From the outermost: `classifier` before `classifier.6`.
    let mut ends: Vec<usize> = path.match_indices('.').map(|(at, _)| at).collect();
    ends.push(path.len());
    ends.into_iter()
        .map(|end| inside(&path[..end]))
        .find(|modules| !modules.iter().any(|module| body.contains(module)))
        .unwrap_or_else(|| vec![linear])
}
