//! `profile` of ultralytics-thop 2.2.3.
//!
//! - A module's rule is that of the nearest class in its method resolution order.
//! - Every module is hooked once and added up once, whatever its parents; the root too.
//! - A hook is given arguments passed by keyword too, in the order of `forward`'s signature.
//! - Matrix products that are called as functions are counted by a `TorchFunctionMode`, where no
//!   module with a rule that counts is running and no other torch function is around them.
//! - All parameters of the model are reported.

use modelcost_core::convention::{Convention, Failure, Options};
use modelcost_core::dim::Dim;
use modelcost_core::formula::{CallScope, EvalError, Quantity, Scope};
use modelcost_core::report::{Entry, Layer, Report, first_shape};
use modelcost_core::table::Table;
use modelcost_core::trace::{CallId, ModuleId, Passed, Target, Trace};
use modelcost_core::value::Value;

use crate::attention::Attention;
use crate::tree::float64;
use crate::{functions, recurrent};

/// ultralytics-thop.
pub struct Ultralytics {
    /// Its rules.
    pub table: Table,
}

impl Ultralytics {
    /// Whether a module has a rule other than `zero_ops`, which keeps functions inside it from
    /// being counted.
    fn counts_module(&self, trace: &Trace, module: ModuleId) -> bool {
        let rules = self.table.rules.of_class(&trace.module(module).class);
        rules.iter().any(|rule| {
            let parts = &self.rules()[*rule].parts;
            parts.iter().any(|(_, formula)| formula.text() != "0")
        })
    }

    /// The calls that are looked at: all modules, and functions that the counting mode sees.
    fn seen<'t>(&'t self, trace: &'t Trace) -> impl Iterator<Item = CallId> + 't {
        // Until where functions are hidden by the call around them.
        let mut hidden_until = CallId::new(0);
        trace
            .calls()
            .filter_map(move |(id, call)| match &call.target {
                Target::Module(module) => {
                    if self.counts_module(trace, *module) {
                        hidden_until = hidden_until.max(call.end);
                    }
                    Some(id)
                }
                Target::Function(name) => {
                    let is_visible = id >= hidden_until;
                    if is_torch_function(name) {
                        hidden_until = hidden_until.max(call.end);
                    }
                    is_visible.then_some(id)
                }
                // A function that was called by a reference: the mode sees it all the same.
                Target::Operator(_) => {
                    let parent = call.parent.map(|parent| &trace.call(parent).target);
                    let is_visible = id >= hidden_until;
                    (is_visible && matches!(parent, Some(Target::Module(_)))).then_some(id)
                }
            })
    }

    /// `dfs_count`: the rows of `ret_layer_info`, where a module that was added up before adds
    /// nothing to its later parents.
    fn rows(&self, trace: &Trace, own: &[Dim]) -> Vec<Layer> {
        let mut walk = Walk {
            trace,
            own,
            counted: vec![false; trace.modules.len()],
            calls: trace.calls_by_module(),
            rows: Vec::new(),
        };
        if !trace.modules.is_empty() {
            walk.visit(Trace::ROOT, String::new(), 0);
        }
        walk.rows
    }
}

struct Walk<'a> {
    trace: &'a Trace,
    own: &'a [Dim],
    counted: Vec<bool>,
    calls: Vec<Vec<CallId>>,
    rows: Vec<Layer>,
}

impl Walk<'_> {
    fn visit(&mut self, module: ModuleId, path: String, depth: usize) -> Dim {
        let calls = &self.calls[module.index()];
        let output = calls.last().map(|call| &self.trace.call(*call).output);
        let row = self.rows.len();
        self.rows.push(Layer {
            path: path.clone(),
            class: self.trace.module(module).class.short_name().into(),
            depth,
            calls: calls.len(),
            count: None,
            params: Some(self.trace.parameter_count(module).0),
            output_shape: output.and_then(|output| first_shape(self.trace, output)),
            module,
            is_container: !self.trace.module(module).children.is_empty(),
        });
        let mut sum = self.own[module.index()].clone();
        for (name, child) in self.trace.named_children(module) {
            let dot = if path.is_empty() { "" } else { "." };
            let inside = self.visit(child, format!("{path}{dot}{name}"), depth + 1);
            if !std::mem::replace(&mut self.counted[child.index()], true) {
                sum = float64(sum + inside);
            }
        }
        self.rows[row].count = Some(sum.clone());
        sum
    }
}

