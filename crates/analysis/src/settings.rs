//! What a person can choose, in `modelcost.toml` and in an editor's settings: one set of names for the command line and
//! the editors.

use std::collections::BTreeMap;
use std::ops::Range;

use modelcost_core::convention::{self, lookup};
use modelcost_core::diagnostic::{Diagnostic, Suggestion};
use serde::Deserialize;
use smol_str::SmolStr;

use crate::budget::{Budget, BudgetError};
use crate::format::Units;

/// What hints show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HintSettings {
    /// Whether there are hints at all.
    pub enabled: bool,
    /// The output shape.
    pub shape: bool,
    /// The parameters.
    pub params: bool,
    /// The count.
    pub count: bool,
    /// The share of the count in the model's.
    pub share: bool,
    /// The batch dimension of shapes.
    pub batch: bool,
    /// How numbers are written.
    pub units: Units,
}

impl Default for HintSettings {
    fn default() -> HintSettings {
        HintSettings {
            enabled: true,
            shape: true,
            params: true,
            count: true,
            share: false,
            batch: false,
            units: Units::Auto,
        }
    }
}

/// All settings in force for a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the convention.
    pub convention: String,
    /// What hints show.
    pub hints: HintSettings,
    /// Whether there are code lenses.
    pub lens: bool,
    /// The conventions that a hover compares; all when empty.
    pub compare: Vec<String>,
    /// The sizes of free dimensions; those that are not here stay free.
    pub dims: BTreeMap<SmolStr, u64>,
    /// Budgets from `modelcost.toml`: `count`, `params`, `ptflops.count`, and the limit as written.
    pub budgets: Vec<(String, String)>,
}

/// The convention when nobody chose one; the command line has the same.
pub const DEFAULT_CONVENTION: &str = "torchinfo";

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            convention: DEFAULT_CONVENTION.into(),
            hints: HintSettings::default(),
            lens: true,
            compare: Vec::new(),
            // One sample, as tools are mostly run.
            dims: ["batch", "batch_size", "N"]
                .map(|name| (SmolStr::new_static(name), 1))
                .into(),
            budgets: Vec::new(),
        }
    }
}

/// Settings of which some are given: from the editor, or from `modelcost.toml`. Field names are those of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Partial {
    /// The name of the convention.
    pub convention: Option<String>,
    /// What hints show.
    pub hints: PartialHints,
    /// Whether there are code lenses.
    #[serde(rename = "codeLens", alias = "code_lens")]
    pub lens: Option<bool>,
    /// The conventions that a hover compares.
    pub compare: Option<Vec<String>>,
    /// The sizes of free dimensions; 0 leaves one free.
    pub dims: BTreeMap<SmolStr, u64>,
    /// Budgets.
    #[serde(skip)]
    pub budgets: Vec<(String, String)>,
}

/// The hint settings that are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PartialHints {
    pub enabled: Option<bool>,
    pub shape: Option<bool>,
    pub params: Option<bool>,
    pub count: Option<bool>,
    pub share: Option<bool>,
    pub batch: Option<bool>,
    pub units: Option<Units>,
}

impl Settings {
    /// Puts what is given over what there is.
    pub fn apply(&mut self, given: &Partial) {
        fn set<T: Clone>(value: &mut T, given: &Option<T>) {
            if let Some(given) = given {
                *value = given.clone();
            }
        }
        // An empty string in an editor's settings means "not set".
        if let Some(name) = given
            .convention
            .as_ref()
            .filter(|name| !name.trim().is_empty())
        {
            self.convention = name.trim().into();
        }
        set(&mut self.hints.enabled, &given.hints.enabled);
        set(&mut self.hints.shape, &given.hints.shape);
        set(&mut self.hints.params, &given.hints.params);
        set(&mut self.hints.count, &given.hints.count);
        set(&mut self.hints.share, &given.hints.share);
        set(&mut self.hints.batch, &given.hints.batch);
        set(&mut self.hints.units, &given.hints.units);
        set(&mut self.lens, &given.lens);
        set(&mut self.compare, &given.compare);
        for (name, size) in &given.dims {
            match size {
                0 => self.dims.remove(name),
                size => self.dims.insert(name.clone(), *size),
            };
        }
        self.budgets.extend(given.budgets.iter().cloned());
    }
}

