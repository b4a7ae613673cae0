//! A function call's arguments as its source line has them, where the operator says less: of
//! `F.interpolate(x, size=9)` the operator knows `[9, 9]`, and tools that replace the function see
//! the number.

use modelcost_core::dim::Dim;
use modelcost_core::expr::{self, Expr, ExprKind, UnaryOp, assigned, parse};
use modelcost_core::trace::{Argument, Passed};
use modelcost_core::value::Value;
use smol_str::SmolStr;

/// The arguments of the call of `function` that a line completes as its n-th. `None` where the line
/// does not show it.
fn call(line: &str, function: &str, occurrence: usize) -> Option<Vec<expr::Argument>> {
    let (value, _) = assigned(line);
    let parsed = parse(value);
    if !parsed.errors.is_empty() {
        return None;
    }
    let mut calls: Vec<(usize, Vec<expr::Argument>)> = Vec::new();
    parsed.expr.walk(&mut |expr| {
        let ExprKind::Call(callee, arguments) = &expr.kind else {
            return;
        };
        let named = match &callee.kind {
            ExprKind::Attribute(_, name) => name.name == function,
            ExprKind::Name(name) => name == function,
            _ => false,
        };
        if named {
            calls.push((expr.span.range().end, arguments.clone()));
        }
    });
    // Python completes calls in the order of their closing parentheses.
    calls.sort_by_key(|(end, _)| *end);
    let (_, arguments) = calls.into_iter().nth(occurrence)?;
    let starred = arguments.iter().any(|argument| argument.starred);
    (!starred).then_some(arguments)
}

/// How a size or a scale is written.
#[derive(Clone, Debug, PartialEq)]
enum Form {
    /// It is not there.
    Absent,
    /// One number for all dimensions, or one for each, as the source spells them.
    Literal(Value),
    /// One for each dimension, computed.
    Sequence,
    /// A name that may stand for either.
    Unknown,
}

fn form(argument: Option<&Expr>) -> Form {
    let Some(expr) = argument else {
        return Form::Absent;
    };
    match &expr.kind {
        ExprKind::None => Form::Absent,
        ExprKind::Tuple(items) | ExprKind::List(items) => {
            let numbers: Option<Vec<Value>> = items.iter().map(number).collect();
            numbers.map_or(Form::Sequence, |items| Form::Literal(Value::Tuple(items)))
        }
        // `y.shape[-2:]`, `y.size()[2:]`
        ExprKind::Subscript(base, indices) => {
            let is_slice = matches!(
                indices.as_slice(),
                [index] if matches!(index.kind, ExprKind::Slice(..))
            );
            let of_shape = match &base.kind {
                ExprKind::Attribute(_, name) => name.name == "shape",
                ExprKind::Call(function, _) => matches!(
                    &function.kind,
                    ExprKind::Attribute(_, name) if name.name == "size"
                ),
                _ => false,
            };
            match is_slice && of_shape {
                true => Form::Sequence,
                false => Form::Unknown,
            }
        }
        _ => number(expr).map_or(Form::Unknown, Form::Literal),
    }
}

fn number(expr: &Expr) -> Option<Value> {
    match &expr.kind {
        ExprKind::Int(value) => Some(Value::Int(Dim::from(*value))),
        ExprKind::Float(value) => Some(Value::Float(*value)),
        ExprKind::Unary(UnaryOp::Neg, operand) => match &operand.kind {
            ExprKind::Int(value) => Some(Value::Int(Dim::from(-*value))),
            ExprKind::Float(value) => Some(Value::Float(-*value)),
            _ => None,
        },
        _ => None,
    }
}

fn argument<'a>(given: &'a [expr::Argument], name: &str, position: usize) -> Option<&'a Expr> {
    let by_name = given.iter().find(|argument| {
        let own = argument.name.as_ref();
        own.is_some_and(|own| own.name == name)
    });
    let by_position = || {
        given
            .get(position)
            .filter(|argument| argument.name.is_none())
    };
    by_name.or_else(by_position).map(|argument| &argument.value)
}

/// Puts what the line says of a function's arguments in the place of what the operator says.
/// `Some` is what had to be guessed.
pub fn amend(
    function: &str,
    op: &str,
    line: &str,
    occurrence: usize,
    arguments: &mut Vec<Argument>,
) -> Option<String> {
    let short = function.rsplit('.').next().unwrap_or(function);
    match function {
        "torch.nn.functional.interpolate" | "torch.nn.functional.upsample" => {
            interpolate(call(line, short, occurrence), op, arguments)
        }
        "torch.einsum" => {
            let given = call(line, short, occurrence)?;
            let operands = arguments
                .iter_mut()
                .find(|argument| argument.name == "operands")?;
            let only = given
                .get(1)
                .filter(|only| given.len() == 2 && !only.starred)?;
            // One list, which tools that look at the operands see as one.
            if matches!(only.value.kind, ExprKind::List(_) | ExprKind::Tuple(_)) {
                let list = std::mem::replace(&mut operands.value, Value::None);
                operands.value = Value::Tuple(vec![list]);
                return None;
            }
            (operands.value.tensors().len() > 1).then(|| {
                "the operands of torch.einsum stand in a list; taken for arguments of their own"
                    .into()
            })
        }
        _ => None,
    }
}

