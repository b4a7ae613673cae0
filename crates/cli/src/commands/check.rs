//! Budgets, for CI and pre-commit: exit status 1 over budget.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use modelcost_analysis::budget::{Baseline, Budget, Change, Quantity, changes};
use modelcost_analysis::settings::{CONFIG_FILE, Partial, parse_config};
use modelcost_core::convention::Convention;
use modelcost_core::dim::Dim;
use modelcost_reader::{Model, Opened, no_graph, open_any};
use serde::Serialize;

use super::convention;
use super::explain::count;
use crate::args::{CheckArgs, CheckFormat};
use crate::errors::Failed;
use crate::render::json_text;
use crate::units::grouped;

/// One budget against one model.
#[derive(Serialize)]
struct Verdict {
    model: String,
    convention: String,
    quantity: Quantity,
    limit: u128,
    value: Option<Dim>,
    ok: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
    message: String,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    ok: bool,
    checks: &'a [Verdict],
}

pub fn run(args: &CheckArgs) -> Result<String, Failed> {
    let options = args.read.options().map_err(Failed::input)?;
    let baseline = args.baseline.as_deref().map(read_baseline).transpose()?;
    let mut verdicts = Vec::new();
    for path in &args.models {
        let settings = settings_for(path)?;
        let default = args
            .convention
            .clone()
            .or_else(|| settings.convention.clone());
        let mut budgets = settings
            .budgets()
            .map_err(|error| Failed::input(format!("modelcost.toml: {error}")))?;
        for (key, limit) in [("count", &args.max_count), ("params", &args.max_params)] {
            if let Some(limit) = limit {
                // What is on the command line replaces what the project says.
                let budget =
                    Budget::parse(key, limit).map_err(|error| Failed::input(error.to_string()))?;
                budgets.retain(|other| other.quantity != budget.quantity);
                budgets.push(budget);
            }
        }
        if budgets.is_empty() && baseline.is_none() {
            return Err(Failed::input(
                "nothing to check: give --max-count, --max-params or --baseline, or a [budget] in modelcost.toml",
            ));
        }
        let only_params =
            default.is_none() && baseline.is_none() && budgets.iter().all(is_of_params);
        let opened = open_any(path, &options).map_err(|error| Failed::open(&error))?;
        let model = match opened {
            Opened::Model(model) => model,
            Opened::Checkpoint(checkpoint) if only_params => {
                let params = checkpoint.model.totals.params;
                verdicts.extend(
                    budgets
                        .iter()
                        .map(|budget| of_checkpoint(path, params, budget)),
                );
                continue;
            }
            Opened::Checkpoint(_) => return Err(Failed::open(&no_graph(path))),
        };
        for budget in &budgets {
            let name = budget
                .convention
                .clone()
                .or(default.clone())
                .unwrap_or_else(|| "torchinfo".into());
            verdicts.push(verdict(&model, convention(&name)?, budget)?);
        }
        if let Some(baseline) = &baseline {
            let name = args
                .convention
                .clone()
                .unwrap_or_else(|| baseline.convention.identity());
            verdicts.push(against(&model, convention(&name)?, baseline)?);
        }
    }
    let ok = verdicts.iter().all(|verdict| verdict.ok);
    let text = match args.format {
        CheckFormat::Json => json_text(&Document {
            schema: "modelcost-check/1",
            ok,
            checks: &verdicts,
        }),
        CheckFormat::Text => text(&verdicts),
        CheckFormat::Github => verdicts.iter().map(annotation).collect(),
    };
    if ok {
        Ok(text)
    } else {
        Err(Failed::check(text))
    }
}

/// Whether a budget asks for parameters, whoever counts them: a checkpoint has those.
fn is_of_params(budget: &Budget) -> bool {
    budget.quantity == Quantity::Params && budget.convention.is_none()
}

fn of_checkpoint(path: &Path, params: u128, budget: &Budget) -> Verdict {
    let value = i128::try_from(params).map_or(Dim::Overflow, Dim::Const);
    let ok = budget.allows(&value) == Some(true);
    let word = if ok { "within" } else { "over" };
    Verdict {
        model: path.display().to_string(),
        convention: "parameters".into(),
        quantity: budget.quantity,
        limit: budget.limit.value(),
        message: format!(
            "{} parameters, {word} the budget of {}",
            grouped(&value),
            budget.limit
        ),
        value: Some(value),
        ok,
        changes: Vec::new(),
    }
}

