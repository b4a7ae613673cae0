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

use std::collections::HashMap;

use smol_str::SmolStr;

use crate::convention::Failure;
use crate::dim::Dim;
use crate::einsum;
use crate::formula::{CallScope, EvalError, Quantity, Scope};
use crate::report::{Entry, Report};
use crate::table::{RuleSet, function_name};
use crate::trace::{CallId, ModuleId, Passed, Target, Trace};

/// The parameters of a function, as Python's `def` lists them.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature(Vec<Parameter>);

#[derive(Clone, Debug, PartialEq)]
struct Parameter {
    name: SmolStr,
    kind: Kind,
    default: Option<Quantity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    KeywordOnly,
    Positionals,
    Keywords,
}

/// Why Python would raise a `TypeError` before the counting function runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum BindError {
    #[error("its counting function for {0} takes fewer positional arguments")]
    Surplus(SmolStr),
    #[error("its counting function for {function} has no parameter '{parameter}'")]
    Unexpected {
        function: SmolStr,
        parameter: SmolStr,
    },
    #[error("its counting function for {function} is given no '{parameter}'")]
    Missing {
        function: SmolStr,
        parameter: SmolStr,
    },
}

impl Signature {
    /// Reads `input, weight, bias=None, *, out=None`; `None` if that is not what it is.
    pub fn parse(text: &str) -> Option<Signature> {
        let mut parameters = Vec::new();
        let mut kind = Kind::Plain;
        for part in text.split(',').map(str::trim) {
            let (name, default) = match part.split_once('=') {
                Some((name, default)) => (name.trim(), Some(literal(default.trim())?)),
                None => (part, None),
            };
            let (name, this) = if name == "*" {
                kind = Kind::KeywordOnly;
                continue;
            } else if let Some(name) = name.strip_prefix("**") {
                (name, Kind::Keywords)
            } else if let Some(name) = name.strip_prefix('*') {
                kind = Kind::KeywordOnly;
                (name, Kind::Positionals)
            } else {
                (name, kind)
            };
            if name.is_empty() {
                return None;
            }
            parameters.push(Parameter {
                name: name.into(),
                kind: this,
                default,
            });
        }
        Some(Signature(parameters))
    }

    /// What each parameter is bound to in a call of the function that this one replaces.
    ///
    /// A reader of a program cannot always tell how an argument was passed. One that was given by
    /// position and has no place there is taken by its name.
    pub fn bind(&self, trace: &Trace, id: CallId) -> Result<Vec<(SmolStr, Quantity)>, BindError> {
        let call = trace.call(id);
        let function: SmolStr = match &call.target {
            Target::Function(name) | Target::Operator(name) => name.clone(),
            Target::Module(module) => trace.module(*module).class.name.clone(),
        };
        let mut bound: Vec<Option<Quantity>> = vec![None; self.0.len()];
        let (mut positionals, mut keywords) = (Vec::new(), Vec::new());
        let mut next = 0;
        let has = |kind: Kind| self.0.iter().any(|parameter| parameter.kind == kind);
        for argument in &call.arguments {
            let value = Quantity::of_value(trace, &argument.value);
            let by_position = argument.passed == Passed::Position;
            let takes_position = |index: usize| {
                self.0
                    .get(index)
                    .is_some_and(|parameter| parameter.kind == Kind::Plain)
            };
            if argument.passed == Passed::Default {
                continue;
            }
            if by_position && takes_position(next) {
                bound[next] = Some(value);
                next += 1;
                continue;
            }
            if by_position && has(Kind::Positionals) {
                positionals.push(value);
                continue;
            }
            let named = self.0.iter().position(|parameter| {
                parameter.name == argument.name
                    && matches!(parameter.kind, Kind::Plain | Kind::KeywordOnly)
            });
            match named {
                Some(index) if bound[index].is_none() => bound[index] = Some(value),
                _ if has(Kind::Keywords) => keywords.push(value),
                _ if by_position => return Err(BindError::Surplus(function)),
                _ => {
                    let parameter = argument.name.clone();
                    return Err(BindError::Unexpected {
                        function,
                        parameter,
                    });
                }
            }
        }
        let mut out = Vec::with_capacity(self.0.len());
        for (parameter, value) in self.0.iter().zip(bound) {
            let value = match parameter.kind {
                Kind::Positionals => Quantity::Seq(std::mem::take(&mut positionals)),
                Kind::Keywords => Quantity::Seq(std::mem::take(&mut keywords)),
                _ => match value.or_else(|| parameter.default.clone()) {
                    Some(value) => value,
                    None => {
                        let parameter = parameter.name.clone();
                        return Err(BindError::Missing {
                            function,
                            parameter,
                        });
                    }
                },
            };
            out.push((parameter.name.clone(), value));
        }
        Ok(out)
    }
}

