//! Expressions to values.

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::expr::{BinaryOp, CompareOp, Expr, ExprKind, Span, UnaryOp};
use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;
use modelcost_torch::{Arguments, operator_name};

use super::call::Given;
use super::{Context, Fail, Result, Run, Val, arithmetic, builtins, error};
use crate::catalogue;

impl<'d> Run<'d> {
    /// The value of an expression.
    pub(super) fn eval(&mut self, expr: &'d Expr, context: &Context) -> Result<Val> {
        self.step(1, expr.span)?;
        self.nested(expr.span, |run| run.eval_kind(expr, context))
    }

    /// The value of an expression that is not a module.
    pub(super) fn data(&mut self, expr: &'d Expr, context: &Context) -> Result<Value> {
        match self.eval(expr, context)? {
            Val::Data(value) => Ok(value),
            Val::Unknown => Err(Fail::Poisoned),
            Val::Module(module) => {
                let class = self.trace().module(module).class.short_name().to_string();
                error(
                    format!(
                        "this is a {class} module, not a tensor: apply it to something, as in name(x)"
                    ),
                    expr.span,
                )
            }
        }
    }

    fn eval_kind(&mut self, expr: &'d Expr, context: &Context) -> Result<Val> {
        let value = match &expr.kind {
            ExprKind::None => Value::None,
            ExprKind::Bool(value) => Value::Bool(*value),
            ExprKind::Int(value) => Value::Int(Dim::Const(*value)),
            ExprKind::Float(value) => Value::Float(*value),
            ExprKind::Str(text) => Value::Str(text.clone()),
            ExprKind::Ellipsis => Value::Opaque(SmolStr::new_static("...")),
            ExprKind::Tuple(items) => Value::Tuple(self.items(items, context)?),
            ExprKind::List(items) => Value::List(self.items(items, context)?),
            ExprKind::Name(name) => return self.name(name, expr.span, context),
            ExprKind::Unary(op, operand) => {
                let operand = self.data(operand, context)?;
                return self.unary(*op, operand, expr.span).map(Val::Data);
            }
            ExprKind::Binary(op, a, b) => {
                let (x, y) = (self.data(a, context)?, self.data(b, context)?);
                return self
                    .binary(*op, [x, y], [a.span, b.span], expr.span)
                    .map(Val::Data);
            }
            ExprKind::Compare(first, rest) => return self.compare(first, rest, context),
            ExprKind::And(a, b) => {
                let value = self.data(a, context)?;
                return match self.truth(&value, a.span)? {
                    true => self.eval(b, context),
                    false => Ok(Val::Data(value)),
                };
            }
            ExprKind::Or(a, b) => {
                let value = self.data(a, context)?;
                return match self.truth(&value, a.span)? {
                    true => Ok(Val::Data(value)),
                    false => self.eval(b, context),
                };
            }
            ExprKind::IfElse {
                test,
                then,
                otherwise,
            } => {
                let value = self.data(test, context)?;
                let holds = self.truth(&value, test.span)?;
                self.taken.insert((expr.span.start, expr.span.end), holds);
                return match holds {
                    true => self.eval(then, context),
                    false => self.eval(otherwise, context),
                };
            }
            ExprKind::Call(callee, arguments) => {
                return self.call(expr, callee, arguments, context);
            }
            ExprKind::Attribute(base, name) => return self.attribute(expr, base, name, context),
            ExprKind::Subscript(base, indices) => {
                return self.subscript(expr, base, indices, context);
            }
            ExprKind::Slice(lower, upper, step) => {
                let mut bound = |bound: &'d Option<Box<Expr>>| match bound {
                    Some(bound) => self.data(bound, context),
                    None => Ok(Value::None),
                };
                let bounds = [bound(lower)?, bound(upper)?, bound(step)?];
                let names = ["start", "stop", "step"].map(SmolStr::new_static);
                Value::Dict(names.into_iter().zip(bounds).collect())
            }
            // Reported when the document was read.
            ExprKind::Error => return Err(Fail::Poisoned),
        };
        Ok(Val::Data(value))
    }

    pub(super) fn items(&mut self, items: &'d [Expr], context: &Context) -> Result<Vec<Value>> {
        items.iter().map(|item| self.data(item, context)).collect()
    }

    fn truth(&self, value: &Value, span: Span) -> Result<bool> {
        arithmetic::truth(value).or_else(|message| error(message, span))
    }

    /// What a name stands for: the value of a layer, else its module, else a class.
    fn name(&mut self, name: &SmolStr, span: Span, context: &Context) -> Result<Val> {
        if let Some(binding) = context.scope.get(name) {
            if let Some(left_out) = binding.left_out {
                return self.left_out(name, left_out, span);
            }
            return Ok(match (binding.value, binding.module) {
                (Some(Val::Unknown), _) => return Err(Fail::Poisoned),
                (Some(value), _) => value,
                (None, Some(module)) => Val::Module(module),
                (None, None) => return Err(Fail::Poisoned),
            });
        }
        if let Some(class) = self.class_named(name) {
            return Ok(Val::Data(Value::Opaque(class)));
        }
        if builtins::is_function(name) {
            return Ok(Val::Data(Value::Opaque(name.clone())));
        }
        Err(self.unknown_name(name, span, context))
    }

    fn left_out<T>(&self, name: &str, condition: Span, span: Span) -> Result<T> {
        let mut fail = match error::<T>(format!("'{name}' is left out here"), span) {
            Err(Fail::Error(diagnostic)) => diagnostic,
            other => return other,
        };
        fail.related
            .push((condition.range(), "because of this".into()));
        fail.help = Some(format!(
            "use it under the same condition: ({name} if … else …)"
        ));
        Err(Fail::Error(fail))
    }

    fn unary(&mut self, op: UnaryOp, operand: Value, span: Span) -> Result<Value> {
        if operand.tensor().is_some() {
            let name = match op {
                UnaryOp::Neg => "operator.neg",
                UnaryOp::Pos => "operator.pos",
                UnaryOp::Invert => "operator.invert",
                UnaryOp::Not => return error("the values of a tensor are not known here", span),
            };
            return self.function(name, Given::one(operand, span), span);
        }
        arithmetic::unary(op, &operand).or_else(|message| error(message, span))
    }

    pub(super) fn binary(
        &mut self,
        op: BinaryOp,
        operands: [Value; 2],
        spans: [Span; 2],
        span: Span,
    ) -> Result<Value> {
        if operands.iter().any(|operand| operand.tensor().is_some()) {
            let name = operator_name(op);
            for (operand, span) in operands.iter().zip(spans) {
                if operand.items().is_some() {
                    return self.tuple_operand(operand, span);
                }
            }
            return self.function(name, Given::positional(operands, spans), span);
        }
        let [a, b] = &operands;
        let value = arithmetic::binary(op, a, b).or_else(|message| error(message, span))?;
        self.step(value.items().map_or(0, <[Value]>::len), span)?;
        Ok(value)
    }

    fn tuple_operand<T>(&self, operand: &Value, span: Span) -> Result<T> {
        let count = operand.items().map_or(0, <[Value]>::len);
        let mut result = error(format!("this is {count} values, not a tensor"), span);
        if let Err(Fail::Error(diagnostic)) = &mut result {
            diagnostic.help = Some("take one of them: name[0]".into());
        }
        result
    }

    fn compare(
        &mut self,
        first: &'d Expr,
        rest: &'d [(CompareOp, Expr)],
        context: &Context,
    ) -> Result<Val> {
        if let [(op @ (CompareOp::Is | CompareOp::IsNot), right)] = rest
            && matches!(right.kind, ExprKind::None)
            && let Some(there) = self.is_there(first, context)
        {
            let holds = there == matches!(op, CompareOp::IsNot);
            return Ok(Val::Data(Value::Bool(holds)));
        }
        let mut left = (self.data(first, context)?, first.span);
        for (op, right) in rest {
            let value = self.data(right, context)?;
            let span = left.1.to(right.span);
            let identity = matches!(op, CompareOp::Is | CompareOp::IsNot);
            let tensor = left.0.tensor().or(value.tensor()).is_some();
            if tensor && !identity && rest.len() == 1 {
                let name = match op {
                    CompareOp::Eq => "operator.eq",
                    CompareOp::Ne => "operator.ne",
                    CompareOp::Lt => "operator.lt",
                    CompareOp::Le => "operator.le",
                    CompareOp::Gt => "operator.gt",
                    CompareOp::Ge => "operator.ge",
                    _ => return error("the values of a tensor are not known here", span),
                };
                let given = Given::positional([left.0, value], [left.1, right.span]);
                return self.function(name, given, span).map(Val::Data);
            }
            let holds = arithmetic::compare(*op, &left.0, &value)
                .or_else(|message| error(message, span))?;
            if !holds {
                return Ok(Val::Data(Value::Bool(false)));
            }
            left = (value, right.span);
        }
        Ok(Val::Data(Value::Bool(true)))
    }

    /// Whether the layer of a name was made, as `down is None` asks; nothing where the name is
    /// not that of a layer with a module.
    fn is_there(&self, expr: &Expr, context: &Context) -> Option<bool> {
        let ExprKind::Name(name) = &expr.kind else {
            return None;
        };
        let found = context.scope.with(name, |binding| {
            match (binding.left_out, binding.module, &binding.value) {
                (Some(_), ..) => Some(false),
                (None, Some(_), _) | (None, None, Some(Val::Module(_))) => Some(true),
                _ => None,
            }
        });
        found.flatten()
    }

    /// The module that an expression names, if it names one: `relu`, `layers[0]`, `attn.qkv`.
    pub(super) fn module_of(
        &mut self,
        expr: &'d Expr,
        context: &Context,
    ) -> Result<Option<ModuleId>> {
        match &expr.kind {
            ExprKind::Name(name) => {
                let found = context.scope.with(name, |binding| {
                    let module = binding.module.or(match binding.value {
                        Some(Val::Module(module)) => Some(module),
                        _ => None,
                    });
                    (binding.left_out, module)
                });
                match found {
                    Some((Some(condition), _)) => self.left_out(name, condition, expr.span),
                    Some((None, module)) => Ok(module),
                    None => Ok(None),
                }
            }
            ExprKind::Attribute(base, name) => {
                let Some(base) = self.module_of(base, context)? else {
                    return Ok(None);
                };
                self.child_made(base, &name.name)
            }
            ExprKind::Subscript(base, indices) => {
                let Some(base) = self.module_of(base, context)? else {
                    return Ok(None);
                };
                let [index] = indices.as_slice() else {
                    return Ok(None);
                };
                if matches!(index.kind, ExprKind::Slice(..)) {
                    return Ok(None);
                }
                let index_value = self.data(index, context)?;
                self.make_early(base)?;
                let count = self.trace().module(base).children.len();
                let name = match &index_value {
                    Value::Str(name) => name.clone(),
                    value => {
                        let at = arithmetic::index(value)
                            .or_else(|message| error(message, index.span))?;
                        let at = if at < 0 { at + count as i64 } else { at };
                        at.to_string().into()
                    }
                };
                match self.child(base, &name) {
                    Some(child) => Ok(Some(child)),
                    // `lstm[0]` is an item of what the module gave.
                    None if self.has_value(expr, context) => Ok(None),
                    None => error(
                        format!("there is no module '{name}' among these {count}"),
                        index.span,
                    ),
                }
            }
            _ => Ok(None),
        }
    }

    /// Whether the name that an expression begins with has a value, beside a module.
    fn has_value(&self, expr: &Expr, context: &Context) -> bool {
        match &expr.kind {
            ExprKind::Name(name) => {
                context.scope.with(name, |binding| binding.value.is_some()) == Some(true)
            }
            ExprKind::Attribute(base, _) | ExprKind::Subscript(base, _) => {
                self.has_value(base, context)
            }
            _ => false,
        }
    }

    /// `torch.float32`, `nn.ReLU`, `F.relu`, `math.pi`: a dotted name that is not one of the spec's.
    pub(super) fn constant(&mut self, dotted: &str, span: Span) -> Result<Val> {
        if let Some(value) = builtins::constant(dotted) {
            return Ok(Val::Data(value));
        }
        if let Some(class) = self.class_named(dotted) {
            return Ok(Val::Data(Value::Opaque(class)));
        }
        if catalogue::is_function(dotted) {
            return Ok(Val::Data(Value::Opaque(dotted.into())));
        }
        Err(self.unknown_dotted(dotted, span))
    }

    /// A dotted name whose first part is no name of the spec.
    pub(super) fn free_dotted_name(&self, expr: &Expr, context: &Context) -> Option<SmolStr> {
        let dotted = expr.dotted_name()?;
        let root = dotted.split('.').next()?;
        (!context.scope.has(root)).then_some(dotted)
    }

    /// Calls a function of PyTorch.
    pub(super) fn function(&mut self, name: &str, given: Given, span: Span) -> Result<Value> {
        if self.dry {
            return Err(Fail::Poisoned);
        }
        if catalogue::names_operator(name) {
            return self.operator(name, given, span);
        }
        let mut given = given;
        let output = super::operators::output(&mut given)?;
        let arguments: Arguments = given.arguments();
        let called = match output {
            Some(output) => {
                let tracer = &mut self.tracer;
                tracer.call_function_giving(name, &arguments, Some(span), &output)
            }
            None => self.tracer.call_function(name, &arguments, Some(span)),
        };
        match called {
            Ok(value) => {
                self.step(1, span)?;
                Ok(value)
            }
            Err(torch) => Err(self.torch_error(torch, &given, span)),
        }
    }
}
