//! `thop.profile`: how hooks reach modules, and how their numbers are added up.
//!
//! Three things make its total more than the sum of its rules:
//!
//! - `model.apply(add_hooks)` visits a module once for each parent that holds it, and each visit
//!   registers the hook again: a module held by two parents counts every call twice.
//! - `dfs_count` adds a module's number once for each parent too, and does not descend into a module
//!   that has a rule, `Sequential` and `ModuleList` excepted.
//! - Numbers are kept in float64, which is exact up to 2⁵³.

use modelcost_core::convention::{Convention, Failure, Options};
use modelcost_core::dim::Dim;
use modelcost_core::formula::CallScope;
use modelcost_core::report::{Entry, Layer, Report, first_shape};
use modelcost_core::table::Table;
use modelcost_core::trace::{ModuleId, Target, Trace};

use crate::recurrent::ThopScope;
use crate::tree::{float64, is_container};

/// A release of thop.
pub struct Thop {
    /// Its rules.
    pub table: Table,
    /// Whether the root's own count is part of the total, as 0.1.1 has it. If not, a model that is
    /// one layer counts nothing.
    pub root_counts: bool,
}

/// What the hooks leave in a module.
#[derive(Clone, Default)]
struct Totals {
    ops: Dim,
    params: Dim,
}

impl Thop {
    /// `m in handler_collection`: hooked, and a whole for `dfs_count`.
    fn is_whole(&self, trace: &Trace, module: ModuleId) -> bool {
        self.table.rules.has_class(&trace.module(module).class) && !is_container(trace, module)
    }

    /// `dfs_count` of every module, children first; each is computed once.
    fn sums(&self, trace: &Trace, own: &[Totals]) -> Vec<Totals> {
        let mut sums = vec![Totals::default(); trace.modules.len()];
        for module in trace.children_first() {
            if module != Trace::ROOT && self.is_whole(trace, module) {
                sums[module.index()] = own[module.index()].clone();
                continue;
            }
            let mut sum = Totals::default();
            if self.root_counts {
                sum.ops = own[module.index()].ops.clone();
            }
            for (_, child) in trace.named_children(module) {
                sum.ops = float64(sum.ops + &sums[child.index()].ops);
                sum.params = float64(sum.params + &sums[child.index()].params);
            }
            sums[module.index()] = sum;
        }
        sums
    }

    /// One row for each place in the tree that `ret_layer_info` has, and the root.
    fn rows(&self, trace: &Trace, sums: &[Totals]) -> Vec<Layer> {
        let calls = trace.calls_by_module();
        let mut rows = Vec::new();
        let mut open = vec![(String::new(), 0, Trace::ROOT)];
        while let Some((path, depth, module)) = open.pop() {
            let whole = module != Trace::ROOT && self.is_whole(trace, module);
            if !whole {
                let children: Vec<_> = trace.named_children(module).collect();
                for (name, child) in children.into_iter().rev() {
                    let dot = if path.is_empty() { "" } else { "." };
                    open.push((format!("{path}{dot}{name}"), depth + 1, child));
                }
            }
            let calls = &calls[module.index()];
            let last = calls.last().map(|call| &trace.call(*call).output);
            let sum = &sums[module.index()];
            rows.push(Layer {
                path,
                class: trace.module(module).class.short_name().into(),
                depth,
                calls: calls.len(),
                count: Some(sum.ops.clone()),
                params: Some(sum.params.clone()),
                output_shape: last.and_then(|output| first_shape(trace, output)),
                module,
                is_container: !whole && !trace.module(module).children.is_empty(),
            });
        }
        rows
    }

    /// How often a call of a module is in the total: hooks times places.
    fn weights(&self, trace: &Trace) -> (Vec<Dim>, Vec<Dim>) {
        let hooks = trace.places(|_| true);
        let mut places =
            trace.places(|module| module == Trace::ROOT || !self.is_whole(trace, module));
        if !self.root_counts && !places.is_empty() {
            places[Trace::ROOT.index()] = Dim::ZERO;
        }
        (hooks, places)
    }
}

impl Convention for Thop {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        self.info().forward_only(options)?;
        let mut report = Report::new(self.info(), trace);
        let (hooks, places) = self.weights(trace);
        let mut own = vec![Totals::default(); trace.modules.len()];
        for (id, call) in trace.calls() {
            let Target::Module(module) = call.target else {
                continue;
            };
            let scope = ThopScope(CallScope { trace, call: id });
            let rules = &self.table.rules;
            let Some(counted) = rules.evaluate_or_fail(trace, id, &scope, &mut report)? else {
                continue;
            };
            let at = module.index();
            own[at].ops = float64(own[at].ops.clone() + counted.total() * &hooks[at]);
            own[at].params = trace.parameter_count(module).0;
            let weight = &hooks[at] * &places[at];
            if weight != Dim::ZERO {
                let entries = counted.parts.into_iter().map(|(part, count)| Entry {
                    call: id,
                    module,
                    rule: counted.rule,
                    part,
                    count: count * &weight,
                });
                report.entries.extend(entries);
            }
        }
        let sums = self.sums(trace, &own);
        let total = sums.first().cloned().unwrap_or_default();
        report.set_count(trace, total.ops)?;
        report.params = Some(total.params);
        report.layers = self.rows(trace, &sums);
        Ok(report)
    }

    fn with_values(&self, trace: &Trace, entry: &Entry) -> Option<String> {
        let call = entry.call;
        let scope = ThopScope(CallScope { trace, call });
        Some(self.formula(entry)?.with_values(&scope))
    }
}
