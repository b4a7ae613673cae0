//! Calls of functions, methods and operators as a person writes them.

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{Argument, Call, CallId, Passed, Target, Trace};
use modelcost_core::value::Value;
use modelcost_torch::{FunctionInfo, Kind, Parameter};

use super::expression::{self, Expression, Level, Tensors};
use super::index;
use super::pieces::{Given, call, text};
use crate::run::RETURNS;

/// The operators that Python writes between or before their operands.
const INFIX: &[(&str, &str, Level)] = &[
    ("operator.add", "+", Level::Sum),
    ("operator.sub", "-", Level::Sum),
    ("operator.mul", "*", Level::Product),
    ("operator.matmul", "@", Level::Product),
    ("operator.truediv", "/", Level::Product),
    ("operator.floordiv", "//", Level::Product),
    ("operator.mod", "%", Level::Product),
    ("operator.pow", "**", Level::Power),
    ("operator.and_", "&", Level::And),
    ("operator.or_", "|", Level::Or),
    ("operator.eq", "==", Level::Compare),
    ("operator.ne", "!=", Level::Compare),
    ("operator.lt", "<", Level::Compare),
    ("operator.le", "<=", Level::Compare),
    ("operator.gt", ">", Level::Compare),
    ("operator.ge", ">=", Level::Compare),
];

const PREFIX: &[(&str, &str)] = &[("operator.neg", "-"), ("operator.invert", "~")];

/// What tensors have as attributes and not as methods.
const ATTRIBUTES: &[&str] = &["T", "mT", "H", "real", "imag"];

/// Arguments that say nothing about sizes.
const SILENT: &[&str] = &[
    "device",
    "layout",
    "pin_memory",
    "memory_format",
    "out",
    "_stacklevel",
];

/// The arguments that people give by position though they have a default.
const BY_POSITION: &[(&str, &str)] = &[("flatten", "start_dim"), ("softmax", "")];

/// The operator that `x += y` does the work of. No counter tells the two apart.
pub(super) fn not_in_place(name: &str) -> Option<&'static (&'static str, &'static str, Level)> {
    let own = name.strip_prefix("operator.")?;
    let find = |own: &str| {
        let mut rows = INFIX.iter();
        rows.find(|(row, ..)| row.strip_prefix("operator.") == Some(own))
    };
    find(own).or_else(|| find(own.strip_prefix('i')?))
}

/// A call of a function.
pub(super) fn function(
    trace: &Trace,
    id: CallId,
    name: &str,
    says_output: bool,
    tensors: &mut dyn Tensors,
) -> Option<Expression> {
    let made = trace.call(id);
    let operators: Vec<&Call> = trace.direct(id).map(|(_, call)| call).collect();
    if name == "operator.getitem" {
        return index::getitem(trace, made, &operators, tensors);
    }
    let info = modelcost_torch::function(name)?;
    if let Some((_, symbol, level)) = not_in_place(name) {
        let [a, b] = operands(made, &operators)?;
        let a = expression::value(&a, "scale", tensors)?;
        let b = expression::value(&b, "scale", tensors)?;
        return Some(Expression::infix(symbol, *level, a, b));
    }
    if let Some((_, symbol)) = PREFIX.iter().find(|(own, _)| *own == name) {
        let operand = made.arguments.first()?;
        let operand = expression::value(&operand.value, "value", tensors)?;
        let mut pieces = text(*symbol);
        pieces.extend(operand.within(Level::Sign));
        return Some(Expression {
            pieces,
            level: Level::Sign,
        });
    }
    let given = arguments(info, made, &operators)?;
    if let Some(method) = name.strip_prefix("torch.Tensor.") {
        let mut given = given.into_iter();
        let (_, _, receiver) = given.next()?;
        // Only a tensor has methods.
        receiver.tensor()?;
        let receiver = expression::value(&receiver, "input", tensors)?;
        if ATTRIBUTES.contains(&method) {
            return Some(receiver.followed_by(format!(".{method}")));
        }
        let mut rest = written(info, given, tensors)?;
        if says_output {
            rest.push(returns(trace, made, tensors)?);
        }
        let callee = receiver.followed_by(format!(".{method}"));
        return Some(Expression::tight(call(callee.pieces, rest)));
    }
    let mut rest = written(info, given.into_iter(), tensors)?;
    if says_output {
        rest.push(returns(trace, made, tensors)?);
    }
    let short = match name.strip_prefix("torch.nn.functional.") {
        Some(short) => format!("F.{short}"),
        None => name.to_string(),
    };
    Some(Expression::tight(call(text(short), rest)))
}

