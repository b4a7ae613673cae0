//! `LayerInfo` and the hooks that make one for each call of a module.
//!
//! Every call gets a row, so a module that is called again is listed again, marked as recursive:
//! its operations count each time, its parameters once. Containers that are never called, such as a
//! `ModuleList`, get a row before the first of their modules that is.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use modelcost_core::SmolStr;
use modelcost_core::convention::Failure;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::fidelity::Level;
use modelcost_core::formula::{EvalError, Formula, Quantity, Scope};
use modelcost_core::report::Report;
use modelcost_core::table::{Counted, RuleSet, describe};
use modelcost_core::trace::{Call, CallId, ModuleId, Shape, Target, TensorId, Trace};
use modelcost_core::value::Value;

use crate::parameters::{Parameters, Sums};

/// One row of a summary.
#[derive(Clone, Debug)]
pub struct LayerInfo {
    /// The module.
    pub module: ModuleId,
    /// Its class without the package.
    pub class_name: SmolStr,
    /// Its name in its parent; the root's is its class.
    pub var_name: SmolStr,
    /// Its path from the root.
    pub path: String,
    /// How deep it stands.
    pub depth: usize,
    /// The row of the place that holds it.
    parent: Option<usize>,
    /// The call that the row is for; `None` for a container that was not called.
    pub call: Option<CallId>,
    /// Whether the module was listed before.
    pub is_recursive: bool,
    /// Whether it has no children (empty containers are not children to torchinfo).
    pub is_leaf_layer: bool,
    /// The output's shape.
    pub output_size: Shape,
    /// Bytes of the output.
    pub output_bytes: Dim,
    /// Its multiply-adds. Of a module with children this is no useful number, and not in the total.
    pub macs: Dim,
    /// Its parameters, those inside it included.
    pub parameters: Arc<Parameters>,
    /// The rows below it: `(from, to)` in the list.
    pub children: (usize, usize),
}

/// All rows of a model: `summary_list`.
pub struct SummaryList {
    /// Every row that was made, in no useful order.
    arena: Vec<LayerInfo>,
    /// The list, by position in the arena. A container that was not called may be in it twice.
    list: Vec<usize>,
}

impl SummaryList {
    /// The rows in order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &LayerInfo> {
        self.list.iter().map(|info| &self.arena[*info])
    }

    /// A row by its position.
    pub fn row(&self, position: usize) -> &LayerInfo {
        &self.arena[self.list[position]]
    }

    /// `leftover_params` of every row: parameters that no row below it has, all and trainable ones.
    pub fn leftovers(&self) -> Vec<(Dim, Dim)> {
        let mut by_info: Vec<Option<(Dim, Dim)>> = vec![None; self.arena.len()];
        // Rows below come later in the list.
        for info in self.list.iter().rev() {
            let row = &self.arena[*info];
            let (mut all, mut trainable) = (
                row.parameters.count.clone(),
                row.parameters.trainable.clone(),
            );
            for below in &self.list[row.children.0..row.children.1] {
                let child = &self.arena[*below];
                if child.is_recursive {
                    continue;
                }
                if child.is_leaf_layer {
                    all = all - &child.parameters.count;
                    trainable = trainable - &child.parameters.trainable;
                } else if let Some((below_all, below_trainable)) = &by_info[*below] {
                    all = all - below_all;
                    trainable = trainable - below_trainable;
                }
            }
            by_info[*info] = Some((all, trainable));
        }
        let list = self.list.iter();
        list.map(|info| by_info[*info].clone().unwrap_or_default())
            .collect()
    }
}

/// Runs the hooks over a trace.
pub fn summary_list(
    trace: &Trace,
    rules: &RuleSet,
    report: &mut Report,
) -> Result<SummaryList, Failure> {
    let mut hooks = Hooks::apply(trace);
    // The calls that are open, and the ends of their spans.
    let mut open: Vec<CallId> = Vec::new();
    for (id, call) in trace.calls() {
        while let Some(innermost) = open.pop_if(|open| trace.call(*open).end <= id) {
            hooks.after(innermost, rules, report)?;
        }
        if let Target::Module(module) = call.target {
            hooks.before(id, module, report);
            open.push(id);
        }
    }
    while let Some(innermost) = open.pop() {
        hooks.after(innermost, rules, report)?;
    }
    hooks.add_missing_container_layers(report);
    hooks.set_children_layers();
    Ok(SummaryList {
        arena: hooks.arena,
        list: hooks.list,
    })
}

