//! What an archive holds, by the names of its entries.

use crate::Archive;

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// A program of `torch.export.save`; the entry that holds it as JSON.
    Program(String),
    /// What `torch.save` writes; the entry that holds the pickle.
    Pickle(String),
    /// A TorchScript module, of `torch.jit.save` or PyTorch Mobile.
    TorchScript,
    /// Compiled code of AOTInductor.
    Compiled,
    /// `torch.package`: Python sources and pickles.
    Package,
    /// Anything else.
    Unknown,
}

/// Where the program is: torch 2.8 and later put it in a folder, older ones at the root.
const PROGRAMS: [&str; 2] = ["models/model.json", "serialized_exported_program.json"];

pub(crate) fn of(archive: &Archive<'_>) -> Contents {
    if let Some(program) = program(archive) {
        return Contents::Program(program.to_owned());
    }
    // TorchScript has a data.pkl too, so it comes first; `torch.load` tells them apart likewise.
    if archive.find("constants.pkl").is_some() || archive.find("bytecode.pkl").is_some() {
        return Contents::TorchScript;
    }
    if archive.find(".data/extern_modules").is_some() {
        return Contents::Package;
    }
    if let Some(pickle) = archive.find("data.pkl") {
        return Contents::Pickle(pickle.to_owned());
    }
    if archive
        .names()
        .any(|name| name.contains("data/aotinductor/"))
    {
        return Contents::Compiled;
    }
    Contents::Unknown
}

fn program<'a>(archive: &'a Archive<'_>) -> Option<&'a str> {
    let usual = PROGRAMS.iter().find_map(|name| archive.find(name));
    usual.or_else(|| {
        // A program saved under a name of the user's.
        archive.names().find(|name| {
            name.split_once("models/").is_some_and(|(before, rest)| {
                before.matches('/').count() <= 1 && rest.ends_with(".json") && !rest.contains('/')
            })
        })
    })
}