/// A call of an operator where no function is known to have made it.
pub(super) fn operator(
    trace: &Trace,
    id: CallId,
    name: &str,
    says_output: bool,
    tensors: &mut dyn Tensors,
) -> Option<Expression> {
    let mut given = Vec::new();
    for (by_name, argument) in operator_arguments(trace.call(id), name) {
        let value = match expression::value(&argument.value, &argument.name, tensors) {
            Some(value) => value.pieces,
            // What it gives is said, so nothing depends on it.
            None if says_output => text("None"),
            None => return None,
        };
        given.push(match by_name {
            true => Given::keyword(argument.name.clone(), value),
            false => Given::position(value),
        });
    }
    if says_output {
        given.push(returns(trace, trace.call(id), tensors)?);
    }
    Some(Expression::tight(call(
        text(format!("torch.ops.{name}")),
        given,
    )))
}

/// The arguments of an operator that are to be written, and whether by name: one that follows what
/// was left out does not stand in its position.
pub(super) fn operator_arguments<'c>(call: &'c Call, name: &str) -> Vec<(bool, &'c Argument)> {
    let signature = modelcost_torch::operators::signature(name);
    let parameters = signature.map_or(&[][..], |signature| signature.parameters.as_slice());
    let (mut position, mut named) = (0, false);
    let mut out = Vec::new();
    for argument in &call.arguments {
        if argument.passed == Passed::Default || SILENT.contains(&argument.name.as_str()) {
            continue;
        }
        let own = parameters.iter().position(|p| p.name == argument.name);
        // Of an operator that the vocabulary does not know, only names tell what is what.
        let unknown = signature.is_none() && position > 0 && !argument.name.is_empty();
        let moved = own.is_some_and(|own| own != position);
        named |= argument.passed == Passed::Keyword || unknown || moved;
        position += 1;
        // What has no name cannot follow what is given by name.
        if !named || !argument.name.is_empty() {
            out.push((named, argument));
        }
    }
    out
}

/// What a call gives, as an argument.
fn returns(trace: &Trace, call: &Call, tensors: &mut dyn Tensors) -> Option<Given> {
    let output = output(trace, &call.output)?;
    let output = expression::value(&output, "size", tensors)?.pieces;
    Some(Given::keyword(RETURNS, output))
}

/// What a call gives, as a spec says it: shapes, with the types that are not the usual one.
pub(super) fn output(trace: &Trace, value: &Value) -> Option<Value> {
    Some(match value {
        Value::Tensor(id) => {
            let tensor = trace.tensor(*id);
            let shape = tensor.shape.as_ref()?;
            if shape.iter().any(Dim::has_unknown) {
                return None;
            }
            let shape = Value::Tuple(shape.iter().cloned().map(Value::Int).collect());
            match tensor.dtype {
                None | Some(DType::Float32) => shape,
                Some(dtype) => Value::Dict(vec![
                    ("shape".into(), shape),
                    ("dtype".into(), Value::DType(dtype)),
                ]),
            }
        }
        Value::Tuple(items) | Value::List(items) => {
            let items = items.iter().map(|item| output(trace, item));
            Value::List(items.collect::<Option<_>>()?)
        }
        Value::None | Value::Bool(_) | Value::Float(_) | Value::Str(_) | Value::Int(_) => {
            value.clone()
        }
        _ => return None,
    })
}

fn operands(made: &Call, operators: &[&Call]) -> Option<[Value; 2]> {
    let find = |call: &Call, names: &[&str]| {
        let mut arguments = call.arguments.iter();
        arguments
            .find(|argument| names.contains(&argument.name.as_str()))
            .map(|argument| argument.value.clone())
    };
    let operator = operators.first();
    let one = |own: &[&str], theirs: &[&str]| find(made, own).or_else(|| find(operator?, theirs));
    Some([
        one(&["a", "input"], &["self", "input"])?,
        one(&["b", "other"], &["other", "mat2", "exponent"])?,
    ])
}

pub(super) type Bound<'p> = (&'p Parameter, bool, Value);

/// The arguments of a call by the parameters of the function, with whether each is to be written.
pub(super) fn arguments<'p>(
    info: FunctionInfo,
    made: &Call,
    operators: &[&Call],
) -> Option<Vec<Bound<'p>>>
where
    FunctionInfo: 'p,
{
    let signature: &'static modelcost_torch::Signature = info.signature();
    let parameters = &signature.parameters;
    let mut out: Vec<Bound<'p>> = Vec::new();
    let known = |argument: &&Argument| parameters.iter().any(|p| p.name == argument.name);
    let mut others = made.arguments.iter().filter(|argument| !known(argument));
    for parameter in parameters {
        let name = parameter.name.as_str();
        if SILENT.contains(&name) {
            continue;
        }
        let own = made.arguments.iter().find(|argument| argument.name == name);
        let first_of_operator = || {
            let operator = operators.first()?;
            let mut arguments = operator.arguments.iter();
            arguments
                .find(|argument| ALIASES.contains(&(name, argument.name.as_str())))
                .map(|argument| argument.value.clone())
        };
        match (own, &parameter.default) {
            (Some(own), default) => {
                let silent = own.passed == Passed::Default
                    || default
                        .as_ref()
                        .is_some_and(|default| super::pieces::same(default, &own.value));
                out.push((parameter, !silent || default.is_none(), own.value.clone()));
            }
            (None, Some(_)) => {}
            (None, None) if parameter.kind == Kind::Variadic => {
                let value = others.next().map(|argument| argument.value.clone());
                out.push((
                    parameter,
                    true,
                    value
                        .or_else(first_of_operator)
                        .unwrap_or(Value::Tuple(Vec::new())),
                ));
            }
            // `arange(end)`: the only bound is the first parameter.
            (None, None) if name == "start" => {
                let end = made
                    .arguments
                    .iter()
                    .find(|argument| argument.name == "end")?;
                return Some(vec![(parameter, true, end.value.clone())]);
            }
            (None, None) => {
                let value =
                    first_of_operator().or_else(|| others.next().map(|a| a.value.clone()))?;
                out.push((parameter, true, value));
            }
        }
    }
    Some(out)
}

