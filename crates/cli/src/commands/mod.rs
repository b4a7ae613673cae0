//! What the program does, one command a file.

pub mod check;
pub mod compare;
pub mod conventions;
pub mod convert;
pub mod count;
pub mod explain;
pub mod memory;
pub mod reconcile;
pub mod report;
pub mod shapes;
pub mod sweep;

use std::path::Path;

use modelcost_core::convention::Convention;
use modelcost_core::table::Table;
use modelcost_reader::{Model, Options};

use crate::errors::Failed;

/// Reads a model file.
fn open(path: &Path, options: &Options) -> Result<Model, Failed> {
    modelcost_reader::open(path, options).map_err(|error| Failed::open(&error))
}

/// Every registered convention, in the order of lists.
fn all_conventions() -> Vec<&'static dyn Convention> {
    modelcost_conventions::all()
        .into_iter()
        .map(|registration| (registration.load)())
        .collect()
}

/// The conventions of the given names; every one where there are none.
fn chosen_conventions(names: &[String]) -> Result<Vec<&'static dyn Convention>, Failed> {
    match names {
        [] => Ok(all_conventions()),
        names => names.iter().map(|name| convention(name)).collect(),
    }
}

/// A convention by its name, or a user's table by its path.
fn convention(name: &str) -> Result<&'static dyn Convention, Failed> {
    let path = Path::new(name);
    if path.extension().is_none_or(|extension| extension != "toml") {
        return modelcost_conventions::find(name).map_err(|error| Failed::input(error.to_string()));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failed::input(format!("cannot read the rule table {name}: {error}")))?;
    match Table::parse(&text) {
        // It lives as long as the program, like those that are built in.
        Ok(table) => Ok(Box::leak(Box::new(table))),
        Err(error) => Err(Failed::at(&error.message, path, &text, error.span)),
    }
}
