//! Budgets, for CI and pre-commit: exit status 1 over budget.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use modelcost_analysis::budget::{Baseline, Budget, BudgetError, Change, Quantity, changes};
use modelcost_analysis::settings::{CONFIG_FILE, Partial, parse_config};
use modelcost_core::convention::Convention;
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_reader::{Model, Opened, no_graph, open_any};
use serde::Serialize;

use super::explain::count;
use super::{convention, expand};
use crate::args::{CheckArgs, CheckFormat};
use crate::errors::Failed;
use crate::files::read_text;
use crate::render::{fidelity_word, json_text, path_text};
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
    fidelity: Level,
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
    let baseline = args.baseline.as_deref().map(Earlier::read).transpose()?;
    let paths = expand(&args.models)?;
    if baseline.is_some() && paths.len() > 1 {
        return Err(Failed::input(
            "--baseline is the answer for one model; check each against its own",
        ));
    }
    let mut verdicts = Vec::new();
    for path in &paths {
        let settings = settings_for(path)?;
        let default = args
            .convention
            .clone()
            .or_else(|| settings.convention.clone());
        let opened = open_any(path, &options).map_err(|error| Failed::open(&error))?;
        let own = match &opened {
            Opened::Model(model) => own_budgets(model)?,
            Opened::Checkpoint(_) => Vec::new(),
        };
        let budgets = budgets(&settings, own, args)?;
        if budgets.is_empty() && baseline.is_none() {
            return Err(Failed::input(
                "nothing to check: give --max-count, --max-params or --baseline, or a [budget] in modelcost.toml or the spec",
            ));
        }
        let only_params =
            default.is_none() && baseline.is_none() && budgets.iter().all(is_of_params);
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
                .unwrap_or_else(|| baseline.identity());
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
        Err(Failed::Check(text))
    }
}

/// The limits for a model: those of the project, but for what the model itself sets, but for what the command line says.
fn budgets(settings: &Partial, own: Vec<Budget>, args: &CheckArgs) -> Result<Vec<Budget>, Failed> {
    let mut budgets = settings
        .budgets()
        .map_err(|error| Failed::input(format!("modelcost.toml: {error}")))?;
    for budget in own {
        let same = |other: &Budget| {
            other.quantity == budget.quantity && other.convention == budget.convention
        };
        budgets.retain(|other| !same(other));
        budgets.push(budget);
    }
    for (key, limit) in [("count", &args.max_count), ("params", &args.max_params)] {
        if let Some(limit) = limit {
            let budget =
                Budget::parse(key, limit).map_err(|error| Failed::input(error.to_string()))?;
            budgets.retain(|other| other.quantity != budget.quantity);
            budgets.push(budget);
        }
    }
    Ok(budgets)
}

/// The `[budget]` of a spec.
fn own_budgets(model: &Model) -> Result<Vec<Budget>, Failed> {
    let lines = model.budget.iter().map(|line| {
        Budget::parse(&line.key.name, &line.limit.name).map_err(|error| {
            let place = match error {
                BudgetError::Key(_) => line.key.span,
                BudgetError::Limit(_) => line.limit.span,
            };
            let text = model.text.as_deref().unwrap_or_default();
            Failed::at(&error.to_string(), &model.path, text, place.range())
        })
    });
    lines.collect()
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
        fidelity: Level::Exact,
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
                    "{} {unit} under {identity}{}, {word} the budget of {}",
                    grouped(value),
                    trusted(report.fidelity.level),
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
        fidelity: report.fidelity.level,
        changes: Vec::new(),
        message,
    })
}

/// How far a number can be trusted, where that is not all the way.
fn trusted(level: Level) -> String {
    match level {
        Level::Exact => String::new(),
        level => format!(" ({})", fidelity_word(level)),
    }
}

/// An answer that was printed earlier.
struct Earlier {
    path: PathBuf,
    baseline: Baseline,
    /// Its count, which is there and a number.
    count: u64,
    /// The shapes of the model's inputs, as JSON has them.
    inputs: Vec<(String, String)>,
}

impl Earlier {
    fn read(path: &Path) -> Result<Earlier, Failed> {
        let fail = |what: String| Failed::in_file(path, what);
        let mend = "write a baseline with: modelcost MODEL --format json > baseline.json";
        let json: serde_json::Value = serde_json::from_str(&read_text(path)?)
            .map_err(|error| fail(format!("{error}; {mend}")))?;
        if let Some(count) = json["total"]["count"].as_str() {
            return Err(fail(format!(
                "its count is {count}, which is no number to compare with; write the baseline \
                 with the sizes bound (--dim)"
            )));
        }
        let inputs = json["model"]["inputs"].as_array().into_iter().flatten();
        let inputs = inputs.map(|input| {
            let name = input["name"].as_str().unwrap_or_default();
            (name.to_owned(), shape(&input["shape"]))
        });
        let inputs = inputs.collect();
        let baseline: Baseline =
            serde_json::from_value(json).map_err(|error| fail(format!("{error}; {mend}")))?;
        let count = baseline.total.count.ok_or_else(|| {
            let identity = baseline.convention.identity();
            fail(format!("{identity} gave no count for that model"))
        })?;
        Ok(Earlier {
            path: path.into(),
            baseline,
            count,
            inputs,
        })
    }

