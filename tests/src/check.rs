//! Asks conventions about models and compares what they say with what the tools printed.

use std::path::Path;

use modelcost_core::convention::{Convention, Failure, Options, lookup};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::report::Report;
use modelcost_core::trace::Trace;
use serde_json::Value;

use crate::corpus::{Corpus, Expected};
use crate::layers;

/// Files of one kind.
#[derive(Clone, Copy)]
pub struct Reader {
    /// What comes after the model's name: `pt2`, `raw.onnx`, `toml`.
    pub extension: &'static str,
    /// Reads one; an error says why not.
    pub read: fn(&Path) -> Result<Trace, String>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// The main number, or that the tool has none.
    Count,
    /// The parameters.
    Params,
    /// Any other number that the tool gave.
    Other,
    /// Everything that it gave for every layer.
    Layers,
}

/// One comparison.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The tool's key in the corpus.
    pub tool: String,
    /// The model.
    pub model: String,
    /// What was compared.
    pub figure: Figure,
    /// `None` when equal; else what was expected and what came out.
    pub miss: Option<Miss>,
    /// How far the answer itself says that it can be trusted, if there is one.
    pub level: Option<Level>,
}

/// What was expected and what came out.
#[derive(Clone, Debug)]
pub struct Miss {
    /// Which number: `count`, `input_bytes`, a layer.
    pub what: String,
    /// What the tool printed.
    pub expected: String,
    /// What the convention says.
    pub got: String,
}

/// Every model that has a file of this kind, with every tool.
pub fn run(corpus: &Corpus, reader: Reader) -> Vec<Outcome> {
    let models: Vec<_> = corpus
        .models
        .iter()
        .filter_map(|model| Some((model, corpus.file(model, reader.extension)?)))
        .collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some((model, path)) = models.get(at) else {
                        break;
                    };
                    let outcomes = check_model(model, (reader.read)(path));
                    if let Ok(mut done) = done.lock() {
                        done.push((at, outcomes));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter()
        .flat_map(|(_, outcomes)| outcomes)
        .collect()
}

/// One model with every tool that the corpus has for it.
pub fn check_model(expected: &Expected, trace: Result<Trace, String>) -> Vec<Outcome> {
    let trace = match trace {
        Ok(trace) => trace,
        Err(error) => {
            return vec![Outcome {
                tool: "file".into(),
                model: expected.model.clone(),
                figure: Figure::Count,
                miss: Some(Miss {
                    what: "file".into(),
                    expected: "a trace".into(),
                    got: error,
                }),
                level: None,
            }];
        }
    };
    let mut outcomes = Vec::new();
    for (tool, answer) in &expected.tools {
        let mut compare = Compare {
            tool,
            model: &expected.model,
            outcomes: &mut outcomes,
            level: Some(trace.fidelity.level),
        };
        if tool == "params" {
            compare.parameters(&trace, answer);
            continue;
        }
        let name = if tool == "hook" { "hook@1" } else { tool };
        let Ok(registration) = lookup(name) else {
            compare.push(
                Figure::Count,
                Some(miss("convention", name, "not registered")),
            );
            continue;
        };
        let convention = (registration.load)();
        let report = convention.count(&trace, &Options::default());
        // That a tool fails on the model is an answer too, as good as the trace is.
        compare.level = Some(match &report {
            Ok(report) => report.fidelity.level,
            Err(_) => trace.fidelity.seen_by(&convention.info().sees).level,
        });
        compare.answer(answer, &report);
        if let (Ok(report), Some(layers)) = (&report, expected.layers.get(tool)) {
            compare.layers(convention, &trace, report, layers);
        }
    }
    outcomes
}

/// A difference.
pub fn miss(what: &str, expected: impl ToString, got: impl ToString) -> Miss {
    Miss {
        what: what.into(),
        expected: expected.to_string(),
        got: got.to_string(),
    }
}

struct Compare<'a> {
    tool: &'a str,
    model: &'a str,
    outcomes: &'a mut Vec<Outcome>,
    level: Option<Level>,
}

impl Compare<'_> {
    fn push(&mut self, figure: Figure, miss: Option<Miss>) {
        self.outcomes.push(Outcome {
            tool: self.tool.into(),
            model: self.model.into(),
            figure,
            miss,
            level: self.level,
        });
    }

    fn number(&mut self, figure: Figure, what: &str, expected: &Value, got: Option<&Dim>) {
        let Some(expected) = expected.as_i64().map(i128::from) else {
            return;
        };
        let is_equal = got.and_then(Dim::as_const) == Some(expected);
        let miss = (!is_equal).then(|| {
            let got = got.map_or("nothing".into(), Dim::to_string);
            miss(what, expected, got)
        });
        self.push(figure, miss);
    }

    /// The model's own parameters, without any tool.
    fn parameters(&mut self, trace: &Trace, answer: &Value) {
        let (total, trainable) = trace.parameter_count(Trace::ROOT);
        self.number(Figure::Params, "total", &answer["total"], Some(&total));
        self.number(
            Figure::Other,
            "trainable",
            &answer["trainable"],
            Some(&trainable),
        );
    }

    fn answer(&mut self, answer: &Value, report: &Result<Report, Failure>) {
        if let Some(error) = answer.get("error") {
            let miss = match report {
                Err(Failure::Tool { .. }) => None,
                Err(other) => Some(miss("error", error, other)),
                Ok(report) => Some(miss("error", error, count_of(report))),
            };
            self.push(Figure::Count, miss);
            return;
        }
        let report = match report {
            Ok(report) => report,
            Err(failure) => {
                let expected = answer.get("count").unwrap_or(&answer["params"]);
                self.push(Figure::Count, Some(miss("count", expected, failure)));
                return;
            }
        };
        let Some(fields) = answer.as_object() else {
            return;
        };
        for (field, value) in fields {
            let extra = |name: &str| {
                let found = report.extras.iter().find(|extra| extra.name == name);
                found.and_then(|extra| extra.exact.clone())
            };
            match field.as_str() {
                "count" => {
                    let count = report.count.as_ref().map(|cost| cost.count());
                    self.number(Figure::Count, field, value, count);
                }
                "params" => self.number(Figure::Params, field, value, report.params.as_ref()),
                "trainable" => {
                    let trainable = report.trainable_params.as_ref();
                    self.number(Figure::Other, field, value, trainable);
                }
                other => {
                    let name = extra_name(other);
                    self.number(Figure::Other, field, value, extra(name).as_ref());
                }
            }
        }
    }

    fn layers(
        &mut self,
        convention: &dyn Convention,
        trace: &Trace,
        report: &Report,
        expected: &Value,
    ) {
        let misses = match (convention.info().id.as_str(), expected) {
            ("torchinfo", Value::Array(rows)) => layers::torchinfo(trace, rows),
            (_, Value::String(text)) => layers::printed(convention, trace, text),
            (_, Value::Object(rows)) => layers::by_path(trace, report, rows),
            _ => vec![miss("layers", "a known shape", expected)],
        };
        if misses.is_empty() {
            self.push(Figure::Layers, None);
        }
        for miss in misses {
            self.push(Figure::Layers, Some(miss));
        }
    }
}

fn count_of(report: &Report) -> String {
    let count = report.count.as_ref();
    count.map_or("no count".into(), |cost| cost.count().to_string())
}

/// The names that conventions give to the corpus's further figures.
fn extra_name(field: &str) -> &str {
    match field {
        "input_bytes" => "Input size (MB)",
        "output_bytes" => "Forward/backward pass size (MB)",
        "param_bytes" => "Params size (MB)",
        "non_trainable" => "Non-trainable params",
        other => other,
    }
}
