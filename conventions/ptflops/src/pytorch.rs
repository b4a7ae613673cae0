//! `get_flops_pytorch`: hooks on modules, and from 0.7 on handlers in front of functions.
//!
//! - A module's number is added once for every place that holds it; the sum stops at a module that
//!   has a rule, and what its own modules count is left out.
//! - The sum over modules is divided by the batch, which is the length of the root's first
//!   positional argument; functions are added after that, undivided.
//! - A model of one input is called as `model(batch)`. One of several can only be called by keyword,
//!   from the dict of an input constructor: hooks on the root are then given no arguments, and the
//!   batch counts as one. So it is in 0.6.9 whenever there is an input constructor, which a batch
//!   other than one and an input that is not a float need.

use modelcost_core::convention::{Convention, Failure, Options};
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::fidelity::Level;
use modelcost_core::formula::{CallScope, Quantity, Scope};
use modelcost_core::fused::{self, Run};
use modelcost_core::patched::{Patched, Signatures};
use modelcost_core::report::{Entry, Layer, Report, first_shape};
use modelcost_core::table::{Counted, Table, describe};
use modelcost_core::trace::{CallId, ModuleId, Passed, Target, Trace};
use modelcost_core::value::Value;

use crate::aten::unfused;
use crate::scope::{HandlerScope, HookScope, batch_size};

/// A release of ptflops, its backend "pytorch".
pub struct Ptflops {
    /// Its rules.
    pub table: Table,
    /// The parameters of its function handlers; none in 0.6.9.
    pub signatures: Signatures,
    /// Whether an input constructor may return what the model is called with, and not keyword
    /// arguments only.
    pub passes_batch: bool,
}

/// What the calls of a model add up to, before the average.
struct Sums {
    /// By module.
    hooks: Vec<Dim>,
    /// All functions together.
    functions: Dim,
    /// What truncation took from single functions; ptflops truncates their sum.
    fractions: f64,
}

impl Ptflops {
    fn is_supported(&self, trace: &Trace, module: ModuleId) -> bool {
        self.table.rules.has_class(&trace.module(module).class)
    }

