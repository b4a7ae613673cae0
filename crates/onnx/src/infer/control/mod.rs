//! Operators that run subgraphs.

mod branch;
mod loops;
mod scan;
mod sequence_map;
mod settle;

use modelcost_core::dim::Dim;
use rustc_hash::FxHashMap;

use super::engine::{Engine, Result, Scope, undefined};
use super::fact::Fact;
use super::op::{normalize_axis, resolve};
use super::program::*;
use super::rules::Control;
use crate::model::{AttributeValue, Graph, Node};

type Outputs = Vec<Option<ValueId>>;

/// An operator call while it runs.
pub(super) struct Call<'c, 'm> {
    pub node: &'m Node<'m>,
    pub inputs: &'c [Option<ValueId>],
    /// The names that its subgraphs see.
    pub scope: &'c Scope<'c, 'm>,
    pub frame: FrameId,
}

impl<'m> Engine<'m, '_> {
    fn attribute(&self, call: &Call<'_, 'm>, name: &str) -> Option<&'m AttributeValue<'m>> {
        let around = &self.program.frame(call.frame).attributes;
        resolve(call.node.attribute(name)?, around)
    }

    fn graph(&self, call: &Call<'_, 'm>, name: &str) -> Option<&'m Graph<'m>> {
        match self.attribute(call, name)? {
            AttributeValue::Graph(graph) => Some(graph),
            _ => None,
        }
    }

    fn ints(&self, call: &Call<'_, 'm>, name: &str) -> &'m [i64] {
        match self.attribute(call, name) {
            Some(AttributeValue::Ints(values)) => values,
            _ => &[],
        }
    }

    /// What is known about the inputs.
    fn facts(&self, inputs: &[Option<ValueId>]) -> Vec<Fact> {
        let fact = |id: &Option<ValueId>| id.map_or(Fact::Unknown, |id| self.fact(id).clone());
        inputs.iter().map(fact).collect()
    }

    /// A frame for a subgraph of the call.
    fn inner(&mut self, kind: FrameKind<'m>, call: &Call<'_, 'm>) -> FrameId {
        let parent = self.program.frame(call.frame);
        let (attributes, opset_import) = (parent.attributes.clone(), parent.opset_import);
        self.frame(Frame {
            kind,
            parent: Some(call.frame),
            node: Some(call.node),
            attributes,
            opset_import,
        })
    }

    fn finish(&mut self, call: &Call<'_, 'm>, facts: Vec<Fact>) -> Outputs {
        self.record(call.node, call.inputs.to_vec(), facts, call.frame)
    }

    /// A node whose subgraphs are missing or malformed.
    fn opaque(&mut self, call: &Call<'_, 'm>) -> Outputs {
        self.finish(call, vec![Fact::Unknown; call.node.outputs.len()])
    }

    fn truth(&self, id: Option<ValueId>) -> Option<bool> {
        match self.fact(id?).content()?.items.as_slice() {
            [one] => one.truth(),
            _ => None,
        }
    }

    fn join(&self, a: &Fact, b: &Fact) -> Fact {
        a.join(b, &mut || self.fresh())
    }

    /// Runs an operator that has subgraphs.
    pub fn control(&mut self, control: Control, call: &Call<'_, 'm>) -> Result<Outputs> {
        match control {
            Control::If => self.run_if(call),
            Control::Loop => self.run_loop(call),
            Control::Scan => self.run_scan(call),
            Control::SequenceMap => self.run_sequence_map(call),
        }
    }

    /// Runs a subgraph on facts or values for its inputs, and gives its outputs.
    fn run_body(
        &mut self,
        graph: &'m Graph<'m>,
        inputs: Vec<Input>,
        scope: &Scope<'_, 'm>,
        frame: FrameId,
    ) -> Result<Vec<ValueId>> {
        let mut inner = Scope {
            names: FxHashMap::default(),
            parent: Some(scope),
        };
        self.define_constants(graph, &mut inner);
        let mut given = inputs.into_iter();
        for info in &graph.inputs {
            if inner.names.contains_key(info.name) && given.len() == 0 {
                continue;
            }
            let id = match given.next() {
                Some(Input::Value(id)) => id,
                Some(Input::Fact(fact)) => self.value(info.name, fact, Origin::Block),
                None => self.value(info.name, Fact::Unknown, Origin::Block),
            };
            self.refine_declared(id, info);
            inner.names.insert(info.name, id);
        }
        self.run_nodes(&graph.nodes, &graph.value_info, &mut inner, frame)?;
        graph
            .outputs
            .iter()
            .map(|info| {
                let id = inner
                    .get(info.name)
                    .ok_or_else(|| undefined("a subgraph's output list", info.name, false))?;
                Ok(id)
            })
            .collect()
    }

    fn mark(&self) -> (usize, usize, usize) {
        let program = &self.program;
        (
            program.values.len(),
            program.steps.len(),
            program.frames.len(),
        )
    }

    /// Forgets everything after a mark.
    fn reset(&mut self, mark: (usize, usize, usize)) {
        self.program.values.truncate(mark.0);
        self.program.steps.truncate(mark.1);
        self.program.frames.truncate(mark.2);
    }
}

/// What a subgraph is given for an input.
enum Input {
    Value(ValueId),
    Fact(Fact),
}

/// A tensor with one more dimension.
fn stacked(fact: &Fact, axis: i64, length: &Dim) -> Fact {
    let Fact::Tensor(tensor) = fact else {
        return Fact::Unknown;
    };
    let shape = tensor.shape.as_ref().and_then(|shape| {
        let mut shape = shape.clone();
        shape.insert(normalize_axis(axis, shape.len() + 1)?, length.clone());
        Some(shape)
    });
    Fact::tensor(tensor.dtype, shape)
}

/// The size of a dimension and the tensor without it.
fn unstacked(fact: &Fact, axis: i64) -> (Option<Dim>, Fact) {
    let Fact::Tensor(tensor) = fact else {
        return (None, Fact::Unknown);
    };
    let Some((mut shape, axis)) = tensor
        .shape
        .clone()
        .and_then(|shape| normalize_axis(axis, shape.len()).map(|axis| (shape, axis)))
    else {
        return (None, Fact::tensor(tensor.dtype, None));
    };
    let size = shape.remove(axis);
    (Some(size), Fact::tensor(tensor.dtype, Some(shape)))
}
