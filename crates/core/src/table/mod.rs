//! Rules as tables, and conventions that are nothing but a table.
//!
//! ```toml
//! [convention]
//! id      = "mine"
//! version = "1"
//! unit    = "MAC"
//! summary = "convolutions and linear layers, products only"
//! source  = "our paper, section 4"
//!
//! [[rule]]
//! modules = ["Conv2d"]
//! count   = "numel(out) * (in_channels // groups) * prod(kernel_size)"
//! source  = "equation 2"
//!
//! [[rule]]
//! operators = ["aten.mm"]
//! count     = "prod(in.shape) * mat2.shape[-1]"
//! ```

mod file;
mod rules;

use serde::Deserialize;

use crate::convention::{Convention, Failure, Info, Options};
use crate::dim::Dim;
use crate::fidelity::Level;
use crate::formula::CallScope;
use crate::report::{self, Report};
use crate::trace::{CallId, Target, Trace};

pub use file::TableError;
pub(crate) use rules::function_name;
pub use rules::{Classes, Counted, Rule, RuleSet, Uncounted, describe};

/// How a table convention reports parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Params {
    /// All parameters, each storage once.
    #[default]
    All,
    /// Those that are trained.
    Trainable,
    /// Of modules that a rule counts.
    Counted,
    /// None: the tool reports no parameters.
    None,
}

/// Whether calls inside a call that a rule counted are counted too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inside {
    /// They are: hooks fire wherever the call is made.
    #[default]
    Count,
    /// They are not: the outer rule covers them.
    Skip,
    /// Only operators are counted, and only those that are made of no others: what a
    /// `TorchDispatchMode` sees.
    Innermost,
}

/// A convention that is a table of rules, applied to every call of the trace.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it is.
    pub info: Info,
    /// Its rules.
    pub rules: RuleSet,
    /// What it reports as parameters.
    pub params: Params,
    /// Whether it counts inside what it counted.
    pub inside: Inside,
    /// Whether a rule that raises is a failure of the whole, as it is of a tool.
    pub raises: bool,
}

impl Convention for Table {
    fn table(&self) -> &Table {
        self
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        self.info.forward_only(options)?;
        let mut report = Report::new(&self.info, trace);
        let mut total = Dim::ZERO;
        let mut at = 0;
        let mut counted = vec![false; trace.modules.len()];
        while at < trace.calls.len() {
            let id = CallId::new(at);
            at += 1;
            if self.inside == Inside::Innermost && !is_innermost(trace, id) {
                continue;
            }
            let scope = CallScope { trace, call: id };
            let count = if self.raises {
                let counted = self
                    .rules
                    .evaluate_or_fail(trace, id, &scope, &mut report)?;
                counted.map(|counted| {
                    let sum = counted.total();
                    report.record(trace, id, counted);
                    sum
                })
            } else {
                self.rules.apply(trace, id, &scope, &mut report)
            };
            let Some(count) = count else {
                continue;
            };
            total += count;
            if let Target::Module(module) = trace.call(id).target {
                counted[module.index()] = true;
            }
            if self.inside == Inside::Skip {
                at = trace.call(id).end.index();
            }
        }
        finish(
            trace,
            report,
            self.info.counts.then_some(total),
            self.params,
            |module| counted[module],
        )
    }
}

/// Whether a call is of an operator that is made of no others.
pub fn is_innermost(trace: &Trace, call: CallId) -> bool {
    let is_operator = |target: &Target| matches!(target, Target::Operator(_));
    is_operator(&trace.call(call).target)
        && !trace
            .inside(call)
            .any(|(_, call)| is_operator(&call.target))
}