fn verdict(model: &Model, convention: &dyn Convention, budget: &Budget) -> Result<Verdict, Failed> {
    let report = count(model, convention)?;
    let identity = convention.info().identity();
    let unit = match budget.quantity {
        Quantity::Count => format!("{}s", convention.info().unit),
        Quantity::Params => "parameters".into(),
    };
    let value = budget.value(&report);
    let (ok, message) = match value.as_ref().map(|value| (value, budget.allows(value))) {
        Some((value, Some(ok))) => {
            let word = if ok { "within" } else { "over" };
            (
                ok,
                format!(
                    "{} {unit} under {identity}, {word} the budget of {}",
                    grouped(value),
                    budget.limit
                ),
            )
        }
        Some((value, None)) => (
            false,
            format!(
                "{value} {unit} under {identity} is no number to check; bind the sizes with --dim"
            ),
        ),
        None => (false, format!("{identity} gives no number of {unit}")),
    };
    Ok(Verdict {
        model: model.path.display().to_string(),
        convention: identity,
        quantity: budget.quantity,
        limit: budget.limit.value(),
        value,
        ok,
        changes: Vec::new(),
        message,
    })
}

fn against(
    model: &Model,
    convention: &dyn Convention,
    baseline: &Baseline,
) -> Result<Verdict, Failed> {
    let report = count(model, convention)?;
    let identity = convention.info().identity();
    let before = baseline.total.count.unwrap_or(0);
    let value = report.count.as_ref().map(|cost| cost.count().clone());
    let now = value
        .as_ref()
        .and_then(Dim::as_const)
        .and_then(|value| u64::try_from(value).ok());
    let changes = changes(baseline, &report);
    let (ok, message) = match now {
        Some(now) if now <= before => (
            true,
            format!(
                "{} under {identity}, {} before",
                grouped(&now.into()),
                grouped(&before.into())
            ),
        ),
        Some(now) => (
            false,
            format!(
                "{} under {identity}, {} more than before",
                grouped(&now.into()),
                grouped(&(now - before).into())
            ),
        ),
        None => (
            false,
            format!("{identity} gives no number to compare; bind the sizes with --dim"),
        ),
    };
    Ok(Verdict {
        model: model.path.display().to_string(),
        convention: identity,
        quantity: Quantity::Count,
        limit: before.into(),
        value,
        ok,
        changes,
        message,
    })
}

fn text(verdicts: &[Verdict]) -> String {
    let mut out = String::new();
    for verdict in verdicts {
        let mark = if verdict.ok { "ok  " } else { "FAIL" };
        let _ = writeln!(out, "{mark} {}: {}", verdict.model, verdict.message);
        for change in &verdict.changes {
            let number =
                |value: Option<u64>| value.map_or("–".into(), |value| grouped(&value.into()));
            let path = if change.path.is_empty() {
                "(model)"
            } else {
                &change.path
            };
            let _ = writeln!(
                out,
                "       {path}: {} → {}",
                number(change.before),
                number(change.after)
            );
        }
    }
    out
}

/// GitHub's workflow commands: `::error file=…::message`.
fn annotation(verdict: &Verdict) -> String {
    let escape = |text: &str| {
        text.replace('%', "%25")
            .replace('\n', "%0A")
            .replace('\r', "%0D")
    };
    let level = if verdict.ok { "notice" } else { "error" };
    let file = escape(&verdict.model)
        .replace(':', "%3A")
        .replace(',', "%2C");
    format!(
        "::{level} file={file},title=modelcost::{}\n",
        escape(&verdict.message)
    )
}

/// The settings file nearest to a model, in its folder or one above.
fn settings_for(model: &Path) -> Result<Partial, Failed> {
    let start = std::fs::canonicalize(model).unwrap_or_else(|_| model.to_path_buf());
    let Some(path) = start
        .ancestors()
        .skip(1)
        .map(|folder| folder.join(CONFIG_FILE))
        .find(|path| path.is_file())
    else {
        return Ok(Partial::default());
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failed::input(format!("cannot read {}: {error}", path.display())))?;
    let (settings, diagnostics) = parse_config(&text);
    match diagnostics.into_iter().next() {
        None => Ok(settings),
        Some(first) => {
            let message = match &first.help {
                Some(help) => format!("{}; {help}", first.message),
                None => first.message,
            };
            Err(Failed::at(
                &message,
                &path,
                &text,
                first.span.unwrap_or(0..0),
            ))
        }
    }
}

fn read_baseline(path: &Path) -> Result<Baseline, Failed> {
    let path: PathBuf = path.into();
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failed::input(format!("cannot read {}: {error}", path.display())))?;
    serde_json::from_str(&text).map_err(|error| {
        let mend = "write a baseline with: modelcost MODEL --format json > baseline.json";
        Failed::input(format!("{}: {error}; {mend}", path.display()))
    })
}