fn literal(text: &str) -> Option<Quantity> {
    Some(match text {
        "None" => Quantity::None,
        "True" => Quantity::Bool(true),
        "False" => Quantity::Bool(false),
        number => match number.parse::<i64>() {
            Ok(value) => Quantity::Int(Dim::from(value)),
            Err(_) => Quantity::Float(number.parse().ok()?),
        },
    })
}

/// The signatures of a counter's functions, by the names of the functions that they replace.
#[derive(Clone, Debug, Default)]
pub struct Signatures(HashMap<SmolStr, Signature>);

impl Signatures {
    /// Reads a table that is part of the program.
    ///
    /// # Panics
    ///
    /// When the table is wrong; each convention's tests load it.
    pub fn built_in(text: &str) -> Signatures {
        let table: toml::Table = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => panic!("{error}"),
        };
        let signatures = table.into_iter().map(|(name, value)| {
            match value.as_str().and_then(Signature::parse) {
                Some(signature) => (function_name(&name.as_str().into()), signature),
                None => panic!("the signature of {name} cannot be read"),
            }
        });
        Signatures(signatures.collect())
    }

    /// The signature of the counting function for `name`.
    pub fn get(&self, name: &str) -> Option<&Signature> {
        self.0.get(name)
    }

    /// The functions that are replaced, sorted.
    pub fn names(&self) -> Vec<&SmolStr> {
        let mut names: Vec<_> = self.0.keys().collect();
        names.sort();
        names
    }
}

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
        for (id, call) in trace.calls() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Argument, TraceBuilder};
    use crate::value::Value;

    fn bind(signature: &str, arguments: &[(&str, i64, Passed)]) -> Result<Vec<String>, BindError> {
        let mut builder = TraceBuilder::new("test", "test");
        let arguments = arguments.iter().map(|(name, value, passed)| Argument {
            name: (*name).into(),
            value: Value::from(*value),
            passed: *passed,
        });
        let target = Target::Function("torch.f".into());
        let call = builder.begin(target, arguments.collect(), None);
        let trace = builder.finish();
        let signature = Signature::parse(signature).unwrap();
        let show = |(name, value): (SmolStr, Quantity)| match value {
            Quantity::Int(value) => format!("{name}={value}"),
            Quantity::Seq(items) => format!("{name}:{}", items.len()),
            other => format!("{name}={other:?}"),
        };
        Ok(signature
            .bind(&trace, call)?
            .into_iter()
            .map(show)
            .collect())
    }

    #[test]
    fn binds_as_python_does() {
        use Passed::{Default, Keyword, Position};
        let bound = bind(
            "q, k, *args, **kwargs",
            &[
                ("query", 1, Position),
                ("key", 2, Position),
                ("value", 3, Position),
                ("scale", 4, Keyword),
                ("is_causal", 0, Default),
            ],
        );
        assert_eq!(bound.unwrap(), ["q=1", "k=2", "args:1", "kwargs:1"]);
        let bound = bind("input, inplace=False", &[("input", 1, Keyword)]);
        assert_eq!(bound.unwrap(), ["input=1", "inplace=Bool(false)"]);
    }

    #[test]
    fn reports_what_python_raises() {
        use Passed::{Keyword, Position};
        assert_eq!(
            bind("q, k", &[("query", 1, Keyword)])
                .unwrap_err()
                .to_string(),
            "its counting function for torch.f has no parameter 'query'"
        );
        assert_eq!(
            bind("q, k", &[("query", 1, Position)])
                .unwrap_err()
                .to_string(),
            "its counting function for torch.f is given no 'k'"
        );
        let surplus = [("input", 1, Position), ("other", 1, Position)];
        assert_eq!(
            bind("input, **kwargs", &surplus).unwrap(),
            ["input=1", "kwargs:1"]
        );
        assert!(matches!(
            bind("input", &surplus),
            Err(BindError::Surplus(_))
        ));
    }
}
