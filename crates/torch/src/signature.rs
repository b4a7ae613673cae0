//! Signatures in Python's syntax, and the binding of arguments to them.

use std::sync::OnceLock;

use modelcost_core::SmolStr;
use modelcost_core::convention::closest;
use modelcost_core::dim::Dim;
use modelcost_core::expr::{Expr, ExprKind, UnaryOp, parse};
use modelcost_core::trace::{Argument, Passed};
use modelcost_core::value::Value;

use crate::bound::Bound;
use crate::error::{ArgumentRef, Result, TorchError};

/// The arguments of one call, as the caller wrote them.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Arguments {
    /// By position.
    pub positional: Vec<Value>,
    /// By name.
    pub keyword: Vec<(SmolStr, Value)>,
}

impl Arguments {
    /// No arguments.
    pub fn new() -> Arguments {
        Arguments::default()
    }

    /// Positional arguments only.
    pub fn of(positional: impl IntoIterator<Item = Value>) -> Arguments {
        Arguments {
            positional: positional.into_iter().collect(),
            keyword: Vec::new(),
        }
    }

    /// One more positional argument.
    pub fn with(mut self, value: impl Into<Value>) -> Arguments {
        self.positional.push(value.into());
        self
    }

    /// One more argument by name.
    pub fn named(mut self, name: &'static str, value: impl Into<Value>) -> Arguments {
        self.keyword.push((SmolStr::new_static(name), value.into()));
        self
    }

    /// As they are given, where no signature says what they are called.
    pub(crate) fn unbound(&self, callee: &str) -> Bound {
        let argument = |name: &SmolStr, value: &Value, passed| Argument {
            name: name.clone(),
            value: value.clone(),
            passed,
        };
        let positional = self.positional.iter();
        let positional =
            positional.map(|value| argument(&SmolStr::default(), value, Passed::Position));
        let keyword = self.keyword.iter();
        let keyword = keyword.map(|(name, value)| argument(name, value, Passed::Keyword));
        Bound::new(callee.into(), positional.chain(keyword).collect())
    }
}

/// A parsed signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// What is called: `Conv2d`.
    pub name: SmolStr,
    /// Its parameters in order.
    pub parameters: Vec<Parameter>,
}

/// One parameter of a signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: SmolStr,
    /// Its default; a parameter without one must be given.
    pub default: Option<Value>,
    /// How it can be given.
    pub kind: Kind,
}

/// How a parameter can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By position or by name.
    Normal,
    /// By name only: it stands after `*`.
    KeywordOnly,
    /// `*args`: takes all positions that are left. One tuple or list of sizes in its place is taken apart,
    /// as `x.view(2, 3)` and `x.view((2, 3))` are the same; a list of tensors is one argument.
    Variadic,
    /// `**kwargs`: takes all names that are left, as a mapping.
    Keywords,
}

/// A signature in its table, parsed when it is first used.
#[derive(Debug)]
pub struct Lazy {
    /// The text.
    pub text: &'static str,
    parsed: OnceLock<Signature>,
}

impl Lazy {
    /// Not parsed yet.
    pub const fn new(text: &'static str) -> Lazy {
        Lazy {
            text,
            parsed: OnceLock::new(),
        }
    }

    /// The name before the parenthesis.
    pub fn name(&self) -> &'static str {
        self.text.split('(').next().unwrap_or(self.text)
    }

    /// The parsed signature.
    pub fn get(&self) -> &Signature {
        self.parsed.get_or_init(|| Signature::parse(self.text))
    }
}

/// The name that stands for the bare `*` of a signature.
const BARE_STAR: &str = "_";

/// What stands for the second star of `**kwargs`.
const TWO_STARS: &str = "__";

impl Signature {
    /// Parses `name(a, b=1, *, c=None)`. What cannot be read is left out; a test reads all of them.
    pub fn parse(text: &str) -> Signature {
        let text = text.replace("(*,", "(*_,").replace(" *,", " *_,");
        let text = text.replace("**", concat!("*", "__"));
        let call = match parse(&text).expr.kind {
            ExprKind::Call(callee, arguments) => Some((callee, arguments)),
            _ => None,
        };
        let Some((callee, arguments)) = call else {
            return Signature {
                name: text.into(),
                parameters: Vec::new(),
            };
        };
        let mut after_star = false;
        let mut parameters = Vec::with_capacity(arguments.len());
        for argument in &arguments {
            let own_name = match &argument.value.kind {
                ExprKind::Name(name) => name.clone(),
                _ => SmolStr::default(),
            };
            if argument.starred {
                after_star = true;
                if own_name != BARE_STAR {
                    let (name, kind) = match own_name.strip_prefix(TWO_STARS) {
                        Some(name) => (name.into(), Kind::Keywords),
                        None => (own_name, Kind::Variadic),
                    };
                    parameters.push(Parameter {
                        name,
                        default: None,
                        kind,
                    });
                }
                continue;
            }
            let kind = if after_star {
                Kind::KeywordOnly
            } else {
                Kind::Normal
            };
            parameters.push(match &argument.name {
                Some(name) => Parameter {
                    name: name.name.clone(),
                    default: Some(literal(&argument.value)),
                    kind,
                },
                None => Parameter {
                    name: own_name,
                    default: None,
                    kind,
                },
            });
        }
        Signature {
            name: callee.dotted_name().unwrap_or_default(),
            parameters,
        }
    }

