//! Conventions: the ways in which tools count, and the registry of them.
//!
//! A convention's identity is `tool@version/variant`. Each is a crate of its own that registers
//! itself with [`inventory::submit!`]; nothing else needs to know that it exists.

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;

use crate::dim::Dim;
use crate::fidelity::Layer;
use crate::formula::{CallScope, Formula};
use crate::report::{Entry, Report};
use crate::table::{Rule, Table};
use crate::trace::Trace;

/// What one unit of a count is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
pub enum Unit {
    /// A multiplication and an addition together.
    #[serde(rename = "MAC")]
    Mac,
    /// One floating-point operation.
    #[serde(rename = "FLOP")]
    Flop,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Mac => "MAC",
            Unit::Flop => "FLOP",
        })
    }
}

/// Multiply-accumulates.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Macs(pub Dim);

/// Floating-point operations.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Flops(pub Dim);

impl Macs {
    /// The operations of as many multiplications and additions: two each.
    pub fn to_flops(&self) -> Flops {
        Flops(&self.0 * 2)
    }
}

/// A count with its unit. The two kinds cannot be added by mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Multiply-accumulates.
    Macs(Macs),
    /// Floating-point operations.
    Flops(Flops),
}

impl Cost {
    /// A count in the given unit.
    pub fn new(unit: Unit, count: Dim) -> Cost {
        match unit {
            Unit::Mac => Cost::Macs(Macs(count)),
            Unit::Flop => Cost::Flops(Flops(count)),
        }
    }

    /// The number.
    pub fn count(&self) -> &Dim {
        match self {
            Cost::Macs(Macs(count)) | Cost::Flops(Flops(count)) => count,
        }
    }

    /// The unit.
    pub fn unit(&self) -> Unit {
        match self {
            Cost::Macs(_) => Unit::Mac,
            Cost::Flops(_) => Unit::Flop,
        }
    }
}

/// What a convention is called and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// The tool: `ptflops`.
    pub id: String,
    /// The version in the convention's identity: `0.7.5`.
    pub version: String,
    /// The variant: `pytorch`. Empty when there is one only.
    #[serde(default)]
    pub variant: String,
    /// The full release name, where it is longer than the version: `0.1.1.post2209072238`.
    #[serde(default)]
    pub release: String,
    /// The unit of its counts.
    pub unit: Unit,
    /// Whether what it calls a FLOP is a multiplication and an addition together.
    #[serde(default)]
    pub fused_flop: bool,
    /// In a line: what makes its number what it is.
    pub summary: String,
    /// In a sentence or two: what it counts and what it does not see.
    #[serde(default)]
    pub details: String,
    /// How its main number is obtained from the tool.
    pub source: String,
    /// Whether it counts operations at all; a parameter table does not.
    #[serde(default = "yes")]
    pub counts: bool,
    /// How likely a figure of unknown origin is to come from it.
    #[serde(default)]
    pub standing: Standing,
    /// Which calls its answer depends on; those of its rules where it does not say.
    #[serde(default)]
    pub sees: Vec<Layer>,
}

/// How likely a figure of unknown origin is to come from a convention, the likeliest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It comes with the framework.
    Builtin,
    /// A tool in wide use, as people call it.
    #[default]
    Common,
    /// An old release, a rare variant or a rarer tool.
    Rare,
    /// A formula that no tool prints.
    Ideal,
}

fn yes() -> bool {
    true
}

impl Info {
    /// `tool@version/variant`.
    pub fn identity(&self) -> String {
        let mut out = format!("{}@{}", self.id, self.version);
        if !self.variant.is_empty() {
            out.push('/');
            out.push_str(&self.variant);
        }
        out
    }

    /// The unit as tables show it: a dash where it counts no operations.
    pub fn shown_unit(&self) -> String {
        match self.counts {
            true => self.unit.to_string(),
            false => "–".into(),
        }
    }

    /// What one unit of its counts is in truth, whatever the tool calls it.
    pub fn work_unit(&self) -> Unit {
        if self.fused_flop {
            Unit::Mac
        } else {
            self.unit
        }
    }

    /// The refusal of a tool that has no rule for training, when training is asked for.
    pub fn forward_only(&self, options: &Options) -> Result<(), Failure> {
        if options.training {
            let message = format!("{} has no rule for the backward pass", self.identity());
            return Err(Failure::NotAvailable(message));
        }
        Ok(())
    }

    /// The failure of a tool whose own code raises.
    pub fn fails(&self, reason: impl Into<String>) -> Failure {
        Failure::Tool {
            tool: self.identity(),
            reason: reason.into(),
        }
    }
}

/// How to count.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Forward and backward, where the convention knows what a backward pass costs.
    pub training: bool,
}

/// Why a convention gives no answer for a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The tool itself raises on this model.
    #[error("{tool} fails on this model: {reason}")]
    Tool {
        /// The tool.
        tool: String,
        /// What it raises, in a sentence.
        reason: String,
    },
    /// The convention does not have what was asked for.
    #[error("{0}")]
    NotAvailable(String),
    /// A count does not fit in 128 bits.
    #[error("the count of {0} does not fit in 128 bits")]
    Overflow(String),
}

/// A way of counting: a fold over a trace.
pub trait Convention: Send + Sync {
    /// What it is, and the rules that it counts by.
    fn table(&self) -> &Table;

    /// What it is.
    fn info(&self) -> &Info {
        &self.table().info
    }

    /// Its rules, for the reference and for explanations.
    fn rules(&self) -> &[Rule] {
        self.table().rules.rules()
    }

    /// Counts a model.
    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure>;

