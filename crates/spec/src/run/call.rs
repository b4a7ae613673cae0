//! Calls: of modules, functions, methods, and the constructors of modules.

use modelcost_core::SmolStr;
use modelcost_core::convention::closest;
use modelcost_core::expr::{Argument, Expr, ExprKind, Ident, Span};
use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;
use modelcost_torch::{Arguments, Parametrization};

use super::messages::suggesting;
use super::{Context, Fail, Kind, Result, Run, Val, arithmetic, builtins, error};
use crate::catalogue;

/// Arguments with where each of them stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub positional: Vec<(Value, Span)>,
    pub keyword: Vec<(Ident, Value, Span)>,
}

impl Given {
    pub fn one(value: Value, span: Span) -> Given {
        Given {
            positional: vec![(value, span)],
            keyword: Vec::new(),
        }
    }

    pub fn positional(
        values: impl IntoIterator<Item = Value>,
        spans: impl IntoIterator<Item = Span>,
    ) -> Given {
        Given {
            positional: values.into_iter().zip(spans).collect(),
            keyword: Vec::new(),
        }
    }

    pub fn arguments(&self) -> Arguments {
        let positional = self.positional.iter().map(|(value, _)| value.clone());
        let keyword = self.keyword.iter();
        Arguments {
            positional: positional.collect(),
            keyword: keyword
                .map(|(name, value, _)| (name.name.clone(), value.clone()))
                .collect(),
        }
    }

    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let keyword = self.keyword.iter().map(|(_, value, _)| value);
        self.positional
            .iter()
            .map(|(value, _)| value)
            .chain(keyword)
    }
}

/// What stands before the parentheses.
enum Callee {
    Module(ModuleId),
    Class(SmolStr),
    Wrapper(Parametrization),
    Function(SmolStr),
    Builtin(SmolStr),
    Method(Value, Span, Ident),
}

impl<'d> Run<'d> {
    pub(super) fn call(
        &mut self,
        expr: &'d Expr,
        callee: &'d Expr,
        arguments: &'d [Argument],
        context: &Context,
    ) -> Result<Val> {
        match self.callee(callee, context)? {
            Callee::Class(class) => self.construct(&class, expr, callee, arguments, context),
            Callee::Wrapper(how) => self.wrapped(how, arguments, expr.span, context),
            Callee::Module(module) => {
                let given = self.arguments(arguments, context)?;
                self.call_module(module, given, expr.span)
            }
            Callee::Function(name) => {
                let given = self.arguments(arguments, context)?;
                self.function(&name, given, expr.span).map(Val::Data)
            }
            Callee::Builtin(name) if name == builtins::HOOKED => {
                self.hooked(arguments, expr.span, context)
            }
            Callee::Builtin(name) => {
                let given = self.arguments(arguments, context)?;
                self.builtin(&name, given, expr.span)
            }
            Callee::Method(receiver, span, name) => {
                let mut given = self.arguments(arguments, context)?;
                given.positional.insert(0, (receiver, span));
                self.method(&name, given, expr.span)
            }
        }
    }

    fn callee(&mut self, expr: &'d Expr, context: &Context) -> Result<Callee> {
        if let Some(dotted) = self.free_dotted_name(expr, context) {
            return self.named_callee(&dotted, expr, context);
        }
        if let Some(module) = self.module_of(expr, context)? {
            return Ok(Callee::Module(module));
        }
        if let ExprKind::Attribute(base, name) = &expr.kind {
            // A method of what the base gives, or nothing.
            let value = match self.eval(base, context)? {
                Val::Data(value) => value,
                Val::Unknown => return Err(Fail::Poisoned),
                Val::Module(module) => {
                    let class = self.trace().module(module).class.short_name().to_string();
                    return error(format!("this {class} has no '{}'", name.name), name.span);
                }
            };
            return Ok(Callee::Method(value, base.span, name.clone()));
        }
        match self.eval(expr, context)? {
            Val::Module(module) => Ok(Callee::Module(module)),
            Val::Data(Value::Opaque(name)) => self.named_callee(&name, expr, context),
            Val::Data(value) => error(
                format!("{} cannot be called", arithmetic::describe(&value)),
                expr.span,
            ),
            Val::Unknown => Err(Fail::Poisoned),
        }
    }

    fn named_callee(&mut self, name: &str, expr: &Expr, context: &Context) -> Result<Callee> {
        if let Some(class) = self.class_named(name) {
            return Ok(Callee::Class(class));
        }
        if let Some(how) = catalogue::wrapper(name) {
            return Ok(Callee::Wrapper(how));
        }
        if builtins::is_function(name) {
            return Ok(Callee::Builtin(name.into()));
        }
        if catalogue::is_function(name) || catalogue::names_operator(name) {
            return Ok(Callee::Function(name.into()));
        }
        if name.contains('.') {
            return Err(self.unknown_dotted(name, expr.span));
        }
        Err(self.unknown_name(name, expr.span, context))
    }

