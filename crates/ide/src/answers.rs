//! The workspace's answers about a place or a document: each looks the document up and asks the module that knows.

use std::fmt::Write as _;
use std::ops::Range;

use modelcost_analysis::figure::Figure;
use modelcost_analysis::reconcile::reconcile;
use modelcost_analysis::scenario::Scenario;
use modelcost_core::convention;
use modelcost_core::trace::Trace;

use crate::actions::{self, Action};
use crate::analysis::Analysis;
use crate::card;
use crate::completion::{self, Item};
use crate::config::{Settings, Units};
use crate::content::Content;
use crate::hints::Subject;
use crate::hover::{self, Hover};
use crate::model::Model;
use crate::names::{self, RenameError};
use crate::outline::OutlineItem;
use crate::signature::{self, SignatureHelp};
use crate::workspace::{Choice, Workspace};
use modelcost_analysis::format;

/// A line above the text that says something and may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lens {
    /// Where it belongs.
    pub span: Range<usize>,
    /// What it says.
    pub title: String,
    /// The command behind it, which takes the document's URI.
    pub command: Option<&'static str>,
}

/// The totals of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `tool@version/variant`
    pub convention: String,
    /// Who chose it.
    pub chosen: &'static str,
    /// The count with its unit, short.
    pub count: Option<String>,
    /// The parameters, short.
    pub params: Option<String>,
    /// The count, exact.
    pub count_exact: Option<String>,
    /// The parameters, exact.
    pub params_exact: Option<String>,
    /// Whether the text has an error and the figures are from before it.
    pub stale: bool,
}

impl Workspace {
    /// Answers about a model of any kind.
    fn with<T>(
        &mut self,
        uri: &str,
        answer: impl FnOnce(&Content, &Choice, &Settings, &str) -> T,
    ) -> Option<T> {
        let choice = self.choice(uri)?;
        let (settings, _) = self.settings(uri);
        self.content(uri)?;
        let (content, text) = self.known(uri)?;
        Some(answer(content, &choice, &settings, text))
    }

    /// Answers about a spec.
    fn with_spec<T>(
        &mut self,
        uri: &str,
        answer: impl FnOnce(&Analysis, &Choice, &Settings, &str) -> T,
    ) -> Option<T> {
        self.with(uri, |content, choice, settings, text| {
            Some(answer(content.spec()?, choice, settings, text))
        })?
    }

    /// What is said about the thing at an offset.
    pub fn hover(&mut self, uri: &str, offset: usize) -> Option<Hover> {
        self.with(uri, |content, choice, settings, text| match content {
            Content::Spec(analysis) => {
                hover::hover(analysis, choice.convention, settings, text, offset)
            }
            Content::Program(program) => {
                let (subject, span) = program.subject_at(offset)?;
                let markdown = card::card(&**program, choice.convention, settings, subject)?;
                Some(Hover { markdown, span })
            }
        })?
    }

    /// What a hint's subject costs and why.
    pub fn card(&mut self, uri: &str, subject: Subject) -> Option<String> {
        self.with(uri, |content, choice, settings, _| {
            card::card(content.subjects(), choice.convention, settings, subject)
        })?
    }

    /// What could be typed at an offset.
    pub fn completion(&mut self, uri: &str, offset: usize) -> Vec<Item> {
        if let Some(document) = self.document(uri).filter(|document| document.is_config()) {
            return completion::complete_config(document.buffer().text(), offset);
        }
        self.with_spec(uri, |analysis, _, _, text| {
            completion::complete(analysis, text, offset)
        })
        .unwrap_or_default()
    }

    /// The signature of the call at an offset.
    pub fn signature_help(&mut self, uri: &str, offset: usize) -> Option<SignatureHelp> {
        self.with_spec(uri, |analysis, _, _, text| {
            signature::signature_help(analysis, text, offset)
        })?
    }

    /// Where the name at an offset is defined, and where it is used; the definition first.
    pub fn occurrences(&mut self, uri: &str, offset: usize) -> Vec<Range<usize>> {
        let found = self.with(uri, |content, _, _, text| match content {
            Content::Spec(analysis) => names::occurrences(&analysis.document, text, offset)
                .map_or(Vec::new(), |(_, spans)| spans),
            Content::Program(program) => program.occurrences(text, offset),
        });
        found.unwrap_or_default()
    }