    /// What the root is called with by position; `None` when by keyword.
    fn root_input<'t>(&self, trace: &'t Trace) -> Option<&'t Value> {
        let root = trace.call(trace.root_call()?);
        let mut given = root
            .arguments
            .iter()
            .filter(|argument| argument.passed != Passed::Default);
        let (Some(only), None) = (given.next(), given.next()) else {
            return None;
        };
        if !self.passes_batch {
            let tensor = trace.tensor(only.value.tensor()?);
            let batch = tensor.shape.as_ref()?.first()?;
            let is_float = tensor.dtype.is_none_or(|dtype| dtype.is_floating_point());
            // A free batch may be one.
            if !is_float || batch.as_const().is_some_and(|batch| batch != 1) {
                return None;
            }
        }
        Some(&only.value)
    }

    /// The type of the input that a release without input constructors makes, where it is not that
    /// of the input: `new_empty(…, dtype=next(model.parameters()).dtype)`.
    fn other_dtype(&self, trace: &Trace) -> Option<DType> {
        if self.passes_batch {
            return None;
        }
        let input = trace.tensor(self.root_input(trace)?.tensor()?).dtype?;
        let modules = trace.named_modules().into_iter();
        let mut parameters = modules.flat_map(|(_, id)| &trace.module(id).parameters);
        let first = parameters.find_map(|(_, parameter)| *parameter)?;
        let made = trace.parameter(first).dtype;
        (made != input).then_some(made)
    }

    /// What the sum over modules is divided by.
    fn batch(&self, trace: &Trace) -> Result<Dim, Failure> {
        let batch = match self.root_input(trace) {
            // 0.6.9 divides by one: its own batch, or that of a call by keyword.
            Some(input) if self.passes_batch => batch_size(trace, input).ok_or_else(|| {
                let reason = "it takes the length of the model's input, which has none";
                self.info().fails(reason)
            })?,
            _ => Dim::ONE,
        };
        if batch == Dim::ZERO {
            return Err(self.info().fails("it divides by the batch, which is empty"));
        }
        Ok(batch)
    }

    fn hook_scope<'t>(&self, trace: &'t Trace, call: CallId) -> HookScope<'t> {
        HookScope {
            call: CallScope { trace, call },
            by_keyword: trace.root_call() == Some(call) && self.root_input(trace).is_none(),
        }
    }

    fn patched(&self) -> Patched<'_> {
        Patched {
            rules: &self.table.rules,
            signatures: &self.signatures,
        }
    }

    fn count_hook(
        &self,
        trace: &Trace,
        call: CallId,
        report: &mut Report,
    ) -> Result<Option<Counted>, Failure> {
        let scope = self.hook_scope(trace, call);
        let Target::Module(module) = trace.call(call).target else {
            return Ok(None);
        };
        if trace.module(module).class.name == "torch.nn.MultiheadAttention" {
            let given = match scope.get("inputs") {
                Ok(Quantity::Seq(inputs)) => inputs.len(),
                _ => 0,
            };
            if given != 3 {
                let size = if given < 3 {
                    format!("not enough values to unpack (expected 3, got {given})")
                } else {
                    "too many values to unpack (expected 3)".into()
                };
                let call = describe(trace, call);
                let reason =
                    format!("its rule for {call} unpacks the positional arguments: {size}");
                return Err(report.convention.fails(reason));
            }
        }
        self.table
            .rules
            .evaluate_or_fail(trace, call, &scope, report)
    }

    fn sums(&self, trace: &Trace, report: &mut Report) -> Result<Sums, Failure> {
        let places = trace.places(|module| !self.is_supported(trace, module));
        let mut sums = Sums {
            hooks: vec![Dim::ZERO; trace.modules.len()],
            functions: Dim::ZERO,
            fractions: 0.0,
        };
        // Gradients are enabled, so attention is fused where it has none to keep; encoder layers hold
        // modules with hooks, and never are.
        let run = Run {
            gradients: true,
            hooks: true,
        };
        for id in unfused(trace, &fused::calls(trace, run)) {
            let call = trace.call(id);
            if self.table.rules.candidates(trace, id).is_empty() {
                continue;
            }
            if let Target::Module(module) = call.target {
                let Some(counted) = self.count_hook(trace, id, report)? else {
                    continue;
                };
                sums.hooks[module.index()] += counted.total();
                let weight = &places[module.index()];
                if *weight != Dim::ZERO {
                    let parts = counted.parts.into_iter();
                    let parts = parts.map(|(part, count)| (part, count * weight)).collect();
                    let rule = counted.rule;
                    report.record(trace, id, Counted { rule, parts });
                }
            } else if let Some(scope) = self.patched().scope(trace, id, report)? {
                let scope = HandlerScope(scope);
                let rules = &self.table.rules;
                let Some(counted) = rules.evaluate_or_fail(trace, id, &scope, report)? else {
                    continue;
                };
                sums.functions += counted.total();
                for (_, formula) in &self.rules()[counted.rule].parts {
                    if let Ok(Quantity::Float(value)) = formula.eval(&scope) {
                        sums.fractions += value.fract();
                    }
                }
                report.record(trace, id, counted);
            }
        }
        Ok(sums)
    }

    /// `accumulate_flops` and `accumulate_params` of every module.
    fn accumulate(&self, trace: &Trace, hooks: &[Dim]) -> Vec<(Dim, Dim)> {
        let mut sums = vec![(Dim::ZERO, Dim::ZERO); trace.modules.len()];
        for module in trace.children_first() {
            sums[module.index()] = if self.is_supported(trace, module) {
                let trainable = trace.parameter_count(module).1;
                (hooks[module.index()].clone(), trainable)
            } else {
                let children = trace.named_children(module);
                children.fold((Dim::ZERO, Dim::ZERO), |sum, (_, child)| {
                    let (flops, params) = &sums[child.index()];
                    (sum.0 + flops, sum.1 + params)
                })
            };
        }
        sums
    }

    /// The tree that ptflops prints, one row for each place.
    fn rows(&self, trace: &Trace, sums: &[(Dim, Dim)], batch: &Dim) -> Vec<Layer> {
        let calls = trace.calls_by_module();
        let mut rows = Vec::new();
        let mut open = Vec::new();
        if !trace.modules.is_empty() {
            open.push((String::new(), 0, Trace::ROOT));
        }
        while let Some((path, depth, module)) = open.pop() {
            for (name, child) in trace.module(module).children.iter().rev() {
                let dot = if path.is_empty() { "" } else { "." };
                open.push((format!("{path}{dot}{name}"), depth + 1, *child));
            }
            let calls = &calls[module.index()];
            let output = calls.last().map(|call| &trace.call(*call).output);
            let (flops, params) = &sums[module.index()];
            rows.push(Layer {
                path,
                class: trace.module(module).class.short_name().into(),
                depth,
                calls: calls.len(),
                count: Some(flops.floor_div(batch)),
                params: Some(params.clone()),
                output_shape: output.and_then(|output| first_shape(trace, output)),
                module,
                is_container: !self.is_supported(trace, module)
                    && !trace.module(module).children.is_empty(),
            });
        }
        rows
    }
}

impl Convention for Ptflops {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        self.info().forward_only(options)?;
        let mut report = Report::new(self.info(), trace);
        let sums = self.sums(trace, &mut report)?;
        let batch = self.batch(trace)?;
        if let Some(dtype) = self.other_dtype(trace) {
            let note = format!(
                "ptflops {} makes the input itself, in the type of the first parameter, {dtype}: the model may do something else with that",
                self.info().version
            );
            report.fidelity.note(Level::Reconstructed, note);
        }
        let accumulated = self.accumulate(trace, &sums.hooks);
        let flops = accumulated.first().map(|(flops, _)| flops.clone());
        let total = average(&flops.unwrap_or_default(), &batch, &sums);
        report.set_count(trace, total)?;
        let trainable = trace.parameter_count(Trace::ROOT).1;
        trace.note_frozen(&mut report.fidelity, Level::Reconstructed);
        report.params = Some(trainable.clone());
        report.trainable_params = Some(trainable);
        report.layers = self.rows(trace, &accumulated, &batch);
        Ok(report)
    }

    fn with_values(&self, trace: &Trace, entry: &Entry) -> Option<String> {
        let formula = self.formula(entry)?;
        let scope = self.hook_scope(trace, entry.call);
        if let Target::Module(_) = trace.call(entry.call).target {
            return Some(formula.with_values(&scope));
        }
        let report = Report::new(self.info(), trace);
        let scope = self.patched().scope(trace, entry.call, &report).ok()??;
        Some(formula.with_values(&HandlerScope(scope)))
    }
}

/// `int(flops / batch + functions)`, with Python's float64 quotient where the numbers are known.
fn average(flops: &Dim, batch: &Dim, sums: &Sums) -> Dim {
    match (
        flops.as_const(),
        batch.as_const(),
        sums.functions.as_const(),
    ) {
        (Some(flops), Some(batch), Some(functions)) => {
            let functions = functions as f64 + sums.fractions;
            Dim::from((flops as f64 / batch as f64 + functions) as i128)
        }
        _ => flops.floor_div(batch) + &sums.functions,
    }
}
