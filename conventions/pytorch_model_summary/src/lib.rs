//! Convention: pytorch_model_summary 0.1.2, as `summary(model, x)` prints it.
//!
//! It counts no operations. Its table has a row for each layer right below the root, in the order of
//! their first calls, and its totals are the sums of the rows: parameters that the root itself holds
//! and modules that are never called are in neither, a parameter that two rows share is in twice.

use once_cell::sync::Lazy;
use std::fmt::Write as _;

use modelcost_core::convention::{Convention, Failure, Options, Registration};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::report::{Extra, Layer, Report};
use modelcost_core::table::{Table, describe};
use modelcost_core::trace::{CallId, ModuleId, Shape, Target, Trace};
use modelcost_core::value::Value;

pub mod tree;

/// The default of `summary`.
const MAX_DEPTH: usize = 1;

/// pytorch_model_summary.
pub struct PytorchModelSummary {
    table: Table,
}

static SUMMARY: Lazy<PytorchModelSummary> = Lazy::new(|| PytorchModelSummary {
    table: Table::built_in(include_str!("../rules/pytorch_model_summary-0.1.2.toml")),
});

inventory::submit! { Registration {
    id: "pytorch_model_summary", version: "0.1.2", variant: "", default_variant: true, order: 130,
    load: || &*SUMMARY as &dyn Convention,
} }

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The layer.
    pub module: ModuleId,
    /// Its first call.
    pub call: CallId,
    /// `Conv2d-1`: its class, and its position from one.
    pub name: String,
    /// The shapes of all tensors that it returns.
    pub output_shape: Vec<Shape>,
    /// Its parameters.
    pub params: Dim,
    /// Those of them that are trained.
    pub trainable: Dim,
}

impl PytorchModelSummary {
    /// The table's rows.
    fn rows(&self, trace: &Trace) -> Result<Vec<Row>, Failure> {
        let shown = tree::shown(trace, MAX_DEPTH);
        let mut done = vec![false; trace.modules.len()];
        // Hooks run when calls end.
        let mut calls: Vec<_> = trace.calls().collect();
        calls.sort_by_key(|(id, call)| (call.end, std::cmp::Reverse(*id)));
        let mut rows = Vec::new();
        for (id, call) in calls {
            let Target::Module(module) = call.target else {
                continue;
            };
            let is_done = std::mem::replace(&mut done[module.index()], true);
            if is_done || !shown[module.index()] {
                continue;
            }
            let mut shapes = Vec::new();
            let mut output_shape = Vec::new();
            let inputs = call
                .positional()
                .try_for_each(|value| collect(trace, value, &mut shapes));
            inputs
                .and_then(|()| collect(trace, &call.output, &mut output_shape))
                .map_err(|NotSupported| {
                    let call = describe(trace, id);
                    let reason = format!("{call} takes or returns something other than tensors");
                    self.info()
                        .fails(format!("{reason}: Exception: Object not supported"))
                })?;
            let class = trace.module(module).class.short_name();
            let (params, trainable) = trace.parameter_count(module);
            rows.push(Row {
                module,
                call: id,
                name: format!("{class}-{}", rows.len() + 1),
                output_shape,
                params,
                trainable,
            });
        }
        Ok(rows)
    }
}

/// The table's rows, in order.
pub fn rows(trace: &Trace) -> Result<Vec<Row>, Failure> {
    SUMMARY.rows(trace)
}

struct NotSupported;

/// `shapes`: of every tensor in nested tuples and lists; nothing else is taken.
fn collect(trace: &Trace, value: &Value, shapes: &mut Vec<Shape>) -> Result<(), NotSupported> {
    match value {
        Value::Tensor(id) => {
            let shape = trace.tensor(*id).shape.clone();
            shapes.push(shape.unwrap_or_else(|| vec![Dim::unknown(format!("size{}", id.index()))]));
            Ok(())
        }
        Value::Tuple(items) | Value::List(items) => items
            .iter()
            .try_for_each(|item| collect(trace, item, shapes)),
        _ => Err(NotSupported),
    }
}

