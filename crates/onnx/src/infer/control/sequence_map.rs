//! `SequenceMap`.

use modelcost_core::dim::Dim;

use super::loops::MAX_UNROLL;
use super::{Call, Input, Outputs};
use crate::infer::engine::{Engine, Result};
use crate::infer::fact::{Fact, SequenceFact};
use crate::infer::program::FrameKind;

impl<'m> Engine<'m, '_> {
    pub fn run_sequence_map(&mut self, call: &Call<'_, 'm>) -> Result<Outputs> {
        let Some(body) = self.graph(call, "body") else {
            return Ok(self.opaque(call));
        };
        let facts = self.facts(call.inputs);
        let length = match facts.first() {
            Some(Fact::Sequence(sequence)) => sequence.items.as_ref().map(Vec::len),
            _ => None,
        };
        let element = |fact: &Fact, at: Option<usize>| match fact {
            Fact::Sequence(sequence) => match (&sequence.items, at) {
                (Some(items), Some(at)) => items.get(at).cloned().unwrap_or_default(),
                _ => (*sequence.element).clone(),
            },
            other => other.clone(),
        };
        let unroll = length.is_some_and(|length| length as i128 <= MAX_UNROLL);
        let trips = if unroll {
            Some(Dim::ONE)
        } else {
            length.map(Dim::from)
        };
        let positions = match length {
            Some(length) if unroll => (0..length).map(Some).collect(),
            _ => vec![None],
        };
        let mut results: Vec<Vec<Fact>> = vec![Vec::new(); call.node.outputs.len()];
        for at in positions {
            let inside = self.inner(FrameKind::Loop(body, trips.clone()), call);
            let given = facts.iter().map(|fact| Input::Fact(element(fact, at)));
            let outputs = self.run_body(body, given.collect(), call.scope, inside)?;
            for (result, id) in results.iter_mut().zip(outputs) {
                result.push(self.program.fact(id).clone());
            }
        }
        let results = results
            .into_iter()
            .map(|items| {
                let mut sequence = SequenceFact::of(items, &mut || self.fresh());
                sequence.items = sequence.items.filter(|_| unroll);
                Fact::Sequence(sequence)
            })
            .collect();
        Ok(self.finish(call, results))
    }
}
