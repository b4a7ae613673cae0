//! What a thing costs, as Markdown: for hovers and for the tooltips of hints.

use std::fmt::Write as _;

use modelcost_core::convention::{self, Convention};
use modelcost_core::dim::Dim;
use modelcost_core::report::Entry;
use modelcost_core::table::describe;

use crate::config::Settings;
use crate::hints::Subject;
use crate::model::{Facts, Subjects};
use crate::numbers::Numbers;
use modelcost_analysis::format;

/// More formulas than this are a page, not a card.
const MAX_FORMULAS: usize = 4;

/// The card of a subject: title, what it gives and holds, what the convention counts and why, and what the others say.
pub fn card(
    subjects: &dyn Subjects,
    convention: &dyn Convention,
    settings: &Settings,
    subject: Subject,
) -> Option<String> {
    if subject == Subject::Model {
        return model_card(subjects, convention, settings);
    }
    let facts = subjects.facts(subject);
    let mut out = title(subjects, subject, &facts)?;
    let numbers = subjects.model().numbers(convention);
    out.push_str(&counted(subjects, convention, &numbers, &facts));
    out.push_str(&comparison(subjects, settings, &numbers, |numbers| {
        subjects.model().count(numbers, &facts.calls)
    }));
    Some(out)
}

fn title(subjects: &dyn Subjects, subject: Subject, facts: &Facts) -> Option<String> {
    let mut out = subjects.title(subject)?;
    if facts.times > 1 {
        let _ = write!(out, " · ×{}", facts.times);
    }
    out.push_str("\n\n");
    let mut line = Vec::new();
    if let Some((first, last)) = &facts.shapes {
        let shape = match first == last {
            true => format::shape(first),
            false => format!("{} … {}", format::shape(first), format::shape(last)),
        };
        let dtype = facts
            .dtype
            .map_or(String::new(), |dtype| format!(" {dtype}"));
        line.push(format!("→ `{shape}`{dtype}"));
    }
    if let Some(params) = &facts.params {
        line.push(format!("{} parameters", format::exact(params)));
    }
    if !line.is_empty() {
        let _ = writeln!(out, "{}\n", line.join(" · "));
    }
    Some(out)
}

/// What the convention counts, with the formulas and their values.
fn counted(
    subjects: &dyn Subjects,
    convention: &dyn Convention,
    numbers: &Numbers,
    facts: &Facts,
) -> String {
    let mut out = String::new();
    let info = convention.info();
    let identity = &numbers.identity;
    if !numbers.counts {
        let _ = writeln!(out, "**{identity}** counts parameters only.\n");
        return out;
    }
    if let Err(failure) = &numbers.report {
        let _ = writeln!(out, "**{identity}**: {failure}\n");
        return out;
    }
    let Some(count) = subjects.model().count(numbers, &facts.calls) else {
        let _ = writeln!(out, "**{identity}**: not called\n");
        return out;
    };
    let _ = write!(
        out,
        "**{identity}**: **{}** {}",
        format::exact(&count),
        info.unit
    );
    if let Some(share) = numbers
        .total()
        .and_then(|total| format::share(&count, total, 2))
    {
        let _ = write!(out, " · {share} of the model");
    }
    out.push_str("\n\n");
    let entries: Vec<&Entry> = facts
        .calls
        .iter()
        .flat_map(|range| numbers.entries(range))
        .collect();
    if entries.is_empty() {
        let _ = writeln!(out, "No rule of {identity} counts it.\n");
        return out;
    }
    out.push_str(&formulas(subjects, convention, &entries));
    out
}

/// The rules that gave some entries, each once, with the formula, its values at the first of them, and its source.
fn formulas(subjects: &dyn Subjects, convention: &dyn Convention, entries: &[&Entry]) -> String {
    let mut out = String::new();
    let mut seen: Vec<(usize, &str)> = Vec::new();
    for entry in entries {
        if seen.contains(&(entry.rule, entry.part.as_str())) {
            continue;
        }
        if seen.len() == MAX_FORMULAS {
            out.push_str("…\n\n");
            break;
        }
        seen.push((entry.rule, entry.part.as_str()));
        out.push_str(&formula(subjects, convention, entry, entries));
    }
    out
}

