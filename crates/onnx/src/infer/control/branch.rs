//! `If`.

use super::{Call, Outputs};
use crate::infer::engine::{Engine, Result};
use crate::infer::fact::Fact;
use crate::infer::program::FrameKind;

impl<'m> Engine<'m, '_> {
    pub fn run_if(&mut self, call: &Call<'_, 'm>) -> Result<Outputs> {
        let (Some(then), Some(otherwise)) = (
            self.graph(call, "then_branch"),
            self.graph(call, "else_branch"),
        ) else {
            return Ok(self.opaque(call));
        };
        if let Some(taken) = self.truth(call.inputs.first().copied().flatten()) {
            let graph = if taken { then } else { otherwise };
            let body = self.inner(FrameKind::Branch(graph, true), call);
            let outputs = self.run_body(graph, Vec::new(), call.scope, body)?;
            return Ok(outputs.into_iter().map(Some).collect());
        }
        let mut branches = Vec::new();
        for graph in [then, otherwise] {
            let body = self.inner(FrameKind::Branch(graph, false), call);
            branches.push(self.run_body(graph, Vec::new(), call.scope, body)?);
        }
        let facts = (0..call.node.outputs.len())
            .map(|at| match (branches[0].get(at), branches[1].get(at)) {
                (Some(a), Some(b)) => self.join(self.fact(*a), self.fact(*b)),
                _ => Fact::Unknown,
            })
            .collect();
        Ok(self.finish(call, facts))
    }
}
