//! Counters that replace Python functions by ones that count.
//!
//! Such a counter puts its own `F.linear` in the place of PyTorch's, and that first computes a cost
//! from its arguments and then calls the original. What its formulas see is therefore what Python
//! binds to *their* parameters, so a table of signatures stands beside the rules:
//!
//! ```toml
//! "F.linear"     = "input, weight, bias=None"
//! "torch.einsum" = "equation, *operands"
//! ```
//!
//! Costs go to the innermost module that is being called and that the counter watches; a module
//! that has a rule of its own is not watched, its rule covers it.

mod convention;
mod signature;

pub use convention::{Aliases, PatchedConvention};
pub use signature::{BindError, Signature, Signatures};

use smol_str::SmolStr;

use crate::convention::Failure;
use crate::dim::Dim;
use crate::einsum;
use crate::formula::{CallScope, EvalError, Quantity, Scope};
use crate::fused::{self, Run};
use crate::report::{Entry, Report};
use crate::table::RuleSet;
use crate::trace::{CallId, ModuleId, Target, Trace};

/// The names that a counting function's formula may use: its parameters, and what every formula
/// may use of the call. Beyond the built-in functions there are those of an
/// [einsum](einsum::formula_function), and `left_aligned(a, b)`: the larger of two shapes' sizes,
/// dimension by dimension from the first.
pub struct PatchedScope<'a> {
    /// The call and what is known of it.
    pub call: CallScope<'a>,
    /// The parameters.
    pub bound: Vec<(SmolStr, Quantity)>,
}

impl Scope for PatchedScope<'_> {
    fn get(&self, name: &str) -> Result<Quantity, EvalError> {
        match self.bound.iter().find(|(parameter, _)| parameter == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.call.get(name),
        }
    }

    fn call(&self, name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
        match (name, arguments) {
            ("left_aligned", [Quantity::Seq(a), Quantity::Seq(b)]) => Some(left_aligned(a, b)),
            _ => einsum::formula_function(name, arguments),
        }
    }
}

fn left_aligned(a: &[Quantity], b: &[Quantity]) -> Result<Quantity, EvalError> {
    let size = |shape: &[Quantity], index: usize| match shape.get(index) {
        None => Ok(Dim::ONE),
        Some(Quantity::Int(size)) => Ok(size.clone()),
        Some(_) => Err(EvalError::Type("left_aligned() takes shapes".into())),
    };
    (0..a.len().max(b.len()))
        .map(|index| Ok(Quantity::Int(size(a, index)?.maximum(&size(b, index)?))))
        .collect::<Result<_, _>>()
        .map(Quantity::Seq)
}

/// A counter that replaces functions.
pub struct Patched<'a> {
    /// Rules for functions, over the parameters of the counting functions; and for modules that it
    /// counts by a hook of their own.
    pub rules: &'a RuleSet,
    /// The counting functions' parameters.
    pub signatures: &'a Signatures,
}

impl Patched<'_> {
    /// Counts every call. The entries of the report are attributed to the module that accumulates
    /// them, and so are the sums that are returned, by [`ModuleId::index`].
    pub fn count(&self, trace: &Trace, report: &mut Report) -> Result<Vec<Dim>, Failure> {
        let mut sums = vec![Dim::ZERO; trace.modules.len()];
        let mut registered = vec![false; trace.modules.len()];
        for (_, module) in trace.named_modules() {
            registered[module.index()] = true;
        }
        let watched = |module: ModuleId| {
            registered[module.index()] && !self.rules.has_class(&trace.module(module).class)
        };
        let run = Run {
            gradients: true,
            hooks: true,
        };
        let mut fused = fused::calls(trace, run).into_iter().peekable();
        let mut hidden = CallId::new(0);
        for (id, call) in trace.calls() {
            if fused.next_if(|fused| fused.call == id).is_some() {
                hidden = call.end;
            }
            if id < hidden {
                continue;
            }
            if self.rules.candidates(trace, id).is_empty() {
                continue;
            }
            let (module, counted) = match call.target {
                // Hooks are put on the modules that the root holds.
                Target::Module(module) if registered[module.index()] => {
                    let scope = CallScope { trace, call: id };
                    let counted = self.rules.evaluate_or_fail(trace, id, &scope, report)?;
                    (Some(module), counted)
                }
                Target::Module(_) => continue,
                _ => {
                    let Some(scope) = self.scope(trace, id, report)? else {
                        continue;
                    };
                    let counted = self.rules.evaluate_or_fail(trace, id, &scope, report)?;
                    (innermost(trace, id, &watched), counted)
                }
            };
            // What no watched module is called around is computed and thrown away.
            let (Some(module), Some(counted)) = (module, counted) else {
                continue;
            };
            sums[module.index()] += counted.total();
            report
                .entries
                .extend(counted.parts.into_iter().map(|(part, count)| Entry {
                    call: id,
                    module,
                    rule: counted.rule,
                    part,
                    count,
                }));
        }
        Ok(sums)
    }

    /// The scope of a call of a replaced function; an error if Python would not bind its arguments.
    pub fn scope<'t>(
        &self,
        trace: &'t Trace,
        call: CallId,
        report: &Report,
    ) -> Result<Option<PatchedScope<'t>>, Failure> {
        let Target::Function(name) = &trace.call(call).target else {
            return Ok(None);
        };
        let Some(signature) = self.signatures.get(name) else {
            return Ok(None);
        };
        let bound = signature
            .bind(trace, call)
            .map_err(|error| report.convention.fails(error.to_string()))?;
        let call = CallScope { trace, call };
        Ok(Some(PatchedScope { call, bound }))
    }
}

/// The module of the innermost call around this one that satisfies a condition.
fn innermost(
    trace: &Trace,
    call: CallId,
    condition: &dyn Fn(ModuleId) -> bool,
) -> Option<ModuleId> {
    let mut at = trace.call(call).parent;
    while let Some(current) = at {
        let call = trace.call(current);
        if let Target::Module(module) = call.target
            && condition(module)
        {
            return Some(module);
        }
        at = call.parent;
    }
    None
}
