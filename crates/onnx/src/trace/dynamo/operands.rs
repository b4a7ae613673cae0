//! The arguments of an FX node, also where the optimizer took out the nodes that made them.

use foldhash::HashSet;

use modelcost_core::trace::{Argument, Origin as TensorOrigin, Passed, TensorId};
use modelcost_core::value::Value;
use modelcost_fx::Flat;
use smol_str::SmolStr;

use super::super::fx_text::FxArg;
use super::super::recompose::positions;
use super::super::schema;
use super::super::values::integer;
use super::assembly::Assembly;
use super::lost::{self, Back, How};
use super::{Group, outside};
use crate::infer::{Origin, ValueId};

impl<'a> Assembly<'_, 'a> {
    /// The arguments of a group under the names of the operator's schema.
    pub fn arguments(
        &mut self,
        op: &str,
        group: &Group<'a>,
        spare: &mut Vec<ValueId>,
    ) -> Vec<Argument> {
        let positional: Vec<Value> = group
            .fx
            .args
            .iter()
            .map(|arg| self.argument(arg, spare))
            .collect();
        let mut out = schema::named(op, group.fx.target, positional);
        for (name, arg) in &group.fx.kwargs {
            out.push(Argument {
                name: (*name).into(),
                value: self.argument(arg, spare),
                passed: Passed::Keyword,
            });
        }
        out
    }

    fn argument(&mut self, arg: &FxArg<'a>, spare: &mut Vec<ValueId>) -> Value {
        match arg {
            FxArg::None => Value::None,
            FxArg::Bool(value) => Value::Bool(*value),
            FxArg::Int(value) => Value::from(*value),
            FxArg::Float(value) => Value::Float(*value),
            FxArg::Text(text) => match text.strip_prefix("torch.").map(str::parse) {
                Some(Ok(dtype)) => Value::DType(dtype),
                _ => Value::Str((*text).into()),
            },
            FxArg::List(items) => Value::List(
                items
                    .iter()
                    .map(|item| self.argument(item, spare))
                    .collect(),
            ),
            FxArg::Node(name) => self.resolve(name, spare),
        }
    }

    /// The value of an FX node. One that the optimizer took out was a copy or a view of what the
    /// group reads instead, or is put back.
    fn resolve(&mut self, name: &'a str, spare: &mut Vec<ValueId>) -> Value {
        if let Some(value) = self.scope.get(name) {
            return value.clone();
        }
        if let Some(back) = self.lost.back.get(name).copied()
            && let Some(value) = self.put_back(name, back)
        {
            spare.retain(|id| *id != back.value);
            return value;
        }
        if let Some(id) = self.program.names.get(name).copied() {
            if let Some(number) = integer(self.program.fact(id)) {
                return number;
            }
            return Value::Tensor(self.tensor(id));
        }
        if name.starts_with("sym_") {
            return Value::Opaque("number".into());
        }
        // Parts of a weight go where parts are asked for.
        let parts = lost::base(name) == "getitem";
        let fits = spare.iter().position(|id| self.is_part(*id) == parts);
        let Some(at) = fits.or((!spare.is_empty()).then_some(0)) else {
            return self.constant(name);
        };
        let id = spare.remove(at);
        self.part(id)
            .unwrap_or_else(|| Value::Tensor(self.tensor(id)))
    }

    /// A part of a weight that another module cut the same way: this one cut its own.
    fn part(&mut self, id: ValueId) -> Option<Value> {
        let Origin::Step(step, output) = self.program.value(id).origin else {
            return None;
        };
        let key = (step.0 as usize, self.stack);
        if let Some(parts) = self.parts.get(&key) {
            return parts.get(output as usize).cloned();
        }
        let cut: Flat<'a> = self
            .flats
            .get(*self.loose.get(&(step.0 as usize))?)?
            .clone();
        if cut.stack == self.stack {
            return None;
        }
        let mut parts = Vec::new();
        for part in cut.output.tensors() {
            let tensor = self.builder.trace().tensor(part).clone();
            let own = self
                .builder
                .tensor(tensor.shape, tensor.dtype, TensorOrigin::Constant);
            parts.push(Value::Tensor(own));
        }
        self.parts.insert(key, parts.clone());
        let own = parts.get(output as usize)?.clone();
        let before = self.flats.last().filter(|flat| flat.stack == self.stack);
        let (torch_fn, line, frame) = before.map_or_else(Default::default, |flat| {
            (flat.torch_fn.clone(), flat.line.clone(), flat.frame.clone())
        });
        self.flats.push(Flat {
            output: Value::List(parts),
            stack: self.stack,
            torch_fn,
            line,
            frame,
            ..cut
        });
        Some(own)
    }

    /// Whether a value is one of several that a node makes.
    fn is_part(&self, id: ValueId) -> bool {
        match self.program.value(id).origin {
            Origin::Step(step, _) => self.program.steps[step.0 as usize].outputs.len() > 1,
            _ => false,
        }
    }

    /// What nothing is left of: a constant, where the name says so.
    fn constant(&mut self, name: &str) -> Value {
        match lost::base(name) {
            "zeros" | "ones" | "full" | "new_zeros" | "new_ones" | "zeros_like" | "ones_like" => {
                Value::Tensor(self.builder.tensor(None, None, TensorOrigin::Constant))
            }
            _ => Value::Opaque(name.into()),
        }
    }

    /// A call that the optimizer took out.
    fn put_back(&mut self, name: &'a str, back: Back<'a>) -> Option<Value> {
        let like = self.tensor(back.value);
        let (shape, dtype) = {
            let tensor = self.builder.trace().tensor(like);
            (tensor.shape.clone(), tensor.dtype)
        };
        let output = match back.how {
            How::Twin(other) => {
                let twin: Flat<'a> = self.flats.get(*self.made.get(other)?)?.clone();
                let output =
                    Value::Tensor(self.builder.tensor(shape, dtype, TensorOrigin::Constant));
                let (_, line) = twin.torch_fn.split_once(';')?;
                let torch_fn = format!("{}_back{};{line}", lost::base(name), self.flats.len());
                self.flats.push(Flat {
                    output: output.clone(),
                    stack: back.stack,
                    torch_fn: torch_fn.into(),
                    ..twin
                });
                output
            }
            How::Elementwise(op) => {
                let output =
                    Value::Tensor(self.builder.tensor(shape, dtype, TensorOrigin::Constant));
                let op: SmolStr = format!("aten.{op}").into();
                let arguments = positions([("self", Value::Tensor(like))]);
                self.add(op, arguments, output.clone(), back.stack, "", "");
                output
            }
        };
        self.scope.insert(name, output.clone());
        Some(output)
    }

    /// The positions of arguments that are FX nodes of which nothing is left.
    pub fn unresolved(&self, group: &Group<'a>) -> Vec<usize> {
        let gone = |arg: &FxArg<'a>| match arg {
            FxArg::Node(name) => {
                !self.scope.contains_key(name) && !self.program.names.contains_key(name)
            }
            _ => false,
        };
        let args = group.fx.args.iter().enumerate();
        args.filter(|(_, arg)| gone(arg))
            .map(|(at, _)| at)
            .collect()
    }

    /// The tensors of a group's inputs that no argument names, in the order of the arguments as far as that is known.
    pub fn spare(&self, op: &str, group: &Group<'a>) -> Vec<ValueId> {
        let named = lost::named(group);
        let parameters: HashSet<TensorId> = named
            .iter()
            .filter_map(|name| self.scope.get(name)?.tensor())
            .collect();
        let mut spare = outside(self.program, group);
        spare.retain(|id| {
            let value = self.program.value(*id);
            let bound = self
                .values
                .get(*id)
                .is_some_and(|t| parameters.contains(&t));
            !named.contains(value.name) && !bound
        });
        if op == "aten.scaled_dot_product_attention" {
            let order = self.factors(group);
            let place = |id: &ValueId| order.iter().position(|factor| factor == id);
            spare.sort_by_key(|id| place(id).unwrap_or(order.len()));
        }
        spare
    }

    /// What the nodes of an attention compute with: the query and the key in the first product, the value in the last,
    /// and the mask that is added in between. The key is turned before anything is done with the query.
    fn factors(&self, group: &Group<'a>) -> Vec<ValueId> {
        let products = |at: &&usize| self.program.steps[**at].node.op_type == "MatMul";
        let (first, last) = (
            group.steps.iter().find(products),
            group.steps.iter().rfind(products),
        );
        let factor = |step: Option<&usize>, side: usize| {
            let input = *self.program.steps[*step?].inputs.get(side)?;
            Some(self.given(group, input?))
        };
        let adds = |at: &&usize| self.program.steps[**at].node.op_type == "Add";
        let sum = group.steps.iter().find(adds);
        let mask = factor(sum, 1).filter(|_| first < sum && sum < last);
        [factor(first, 0), factor(first, 1), factor(last, 1), mask]
            .into_iter()
            .flatten()
            .collect()
    }

    /// What a value inside a group is made of: the first operand of each node before it, up to what the group is given.
    fn given(&self, group: &Group<'a>, mut id: ValueId) -> ValueId {
        while let Origin::Step(step, _) = self.program.value(id).origin
            && group.steps.contains(&(step.0 as usize))
            && let Some(Some(input)) = self.program.steps[step.0 as usize].inputs.first()
        {
            id = *input;
        }
        id
    }
}
