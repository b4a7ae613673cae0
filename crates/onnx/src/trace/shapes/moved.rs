//! Parameters that are in the file under another name, or as what was made of them.

use foldhash::{HashMap, HashSet};

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::Shape;

use super::super::dynamo::{Group, SCOPES};
use super::super::fx_text::{self, FxArg};
use super::super::signature::{Input, InputKind};
use super::Finder;
use crate::infer::Origin;
use crate::model::Model;

impl<'a> Finder<'_, 'a> {
    /// A layer whose weight is another layer's: the program knows the storage by one name.
    pub fn tie(
        &self,
        group: &Group<'a>,
        named: &[(&str, &FxArg<'a>)],
        inputs: &[Input<'a>],
        tied: &mut HashMap<&'a str, &'a str>,
    ) {
        let Some(scopes) = group.node.meta(SCOPES) else {
            return;
        };
        let scopes = fx_text::strings(scopes);
        let Some(path) = scopes.len().checked_sub(2).and_then(|at| scopes.get(at)) else {
            return;
        };
        for (argument, value) in named {
            let FxArg::Node(name) = value else { continue };
            if !matches!(*argument, "weight" | "bias") || path.is_empty() {
                continue;
            }
            let Some(state) = self.by_name.get(name) else {
                continue;
            };
            let own = |input: &&Input<'a>| {
                input
                    .target
                    .strip_prefix(path)
                    .and_then(|rest| rest.strip_prefix('.'))
                    == Some(argument)
            };
            if let Some(own) = inputs.iter().find(own)
                && own.target != state.target
            {
                tied.insert(own.name, name);
            }
        }
    }

    /// Parameters that are left under another name because only their shape or order was changed:
    /// the one parameter of a module that nothing uses, and the one constant of that module that
    /// is called after such a change.
    pub fn moved(
        &self,
        model: &'a Model<'a>,
        groups: &[Group<'a>],
        inputs: &[Input<'a>],
        found: &HashMap<&'a str, Shape>,
        used: &HashSet<&'a str>,
    ) -> Vec<(&'a str, Shape)> {
        let mut constants: HashMap<&str, Vec<Shape>> = HashMap::default();
        let mut seen = HashSet::default();
        for group in groups {
            let Some(scopes) = group.node.meta(SCOPES) else {
                continue;
            };
            let scopes = fx_text::strings(scopes);
            let Some(path) = scopes.len().checked_sub(2).and_then(|at| scopes.get(at)) else {
                continue;
            };
            for step in &group.steps {
                for id in self.program.steps[*step].inputs.iter().flatten() {
                    let value = self.program.value(*id);
                    let float = value.fact.dtype().is_some_and(DType::is_floating_point);
                    if matches!(value.origin, Origin::Initializer(_))
                        && float
                        && is_view(value.name)
                        && seen.insert(*id)
                        && let Some(shape) = value.fact.shape()
                    {
                        constants.entry(path).or_default().push(shape.to_vec());
                    }
                }
            }
        }
        let mut lost: HashMap<&str, Vec<&'a str>> = HashMap::default();
        for input in inputs {
            let known = found.contains_key(input.name)
                || used.contains(input.name)
                || model
                    .graph
                    .initializers
                    .iter()
                    .any(|t| t.name == input.target);
            if input.kind == InputKind::Parameter && !known {
                let owner = input.target.rsplit_once('.').map_or("", |(owner, _)| owner);
                lost.entry(owner).or_default().push(input.name);
            }
        }
        lost.into_iter()
            .filter_map(|(owner, names)| {
                match (names.as_slice(), constants.get(owner)?.as_slice()) {
                    ([name], [shape]) => Some((*name, shape.clone())),
                    _ => None,
                }
            })
            .collect()
    }

    /// Position tables of torchvision's window attention, of which only the lookup's result is
    /// left: one row for each offset between two positions of a window.
    pub fn tables(
        &self,
        groups: &[Group<'a>],
        inputs: &[Input<'a>],
        found: &mut HashMap<&'a str, Shape>,
        used: &mut HashSet<&'a str>,
    ) {
        for input in inputs {
            let Some(owner) = input.target.strip_suffix(".relative_position_bias_table") else {
                continue;
            };
            if self.initializers.contains_key(input.target) {
                continue;
            }
            for group in groups {
                let scopes = group.node.meta(SCOPES).unwrap_or_default();
                if !fx_text::strings(scopes).contains(&owner) {
                    continue;
                }
                for step in &group.steps {
                    for id in self.program.steps[*step].inputs.iter().flatten() {
                        let value = self.program.value(*id);
                        let constant = matches!(value.origin, Origin::Initializer(_));
                        if let (true, Some([one, heads, n, m])) = (constant, value.fact.shape())
                            && *one == Dim::ONE
                            && n == m
                            && let Some(window) = n.as_usize().and_then(root)
                        {
                            let offsets = Dim::from((2 * window - 1) * (2 * window - 1));
                            found.insert(input.name, vec![offsets, heads.clone()]);
                            used.insert(input.name);
                        }
                    }
                }
            }
        }
    }
}

/// Whether a constant is called after an operator that only moves elements.
fn is_view(name: &str) -> bool {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let base = base.strip_suffix('_').unwrap_or(base);
    matches!(
        base,
        "expand" | "unsqueeze" | "view" | "permute" | "transpose" | "clone" | "squeeze" | "alias"
    )
}

fn root(square: usize) -> Option<usize> {
    let root = square.isqrt();
    (root * root == square && root > 0).then_some(root)
}
