//! What making and calling modules came to before.
//!
//! A network repeats a few layers many times, and an editor runs the same network again at every keystroke. What a
//! constructor makes depends on its arguments alone; what a call makes depends on the module, and on the shapes, types,
//! layouts and identities of what it is given. So both are kept as pieces of a trace in which every id counts from where
//! the piece begins, and are put into other traces with the ids moved along. A piece is kept the second time that it
//! comes up, so that networks without repetition pay next to nothing.
//!
//! What cannot be moved is not kept: modules given as arguments, sizes inferred at the first call, tensors inside tuples,
//! calls that note something about fidelity, and, once parameters are shared between modules, any call at all.

mod called;
mod constructed;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::FixedState;
use modelcost_core::trace::{BufferId, ModuleId, ParameterId};
use modelcost_core::value::Value;

use crate::copy::is_module;
use crate::tracer::Tracer;

use called::{CallKey, Called};
use constructed::{Constructed, ConstructedKey};

/// Pieces of traces by what they are made from. Give it to [`Tracer::with_memo`], and take it back at the end.
#[derive(Debug, Default)]
pub struct Memo {
    constructed: Pieces<ConstructedKey, Constructed>,
    called: Pieces<CallKey, Called>,
}

/// More pieces than the largest networks have kinds of layers.
const MAX_PIECES: usize = 50_000;

impl Memo {
    /// Forgets everything when it has become too much: sizes that are tried in an editor never come back.
    fn make_room(&mut self) {
        if self.constructed.count + self.called.count > MAX_PIECES {
            *self = Memo::default();
        }
    }
}

/// The piece of a trace that a module came from, and where its tensors begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    piece: u32,
    tensors: usize,
}

/// Pieces by their keys. Keys are hashed and compared in place, so that looking one up copies nothing.
#[derive(Debug)]
struct Pieces<K, P> {
    by_hash: HashMap<u64, Slot<K>, FixedState>,
    pieces: Vec<Arc<P>>,
    count: usize,
}

impl<K, P> Default for Pieces<K, P> {
    fn default() -> Pieces<K, P> {
        Pieces {
            by_hash: HashMap::default(),
            pieces: Vec::new(),
            count: 0,
        }
    }
}

/// What is known under a hash. Two keys with one hash take turns, which is as good as never.
#[derive(Debug)]
enum Slot<K> {
    /// It came up once.
    Seen,
    Piece(K, u32),
}

/// What to do about something that is made or called.
enum Advice<P> {
    /// It is known.
    Take(u32, Arc<P>),
    /// It came up before and is worth keeping.
    Keep(u64),
    /// It is new, or cannot be kept.
    Pass,
}

impl<K, P> Pieces<K, P> {
    fn look_up(&mut self, hash: u64, is_same: impl FnOnce(&K, &P) -> bool) -> Advice<P> {
        match self.by_hash.get(&hash) {
            None => {
                self.by_hash.insert(hash, Slot::Seen);
                self.count += 1;
                Advice::Pass
            }
            Some(Slot::Seen) => Advice::Keep(hash),
            Some(Slot::Piece(key, index)) => {
                let piece = &self.pieces[*index as usize];
                match is_same(key, piece) {
                    true => Advice::Take(*index, piece.clone()),
                    false => Advice::Keep(hash),
                }
            }
        }
    }

    fn keep(&mut self, hash: u64, key: K, piece: P) -> u32 {
        let index = self.pieces.len() as u32;
        self.pieces.push(Arc::new(piece));
        self.count += 1;
        self.by_hash.insert(hash, Slot::Piece(key, index));
        index
    }
}

/// How long everything was when a piece began.
#[derive(Clone, Copy)]
struct Start {
    modules: usize,
    parameters: usize,
    buffers: usize,
    tensors: usize,
    calls: usize,
    notes: usize,
}

impl Start {
    fn of(tracer: &Tracer) -> Start {
        let trace = tracer.builder.trace();
        Start {
            modules: trace.modules.len(),
            parameters: trace.parameters.len(),
            buffers: trace.buffers.len(),
            tensors: trace.tensors.len(),
            calls: trace.calls.len(),
            notes: tracer.notes,
        }
    }

    fn module(&self, id: ModuleId) -> Option<ModuleId> {
        id.index().checked_sub(self.modules).map(ModuleId::new)
    }

    fn parameter(&self, id: ParameterId) -> Option<ParameterId> {
        let at = id.index().checked_sub(self.parameters);
        at.map(ParameterId::new)
    }

    fn buffer(&self, id: BufferId) -> Option<BufferId> {
        id.index().checked_sub(self.buffers).map(BufferId::new)
    }
}

impl Tracer {
    /// As [`Tracer::new`], with what is known from earlier traces.
    pub fn with_memo(name: impl Into<String>, format: &'static str, mut memo: Memo) -> Tracer {
        memo.make_room();
        Tracer {
            memo: Some(memo),
            ..Tracer::new(name, format)
        }
    }

    /// What is known now.
    pub fn take_memo(&mut self) -> Memo {
        self.memo.take().unwrap_or_default()
    }
}

/// Hashes a value that holds no tensor and no module; says whether it does not.
fn hash_data(value: &Value, state: &mut impl Hasher) -> bool {
    std::mem::discriminant(value).hash(state);
    match value {
        Value::None => {}
        Value::Bool(value) => value.hash(state),
        Value::Int(dim) => dim.hash(state),
        Value::Float(number) => number.to_bits().hash(state),
        Value::Str(text) => text.hash(state),
        Value::DType(dtype) => std::mem::discriminant(dtype).hash(state),
        Value::Tensor(_) => return false,
        Value::Tuple(items) | Value::List(items) => {
            items.len().hash(state);
            return items.iter().all(|item| hash_data(item, state));
        }
        Value::Dict(items) => {
            items.len().hash(state);
            return items.iter().all(|(name, item)| {
                name.hash(state);
                hash_data(item, state)
            });
        }
        Value::Opaque(text) => {
            text.hash(state);
            return !is_module(text);
        }
    }
    true
}

/// Whether a value holds no tensor and no module.
pub(crate) fn is_data(value: &Value) -> bool {
    match value {
        Value::Tensor(_) => false,
        Value::Opaque(text) => !is_module(text),
        Value::Tuple(items) | Value::List(items) => items.iter().all(is_data),
        Value::Dict(items) => items.iter().all(|(_, item)| is_data(item)),
        _ => true,
    }
}
