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

use std::collections::HashMap;

use serde::Deserialize;
use smol_str::SmolStr;

use crate::convention::{Convention, Failure, Info, Options};
use crate::dim::Dim;
use crate::fidelity::Level;
use crate::formula::{CallScope, EvalError, Formula, Scope};
use crate::report::{self, Report};
use crate::trace::{CallId, Class, Target, Trace};

/// One rule: which calls it applies to, and what it counts for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Exact classes. A name without a dot is one of `torch.nn`.
    pub modules: Vec<SmolStr>,
    /// Python functions: `F.relu`, `torch.add`, `Tensor.add`.
    pub functions: Vec<SmolStr>,
    /// ATen operators: `aten.addmm`.
    pub operators: Vec<SmolStr>,
    /// A condition that must hold too; the first rule that fits is taken.
    pub when: Option<Formula>,
    /// What is counted, in named parts that sum to the count: `products`, `bias`.
    pub parts: Vec<(SmolStr, Formula)>,
    /// The file and function of the tool that it was read from.
    pub source: String,
    /// What a reader should know about it.
    pub note: String,
}

impl Rule {
    /// Everything it applies to.
    pub fn targets(&self) -> impl Iterator<Item = &SmolStr> {
        self.modules
            .iter()
            .chain(&self.functions)
            .chain(&self.operators)
    }
}

/// Which classes a rule for a class applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Classes {
    /// That class alone: `type(m) in rules`.
    #[default]
    Exact,
    /// Classes derived from it too, unless a nearer base has rules: the method resolution order.
    Derived,
}

/// What a rule counts for a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// The rule, by its position.
    pub rule: usize,
    /// Its parts, those of zero left out.
    pub parts: Vec<(SmolStr, Dim)>,
}

impl Counted {
    /// The sum of the parts.
    pub fn total(&self) -> Dim {
        self.parts.iter().map(|(_, count)| count.clone()).sum()
    }
}

/// Why a rule that applies to a call gives no number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncounted {
    /// Nothing that the rule asks for is missing, and it still has no value: the tool raises.
    Raises(String),
    /// The trace does not hold what the rule asks for.
    Unknown(EvalError),
}

/// A list of rules, found by what is called.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    classes: Classes,
    modules: HashMap<SmolStr, Vec<usize>>,
    functions: HashMap<SmolStr, Vec<usize>>,
    operators: HashMap<SmolStr, Vec<usize>>,
}

impl RuleSet {
    /// From rules, the first that fits winning.
    pub fn new(rules: Vec<Rule>) -> RuleSet {
        let mut set = RuleSet::default();
        for (index, rule) in rules.iter().enumerate() {
            for name in &rule.modules {
                set.modules.entry(class_name(name)).or_default().push(index);
            }
            for name in &rule.functions {
                set.functions
                    .entry(function_name(name))
                    .or_default()
                    .push(index);
            }
            for name in &rule.operators {
                set.operators.entry(name.clone()).or_default().push(index);
            }
        }
        set.rules = rules;
        set
    }

    /// The same rules, applied to classes in another way.
    pub fn with_classes(mut self, classes: Classes) -> RuleSet {
        self.classes = classes;
        self
    }

    /// The rules in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether some rule is for this class.
    pub fn has_class(&self, class: &Class) -> bool {
        !self.of_class(class).is_empty()
    }

