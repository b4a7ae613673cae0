//! Convention: fvcore 0.1.5.
//!
//! It counts over the graph that `torch.jit.trace` records, one handler an operator; the handlers
//! are tables in `rules/`. An operator without a handler is reported as unsupported, unless it is
//! on a list of those that cost nothing.

mod ignored;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use modelcost_core::SmolStr;
use modelcost_core::convention::{Convention, Failure, Info, Options, Registration};
use modelcost_core::dim::Dim;
use modelcost_core::jit::{self, Node, OperatorScope, Role};
use modelcost_core::report::{Entry, Extra, Report, layers};
use modelcost_core::table::{Rule, Table};
use modelcost_core::trace::{ModuleId, Trace};

struct Fvcore {
    flops: Table,
    activations: Table,
}

static FVCORE: LazyLock<Fvcore> = LazyLock::new(|| Fvcore {
    flops: Table::built_in(include_str!("../rules/fvcore-0.1.5.toml")),
    activations: Table::built_in(include_str!("../rules/activations.toml")),
});

inventory::submit! { Registration {
    id: "fvcore", version: "0.1.5", variant: "", default_variant: true, order: 40,
    load: || &*FVCORE as &dyn Convention,
} }

/// What one of the two analyses finds in a graph.
struct Analysis {
    report: Report,
    unsupported: BTreeMap<SmolStr, usize>,
}

impl Analysis {
    /// `JitModelAnalysis._analyze`.
    fn new(table: &Table, trace: &Trace, graph: &[Node]) -> Result<Analysis, Failure> {
        let mut report = Report::new(&table.info, trace);
        let mut unsupported = BTreeMap::new();
        let mut counted_cell = None;
        for node in graph {
            let counted = match node.role {
                Role::Scalar { .. } => None,
                // One rule covers the linear layers that a cell is recorded as.
                Role::PartOfCell if node.kind != "aten::linear" => None,
                Role::PartOfCell if counted_cell == Some(node.call) => continue,
                Role::PartOfCell | Role::Operator => {
                    counted_cell = Some(node.call);
                    let scope = OperatorScope::new(trace, node.call);
                    let rules = &table.rules;
                    rules.evaluate_or_fail(trace, node.call, &scope, &mut report)?
                }
            };
            match counted {
                Some(counted) => report.record(trace, node.call, counted),
                None if ignored::is_ignored(&node.kind) => {}
                None => *unsupported.entry(node.kind.clone()).or_default() += 1,
            }
        }
        Ok(Analysis {
            report,
            unsupported,
        })
    }

    fn total(&self) -> Dim {
        let counts = self.report.entries.iter().map(|entry| entry.count.clone());
        counts.sum()
    }

    fn by_operator(&self) -> BTreeMap<SmolStr, Dim> {
        let mut out: BTreeMap<SmolStr, Dim> = BTreeMap::new();
        for entry in &self.report.entries {
            *out.entry(entry.part.clone()).or_default() += &entry.count;
        }
        out
    }
}

/// An operator belongs to the module whose forward calls it, and to the modules that own that one
/// by the first path to it: `ancestor_mode("owner")`.
fn by_module(trace: &Trace, entries: &[Entry]) -> Vec<Dim> {
    let paths = trace.named_modules();
    let by_path: HashMap<&str, ModuleId> = paths.iter().map(|(p, id)| (p.as_str(), *id)).collect();
    let mut owners: Vec<Option<ModuleId>> = vec![None; trace.modules.len()];
    for (path, id) in paths.iter().filter(|(path, _)| !path.is_empty()) {
        let owner = path.rsplit_once('.').map_or("", |(owner, _)| owner);
        owners[id.index()] = by_path.get(owner).copied();
    }
    let mut out = vec![Dim::ZERO; trace.modules.len()];
    for entry in entries {
        let mut at = Some(entry.module);
        while let Some(module) = at {
            out[module.index()] += &entry.count;
            at = owners[module.index()];
        }
    }
    out
}

impl Convention for Fvcore {
    fn info(&self) -> &Info {
        &self.flops.info
    }

    fn rules(&self) -> &[Rule] {
        self.flops.rules.rules()
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        if options.training {
            let message = format!(
                "{} has no rule for the backward pass",
                self.info().identity()
            );
            return Err(Failure::NotAvailable(message));
        }
        let graph = jit::graph(trace);
        let flops = Analysis::new(&self.flops, trace, &graph)?;
        let activations = Analysis::new(&self.activations, trace, &graph)?.total();
        let total = flops.total();
        let extra = |name: String, exact: Dim| Extra {
            name,
            value: exact.to_string(),
            exact: Some(exact),
        };
        let mut extras = vec![extra("activations".into(), activations)];
        let by_operator = flops.by_operator().into_iter();
        extras.extend(by_operator.map(|(name, count)| extra(format!("by_operator {name}"), count)));
        let unsupported = flops.unsupported.iter();
        extras.extend(
            unsupported.map(|(kind, times)| extra(format!("unsupported {kind}"), (*times).into())),
        );
        let mut report = flops.report;
        report.extras = extras;
        report.set_count(trace, total)?;
        let counts = by_module(trace, &report.entries);
        report.layers = layers(trace, |module| (Some(counts[module.index()].clone()), None));
        Ok(report)
    }

    fn with_values(&self, trace: &Trace, entry: &Entry) -> Option<String> {
        let scope = OperatorScope::new(trace, entry.call);
        Some(self.formula(entry)?.with_values(&scope))
    }
}