    /// The name at an offset, if it can be renamed.
    pub fn renamable(&mut self, uri: &str, offset: usize) -> Option<Range<usize>> {
        let spans = self.with_spec(uri, |analysis, _, _, text| {
            names::occurrences(&analysis.document, text, offset)
        })??;
        let here = |span: &Range<usize>| span.start <= offset && offset <= span.end;
        spans.1.into_iter().find(here)
    }

    /// The places where the name at an offset is to be replaced.
    pub fn rename(
        &mut self,
        uri: &str,
        offset: usize,
        new: &str,
    ) -> Option<Result<Vec<Range<usize>>, RenameError>> {
        self.with_spec(uri, |analysis, _, _, text| {
            names::rename(&analysis.document, text, offset, new)
        })
    }

    /// The structure of a document.
    pub fn outline(&mut self, uri: &str) -> Vec<OutlineItem> {
        self.with(uri, |content, _, _, text| content.outline(text))
            .unwrap_or_default()
    }

    /// The lines of a document that can be folded.
    pub fn folds(&mut self, uri: &str) -> Vec<(usize, usize)> {
        if self.content(uri).is_none() {
            return Vec::new();
        }
        match (self.known(uri), self.document(uri)) {
            (Some((content, _)), Some(document)) => content.folds(document.buffer()),
            _ => Vec::new(),
        }
    }

    /// What is offered at a range.
    pub fn actions(&mut self, uri: &str, range: Range<usize>) -> Vec<Action> {
        let diagnostics = self.diagnostics(uri);
        let Some(document) = self.document(uri) else {
            return Vec::new();
        };
        let mut out = actions::fixes(&diagnostics, document.buffer().text(), &range);
        let directive = self.directive(uri);
        let rest = self.with_spec(uri, |analysis, choice, _, text| {
            let fix = actions::fix_size(analysis, &diagnostics, text, &range);
            let mut rest: Vec<Action> = fix.into_iter().collect();
            rest.extend(actions::rewrites(analysis, text, range.start));
            let on_model = analysis
                .document
                .model_span
                .is_some_and(|span| span.touches(range.start));
            let on_directive = directive
                .as_ref()
                .is_some_and(|d| d.span.start <= range.end && range.start <= d.span.end);
            if on_model || on_directive {
                let own = choice.convention.info().identity();
                let mut offered = Vec::new();
                for registration in convention::all() {
                    // One release of each tool; the rest are for completion.
                    if registration.identity() != own && !offered.contains(&registration.id) {
                        offered.push(registration.id);
                        rest.push(actions::choose_in_file(directive.as_ref(), registration.id));
                    }
                }
            }
            rest
        });
        out.extend(rest.unwrap_or_default());
        out
    }

    /// The lenses of a document: the total, the convention, and a comparison.
    pub fn lenses(&mut self, uri: &str) -> Vec<Lens> {
        let (settings, _) = self.settings(uri);
        if !settings.lens {
            return Vec::new();
        }
        let Some(status) = self.status(uri) else {
            return Vec::new();
        };
        let Some(span) = self.content(uri).and_then(Content::head) else {
            return Vec::new();
        };
        let mut total: Vec<String> = Vec::new();
        total.extend(status.count.clone());
        total.extend(status.params.clone());
        if total.is_empty() {
            return Vec::new();
        }
        let stale = if status.stale {
            " (before the error)"
        } else {
            ""
        };
        let lens = |title: String, command| Lens {
            span: span.clone(),
            title,
            command,
        };
        vec![
            lens(
                format!("{}{stale}", total.join(" · ")),
                Some("modelcost.report"),
            ),
            lens(status.convention.clone(), Some("modelcost.pickConvention")),
            lens("compare".into(), Some("modelcost.compare")),
        ]
    }

    /// The convention and totals of a document.
    pub fn status(&mut self, uri: &str) -> Option<Status> {
        let choice = self.choice(uri)?;
        let (content, stale) = self.whole(uri)?;
        let numbers = content.subjects().model().numbers(choice.convention);
        // Half a model has no totals.
        let known = content.is_complete();
        let total = numbers.total().filter(|_| known);
        let total_params = numbers.total_params().filter(|_| known);
        Some(Status {
            convention: numbers.identity.clone(),
            chosen: choice.chosen.name(),
            count: total.map(|count| format::count(count, Units::Auto, numbers.unit)),
            params: total_params.map(|params| format::params(params, Units::Auto)),
            count_exact: total.map(format::exact),
            params_exact: total_params.map(format::exact),
            stale: stale || !known,
        })
    }