    fn identity(&self) -> String {
        self.baseline.convention.identity()
    }

    /// The inputs then, if they were others.
    fn other_inputs(&self, model: &Model) -> Option<String> {
        let trace = &model.trace;
        let now = trace.inputs.iter().map(|(name, id)| {
            let sizes = trace.tensor(*id).shape.iter().flatten();
            let sizes: Vec<String> = sizes.map(Dim::to_string).collect();
            (name.to_string(), sizes.join("×"))
        });
        let now: Vec<(String, String)> = now.collect();
        let then = self
            .inputs
            .iter()
            .map(|(name, shape)| format!("{name} {shape}"));
        (!self.inputs.is_empty() && now != self.inputs).then(|| then.collect::<Vec<_>>().join(", "))
    }
}

/// `1×3×224×224` of a shape in JSON.
fn shape(json: &serde_json::Value) -> String {
    let sizes = json.as_array().into_iter().flatten();
    let sizes = sizes.map(|size| match size.as_str() {
        Some(symbol) => symbol.to_owned(),
        None => size.to_string(),
    });
    sizes.collect::<Vec<_>>().join("×")
}

fn against(
    model: &Model,
    convention: &dyn Convention,
    earlier: &Earlier,
) -> Result<Verdict, Failed> {
    let identity = convention.info().identity();
    if identity != earlier.identity() {
        return Err(Failed::input(format!(
            "{} was counted under {}, and not under {identity}: the two do not compare; leave \
             --convention out, or write the baseline again",
            earlier.path.display(),
            earlier.identity()
        )));
    }
    let report = count(model, convention)?;
    let unit = format!("{}s", convention.info().unit);
    let before = earlier.count;
    let value = report.count.as_ref().map(|cost| cost.count().clone());
    let now = value
        .as_ref()
        .and_then(Dim::as_const)
        .and_then(|value| u64::try_from(value).ok());
    let changes = changes(&earlier.baseline, &report);
    let (ok, mut message) = match now {
        Some(now) => {
            let compared = match now.cmp(&before) {
                Ordering::Less => format!("{} fewer than", grouped(&(before - now).into())),
                Ordering::Equal => "as many as".into(),
                Ordering::Greater => format!("{} more than", grouped(&(now - before).into())),
            };
            let now_text = grouped(&now.into());
            let trusted = trusted(report.fidelity.level);
            (
                now <= before,
                format!("{now_text} {unit} under {identity}{trusted}, {compared} before"),
            )
        }
        None => (
            false,
            format!("{identity} gives no number to compare; bind the sizes with --dim"),
        ),
    };
    if let Some(inputs) = earlier.other_inputs(model) {
        message.push_str(&format!(" (then at {inputs})"));
    }
    Ok(Verdict {
        model: model.path.display().to_string(),
        convention: identity,
        quantity: Quantity::Count,
        limit: before.into(),
        value,
        ok,
        fidelity: report.fidelity.level,
        changes,
        message,
    })
}

/// A change in words: `features.3: 224,088,768 → 233,425,800`.
fn change_text(change: &Change) -> String {
    let number = |value: Option<u64>| value.map_or("–".into(), |value| grouped(&value.into()));
    let path = path_text(&change.path);
    format!(
        "{path}: {} → {}",
        number(change.before),
        number(change.after)
    )
}

fn text(verdicts: &[Verdict]) -> String {
    let mut out = String::new();
    for verdict in verdicts {
        let mark = if verdict.ok { "ok  " } else { "FAIL" };
        let _ = writeln!(out, "{mark} {}: {}", verdict.model, verdict.message);
        for change in &verdict.changes {
            let _ = writeln!(out, "       {}", change_text(change));
        }
    }
    out
}

/// Layers that an annotation names; GitHub shows little more.
const MOST_CHANGES: usize = 10;

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
    let changes = verdict.changes.iter().take(MOST_CHANGES).map(change_text);
    let mut lines = vec![verdict.message.clone()];
    lines.extend(changes);
    if verdict.changes.len() > MOST_CHANGES {
        lines.push(format!(
            "… and {} more",
            verdict.changes.len() - MOST_CHANGES
        ));
    }
    format!(
        "::{level} file={file},title=modelcost::{}\n",
        escape(&lines.join("\n"))
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
    let text = read_text(&path)?;
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