    /// The name of a class, as it is to be asked for: of a block of this file first.
    pub(super) fn class_named(&self, name: &str) -> Option<SmolStr> {
        if self.blocks.contains_key(name) {
            return Some(name.into());
        }
        catalogue::class(name).map(|class| SmolStr::new_static(class.name()))
    }

    /// Whether an expression makes a module when it is evaluated: `Conv2d(3, 64, 3)`.
    pub(super) fn is_constructor(&self, expr: &Expr, context: &Context) -> bool {
        let ExprKind::Call(callee, _) = &expr.kind else {
            return false;
        };
        match self.free_dotted_name(callee, context) {
            Some(dotted) if catalogue::wrapper(&dotted).is_some() => true,
            Some(dotted) => !builtins::is_function(&dotted) && self.class_named(&dotted).is_some(),
            None => match &callee.kind {
                ExprKind::Name(name) => {
                    context.scope.with(name, |binding| match &binding.value {
                        Some(Val::Data(Value::Opaque(class))) => self.class_named(class).is_some(),
                        _ => false,
                    }) == Some(true)
                }
                _ => false,
            },
        }
    }

    /// The values of arguments.
    pub(super) fn arguments(
        &mut self,
        arguments: &'d [Argument],
        context: &Context,
    ) -> Result<Given> {
        let mut given = Given::default();
        for argument in arguments {
            let expr = &argument.value;
            let value = match self.is_constructor(expr, context) {
                // `TransformerEncoder(TransformerEncoderLayer(64, 4), 6)`
                true => self.module_argument(expr, context)?,
                false => self.data(expr, context)?,
            };
            if argument.starred {
                let Some(items) = value.items() else {
                    return error(
                        format!("{} has no items to spread", arithmetic::describe(&value)),
                        expr.span,
                    );
                };
                self.step(items.len(), expr.span)?;
                let spread = items.iter().map(|item| (item.clone(), expr.span));
                given.positional.extend(spread);
            } else if let Some(name) = &argument.name {
                if given
                    .keyword
                    .iter()
                    .any(|(known, ..)| known.name == name.name)
                {
                    return error(format!("'{}' is given twice", name.name), name.span);
                }
                given.keyword.push((name.clone(), value, expr.span));
            } else {
                given.positional.push((value, expr.span));
            }
        }
        Ok(given)
    }

    /// A module that is made to be given to the constructor of another.
    fn module_argument(&mut self, expr: &'d Expr, context: &Context) -> Result<Value> {
        let ExprKind::Call(callee, arguments) = &expr.kind else {
            return error("expected a module", expr.span);
        };
        let class = match self.callee(callee, context)? {
            Callee::Class(class) => class,
            _ => return error("expected a module", callee.span),
        };
        if self.blocks.contains_key(class.as_str()) {
            return error(
                format!(
                    "{class} is a block of this file: only modules of PyTorch can be given to others"
                ),
                expr.span,
            );
        }
        let given = self.arguments(arguments, context)?;
        match self.tracer.construct(&class, &given.arguments(), "") {
            Ok(module) => {
                self.step(1, expr.span)?;
                Ok(modelcost_torch::Tracer::module_value(module))
            }
            Err(torch) => Err(self.torch_error(torch, &given, callee.span)),
        }
    }

    /// `partial(LayerNorm, eps=1e-6)`: a class with some of its arguments.
    fn partial(&mut self, given: Given, span: Span) -> Result<Val> {
        let Some(((Value::Opaque(class), _), rest)) = given.positional.split_first() else {
            return error("partial takes a class first", span);
        };
        let positional = rest.iter().map(|(value, _)| arithmetic::python(value));
        let keyword = given.keyword.iter();
        let keyword =
            keyword.map(|(name, value, _)| format!("{}={}", name.name, arithmetic::python(value)));
        let arguments: Vec<String> = std::iter::once(class.to_string())
            .chain(positional)
            .chain(keyword)
            .collect();
        let text = format!("functools.partial({})", arguments.join(", "));
        Ok(Val::Data(Value::Opaque(text.into())))
    }

    fn builtin(&mut self, name: &str, given: Given, span: Span) -> Result<Val> {
        if name == builtins::PARTIAL {
            return self.partial(given, span);
        }
        if let (builtins::DICT, []) = (name, given.positional.as_slice()) {
            let items = given.keyword.into_iter();
            let items = items.map(|(name, value, _)| (name.name, value));
            return Ok(Val::Data(Value::Dict(items.collect())));
        }
        if let Some((keyword, ..)) = given.keyword.first() {
            return error(
                format!("{name} has no argument '{}'", keyword.name),
                keyword.span,
            );
        }
        let values: Vec<Value> = given.values().cloned().collect();
        if let ("len", [Value::Tensor(tensor)]) = (name, values.as_slice()) {
            let sizes = self.sizes(*tensor, span)?;
            return match sizes.into_iter().next() {
                Some(size) => Ok(Val::Data(size)),
                None => error("a scalar has no length", span),
            };
        }
        if let ("sum", [list]) = (name, values.as_slice())
            && list
                .items()
                .is_some_and(|items| items.iter().any(|item| item.tensor().is_some()))
        {
            let items = list.items().unwrap_or_default().to_vec();
            let add = |run: &mut Self, total, item| {
                run.binary(
                    modelcost_core::expr::BinaryOp::Add,
                    [total, item],
                    [span, span],
                    span,
                )
            };
            let total = items
                .into_iter()
                .try_fold(Value::from(0), |total, item| add(self, total, item))?;
            return Ok(Val::Data(total));
        }
        let cost: usize = values
            .iter()
            .filter_map(Value::items)
            .map(<[Value]>::len)
            .sum();
        self.step(cost, span)?;
        let value = builtins::call(name, &values).or_else(|message| error(message, span))?;
        self.step(value.items().map_or(0, <[Value]>::len), span)?;
        Ok(Val::Data(value))
    }