    /// The rules for a class, conditions aside.
    pub fn of_class(&self, class: &Class) -> &[usize] {
        let found = match self.classes {
            Classes::Exact => self.modules.get(&class.name),
            Classes::Derived => std::iter::once(&class.name)
                .chain(&class.bases)
                .find_map(|name| self.modules.get(name)),
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// The rules for what a call calls, conditions aside.
    pub fn candidates(&self, trace: &Trace, call: CallId) -> &[usize] {
        let found = match &trace.call(call).target {
            Target::Module(id) => return self.of_class(&trace.module(*id).class),
            Target::Function(name) => self.functions.get(name),
            Target::Operator(name) => self.operators.get(name),
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// What the rules count for a call; `None` when no rule applies.
    pub fn evaluate(
        &self,
        trace: &Trace,
        call: CallId,
        scope: &dyn Scope,
    ) -> Result<Option<Counted>, Uncounted> {
        for &rule in self.candidates(trace, call) {
            if let Some(condition) = &self.rules[rule].when {
                let holds = condition.holds(scope);
                if !holds.map_err(|error| uncounted(condition, scope, error))? {
                    continue;
                }
            }
            let mut parts = Vec::new();
            for (name, formula) in &self.rules[rule].parts {
                let count = formula.count(scope);
                let count = count.map_err(|error| uncounted(formula, scope, error))?;
                if count != Dim::ZERO {
                    parts.push((name.clone(), count));
                }
            }
            return Ok(Some(Counted { rule, parts }));
        }
        Ok(None)
    }

    /// As [`RuleSet::evaluate`], for tools whose failures are to be reproduced: where the rule
    /// raises, so does the tool; where a quantity is not known, `report` says that the call is not
    /// counted.
    pub fn evaluate_or_fail(
        &self,
        trace: &Trace,
        call: CallId,
        scope: &dyn Scope,
        report: &mut Report,
    ) -> Result<Option<Counted>, Failure> {
        match self.evaluate(trace, call, scope) {
            Ok(counted) => Ok(counted),
            Err(Uncounted::Unknown(error)) => {
                report.not_counted(trace, call, &error.to_string());
                Ok(None)
            }
            Err(Uncounted::Raises(reason)) => {
                let call = describe(trace, call);
                let reason = format!("its rule for {call} raises {reason}");
                Err(report.convention.fails(reason))
            }
        }
    }

    /// Counts one call as [`RuleSet::evaluate`] does and adds what it gives to `report`. A rule
    /// whose quantities are not known leaves a note, makes the report partial and counts nothing.
    pub fn apply(
        &self,
        trace: &Trace,
        call: CallId,
        scope: &dyn Scope,
        report: &mut Report,
    ) -> Option<Dim> {
        match self.evaluate(trace, call, scope) {
            Ok(None) => None,
            Ok(Some(counted)) => {
                let sum = counted.total();
                report.record(trace, call, counted);
                Some(sum)
            }
            Err(Uncounted::Unknown(error)) => {
                report.not_counted(trace, call, &error.to_string());
                Some(Dim::ZERO)
            }
            Err(Uncounted::Raises(reason)) => {
                report.not_counted(trace, call, &reason);
                Some(Dim::ZERO)
            }
        }
    }
}

fn uncounted(formula: &Formula, scope: &dyn Scope, error: EvalError) -> Uncounted {
    let raised = match error {
        EvalError::Raises(reason) => return Uncounted::Raises(reason.to_string()),
        EvalError::Index { .. } => "IndexError",
        EvalError::DivisionByZero => "ZeroDivisionError",
        EvalError::Type(_) => "TypeError",
        _ => return Uncounted::Unknown(error),
    };
    let complete = formula.names().iter().all(|name| match scope.get(name) {
        Ok(value) => value.is_known(),
        Err(error) => matches!(error, EvalError::Index { .. }),
    });
    if complete {
        Uncounted::Raises(format!("{raised}: {error}"))
    } else {
        Uncounted::Unknown(error)
    }
}

/// A call in words: `Conv2d at features.0`, `torch.add in layer1.0`.
pub fn describe(trace: &Trace, call: CallId) -> String {
    let module = trace.enclosing_module(call);
    let path = trace
        .named_modules()
        .into_iter()
        .find(|(_, id)| *id == module)
        .map(|(path, _)| path);
    let place = match path {
        Some(path) if path.is_empty() => "the model".to_string(),
        Some(path) => path,
        None => "a module".into(),
    };
    match &trace.call(call).target {
        Target::Module(id) => format!("{} at {place}", trace.module(*id).class.short_name()),
        Target::Function(name) | Target::Operator(name) => format!("{name} in {place}"),
    }
}

fn class_name(name: &SmolStr) -> SmolStr {
    if name.contains('.') {
        name.clone()
    } else {
        format!("torch.nn.{name}").into()
    }
}

pub(crate) fn function_name(name: &SmolStr) -> SmolStr {
    match name.split_once('.') {
        Some(("F", rest)) => format!("torch.nn.functional.{rest}").into(),
        Some(("Tensor", rest)) => format!("torch.Tensor.{rest}").into(),
        _ => name.clone(),
    }
}

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

/// What a rule file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    convention: Header,
    #[serde(default)]
    rule: Vec<RuleText>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(flatten)]
    info: Info,
    #[serde(default)]
    params: Params,
    #[serde(default)]
    inside: Inside,
    #[serde(default)]
    classes: Classes,
    #[serde(default)]
    raises: bool,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    #[serde(default)]
    modules: Vec<SmolStr>,
    #[serde(default)]
    functions: Vec<SmolStr>,
    #[serde(default)]
    operators: Vec<SmolStr>,
    when: Option<toml::Spanned<String>>,
    count: toml::Spanned<CountText>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    note: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CountText {
    Number(i64),
    One(String),
    Parts(toml::Table),
}

/// What is wrong with a rule file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TableError {
    /// What is wrong and the mend.
    pub message: String,
    /// Bytes of the text.
    pub span: std::ops::Range<usize>,
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

impl Table {
    /// Reads a table from TOML.
    pub fn parse(text: &str) -> Result<Table, TableError> {
        let file: File = toml::from_str(text).map_err(|error| TableError {
            message: error.message().to_string(),
            span: error.span().unwrap_or(0..0),
        })?;
        let mut rules = Vec::new();
        for rule in file.rule {
            let formula = |text: &str, span: std::ops::Range<usize>| {
                Formula::parse(text).map_err(|error| TableError {
                    message: format!("in the formula '{text}': {error}"),
                    span,
                })
            };
            let span = rule.count.span();
            let parts = match rule.count.into_inner() {
                CountText::Number(value) => {
                    vec![("count".into(), formula(&value.to_string(), span.clone())?)]
                }
                CountText::One(text) => vec![("count".into(), formula(&text, span.clone())?)],
                CountText::Parts(parts) => {
                    let parts = parts.into_iter().map(|(name, value)| match value {
                        toml::Value::String(text) => {
                            Ok((name.into(), formula(&text, span.clone())?))
                        }
                        toml::Value::Integer(value) => {
                            Ok((name.into(), formula(&value.to_string(), span.clone())?))
                        }
                        _ => Err(TableError {
                            message: format!("the part '{name}' must be a formula in quotes"),
                            span: span.clone(),
                        }),
                    });
                    parts.collect::<Result<_, _>>()?
                }
            };
            if rule.modules.is_empty() && rule.functions.is_empty() && rule.operators.is_empty() {
                return Err(TableError {
                    message:
                        "this rule applies to nothing: name some modules, functions or operators"
                            .into(),
                    span,
                });
            }
            let when = rule
                .when
                .map(|when| formula(when.get_ref(), when.span()))
                .transpose()?;
            rules.push(Rule {
                modules: rule.modules,
                functions: rule.functions,
                operators: rule.operators,
                when,
                parts,
                source: rule.source,
                note: rule.note,
            });
        }
        let Header {
            info,
            params,
            inside,
            classes,
            raises,
        } = file.convention;
        Ok(Table {
            info,
            rules: RuleSet::new(rules).with_classes(classes),
            params,
            inside,
            raises,
        })
    }

    /// Reads a table that is part of the program.
    ///
    /// # Panics
    ///
    /// When the table is wrong; each convention's tests load it.
    pub fn built_in(text: &str) -> Table {
        match Table::parse(text) {
            Ok(table) => table,
            Err(error) => panic!("{error} (at byte {})", error.span.start),
        }
    }
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
        trace.note_frozen(&mut report.fidelity, Level::Exact);
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
