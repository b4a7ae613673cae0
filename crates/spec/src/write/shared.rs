//! Parameters that several modules have in common, and those that are not trained.

use modelcost_core::SmolStr;
use modelcost_core::trace::{ModuleId, ParameterId, Trace};
use std::collections::{HashMap, HashSet};

/// `head.weight` is `embedding.weight`: every further name of a parameter, and the first.
pub(super) fn ties(trace: &Trace) -> Vec<(String, String)> {
    let mut first: HashMap<ParameterId, String> = HashMap::new();
    let mut out = Vec::new();
    for (path, id) in trace.named_modules() {
        for (name, parameter) in &trace.module(id).parameters {
            let Some(parameter) = parameter else { continue };
            let full = joined(&path, name);
            match first.get(parameter) {
                Some(source) => out.push((full, source.clone())),
                None => {
                    first.insert(*parameter, full);
                }
            }
        }
    }
    out
}

/// The paths of what is not trained: modules where that is all of them, else parameters.
pub(super) fn frozen(trace: &Trace) -> Vec<String> {
    let mut out = Vec::new();
    collect(trace, Trace::ROOT, "", &mut HashSet::new(), &mut out);
    out
}

fn collect(
    trace: &Trace,
    module: ModuleId,
    path: &str,
    seen: &mut HashSet<ModuleId>,
    out: &mut Vec<String>,
) {
    if !seen.insert(module) {
        return;
    }
    let all = trace.named_parameters(module);
    let is_frozen = |id: &ParameterId| {
        let parameter = trace.parameter(*id);
        !parameter.requires_grad && parameter.dtype.is_floating_point()
    };
    if !path.is_empty() && !all.is_empty() && all.iter().all(|(_, id)| is_frozen(id)) {
        return out.push(path.to_string());
    }
    let found = trace.module(module);
    for (name, parameter) in &found.parameters {
        if parameter.is_some_and(|parameter| is_frozen(&parameter)) {
            out.push(joined(path, name));
        }
    }
    for (name, child) in &found.children {
        collect(trace, *child, &joined(path, name), seen, out);
    }
}

fn joined(path: &str, name: &SmolStr) -> String {
    match path {
        "" => name.to_string(),
        path => format!("{path}.{name}"),
    }
}