    /// The text that the tool prints for a model, where the convention renders it line by line.
    fn printed(&self, trace: &Trace) -> Option<Result<String, Failure>> {
        let _ = trace;
        None
    }

    /// The formula that gave an entry of a report. Conventions whose rules are not all formulas
    /// give what a reader should see instead.
    fn formula(&self, entry: &Entry) -> Option<&Formula> {
        let rule = self.rules().get(entry.rule)?;
        rule.parts
            .iter()
            .find(|(part, _)| *part == entry.part)
            .map(|(_, formula)| formula)
    }

    /// The formula that gave an entry, with its values filled in. Conventions whose formulas use
    /// more names than [`CallScope`] has override this.
    fn with_values(&self, trace: &Trace, entry: &Entry) -> Option<String> {
        Some(self.formula(entry)?.with_values(&CallScope {
            trace,
            call: entry.call,
        }))
    }
}

/// A convention in the registry. The identity is here so that a lookup loads nothing else.
pub struct Registration {
    /// The tool.
    pub id: &'static str,
    /// The release.
    pub version: &'static str,
    /// The variant, or nothing.
    pub variant: &'static str,
    /// Whether a name without a variant means this one.
    pub default_variant: bool,
    /// Where the tool stands in lists: the better known first.
    pub order: u32,
    /// Loads it; cheap after the first time.
    pub load: fn() -> &'static dyn Convention,
}

inventory::collect!(Registration);

impl Registration {
    /// `tool@version/variant`.
    pub fn identity(&self) -> String {
        let slash = if self.variant.is_empty() { "" } else { "/" };
        format!("{}@{}{slash}{}", self.id, self.version, self.variant)
    }
}

/// All registered conventions: by tool, newest release first, default variant first.
pub fn all() -> Vec<&'static Registration> {
    let mut out: Vec<_> = inventory::iter::<Registration>().collect();
    out.sort_by(|a, b| {
        (a.order, a.id)
            .cmp(&(b.order, b.id))
            .then_with(|| compare_versions(b.version, a.version))
            .then_with(|| (!a.default_variant, a.variant).cmp(&(!b.default_variant, b.variant)))
    });
    out
}

/// Why a name finds no convention.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no convention '{name}'{}", hint(.candidates))]
pub struct NotFound {
    /// What was asked for.
    pub name: String,
    /// Names that exist and are close.
    pub candidates: Vec<String>,
}

fn hint(candidates: &[String]) -> String {
    match candidates {
        [] => "; 'modelcost conventions' lists what there is".into(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

/// Finds `tool`, `tool@version`, `tool/variant` or `tool@version/variant`. Without a version the
/// newest; without a variant the default one.
pub fn find(name: &str) -> Result<&'static dyn Convention, NotFound> {
    lookup(name).map(|registration| (registration.load)())
}

/// As [`find`], without loading.
pub fn lookup(name: &str) -> Result<&'static Registration, NotFound> {
    let (tool, variant) = match name.split_once('/') {
        Some((tool, variant)) => (tool, Some(variant)),
        None => (name, None),
    };
    let (id, version) = match tool.split_once('@') {
        Some((id, version)) => (id, Some(version)),
        None => (tool, None),
    };
    let registrations = all();
    let candidates = || {
        let registrations = registrations.iter().copied();
        registrations.filter(|registration| {
            registration.id == id
                && variant.map_or(registration.default_variant, |variant| {
                    registration.variant == variant
                })
        })
    };
    let found = match version {
        None => candidates().next(),
        Some(version) => candidates()
            .find(|registration| registration.version == version)
            .or_else(|| candidates().find(|registration| is_of(registration, version))),
    };
    found.ok_or_else(|| {
        let same_tool: Vec<_> = registrations
            .iter()
            .filter(|r| r.id == id)
            .map(|r| r.identity())
            .collect();
        let candidates = if same_tool.is_empty() {
            let names = registrations.iter().map(|r| r.id);
            closest(id, names)
                .map(|name| vec![name.to_string()])
                .unwrap_or_default()
        } else {
            same_tool
        };
        NotFound {
            name: name.into(),
            candidates,
        }
    })
}

/// `0.1` is of 0.1.1, and `0.1.1.post2209072238` too, if that is the full name of its release.
/// Another post-release may count otherwise.
fn is_of(registration: &Registration, asked: &str) -> bool {
    let extends = |long: &str, short: &str| {
        long.strip_prefix(short)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    extends(registration.version, asked)
        || (extends(asked, registration.version) && (registration.load)().info().release == asked)
}

/// By number; of two that differ only in a suffix (`.post2001170342`), the shorter is the later: it
/// stands for the last of them.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let parts = |version: &str| -> Vec<u64> {
        version
            .split('.')
            .filter_map(|part| part.parse().ok())
            .collect()
    };
    parts(a).cmp(&parts(b)).then_with(|| b.len().cmp(&a.len()))
}

/// The candidate nearest to a misspelt name, if one is near enough to be meant.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words, an exchange of two neighbouring letters counting as one.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substitution = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitution.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        assert_eq!(compare_versions("0.10.0", "0.9.9"), Ordering::Greater);
        assert_eq!(
            compare_versions("0.0.31", "0.0.31.post2001"),
            Ordering::Greater
        );
        assert_eq!(
            compare_versions("0.0.30", "0.0.31.post2001"),
            Ordering::Less
        );
    }

    #[test]
    fn suggests_near_names() {
        assert_eq!(
            closest("Cnv2d", ["Conv1d", "Conv2d", "Linear"]),
            Some("Conv2d")
        );
        assert_eq!(closest("Lienar", ["Conv2d", "Linear"]), Some("Linear"));
        assert_eq!(closest("Attention", ["Conv2d", "Linear"]), None);
    }
}
