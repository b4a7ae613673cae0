//! Calls of modules as they were made before.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::FixedState;
use modelcost_core::SmolStr;
use modelcost_core::dtype::DType;
use modelcost_core::expr::Span;
use modelcost_core::trace::{
    Argument, Call, CallId, ModuleId, Origin, Shape, Target, Tensor, TensorId, Trace,
};
use modelcost_core::value::Value;

use super::{Advice, Source, Start, hash_data, is_data};
use crate::dispatch::{self, layout};
use crate::error::Result;
use crate::signature::Arguments;
use crate::tracer::{MAX_DEPTH, Tracer};

/// A module and what it is given.
#[derive(Debug)]
pub struct CallKey {
    module: u32,
    positional: Vec<Given>,
    keyword: Vec<(SmolStr, Given)>,
}

/// One argument of a call.
#[derive(Debug)]
enum Given {
    Tensor(Seen),
    Data(Value),
}

/// What a call can see of a tensor.
#[derive(Debug)]
struct Seen {
    /// Which of the tensors that are given it is: the same one may be given twice.
    which: usize,
    shape: Shape,
    dtype: Option<DType>,
}

/// What a call made, with ids of calls and new tensors that count from the call's own.
#[derive(Debug)]
pub struct Called {
    calls: Vec<Call>,
    tensors: Vec<Tensor>,
    output: Value,
    /// How deep its calls nest.
    depth: usize,
    /// The layouts of the tensors that it is given, where operators depend on them.
    layouts: Option<Vec<Layout>>,
}

/// How a tensor came to be, as far as operators that PyTorch chooses among depend on it.
#[derive(Debug, PartialEq)]
struct Layout {
    strides: Option<Shape>,
    requires_grad: bool,
}

impl Layout {
    fn of(trace: &Trace, tensor: TensorId) -> Layout {
        Layout {
            strides: layout::strides(trace, tensor),
            requires_grad: layout::requires_grad(trace, tensor),
        }
    }
}

/// In a piece, tensors of the module itself and those that it is given are told from new ones by these bits.
const OWN: usize = 1 << 30;
const GIVEN: usize = 1 << 31;

impl Tracer {
    /// Calls a module, by what is known if it was called so before.
    pub(crate) fn call_once(
        &mut self,
        module: ModuleId,
        args: Arguments,
        span: Option<Span>,
    ) -> Result<Value> {
        let Some(source) = self.source(module) else {
            return self.call_new(module, args, span);
        };
        let mut tensors = Vec::new();
        match self.look_up_called(source, &args, &mut tensors) {
            Advice::Take(_, piece) if self.builder.depth() + piece.depth < MAX_DEPTH => {
                Ok(self.place_call(&piece, module, source, &tensors, span))
            }
            Advice::Keep(hash) => {
                let start = Start::of(self);
                let key = self.key(source, &args, &tensors);
                let output = self.call_new(module, args, span)?;
                if let Some(piece) = self.cut_call(&start, module, source, &tensors, &output)
                    && let Some(memo) = &mut self.memo
                {
                    memo.called.keep(hash, key, piece);
                }
                Ok(output)
            }
            _ => self.call_new(module, args, span),
        }
    }

    /// Where a module came from, if its calls can be known.
    fn source(&self, module: ModuleId) -> Option<Source> {
        let is_off = self.memo.is_none() || self.is_tied;
        if is_off {
            return None;
        }
        self.instance(module)?.source
    }

    /// Looks a call up. The tensors that it is given are put into `tensors`, each once.
    fn look_up_called(
        &mut self,
        source: Source,
        args: &Arguments,
        tensors: &mut Vec<TensorId>,
    ) -> Advice<Called> {
        let Tracer { memo, builder, .. } = self;
        let (Some(memo), trace) = (memo, builder.trace()) else {
            return Advice::Pass;
        };
        let mut state = FixedState::default().build_hasher();
        source.piece.hash(&mut state);
        let mut give = |value: &Value| {
            let Value::Tensor(id) = value else {
                return hash_data(value, &mut state);
            };
            let tensor = trace.tensor(*id);
            which(tensors, *id).hash(&mut state);
            tensor.shape.hash(&mut state);
            tensor
                .dtype
                .map(|d| std::mem::discriminant(&d))
                .hash(&mut state);
            tensor.shape.is_some() && tensor.strides.is_none() && !tensor.without_gradient
        };
        let is_plain = args.positional.iter().all(&mut give)
            && args.keyword.iter().all(|(_, value)| give(value));
        args.keyword
            .iter()
            .for_each(|(name, _)| name.hash(&mut state));
        if !is_plain {
            return Advice::Pass;
        }
        let tensors = &*tensors;
        memo.called.look_up(state.finish(), |key, piece| {
            let layouts = |known: &Vec<Layout>| {
                let mut both = tensors.iter().zip(known);
                tensors.len() == known.len()
                    && both.all(|(id, known)| Layout::of(trace, *id) == *known)
            };
            key.is(source, args, tensors, trace) && piece.layouts.as_ref().is_none_or(layouts)
        })
    }

