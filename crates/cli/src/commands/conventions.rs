//! What conventions there are, and the rules of one.

use std::fmt::Write as _;

use modelcost_core::convention::{Convention, Unit};
use modelcost_core::table::Rule;
use serde::Serialize;

use super::{all_conventions, convention};
use crate::args::{ConventionsArgs, ListFormat};
use crate::errors::Failed;
use crate::render::json_text;

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    version: &'a str,
    variant: Option<&'a str>,
    release: &'a str,
    unit: Option<Unit>,
    summary: &'a str,
    source: &'a str,
    rules: Vec<RuleEntry<'a>>,
}

#[derive(Serialize)]
struct RuleEntry<'a> {
    targets: Vec<&'a str>,
    when: Option<&'a str>,
    parts: Vec<(&'a str, &'a str)>,
    source: &'a str,
    note: &'a str,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    conventions: Vec<Entry<'a>>,
}

pub fn run(args: &ConventionsArgs) -> Result<String, Failed> {
    let chosen: Vec<&'static dyn Convention> = match &args.convention {
        Some(name) => vec![convention(name)?],
        None => all_conventions(),
    };
    Ok(match args.format {
        ListFormat::Json => {
            let entries = chosen.iter().map(|convention| entry(*convention));
            json_text(&Document {
                schema: "modelcost-conventions/1",
                conventions: entries.collect(),
            })
        }
        ListFormat::Markdown => reference(&chosen),
        ListFormat::Table if args.convention.is_some() => {
            chosen.iter().map(|c| rules(*c)).collect()
        }
        ListFormat::Table => list(&chosen),
    })
}

fn entry(convention: &dyn Convention) -> Entry<'_> {
    let info = convention.info();
    Entry {
        id: &info.id,
        version: &info.version,
        variant: (!info.variant.is_empty()).then_some(&info.variant),
        release: if info.release.is_empty() {
            &info.version
        } else {
            &info.release
        },
        unit: info.counts.then_some(info.unit),
        summary: &info.summary,
        source: &info.source,
        rules: convention.rules().iter().map(rule_entry).collect(),
    }
}

fn rule_entry(rule: &Rule) -> RuleEntry<'_> {
    let parts = rule.parts.iter();
    RuleEntry {
        targets: rule.targets().map(|name| name.as_str()).collect(),
        when: rule.when.as_ref().map(|when| when.text().as_str()),
        parts: parts
            .map(|(part, formula)| (part.as_str(), formula.text().as_str()))
            .collect(),
        source: &rule.source,
        note: &rule.note,
    }
}

fn list(conventions: &[&dyn Convention]) -> String {
    let width = conventions
        .iter()
        .map(|c| c.info().identity().chars().count())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for convention in conventions {
        let info = convention.info();
        let unit = info.shown_unit();
        let _ = writeln!(
            out,
            "{:width$}  {unit:4}  {}",
            info.identity(),
            info.summary
        );
    }
    out
}

fn rules(convention: &dyn Convention) -> String {
    let info = convention.info();
    let mut out = format!(
        "{}  {}\n{}\n{}\n",
        info.identity(),
        info.summary,
        info.details,
        info.source
    );
    for rule in convention.rules() {
        let _ = writeln!(out, "\n{}", targets(rule, ""));
        if let Some(when) = &rule.when {
            let _ = writeln!(out, "    when {}", when.text());
        }
        for (part, formula) in &rule.parts {
            let label = if part == "count" {
                String::new()
            } else {
                format!("{part} = ")
            };
            let _ = writeln!(out, "    {label}{}", formula.text());
        }
        for line in [&rule.source, &rule.note]
            .into_iter()
            .filter(|line| !line.is_empty())
        {
            let _ = writeln!(out, "    {line}");
        }
    }
    out
}

fn targets(rule: &Rule, quote: &str) -> String {
    rule.targets()
        .map(|name| format!("{quote}{name}{quote}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// With a capital first letter and without a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// The reference page: every convention with its rules, as the programs hold them.
fn reference(conventions: &[&dyn Convention]) -> String {
    let mut out = String::from(
        "# Conventions\n\nGenerated from the rules by `modelcost conventions --format markdown`. \
         A formula's names are those of PyTorch: `in` is the first positional input, `out` the output, \
         the rest are arguments and attributes of what is called.\n",
    );
    for convention in conventions {
        let info = convention.info();
        let unit = if info.counts {
            format!("{}s", info.unit)
        } else {
            "parameters only".into()
        };
        let _ = write!(
            out,
            "\n## {}\n\n{}. {}. {}.\n\n",
            info.identity(),
            sentence(&info.summary),
            sentence(&info.details),
            info.source.trim_end_matches('.')
        );
        let release = if info.release.is_empty() {
            &info.version
        } else {
            &info.release
        };
        let _ = writeln!(out, "Release {release}, {unit}.");
        for rule in convention.rules() {
            let _ = write!(out, "\n- {}", targets(rule, "`"));
            if let Some(when) = &rule.when {
                let _ = write!(out, ", when `{}`", when.text());
            }
            out.push_str(":\n");
            for (part, formula) in &rule.parts {
                let label = if part == "count" {
                    String::new()
                } else {
                    format!("{part}: ")
                };
                let _ = writeln!(out, "  {label}`{}`  ", formula.text());
            }
            if !rule.note.is_empty() {
                let _ = writeln!(out, "  {}  ", rule.note);
            }
            if !rule.source.is_empty() {
                let _ = writeln!(out, "  *{}*", rule.source);
            }
        }
    }
    out
}
