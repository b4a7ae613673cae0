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
use crate::wording;

/// How the two conventions differ about some work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Only the second counts it.
    Added,
    /// Only the first counts it.
    Dropped,
    /// What the units alone make of the first: two FLOPs a MAC.
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
    from: BTreeMap<SmolStr, Counted>,
    to: BTreeMap<SmolStr, Counted>,
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
    let units = (from.convention.work_unit(), to.convention.work_unit());

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
            let part = difference
                .part
                .filter(|part| wording::tells_more(part, category));
            let key = (Some(category), part.clone(), difference.kind);
            let cause = causes.entry(key).or_insert_with(|| Cause {
                category: Some(category),
                title: wording::title(category, part.as_deref(), difference.kind, units, &names),
                part,
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
            title: wording::ROUNDING.into(),
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
    let mut add = |entry: &Entry, pick: fn(&mut Site) -> &mut BTreeMap<SmolStr, Counted>| {
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

/// What one rule set gives for a part: the count, and the rules behind it.
type Counted = (Dim, Vec<usize>);

struct Difference {
    part: Option<SmolStr>,
    kind: Kind,
    delta: Dim,
    from_rules: Vec<usize>,
    to_rules: Vec<usize>,
}

/// What two rule sets say about the same work, part by part where the parts can be told apart.
fn differences(site: &Site, units: (Unit, Unit)) -> Vec<Difference> {
    let (mut from, mut to) = (site.from.clone(), site.to.clone());
    let mut out = Vec::new();
    // Parts that both name.
    let shared: Vec<SmolStr> = from
        .keys()
        .filter(|part| to.contains_key(*part))
        .cloned()
        .collect();
    for part in shared {
        if let (Some(a), Some(b)) = (from.remove(&part), to.remove(&part)) {
            out.extend(pair(Some(part), &a, &b, units));
        }
    }
    // Where one rule set gives a single number, the parts of the other that make it up.
    if to.len() == 1
        && let Some((part, total)) = to.first_key_value()
        && let Some(same) = making_up(&from, |sum| equal(sum, &total.0, units))
    {
        let (name, sum) = take(&mut from, &same, part);
        out.extend(pair(name, &sum, total, units));
        to.clear();
    } else if from.len() == 1
        && let Some((part, total)) = from.first_key_value()
        && let Some(same) = making_up(&to, |sum| equal(&total.0, sum, units))
    {
        let (name, sum) = take(&mut to, &same, part);
        out.extend(pair(name, total, &sum, units));
        from.clear();
    }
    // What is left on both sides cannot be told apart; on one side alone it can.
    if !from.is_empty() && !to.is_empty() {
        out.extend(pair(None, &total(&from), &total(&to), units));
    } else {
        for (part, counted) in from {
            out.push(Difference {
                part: Some(part),
                kind: Kind::Dropped,
                delta: &Dim::ZERO - &counted.0,
                from_rules: counted.1,
                to_rules: Vec::new(),
            });
        }
        for (part, counted) in to {
            out.push(Difference {
                part: Some(part),
                kind: Kind::Added,
                delta: counted.0,
                from_rules: Vec::new(),
                to_rules: counted.1,
            });
        }
    }
    out
}

/// Two counts of the same work. What the units alone make of the first is told apart from what the
/// rules do.
fn pair(
    part: Option<SmolStr>,
    from: &Counted,
    to: &Counted,
    units: (Unit, Unit),
) -> Vec<Difference> {
    let difference = |kind, delta| Difference {
        part: part.clone(),
        kind,
        delta,
        from_rules: from.1.clone(),
        to_rules: to.1.clone(),
    };
    let (a, b) = (&from.0, &to.0);
    if *a == Dim::ZERO || *b == Dim::ZERO {
        return vec![difference(Kind::Changed, b - a)];
    }
    match units {
        (Unit::Mac, Unit::Flop) => vec![
            difference(Kind::Unit, a.clone()),
            difference(Kind::Changed, b - &(a * 2)),
        ],
        (Unit::Flop, Unit::Mac) => vec![
            difference(Kind::Unit, &Dim::ZERO - b),
            difference(Kind::Changed, &(b * 2) - a),
        ],
        _ => vec![difference(Kind::Changed, b - a)],
    }
}

/// Whether two counts say the same, each in its unit.
fn equal(from: &Dim, to: &Dim, units: (Unit, Unit)) -> bool {
    match units {
        (Unit::Mac, Unit::Flop) => *to == from * 2,
        (Unit::Flop, Unit::Mac) => *from == to * 2,
        _ => from == to,
    }
}

/// More parts than any rule has; beyond them no sums are tried.
const MOST_PARTS: usize = 10;

/// The parts whose sum passes a test: as many of them as can be.
fn making_up(
    parts: &BTreeMap<SmolStr, Counted>,
    test: impl Fn(&Dim) -> bool,
) -> Option<Vec<SmolStr>> {
    if parts.len() > MOST_PARTS {
        return None;
    }
    let mut subsets: Vec<u32> = (1..1u32 << parts.len()).collect();
    subsets.sort_by_key(|subset| std::cmp::Reverse(subset.count_ones()));
    let chosen = |subset: u32| {
        parts
            .iter()
            .enumerate()
            .filter(move |(index, _)| subset >> index & 1 == 1)
            .map(|(_, part)| part)
    };
    let fits = |subset: &u32| test(&chosen(*subset).map(|(_, counted)| counted.0.clone()).sum());
    let subset = subsets.into_iter().find(fits)?;
    Some(chosen(subset).map(|(part, _)| part.clone()).collect())
}

/// Takes parts out, added up. One part keeps its name, unless it only says that it is the count:
/// then the other side's says more.
fn take(
    parts: &mut BTreeMap<SmolStr, Counted>,
    names: &[SmolStr],
    other: &SmolStr,
) -> (Option<SmolStr>, Counted) {
    let mut taken = BTreeMap::new();
    for name in names {
        if let Some(counted) = parts.remove(name) {
            taken.insert(name.clone(), counted);
        }
    }
    let name = match names {
        [name] if name != WHOLE => Some(name.clone()),
        [_] => Some(other.clone()),
        _ => None,
    };
    (name, total(&taken))
}

fn total(parts: &BTreeMap<SmolStr, Counted>) -> Counted {
    let mut sum = (Dim::ZERO, Vec::new());
    for (count, rules) in parts.values() {
        sum.0 += count;
        extend_unique(&mut sum.1, rules);
    }
    sum
}

/// What the only part of a rule is called.
pub(crate) const WHOLE: &str = "count";