impl Partial {
    /// The budgets, or the first line that is none.
    pub fn budgets(&self) -> Result<Vec<Budget>, BudgetError> {
        let budgets = self.budgets.iter();
        budgets
            .map(|(key, limit)| Budget::parse(key, limit))
            .collect()
    }
}

/// The name of the file with a folder's settings.
pub const CONFIG_FILE: &str = "modelcost.toml";

/// Reads a `modelcost.toml`. What is wrong with it is said, and the rest of it holds.
pub fn parse_config(text: &str) -> (Partial, Vec<Diagnostic>) {
    let (table, errors) = toml::de::DeTable::parse_recoverable(text);
    let mut diagnostics: Vec<Diagnostic> = errors
        .into_iter()
        .take(20)
        .map(|error| {
            Diagnostic::error(
                format!("TOML: {}", error.message()),
                error.span().unwrap_or(0..0),
            )
        })
        .collect();
    let mut partial = Partial::default();
    for (key, value) in table.get_ref() {
        let name = key.get_ref().as_ref();
        // One section at a time, so that a mistake in one leaves the others.
        let section = value.span();
        let parsed = match name {
            "budget" => {
                let mut read = Budgets {
                    text,
                    lines: &mut partial.budgets,
                    diagnostics: &mut diagnostics,
                };
                read.section(value, "", key.span());
                continue;
            }
            "convention" | "hints" | "code_lens" | "codeLens" | "compare" | "dims" => {
                let single = toml::de::DeTable::from_iter([(key.clone(), value.clone())]);
                let single = toml::Spanned::new(section.clone(), single);
                Partial::deserialize(toml::de::Deserializer::from(single))
            }
            _ => {
                let known = [
                    "convention",
                    "hints",
                    "code_lens",
                    "compare",
                    "dims",
                    "budget",
                ];
                let message = format!("{CONFIG_FILE} has no key '{name}'");
                diagnostics.push(unknown(message, name, key.span(), &known));
                continue;
            }
        };
        match parsed {
            Ok(given) => merge(&mut partial, given),
            Err(error) => {
                let span = error.span().unwrap_or(section);
                diagnostics.push(Diagnostic::error(error.message().to_string(), span));
            }
        }
        if name == "convention"
            && let Some(asked) = &partial.convention
        {
            diagnostics.extend(unknown_convention(asked, inside_quotes(text, value.span())));
        }
    }
    (partial, diagnostics)
}

fn merge(into: &mut Partial, given: Partial) {
    into.convention = into.convention.take().or(given.convention);
    into.lens = into.lens.or(given.lens);
    into.compare = into.compare.take().or(given.compare);
    into.dims.extend(given.dims);
    if given.hints != PartialHints::default() {
        into.hints = given.hints;
    }
}

