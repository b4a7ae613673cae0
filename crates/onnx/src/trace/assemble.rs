//! Pieces to a trace: what they name becomes the tree of modules, and they its calls.

use std::collections::HashSet;

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::{Argument, Origin, Passed, TensorId, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::{Entry, Flat, Kind, Root, Stacks, State, Tree, emit, every_path, tree};

use super::Built;
use super::graph::Graph;
use super::legacy::{is_anonymous, weight_shape};
use super::piece::{FUNCTION, Operand, Piece};
use super::values::Values;
use super::{recurrent, rounds};
use crate::infer::{FrameKind, Origin as ValueOrigin, ValueId};
use crate::model::Model;
use crate::text::Arena;

/// A piece and where it stands.
pub(super) struct Placed<'a> {
    pub piece: Piece,
    /// The module calls around it, the root's first.
    pub stack: Vec<Entry<'a>>,
    /// The path of the innermost.
    pub owner: &'a str,
    /// The path of the BatchNorm that was folded into it, and whether it had a bias itself.
    pub batch_norm: Option<(String, bool)>,
}

/// Collects pieces.
pub(super) struct Assembler<'g, 'p, 'a> {
    graph: &'g Graph<'p, 'a>,
    arena: &'a Arena,
    pub builder: TraceBuilder,
    placed: Vec<Placed<'a>>,
}

impl<'g, 'p, 'a> Assembler<'g, 'p, 'a> {
    pub fn new(
        graph: &'g Graph<'p, 'a>,
        arena: &'a Arena,
        builder: TraceBuilder,
    ) -> Assembler<'g, 'p, 'a> {
        Assembler {
            graph,
            arena,
            builder,
            placed: Vec::new(),
        }
    }

    pub fn place(&mut self, placed: Placed<'a>) {
        self.placed.push(placed);
    }

    /// Says what the trace leaves out.
    fn note_gaps(&mut self) {
        let program = self.graph.program;
        let fidelity = &mut self.builder.trace_mut().fidelity;
        if !program.unsupported.is_empty() {
            let calls: usize = program.unsupported.values().sum();
            let names: Vec<String> = program
                .unsupported
                .iter()
                .map(|(name, count)| format!("{name} ({count})"))
                .collect();
            fidelity.note(
                Level::Partial,
                format!(
                    "{calls} of {} operator calls are unknown and not counted: {}",
                    program.steps.len(),
                    names.join(", ")
                ),
            );
        }
        for frame in &program.frames {
            match &frame.kind {
                FrameKind::Branch(_, false) => fidelity.note(
                    Level::Partial,
                    "an If depends on data: both of its branches are counted",
                ),
                FrameKind::Loop(_, None) => fidelity.note(
                    Level::Partial,
                    "a loop runs as often as its data says: one round is counted",
                ),
                FrameKind::Loop(_, Some(trips)) if trips.as_const().is_none_or(|n| n > 1) => {
                    fidelity.note(
                        Level::Partial,
                        format!("a loop runs {trips} times: one round is counted"),
                    );
                }
                _ => {}
            }
        }
    }

    /// Builds the trace of everything that was placed.
    pub fn finish(mut self, model: &'a Model<'a>) -> Option<Built> {
        self.note_gaps();
        let mut states = States {
            graph: self.graph,
            arena: self.arena,
            list: Vec::new(),
            known: HashSet::new(),
        };
        for placed in &self.placed {
            states.of_piece(placed);
        }
        states.of_names(model);
        let states = states.list;
        let mut stacks = Stacks::default();
        for placed in &self.placed {
            stacks.push(placed.stack.clone());
        }
        let called = modelcost_fx::called(&stacks);
        let owners = states.iter().map(|state| state.owner.clone());
        let paths = every_path(
            called
                .iter()
                .map(|called| called.path.clone())
                .chain(owners),
        );
        let paths = rounds::registered(&paths, &states);
        let tree = tree(&mut self.builder, &paths, &called, states);
        let mut values = Values::default();
        self.bind_names(&tree, &mut values);
        let mut arguments = Vec::new();
        for (name, id) in &self.graph.program.inputs {
            let tensor = values.tensor(&mut self.builder, self.graph.program, *id);
            let trace = self.builder.trace_mut();
            trace.tensors[tensor.index()].origin = Origin::Input;
            trace.inputs.push(((*name).into(), tensor));
            arguments.push(Argument {
                name: (*name).into(),
                value: Value::Tensor(tensor),
                passed: Passed::Position,
            });
        }
        let mut writer = Writer {
            graph: self.graph,
            builder: &mut self.builder,
            tree: &tree,
            values,
            stacks: Stacks::default(),
            flats: Vec::new(),
        };
        for placed in self.placed {
            writer.piece(placed);
        }
        let returned: Vec<Value> = self
            .graph
            .program
            .outputs
            .iter()
            .map(|(_, id)| writer.value(*id))
            .collect();
        let Writer {
            stacks,
            flats,
            values,
            ..
        } = writer;
        let output = match returned.as_slice() {
            [single] => single.clone(),
            _ => Value::Tuple(returned),
        };
        let root = Root { arguments, output };
        emit(&mut self.builder, &tree, &stacks, &flats, root).then(|| Built {
            trace: self.builder.finish(),
            values,
        })
    }

    /// Values that are parameters by their own names.
    fn bind_names(&self, tree: &Tree<'a>, values: &mut Values) {
        for (at, value) in self.graph.program.values.iter().enumerate() {
            let constant = matches!(value.origin, ValueOrigin::Initializer(_))
                || self.graph.is_constant(ValueId(at as u32));
            if constant && let Some(Value::Tensor(tensor)) = tree.values.get(value.name) {
                values.bind(ValueId(at as u32), *tensor);
            }
        }
    }
}