struct Hooks<'a> {
    trace: &'a Trace,
    arena: Vec<LayerInfo>,
    list: Vec<usize>,
    /// The row of the place through which a module was hooked: the last one that holds it.
    places: Vec<Option<usize>>,
    /// The row of a module's latest call.
    latest: Vec<Option<usize>>,
    /// Whether each module is in the list.
    listed: Vec<bool>,
    /// Each module's parameters.
    parameters: Sums<'a>,
    /// What the rules gave: networks repeat their layers.
    counted: HashMap<Quantities, Vec<Counted>>,
}

/// All that the formulas depend on.
#[derive(PartialEq, Eq, Hash)]
struct Quantities {
    class_name: SmolStr,
    output_size: Shape,
    /// `weight`, `bias`, `other_weights` and `other_biases`.
    parameters: [Dim; 4],
}

impl<'a> Hooks<'a> {
    fn apply(trace: &'a Trace) -> Hooks<'a> {
        let is_module = |call: &&Call| matches!(call.target, Target::Module(_));
        let calls = trace.calls.iter().filter(is_module).count();
        let mut hooks = Hooks {
            trace,
            // A row for each place and one for each call.
            arena: Vec::with_capacity(trace.modules.len() + calls),
            list: Vec::with_capacity(calls),
            places: vec![None; trace.modules.len()],
            latest: vec![None; trace.modules.len()],
            listed: vec![false; trace.modules.len()],
            parameters: Sums::new(trace),
            counted: HashMap::new(),
        };
        let mut open = Vec::new();
        if !trace.modules.is_empty() {
            let class = trace.module(Trace::ROOT).class.short_name();
            open.push((SmolStr::new(class), String::new(), Trace::ROOT, 0, None));
        }
        while let Some((var_name, path, module, depth, parent)) = open.pop() {
            let place = hooks.arena.len();
            let children = trace.module(module).children.iter();
            for (name, child) in children.rev() {
                let dot = if path.is_empty() { "" } else { "." };
                let path = [&path, dot, name].concat();
                open.push((name.clone(), path, *child, depth + 1, Some(place)));
            }
            let info = LayerInfo {
                module,
                class_name: trace.module(module).class.short_name().into(),
                var_name,
                path,
                depth,
                parent,
                call: None,
                is_recursive: false,
                is_leaf_layer: is_leaf_layer(trace, module),
                output_size: Shape::new(),
                output_bytes: Dim::ZERO,
                macs: Dim::ZERO,
                parameters: Arc::default(),
                children: (0, 0),
            };
            hooks.arena.push(info);
            hooks.places[module.index()] = Some(place);
        }
        hooks
    }

    fn calculate_num_params(&mut self, info: usize, report: &mut Report) {
        let module = self.arena[info].module;
        let parameters = self.parameters.of(module);
        if parameters.is_pruned {
            let note = "torchinfo counts the ones in the masks of pruned parameters, which the file does not \
                        hold; they are counted whole";
            report.fidelity.note(Level::Partial, note);
        }
        self.arena[info].parameters = parameters;
    }

    /// `construct_pre_hook`
    fn before(&mut self, call: CallId, module: ModuleId, report: &mut Report) {
        let Some(place) = self.places[module.index()] else {
            return;
        };
        let info = self.arena.len();
        self.arena.push(LayerInfo {
            call: Some(call),
            is_recursive: self.listed[module.index()],
            ..self.arena[place].clone()
        });
        self.calculate_num_params(info, report);
        self.list.push(info);
        self.listed[module.index()] = true;
        self.latest[module.index()] = Some(info);
    }

    /// `construct_hook`
    fn after(&mut self, call: CallId, rules: &RuleSet, report: &mut Report) -> Result<(), Failure> {
        let Target::Module(module) = self.trace.call(call).target else {
            return Ok(());
        };
        let Some(at) = self.latest[module.index()] else {
            return Ok(());
        };
        let size = calculate_size(self.trace, &self.trace.call(call).output);
        let (output_size, element_bytes) = size.map_err(|what| {
            let call = describe(self.trace, call);
            let reason = format!("{call} returns {what}, which it raises TypeError for");
            report.convention.fails(reason)
        })?;
        if output_size.iter().any(Dim::has_unknown) {
            report.not_counted(self.trace, call, "the shape of its output is not known");
        }
        let element_bytes = element_bytes.unwrap_or_else(|| {
            let note =
                "tensors whose element type the file does not say are taken as float32 in sizes";
            report.fidelity.note(Level::Reconstructed, note);
            DType::Float32.bytes()
        });
        let info = &mut self.arena[at];
        info.output_bytes = Dim::product(&output_size) * i128::from(element_bytes);
        info.output_size = output_size;
        let parameters = &info.parameters;
        let quantities = Quantities {
            class_name: info.class_name.clone(),
            output_size: info.output_size.clone(),
            parameters: [
                parameters.weight.clone(),
                parameters.bias.clone(),
                parameters.other_weights.clone(),
                parameters.other_biases.clone(),
            ],
        };
        let counted = match self.counted.entry(quantities) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let counted = evaluate(rules, info);
                new.insert(counted.map_err(|error| {
                    let call = describe(self.trace, call);
                    report.convention.fails(format!("{call}: {error}"))
                })?)
            }
        };
        for counted in counted {
            info.macs += &counted.total();
            if info.is_leaf_layer {
                report.record(self.trace, call, counted.clone());
            }
        }
        Ok(())
    }

    /// `add_missing_container_layers`: containers that were not called get a row before the first row
    /// inside them.
    ///
    /// torchinfo inserts into the list that it walks, at the place that it looks at, so the rows that
    /// it puts there, but for the first, and the row that they stand before come up again.
    fn add_missing_container_layers(&mut self, report: &mut Report) {
        // By depth: the row that the walk is inside of, and the rows above the one it is at.
        let mut current: Vec<Option<usize>> = Vec::new();
        let mut hierarchy: Vec<usize> = Vec::new();
        let mut rest: VecDeque<usize> = std::mem::take(&mut self.list).into();
        while let Some(at) = rest.pop_front() {
            let depth = self.arena[at].depth;
            let above = |info: &usize| self.arena[*info].parent;
            hierarchy.clear();
            hierarchy.extend(std::iter::successors(above(&at), above));
            hierarchy.reverse();
            current.resize(current.len().max(depth + 1), None);
            // Before the first row stands the last one, as Python's index -1 has it.
            let mut before = *self.list.last().or(rest.back()).unwrap_or(&at);
            let mut inserted = Vec::new();
            for d in 1..depth {
                let container = hierarchy[d];
                let is_current = current[d]
                    .is_some_and(|info| self.arena[info].module == self.arena[container].module);
                if is_current || before == container {
                    continue;
                }
                self.calculate_num_params(container, report);
                let module = self.arena[container].module;
                if std::mem::replace(&mut self.listed[module.index()], true) {
                    self.arena[container].is_recursive = true;
                }
                inserted.push(container);
                before = container;
                current[d] = Some(container);
            }
            current[depth] = Some(at);
            for deeper in &mut current[depth + 1..] {
                if deeper.take().is_none() {
                    break;
                }
            }
            match inserted.split_first() {
                None => self.list.push(at),
                Some((first, others)) => {
                    self.list.push(*first);
                    rest.push_front(at);
                    for other in others.iter().rev() {
                        rest.push_front(*other);
                    }
                }
            }
        }
    }

    /// `set_children_layers`: the rows that follow a row and stand deeper.
    fn set_children_layers(&mut self) {
        // Positions whose rows below are not yet complete, the deepest last.
        let mut open: Vec<usize> = Vec::new();
        for position in 0..=self.list.len() {
            let depth = self.list.get(position).map(|info| self.arena[*info].depth);
            let ends = |above: &mut usize| {
                depth.is_none_or(|depth| depth <= self.arena[self.list[*above]].depth)
            };
            let mut ended = Vec::new();
            while let Some(above) = open.pop_if(ends) {
                ended.push(above);
            }
            for above in ended {
                // A row that is twice in the list keeps what it has at its last place.
                let info = &mut self.arena[self.list[above]];
                if info.children.0 <= above + 1 {
                    info.children = (above + 1, position);
                }
            }
            open.push(position);
        }
    }
}

