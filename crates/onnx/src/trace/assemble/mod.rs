//! Pieces to a trace: what they name becomes the tree of modules, and they its calls.

mod states;
mod writer;

use modelcost_core::fidelity::Level;
use modelcost_core::trace::{Argument, Origin, Passed, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::{Root, StackId, Stacks, Tree, emit, every_path, tree};
use smol_str::SmolStr;

use self::states::States;
use self::writer::Writer;
use super::Built;
use super::graph::Graph;
use super::piece::Piece;
use super::rounds;
use super::values::Values;
use crate::infer::{FrameKind, Origin as ValueOrigin, ValueId};
use crate::model::Model;
use crate::text::Arena;

/// A piece and where it stands.
pub(super) struct Placed<'a> {
    pub piece: Piece,
    /// The module calls around it, one of the assembler's.
    pub stack: StackId,
    /// The path of the innermost.
    pub owner: SmolStr,
    /// The BatchNorm that was folded into it.
    pub batch_norm: Option<BatchNorm<'a>>,
}

/// A BatchNorm that was folded into a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchNorm<'a> {
    pub path: &'a str,
    /// Whether the convolution had a bias itself.
    pub biased: bool,
    /// The module calls around its operator, where the file shows the module by what else it calls,
    /// as a BatchNorm with an activation does.
    pub stack: Option<StackId>,
}

/// Collects pieces.
pub(super) struct Assembler<'g, 'p, 'a> {
    graph: &'g Graph<'p, 'a>,
    arena: &'a Arena,
    pub builder: TraceBuilder,
    /// The module calls around pieces, the root's first.
    pub stacks: Stacks<'a>,
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
            stacks: Stacks::default(),
            placed: Vec::with_capacity(graph.program.steps.len()),
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
        let mut states = States::new(self.graph, self.arena);
        for placed in &self.placed {
            states.of_piece(placed);
        }
        states.of_names(model);
        let (states, anonymous) = (states.list, states.anonymous);
        let called = modelcost_fx::called(self.stacks.entries());
        let owners = states.iter().map(|state| state.owner.clone());
        let paths = every_path(
            called
                .iter()
                .map(|called| called.path.clone())
                .chain(owners),
        );
        let paths = rounds::registered(&paths, &states);
        let count = self.graph.program.values.len() + states.len();
        self.builder.trace_mut().tensors.reserve(count);
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
            anonymous,
            values,
            stacks: self.stacks,
            flats: Vec::with_capacity(self.placed.len()),
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
