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

use crate::convention::{Convention, Cost, Failure, Info, Options};
use crate::dim::Dim;
use crate::fidelity::Level;
use crate::formula::{CallScope, EvalError, Formula, Scope};
use crate::report::{self, Entry, Report};
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

/// A list of rules, found by what is called.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
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

    /// The rules in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether some rule is for this exact class.
    pub fn has_class(&self, class: &Class) -> bool {
        self.modules.contains_key(&class.name)
    }

    /// The rules for what a call calls, conditions aside.
    pub fn candidates(&self, trace: &Trace, call: CallId) -> &[usize] {
        let found = match &trace.call(call).target {
            Target::Module(id) => self.modules.get(&trace.module(*id).class.name),
            Target::Function(name) => self.functions.get(name),
            Target::Operator(name) => self.operators.get(name),
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// The rule that counts a call, if one does.
    pub fn find(&self, trace: &Trace, call: CallId) -> Result<Option<usize>, EvalError> {
        self.find_in(trace, call, &CallScope { trace, call })
    }

    /// As [`RuleSet::find`], with conditions evaluated in a scope of the caller's.
    pub fn find_in(
        &self,
        trace: &Trace,
        call: CallId,
        scope: &dyn Scope,
    ) -> Result<Option<usize>, EvalError> {
        for &index in self.candidates(trace, call) {
            match &self.rules[index].when {
                Some(condition) if !condition.holds(scope)? => {}
                _ => return Ok(Some(index)),
            }
        }
        Ok(None)
    }

    /// What a rule counts for a call, part by part; parts of zero are left out.
    pub fn parts(&self, rule: usize, scope: &dyn Scope) -> Result<Vec<(SmolStr, Dim)>, EvalError> {
        let mut out = Vec::new();
        for (name, formula) in &self.rules[rule].parts {
            let count = formula.count(scope)?;
            if count != Dim::ZERO {
                out.push((name.clone(), count));
            }
        }
        Ok(out)
    }

    /// Counts one call: finds the rule, evaluates it, and adds what it gives to `report`. The sum
    /// is `None` when no rule applies. A rule that cannot be evaluated leaves a note and makes the
    /// report partial.
    pub fn apply(
        &self,
        trace: &Trace,
        call: CallId,
        scope: &dyn Scope,
        report: &mut Report,
    ) -> Option<Dim> {
        let result = self
            .find_in(trace, call, scope)
            .and_then(|found| match found {
                None => Ok(None),
                Some(rule) => self.parts(rule, scope).map(|parts| Some((rule, parts))),
            });
        match result {
            Ok(None) => None,
            Ok(Some((rule, parts))) => {
                let module = trace.enclosing_module(call);
                let mut sum = Dim::ZERO;
                for (part, count) in parts {
                    sum += &count;
                    report.entries.push(Entry {
                        call,
                        module,
                        rule,
                        part,
                        count,
                    });
                }
                Some(sum)
            }
            Err(error) => {
                report.fidelity.note(
                    Level::Partial,
                    format!("{} is not counted: {error}", describe(trace, call)),
                );
                Some(Dim::ZERO)
            }
        }
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

fn function_name(name: &SmolStr) -> SmolStr {
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
        } = file.convention;
        Ok(Table {
            info,
            rules: RuleSet::new(rules),
            params,
            inside,
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
    fn info(&self) -> &Info {
        &self.info
    }

    fn rules(&self) -> &[Rule] {
        self.rules.rules()
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        if options.training {
            let message = format!("{} has no rule for the backward pass", self.info.identity());
            return Err(Failure::NotAvailable(message));
        }
        let mut report = Report::new(&self.info, trace);
        let mut total = Dim::ZERO;
        let mut at = 0;
        let mut counted = vec![false; trace.modules.len()];
        while at < trace.calls.len() {
            let id = CallId::new(at);
            at += 1;
            let Some(count) =
                self.rules
                    .apply(trace, id, &CallScope { trace, call: id }, &mut report)
            else {
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

/// Fills in totals, parameters and rows of a report whose entries are complete.
pub fn finish(
    trace: &Trace,
    mut report: Report,
    total: Option<Dim>,
    params: Params,
    counted: impl Fn(usize) -> bool,
) -> Result<Report, Failure> {
    if total.as_ref().is_some_and(Dim::is_overflow) {
        return Err(Failure::Overflow(trace.name.clone()));
    }
    if total.as_ref().is_some_and(Dim::has_unknown) {
        report.fidelity.note(
            Level::Partial,
            "the count depends on sizes that the file does not determine",
        );
    }
    report.count = total.map(|total| Cost::new(report.convention.unit, total));
    let (all, trainable) = trace.parameter_count(Trace::ROOT);
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
}