/// What the rules give for a row: all that hold apply.
fn evaluate(rules: &RuleSet, info: &LayerInfo) -> Result<Vec<Counted>, EvalError> {
    let scope = InfoScope {
        class_name: &info.class_name,
        output_size: &info.output_size,
        parameters: &info.parameters,
    };
    let mut out = Vec::new();
    for (position, rule) in rules.rules().iter().enumerate() {
        let condition = rule.when.as_ref();
        if condition.is_some_and(|condition| condition.holds(&scope) != Ok(true)) {
            continue;
        }
        let mut parts = Vec::new();
        for (part, formula) in &rule.parts {
            let count = formula.count(&scope)?;
            if count != Dim::ZERO {
                parts.push((part.clone(), count));
            }
        }
        let rule = position;
        out.push(Counted { rule, parts });
    }
    Ok(out)
}

/// `not any(module.children())`: an empty container is false in Python.
fn is_leaf_layer(trace: &Trace, module: ModuleId) -> bool {
    const MODULE_CONTAINERS: [&str; 3] = [
        "torch.nn.Sequential",
        "torch.nn.ModuleList",
        "torch.nn.ModuleDict",
    ];
    const PARAMETER_CONTAINERS: [&str; 2] = ["torch.nn.ParameterList", "torch.nn.ParameterDict"];
    let is_true = |child: &ModuleId| {
        let child = trace.module(*child);
        let is = |names: &[&str]| names.iter().any(|name| child.class.is(name));
        let is_empty = is(&MODULE_CONTAINERS) && child.children.is_empty()
            || is(&PARAMETER_CONTAINERS) && child.parameters.is_empty();
        !is_empty
    };
    !trace
        .module(module)
        .children
        .iter()
        .any(|(_, child)| is_true(child))
}

