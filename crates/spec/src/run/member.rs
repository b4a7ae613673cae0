//! What stands behind a value: attributes of modules and tensors, items.

use modelcost_core::convention::closest;
use modelcost_core::dtype::DType;
use modelcost_core::expr::{Argument, Expr, ExprKind, Ident, Span};
use modelcost_core::trace::{ModuleId, Target, TensorId};
use modelcost_core::value::Value;
use smol_str::{SmolStr, format_smolstr};

use super::call::Given;
use super::{Context, Fail, Result, Run, Val, arithmetic, builtins, error};
use crate::catalogue;

impl<'d> Run<'d> {
    /// `x.name`.
    pub(super) fn attribute(
        &mut self,
        expr: &'d Expr,
        base: &'d Expr,
        name: &'d Ident,
        context: &Context,
    ) -> Result<Val> {
        if let Some(dotted) = self.free_dotted_name(expr, context) {
            return self.constant(&dotted, expr.span);
        }
        if let Some(module) = self.module_of(base, context)?
            && let Some(value) = self.member(module, &name.name)?
        {
            return Ok(value);
        }
        let value = match self.eval(base, context)? {
            Val::Data(value) => value,
            Val::Unknown => return Err(Fail::Poisoned),
            Val::Module(module) => return self.no_member(module, name),
        };
        let Some(tensor) = value.tensor() else {
            if let (Value::Dict(items), name) = (&value, &name.name)
                && let Some((_, item)) = items.iter().find(|(key, _)| key == name)
            {
                return Ok(Val::Data(item.clone()));
            }
            if let Some(part) = self.named_result(&value, &name.name) {
                return Ok(Val::Data(part));
            }
            return error(
                format!(
                    "{} has no attribute '{}'",
                    arithmetic::describe(&value),
                    name.name
                ),
                name.span,
            );
        };
        self.tensor_attribute(tensor, name, expr.span)
            .map(Val::Data)
    }

    /// `x.max(1).values`: the parts of what gives values and where they stand have names.
    fn named_result(&self, value: &Value, name: &str) -> Option<Value> {
        let [values, indices] = value.items()? else {
            return None;
        };
        let found = self.trace().tensor(indices.tensor()?).dtype == Some(DType::Int64);
        match name {
            "values" if found => Some(values.clone()),
            "indices" if found => Some(indices.clone()),
            _ => None,
        }
    }

    fn tensor_attribute(&mut self, tensor: TensorId, name: &Ident, span: Span) -> Result<Value> {
        match name.name.as_str() {
            "shape" => Ok(Value::Tuple(self.sizes(tensor, span)?)),
            "ndim" => Ok(Value::from(self.sizes(tensor, span)?.len())),
            "dtype" => Ok(self.trace().tensor(tensor).dtype.into()),
            "device" => Ok(Value::None),
            "T" | "mT" | "H" | "real" | "imag" => {
                let name = format!("torch.Tensor.{}", name.name);
                self.function(&name, Given::one(Value::Tensor(tensor), span), span)
            }
            other => {
                let method = catalogue::is_function(&format!("torch.Tensor.{other}"));
                let mend = match method {
                    true => format!("a tensor's '{other}' is a method: call it, as in .{other}(…)"),
                    false => format!("a tensor has no attribute '{other}'"),
                };
                error(mend, name.span)
            }
        }
    }

    /// The sizes of a tensor as values.
    pub(super) fn sizes(&self, tensor: TensorId, span: Span) -> Result<Vec<Value>> {
        match &self.trace().tensor(tensor).shape {
            Some(shape) => Ok(shape.iter().cloned().map(Value::Int).collect()),
            None => error("the shape of this tensor is not known", span),
        }
    }

    /// A parameter, buffer, child or attribute of a module.
    pub(super) fn member(&mut self, module: ModuleId, name: &str) -> Result<Option<Val>> {
        if let Some(tensor) = self.held(module, name) {
            return Ok(Some(Val::Data(tensor)));
        }
        if let Some(child) = self.child_made(module, name)? {
            return Ok(Some(Val::Module(child)));
        }
        let value = self.trace().attribute(module, name);
        match (value, name) {
            (Some(value), _) => Ok(Some(Val::Data(value.clone()))),
            // Tools are given models in evaluation.
            (None, "training") => Ok(Some(Val::Data(Value::Bool(false)))),
            (None, _) => Ok(None),
        }
    }

    /// A parameter or buffer of a module.
    pub(super) fn held(&self, module: ModuleId, name: &str) -> Option<Value> {
        let trace = self.trace();
        let found = trace.module(module);
        if let Some((_, parameter)) = found.parameters.iter().find(|(key, _)| key == name) {
            return Some(parameter.map(|id| trace.parameter(id).tensor).into());
        }
        let (_, buffer) = found.buffers.iter().find(|(key, _)| key == name)?;
        Some(trace.buffers[buffer.index()].tensor.into())
    }