/// Whether a function goes through `__torch_function__`, inside which the counting mode is off.
fn is_torch_function(name: &str) -> bool {
    name.starts_with("torch.")
        && !name.starts_with("torch.utils.")
        && !name.starts_with("torch.nn.utils.")
}

impl Convention for Ultralytics {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        self.info().forward_only(options)?;
        let mut report = Report::new(self.info(), trace);
        let mut own = vec![Dim::ZERO; trace.modules.len()];
        let mut total = Dim::ZERO;
        for id in self.seen(trace) {
            let scope = UltralyticsScope(CallScope { trace, call: id });
            let rules = &self.table.rules;
            let Some(counted) = rules.evaluate_or_fail(trace, id, &scope, &mut report)? else {
                continue;
            };
            total = float64(total + counted.total());
            if let Target::Module(module) = trace.call(id).target {
                own[module.index()] += counted.total();
            }
            report.record(trace, id, counted);
        }
        report.set_count(trace, total)?;
        report.params = Some(trace.parameter_count(Trace::ROOT).0);
        report.layers = self.rows(trace, &own);
        Ok(report)
    }

    fn with_values(&self, trace: &Trace, entry: &Entry) -> Option<String> {
        let call = entry.call;
        let scope = UltralyticsScope(CallScope { trace, call });
        Some(self.formula(entry)?.with_values(&scope))
    }
}

struct UltralyticsScope<'a>(CallScope<'a>);

impl UltralyticsScope<'_> {
    fn flag(&self, name: &str, default: bool) -> bool {
        match self.0.get(name) {
            Ok(Quantity::Bool(value)) => value,
            _ => default,
        }
    }

    /// The dimension that a softmax module normalises.
    fn dim(&self) -> Result<Option<Dim>, EvalError> {
        let call = self.0.trace.call(self.0.call);
        if let Target::Module(module) = call.target
            && self.0.trace.module(module).class.is("torch.nn.Softmax2d")
        {
            return Ok(Some(Dim::from(-3)));
        }
        Ok(match self.0.get("dim")? {
            Quantity::Int(dim) => Some(dim),
            _ => None,
        })
    }
}

impl Scope for UltralyticsScope<'_> {
    fn get(&self, name: &str) -> Result<Quantity, EvalError> {
        let CallScope { trace, call: id } = self.0;
        let call = trace.call(id);
        if name == "in" {
            let given = |how: Passed| {
                let argument = call
                    .arguments
                    .iter()
                    .find(|argument| argument.passed == how);
                argument.map(|argument| Quantity::of_value(trace, &argument.value))
            };
            return given(Passed::Position)
                .or_else(|| given(Passed::Keyword))
                .ok_or(EvalError::Index {
                    index: 0,
                    length: 0,
                });
        }
        if let Some(attention) = Attention::of(trace, id)
            && let Some(value) = attention.get(name)
        {
            return value;
        }
        self.0.get(name)
    }

    fn call(&self, name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
        match name {
            "softmax" => Some(functions::softmax(arguments)),
            "features" => Some(
                self.dim()
                    .and_then(|dim| functions::features(arguments, dim)),
            ),
            "windows" => Some(functions::windows(
                arguments,
                self.flag("count_include_pad", true),
                self.flag("ceil_mode", false),
            )),
            "adaptive_windows" => Some(functions::adaptive_windows(arguments)),
            "einsum_products" => Some(functions::einsum_products(arguments)),
            _ => recurrent::cell(name, arguments),
        }
    }
}

/// The tensor that a value is, or nothing.
pub(crate) fn shape_of(trace: &Trace, value: Option<&Value>) -> Option<Vec<Dim>> {
    trace.tensor(value?.tensor()?).shape.clone()
}
