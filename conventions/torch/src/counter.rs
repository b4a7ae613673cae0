//! The count itself.

use modelcost_core::convention::{Convention, Failure, Options};
use modelcost_core::fidelity::Level;
use modelcost_core::formula::{EvalError, Quantity, Scope};
use modelcost_core::fused::{self, Run};
use modelcost_core::gradients::Gradients;
use modelcost_core::jit::OperatorScope;
use modelcost_core::report::{Entry, Report, inclusive_counts, layers};
use modelcost_core::table::{Table, describe};
use modelcost_core::trace::{CallId, Target, Trace};

use crate::factorisations;
use crate::hooks;
use crate::in_place;
use crate::names;
use crate::operands::{self, Mask};

/// What is run while the counter listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The model, with gradients enabled.
    Forward,
    /// The model under `torch.no_grad()`.
    WithoutGradients,
    /// The model, and the backward pass of the sum of its outputs.
    ForwardAndBackward,
}

/// `FlopCounterMode`.
#[derive(Debug)]
pub struct Counter {
    /// Formulas.
    pub table: Table,
    /// What is run.
    pub pass: Pass,
}

/// The names of an operator's formula: those of any operator, and `output_mask`.
struct TrainScope<'a> {
    operator: OperatorScope<'a>,
    mask: Mask,
}

impl Scope for TrainScope<'_> {
    fn get(&self, name: &str) -> Result<Quantity, EvalError> {
        match name {
            "output_mask" => Ok(Quantity::Seq(self.mask.map(Quantity::Bool).to_vec())),
            name => self.operator.get(name),
        }
    }
}

impl Counter {
    /// Adds what an operator counts to the report.
    fn add(
        &self,
        trace: &Trace,
        call: CallId,
        mask: Mask,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let operator = OperatorScope::new(trace, call);
        let scope = TrainScope { operator, mask };
        let counted = self
            .table
            .rules
            .evaluate_or_fail(trace, call, &scope, report)?;
        if let Some(counted) = counted {
            report.record(trace, call, counted);
        }
        Ok(())
    }

    /// The operators that have a formula and that the counter gets to see, each with the outermost
    /// operator that it is in.
    fn counted(&self, trace: &Trace) -> Vec<(CallId, Vec<CallId>)> {
        let run = Run {
            gradients: self.pass != Pass::WithoutGradients,
            hooks: false,
        };
        let mut fused = fused::calls(trace, run).into_iter().peekable();
        let mut out: Vec<(CallId, Vec<CallId>)> = Vec::new();
        let mut at = 0;
        let mut outer = None;
        while at < trace.calls.len() {
            let id = CallId::new(at);
            let call = trace.call(id);
            at += 1;
            match &call.target {
                Target::Module(_) if fused.next_if(|fused| fused.call == id).is_some() => {
                    at = call.end.index();
                    continue;
                }
                Target::Operator(_) => {}
                _ => continue,
            }
            if outer.is_none_or(|(_, end)| id >= end) {
                outer = Some((id, call.end));
            }
            let Some((outer, _)) = outer else { continue };
            if self.table.rules.candidates(trace, id).is_empty() {
                continue;
            }
            match out.last_mut() {
                Some((last, inner)) if *last == outer => inner.push(id),
                _ => out.push((outer, vec![id])),
            }
            // What an operator with a formula dispatches to is not seen again.
            at = call.end.index();
        }
        out
    }
}

impl Convention for Counter {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        match self.pass {
            Pass::Forward if options.training => return crate::TRAIN.count(trace, options),
            Pass::WithoutGradients if options.training => {
                let message = "without gradients there is no backward pass".to_string();
                return Err(Failure::NotAvailable(message));
            }
            _ => {}
        }
        let mut report = Report::new(self.info(), trace);
        if matches!(self.pass, Pass::WithoutGradients) && hooks::fail(trace) {
            let reason = "AssertionError: Expected gradient function to be set, by a hook on a module that is given a view of a parameter";
            return Err(self.info().fails(reason));
        }
        if matches!(self.pass, Pass::WithoutGradients)
            && let Some(module) = fused::subclass(trace)
        {
            let name = trace.module(module).class.short_name();
            let note = format!(
                "{name} may be an nn.MultiheadAttention that takes its fused path; taken not to be"
            );
            report.fidelity.note(Level::Reconstructed, note);
        }
        let operators = self.counted(trace);
        let backward = (self.pass == Pass::ForwardAndBackward).then(|| Gradients::new(trace));
        if let Some(gradients) = &backward {
            trace.note_frozen(&mut report.fidelity, Level::Reconstructed);
            factorisations::note(trace, gradients, &mut report.fidelity);
            let outputs = trace.outputs();
            if !outputs.is_empty() && !outputs.iter().any(|id| gradients.requires_grad(*id)) {
                let reason = "AttributeError: no output requires a gradient, so there is nothing to go back from";
                return Err(self.info().fails(reason));
            }
            if in_place::fail(trace, gradients) {
                let reason =
                    "RuntimeError: a value that the backward pass needs is changed in place";
                return Err(self.info().fails(reason));
            }
        }
        for (outer, inner) in operators {
            let masks = match &backward {
                None => vec![[false; 2]; inner.len()],
                Some(gradients) => match operands::masks(trace, outer, &inner, gradients) {
                    Some(masks) => masks,
                    None => {
                        let call = describe(trace, outer);
                        let note = format!(
                            "the backward pass of {call} is taken to need the gradients of both factors"
                        );
                        report.fidelity.note(Level::Reconstructed, note);
                        vec![[true; 2]; inner.len()]
                    }
                },
            };
            for (call, mask) in inner.into_iter().zip(masks) {
                self.add(trace, call, mask, &mut report)?;
            }
        }
        let total = report.entries.iter().map(|entry| entry.count.clone()).sum();
        report.set_count(trace, total)?;
        let counts = inclusive_counts(trace, &report.entries);
        report.layers = layers(trace, |module| {
            (Some(counts.get(&module).cloned().unwrap_or_default()), None)
        });
        let paths = names::paths(trace);
        for layer in &mut report.layers {
            if let Some(path) = &paths[layer.module.index()] {
                layer.path.clone_from(path);
            }
        }
        Ok(report)
    }

    fn with_values(&self, trace: &Trace, entry: &Entry) -> Option<String> {
        let formula = self.formula(entry)?;
        let mask = if formula.names().contains("output_mask") {
            let gradients = Gradients::new(trace);
            let operators = self.counted(trace);
            let (outer, inner) = operators
                .into_iter()
                .find(|(_, inner)| inner.contains(&entry.call))?;
            let position = inner.iter().position(|call| *call == entry.call)?;
            operands::masks(trace, outer, &inner, &gradients)
                .map_or([true; 2], |masks| masks[position])
        } else {
            [false; 2]
        };
        let operator = OperatorScope::new(trace, entry.call);
        Some(formula.with_values(&TrainScope { operator, mask }))
    }
}