    fn method(&mut self, name: &Ident, given: Given, span: Span) -> Result<Val> {
        let receiver = given.positional.first().map(|(value, _)| value);
        let Some(tensor) = receiver.and_then(Value::tensor) else {
            let what = receiver.map_or("this".into(), arithmetic::describe);
            let mut result = error(format!("{what} has no method '{}'", name.name), name.span);
            if let (Some(Value::Tuple(_) | Value::List(_)), Err(Fail::Error(diagnostic))) =
                (receiver, &mut result)
            {
                diagnostic.help = Some("take one of its items: name[0]".into());
            }
            return result;
        };
        let index = given.positional.get(1).map(|(value, _)| value);
        match (name.name.as_str(), index) {
            ("size", Some(index)) => {
                let sizes = self.sizes(tensor, span)?;
                let at = arithmetic::index(index).or_else(|message| error(message, span))?;
                let at = if at < 0 { at + sizes.len() as i64 } else { at };
                let size = usize::try_from(at)
                    .ok()
                    .and_then(|at| sizes.get(at).cloned());
                return match size {
                    Some(size) => Ok(Val::Data(size)),
                    None => error(
                        format!("there is no dimension {at} among {}", sizes.len()),
                        span,
                    ),
                };
            }
            ("size", None) => return Ok(Val::Data(Value::Tuple(self.sizes(tensor, span)?))),
            ("dim" | "ndimension", None) => {
                return Ok(Val::Data(Value::from(self.sizes(tensor, span)?.len())));
            }
            ("numel" | "nelement", None) => {
                let sizes = self.sizes(tensor, span)?;
                let dims: Vec<_> = sizes.iter().filter_map(Value::int).collect();
                let numel = modelcost_core::dim::Dim::product(&dims);
                return Ok(Val::Data(Value::Int(numel)));
            }
            _ => {}
        }
        let function = format!("torch.Tensor.{}", name.name);
        if !catalogue::is_function(&function) {
            let methods = modelcost_torch::functions().filter(|function| function.is_method());
            return Err(suggesting(
                format!("a tensor has no method '{}'", name.name),
                name.span,
                closest(&name.name, methods.map(|function| function.short_name())),
            ));
        }
        self.function(&function, given, span).map(Val::Data)
    }

    /// Calls a module.
    pub(super) fn call_module(
        &mut self,
        module: ModuleId,
        given: Given,
        span: Span,
    ) -> Result<Val> {
        self.step(1, span)?;
        let kind = self.instance(module).map(|instance| instance.kind);
        if self.dry {
            return Err(Fail::Poisoned);
        }
        match kind {
            None => {
                let arguments = given.arguments();
                match self.tracer.call_module(module, &arguments, Some(span)) {
                    Ok(value) => {
                        self.step(1, span)?;
                        Ok(Val::Data(value))
                    }
                    Err(torch) => Err(self.torch_error(torch, &given, span)),
                }
            }
            Some(Kind::List) => self.one_input(module, &given, span).and_then(|input| {
                self.nested(span, |run| {
                    run.items_in_turn(module, Val::Data(input), span)
                })
            }),
            Some(Kind::Items) => {
                let input = self.one_input(module, &given, span)?;
                self.nested(span, |run| {
                    run.tracer
                        .begin_module(module, &given.arguments(), Some(span));
                    let result = run.items_in_turn(module, Val::Data(input), span);
                    run.end_module(result)
                })
            }
            Some(Kind::Body(body)) => self.nested(span, |run| {
                run.tracer
                    .begin_module(module, &given.arguments(), Some(span));
                let result = run.body(module, body, Some(&given), span);
                run.end_module(result)
            }),
        }
    }

    fn end_module(&mut self, result: Result<Val>) -> Result<Val> {
        let output = match &result {
            Ok(Val::Data(value)) => value.clone(),
            _ => Value::None,
        };
        self.tracer.end_module(output);
        result
    }

    fn one_input(&self, module: ModuleId, given: &Given, span: Span) -> Result<Value> {
        match (given.positional.as_slice(), given.keyword.first()) {
            ([(value, _)], None) => Ok(value.clone()),
            (_, Some((name, ..))) => error("a Sequential has no named inputs", name.span),
            (values, None) => {
                let class = self.trace().module(module).class.short_name();
                let message = format!("{class} takes one input, but {} are given", values.len());
                error(message, span)
            }
        }
    }
}
