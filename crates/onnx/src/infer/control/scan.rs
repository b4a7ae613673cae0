//! `Scan`.

use super::settle::Repeated;
use super::{Call, Outputs, stacked, unstacked};
use crate::infer::engine::{Engine, Result};
use crate::infer::fact::{Fact, TensorFact};
use crate::model::AttributeValue;

impl<'m> Engine<'m, '_> {
    pub fn run_scan(&mut self, call: &Call<'_, 'm>) -> Result<Outputs> {
        let body = self.graph(call, "body");
        let scans = match self.attribute(call, "num_scan_inputs") {
            Some(AttributeValue::Int(count)) => usize::try_from(*count).ok(),
            _ => None,
        };
        // Version 8 had a batch dimension first, and the sequence lengths as the first input.
        let opsets = self.program.frame(call.frame).opset_import;
        let batched = opsets
            .iter()
            .any(|(domain, v)| domain.is_empty() && *v <= 8);
        let skip = usize::from(batched);
        let given = call.inputs.get(skip..).unwrap_or_default();
        let (Some(body), Some(scans)) = (body, scans.filter(|scans| *scans <= given.len())) else {
            return Ok(self.opaque(call));
        };
        let states = given.len() - scans;
        if body.outputs.len() < states {
            return Ok(self.opaque(call));
        }
        let facts = self.facts(given);
        let in_axes = self.ints(call, "scan_input_axes");
        let out_axes = self.ints(call, "scan_output_axes");
        let batch = batched.then(|| {
            let shape = facts.iter().find_map(Fact::shape);
            shape
                .and_then(|s| s.first().cloned())
                .unwrap_or_else(|| self.fresh())
        });
        let mut length = None;
        let mut elements = Vec::new();
        for (at, fact) in facts[states..].iter().enumerate() {
            let axis = in_axes.get(at).copied().unwrap_or(0) + skip as i64;
            let (size, element) = unstacked(fact, axis);
            length = length.or(size);
            elements.push(if batched {
                unstacked(&element, 0).1
            } else {
                element
            });
        }
        let length = length.unwrap_or_else(|| self.fresh());
        let initial: Vec<Fact> = facts[..states]
            .iter()
            .map(|fact| {
                if batched {
                    unstacked(fact, 0).1
                } else {
                    fact.clone()
                }
            })
            .map(without_content)
            .collect();
        let trips = batch
            .as_ref()
            .map_or(length.clone(), |batch| batch * &length);
        let Repeated {
            states: final_states,
            mut outputs,
            ..
        } = self.settle(
            call,
            body,
            initial,
            |_, states| states.iter().chain(&elements).cloned().collect(),
            0,
            Some(trips),
        )?;
        let scanned = outputs.split_off(states.min(outputs.len()));
        let with_batch = |fact: Fact| match &batch {
            Some(batch) => stacked(&fact, 0, batch),
            None => fact,
        };
        let mut results: Vec<Fact> = final_states.into_iter().map(with_batch).collect();
        for (at, id) in scanned.into_iter().enumerate() {
            let axis = out_axes.get(at).copied().unwrap_or(0);
            let fact = stacked(self.fact(id), axis, &length);
            results.push(with_batch(fact));
        }
        results.resize(call.node.outputs.len(), Fact::Unknown);
        Ok(self.finish(call, results))
    }
}

fn without_content(fact: Fact) -> Fact {
    match fact {
        Fact::Tensor(tensor) => Fact::Tensor(TensorFact {
            content: None,
            ..tensor
        }),
        other => other,
    }
}