/// What parameters of functions are called by the operators underneath.
const ALIASES: &[(&str, &str)] = &[
    ("input", "self"),
    ("split_size_or_sections", "split_size"),
    ("split_size_or_sections", "split_sizes"),
    ("indices_or_sections", "indices"),
    ("indices_or_sections", "sections"),
    ("size", "size"),
    ("shape", "shape"),
    ("shape", "size"),
    ("dims", "dims"),
    ("repeats", "repeats"),
    ("tensors", "tensors"),
    ("dim", "dim"),
    ("other", "other"),
    ("mask", "mask"),
    ("value", "value"),
];

fn written<'p>(
    info: FunctionInfo,
    given: impl Iterator<Item = Bound<'p>>,
    tensors: &mut dyn Tensors,
) -> Option<Vec<Given>> {
    let mut out = Vec::new();
    let mut by_position = true;
    for (parameter, wanted, value) in given {
        let name = &parameter.name;
        if !wanted {
            by_position = false;
            continue;
        }
        if parameter.kind == Kind::Variadic {
            for item in value.items().unwrap_or(std::slice::from_ref(&value)) {
                out.push(Given::position(
                    expression::value(item, name, tensors)?.pieces,
                ));
            }
            continue;
        }
        let value = neat(name, value);
        let expression = expression::value(&value, name, tensors)?.pieces;
        let usual = BY_POSITION.contains(&(info.short_name(), name));
        by_position &= parameter.kind == Kind::Normal
            && (parameter.default.is_none() || value.tensor().is_some() || usual);
        out.push(match by_position {
            true => Given::position(expression),
            false => Given::keyword(name.clone(), expression),
        });
    }
    Some(out)
}

/// Operators take a list where people write one number for all dimensions.
fn neat(name: &SmolStr, value: Value) -> Value {
    let one_for_all = ["kernel_size", "stride", "padding", "dilation"].contains(&name.as_str());
    match &value {
        Value::List(items) if one_for_all => match items.as_slice() {
            [first, rest @ ..] if rest.iter().all(|item| item == first) => first.clone(),
            _ => Value::Tuple(items.clone()),
        },
        Value::List(items) if value.tensors().is_empty() && !items.is_empty() => {
            Value::Tuple(items.clone())
        }
        _ => value,
    }
}

/// Functions that only make or arrange numbers.
const IDLE: &[&str] = &[
    "arange",
    "zeros",
    "ones",
    "full",
    "empty",
    "tensor",
    "zeros_like",
    "ones_like",
    "full_like",
    "empty_like",
    "new_zeros",
    "new_ones",
    "new_full",
    "getitem",
    "view",
    "reshape",
    "expand",
    "expand_as",
    "transpose",
    "permute",
    "unsqueeze",
    "squeeze",
    "flatten",
    "unflatten",
    "select",
    "narrow",
    "slice",
    "contiguous",
    "clone",
    "detach",
    "to",
    "type_as",
    "bool",
    "long",
    "float",
    "alias",
    "lift_fresh_copy",
];

/// Functions that compare and add, of which nobody counts those over integers.
const IDLE_ON_INTEGERS: &[&str] = &[
    "add", "sub", "mul", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "cumsum",
];

/// Whether an operator only makes or arranges numbers.
pub(super) fn is_idle_operator(name: &str) -> bool {
    let short = name.rsplit('.').next().unwrap_or(name);
    IDLE.contains(&short.trim_end_matches('_'))
}

/// Whether a call does nothing but make its output, which nobody counts.
pub(super) fn is_idle(trace: &Trace, call: &Call) -> bool {
    if matches!(call.target, Target::Module(_)) {
        return false;
    }
    let name = short_name(&call.target);
    let integers = call.output.tensors().iter().all(|id| {
        trace
            .tensor(*id)
            .dtype
            .is_some_and(|dtype| !dtype.is_floating_point())
    });
    IDLE.contains(&name) || integers && IDLE_ON_INTEGERS.contains(&name)
}

/// The name of a function without where it is published.
pub(super) fn short_name(target: &Target) -> &str {
    let (Target::Function(name) | Target::Operator(name)) = target else {
        return "";
    };
    let short = name.rsplit('.').next().unwrap_or(name);
    short.trim_end_matches('_')
}