fn formula(
    subjects: &dyn Subjects,
    convention: &dyn Convention,
    entry: &Entry,
    entries: &[&Entry],
) -> String {
    let same = |other: &&&Entry| other.rule == entry.rule && other.part == entry.part;
    let times = entries.iter().filter(same).count();
    let sum: Dim = entries
        .iter()
        .filter(same)
        .map(|entry| entry.count.clone())
        .sum();
    let mut out = String::new();
    let what = describe(&subjects.model().trace, entry.call);
    let part = if entry.part.is_empty() {
        String::new()
    } else {
        format!(" · {}", entry.part)
    };
    let _ = writeln!(out, "{what}{part}\n\n```python");
    if let Some(formula) = convention.formula(entry) {
        let _ = writeln!(out, "{}", formula.text());
    }
    let values = convention.with_values(&subjects.model().trace, entry);
    let result = format::exact(&entry.count);
    match values {
        Some(values) if values != result => drop(writeln!(out, "= {values}\n= {result}")),
        _ => drop(writeln!(out, "= {result}")),
    }
    out.push_str("```\n");
    if times > 1 {
        let _ = writeln!(
            out,
            "{times} times like this, {} in all\n",
            format::exact(&sum)
        );
    }
    if let Some(rule) = convention.rules().get(entry.rule) {
        if !rule.note.is_empty() {
            let _ = writeln!(out, "{}\n", rule.note);
        }
        if !rule.source.is_empty() {
            let _ = writeln!(out, "*{}*\n", rule.source);
        }
    }
    out
}

/// The same under every other convention.
fn comparison(
    subjects: &dyn Subjects,
    settings: &Settings,
    own: &Numbers,
    value: impl Fn(&Numbers) -> Option<Dim>,
) -> String {
    let mut rows = Vec::new();
    for other in compared(settings) {
        if other.info().identity() == own.identity || !other.info().counts {
            continue;
        }
        let numbers = subjects.model().numbers(other);
        let shown = match (&numbers.report, value(&numbers)) {
            (Err(_), _) => "fails".to_string(),
            (Ok(_), None) => "–".to_string(),
            (Ok(_), Some(count)) => format!("{} {}", format::exact(&count), numbers.unit),
        };
        rows.push(format!("| {} | {shown} |", numbers.identity));
    }
    match rows.is_empty() {
        true => String::new(),
        false => format!("| convention | |\n|:--|--:|\n{}\n", rows.join("\n")),
    }
}

/// The conventions that a table compares: those of the settings, or all.
pub fn compared(settings: &Settings) -> Vec<&'static dyn Convention> {
    match settings.compare.is_empty() {
        true => convention::all()
            .into_iter()
            .map(|registration| (registration.load)())
            .collect(),
        false => settings
            .compare
            .iter()
            .filter_map(|name| convention::find(name).ok())
            .collect(),
    }
}

fn model_card(
    subjects: &dyn Subjects,
    convention: &dyn Convention,
    settings: &Settings,
) -> Option<String> {
    let numbers = subjects.model().numbers(convention);
    let trace = &subjects.model().trace;
    let mut out = format!("**{}**\n\n", trace.name);
    for (name, id) in &trace.inputs {
        let tensor = trace.tensor(*id);
        let shape = tensor.shape.as_deref().map_or("?".into(), format::shape);
        let dtype = tensor
            .dtype
            .map_or(String::new(), |dtype| format!(" {dtype}"));
        let _ = writeln!(out, "`{name}`: `{shape}`{dtype}\n");
    }
    let (params, trainable) = trace.parameter_count(modelcost_core::trace::Trace::ROOT);
    let frozen = if params == trainable {
        String::new()
    } else {
        format!(", {} trained", format::exact(&trainable))
    };
    let _ = writeln!(out, "{} parameters{frozen}\n", format::exact(&params));
    match (&numbers.report, numbers.total()) {
        (Err(failure), _) => drop(writeln!(out, "**{}**: {failure}\n", numbers.identity)),
        (Ok(_), Some(total)) => {
            let _ = writeln!(
                out,
                "**{}**: **{}** {}\n",
                numbers.identity,
                format::exact(total),
                numbers.unit
            );
            let _ = writeln!(out, "{}\n", convention.info().summary);
        }
        (Ok(_), None) => drop(writeln!(
            out,
            "**{}** counts parameters only.\n",
            numbers.identity
        )),
    }
    if let Ok(report) = &numbers.report {
        for note in report.fidelity.notes.iter().take(5) {
            let _ = writeln!(out, "- {note}");
        }
    }
    out.push_str(&comparison(subjects, settings, &numbers, |numbers| {
        numbers.total().cloned()
    }));
    Some(out)
}

/// The totals under every convention, as a Markdown table: what the command `compare` shows.
pub fn comparison_table(subjects: &dyn Subjects, settings: &Settings) -> String {
    let mut out = String::from(
        "| convention | count | unit | parameters | what it counts |\n|:--|--:|:--|--:|:--|\n",
    );
    for convention in compared(settings) {
        let info = convention.info();
        let numbers = subjects.model().numbers(convention);
        let count = match (&numbers.report, numbers.total()) {
            (Err(failure), _) => failure.to_string().replace('|', "\\|"),
            (Ok(_), Some(total)) => format::exact(total),
            (Ok(_), None) => "–".into(),
        };
        let params = numbers.total_params().map_or("–".into(), format::exact);
        let unit = info.shown_unit();
        let _ = writeln!(
            out,
            "| {} | {count} | {unit} | {params} | {} |",
            numbers.identity,
            info.summary.replace('|', "\\|")
        );
    }
    out
}