    fn key(&self, source: Source, args: &Arguments, tensors: &[TensorId]) -> CallKey {
        let trace = self.builder.trace();
        let given = |value: &Value| match value {
            Value::Tensor(id) => Given::Tensor(Seen {
                which: position(tensors, *id),
                shape: trace.tensor(*id).shape.clone().unwrap_or_default(),
                dtype: trace.tensor(*id).dtype,
            }),
            data => Given::Data(data.clone()),
        };
        let keyword = args.keyword.iter();
        CallKey {
            module: source.piece,
            positional: args.positional.iter().map(given).collect(),
            keyword: keyword.map(|(name, v)| (name.clone(), given(v))).collect(),
        }
    }

    /// What was called since the start, if it can be called elsewhere.
    fn cut_call(
        &self,
        start: &Start,
        module: ModuleId,
        source: Source,
        given: &[TensorId],
        output: &Value,
    ) -> Option<Called> {
        let trace = self.builder.trace();
        let now = Start::of(self);
        let makes_more = (now.modules, now.parameters, now.buffers, now.notes)
            != (start.modules, start.parameters, start.buffers, start.notes);
        if makes_more {
            return None;
        }
        let made = &self.memo.as_ref()?.constructed.pieces[source.piece as usize];
        let (own, modules) = (made.tensors.len(), made.modules.len());
        let moved = |id: TensorId| {
            let index = id.index();
            if let Some(new) = index.checked_sub(start.tensors) {
                return Some(TensorId::new(new));
            }
            if let Some(at) = given.iter().position(|given| *given == id) {
                return Some(TensorId::new(at | GIVEN));
            }
            let at = index.checked_sub(source.tensors).filter(|at| *at < own)?;
            Some(TensorId::new(at | OWN))
        };
        let call_id = |id: CallId| id.index().checked_sub(start.calls).map(CallId::new);
        let mut calls = Vec::with_capacity(trace.calls.len() - start.calls);
        let mut looks_back = false;
        let mut depths: Vec<usize> = Vec::with_capacity(calls.capacity());
        for (at, call) in trace.calls[start.calls..].iter().enumerate() {
            if at > 0 && call.span.is_some() {
                return None;
            }
            let parent = match at {
                0 => None,
                _ => Some(call_id(call.parent?)?),
            };
            depths.push(parent.map_or(1, |parent| depths[parent.index()] + 1));
            let target = match &call.target {
                Target::Module(id) => {
                    let inside = id.index().checked_sub(module.index());
                    let inside = inside.filter(|inside| *inside < modules)?;
                    Target::Module(ModuleId::new(inside))
                }
                Target::Operator(name) => {
                    looks_back |= dispatch::looks_back(name);
                    call.target.clone()
                }
                Target::Function(_) => call.target.clone(),
            };
            let argument = |argument: &Argument| {
                Some(Argument {
                    value: map(&argument.value, &moved)?,
                    ..argument.clone()
                })
            };
            calls.push(Call {
                target,
                parent,
                end: call_id(call.end)?,
                arguments: call.arguments.iter().map(argument).collect::<Option<_>>()?,
                output: map(&call.output, &moved)?,
                span: None,
            });
        }
        let tensor = |tensor: &Tensor| {
            let origin = match tensor.origin {
                Origin::Call(id) => Origin::Call(call_id(id)?),
                Origin::Constant => Origin::Constant,
                _ => return None,
            };
            Some(Tensor {
                origin,
                ..tensor.clone()
            })
        };
        let layouts = || given.iter().map(|id| Layout::of(trace, *id)).collect();
        Some(Called {
            calls,
            tensors: trace.tensors[start.tensors..]
                .iter()
                .map(tensor)
                .collect::<Option<_>>()?,
            output: map(output, &moved)?,
            depth: depths.into_iter().max().unwrap_or(0),
            layouts: looks_back.then(layouts),
        })
    }