/// `LayerInfo.calculate_size`: the shape of an output, and the bytes of an element; an error says
/// what the output is when torchinfo does not take it.
fn calculate_size(trace: &Trace, output: &Value) -> Result<Size, String> {
    match output {
        Value::None => Ok(nothing()),
        Value::Tensor(id) => Ok(size_of(trace, *id)),
        Value::Tuple(items) | Value::List(items) => match items.first() {
            Some(Value::Tensor(id)) => Ok(size_of(trace, *id)),
            _ => Ok(nested_list_size(trace, output)),
        },
        Value::Dict(items) => Ok(match items.last() {
            Some((_, last)) => nested_list_size(trace, last),
            None => nothing(),
        }),
        Value::Opaque(what) => Err(what.to_string()),
        Value::Bool(_) => Err("a bool".into()),
        Value::Int(_) => Err("an int".into()),
        Value::Float(_) => Err("a float".into()),
        Value::Str(_) => Err("a string".into()),
        Value::DType(_) => Err("a dtype".into()),
    }
}

/// `nested_list_size`: the first tensor of the first of the first.
fn nested_list_size(trace: &Trace, value: &Value) -> Size {
    match value {
        Value::Tensor(id) => size_of(trace, *id),
        Value::Tuple(items) | Value::List(items) => match items.first() {
            Some(first) => nested_list_size(trace, first),
            None => nothing(),
        },
        Value::Dict(items) => match items.first() {
            Some((_, first)) => nested_list_size(trace, first),
            None => nothing(),
        },
        _ => nothing(),
    }
}

/// A shape, and the bytes of an element where the type is known.
type Size = (Shape, Option<u32>);

fn nothing() -> Size {
    (Shape::new(), Some(0))
}

fn size_of(trace: &Trace, id: TensorId) -> Size {
    let tensor = trace.tensor(id);
    let shape = tensor.shape.clone();
    let shape = shape.unwrap_or_else(|| vec![Dim::unknown(format!("size{}", id.index()))]);
    (shape, tensor.dtype.map(DType::bytes))
}

/// The names of the formulas.
struct InfoScope<'a> {
    class_name: &'a SmolStr,
    output_size: &'a Shape,
    parameters: &'a Parameters,
}

impl Scope for InfoScope<'_> {
    fn get(&self, name: &str) -> Result<Quantity, EvalError> {
        Ok(Quantity::Int(match name {
            "class_name" => return Ok(Quantity::Str(self.class_name.clone())),
            "output_size" => {
                let sizes = self.output_size.iter().cloned();
                return Ok(Quantity::Seq(sizes.map(Quantity::Int).collect()));
            }
            "weight" => self.parameters.weight.clone(),
            "bias" => self.parameters.bias.clone(),
            "other_weights" => self.parameters.other_weights.clone(),
            "other_biases" => self.parameters.other_biases.clone(),
            _ => return Err(EvalError::UnknownName(name.into())),
        }))
    }
}

/// A formula with the values that it has for a call.
pub fn with_values(trace: &Trace, call: CallId, formula: &Formula) -> Option<String> {
    let call = trace.call(call);
    let Target::Module(module) = call.target else {
        return None;
    };
    let (output_size, _) = calculate_size(trace, &call.output).ok()?;
    let scope = InfoScope {
        class_name: &trace.module(module).class.short_name().into(),
        output_size: &output_size,
        parameters: &Parameters::of(trace, module),
    };
    Some(formula.with_values(&scope))
}
