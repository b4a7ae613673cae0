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

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use modelcost_core::convention::Convention;
use modelcost_core::table::Table;
use modelcost_reader::{Kind, Model, Options, detect};

use crate::errors::Failed;
use crate::files::read_text;

/// Reads a model file.
fn open(path: &Path, options: &Options) -> Result<Model, Failed> {
    modelcost_reader::open(path, options).map_err(|error| Failed::open(&error))
}

/// The files that patterns name; a path without a pattern stands for itself.
fn expand(patterns: &[PathBuf]) -> Result<Vec<PathBuf>, Failed> {
    let mut out = Vec::new();
    for pattern in patterns {
        let text = pattern.to_string_lossy();
        if !text.contains(['*', '?', '[']) || pattern.exists() {
            out.push(pattern.clone());
            continue;
        }
        let found = glob::glob(&text).map_err(|error| Failed::input(format!("{text}: {error}")))?;
        let before = out.len();
        out.extend(found.flatten());
        if out.len() == before {
            return Err(Failed::input(format!("no file fits the pattern {text}")));
        }
    }
    Ok(out)
}

/// What a file is, and the file to read: itself, or a copy of what came through a pipe.
fn kind_of(path: &Path) -> Result<(Kind, Cow<'_, Path>), Failed> {
    let file = modelcost_reader::file(path).map_err(|error| Failed::open(&error))?;
    let kind = detect(&file).map_err(|diagnostic| Failed::about(path, &diagnostic))?;
    Ok((kind, file))
}

/// A reader's message without the file, which is shown beside it.
fn without_file(error: &dyn std::fmt::Display, file: &Path) -> String {
    let (message, file) = (error.to_string(), format!("{}: ", file.display()));
    message.strip_prefix(&file).unwrap_or(&message).to_owned()
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
    let text = read_text(path)?;
    match Table::parse(&text) {
        // It lives as long as the program, like those that are built in.
        Ok(table) => Ok(Box::leak(Box::new(table))),
        Err(error) => Err(Failed::at(&error.message, path, &text, error.span)),
    }
}
