//! Where a module is called, as the source has it: what is passed by position and what by keyword.
//!
//! A program shows tensors that flow into a module, not how they were passed; hooks see only what
//! was passed by position. The line of the caller, which stands in the stack trace, tells.

use modelcost_core::expr::{Expr, ExprKind, assigned, parse};
use modelcost_core::trace::{Argument, Passed, TensorId};
use modelcost_core::value::Value;
use smol_str::SmolStr;

use crate::shown::is_item;

/// The arguments of one call as they are written.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// By position.
    pub positional: Vec<Written>,
    /// By keyword.
    pub keywords: Vec<(SmolStr, Written)>,
    /// The line, where the call is all of its expression.
    pub line: Option<SmolStr>,
    /// Whether only a part of what is returned is used: `self.a(x)[0]`.
    pub is_part: bool,
}

/// One argument as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// `None`, `True`, `3`.
    Literal(Value),
    /// `(x, y)`.
    Tuple(Vec<Written>),
    /// Anything else, by its text.
    Expression(String),
}

/// The lines of a stack trace, outermost first.
pub fn lines(trace: &str) -> Vec<&str> {
    let mut lines = trace.lines().map(str::trim);
    let mut out = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with("File \"")
            && let Some(code) = lines.next()
        {
            out.push(code);
        }
    }
    out
}

/// The file of the innermost frame of a stack trace.
pub fn innermost_file(trace: &str) -> Option<&str> {
    trace.rsplit("File \"").next()?.split('"').next()
}

/// What the source shows of a module's call.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// How it is called.
    Once(Site),
    /// A call of it, not all of whose arguments are on the line, or calls that differ.
    Unclear,
    /// Nothing.
    Nothing,
}

/// The call of a module that is registered as `name`, in the forward that is `depth` calls deep of
/// `calls` calls in all.
pub fn site(trace: &str, name: &str, depth: usize, calls: usize) -> Shown {
    find(trace, name, depth, calls).unwrap_or(Shown::Nothing)
}

fn find(trace: &str, name: &str, depth: usize, calls: usize) -> Option<Shown> {
    let lines = lines(trace);
    let numbered = name.bytes().all(|byte| byte.is_ascii_digit());
    // One forward for each call, unless one hands on to that of a base class.
    let aligned = lines.get(depth).filter(|_| lines.len() == calls);
    let line = match numbered {
        true => aligned?,
        false => aligned.or_else(|| lines.iter().rev().find(|line| calls_name(line, name)))?,
    };
    let (value, _) = assigned(line);
    let parsed = parse(value);
    if !parsed.errors.is_empty() {
        // The first line of a longer statement.
        return (!numbered && calls_name(line, name)).then_some(Shown::Unclear);
    }
    let mut sites: Vec<Site> = Vec::new();
    let mut starred = false;
    let mut parts: Vec<*const Expr> = Vec::new();
    let mut callees: Vec<*const Expr> = Vec::new();
    parsed.expr.walk(&mut |expr| {
        let (function, arguments) = match &expr.kind {
            ExprKind::Call(function, arguments) => (function, arguments),
            ExprKind::Subscript(base, indices) => {
                if matches!(indices.as_slice(), [index] if is_item(index)) {
                    parts.push(&**base);
                }
                return;
            }
            ExprKind::Attribute(base, _) => {
                if !callees.contains(&std::ptr::from_ref(expr)) {
                    parts.push(&**base);
                }
                return;
            }
            _ => return,
        };
        callees.push(&**function);
        let matches = match &function.kind {
            ExprKind::Attribute(_, attribute) => !numbered && attribute.name == name,
            ExprKind::Name(called) => numbered && !BUILTIN.contains(&called.as_str()),
            ExprKind::Subscript(..) => numbered,
            _ => false,
        };
        if !matches {
            return;
        }
        if arguments.iter().any(|argument| argument.starred) {
            starred = true;
            return;
        }
        let mut site = Site {
            positional: Vec::new(),
            keywords: Vec::new(),
            line: std::ptr::eq(expr, &parsed.expr).then(|| SmolStr::new(line)),
            is_part: parts.contains(&std::ptr::from_ref(expr)),
        };
        for argument in arguments {
            let written = written(value, &argument.value);
            match &argument.name {
                Some(name) => site.keywords.push((name.name.clone(), written)),
                None => site.positional.push(written),
            }
        }
        if !sites.contains(&site) {
            sites.push(site);
        }
    });
    let same = |a: &Site, b: &Site| {
        let names = |site: &Site| -> Vec<SmolStr> {
            site.keywords.iter().map(|(name, _)| name.clone()).collect()
        };
        a.positional.len() == b.positional.len() && names(a) == names(b)
    };
    let alike = !starred && sites.windows(2).all(|pair| same(&pair[0], &pair[1]));
    match <[Site; 1]>::try_from(sites) {
        Ok([site]) if !starred => Some(Shown::Once(site)),
        Err(sites) if sites.is_empty() && !starred => None,
        // Several calls that pass their arguments in one way: only which tensors is open, and
        // those are known without the source.
        Err(_) if alike => None,
        _ => Some(Shown::Unclear),
    }
}

