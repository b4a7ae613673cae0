//! Convention: fvcore 0.1.5.
//!
//! It counts over the graph that `torch.jit.trace` records, one handler an operator; the handlers
//! are tables in `rules/`. An operator without a handler is reported as unsupported, unless it is
//! on a list of those that cost nothing.

mod ignored;

use once_cell::sync::Lazy;
use std::collections::{BTreeMap, HashMap};

use modelcost_core::SmolStr;
use modelcost_core::convention::{Convention, Failure, Options, Registration};
use modelcost_core::dim::Dim;
use modelcost_core::jit::{self, Node, OperatorScope, Role};
use modelcost_core::report::{Entry, Extra, Report, layers};
use modelcost_core::table::Table;
use modelcost_core::trace::{ModuleId, Trace};

struct Fvcore {
    flops: Table,
    activations: Table,
}

static FVCORE: Lazy<Fvcore> = Lazy::new(|| Fvcore {
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
                Role::Scalar { .. } | Role::Fused => None,
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
    fn table(&self) -> &Table {
        &self.flops
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        self.info().forward_only(options)?;
        let graph = jit::graph(trace, true).map_err(|reason| self.info().fails(reason))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    use modelcost_core::sketch::{model, operator, returning, tensor};
    use modelcost_core::trace::{Class, Module, Target, TensorId, TraceBuilder};
    use modelcost_core::value::Value;

    fn report(builder: TraceBuilder, output: TensorId) -> Result<Report, Failure> {
        FVCORE.count(&returning(builder, output), &Options::default())
    }

    fn extras(report: &Report) -> Vec<String> {
        let extras = report.extras.iter();
        extras
            .map(|extra| format!("{}={}", extra.name, extra.value))
            .collect()
    }

    #[test]
    fn counts_what_fvcore_0_1_5_prints() {
        // nn.GRUCell(32, 48) on 5×32.
        let mut builder = model();
        let x = tensor(&mut builder, &[5, 32]).into();
        let w_ih = tensor(&mut builder, &[144, 32]).into();
        let w_hh = tensor(&mut builder, &[144, 48]).into();
        let arguments = [("input", x), ("w_ih", w_ih), ("w_hh", w_hh)];
        let out = operator(&mut builder, "aten.gru_cell", &arguments, &[5, 48]);
        let report = report(builder, out).unwrap();
        assert_eq!(*report.count.as_ref().unwrap().count(), Dim::from(57_600));
        assert_eq!(
            extras(&report),
            [
                "activations=1440",
                "by_operator linear=57600",
                "unsupported aten::add=1",
                "unsupported aten::add_=3",
                "unsupported aten::mul_=2",
                "unsupported aten::sigmoid_=2",
                "unsupported aten::sub=1",
                "unsupported aten::tanh_=1",
                "unsupported aten::unsafe_chunk=2",
            ]
        );
    }

    #[test]
    fn halves_what_numpy_prints_for_an_einsum() {
        // torch.einsum("bnhd,bmhd->bhnm", q, q) with q of 2×10×4×16: 12800.0 in by_operator().
        let mut builder = model();
        let q = Value::Tensor(tensor(&mut builder, &[2, 10, 4, 16]));
        let tensors = Value::List(vec![q.clone(), q]);
        let arguments = [("equation", "bnhd,bmhd->bhnm".into()), ("tensors", tensors)];
        let out = operator(&mut builder, "aten.einsum", &arguments, &[2, 4, 10, 10]);
        let report = report(builder, out).unwrap();
        assert_eq!(
            extras(&report),
            ["activations=800", "by_operator einsum=12800"]
        );
    }

    #[test]
    fn padding_by_name_is_unsupported() {
        // nn.Conv2d(4, 4, 3, padding="same"): torch 2.15 records aten::_convolution_mode.
        let mut builder = model();
        let x = tensor(&mut builder, &[1, 4, 8, 8]).into();
        let weight = tensor(&mut builder, &[4, 4, 3, 3]).into();
        let arguments = [("input", x), ("weight", weight), ("padding", "same".into())];
        let out = operator(&mut builder, "aten.conv2d", &arguments, &[1, 4, 8, 8]);
        let report = report(builder, out).unwrap();
        assert_eq!(
            extras(&report),
            ["activations=0", "unsupported aten::_convolution_mode=1"]
        );
    }

    #[test]
    fn a_product_with_a_vector_is_an_error() {
        let mut builder = model();
        let x = tensor(&mut builder, &[3, 4]).into();
        let vector = tensor(&mut builder, &[4]).into();
        let out = operator(
            &mut builder,
            "aten.matmul",
            &[("self", x), ("other", vector)],
            &[3],
        );
        assert!(matches!(report(builder, out), Err(Failure::Tool { .. })));
    }

    #[test]
    fn operators_belong_to_owners_not_to_callers() {
        // ancestor_mode("owner"): a module that another one calls counts for those that hold it.
        let mut builder = TraceBuilder::new("test", "test");
        let [root, a, b, fc] = ["Root", "A", "B", "Fc"].map(|name| {
            builder.module(Module {
                class: Class::new(name),
                ..Module::default()
            })
        });
        builder.add_child(root, "a", a);
        builder.add_child(root, "b", b);
        builder.add_child(a, "fc", fc);
        let x = tensor(&mut builder, &[2, 8]);
        let weight = tensor(&mut builder, &[4, 8]);
        for module in [root, b, fc] {
            builder.begin(Target::Module(module), Vec::new(), None);
        }
        let arguments = [("input", x.into()), ("weight", weight.into())];
        let out = operator(&mut builder, "aten.linear", &arguments, &[2, 4]);
        for _ in 0..3 {
            builder.end(Value::Tensor(out));
        }
        let report = FVCORE
            .count(&builder.finish(), &Options::default())
            .unwrap();
        let rows = report.layers.iter().map(|layer| {
            let count = layer.count.as_ref().map_or(String::new(), Dim::to_string);
            format!("{}={count}", layer.path)
        });
        assert_eq!(rows.collect::<Vec<_>>(), ["=64", "a=64", "a.fc=64", "b=0"]);
    }
}