    /// Makes a call that is known.
    fn place_call(
        &mut self,
        piece: &Called,
        module: ModuleId,
        source: Source,
        given: &[TensorId],
        span: Option<Span>,
    ) -> Value {
        let start = Start::of(self);
        let outer = self.builder.innermost();
        let moved = |id: TensorId| {
            let index = id.index();
            Some(match index {
                _ if index & GIVEN != 0 => given[index & !GIVEN],
                _ if index & OWN != 0 => TensorId::new((index & !OWN) + source.tensors),
                _ => TensorId::new(index + start.tensors),
            })
        };
        // Every tensor of a piece has a place.
        let value = |value: &Value| map(value, &moved).unwrap_or_default();
        let call_id = |id: CallId| CallId::new(id.index() + start.calls);
        let trace = self.builder.trace_mut();
        trace
            .tensors
            .extend(piece.tensors.iter().map(|tensor| Tensor {
                origin: match tensor.origin {
                    Origin::Call(id) => Origin::Call(call_id(id)),
                    other => other,
                },
                ..tensor.clone()
            }));
        trace.calls.extend(piece.calls.iter().map(|call| {
            Call {
                target: match &call.target {
                    Target::Module(inside) => {
                        Target::Module(ModuleId::new(inside.index() + module.index()))
                    }
                    other => other.clone(),
                },
                parent: call.parent.map(call_id).or(outer),
                end: call_id(call.end),
                arguments: call
                    .arguments
                    .iter()
                    .map(|argument| Argument {
                        name: argument.name.clone(),
                        value: value(&argument.value),
                        passed: argument.passed,
                    })
                    .collect(),
                output: value(&call.output),
                span: call.parent.is_none().then_some(span).flatten(),
            }
        }));
        value(&piece.output)
    }
}

impl CallKey {
    fn is(&self, source: Source, args: &Arguments, tensors: &[TensorId], trace: &Trace) -> bool {
        let same = |known: &Given, value: &Value| match (known, value) {
            (Given::Tensor(seen), Value::Tensor(id)) => {
                let tensor = trace.tensor(*id);
                seen.which == position(tensors, *id)
                    && tensor.shape.as_ref() == Some(&seen.shape)
                    && tensor.dtype == seen.dtype
            }
            (Given::Data(known), value) => known == value,
            _ => false,
        };
        let lengths = (args.positional.len(), args.keyword.len());
        let mut positional = self.positional.iter().zip(&args.positional);
        let mut keyword = self.keyword.iter().zip(&args.keyword);
        self.module == source.piece
            && lengths == (self.positional.len(), self.keyword.len())
            && positional.all(|(known, value)| same(known, value))
            && keyword.all(|((a, known), (b, value))| a == b && same(known, value))
    }
}

/// The position of a tensor among those that a call is given, where it is put if it is new.
fn which(tensors: &mut Vec<TensorId>, id: TensorId) -> usize {
    let known = tensors.iter().position(|known| *known == id);
    known.unwrap_or_else(|| {
        tensors.push(id);
        tensors.len() - 1
    })
}

fn position(tensors: &[TensorId], id: TensorId) -> usize {
    let found = tensors.iter().position(|known| *known == id);
    found.unwrap_or(tensors.len())
}

/// A value with its tensors moved; nothing if one of them has no place, or if it holds a module.
fn map(value: &Value, moved: &impl Fn(TensorId) -> Option<TensorId>) -> Option<Value> {
    let all = |items: &[Value]| -> Option<Vec<Value>> {
        items.iter().map(|item| map(item, moved)).collect()
    };
    Some(match value {
        Value::Tensor(id) => Value::Tensor(moved(*id)?),
        Value::Tuple(items) => Value::Tuple(all(items)?),
        Value::List(items) => Value::List(all(items)?),
        Value::Dict(items) => {
            let each = |(name, item): &(SmolStr, Value)| Some((name.clone(), map(item, moved)?));
            Value::Dict(items.iter().map(each).collect::<Option<_>>()?)
        }
        data if is_data(data) => data.clone(),
        _ => return None,
    })
}