/// Fills in totals, parameters and rows of a report whose entries are complete.
pub fn finish(
    trace: &Trace,
    mut report: Report,
    total: Option<Dim>,
    params: Params,
    counted: impl Fn(usize) -> bool,
) -> Result<Report, Failure> {
    if let Some(total) = total {
        report.set_count(trace, total)?;
    }
    let (all, trainable) = trace.parameter_count(Trace::ROOT);
    if params == Params::Trainable {
        trace.note_frozen(&mut report.fidelity, Level::Reconstructed);
    }
    (report.params, report.trainable_params) = match params {
        Params::All => (Some(all), Some(trainable)),
        Params::Trainable => (Some(trainable.clone()), Some(trainable)),
        Params::None => (None, None),
        Params::Counted => {
            let mut sum = Dim::ZERO;
            for (_, id) in trace.named_modules() {
                if counted(id.index()) {
                    sum += trace.parameter_count(id).0;
                }
            }
            (Some(sum), None)
        }
    };
    let counts = report::inclusive_counts(trace, &report.entries);
    let has_count = report.count.is_some();
    report.layers = report::layers(trace, |module| {
        let count = has_count.then(|| counts.get(&module).cloned().unwrap_or_default());
        (count, Some(trace.parameter_count(module).0))
    });
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formula::EvalError;
    use crate::trace::Class;

    #[test]
    fn errors_have_places() {
        let text = "[convention]\nid='x'\nversion='1'\nunit='MAC'\nsummary=''\nsource=''\n[[rule]]\nmodules=['Conv2d']\ncount='numel(out'\n";
        let error = Table::parse(text).unwrap_err();
        assert_eq!(&text[error.span.clone()], "'numel(out'");
        assert_eq!(error.message, "in the formula 'numel(out': expected ')'");
    }

    const HEADER: &str = "[convention]\nid='x'\nversion='1'\nunit='MAC'\nsummary=''\nsource=''\n";

    /// A call of a module on a vector of four elements.
    fn vector_through(class: Class) -> Trace {
        use crate::dtype::DType;
        use crate::trace::{Argument, Module, Origin, Passed, TraceBuilder};
        use crate::value::Value;
        let mut builder = TraceBuilder::new("m", "test");
        let module = builder.module(Module {
            class,
            ..Module::default()
        });
        let shape = Some(vec![Dim::from(4)]);
        let tensor = Value::Tensor(builder.tensor(shape, Some(DType::Float32), Origin::Input));
        let argument = Argument {
            name: "input".into(),
            value: tensor.clone(),
            passed: Passed::Position,
        };
        builder.begin(Target::Module(module), vec![argument], None);
        builder.end(tensor);
        builder.finish()
    }

    #[test]
    fn classes_are_exact_unless_the_table_says_derived() {
        let rule = "[[rule]]\nmodules=['Conv2d']\ncount='numel(out)'\n";
        let class = Class {
            name: "mine.Conv".into(),
            bases: vec!["torch.nn.Conv2d".into()],
        };
        let trace = vector_through(class);
        let exact = Table::parse(&format!("{HEADER}{rule}")).unwrap();
        assert!(exact.rules.candidates(&trace, CallId::new(0)).is_empty());
        let derived = Table::parse(&format!("{HEADER}classes='derived'\n{rule}")).unwrap();
        assert_eq!(derived.rules.candidates(&trace, CallId::new(0)), [0]);
    }

    #[test]
    fn an_error_with_all_values_known_is_the_tools() {
        let trace = vector_through(Class::new("torch.nn.Linear"));
        let evaluate = |count: &str| {
            let text = format!("{HEADER}[[rule]]\nmodules=['Linear']\ncount='{count}'\n");
            let call = CallId::new(0);
            let scope = CallScope {
                trace: &trace,
                call,
            };
            Table::parse(&text)
                .unwrap()
                .rules
                .evaluate(&trace, call, &scope)
        };
        let raises = Uncounted::Raises("IndexError: index 1 is out of range for 1 elements".into());
        assert_eq!(evaluate("in.shape[1]"), Err(raises));
        let unknown = EvalError::UnknownName("in_features".into());
        assert_eq!(
            evaluate("in.shape[0] * in_features"),
            Err(Uncounted::Unknown(unknown))
        );
    }
}