/// The full name of a parameter.
fn full(owner: &str, own: &str) -> String {
    match owner {
        "" => own.to_owned(),
        owner => format!("{owner}.{own}"),
    }
}

/// The name that a weight of a piece has in the tree.
fn weight_name(
    graph: &Graph<'_, '_>,
    owner: &str,
    name: &str,
    operand: &Operand,
) -> Option<String> {
    match operand {
        Operand::Named(own, _) => Some(full(owner, own)),
        Operand::Weight(id, _) => {
            let stored = graph.program.value(*id).name;
            let own = if is_anonymous(stored) {
                full(owner, name)
            } else {
                stored.to_owned()
            };
            Some(own)
        }
        _ => None,
    }
}

/// Parameters and buffers.
struct States<'g, 'p, 'a> {
    graph: &'g Graph<'p, 'a>,
    arena: &'a Arena,
    list: Vec<State<'a>>,
    known: HashSet<String>,
}

impl<'a> States<'_, '_, 'a> {
    fn add(&mut self, name: String, shape: Vec<Dim>, dtype: DType, kind: Kind) {
        if !self.known.insert(name.clone()) {
            return;
        }
        let name: &'a str = self.arena.string(name);
        let (owner, own) = name.rsplit_once('.').unwrap_or(("", name));
        self.list.push(State {
            owner: owner.into(),
            name: own.into(),
            shape,
            dtype,
            requires_grad: kind == Kind::Parameter && dtype.is_floating_point(),
            value: Some(name),
            storage: format!("name:{name}"),
            kind,
        });
    }

    fn of_operand(&mut self, owner: &str, name: &str, operand: &Operand, op: &str) {
        if let Operand::List(items) = operand {
            items
                .iter()
                .for_each(|item| self.of_operand(owner, name, item, op));
            return;
        }
        let Some(full) = weight_name(self.graph, owner, name, operand) else {
            return;
        };
        let Some(mut shape) = weight_shape(self.graph, operand) else {
            return;
        };
        // A slope is kept with the dimensions that broadcasting needs.
        if op == "prelu" {
            shape = vec![Dim::product(&shape)];
        }
        let dtype = match operand {
            Operand::Weight(id, _) => self.graph.dtype(*id),
            _ => None,
        };
        let own = full.rsplit('.').next().unwrap_or(&full);
        // Other exporters have other names for them: then it is what they are used as that tells.
        let kind = if is_buffer(own) || is_buffer(name) {
            Kind::Buffer { persistent: true }
        } else {
            Kind::Parameter
        };
        self.add(full, shape, dtype.unwrap_or(DType::Float32), kind);
    }

    fn of_piece(&mut self, placed: &Placed<'a>) {
        let piece = &placed.piece;
        let mut channels = None;
        for (name, operand) in &piece.operands {
            if *name == "weight" {
                channels = weight_shape(self.graph, operand).and_then(|shape| {
                    let transposed = piece.op.starts_with("conv_transpose");
                    shape.get(usize::from(transposed)).cloned()
                });
            }
            if *name == "bias" && placed.batch_norm.is_some() {
                continue;
            }
            self.of_operand(placed.owner, name, operand, &piece.op);
        }
        if let (Some((path, biased)), Some(channels)) = (&placed.batch_norm, channels) {
            if *biased {
                let name = full(placed.owner, "bias");
                self.add(
                    name,
                    vec![channels.clone()],
                    DType::Float32,
                    Kind::Parameter,
                );
            }
            for name in ["weight", "bias"] {
                let shape = vec![channels.clone()];
                self.add(full(path, name), shape, DType::Float32, Kind::Parameter);
            }
            let buffer = Kind::Buffer { persistent: true };
            for name in ["running_mean", "running_var"] {
                self.add(
                    full(path, name),
                    vec![channels.clone()],
                    DType::Float32,
                    buffer,
                );
            }
            self.add(
                full(path, "num_batches_tracked"),
                Vec::new(),
                DType::Int64,
                buffer,
            );
        }
    }

