//! The bridge between two conventions' totals: a list of causes that sum exactly to the difference.
//!
//! Both conventions counted the same trace, so each count stands at a call. Where one counts a
//! module and the other an operator inside it, both speak of the same work: the outermost of the
//! calls is their *site*. At each site the parts of the two counts (`products`, `bias` …) are set
//! against each other, and the differences are added up by the kind of work and the part. Nothing
//! here knows any convention; the causes follow from what the two rule sets counted.

use std::collections::BTreeMap;

use modelcost_core::convention::Unit;
use modelcost_core::dim::Dim;
use modelcost_core::report::{Entry, Report};
use modelcost_core::trace::{CallId, ModuleId, Trace};
use serde::Serialize;
use smol_str::SmolStr;

use crate::category::{self, Category};

/// How the two conventions differ about some work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Only the second counts it.
    Added,
    /// Only the first counts it.
    Dropped,
    /// The second gives exactly as many times the first as the units differ by, two FLOPs a MAC.
    Unit,
    /// Both count it, by different rules.
    Changed,
    /// What the tools' arithmetic on their totals makes of the sums: averages, truncation.
    Rounding,
}

/// One cause of the difference.
#[derive(Clone, Debug, Serialize)]
pub struct Cause {
    /// The kind of work; none for rounding.
    pub category: Option<Category>,
    /// Which part of it, when the rules tell parts apart.
    pub part: Option<SmolStr>,
    /// How the conventions differ.
    pub kind: Kind,
    /// In words: "bias of convolutions, counted only by thop@0.0.31".
    pub title: String,
    /// What it adds to the first total on the way to the second.
    pub delta: Dim,
    /// The rules of the first convention that are involved, by position.
    pub from_rules: Vec<usize>,
    /// The rules of the second.
    pub to_rules: Vec<usize>,
    /// What each layer adds, largest first.
    pub layers: Vec<LayerDelta>,
}

/// One layer's share in a cause.
#[derive(Clone, Debug, Serialize)]
pub struct LayerDelta {
    /// The module's path.
    pub path: String,
    /// What it adds.
    pub delta: Dim,
}

/// From one total to another.
#[derive(Clone, Debug, Serialize)]
pub struct Bridge {
    /// The first convention's identity.
    pub from: String,
    /// The second's.
    pub to: String,
    /// The first total.
    pub from_count: Dim,
    /// The second.
    pub to_count: Dim,
    /// The causes, largest first. Their deltas sum to `to_count - from_count`.
    pub causes: Vec<Cause>,
}

#[derive(Default)]
struct Site {
    from: BTreeMap<SmolStr, (Dim, Vec<usize>)>,
    to: BTreeMap<SmolStr, (Dim, Vec<usize>)>,
}

/// The bridge between two reports on one trace; `None` when either counts parameters only.
pub fn bridge(trace: &Trace, from: &Report, to: &Report) -> Option<Bridge> {
    let (from_cost, to_cost) = (from.count.as_ref()?, to.count.as_ref()?);
    let sites = sites(trace, from, to);
    let paths: BTreeMap<ModuleId, String> = trace
        .named_modules()
        .into_iter()
        .map(|(path, id)| (id, path))
        .collect();
    let units = (from_cost.unit(), to_cost.unit());

    let mut causes: BTreeMap<(Option<Category>, Option<SmolStr>, Kind), Cause> = BTreeMap::new();
    let names = (from.convention.identity(), to.convention.identity());
    for (call, site) in &sites {
        let category = category::of_call(trace, *call);
        let path = paths
            .get(&trace.enclosing_module(*call))
            .cloned()
            .unwrap_or_default();
        for difference in differences(site, units) {
            if difference.delta == Dim::ZERO {
                continue;
            }
            let key = (Some(category), difference.part.clone(), difference.kind);
            let cause = causes.entry(key).or_insert_with(|| Cause {
                category: Some(category),
                title: title(
                    category,
                    difference.part.as_deref(),
                    difference.kind,
                    &names,
                ),
                part: difference.part,
                kind: difference.kind,
                delta: Dim::ZERO,
                from_rules: Vec::new(),
                to_rules: Vec::new(),
                layers: Vec::new(),
            });
            cause.delta += &difference.delta;
            extend_unique(&mut cause.from_rules, &difference.from_rules);
            extend_unique(&mut cause.to_rules, &difference.to_rules);
            match cause.layers.iter_mut().find(|layer| layer.path == path) {
                Some(layer) => layer.delta += &difference.delta,
                None => cause.layers.push(LayerDelta {
                    path: path.clone(),
                    delta: difference.delta,
                }),
            }
        }
    }
    let mut causes: Vec<Cause> = causes
        .into_values()
        .filter(|cause| cause.delta != Dim::ZERO)
        .collect();
    let rounding = &to.rounding - &from.rounding;
    if rounding != Dim::ZERO {
        causes.push(Cause {
            category: None,
            part: None,
            kind: Kind::Rounding,
            title: "what the tools do to the sum: averages over the batch, truncated fractions"
                .into(),
            delta: rounding,
            from_rules: Vec::new(),
            to_rules: Vec::new(),
            layers: Vec::new(),
        });
    }
    let size = |delta: &Dim| delta.approx().abs();
    causes.sort_by(|a, b| size(&b.delta).total_cmp(&size(&a.delta)));
    for cause in &mut causes {
        cause
            .layers
            .sort_by(|a, b| size(&b.delta).total_cmp(&size(&a.delta)));
    }
    let (from_count, to_count) = (from_cost.count().clone(), to_cost.count().clone());
    Some(Bridge {
        from: names.0,
        to: names.1,
        from_count,
        to_count,
        causes,
    })
}

