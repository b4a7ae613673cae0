//! The lines of Python in the tables, run on shapes.

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::expr::{BinaryOp, CompareOp, Expr, ExprKind, UnaryOp};
use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;

use crate::bound::{Bound, number, truth};
use crate::error::{Result, TorchError};
use crate::functions::index::{ellipsis, slice};
use crate::functions::operator_name;
use crate::signature::Arguments;
use crate::tracer::{Member, Tracer};
use crate::{functions, operators};

/// The names that a line sees.
pub(crate) struct Scope<'a> {
    module: Option<ModuleId>,
    arguments: &'a Bound,
    in_place: bool,
}

impl<'a> Scope<'a> {
    /// The body of a module's `forward`.
    pub(crate) fn of_module(module: ModuleId, arguments: &'a Bound) -> Scope<'a> {
        Scope {
            module: Some(module),
            arguments,
            in_place: false,
        }
    }

    /// The body of a function; in the in-place form `aten.x` means `aten.x_`.
    pub(crate) fn of_function(arguments: &'a Bound, in_place: bool) -> Scope<'a> {
        Scope {
            module: None,
            arguments,
            in_place,
        }
    }
}

impl Tracer {
    /// The value of an expression of a table.
    pub(crate) fn eval(&mut self, scope: &Scope<'_>, expr: &Expr) -> Result<Value> {
        Ok(match &expr.kind {
            ExprKind::None => Value::None,
            ExprKind::Bool(value) => Value::Bool(*value),
            ExprKind::Int(value) => Value::Int(Dim::Const(*value)),
            ExprKind::Float(value) => Value::Float(*value),
            ExprKind::Str(text) => Value::Str(text.clone()),
            ExprKind::Name(name) => scope.arguments.value(name).clone(),
            ExprKind::Tuple(items) => Value::Tuple(self.eval_all(scope, items)?),
            ExprKind::List(items) => Value::List(self.eval_all(scope, items)?),
            ExprKind::Attribute(base, name) => match (&base.kind, scope.module) {
                (ExprKind::Name(owner), Some(module)) if owner == "self" => {
                    self.held(module, &name.name)?
                }
                _ => match expr.dotted_name().and_then(|name| dtype(&name)) {
                    Some(dtype) => dtype,
                    None => {
                        // `x.T` is a call without parentheses.
                        let base = self.eval(scope, base)?;
                        let method = format!("torch.Tensor.{}", name.name);
                        self.call_function(&method, &Arguments::of([base]), None)?
                    }
                },
            },
            ExprKind::Unary(op, operand) => {
                let value = self.eval(scope, operand)?;
                self.unary(*op, value)?
            }
            ExprKind::Binary(op, left, right) => {
                let (left, right) = (self.eval(scope, left)?, self.eval(scope, right)?);
                self.binary(*op, left, right)?
            }
            ExprKind::Compare(first, rest) => {
                let mut left = self.eval(scope, first)?;
                let mut result = Value::Bool(true);
                for (op, right) in rest {
                    let right = self.eval(scope, right)?;
                    result = self.compare(*op, &left, &right)?;
                    if truth(&result) == Some(false) {
                        break;
                    }
                    left = right;
                }
                result
            }
            ExprKind::And(left, right) => {
                let value = self.eval(scope, left)?;
                match truth(&value) {
                    Some(true) => self.eval(scope, right)?,
                    _ => value,
                }
            }
            ExprKind::Or(left, right) => {
                let value = self.eval(scope, left)?;
                match truth(&value) {
                    Some(false) => self.eval(scope, right)?,
                    _ => value,
                }
            }
            ExprKind::IfElse {
                test,
                then,
                otherwise,
            } => {
                let test = self.eval(scope, test)?;
                let branch = if truth(&test).unwrap_or(true) {
                    then
                } else {
                    otherwise
                };
                self.eval(scope, branch)?
            }
            ExprKind::Subscript(base, indices) => {
                let base = self.eval(scope, base)?;
                let indices = self.eval_all(scope, indices)?;
                let index = match <[Value; 1]>::try_from(indices) {
                    Ok([one]) => one,
                    Err(several) => Value::Tuple(several),
                };
                match base.items() {
                    Some(items) => element(items, &index)?,
                    None => {
                        let arguments = Arguments::of([base, index]);
                        self.call_function("operator.getitem", &arguments, None)?
                    }
                }
            }
            ExprKind::Slice(start, stop, step) => {
                let mut bounds = Vec::with_capacity(3);
                for bound in [start, stop, step] {
                    bounds.push(match bound {
                        Some(bound) => self.eval(scope, bound)?,
                        None => Value::None,
                    });
                }
                let [start, stop, step]: [Value; 3] = bounds.try_into().unwrap_or_default();
                slice(start, stop, step)
            }
            ExprKind::Ellipsis => ellipsis(),
            ExprKind::Call(callee, arguments) => self.eval_call(scope, callee, arguments)?,
            ExprKind::Error => return Err(unreadable(expr)),
        })
    }

    fn eval_all(&mut self, scope: &Scope<'_>, exprs: &[Expr]) -> Result<Vec<Value>> {
        exprs.iter().map(|expr| self.eval(scope, expr)).collect()
    }

    fn eval_call(
        &mut self,
        scope: &Scope<'_>,
        callee: &Expr,
        arguments: &[modelcost_core::expr::Argument],
    ) -> Result<Value> {
        let mut args = Arguments::new();
        let method = match &callee.kind {
            ExprKind::Attribute(base, name) => match &base.kind {
                ExprKind::Name(owner) if is_namespace(owner) => None,
                ExprKind::Name(owner) if owner == "self" => None,
                ExprKind::Attribute(..) if is_namespace(&root(base)) => None,
                _ => {
                    args.positional.push(self.eval(scope, base)?);
                    Some(name.name.clone())
                }
            },
            _ => None,
        };
        for argument in arguments {
            let value = self.eval(scope, &argument.value)?;
            match &argument.name {
                Some(name) => args.keyword.push((name.name.clone(), value)),
                None if argument.starred => {
                    args.positional
                        .extend(value.items().unwrap_or_default().iter().cloned());
                }
                None => args.positional.push(value),
            }
        }
        if let Some(method) = method {
            return self.call_found(functions::method(&method)?, args, None);
        }
        if let ExprKind::Attribute(base, name) = &callee.kind
            && let ExprKind::Name(owner) = &base.kind
        {
            match (owner.as_str(), scope.module) {
                ("aten", _) => {
                    let (entry, in_place) =
                        operators::find_short(&name.name).ok_or_else(|| unreadable(callee))?;
                    return self.call_entry(entry, in_place || scope.in_place, args);
                }
                ("self", Some(module)) => {
                    return match self.member(module, &name.name) {
                        Some(Member::Module(child)) => self.call_once(child, args, None),
                        _ => Err(unreadable(callee)),
                    };
                }
                _ => {}
            }
        }
        let name = callee.dotted_name().ok_or_else(|| unreadable(callee))?;
        self.call_found(functions::find(&name)?, args, None)
    }

    fn unary(&mut self, op: UnaryOp, value: Value) -> Result<Value> {
        Ok(match (op, value) {
            (UnaryOp::Not, value) => Value::Bool(!truth(&value).unwrap_or(true)),
            (UnaryOp::Neg, Value::Float(number)) => Value::Float(-number),
            (UnaryOp::Neg, Value::Tensor(id)) => {
                self.call_function("operator.neg", &Arguments::of([id.into()]), None)?
            }
            (UnaryOp::Neg, value) => match value.int() {
                Some(dim) => Value::Int(-dim),
                None => return Err(TorchError::new("only numbers and tensors have a sign")),
            },
            (UnaryOp::Invert, Value::Tensor(id)) => {
                self.call_function("operator.invert", &Arguments::of([id.into()]), None)?
            }
            (_, value) => value,
        })
    }

    fn binary(&mut self, op: BinaryOp, left: Value, right: Value) -> Result<Value> {
        if left.tensor().is_some() || right.tensor().is_some() {
            return self.call_function(operator_name(op), &Arguments::of([left, right]), None);
        }
        if let (Some(a), Some(b)) = (left.int(), right.int()) {
            return match op {
                BinaryOp::Add => Ok(Value::Int(a + b)),
                BinaryOp::Sub => Ok(Value::Int(a - b)),
                BinaryOp::Mul => Ok(Value::Int(a * b)),
                BinaryOp::FloorDiv => Ok(Value::Int(a.floor_div(&b))),
                BinaryOp::Mod => Ok(Value::Int(a.modulo(&b))),
                _ => Err(TorchError::new(format!("'{}' of integers", op.symbol()))),
            };
        }
        match (op, number(&left), number(&right)) {
            (BinaryOp::Mul, Some(a), Some(b)) => Ok(Value::Float(a * b)),
            (BinaryOp::Div, Some(a), Some(b)) => Ok(Value::Float(a / b)),
            _ => Err(TorchError::new(format!(
                "'{}' of these values",
                op.symbol()
            ))),
        }
    }
}

impl Tracer {
    fn compare(&mut self, op: CompareOp, left: &Value, right: &Value) -> Result<Value> {
        let function = match op {
            CompareOp::Eq => "operator.eq",
            CompareOp::Ne => "operator.ne",
            CompareOp::Lt => "operator.lt",
            CompareOp::Le => "operator.le",
            CompareOp::Gt => "operator.gt",
            CompareOp::Ge => "operator.ge",
            _ => return Ok(Value::Bool(holds(op, left, right))),
        };
        if left.tensor().is_none() && right.tensor().is_none() {
            return Ok(Value::Bool(holds(op, left, right)));
        }
        let arguments = Arguments::of([left.clone(), right.clone()]);
        self.call_function(function, &arguments, None)
    }
}

fn element(items: &[Value], index: &Value) -> Result<Value> {
    let count = items.len() as i64;
    let index = index.int().and_then(|index| index.as_i64());
    let at = index.map(|index| {
        if index < 0 {
            index.saturating_add(count)
        } else {
            index
        }
    });
    let item = at.and_then(|at| items.get(usize::try_from(at).ok()?));
    item.cloned()
        .ok_or_else(|| TorchError::new(format!("a tuple of {count} has no such element")))
}

fn holds(op: CompareOp, left: &Value, right: &Value) -> bool {
    let order = || {
        let (a, b) = (number(left), number(right));
        a.zip(b).and_then(|(a, b)| a.partial_cmp(&b))
    };
    match op {
        CompareOp::Eq | CompareOp::Is => left == right,
        CompareOp::Ne | CompareOp::IsNot => left != right,
        CompareOp::Lt => order().is_some_and(|order| order.is_lt()),
        CompareOp::Le => order().is_some_and(|order| order.is_le()),
        CompareOp::Gt => order().is_some_and(|order| order.is_gt()),
        CompareOp::Ge => order().is_some_and(|order| order.is_ge()),
        CompareOp::In => right.items().is_some_and(|items| items.contains(left)),
        CompareOp::NotIn => !right.items().is_some_and(|items| items.contains(left)),
    }
}

fn dtype(name: &str) -> Option<Value> {
    Some(Value::DType(name.strip_prefix("torch.")?.parse().ok()?))
}

fn is_namespace(name: &str) -> bool {
    matches!(
        name,
        "F" | "torch" | "aten" | "operator" | "torchvision" | "einops"
    )
}

fn root(expr: &Expr) -> SmolStr {
    match &expr.kind {
        ExprKind::Name(name) => name.clone(),
        ExprKind::Attribute(base, _) => root(base),
        _ => SmolStr::default(),
    }
}

/// The tables are this crate's own; a test calls every row.
fn unreadable(expr: &Expr) -> TorchError {
    TorchError::new(format!("cannot follow this expression: {:?}", expr.kind))
}

#[cfg(test)]
mod tests {
    use modelcost_core::expr::{ExprKind, parse};

    use super::*;

    /// What a line of a table calls, which must exist.
    fn check(line: &str) {
        let parsed = parse(line);
        assert!(parsed.errors.is_empty(), "{line}: {:?}", parsed.errors);
        parsed.expr.walk(&mut |expr| {
            let ExprKind::Call(callee, _) = &expr.kind else {
                return;
            };
            match callee.dotted_name() {
                Some(name) if name.starts_with("aten.") => {
                    assert!(operators::find(&name).is_ok(), "{name} in {line}");
                }
                Some(name) if name.starts_with("F.") || name.starts_with("torch") => {
                    assert!(functions::find(&name).is_ok(), "{name} in {line}");
                }
                Some(name) if name.starts_with("self.") => {}
                _ => {
                    let ExprKind::Attribute(_, method) = &callee.kind else {
                        panic!("{line}");
                    };
                    assert!(functions::method(&method.name).is_ok(), "{line}");
                }
            }
        });
    }

    #[test]
    fn every_line_calls_what_exists() {
        crate::classes()
            .filter_map(|class| class.forward_text())
            .chain(crate::functions().filter_map(|function| function.body_text()))
            .for_each(check);
    }
}
