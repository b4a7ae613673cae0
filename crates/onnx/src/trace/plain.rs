//! Models that no exporter of PyTorch wrote, or that lost what it left: every layer stands at the
//! root under the name of its node.

use foldhash::{HashMap, HashSet};
use modelcost_core::fidelity::Level;
use modelcost_core::trace::TraceBuilder;
use modelcost_fx::Entry;
use smol_str::SmolStr;

use super::Built;
use super::assemble::{Assembler, Placed};
use super::graph::Graph;
use super::piece::{Operand, Piece};
use super::{pieces, recurrent_layer};
use crate::infer::Program;
use crate::model::Model;
use crate::text::Arena;

/// Builds the trace.
pub(super) fn build<'a>(
    model: &'a Model<'a>,
    program: &'a Program<'a>,
    arena: &'a Arena,
    name: &str,
) -> Option<Built> {
    let graph = Graph::new(program);
    let pieces = pieces::pieces(&graph);
    // Each recurrent node is a layer of its own.
    let scope = |at: usize| match graph.op(at) {
        "LSTM" | "GRU" | "RNN" => program.steps[at]
            .outputs
            .iter()
            .flatten()
            .next()
            .map_or("", |id| program.value(*id).name),
        _ => "",
    };
    let pieces = recurrent_layer::gather(&graph, pieces, &scope);
    let mut names = Names::default();
    let mut assembler = Assembler::new(&graph, arena, TraceBuilder::new(name, "onnx"));
    for piece in pieces {
        let mut stack = vec![Entry {
            key: "",
            path: "".into(),
            class: "Module",
        }];
        let mut owner = SmolStr::default();
        if let Some(class) = piece.class.clone() {
            let (path, call) = names.of(&graph, &piece);
            owner = path.into();
            stack.push(Entry {
                key: arena.string(format!("{owner}@{call}")),
                path: owner.clone(),
                class: arena.string(class),
            });
        }
        let stack = assembler.stacks.push(stack);
        assembler.place(Placed {
            piece,
            stack,
            owner,
            batch_norm: None,
        });
    }
    assembler.builder.trace_mut().fidelity.note(
        Level::Reconstructed,
        "the file says nothing of modules: every layer is taken for a module of its own at the root",
    );
    assembler.finish(model)
}

/// Names of layers.
#[derive(Default)]
struct Names {
    used: HashSet<String>,
    /// Layers by the weight that they use: the same weight is the same layer.
    by_weight: HashMap<String, (String, usize)>,
}

impl Names {
    fn of(&mut self, graph: &Graph<'_, '_>, piece: &Piece) -> (String, usize) {
        let weight = piece
            .operands
            .iter()
            .find_map(|(name, operand)| match operand {
                Operand::Weight(id, _) if *name == "weight" => Some(graph.program.value(*id).name),
                _ => None,
            });
        let key = weight.map(|weight| format!("{} {weight}", piece.op));
        if let Some(key) = &key
            && let Some((path, calls)) = self.by_weight.get_mut(key)
        {
            *calls += 1;
            return (path.clone(), *calls);
        }
        let node = piece.steps.first().map(|at| graph.step(*at).node);
        let given = node.map_or("", |node| match node.name {
            "" => node.outputs.first().copied().unwrap_or(""),
            name => name,
        });
        let mut base = match weight.and_then(|weight| weight.rsplit_once('.')) {
            Some((owner, "weight")) => clean(owner),
            _ => clean(given),
        };
        if let Some(own) = &piece.place {
            base = format!("{base}_{own}");
        }
        if base.is_empty() {
            base = piece.op.to_string();
        }
        let mut path = base.clone();
        let mut count = 1;
        while !self.used.insert(path.clone()) {
            path = format!("{base}_{count}");
            count += 1;
        }
        if let Some(key) = key {
            self.by_weight.insert(key, (path.clone(), 0));
        }
        (path, 0)
    }
}

/// A name that is one step of a path.
fn clean(name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || c == '_' || c == '-' {
            c
        } else {
            '_'
        }
    };
    name.trim_start_matches('/').chars().map(plain).collect()
}