/// The text that `summary(model, x)` returns.
pub fn table(rows: &[Row]) -> String {
    let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0).max(15) + 3;
    let shapes: Vec<String> = rows
        .iter()
        .map(|row| shape_text(&row.output_shape))
        .collect();
    let layer_width = longest(&mut rows.iter().map(|row| row.name.chars().count()));
    let shape_width = longest(&mut shapes.iter().map(|shape| shape.chars().count()));
    let width = 35 + layer_width + shape_width;
    let (thin, thick) = ("-".repeat(width), "=".repeat(width));
    let mut out = String::new();
    let mut line = |name: &str, shape: &str, params: &str, trainable: &str| {
        let _ = writeln!(
            out,
            "{name:>layer_width$}  {shape:>shape_width$} {params:>15} {trainable:>15}"
        );
    };
    line("Layer (type)", "Output Shape", "Param #", "Tr. Param #");
    for (row, shape) in rows.iter().zip(&shapes) {
        line(
            &row.name,
            shape,
            &row.params.grouped(),
            &row.trainable.grouped(),
        );
    }
    let (header, body) = out.split_once('\n').unwrap_or((&out, ""));
    let (params, trainable) = totals(rows);
    let rest = &params - &trainable;
    format!(
        "{thin}\n{header}\n{thick}\n{body}{thick}\nTotal params: {}\nTrainable params: {}\nNon-trainable params: {}\n{thin}",
        params.grouped(),
        trainable.grouped(),
        rest.grouped()
    )
}

fn totals(rows: &[Row]) -> (Dim, Dim) {
    let params = rows.iter().map(|row| row.params.clone()).sum();
    let trainable = rows.iter().map(|row| row.trainable.clone()).sum();
    (params, trainable)
}

/// `[1, 64, 55, 55]`, several with commas between them.
fn shape_text(shapes: &[Shape]) -> String {
    let one = |shape: &Shape| {
        let sizes: Vec<_> = shape.iter().map(Dim::to_string).collect();
        format!("[{}]", sizes.join(", "))
    };
    shapes.iter().map(one).collect::<Vec<_>>().join(", ")
}

impl Convention for PytorchModelSummary {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        self.info().forward_only(options)?;
        let mut report = Report::new(self.info(), trace);
        let rows = self.rows(trace)?;
        let mut paths = vec![String::new(); trace.modules.len()];
        for (path, module) in trace.named_modules() {
            paths[module.index()] = path;
        }
        let shapes = rows
            .iter()
            .flat_map(|row| row.output_shape.iter().flatten());
        if shapes.into_iter().any(Dim::has_unknown) {
            let note = "the shape of an output is not known";
            report.fidelity.note(Level::Partial, note);
        }
        let calls = trace.calls_by_module();
        report.layers = rows
            .iter()
            .map(|row| Layer {
                path: paths[row.module.index()].clone(),
                class: trace.module(row.module).class.short_name().into(),
                depth: MAX_DEPTH,
                calls: calls[row.module.index()].len(),
                count: None,
                params: Some(row.params.clone()),
                output_shape: row.output_shape.first().cloned(),
                module: row.module,
                is_container: !trace.module(row.module).children.is_empty(),
            })
            .collect();
        let (params, trainable) = totals(&rows);
        trace.note_frozen(&mut report.fidelity, Level::Exact);
        let rest = &params - &trainable;
        report.extras.push(Extra {
            name: "Non-trainable params".into(),
            value: rest.grouped(),
            exact: Some(rest),
        });
        report.params = Some(params);
        report.trainable_params = Some(trainable);
        Ok(report)
    }

    fn printed(&self, trace: &Trace) -> Option<Result<String, Failure>> {
        Some(self.rows(trace).map(|rows| table(&rows)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_keeps_its_widths() {
        // pytorch_model_summary 0.1.2 prints lines of 71 characters at least.
        let table = table(&[]);
        assert!(
            table
                .lines()
                .next()
                .is_some_and(|line| line == "-".repeat(71))
        );
        assert!(table.contains("\nTotal params: 0\n"));
    }
}