    /// The totals of a document under every convention, as Markdown.
    pub fn compare(&mut self, uri: &str) -> Option<String> {
        self.with(uri, |content, _, settings, _| {
            let name = &content.subjects().model().trace.name;
            format!(
                "# {name} under every convention\n\n{}",
                card::comparison_table(content.subjects(), settings)
            )
        })
    }

    /// What the tool prints for a document; a table of its layers where it prints nothing that is known.
    pub fn report(&mut self, uri: &str) -> Option<String> {
        self.with(uri, |content, choice, _, _| {
            let trace = &content.subjects().model().trace;
            let identity = choice.convention.info().identity();
            let mut out = format!("# {} as {identity} reports it\n\n", trace.name);
            match choice.convention.printed(trace) {
                Some(Ok(text)) => drop(write!(out, "```text\n{}\n```\n", text.trim_end())),
                Some(Err(failure)) => drop(writeln!(out, "{failure}")),
                None => out.push_str(&layer_table(content.subjects().model(), choice)),
            }
            out
        })
    }

    /// Which conventions give a figure for a document, as Markdown; or why the figure cannot be read.
    pub fn reconcile(&mut self, uri: &str, figure: &str) -> Option<Result<String, String>> {
        let figure: Figure = match figure.parse() {
            Ok(figure) => figure,
            Err(error) => return Some(Err(format!("{error}"))),
        };
        self.with(uri, |content, _, _, _| {
            Ok(readings(&content.subjects().model().trace, &figure))
        })
    }
}

fn readings(trace: &Trace, figure: &Figure) -> String {
    let conventions: Vec<_> = convention::all()
        .into_iter()
        .map(|registration| (registration.load)())
        .collect();
    let scenario = Scenario {
        changes: Vec::new(),
        surprise: 0,
        trace: trace.clone(),
    };
    let answer = reconcile(&[scenario], &conventions, figure, None);
    let fits = answer.readings.iter().any(|reading| reading.fits);
    let title = match fits {
        true => format!("# What gives {figure} for {}", trace.name),
        false => format!("# Nothing gives {figure} for {}; the nearest", trace.name),
    };
    let mut out =
        format!("{title}\n\n| convention | value | as | assuming | |\n|:--|--:|:--|:--|--:|\n");
    for reading in &answer.readings {
        let gap = if reading.fits {
            String::new()
        } else {
            format!("{:+.2} %", reading.gap * 100.0)
        };
        let assumed = reading.changes.join(", ");
        let value = format::exact(&modelcost_core::dim::Dim::Const(reading.value as i128));
        let _ = writeln!(
            out,
            "| {} | {value} | {}s | {assumed} | {gap} |",
            reading.convention, reading.unit
        );
    }
    if let Some(decide) = &answer.decide {
        let _ = writeln!(out, "\n{decide}");
    }
    out
}

fn layer_table(model: &Model, choice: &Choice) -> String {
    let numbers = model.numbers(choice.convention);
    let report = match &numbers.report {
        Ok(report) => report,
        Err(failure) => return failure.to_string(),
    };
    let mut out = format!(
        "| layer | class | output | parameters | {} |\n|:--|:--|:--|--:|--:|\n",
        numbers.unit
    );
    let shown = |value: &Option<modelcost_core::dim::Dim>| {
        value.as_ref().map_or(String::new(), format::exact)
    };
    for layer in &report.layers {
        let name = if layer.path.is_empty() {
            "(model)"
        } else {
            &layer.path
        };
        let shape = layer
            .output_shape
            .as_deref()
            .map_or(String::new(), format::shape);
        let (params, count) = (shown(&layer.params), shown(&layer.count));
        let _ = writeln!(
            out,
            "| {name} | {} | {shape} | {params} | {count} |",
            layer.class
        );
    }
    for extra in &report.extras {
        let _ = writeln!(out, "\n{}: {}", extra.name, extra.value);
    }
    out
}
