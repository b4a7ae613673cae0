//! Convention: torchprofile 0.1.0.
//!
//! It counts over the graph that `torch.jit.trace` records, one handler an operator; the handlers
//! are the table in `rules/`.

use std::sync::LazyLock;

use modelcost_core::convention::{Convention, Failure, Info, Options, Registration};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::jit::{self, OperatorScope, Role};
use modelcost_core::report::{Entry, Report};
use modelcost_core::table::{Rule, Table, finish};
use modelcost_core::trace::Trace;

struct Torchprofile {
    table: Table,
}

static TORCHPROFILE: LazyLock<Torchprofile> = LazyLock::new(|| Torchprofile {
    table: Table::built_in(include_str!("../rules/torchprofile-0.1.0.toml")),
});

inventory::submit! { Registration {
    id: "torchprofile", version: "0.1.0", variant: "", default_variant: true, order: 110,
    load: || &*TORCHPROFILE as &dyn Convention,
} }

impl Torchprofile {
    /// The rule for products, which are also what sizes are multiplied by.
    fn product_rule(&self) -> Option<usize> {
        let is_product = |rule: &Rule| rule.operators.iter().any(|name| name == "aten.mul");
        self.rules().iter().position(is_product)
    }
}

impl Convention for Torchprofile {
    fn info(&self) -> &Info {
        &self.table.info
    }

    fn rules(&self) -> &[Rule] {
        self.table.rules.rules()
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        if options.training {
            let message = format!(
                "{} has no rule for the backward pass",
                self.info().identity()
            );
            return Err(Failure::NotAvailable(message));
        }
        let mut report = Report::new(self.info(), trace);
        let mut counted_cell = None;
        for node in jit::graph(trace) {
            let call = node.call;
            match node.role {
                Role::Scalar { from_line } => {
                    if let ("aten::mul", Some(rule)) = (node.kind.as_str(), self.product_rule()) {
                        if from_line {
                            let note = "products of sizes, which torchprofile counts, were read off the source lines";
                            report.fidelity.note(Level::Reconstructed, note);
                        }
                        report.entries.push(Entry {
                            call,
                            module: trace.enclosing_module(call),
                            rule,
                            part: "sizes".into(),
                            count: Dim::ONE,
                        });
                    }
                }
                // One rule covers all that a cell is recorded as.
                Role::PartOfCell if counted_cell == Some(call) => {}
                Role::PartOfCell | Role::Operator => {
                    counted_cell = Some(call);
                    let scope = OperatorScope::new(trace, call);
                    let rules = &self.table.rules;
                    let counted = rules.evaluate_or_fail(trace, call, &scope, &mut report)?;
                    if let Some(counted) = counted {
                        report.record(trace, call, counted);
                    }
                }
            }
        }
        let total = report.entries.iter().map(|entry| entry.count.clone()).sum();
        finish(trace, report, Some(total), self.table.params, |_| false)
    }

    fn with_values(&self, trace: &Trace, entry: &Entry) -> Option<String> {
        let scope = OperatorScope::new(trace, entry.call);
        Some(self.formula(entry)?.with_values(&scope))
    }
}
