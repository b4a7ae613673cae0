//! Specs written from traces: what any model file calls, as a person would have written it.
//!
//! The modules of a trace are made into bodies ([`lift`]), bodies that are the same but for
//! constants into blocks ([`blocks`]), and those into text ([`layout`]). Constructor calls are told
//! from attributes and parameters ([`constructor`]), expressions from the functions that were
//! called ([`function`]).

mod blocks;
mod composite;
mod constructor;
mod expression;
mod function;
mod index;
mod layout;
mod lift;
mod names;
mod parameters;
mod pieces;
mod python;
mod shared;
mod steps;
mod table;
mod trial;
mod variants;

use std::collections::{HashMap, HashSet};

use modelcost_core::diagnostic::Diagnostic;
use modelcost_core::trace::Trace;

use crate::options::Options;

/// A spec, and what it could not say.
#[derive(Clone, Debug)]
pub struct Written {
    /// The text.
    pub text: String,
    /// What of the trace has no place in a spec, one sentence each. They are comments in the text.
    pub notes: Vec<String>,
    /// How it was written.
    pub options: WriteOptions,
    /// What reading the text gives, for a comparison with what was written.
    pub read_back: Result<Trace, Vec<Diagnostic>>,
}

/// How a spec is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// Whether to write calls that only make what nobody uses, and all children in their order,
    /// which a reader is better off without. Some tools count such calls, and some add up in
    /// floating point, where the order tells.
    pub keep_unused: bool,
}

/// How often a text is written again until it no longer changes.
const ROUNDS: usize = 4;

/// Writes a trace as a spec. Reading the text gives a trace that every convention counts the same,
/// except for what the notes say; writing that trace gives the same text.
pub fn write(trace: &Trace, options: WriteOptions) -> Written {
    let (mut text, notes) = once(trace, options);
    let mut read_back = crate::read(&text, &Options::default());
    for _ in 0..ROUNDS {
        let Ok(found) = &read_back else { break };
        let (again, _) = once(found, options);
        if again == text {
            break;
        }
        let next = crate::read(&again, &Options::default());
        if next.is_err() {
            break;
        }
        (text, read_back) = (again, next);
    }
    Written {
        text,
        notes,
        options,
        read_back,
    }
}

fn once(trace: &Trace, options: WriteOptions) -> (String, Vec<String>) {
    let mut lift = lift::Lift::new(trace, options.keep_unused);
    let names = HashSet::new();
    let place = lift::Place {
        names: &names,
        made: &HashMap::new(),
    };
    let root = lift.root(&place);
    let mut bodies = std::mem::take(&mut lift.bodies);
    let root_body = bodies.remove(&Trace::ROOT);
    let library = blocks::Library::new(trace, bodies, HashSet::new());
    let text = layout::text(trace, &root, root_body.as_ref(), &library);
    (text, lift.notes.into_iter().collect())
}
