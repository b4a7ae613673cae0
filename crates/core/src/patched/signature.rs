//! The parameters of functions, and what Python binds to them.

use std::collections::HashMap;

use smol_str::SmolStr;

use crate::dim::Dim;
use crate::formula::Quantity;
use crate::table::function_name;
use crate::trace::{CallId, Passed, Target, Trace};

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
