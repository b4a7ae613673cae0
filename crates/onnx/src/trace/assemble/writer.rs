//! Pieces as the nodes of a program.

use modelcost_core::dtype::DType;
use modelcost_core::trace::{Argument, Origin, Passed, TensorId, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::{Entry, Flat, StackId, Stacks, Tree};

use super::super::graph::Graph;
use super::super::piece::{FUNCTION, Operand};
use super::super::recompose::positions;
use super::super::recurrent;
use super::super::values::Values;
use super::states::{Anonymous, full, weight_name};
use super::{BatchNorm, Placed};
use crate::infer::ValueId;

/// What an exported program writes of the function that made a node.
fn torch_fn(name: &str, number: usize, kind: &str) -> String {
    [name, "_", &number.to_string(), ";", kind, ".", name].concat()
}

/// Writes the list of nodes.
pub(super) struct Writer<'w, 'p, 'a> {
    pub graph: &'w Graph<'p, 'a>,
    pub builder: &'w mut TraceBuilder,
    pub tree: &'w Tree<'a>,
    pub anonymous: Anonymous,
    pub values: Values,
    pub stacks: Stacks<'a>,
    pub flats: Vec<Flat<'a>>,
}

impl<'a> Writer<'_, '_, 'a> {
    pub fn value(&mut self, id: ValueId) -> Value {
        let resolved = self.graph.resolve(id);
        let id = match self.values.get(id) {
            Some(_) => id,
            None => resolved,
        };
        Value::Tensor(self.values.tensor(self.builder, self.graph.program, id))
    }

    fn operand(&mut self, owner: &str, name: &str, operand: &Operand) -> Value {
        if let Some(name) = weight_name(self.graph, &self.anonymous, owner, name, operand)
            && let Some(value) = self.tree.values.get(&*name)
        {
            return value.clone();
        }
        match operand {
            Operand::None => Value::None,
            Operand::Value(id) | Operand::Weight(id, _) => self.value(*id),
            Operand::Named(_, shape) | Operand::Shaped(shape) => {
                let dtype = Some(DType::Float32);
                Value::Tensor(
                    self.builder
                        .tensor(Some(shape.clone()), dtype, Origin::Constant),
                )
            }
            Operand::Int(value) => Value::from(*value),
            Operand::Float(value) => Value::Float(*value),
            Operand::Bool(value) => Value::Bool(*value),
            Operand::Ints(values) => Value::List(values.iter().map(|v| Value::from(*v)).collect()),
            Operand::Dims(dims) => Value::List(dims.iter().cloned().map(Value::Int).collect()),
            Operand::Text(text) => Value::Str(text.as_str().into()),
            Operand::List(items) => Value::List(
                items
                    .iter()
                    .map(|item| self.operand(owner, name, item))
                    .collect(),
            ),
        }
    }

    pub fn piece(&mut self, placed: Placed<'a>) {
        let Placed {
            piece,
            stack,
            owner,
            batch_norm,
        } = placed;
        let mut arguments: Vec<Argument> = Vec::new();
        for (name, operand) in &piece.operands {
            let value = match (&batch_norm, *name) {
                (Some(norm), "bias") => match norm.biased {
                    true => self.parameter(&full(&owner, "bias")),
                    false => Value::None,
                },
                _ => self.operand(&owner, name, operand),
            };
            arguments.push(Argument {
                name: (*name).into(),
                value,
                passed: Passed::Position,
            });
        }
        let outputs: Vec<Value> = piece.outputs.iter().map(|id| self.value(*id)).collect();
        let between = piece
            .result
            .clone()
            .filter(|_| outputs.is_empty())
            .map(|shape| {
                let dtype = Some(DType::Float32);
                Value::Tensor(self.builder.tensor(Some(shape), dtype, Origin::Constant))
            });
        let output = match outputs.as_slice() {
            [] if between.is_some() => between.unwrap_or_default(),
            [single] if !piece.op.starts_with("split") => single.clone(),
            _ => Value::List(outputs),
        };
        let op = ["aten.", piece.op.as_str()].concat();
        let output = recurrent::complete_recurrent(self.builder, &op, &arguments, output);
        let number = self.flats.len();
        let name = &piece.function.1;
        let id = piece.group.map_or(number, |group| 1_000_000 + group);
        let innermost = self.stacks.get(stack).last();
        let own = innermost.is_some_and(|entry| entry.class.starts_with("torch.nn.modules."));
        let flat = Flat {
            op: op.into(),
            arguments,
            output: output.clone(),
            stack: Some(stack),
            torch_fn: torch_fn(name, id, piece.function.0).into(),
            source_fn: None,
            line: "".into(),
            // PyTorch's own layers hide no calls of methods.
            frame: if own { "torch/nn/" } else { "" }.into(),
        };
        match batch_norm {
            Some(norm) => self.with_batch_norm(flat, stack, norm),
            None => self.flats.push(flat),
        }
    }

    fn parameter(&self, name: &str) -> Value {
        self.tree.values.get(name).cloned().unwrap_or(Value::None)
    }

    /// A convolution and the BatchNorm that was folded into it.
    fn with_batch_norm(&mut self, mut conv: Flat<'a>, stack: StackId, norm: BatchNorm<'a>) {
        let path = norm.path;
        // A convolution of unknown shape leaves open what the BatchNorm owned.
        if !self.tree.by_path.contains_key(path) {
            self.flats.push(conv);
            return;
        }
        let output = conv.output.clone();
        let shape = output
            .tensor()
            .map(|id| self.builder.trace().tensor(id).clone());
        let (shape, dtype) = shape.map_or((None, None), |tensor| (tensor.shape, tensor.dtype));
        let between: TensorId = self.builder.tensor(shape.clone(), dtype, Origin::Constant);
        conv.output = Value::Tensor(between);
        self.flats.push(conv);
        let rank = shape.map_or(4, |shape| shape.len());
        let class = match rank {
            2 | 3 => "torch.nn.modules.batchnorm.BatchNorm1d",
            5 => "torch.nn.modules.batchnorm.BatchNorm3d",
            _ => "torch.nn.modules.batchnorm.BatchNorm2d",
        };
        let stack = norm.stack.unwrap_or_else(|| {
            let mut stack = self.stacks.get(stack).to_vec();
            stack.pop();
            stack.push(Entry {
                key: path,
                path: path.into(),
                class,
            });
            self.stacks.push(stack)
        });
        let state = |name: &str| self.parameter(&full(path, name));
        let named = [
            ("input", Value::Tensor(between)),
            ("weight", state("weight")),
            ("bias", state("bias")),
            ("running_mean", state("running_mean")),
            ("running_var", state("running_var")),
            ("training", Value::Bool(false)),
            ("momentum", Value::Float(0.1)),
            ("eps", Value::Float(1e-5)),
        ];
        let arguments = positions(named);
        let number = self.flats.len();
        self.flats.push(Flat {
            op: "aten.batch_norm".into(),
            arguments,
            output,
            stack: Some(stack),
            torch_fn: torch_fn("batch_norm", number, FUNCTION).into(),
            source_fn: None,
            line: "".into(),
            frame: "torch/nn/".into(),
        });
    }
}
