//! Loops of which nobody knows how often they run.

use modelcost_core::dim::Dim;

use super::{Call, Input};
use crate::infer::engine::{Engine, Result};
use crate::infer::fact::{Fact, TensorFact};
use crate::infer::program::{FrameId, FrameKind, ValueId};
use crate::model::Graph;

/// Shapes that change from one iteration to the next settle in a few rounds: each round can only
/// make them less known.
const MAX_ROUNDS: usize = 6;

/// A body, and what holds after any number of iterations of it.
pub(super) struct Repeated {
    pub states: Vec<Fact>,
    pub outputs: Vec<ValueId>,
    /// What its condition is, where it has one and that is known.
    pub condition: Option<bool>,
    pub frame: FrameId,
}

impl<'m> Engine<'m, '_> {
    /// Runs a body until what is known about its states holds for every iteration. Its first
    /// `skip` outputs are not states: none, or a condition.
    pub(super) fn settle(
        &mut self,
        call: &Call<'_, 'm>,
        body: &'m Graph<'m>,
        initial: Vec<Fact>,
        given: impl Fn(&Self, &[Fact]) -> Vec<Fact>,
        skip: usize,
        trips: Option<Dim>,
    ) -> Result<Repeated> {
        let mut states = initial;
        let mut round = 0;
        loop {
            let mark = self.mark();
            let frame = self.inner(FrameKind::Loop(body, trips.clone()), call);
            let facts = given(self, &states).into_iter().map(Input::Fact);
            let outputs = self.run_body(body, facts.collect(), call.scope, frame)?;
            let next: Vec<Fact> = states
                .iter()
                .zip(outputs.iter().skip(skip))
                .map(|(state, id)| self.widen(state, self.fact(*id), round + 2 >= MAX_ROUNDS))
                .collect();
            if next == states || round >= MAX_ROUNDS {
                let condition = outputs.first().filter(|_| skip > 0);
                return Ok(Repeated {
                    condition: self.truth(condition.copied()),
                    states: next,
                    outputs,
                    frame,
                });
            }
            self.reset(mark);
            states = next;
            round += 1;
        }
    }

    /// What holds before and after an iteration. A size that is unknown already stays the symbol
    /// it is, so that repeated widening comes to rest.
    fn widen(&self, before: &Fact, after: &Fact, give_up: bool) -> Fact {
        if before == after {
            return before.clone();
        }
        if give_up {
            return Fact::Unknown;
        }
        match (before, after) {
            (Fact::Tensor(a), Fact::Tensor(b)) => {
                let shape = match (&a.shape, &b.shape) {
                    (Some(a), Some(b)) if a.len() == b.len() => Some(
                        a.iter()
                            .zip(b)
                            .map(|(a, b)| {
                                if a == b || a.has_unknown() {
                                    a.clone()
                                } else {
                                    self.fresh()
                                }
                            })
                            .collect(),
                    ),
                    _ => None,
                };
                Fact::Tensor(TensorFact {
                    dtype: a.dtype.filter(|dtype| b.dtype == Some(*dtype)),
                    shape,
                    content: a.content.clone().filter(|_| a.content == b.content),
                })
            }
            (Fact::Sequence(a), Fact::Sequence(b)) => {
                // An empty list says nothing about its elements.
                let element =
                    if *a.element == Fact::Unknown && a.items.as_ref().is_some_and(Vec::is_empty) {
                        (*b.element).clone()
                    } else {
                        self.widen(&a.element, &b.element, false)
                    };
                Fact::list_of(element)
            }
            _ => self.join(before, after),
        }
    }
}