    /// Initializers that no piece uses as a weight but that kept their names.
    fn of_names(&mut self, model: &'a Model<'a>) {
        let aliases = model
            .graph
            .nodes
            .iter()
            .filter(|node| node.op_type == "Identity");
        let names = model.graph.initializers.iter().map(|tensor| tensor.name);
        let names: Vec<&str> = names
            .chain(aliases.flat_map(|node| node.outputs.first().copied()))
            .collect();
        for name in names {
            let Some(id) = self.graph.program.names.get(name).copied() else {
                continue;
            };
            if is_anonymous(name) || !self.graph.is_constant(id) {
                continue;
            }
            let (Some(shape), Some(dtype)) = (self.graph.shape(id), self.graph.dtype(id)) else {
                continue;
            };
            let own = name.rsplit('.').next().unwrap_or(name);
            let kind = if is_buffer(own) || !dtype.is_floating_point() {
                Kind::Buffer { persistent: true }
            } else {
                Kind::Parameter
            };
            self.add(name.to_owned(), shape.to_vec(), dtype, kind);
        }
    }
}

/// Names that buffers have.
fn is_buffer(own: &str) -> bool {
    matches!(
        own,
        "running_mean" | "running_var" | "num_batches_tracked" | "position_ids"
    ) || own.starts_with("relative_position_index")
}

/// Writes the list of nodes.
struct Writer<'w, 'p, 'a> {
    graph: &'w Graph<'p, 'a>,
    builder: &'w mut TraceBuilder,
    tree: &'w Tree<'a>,
    values: Values,
    stacks: Stacks<'a>,
    flats: Vec<Flat<'a>>,
}

impl<'a> Writer<'_, '_, 'a> {
    fn value(&mut self, id: ValueId) -> Value {
        let resolved = self.graph.resolve(id);
        let id = match self.values.get(id) {
            Some(_) => id,
            None => resolved,
        };
        Value::Tensor(self.values.tensor(self.builder, self.graph.program, id))
    }

    fn operand(&mut self, owner: &str, name: &str, operand: &Operand) -> Value {
        if let Some(name) = weight_name(self.graph, owner, name, operand)
            && let Some(value) = self.tree.values.get(name.as_str())
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

    fn piece(&mut self, placed: Placed<'a>) {
        let Placed {
            piece,
            stack,
            owner,
            batch_norm,
        } = placed;
        let mut arguments: Vec<Argument> = Vec::new();
        for (name, operand) in &piece.operands {
            let value = match (&batch_norm, *name) {
                (Some((_, biased)), "bias") => match biased {
                    true => self.parameter(&full(owner, "bias")),
                    false => Value::None,
                },
                _ => self.operand(owner, name, operand),
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
            [single] if piece.op != "split" => single.clone(),
            _ => Value::List(outputs),
        };
        let op = format!("aten.{}", piece.op);
        let output = recurrent::complete_recurrent(self.builder, &op, &arguments, output);
        let number = self.flats.len();
        let name = &piece.function.1;
        let id = piece.group.map_or(number, |group| 1_000_000 + group);
        let layers = stack.clone();
        let stack = Some(self.stacks.push(stack));
        let own = layers
            .last()
            .is_some_and(|entry| entry.class.starts_with("torch.nn.modules."));
        let flat = Flat {
            op: op.into(),
            arguments,
            output: output.clone(),
            stack,
            torch_fn: format!("{name}_{id};{}.{name}", piece.function.0).into(),
            source_fn: None,
            line: "".into(),
            // PyTorch's own layers hide no calls of methods.
            frame: if own { "torch/nn/" } else { "" }.into(),
        };
        match batch_norm {
            Some((path, _)) => self.with_batch_norm(flat, layers, path),
            None => self.flats.push(flat),
        }
    }

    fn parameter(&self, name: &str) -> Value {
        self.tree.values.get(name).cloned().unwrap_or(Value::None)
    }

    /// A convolution and the BatchNorm that was folded into it.
    fn with_batch_norm(&mut self, mut conv: Flat<'a>, mut stack: Vec<Entry<'a>>, path: String) {
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
        // The BatchNorm's key in the tree lives as long as the tree's own.
        let key = self.tree.values.keys().find(|name| {
            name.rsplit_once('.')
                .is_some_and(|(owner, _)| owner == path)
        });
        let Some(key) = key
            .and_then(|name| name.rsplit_once('.'))
            .map(|(owner, _)| owner)
        else {
            return;
        };
        stack.pop();
        stack.push(Entry {
            key,
            path: path.as_str().into(),
            class,
        });
        let stack = Some(self.stacks.push(stack));
        let state = |name: &str| self.parameter(&full(&path, name));
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
        let arguments = named
            .into_iter()
            .map(|(name, value)| Argument {
                name: name.into(),
                value,
                passed: Passed::Position,
            })
            .collect();
        let number = self.flats.len();
        self.flats.push(Flat {
            op: "aten.batch_norm".into(),
            arguments,
            output,
            stack,
            torch_fn: format!("batch_norm_{number};{FUNCTION}.batch_norm").into(),
            source_fn: None,
            line: "".into(),
            frame: "torch/nn/".into(),
        });
    }
}