fn interpolate(
    given: Option<Vec<expr::Argument>>,
    op: &str,
    arguments: &mut Vec<Argument>,
) -> Option<String> {
    if op.starts_with("aten.adaptive_avg_pool") {
        set(arguments, "mode", Value::from("area"));
    }
    let Some(given) = given else {
        return ambiguous(arguments);
    };
    let size = form(argument(&given, "size", 1));
    let scale = form(argument(&given, "scale_factor", 2));
    // The operator has a size where the call has a scale and lets it be recomputed.
    if size == Form::Absent && scale != Form::Absent {
        set(arguments, "size", Value::None);
    }
    let mut unsure = None;
    match size {
        Form::Literal(value) => set(arguments, "size", value),
        Form::Unknown => unsure = ambiguous(arguments),
        Form::Absent | Form::Sequence => {}
    }
    match scale {
        Form::Literal(value) => set(arguments, "scale_factor", value),
        Form::Unknown | Form::Sequence if value(arguments, "scale_factor") == Value::None => {
            unsure = Some("the scale of F.interpolate is not in the program".into());
        }
        _ => {}
    }
    unsure
}

/// A size whose numbers are all equal may have been one number.
fn ambiguous(arguments: &[Argument]) -> Option<String> {
    let Value::List(items) = value(arguments, "size") else {
        return None;
    };
    let equal = items.windows(2).all(|pair| pair[0] == pair[1]);
    equal.then(|| {
        "whether F.interpolate was given one size or one for each dimension is not in the program; \
         taken for one for each"
            .into()
    })
}

fn value(arguments: &[Argument], name: &str) -> Value {
    let found = arguments.iter().find(|argument| argument.name == name);
    found.map_or(Value::None, |argument| argument.value.clone())
}

fn set(arguments: &mut Vec<Argument>, name: &'static str, value: Value) {
    match arguments.iter_mut().find(|argument| argument.name == name) {
        Some(argument) => {
            argument.value = value;
            if argument.passed == Passed::Default {
                argument.passed = Passed::Keyword;
            }
        }
        None => arguments.push(Argument {
            name: SmolStr::new_static(name),
            value,
            passed: Passed::Keyword,
        }),
    }
}

#[cfg(test)]
mod tests {
    use modelcost_core::trace::TensorId;

    use super::*;

    fn named(name: &'static str, value: Value) -> Argument {
        Argument {
            name: name.into(),
            value,
            passed: Passed::Position,
        }
    }

    fn sizes(size: i64) -> Value {
        Value::List(vec![Value::Int(size.into()), Value::Int(size.into())])
    }

    fn amended(op: &str, line: &str, occurrence: usize) -> (Value, Value, bool) {
        let mut arguments = vec![named("size", sizes(9)), named("scale_factor", Value::None)];
        let function = "torch.nn.functional.interpolate";
        let unsure = amend(function, op, line, occurrence, &mut arguments);
        let of = |name| value(&arguments, name);
        (of("size"), of("scale_factor"), unsure.is_some())
    }

    #[test]
    fn sizes_as_written() {
        let line = "x = F.interpolate(x, size=9) + F.interpolate(x, (9, 9), mode='bicubic')";
        let nine = Value::Int(9.into());
        let op = "aten.upsample_nearest2d";
        assert_eq!(amended(op, line, 0), (nine.clone(), Value::None, false));
        let pair = Value::Tuple(vec![nine.clone(), nine]);
        assert_eq!(amended(op, line, 1), (pair, Value::None, false));
        let computed = "return F.interpolate(x, y.shape[2:])";
        assert_eq!(amended(op, computed, 0), (sizes(9), Value::None, false));
        assert!(amended(op, "return F.interpolate(x, size)", 0).2);
        assert!(amended(op, "return F.interpolate(", 0).2);
    }

    #[test]
    fn scales_of_areas() {
        let line = "return F.interpolate(x, scale_factor=0.5, mode='area')";
        let op = "aten.adaptive_avg_pool2d";
        assert_eq!(
            amended(op, line, 0),
            (Value::None, Value::Float(0.5), false)
        );
    }

    #[test]
    fn operands_in_a_list() {
        let amended = |line: &str| {
            let tensors = [1, 2].map(|id| Value::Tensor(TensorId::new(id)));
            let mut arguments = vec![Argument {
                name: "operands".into(),
                value: Value::Tuple(tensors.to_vec()),
                passed: Passed::Position,
            }];
            let note = amend("torch.einsum", "aten.einsum", line, 0, &mut arguments);
            let items = arguments[0].value.items().map_or(0, <[Value]>::len);
            (note.is_some(), items)
        };
        assert_eq!(
            amended("return torch.einsum('ij,jk->ik', x, y)"),
            (false, 2)
        );
        assert_eq!(
            amended("return torch.einsum('ij,jk->ik', [x, y])"),
            (false, 1)
        );
        assert_eq!(amended("return torch.einsum('ij,jk->ik', xs)"), (true, 2));
        assert_eq!(amended("return torch.einsum('ij,jk->ik', *xs)"), (false, 2));
    }
}