fn extend_unique(into: &mut Vec<usize>, from: &[usize]) {
    for rule in from {
        if !into.contains(rule) {
            into.push(*rule);
        }
    }
}

/// The outermost counted calls, with what both conventions count at and inside each.
fn sites(trace: &Trace, from: &Report, to: &Report) -> BTreeMap<CallId, Site> {
    let mut counted: Vec<CallId> = from
        .entries
        .iter()
        .chain(&to.entries)
        .map(|entry| entry.call)
        .collect();
    counted.sort();
    counted.dedup();
    // Calls are in the order in which they begin, so the outermost come before what is inside.
    let mut site_of: BTreeMap<CallId, CallId> = BTreeMap::new();
    let mut open: Option<CallId> = None;
    for call in counted {
        let site = match open {
            Some(outer) if call < trace.call(outer).end => outer,
            _ => call,
        };
        open = Some(site);
        site_of.insert(call, site);
    }
    let mut sites: BTreeMap<CallId, Site> = BTreeMap::new();
    let mut add =
        |entry: &Entry, pick: fn(&mut Site) -> &mut BTreeMap<SmolStr, (Dim, Vec<usize>)>| {
            let Some(site) = site_of.get(&entry.call) else {
                return;
            };
            let part = pick(sites.entry(*site).or_default())
                .entry(entry.part.clone())
                .or_default();
            part.0 += &entry.count;
            extend_unique(&mut part.1, &[entry.rule]);
        };
    from.entries
        .iter()
        .for_each(|entry| add(entry, |site| &mut site.from));
    to.entries
        .iter()
        .for_each(|entry| add(entry, |site| &mut site.to));
    sites
}

struct Difference {
    part: Option<SmolStr>,
    kind: Kind,
    delta: Dim,
    from_rules: Vec<usize>,
    to_rules: Vec<usize>,
}

/// Part by part where both rules name the same parts, as wholes where they do not.
fn differences(site: &Site, units: (Unit, Unit)) -> Vec<Difference> {
    let shared = site.from.keys().any(|part| site.to.contains_key(part));
    let one_sided = site.from.is_empty() || site.to.is_empty();
    let parts: Vec<Option<SmolStr>> = if shared || one_sided {
        let mut parts: Vec<_> = site
            .from
            .keys()
            .chain(site.to.keys())
            .cloned()
            .map(Some)
            .collect();
        parts.sort();
        parts.dedup();
        parts
    } else {
        vec![None]
    };
    parts
        .into_iter()
        .map(|part| {
            let (from, from_rules) = pick(&site.from, part.as_ref());
            let (to, to_rules) = pick(&site.to, part.as_ref());
            let kind = match (from_rules.is_empty(), to_rules.is_empty()) {
                (true, _) => Kind::Added,
                (_, true) => Kind::Dropped,
                _ if units == (Unit::Mac, Unit::Flop) && to == &from * 2 => Kind::Unit,
                _ if units == (Unit::Flop, Unit::Mac) && from == &to * 2 => Kind::Unit,
                _ => Kind::Changed,
            };
            // A rule's only part is called `count`; it needs no name of its own.
            let part = part.filter(|part| part != "count");
            Difference {
                part,
                kind,
                delta: to - from,
                from_rules,
                to_rules,
            }
        })
        .collect()
}

fn pick(parts: &BTreeMap<SmolStr, (Dim, Vec<usize>)>, part: Option<&SmolStr>) -> (Dim, Vec<usize>) {
    let mut sum = (Dim::ZERO, Vec::new());
    for (name, (count, rules)) in parts {
        if part.is_none_or(|part| part == name) {
            sum.0 += count;
            extend_unique(&mut sum.1, rules);
        }
    }
    sum
}

fn title(
    category: Category,
    part: Option<&str>,
    kind: Kind,
    (from, to): &(String, String),
) -> String {
    let what = match part {
        Some(part) => format!("{part} of {category}"),
        None => category.to_string(),
    };
    match kind {
        Kind::Added => format!("{what}, counted only by {to}"),
        Kind::Dropped => format!("{what}, counted only by {from}"),
        Kind::Unit => format!("{what}: two FLOPs for each MAC"),
        Kind::Changed => format!("{what}, counted by different rules"),
        Kind::Rounding => what,
    }
}
