//! What a convention answers.

use std::collections::HashMap;

use serde::Serialize;
use smol_str::SmolStr;

use crate::convention::{Cost, Failure, Info};
use crate::dim::Dim;
use crate::fidelity::{Fidelity, Level};
use crate::table::{Counted, describe};
use crate::trace::{CallId, ModuleId, Shape, Trace};
use crate::value::Value;

/// A model's numbers under one convention.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which convention.
    pub convention: Info,
    /// The main number, in the convention's unit; `None` if it counts parameters only.
    pub count: Option<Cost>,
    /// The parameters as the tool reports them; `None` where it reports none.
    pub params: Option<Dim>,
    /// The trainable ones among them, where the tool tells them apart.
    pub trainable_params: Option<Dim>,
    /// How much of the answer the file holds.
    pub fidelity: Fidelity,
    /// One row for each module, in the tool's order.
    pub layers: Vec<Layer>,
    /// What was counted, call by call. With [`Report::rounding`] these sum to the count.
    pub entries: Vec<Entry>,
    /// What the tool's own arithmetic on the total adds to the sum of the entries: an average over
    /// a batch, a truncated float.
    pub rounding: Dim,
    /// Further figures that the tool prints, by its own names.
    pub extras: Vec<Extra>,
}

/// One row of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// The path from the root, whose own is empty.
    pub path: String,
    /// The class without its package.
    pub class: SmolStr,
    /// How deep the row stands.
    #[serde(skip)]
    pub depth: usize,
    /// How often it was called.
    pub calls: usize,
    /// Its count, or `None` where the tool gives none.
    pub count: Option<Dim>,
    /// Its parameters, or `None` where the tool gives none.
    pub params: Option<Dim>,
    /// The shape of its (first) output at its last call.
    pub output_shape: Option<Shape>,
    /// The module.
    #[serde(skip)]
    pub module: ModuleId,
    /// Whether the tool sums this row's children in it, so that a reader must not add them again.
    #[serde(skip)]
    pub is_container: bool,
}

/// A contribution to the count.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The call that it is for.
    pub call: CallId,
    /// The module that it is attributed to.
    pub module: ModuleId,
    /// The rule, by its position in the convention's list.
    pub rule: usize,
    /// Which part of the rule.
    pub part: SmolStr,
    /// How much, with its sign.
    pub count: Dim,
}

/// A further figure.
#[derive(Clone, Debug, Serialize)]
pub struct Extra {
    /// The tool's name for it: `Params size (MB)`.
    pub name: String,
    /// The value as the tool prints it.
    pub value: String,
    /// The exact number underneath, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<Dim>,
}

impl Report {
    /// An empty report for a convention, with the fidelity of the trace.
    pub fn new(info: &Info, trace: &Trace) -> Report {
        Report {
            convention: info.clone(),
            count: None,
            params: None,
            trainable_params: None,
            fidelity: trace.fidelity.seen_by(&info.sees),
            layers: Vec::new(),
            entries: Vec::new(),
            rounding: Dim::ZERO,
            extras: Vec::new(),
        }
    }
}

impl Report {
    /// Adds what a rule counted for a call.
    pub fn record(&mut self, trace: &Trace, call: CallId, counted: Counted) {
        let module = trace.enclosing_module(call);
        let rule = counted.rule;
        let entries = counted.parts.into_iter().map(|(part, count)| Entry {
            call,
            module,
            rule,
            part,
            count,
        });
        self.entries.extend(entries);
    }

    /// Sets the main number. The rest between it and the entries is the tool's rounding.
    pub fn set_count(&mut self, trace: &Trace, total: Dim) -> Result<(), Failure> {
        if total.is_overflow() {
            return Err(Failure::Overflow(trace.name.clone()));
        }
        if total.has_unknown() {
            let note = "the count depends on sizes that the file does not determine";
            self.fidelity.note(Level::Partial, note);
        }
        let sum: Dim = self.entries.iter().map(|entry| entry.count.clone()).sum();
        self.rounding = &total - &sum;
        self.count = Some(Cost::new(self.convention.unit, total));
        Ok(())
    }

    /// Notes that a call is left out of the count, and why.
    pub fn not_counted(&mut self, trace: &Trace, call: CallId, reason: &str) {
        let call = describe(trace, call);
        let note = format!("{call} is not counted: {reason}");
        self.fidelity.note(Level::Partial, note);
    }
}

/// The shape of a value's first tensor.
pub fn first_shape(trace: &Trace, value: &Value) -> Option<Shape> {
    value
        .tensors()
        .first()
        .and_then(|id| trace.tensor(*id).shape.clone())
}

/// A row for every module in the order of `named_modules()`: its calls and output shape, with the
/// numbers that `numbers` gives, `(count, params)`.
pub fn layers(
    trace: &Trace,
    mut numbers: impl FnMut(ModuleId) -> (Option<Dim>, Option<Dim>),
) -> Vec<Layer> {
    let calls = trace.calls_by_module();
    let mut out = Vec::new();
    for (path, id) in trace.named_modules() {
        let module = trace.module(id);
        let (count, params) = numbers(id);
        let last = calls[id.index()].last();
        out.push(Layer {
            depth: if path.is_empty() {
                0
            } else {
                path.matches('.').count() + 1
            },
            path,
            class: module.class.short_name().into(),
            calls: calls[id.index()].len(),
            count,
            params,
            output_shape: last.and_then(|call| first_shape(trace, &trace.call(*call).output)),
            module: id,
            is_container: !module.children.is_empty(),
        });
    }
    out
}

/// The sum of all entries in each module and the modules whose calls are made inside its calls.
pub fn inclusive_counts(trace: &Trace, entries: &[Entry]) -> HashMap<ModuleId, Dim> {
    use crate::trace::Target;
    let mut out: HashMap<ModuleId, Dim> = HashMap::new();
    for entry in entries {
        let mut seen = Vec::new();
        let mut at = Some(entry.call);
        while let Some(id) = at {
            let call = trace.call(id);
            if let Target::Module(module) = call.target
                && !seen.contains(&module)
            {
                seen.push(module);
                *out.entry(module).or_default() += &entry.count;
            }
            at = call.parent;
        }
    }
    out
}