    /// What a module gave when it was last called, as a forward hook on it sees that.
    pub(super) fn hooked(
        &mut self,
        arguments: &'d [Argument],
        span: Span,
        context: &Context,
    ) -> Result<Val> {
        let only = match arguments {
            [only] if only.name.is_none() && !only.starred => Some(&only.value),
            _ => None,
        };
        let mut module = None;
        if let Some(only) = only {
            module = self.module_of(only, context)?;
            if module.is_none() && matches!(self.eval(only, context)?, Val::Unknown) {
                return Err(Fail::Poisoned);
            }
        }
        let Some(module) = module else {
            return error("hooked is given one module, as in hooked(net[3])", span);
        };
        if self.dry {
            return Err(Fail::Poisoned);
        }
        let calls = self.trace().calls.iter().enumerate().rev();
        let mut of_it = calls.filter(|(_, call)| call.target == Target::Module(module));
        // A call that is still open ends where it begins.
        let last = of_it.find(|(at, call)| call.end.index() > *at);
        let last = last.map(|(_, call)| call.output.clone());
        self.step(self.trace().calls.len() / 16, span)?;
        let class = self.trace().module(module).class.short_name().to_string();
        match last {
            Some(output) => Ok(Val::Data(output)),
            None => error(format!("this {class} has not been called yet"), span),
        }
    }

    fn no_member<T>(&self, module: ModuleId, name: &Ident) -> Result<T> {
        let found = self.trace().module(module);
        let class = found.class.short_name();
        let names = found
            .parameters
            .iter()
            .map(|(name, _)| name.as_str())
            .chain(found.children.iter().map(|(name, _)| name.as_str()))
            .chain(found.attributes.iter().map(|(name, _)| name.as_str()));
        let near = closest(&name.name, names).map(SmolStr::from);
        let mut result = error(format!("this {class} has no '{}'", name.name), name.span);
        if let (Some(near), Err(Fail::Error(diagnostic))) = (near, &mut result) {
            diagnostic.help = Some(format!("did you mean '{near}'?"));
        }
        result
    }

    /// `x[i]`.
    pub(super) fn subscript(
        &mut self,
        expr: &'d Expr,
        base: &'d Expr,
        indices: &'d [Expr],
        context: &Context,
    ) -> Result<Val> {
        // `layers[0]` where nothing but modules has that name.
        let value = match self.eval(base, context)? {
            Val::Data(value) => value,
            Val::Unknown => return Err(Fail::Poisoned),
            Val::Module(module) => {
                // `scales[0]` of a ParameterList, `tables['a']` of a ParameterDict.
                if let [index] = indices
                    && !matches!(index.kind, ExprKind::Slice(..))
                {
                    let held = self.trace().module(module).parameters.len() as i64;
                    let name: Option<SmolStr> = match self.data(index, context)? {
                        Value::Str(name) => Some(name.as_str().into()),
                        index => arithmetic::index(&index)
                            .ok()
                            .map(|at| if at < 0 { held + at } else { at })
                            .map(|at| format_smolstr!("{at}")),
                    };
                    if let Some(tensor) = name.and_then(|name| self.held(module, &name)) {
                        return Ok(Val::Data(tensor));
                    }
                }
                return match self.module_of(expr, context)? {
                    Some(child) => Ok(Val::Module(child)),
                    None => error("expected one index", expr.span),
                };
            }
        };
        if value.tensor().is_some() {
            let mut positions = self.items(indices, context)?;
            let index = match positions.len() {
                1 => positions.remove(0),
                _ => Value::Tuple(positions),
            };
            let given = Given::positional([value, index], [base.span, expr.span]);
            return self
                .function("operator.getitem", given, expr.span)
                .map(Val::Data);
        }
        let [index_expr] = indices else {
            return error("expected one index", expr.span);
        };
        let index = self.data(index_expr, context)?;
        self.item_of(&value, &index, index_expr.span).map(Val::Data)
    }

    /// An item, or a slice, of a tuple, list or mapping.
    fn item_of(&mut self, value: &Value, index: &Value, span: Span) -> Result<Value> {
        if let (Value::Dict(items), Value::Str(key)) = (value, index) {
            let found = items.iter().find(|(name, _)| name == key);
            return match found {
                Some((_, value)) => Ok(value.clone()),
                None => error(format!("there is no item '{key}'"), span),
            };
        }
        let Some(items) = value.items() else {
            return error(
                format!("{} has no items", arithmetic::describe(value)),
                span,
            );
        };
        let known =
            |value: &Value| arithmetic::index(value).or_else(|message| error(message, span));
        if let Value::Dict(bounds) = index {
            let bound = |position: usize| match bounds.get(position).map(|(_, value)| value) {
                None | Some(Value::None) => Ok(None),
                Some(value) => known(value).map(Some),
            };
            let step = bound(2)?.unwrap_or(1);
            if step == 0 {
                return error("a step of zero", span);
            }
            let taken = builtins::slice(items, bound(0)?, bound(1)?, step);
            self.step(taken.len(), span)?;
            return Ok(match value {
                Value::Tuple(_) => Value::Tuple(taken),
                _ => Value::List(taken),
            });
        }
        let at = known(index)?;
        let count = items.len();
        let position = if at < 0 { at + count as i64 } else { at };
        let found = usize::try_from(position).ok().and_then(|at| items.get(at));
        match found {
            Some(item) => Ok(item.clone()),
            None => error(format!("there is no item {at} among {count}"), span),
        }
    }
}