    /// Binds arguments as Python does. Parameters named in `optional` may be left out although
    /// they have no default; they are then absent from the result.
    pub fn bind(&self, arguments: Arguments, optional: &[&str]) -> Result<Bound> {
        self.check_keywords(&arguments)?;
        self.check_count(&arguments)?;
        let given_by_position = arguments.positional.len();
        let mut positional = arguments.positional.into_iter();
        let mut keyword = arguments.keyword;
        let mut bound = Vec::with_capacity(self.parameters.len());
        let mut missing = Vec::new();
        for parameter in &self.parameters {
            let by_position = match parameter.kind {
                Kind::KeywordOnly => None,
                Kind::Keywords => {
                    bound.push(Argument {
                        name: parameter.name.clone(),
                        value: Value::Dict(std::mem::take(&mut keyword)),
                        passed: Passed::Keyword,
                    });
                    continue;
                }
                Kind::Normal => positional.next(),
                Kind::Variadic => rest(&mut positional),
            };
            let (value, passed) = match (by_position, &parameter.default) {
                (Some(value), _) => (value, Passed::Position),
                (None, default) => match keyword.iter().position(|(n, _)| *n == parameter.name) {
                    Some(index) => (keyword.swap_remove(index).1, Passed::Keyword),
                    None => match default {
                        Some(default) => (default.clone(), Passed::Default),
                        None if parameter.kind == Kind::Variadic => {
                            (Value::Tuple(Vec::new()), Passed::Default)
                        }
                        None => {
                            if !optional.contains(&parameter.name.as_str()) {
                                missing.push(parameter.name.as_str());
                            }
                            continue;
                        }
                    },
                },
            };
            bound.push(Argument {
                name: parameter.name.clone(),
                value,
                passed,
            });
        }
        if !missing.is_empty() {
            return Err(self.missing(&missing, given_by_position, optional));
        }
        Ok(Bound::new(self.name.clone(), bound))
    }

    /// Refuses names that no parameter has, and parameters that are given twice.
    fn check_keywords(&self, arguments: &Arguments) -> Result<()> {
        for (index, (name, _)) in arguments.keyword.iter().enumerate() {
            let Some(parameter) = self.keyword(name)? else {
                continue;
            };
            let by_position = parameter < arguments.positional.len()
                && self.parameters[..=parameter]
                    .iter()
                    .all(|parameter| parameter.kind == Kind::Normal);
            let again = arguments.keyword[..index]
                .iter()
                .any(|(other, _)| other == name);
            if by_position || again {
                let how = match by_position {
                    true => "by position and by name",
                    false => "by the same name",
                };
                return Err(TorchError::new(format!(
                    "{} is given '{name}' twice: {how}",
                    self.name
                ))
                .at(Some(ArgumentRef::Name(name.clone()))));
            }
        }
        Ok(())
    }

    /// Refuses more positions than there are.
    fn check_count(&self, arguments: &Arguments) -> Result<()> {
        let mut limit = 0;
        for parameter in &self.parameters {
            match parameter.kind {
                Kind::Normal => limit += 1,
                Kind::Variadic => return Ok(()),
                Kind::KeywordOnly | Kind::Keywords => break,
            }
        }
        let count = arguments.positional.len();
        if count <= limit {
            return Ok(());
        }
        Err(TorchError::new(format!(
            "{} takes at most {limit} positional argument{}, but {count} are given",
            self.name,
            if limit == 1 { "" } else { "s" },
        ))
        .at(Some(ArgumentRef::Position(limit))))
    }

    /// The parameter of a name; none where `**kwargs` takes all others.
    fn keyword(&self, name: &str) -> Result<Option<usize>> {
        let found = self
            .parameters
            .iter()
            .position(|parameter| parameter.name == name);
        let last = self.parameters.last().map(|parameter| parameter.kind);
        if found.is_some() || last == Some(Kind::Keywords) {
            return Ok(found);
        }
        let unknown = || {
            let names = self.parameters.iter().map(|p| p.name.as_str());
            let near = closest(name, names);
            let mend = match near {
                Some(near) => format!("; did you mean '{near}'?"),
                None => String::new(),
            };
            TorchError::new(format!("{} has no argument '{name}'{mend}", self.name))
                .at(Some(ArgumentRef::Name(name.into())))
                .suggest(near)
        };
        Err(unknown())
    }