/// Names that are called and are no module.
const BUILTIN: &[&str] = &[
    "super",
    "len",
    "range",
    "int",
    "float",
    "tuple",
    "list",
    "dict",
    "set",
    "zip",
    "enumerate",
    "isinstance",
    "getattr",
    "min",
    "max",
    "sum",
    "print",
    "str",
    "bool",
    "reversed",
    "sorted",
];

fn calls_name(line: &str, name: &str) -> bool {
    line.match_indices(name)
        .any(|(at, _)| line[..at].ends_with('.') && line[at + name.len()..].starts_with('('))
}

fn written(source: &str, expr: &Expr) -> Written {
    match &expr.kind {
        ExprKind::None => Written::Literal(Value::None),
        ExprKind::Bool(value) => Written::Literal(Value::Bool(*value)),
        ExprKind::Int(value) => Written::Literal(Value::Int((*value).into())),
        ExprKind::Float(value) => Written::Literal(Value::Float(*value)),
        ExprKind::Str(value) => Written::Literal(Value::Str(value.clone())),
        ExprKind::Tuple(items) => {
            Written::Tuple(items.iter().map(|item| written(source, item)).collect())
        }
        _ => Written::Expression(source.get(expr.span.range()).unwrap_or_default().to_owned()),
    }
}

impl Site {
    /// How many different arguments are neither literals nor tuples of them.
    pub fn expressions(&self) -> usize {
        self.texts().len()
    }

    fn texts(&self) -> Vec<&str> {
        let mut texts: Vec<&str> = Vec::new();
        let all = self
            .positional
            .iter()
            .chain(self.keywords.iter().map(|(_, written)| written));
        all.for_each(|written| written.texts(&mut texts));
        texts
    }

    /// The arguments, given the tensors that flow in, in the order of first use. `name` gives the
    /// parameters of the callee's forward by position, where those are known.
    pub fn arguments(&self, inputs: &[TensorId], name: &dyn Fn(usize) -> SmolStr) -> Vec<Argument> {
        let texts = self.texts();
        let value_of = |text: &str| {
            let at = texts.iter().position(|other| *other == text).unwrap_or(0);
            let last = at + 1 == texts.len();
            match inputs.get(at) {
                // A list holds what is left over.
                Some(_) if last && inputs.len() > texts.len() => {
                    Value::List(inputs[at..].iter().map(|id| Value::Tensor(*id)).collect())
                }
                Some(id) => Value::Tensor(*id),
                None => Value::None,
            }
        };
        let mut out = Vec::new();
        for (at, written) in self.positional.iter().enumerate() {
            out.push(Argument {
                name: name(at),
                value: written.value(&value_of),
                passed: Passed::Position,
            });
        }
        for (name, written) in &self.keywords {
            out.push(Argument {
                name: name.clone(),
                value: written.value(&value_of),
                passed: Passed::Keyword,
            });
        }
        out
    }

