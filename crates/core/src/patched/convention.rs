//! A convention that is a counter of patched functions.

use smol_str::SmolStr;

use crate::convention::{Convention, Failure, Options};
use crate::dim::Dim;
use crate::fidelity::Level;
use crate::formula::CallScope;
use crate::patched::{Patched, Signatures};
use crate::report::{Entry, Extra, Report, layers};
use crate::table::{Params, Table, function_name};
use crate::trace::{ModuleId, Target, Trace};

/// How often a module is added that stands in several places of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aliases {
    /// Once: the sum is over `modules()`.
    Once,
    /// Once for every place: the sum goes from each module to its `children()`.
    EveryPlace,
}

/// A counter of FLOPs and of MACs, each a table of rules over the same counting functions.
#[derive(Clone, Debug)]
pub struct PatchedConvention {
    /// The rules for the main number, and what is reported as parameters.
    pub table: Table,
    /// The rules for the MACs beside it.
    pub macs: Table,
    /// The parameters of the counting functions.
    pub signatures: Signatures,
    /// How modules that stand in several places are added up.
    pub aliases: Aliases,
    /// How many forward passes it takes a backward pass for, where it can be asked for one.
    pub backward: Option<u32>,
    /// What it raises for a model without parameters, if it does.
    pub without_parameters: Option<&'static str>,
}

impl PatchedConvention {
    /// Functions that a rule names and no signature: a mistake in the tables.
    pub fn without_signature(&self) -> Vec<SmolStr> {
        let rules = self.table.rules.rules().iter();
        let functions = rules
            .chain(self.macs.rules.rules())
            .flat_map(|rule| &rule.functions);
        functions
            .filter(|name| self.signatures.get(&function_name(name)).is_none())
            .cloned()
            .collect()
    }

    fn counter<'a>(&'a self, table: &'a Table) -> Patched<'a> {
        Patched {
            rules: &table.rules,
            signatures: &self.signatures,
        }
    }

    /// How often the total adds what each module accumulates.
    fn weights(&self, trace: &Trace) -> Vec<Dim> {
        let mut weights = vec![Dim::ZERO; trace.modules.len()];
        if let Some(root) = weights.first_mut() {
            *root = Dim::ONE;
        }
        for module in postorder(trace).into_iter().rev() {
            for (_, child) in trace.named_children(module) {
                match self.aliases {
                    Aliases::Once => weights[child.index()] = Dim::ONE,
                    Aliases::EveryPlace => {
                        let weight = weights[module.index()].clone();
                        weights[child.index()] += weight;
                    }
                }
            }
        }
        weights
    }

    /// The sum in each module and all that it holds.
    fn inclusive(&self, trace: &Trace, sums: &[Dim]) -> Vec<Dim> {
        let mut out = sums.to_vec();
        match self.aliases {
            Aliases::EveryPlace => {
                for module in postorder(trace) {
                    for (_, child) in trace.named_children(module) {
                        let below = out[child.index()].clone();
                        out[module.index()] += below;
                    }
                }
            }
            Aliases::Once => {
                for module in (0..out.len()).map(ModuleId::new) {
                    let inside = trace.modules_inside(module);
                    out[module.index()] = inside.iter().map(|id| sums[id.index()].clone()).sum();
                }
            }
        }
        out
    }
}

/// Every module after those that it holds.
fn postorder(trace: &Trace) -> Vec<ModuleId> {
    let mut seen = vec![false; trace.modules.len()];
    let mut order = Vec::with_capacity(seen.len());
    // A module, and which of its children comes next.
    let mut open: Vec<(ModuleId, usize)> = Vec::new();
    if !seen.is_empty() {
        seen[Trace::ROOT.index()] = true;
        open.push((Trace::ROOT, 0));
    }
    while let Some((module, next)) = open.last_mut() {
        match trace.module(*module).children.get(*next) {
            Some((_, child)) => {
                *next += 1;
                if !std::mem::replace(&mut seen[child.index()], true) {
                    open.push((*child, 0));
                }
            }
            None => {
                order.push(*module);
                open.pop();
            }
        }
    }
    order
}

impl Convention for PatchedConvention {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        let backward = match self.backward {
            Some(passes) if options.training => passes,
            Some(_) => 0,
            None => {
                self.info().forward_only(options)?;
                0
            }
        };
        let mut report = Report::new(self.info(), trace);
        let (total, trainable) = trace.parameter_count(Trace::ROOT);
        if let Some(raised) = self.without_parameters
            && trace.named_parameters(Trace::ROOT).is_empty()
        {
            return Err(self.info().fails(raised));
        }
        let sums = self.counter(&self.table).count(trace, &mut report)?;
        let mut unused = Report::new(&self.macs.info, trace);
        let macs = self.counter(&self.macs).count(trace, &mut unused)?;

        let weights = self.weights(trace);
        for Entry { module, count, .. } in &mut report.entries {
            *count *= &weights[module.index()];
        }
        if backward > 0 {
            let passes = Dim::from(backward);
            let again = report.entries.iter().map(|entry| Entry {
                part: "backward".into(),
                count: &entry.count * &passes,
                ..entry.clone()
            });
            let again: Vec<Entry> = again.collect();
            report.entries.extend(again);
        }
        let count = report.entries.iter().map(|entry| entry.count.clone()).sum();
        report.set_count(trace, count)?;
        let macs: Dim = macs
            .iter()
            .zip(&weights)
            .map(|(sum, weight)| sum * weight)
            .sum::<Dim>()
            * Dim::from(backward + 1);
        report.extras.push(Extra {
            name: "macs".into(),
            value: macs.to_string(),
            exact: Some(macs),
        });
        if self.table.params == Params::Trainable {
            trace.note_frozen(&mut report.fidelity, Level::Reconstructed);
        }
        (report.params, report.trainable_params) = match self.table.params {
            Params::Trainable => (Some(trainable.clone()), Some(trainable)),
            _ => (Some(total), Some(trainable)),
        };
        let inclusive = self.inclusive(trace, &sums);
        let passes = Dim::from(backward + 1);
        report.layers = layers(trace, |module| {
            let (all, trainable) = trace.parameter_count(module);
            let params = match self.table.params {
                Params::Trainable => trainable,
                _ => all,
            };
            (Some(&inclusive[module.index()] * &passes), Some(params))
        });
        Ok(report)
    }

    fn with_values(&self, trace: &Trace, entry: &Entry) -> Option<String> {
        let formula = self.formula(entry)?;
        let scope = match trace.call(entry.call).target {
            Target::Function(_) => {
                let report = Report::new(self.info(), trace);
                self.counter(&self.table)
                    .scope(trace, entry.call, &report)
                    .ok()?
            }
            _ => None,
        };
        Some(match scope {
            Some(scope) => formula.with_values(&scope),
            None => formula.with_values(&CallScope {
                trace,
                call: entry.call,
            }),
        })
    }
}