    fn missing(&self, names: &[&str], given_by_position: usize, optional: &[&str]) -> TorchError {
        let list: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        let plural = if names.len() == 1 { "" } else { "s" };
        let mut message = format!(
            "{} is missing the argument{plural} {}",
            self.name,
            list.join(" and ")
        );
        // `Conv2d(64, 3)` usually means that in_channels was to be inferred.
        let first = self.parameters.first().map_or("", |p| p.name.as_str());
        if optional.contains(&first) && given_by_position > 0 {
            message.push_str(&format!(
                "; to have '{first}' inferred, give the others by name, or write Lazy{}(…)",
                self.name
            ));
        }
        TorchError::new(message)
    }
}

/// All positions that are left; one tuple or list among them is taken apart.
fn rest(positional: &mut std::vec::IntoIter<Value>) -> Option<Value> {
    let first = positional.next()?;
    let items = match (first, positional.len()) {
        (Value::Tuple(items) | Value::List(items), 0)
            if items.iter().all(|item| item.tensors().is_empty()) =>
        {
            items
        }
        (first, _) => std::iter::once(first).chain(positional).collect(),
    };
    Some(Value::Tuple(items))
}

/// The value of a default.
pub(crate) fn literal(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::None => Value::None,
        ExprKind::Bool(value) => Value::Bool(*value),
        ExprKind::Int(value) => Value::Int(Dim::Const(*value)),
        ExprKind::Float(value) => Value::Float(*value),
        ExprKind::Str(text) => Value::Str(text.clone()),
        ExprKind::Tuple(items) => Value::Tuple(items.iter().map(literal).collect()),
        ExprKind::List(items) => Value::List(items.iter().map(literal).collect()),
        ExprKind::Unary(UnaryOp::Neg, operand) => match literal(operand) {
            Value::Int(value) => Value::Int(-value),
            Value::Float(value) => Value::Float(-value),
            other => other,
        },
        _ => match expr.dotted_name() {
            Some(name) => match name.strip_prefix("torch.").map(str::parse) {
                Some(Ok(dtype)) => Value::DType(dtype),
                _ => Value::Opaque(name),
            },
            None => Value::Opaque("…".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use modelcost_core::trace::TensorId;

    use super::*;

    fn conv() -> Signature {
        Signature::parse("Conv2d(in_channels, out_channels, kernel_size, stride=1, bias=True)")
    }

    #[test]
    fn binds_as_python() {
        let arguments = Arguments::of([3.into(), 64.into()])
            .named("bias", false)
            .named("kernel_size", 7);
        let bound = conv().bind(arguments, &[]).unwrap();
        assert_eq!(bound.value("kernel_size"), &Value::from(7));
        assert_eq!(bound.value("stride"), &Value::from(1));
        assert_eq!(bound.value("bias"), &Value::from(false));
    }

    #[test]
    fn errors_name_the_argument() {
        let error = |arguments: Arguments| conv().bind(arguments, &["in_channels"]).unwrap_err();
        let unknown = error(Arguments::new().named("strde", 2));
        assert_eq!(
            unknown.message,
            "Conv2d has no argument 'strde'; did you mean 'stride'?"
        );
        assert_eq!(unknown.argument, Some(ArgumentRef::Name("strde".into())));
        let twice = error(Arguments::of([3.into()]).named("in_channels", 3));
        assert_eq!(
            twice.message,
            "Conv2d is given 'in_channels' twice: by position and by name"
        );
        let many = error(Arguments::of((0..6).map(Value::from)));
        assert_eq!(
            many.message,
            "Conv2d takes at most 5 positional arguments, but 6 are given"
        );
        assert_eq!(many.argument, Some(ArgumentRef::Position(5)));
        let missing = error(Arguments::of([64.into(), 3.into()]));
        assert!(
            missing
                .message
                .starts_with("Conv2d is missing the argument 'kernel_size'")
        );
        assert!(missing.message.contains("LazyConv2d"));
    }

    #[test]
    fn stars() {
        let view = Signature::parse("view(input, *shape)");
        let one = Arguments::of([Value::None, Value::List(vec![2.into(), 3.into()])]);
        let many = Arguments::of([Value::None, 2.into(), 3.into()]);
        let expected = Value::Tuple(vec![2.into(), 3.into()]);
        for arguments in [one, many] {
            assert_eq!(view.bind(arguments, &[]).unwrap().value("shape"), &expected);
        }
        let tensors = Value::List(vec![Value::Tensor(TensorId::new(0)); 2]);
        let einsum = Signature::parse("einsum(equation, *operands)");
        let bound = einsum.bind(Arguments::of(["ij,jk".into(), tensors.clone()]), &[]);
        let expected = Value::Tuple(vec![tensors]);
        assert_eq!(bound.unwrap().value("operands"), &expected);
        let add = Signature::parse("add(input, other, *, alpha=1)");
        assert_eq!(add.parameters[2].kind, Kind::KeywordOnly);
        assert!(
            add.bind(Arguments::of((0..3).map(Value::from)), &[])
                .is_err()
        );
    }
}