    /// Gives arguments that are known by name the way in which they were passed, and adds those
    /// that were passed without being used.
    pub fn passed(&self, arguments: &mut Vec<Argument>) {
        for argument in arguments.iter_mut() {
            if self.keywords.iter().any(|(name, _)| *name == argument.name) {
                argument.passed = Passed::Keyword;
            }
        }
        let given = arguments
            .iter()
            .filter(|argument| argument.passed == Passed::Position)
            .count();
        let missing = self.positional.len().saturating_sub(given);
        arguments.extend((0..missing).map(|_| Argument {
            name: SmolStr::default(),
            value: Value::None,
            passed: Passed::Position,
        }));
    }
}

impl Written {
    fn texts<'s>(&'s self, out: &mut Vec<&'s str>) {
        match self {
            Written::Literal(_) => {}
            Written::Tuple(items) => items.iter().for_each(|item| item.texts(out)),
            Written::Expression(text) => {
                if !out.contains(&text.as_str()) {
                    out.push(text);
                }
            }
        }
    }

    fn value(&self, of: &dyn Fn(&str) -> Value) -> Value {
        match self {
            Written::Literal(value) => value.clone(),
            Written::Tuple(items) => {
                Value::Tuple(items.iter().map(|item| item.value(of)).collect())
            }
            Written::Expression(text) => of(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "File \"net.py\", line 3, in forward\n    x = self.gate((x, y), scale=s)\n  \
                         File \"net.py\", line 9, in forward\n    return self.fc(input=x) * self.act(y)\n  \
                         File \"linear.py\", line 134, in forward\n    return F.linear(input, self.weight)";

    fn once(trace: &str, name: &str, depth: usize, calls: usize) -> Option<Site> {
        match site(trace, name, depth, calls) {
            Shown::Once(site) => Some(site),
            _ => None,
        }
    }

    #[test]
    fn positions_and_keywords() {
        let gate = once(TRACE, "gate", 0, 3).unwrap();
        assert_eq!(gate.positional.len(), 1);
        assert_eq!(gate.keywords[0].0, "scale");
        let ids = [0, 1, 2].map(TensorId::new);
        let arguments = gate.arguments(&ids, &|_| "pair".into());
        let pair = Value::Tuple(vec![Value::Tensor(ids[0]), Value::Tensor(ids[1])]);
        assert_eq!(arguments[0].value, pair);
        assert_eq!(arguments[1].passed, Passed::Keyword);
        assert_eq!(arguments[1].value, Value::Tensor(ids[2]));
        let fc = once(TRACE, "fc", 1, 3).unwrap();
        assert!(fc.positional.is_empty());
        assert_eq!(site(TRACE, "missing", 1, 3), Shown::Nothing);
    }

    #[test]
    fn what_the_line_leaves_open() {
        let at = |line: &str| {
            let trace = format!("File \"a.py\", line 1, in forward\n    {line}");
            site(&trace, "fc", 0, 1)
        };
        assert_eq!(
            at("return self.fc(input=x) if a else self.fc(x)"),
            Shown::Unclear
        );
        assert_eq!(at("return self.fc("), Shown::Unclear);
        assert_eq!(at("return self.fc(*args)"), Shown::Unclear);
        assert_eq!(at("return self.fc(x) + self.fc(y)"), Shown::Nothing);
    }

    #[test]
    fn unused_arguments_are_there() {
        let trace = "File \"a.py\", line 1, in forward\n    r = self.rnn(g, None)";
        let rnn = once(trace, "rnn", 0, 2).unwrap();
        let mut arguments = rnn.arguments(&[TensorId::new(4)], &|_| "".into());
        assert_eq!(arguments[1].value, Value::None);
        arguments.truncate(1);
        rnn.passed(&mut arguments);
        assert_eq!(arguments.len(), 2);
    }
}
