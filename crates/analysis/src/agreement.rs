//! Whether two traces of one model have the same numbers, whoever counts.

use std::collections::BTreeMap;

use modelcost_core::convention::{Convention, Options};
use modelcost_core::dim::Dim;
use modelcost_core::report::Report;
use modelcost_core::trace::Trace;

/// Where a convention counts two traces differently.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The convention's identity.
    pub convention: String,
    /// What differs, in a sentence.
    pub what: String,
}

/// The differences between two traces under conventions: in the total, in the parameters, and in
/// the numbers of each layer. Nothing where they agree.
pub fn differences(
    left: &Trace,
    right: &Trace,
    conventions: &[&dyn Convention],
) -> Vec<Difference> {
    let options = Options::default();
    let mut out = Vec::new();
    for convention in conventions {
        let what = match (
            convention.count(left, &options),
            convention.count(right, &options),
        ) {
            (Ok(left), Ok(right)) => between(&left, &right),
            (Err(_), Err(_)) => None,
            (Ok(_), Err(failure)) => Some(failure.to_string()),
            (Err(failure), Ok(_)) => Some(format!("there, {failure}")),
        };
        if let Some(what) = what {
            let convention = convention.info().identity();
            out.push(Difference { convention, what });
        }
    }
    out
}

/// The first thing in which two reports differ.
fn between(left: &Report, right: &Report) -> Option<String> {
    let numbers = |report: &Report| {
        let count = report.count.as_ref().map(|cost| cost.count().clone());
        [
            ("the count", count),
            ("the parameters", report.params.clone()),
            ("the trainable parameters", report.trainable_params.clone()),
        ]
    };
    for ((what, here), (_, there)) in numbers(left).into_iter().zip(numbers(right)) {
        if here != there {
            return Some(format!(
                "{what}: {} and not {}",
                shown(&there),
                shown(&here)
            ));
        }
    }
    layers(left, right)
}

/// The first layer in which two reports differ. The order of layers is the order of the text.
fn layers(left: &Report, right: &Report) -> Option<String> {
    let rows = |report: &Report| -> BTreeMap<String, _> {
        let rows = report.layers.iter();
        rows.map(|layer| {
            let numbers = (layer.count.clone(), layer.params.clone());
            (
                layer.path.clone(),
                (layer.class.clone(), layer.calls, numbers),
            )
        })
        .collect()
    };
    let (left, right) = (rows(left), rows(right));
    for (path, here) in &left {
        match right.get(path) {
            None => return Some(format!("there is no layer {path}")),
            Some(there) if here.0 != there.0 => {
                return Some(format!(
                    "the layer {path} is a {} and not a {}",
                    there.0, here.0
                ));
            }
            Some(there) if here.1 != there.1 => {
                let (here, there) = (here.1, there.1);
                return Some(format!(
                    "the layer {path} is called {there} times and not {here}"
                ));
            }
            Some(there) if here.2 != there.2 => {
                let text = |numbers: &(Option<Dim>, Option<Dim>)| {
                    format!(
                        "{} with {} parameters",
                        shown(&numbers.0),
                        shown(&numbers.1)
                    )
                };
                let (here, there) = (text(&here.2), text(&there.2));
                return Some(format!("the layer {path}: {there}, and not {here}"));
            }
            _ => {}
        }
    }
    let extra = right.keys().find(|path| !left.contains_key(*path))?;
    Some(format!("the layer {extra} is there too"))
}

fn shown(dim: &Option<Dim>) -> String {
    dim.as_ref().map_or("none".into(), Dim::to_string)
}
