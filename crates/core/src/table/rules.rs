//! Rules, and which of them applies to a call.

use foldhash::HashMap;
use serde::Deserialize;
use smol_str::SmolStr;

use crate::convention::Failure;
use crate::dim::Dim;
use crate::formula::{EvalError, Formula, Scope};
use crate::report::Report;
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