/// Reads the `[budget]` section; a line that is none is said where it stands.
struct Budgets<'a> {
    text: &'a str,
    lines: &'a mut Vec<(String, String)>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Budgets<'_> {
    fn section(
        &mut self,
        value: &toml::Spanned<toml::de::DeValue<'_>>,
        path: &str,
        first: Range<usize>,
    ) {
        use toml::de::DeValue;
        let limit = match value.get_ref() {
            DeValue::Table(entries) => {
                for (key, value) in entries {
                    let own = key.get_ref();
                    let path = match path {
                        "" => own.to_string(),
                        path => format!("{path}.{own}"),
                    };
                    let first = match path.contains('.') {
                        true => first.clone(),
                        false => key.span(),
                    };
                    self.section(value, &path, first);
                }
                return;
            }
            DeValue::String(limit) => limit.to_string(),
            DeValue::Integer(limit) => limit.to_string(),
            DeValue::Float(limit) => limit.to_string(),
            _ => {
                let message = "a budget is a number such as \"600M\"";
                self.diagnostics
                    .push(Diagnostic::error(message, value.span()));
                return;
            }
        };
        self.line(path, limit, first, value.span());
    }

    /// One budget; `first` is where its key, or the first word of it, stands.
    fn line(&mut self, path: &str, limit: String, first: Range<usize>, value: Range<usize>) {
        let (place, error) = match Budget::parse(path, &limit) {
            Ok(budget) => {
                // A path is a table of one's own, which is looked for when it is used.
                let name = budget.convention.filter(|name| !name.ends_with(".toml"));
                if let Some(mut unknown) =
                    name.and_then(|name| unknown_convention(&name, first.clone()))
                {
                    // The mend is for the name, and a key in quotes is more than that.
                    let is_name = |text: &str| !text.starts_with(['"', '\'']);
                    unknown
                        .suggestion
                        .take_if(|_| !self.text.get(first).is_some_and(is_name));
                    self.diagnostics.push(unknown);
                }
                return self.lines.push((path.into(), limit));
            }
            Err(error @ BudgetError::Key(_)) => (first, error),
            Err(error @ BudgetError::Limit(_)) => (inside_quotes(self.text, value), error),
        };
        self.diagnostics
            .push(Diagnostic::error(error.to_string(), place));
    }
}

/// The error for a convention that does not exist, with the nearest that does.
pub fn unknown_convention(name: &str, span: Range<usize>) -> Option<Diagnostic> {
    let error = lookup(name).err()?;
    let mut diagnostic = Diagnostic::error(error.to_string(), span.clone());
    diagnostic.suggestion = error.candidates.first().map(|near| Suggestion {
        span,
        replacement: near.clone(),
    });
    Some(diagnostic)
}

fn unknown(message: String, name: &str, span: Range<usize>, known: &[&str]) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(message, span.clone());
    match convention::closest(name, known.iter().copied()) {
        Some(near) => {
            diagnostic.help = Some(format!("did you mean '{near}'?"));
            diagnostic.suggestion = Some(Suggestion {
                span,
                replacement: near.into(),
            });
        }
        None => diagnostic.help = Some(format!("it has {}", known.join(", "))),
    }
    diagnostic
}

fn inside_quotes(text: &str, span: Range<usize>) -> Range<usize> {
    match text.get(span.clone()) {
        Some(raw) if raw.len() >= 2 && raw.starts_with(['"', '\'']) => span.start + 1..span.end - 1,
        _ => span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a file, with the text that it is said of.
    fn said(text: &str) -> Vec<(String, &str)> {
        let (_, diagnostics) = parse_config(text);
        let said = diagnostics.into_iter().map(|diagnostic| {
            let place = diagnostic.span.unwrap_or(0..0);
            (diagnostic.message, &text[place])
        });
        said.collect()
    }

    #[test]
    fn budgets_are_checked_where_they_stand() {
        for (line, message, place) in [
            ("count = \"many\"", "'many' is not a figure", "many"),
            ("counts = \"1M\"", "'counts' is not a budget", "counts"),
            ("a.counts = \"1M\"", "'a.counts' is not a budget", "a"),
            ("count = [1]", "a budget is a number", "[1]"),
        ] {
            let text = format!("[budget]\n{line}\nparams = \"5M\"\n");
            let found = said(&text);
            assert_eq!(found.len(), 1, "{line}");
            assert!(found[0].0.starts_with(message), "{}", found[0].0);
            assert_eq!(found[0].1, place);
            let (settings, _) = parse_config(&text);
            assert_eq!(settings.budgets, [("params".into(), "5M".into())]);
        }
    }
}
