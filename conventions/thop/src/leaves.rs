//! `thop.profile` until January 2020: the modules without children, added up in float32.
//!
//! - Only leaves of the tree are hooked, known class or not, once for each parent that holds them.
//! - The total runs over `model.modules()`: each leaf once, the root too if it is one.
//! - Every leaf's parameters are reported, so what a parent owns itself is missing, and what two
//!   leaves share is there twice.
//! - All of it is kept in float32, which is exact up to 2²⁴: larger totals are rounded at each step.

use modelcost_core::convention::{Convention, Failure, Options};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::formula::CallScope;
use modelcost_core::report::{Entry, Report, layers};
use modelcost_core::table::Table;
use modelcost_core::trace::{ModuleId, Target, Trace};
use modelcost_core::value::Value;

use crate::recurrent::ThopScope;
use crate::tree::float32;

/// More hooks than this on one module are no model; their sum is then rounded once.
const MOST_HOOKS: usize = 64;

/// An old release of thop.
pub struct Leaves {
    /// Its rules.
    pub table: Table,
    /// Whether its average pools go by `kernel_size` as the layer was given it.
    pub reads_kernels: bool,
}

fn is_leaf(trace: &Trace, module: ModuleId) -> bool {
    trace.module(module).children.is_empty()
}

/// The class of a leaf of the user's own that has parameters, where the file does not say that nothing is inside it.
fn open_leaf(trace: &Trace) -> Option<&str> {
    let own = |class: &str| !class.starts_with("torch.") && !class.starts_with("torchvision.");
    let mut modules = trace.modules.iter().filter(|_| trace.idle_unknown);
    let open = modules.find(|module| {
        let has = module
            .parameters
            .iter()
            .any(|(_, parameter)| parameter.is_some());
        has && module.children.is_empty() && own(&module.class.name)
    })?;
    Some(open.class.short_name())
}

/// `total += torch.Tensor([count])`, by every hook.
fn add(total: Dim, count: Dim, hooks: &Dim) -> Dim {
    let count = float32(count);
    match hooks.as_usize() {
        Some(hooks) if hooks <= MOST_HOOKS => {
            (0..hooks).fold(total, |total, _| float32(total + &count))
        }
        _ => float32(total + count * hooks),
    }
}

/// The parameters of a leaf, as it adds them up.
fn parameters(trace: &Trace, module: ModuleId) -> Dim {
    let parameters = trace.named_parameters(module).into_iter();
    parameters.fold(Dim::ZERO, |total, (_, id)| {
        add(total, Dim::product(&trace.parameter(id).shape), &Dim::ONE)
    })
}

/// The kernel of an average pool of several dimensions was written as one number or as a tuple,
/// which count differently; an exported program holds a tuple either way.
fn kernel_is_guessed(trace: &Trace, module: ModuleId) -> bool {
    let module = trace.module(module);
    let mut attributes = module.attributes.iter();
    let kernel = attributes.find(|(name, _)| name == "kernel_size");
    let class = module.class.name.as_str();
    matches!(class, "torch.nn.AvgPool2d" | "torch.nn.AvgPool3d")
        && module.span.is_none()
        && matches!(kernel, Some((_, Value::Int(_))))
}

impl Convention for Leaves {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        self.info().forward_only(options)?;
        let mut report = Report::new(self.info(), trace);
        let hooks = trace.places(|_| true);
        let mut own = vec![Dim::ZERO; trace.modules.len()];
        for (id, call) in trace.calls() {
            let Target::Module(module) = call.target else {
                continue;
            };
            if !is_leaf(trace, module) {
                continue;
            }
            let scope = ThopScope(CallScope { trace, call: id });
            let rules = &self.table.rules;
            let Some(counted) = rules.evaluate_or_fail(trace, id, &scope, &mut report)? else {
                continue;
            };
            let at = module.index();
            own[at] = add(own[at].clone(), counted.total(), &hooks[at]);
            if self.reads_kernels && kernel_is_guessed(trace, module) {
                let note = "whether the kernel of an average pool was given as k or as (k, k) is not in the file: k is assumed";
                report.fidelity.note(Level::Reconstructed, note);
            }
            let entries = counted.parts.into_iter().map(|(part, count)| Entry {
                call: id,
                module,
                rule: counted.rule,
                part,
                count: count * &hooks[at],
            });
            report.entries.extend(entries);
        }

        let mut total = Dim::ZERO;
        let mut params = Dim::ZERO;
        for (_, module) in trace.named_modules() {
            if is_leaf(trace, module) {
                total = add(total, own[module.index()].clone(), &Dim::ONE);
                params = add(params, parameters(trace, module), &Dim::ONE);
            }
        }
        report.set_count(trace, total)?;
        report.params = Some(params);
        if let Some(class) = open_leaf(trace) {
            let note = format!(
                "the file leaves out modules that change nothing; a {class} that holds one is no leaf, and is taken to hold none"
            );
            report.fidelity.note(Level::Reconstructed, note);
        }
        report.layers = layers(trace, |module| {
            if is_leaf(trace, module) {
                (
                    Some(own[module.index()].clone()),
                    Some(parameters(trace, module)),
                )
            } else {
                (None, None)
            }
        });
        Ok(report)
    }

    fn with_values(&self, trace: &Trace, entry: &Entry) -> Option<String> {
        let call = entry.call;
        let scope = ThopScope(CallScope { trace, call });
        Some(self.formula(entry)?.with_values(&scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelcost_core::dtype::DType;
    use modelcost_core::trace::{Class, Module, TraceBuilder};

    #[test]
    fn a_leaf_that_may_hold_something() {
        let mut builder = TraceBuilder::new("test", "onnx");
        let own = builder.module(Module {
            class: Class::new("net.NormAct"),
            ..Module::default()
        });
        let shape = vec![Dim::from(8)];
        builder.parameter(own, "weight", "weight", shape, DType::Float32);
        let mut trace = builder.finish();
        assert_eq!(open_leaf(&trace), None);
        trace.idle_unknown = true;
        assert_eq!(open_leaf(&trace), Some("NormAct"));
        trace.modules[0].class = Class::new("torch.nn.BatchNorm2d");
        assert_eq!(open_leaf(&trace), None);
    }
}
