//! `If`, `Loop`, `Scan` and `SequenceMap`: operators that run subgraphs.

use std::sync::Arc;

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::bounds;
use super::engine::{Engine, Input, Result, Scope};
use super::fact::{Content, Fact, MAX_ITEMS, Scalar, SequenceFact, TensorFact};
use super::op::{normalize_axis, resolve};
use super::program::*;
use crate::model::{AttributeValue, Graph, Node};

/// A loop of at most this many iterations is unrolled.
const MAX_UNROLL: i128 = 128;
/// An unrolled loop may not become longer than this many operator calls.
const MAX_UNROLLED_STEPS: usize = 20_000;
/// Shapes that change from one iteration to the next settle in a few rounds: each round can only
/// make them less known.
const MAX_ROUNDS: usize = 6;

type Outputs = Vec<Option<ValueId>>;

impl<'m> Engine<'m, '_> {
    fn attribute(
        &self,
        node: &'m Node<'m>,
        frame: FrameId,
        name: &str,
    ) -> Option<&'m AttributeValue<'m>> {
        resolve(node.attribute(name)?, &self.program.frame(frame).attributes)
    }

    fn graph(&self, node: &'m Node<'m>, frame: FrameId, name: &str) -> Option<&'m Graph<'m>> {
        match self.attribute(node, frame, name)? {
            AttributeValue::Graph(graph) => Some(graph),
            _ => None,
        }
    }

    fn ints(&self, node: &'m Node<'m>, frame: FrameId, name: &str) -> &'m [i64] {
        match self.attribute(node, frame, name) {
            Some(AttributeValue::Ints(values)) => values,
            _ => &[],
        }
    }

    fn inner(&mut self, kind: FrameKind<'m>, node: &'m Node<'m>, outer: FrameId) -> FrameId {
        let parent = self.program.frame(outer);
        let (attributes, opset_import) = (parent.attributes.clone(), parent.opset_import);
        self.frame(Frame {
            kind,
            parent: Some(outer),
            node: Some(node),
            attributes,
            opset_import,
        })
    }

    /// A node whose subgraphs are missing or malformed.
    fn opaque(
        &mut self,
        node: &'m Node<'m>,
        inputs: &[Option<ValueId>],
        frame: FrameId,
    ) -> Outputs {
        let facts = vec![Fact::Unknown; node.outputs.len()];
        self.record(node, inputs.to_vec(), facts, frame)
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

    pub fn run_if(
        &mut self,
        node: &'m Node<'m>,
        inputs: &[Option<ValueId>],
        scope: &Scope<'_, 'm>,
        frame: FrameId,
    ) -> Result<Outputs> {
        let (Some(then), Some(otherwise)) = (
            self.graph(node, frame, "then_branch"),
            self.graph(node, frame, "else_branch"),
        ) else {
            return Ok(self.opaque(node, inputs, frame));
        };
        if let Some(taken) = self.truth(inputs.first().copied().flatten()) {
            let graph = if taken { then } else { otherwise };
            let body = self.inner(FrameKind::Branch(graph, true), node, frame);
            let outputs = self.run_body(graph, Vec::new(), scope, body)?;
            return Ok(outputs.into_iter().map(Some).collect());
        }
        let mut branches = Vec::new();
        for graph in [then, otherwise] {
            let body = self.inner(FrameKind::Branch(graph, false), node, frame);
            branches.push(self.run_body(graph, Vec::new(), scope, body)?);
        }
        let facts = (0..node.outputs.len())
            .map(|at| match (branches[0].get(at), branches[1].get(at)) {
                (Some(a), Some(b)) => self.join(self.fact(*a), self.fact(*b)),
                _ => Fact::Unknown,
            })
            .collect();
        Ok(self.record(node, inputs.to_vec(), facts, frame))
    }

    pub fn run_loop(
        &mut self,
        node: &'m Node<'m>,
        inputs: &[Option<ValueId>],
        scope: &Scope<'_, 'm>,
        frame: FrameId,
    ) -> Result<Outputs> {
        let Some(body) = self.graph(node, frame, "body") else {
            return Ok(self.opaque(node, inputs, frame));
        };
        let carried: Vec<Fact> = inputs
            .iter()
            .skip(2)
            .map(|id| id.map_or(Fact::Unknown, |id| self.fact(id).clone()))
            .collect();
        if body.outputs.len() < 1 + carried.len() {
            return Ok(self.opaque(node, inputs, frame));
        }
        let limit = inputs.first().copied().flatten();
        let trips = limit.and_then(|id| match self.fact(id).content()?.items.as_slice() {
            [one] => one.int(),
            _ => None,
        });
        let condition = match inputs.get(1).copied().flatten() {
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
            let bounded = limit.is_some();
            let unrolled = self.unroll(
                node,
                body,
                &inputs[2.min(inputs.len())..],
                scope,
                frame,
                start,
                most,
                bounded,
            )?;
            match unrolled {
                Some(outputs) => return Ok(outputs),
                None => self.reset(mark),
            }
        }
        let (states, mut outputs, always, inside) = self.settle(
            body,
            carried,
            |engine, states| {
                let int64 = |shape| Fact::tensor(Some(DType::Int64), Some(shape));
                let mut facts = vec![int64(Vec::new())];
                let start = engine.scalar(DType::Bool, Scalar::bool(true));
                facts.push(start);
                facts.extend(states.iter().cloned());
                facts
            },
            1,
            scope,
            |engine| engine.inner(FrameKind::Loop(body, None), node, frame),
        )?;
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
        facts.resize(node.outputs.len(), Fact::Unknown);
        Ok(self.record(node, inputs.to_vec(), facts, frame))
    }

    fn scalar(&self, dtype: DType, item: Scalar) -> Fact {
        Fact::Tensor(TensorFact::of(dtype, Content::scalar(item)))
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

    /// Runs a loop's body once for every iteration. `None` if that does not come to an end that is
    /// known.
    #[allow(clippy::too_many_arguments)]
    fn unroll(
        &mut self,
        node: &'m Node<'m>,
        body: &'m Graph<'m>,
        initial: &[Option<ValueId>],
        scope: &Scope<'_, 'm>,
        frame: FrameId,
        start: bool,
        most: i128,
        bounded: bool,
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
        let (mut running, mut count) = (start, 0);
        while running && count < most {
            let inside = self.inner(FrameKind::Loop(body, Some(Dim::ONE)), node, frame);
            let counter = self.scalar(DType::Int64, Scalar::Int(Dim::Const(count)));
            let condition = self.scalar(DType::Bool, Scalar::bool(true));
            let mut given = vec![Input::Fact(counter), Input::Fact(condition)];
            given.extend(states.iter().map(|id| Input::Value(*id)));
            let mut outputs = self.run_body(body, given, scope, inside)?;
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
        if running && !bounded {
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
            let name = node.outputs.get(first - 1 + at).copied().unwrap_or("");
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

    /// Runs a body until what is known about its states holds for every iteration. Gives the
    /// states, the body's outputs, whether its condition (its first output, when `skip` is 1) is
    /// certain to be true, and the body's frame.
    fn settle(
        &mut self,
        body: &'m Graph<'m>,
        initial: Vec<Fact>,
        given: impl Fn(&Self, &[Fact]) -> Vec<Fact>,
        skip: usize,
        scope: &Scope<'_, 'm>,
        frame: impl Fn(&mut Self) -> FrameId,
    ) -> Result<(Vec<Fact>, Vec<ValueId>, bool, FrameId)> {
        let mut states = initial;
        let mut round = 0;
        loop {
            let mark = self.mark();
            let inside = frame(self);
            let facts = given(self, &states);
            let outputs = self.run_body(
                body,
                facts.into_iter().map(Input::Fact).collect(),
                scope,
                inside,
            )?;
            let next: Vec<Fact> = states
                .iter()
                .zip(outputs.iter().skip(skip))
                .map(|(state, id)| self.widen(state, self.fact(*id), round + 2 >= MAX_ROUNDS))
                .collect();
            if next == states || round >= MAX_ROUNDS {
                let always = skip == 1 && self.truth(outputs.first().copied()) == Some(true);
                return Ok((next, outputs, always, inside));
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
                Fact::Sequence(SequenceFact {
                    element: Box::new(element),
                    items: None,
                })
            }
            _ => self.join(before, after),
        }
    }

    pub fn run_scan(
        &mut self,
        node: &'m Node<'m>,
        inputs: &[Option<ValueId>],
        scope: &Scope<'_, 'm>,
        frame: FrameId,
    ) -> Result<Outputs> {
        let body = self.graph(node, frame, "body");
        let scans = match self.attribute(node, frame, "num_scan_inputs") {
            Some(AttributeValue::Int(count)) => usize::try_from(*count).ok(),
            _ => None,
        };
        // Version 8 had a batch dimension first, and the sequence lengths as the first input.
        let opsets = self.program.frame(frame).opset_import;
        let batched = opsets
            .iter()
            .any(|(domain, v)| domain.is_empty() && *v <= 8);
        let skip = usize::from(batched);
        let given = inputs.get(skip..).unwrap_or_default();
        let (Some(body), Some(scans)) = (body, scans.filter(|scans| *scans <= given.len())) else {
            return Ok(self.opaque(node, inputs, frame));
        };
        let states = given.len() - scans;
        if body.outputs.len() < states {
            return Ok(self.opaque(node, inputs, frame));
        }
        let facts: Vec<Fact> = given
            .iter()
            .map(|id| id.map_or(Fact::Unknown, |id| self.fact(id).clone()))
            .collect();
        let in_axes = self.ints(node, frame, "scan_input_axes");
        let out_axes = self.ints(node, frame, "scan_output_axes");
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
        let (final_states, mut outputs, ..) = self.settle(
            body,
            initial,
            |_, states| states.iter().chain(&elements).cloned().collect(),
            0,
            scope,
            |engine| engine.inner(FrameKind::Loop(body, Some(trips.clone())), node, frame),
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
        results.resize(node.outputs.len(), Fact::Unknown);
        Ok(self.record(node, inputs.to_vec(), results, frame))
    }

    pub fn run_sequence_map(
        &mut self,
        node: &'m Node<'m>,
        inputs: &[Option<ValueId>],
        scope: &Scope<'_, 'm>,
        frame: FrameId,
    ) -> Result<Outputs> {
        let Some(body) = self.graph(node, frame, "body") else {
            return Ok(self.opaque(node, inputs, frame));
        };
        let facts: Vec<Fact> = inputs
            .iter()
            .map(|id| id.map_or(Fact::Unknown, |id| self.fact(id).clone()))
            .collect();
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
        let mut results: Vec<Vec<Fact>> = vec![Vec::new(); node.outputs.len()];
        for at in positions {
            let inside = self.inner(FrameKind::Loop(body, trips.clone()), node, frame);
            let given = facts.iter().map(|fact| Input::Fact(element(fact, at)));
            let outputs = self.run_body(body, given.collect(), scope, inside)?;
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
        Ok(self.record(node, inputs.to_vec(), results, frame))
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
