//! `get_flops_aten`: operators as they reach a `TorchDispatchMode`.
//!
//! Only the modules right below the root get hooks, to tell their sums apart. Attention that is fused
//! into one operator has no rule; PyTorch fuses it where no gradient is to be kept, and encoder
//! layers only when they have no hooks.

use modelcost_core::convention::{Convention, Failure, Options};
use modelcost_core::dim::Dim;
use modelcost_core::formula::CallScope;
use modelcost_core::fused::{self, Fused, Run};
use modelcost_core::report::Report;
use modelcost_core::table::{Params, Table, finish, is_innermost};
use modelcost_core::trace::{CallId, Target, Trace};

/// ptflops, its backend "aten".
pub struct Aten {
    /// Its rules.
    pub table: Table,
}

/// All calls but those inside fused ones, which are not made.
pub fn unfused(trace: &Trace, fused: &[Fused]) -> impl Iterator<Item = CallId> {
    let mut fused = fused.iter().peekable();
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= trace.calls.len() {
            return None;
        }
        let id = CallId::new(at);
        at += 1;
        while fused.next_if(|fused| fused.call < id).is_some() {}
        if fused.next_if(|fused| fused.call == id).is_some() {
            at = trace.call(id).end.index();
        }
        Some(id)
    })
}

/// The fused calls, given that the modules right below the root have hooks.
fn fused_calls(trace: &Trace) -> Vec<Fused> {
    let calls = |hooks| {
        let run = Run {
            gradients: true,
            hooks,
        };
        fused::calls(trace, run)
    };
    let is_hooked = |fused: &Fused| match trace.call(fused.call).target {
        Target::Module(module) => trace
            .named_children(Trace::ROOT)
            .any(|(_, child)| child == module),
        _ => false,
    };
    let (hooked, mut out): (Vec<_>, Vec<_>) = calls(false).into_iter().partition(is_hooked);
    if !hooked.is_empty() {
        let inside = |fused: &Fused| {
            let mut outer = hooked
                .iter()
                .map(|outer| (outer.call, trace.call(outer.call).end));
            outer.any(|(from, to)| from <= fused.call && fused.call < to)
        };
        out.extend(calls(true).into_iter().filter(inside));
        out.sort_by_key(|fused| fused.call);
    }
    out
}

impl Convention for Aten {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        self.info().forward_only(options)?;
        let mut report = Report::new(self.info(), trace);
        let mut total = Dim::ZERO;
        for call in unfused(trace, &fused_calls(trace)) {
            if !is_innermost(trace, call) {
                continue;
            }
            let scope = CallScope { trace, call };
            let rules = &self.table.rules;
            if let Some(counted) = rules.evaluate_or_fail(trace, call, &scope, &mut report)? {
                total += counted.total();
                report.record(trace, call, counted);
            }
        }
        finish(trace, report, Some(total), Params::Trainable, |_| true)
    }
}
