//! `Loop`.

use std::sync::Arc;

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::settle::Repeated;
use super::{Call, Input, Outputs, stacked};
use crate::infer::bounds;
use crate::infer::engine::{Engine, Result};
use crate::infer::fact::{Content, Fact, MAX_ITEMS, Scalar, TensorFact};
use crate::infer::program::{FrameKind, Origin, ValueId};
use crate::model::Graph;

/// A loop of at most this many iterations is unrolled.
pub(super) const MAX_UNROLL: i128 = 128;
/// An unrolled loop may not become longer than this many operator calls.
const MAX_UNROLLED_STEPS: usize = 20_000;

/// How often a loop that is unrolled runs.
struct Trips {
    /// Whether it runs at all.
    start: bool,
    most: i128,
    /// Whether it ends after `most`, and not by its condition alone.
    bounded: bool,
}

impl<'m> Engine<'m, '_> {
    pub fn run_loop(&mut self, call: &Call<'_, 'm>) -> Result<Outputs> {
        let Some(body) = self.graph(call, "body") else {
            return Ok(self.opaque(call));
        };
        let initial = call.inputs.get(2..).unwrap_or_default();
        let carried = self.facts(initial);
        if body.outputs.len() < 1 + carried.len() {
            return Ok(self.opaque(call));
        }
        let limit = call.inputs.first().copied().flatten();
        let trips = limit.and_then(|id| match self.fact(id).content()?.items.as_slice() {
            [one] => one.int(),
            _ => None,
        });
        let condition = match call.inputs.get(1).copied().flatten() {
            Some(id) => self.truth(Some(id)),
            None => Some(true),
        };
        let most = match (&limit, trips.as_ref().and_then(Dim::as_const)) {
            (None, _) => Some(MAX_UNROLL),
            (Some(_), Some(count)) if count <= MAX_UNROLL => Some(count),
            _ => None,
        };
        if let (Some(most), Some(start)) = (most, condition) {
            let mark = self.mark();
            let trips = Trips {
                start,
                most,
                bounded: limit.is_some(),
            };
            match self.unroll(call, body, initial, &trips)? {
                Some(outputs) => return Ok(outputs),
                None => self.reset(mark),
            }
        }
        let Repeated {
            states,
            mut outputs,
            condition: again,
            frame: inside,
        } = self.settle(
            call,
            body,
            carried,
            |engine, states| {
                let counter = Fact::tensor(Some(DType::Int64), Some(Vec::new()));
                let mut facts = vec![counter, engine.scalar(DType::Bool, Scalar::bool(true))];
                facts.extend(states.iter().cloned());
                facts
            },
            1,
            None,
        )?;
        let always = again == Some(true);
        let trips = trips.filter(|_| always && condition == Some(true));
        let trips = trips.map(|count| bounds::max(&count, &Dim::ZERO));
        if let FrameKind::Loop(_, count) = &mut self.program.frames[inside.0 as usize].kind {
            count.clone_from(&trips);
        }
        let length = trips.unwrap_or_else(|| self.fresh());
        let scans = outputs.split_off(outputs.len().min(1 + states.len()));
        let mut facts = states;
        for id in scans {
            let fact = stacked(self.fact(id), 0, &length);
            facts.push(fact);
        }
        facts.resize(call.node.outputs.len(), Fact::Unknown);
        Ok(self.finish(call, facts))
    }

    fn scalar(&self, dtype: DType, item: Scalar) -> Fact {
        Fact::Tensor(TensorFact::of(dtype, Content::scalar(item)))
    }

    /// Runs a loop's body once for every iteration. `None` if that does not come to an end that is
    /// known.
    fn unroll(
        &mut self,
        call: &Call<'_, 'm>,
        body: &'m Graph<'m>,
        initial: &[Option<ValueId>],
        trips: &Trips,
    ) -> Result<Option<Outputs>> {
        let from = self.program.steps.len();
        let mut states: Vec<ValueId> = Vec::new();
        for id in initial {
            states.push(match id {
                Some(id) => *id,
                None => self.value("", Fact::Unknown, Origin::Block),
            });
        }
        let scans = body.outputs.len() - 1 - states.len();
        let mut stacked_facts: Vec<Vec<Fact>> = vec![Vec::new(); scans];
        let (mut running, mut count) = (trips.start, 0);
        while running && count < trips.most {
            let inside = self.inner(FrameKind::Loop(body, Some(Dim::ONE)), call);
            let counter = self.scalar(DType::Int64, Scalar::Int(Dim::Const(count)));
            let condition = self.scalar(DType::Bool, Scalar::bool(true));
            let mut given = vec![Input::Fact(counter), Input::Fact(condition)];
            given.extend(states.iter().map(|id| Input::Value(*id)));
            let mut outputs = self.run_body(body, given, call.scope, inside)?;
            if self.program.steps.len() - from > MAX_UNROLLED_STEPS {
                return Ok(None);
            }
            let Some(more) = self.truth(outputs.first().copied()) else {
                return Ok(None);
            };
            running = more;
            count += 1;
            for (facts, id) in stacked_facts
                .iter_mut()
                .zip(outputs.drain(1 + states.len()..))
            {
                facts.push(self.program.fact(id).clone());
            }
            states = outputs.split_off(1);
        }
        if running && !trips.bounded {
            return Ok(None);
        }
        let mut facts = Vec::new();
        let first = 1 + states.len();
        for (at, iterations) in stacked_facts.into_iter().enumerate() {
            let fact = if iterations.is_empty() {
                let declared = body.outputs[first + at].ty.as_ref();
                let declared = declared.map_or(Fact::Unknown, |ty| self.declared(ty));
                stacked(&declared, 0, &Dim::ZERO)
            } else {
                self.stack(&iterations)
            };
            facts.push(fact);
        }
        let mut out: Outputs = states.into_iter().map(Some).collect();
        for (at, fact) in facts.into_iter().enumerate() {
            let name = call.node.outputs.get(first - 1 + at).copied().unwrap_or("");
            out.push(Some(self.value(name, fact, Origin::Block)));
        }
        Ok(Some(out))
    }

    /// The elements of one scan output put together.
    fn stack(&self, iterations: &[Fact]) -> Fact {
        let length = Dim::from(iterations.len());
        let element = iterations
            .iter()
            .cloned()
            .reduce(|a, b| self.join(&a, &b))
            .unwrap_or_default();
        let mut fact = stacked(&element, 0, &length);
        let contents: Option<Vec<&Content>> = iterations.iter().map(Fact::content).collect();
        if let (Fact::Tensor(tensor), Some(contents)) = (&mut fact, contents)
            && let Some(shape) = contents.first().map(|content| content.shape.clone())
            && contents.iter().all(|content| content.shape == shape)
            && contents.iter().map(|c| c.items.len()).sum::<usize>() <= MAX_ITEMS
        {
            let mut full = vec![contents.len()];
            full.extend(shape);
            let items = contents.iter().flat_map(|c| c.items.clone()).collect();
            tensor.content = Some(Arc::new(Content { shape: full, items }));
        }
        fact
    }
}
