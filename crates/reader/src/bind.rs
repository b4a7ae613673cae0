//! Gives the free dimensions of a program their sizes.
//!
//! The free dimensions of an exported program can be bound. To change one that was fixed when it was
//! exported, its operators have to be run again, which is the reader's affair.

use std::collections::BTreeMap;

use modelcost_core::diagnostic::Diagnostic;
use modelcost_core::dim::Dim;
use modelcost_core::trace::{Shape, TensorId, Trace};
use smol_str::SmolStr;

use crate::Options;

/// How a program comes to have the sizes that are asked for.
#[derive(Debug, Default)]
pub struct Binding {
    /// The sizes of its free dimensions.
    symbols: BTreeMap<SmolStr, Dim>,
    /// The shapes of the inputs whose fixed dimensions change; free ones are still free in them.
    pub shapes: Vec<(SmolStr, Shape)>,
}

impl Binding {
    /// Gives the free dimensions of a trace their sizes.
    pub fn apply(&self, trace: &mut Trace) {
        if !self.symbols.is_empty() {
            trace.bind(&|name| self.symbols.get(name).cloned());
        }
    }
}

/// Finds the binding for a trace whose shapes are already known.
pub fn bind(trace: &Trace, options: &Options) -> Result<Binding, Box<Diagnostic>> {
    let mut bindings: BTreeMap<SmolStr, Dim> = BTreeMap::new();
    let symbols: Vec<SmolStr> = input_shapes(trace)
        .flat_map(|(_, _, shape)| shape)
        .flat_map(|dim| dim.symbols())
        .collect();
    for (name, size) in &options.dims {
        if !symbols.contains(name) {
            let known: Vec<&str> = symbols.iter().map(SmolStr::as_str).collect();
            let help = match known[..] {
                [] => "every dimension of its inputs is fixed; export it with dynamic_shapes to leave some free".into(),
                _ => format!("its free dimensions are {}", known.join(", ")),
            };
            return Err(Diagnostic::without_place(format!(
                "the model has no free dimension '{name}'"
            ))
            .with_help(help)
            .into());
        }
        bindings.insert(name.clone(), size.clone());
    }
    let mut given: Vec<(TensorId, SmolStr, Shape, Shape)> = Vec::new();
    let mut unnamed = 0;
    for (name, shape) in &options.inputs {
        let mut inputs = input_shapes(trace);
        let found = match name {
            Some(name) => inputs.find(|(input, _, _)| input == name),
            None => inputs.nth(unnamed),
        };
        unnamed += usize::from(name.is_none());
        let Some((input, id, own)) = found else {
            let names: Vec<SmolStr> = trace.inputs.iter().map(|(name, _)| name.clone()).collect();
            let what = name.as_ref().map_or("as many inputs".to_string(), |name| {
                format!("an input '{name}'")
            });
            return Err(
                Diagnostic::without_place(format!("the model does not have {what}"))
                    .with_help(format!("its inputs are {}", names.join(", ")))
                    .into(),
            );
        };
        // The last shape given for an input is meant.
        given.retain(|(other, ..)| *other != id);
        given.push((id, input, own, shape.clone()));
    }
    if let Some(batch) = &options.batch {
        for (input, id, own) in input_shapes(trace) {
            if own.is_empty() || given.iter().any(|(other, ..)| *other == id) {
                continue;
            }
            let mut shape = own.clone();
            shape[0] = batch.clone();
            given.push((id, input, own, shape));
        }
    }
    let mut shapes = Vec::new();
    for (_, name, own, wanted) in given {
        let shape = unify(&name, &own, &wanted, &mut bindings)?;
        if shape != own {
            shapes.push((name, shape));
        }
    }
    Ok(Binding {
        symbols: bindings,
        shapes,
    })
}

fn input_shapes(trace: &Trace) -> impl Iterator<Item = (SmolStr, TensorId, Shape)> {
    trace
        .inputs
        .iter()
        .filter_map(|(name, id)| Some((name.clone(), *id, trace.tensor(*id).shape.clone()?)))
}

/// Binds what is free; the result is the input's own shape with the fixed dimensions that differ.
fn unify(
    name: &str,
    own: &Shape,
    wanted: &Shape,
    bindings: &mut BTreeMap<SmolStr, Dim>,
) -> Result<Shape, Box<Diagnostic>> {
    let text = |shape: &Shape| {
        shape
            .iter()
            .map(Dim::to_string)
            .collect::<Vec<_>>()
            .join("×")
    };
    let fixed = || -> Box<Diagnostic> {
        Diagnostic::without_place(format!(
            "the model was exported for {name} {}, and {} does not fit it",
            text(own),
            text(wanted)
        ))
        .with_help("export it with dynamic_shapes, or write a TOML spec, to try other sizes")
        .into()
    };
    if own.len() != wanted.len() {
        return Err(fixed());
    }
    let mut shape = own.clone();
    for (at, (have, want)) in own.iter().zip(wanted).enumerate() {
        let bound = have.substitute(&|name| bindings.get(name).cloned());
        if bound == *want {
            continue;
        }
        if have.is_const() {
            shape[at] = want.clone();
            continue;
        }
        // Only a plain symbol can be solved for; an expression of symbols needs --dim.
        let names = bound.symbols();
        match names.first() {
            Some(symbol) if bound == Dim::symbol(symbol.clone()) => {
                bindings.insert(symbol.clone(), want.clone());
            }
            _ => return Err(fixed()),
        }
    }
    Ok(shape)
}
