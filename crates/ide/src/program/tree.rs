//! A trace as a tree: module calls with what is called inside them, a line each.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use modelcost_core::trace::{Call, CallId, ModuleId, Passed, Target, TensorId, Trace};
use modelcost_core::value::Value;
use modelcost_torch::show;

use super::{Place, Program, View};
use crate::analysis::Dims;
use crate::model::Model;
use modelcost_analysis::format;

/// A `.pt2` file as a tree.
pub fn view(path: &Path, dims: &Dims) -> Result<View, String> {
    let mut trace = modelcost_export::read_path(path).map_err(|error| error.to_string())?;
    trace.bind(&|name| dims.get(name).map(|size| (*size).into()));
    let (text, head, places) = {
        let mut tree = Tree::new(&trace);
        let head = tree.head();
        if let Some(root) = trace.root_call() {
            tree.inside(root, 1);
        }
        (tree.text, head, tree.places)
    };
    Ok(View {
        text,
        language: "modelcost-tree",
        program: Program {
            head,
            places,
            dims: dims.clone(),
            model: Model::new(trace),
            ..Program::default()
        },
    })
}

struct Tree<'t> {
    trace: &'t Trace,
    text: String,
    places: Vec<Place>,
    /// What tensors are called: what made them, or what they are.
    names: HashMap<TensorId, String>,
    /// The name under which each module's first owner has it.
    own_names: Vec<Option<&'t str>>,
}

impl<'t> Tree<'t> {
    fn new(trace: &'t Trace) -> Tree<'t> {
        let mut own_names = vec![None; trace.modules.len()];
        for module in &trace.modules {
            for (name, child) in &module.children {
                own_names[child.index()].get_or_insert(name.as_str());
            }
        }
        let mut names: HashMap<TensorId, String> = trace
            .parameters
            .iter()
            .map(|parameter| (parameter.tensor, parameter.name.to_string()))
            .collect();
        let buffers = trace.buffers.iter();
        names.extend(buffers.map(|buffer| (buffer.tensor, buffer.name.to_string())));
        let inputs = trace.inputs.iter();
        names.extend(inputs.map(|(name, tensor)| (*tensor, name.to_string())));
        Tree {
            trace,
            text: String::new(),
            places: Vec::new(),
            names,
            own_names,
        }
    }

    /// The first lines: what this is, and the model's own. Gives the bytes of the model's class.
    fn head(&mut self) -> std::ops::Range<usize> {
        let trace = self.trace;
        self.text.push_str(
            "# The calls of a torch.export program, in the order in which they run. Read-only.\n\n",
        );
        let start = self.text.len();
        let class = trace
            .modules
            .first()
            .map_or("", |root| root.class.short_name());
        let class = if class.is_empty() { &trace.name } else { class };
        self.text.push_str(class);
        let end = self.text.len();
        let inputs = trace.inputs.iter();
        let inputs: Vec<String> = inputs
            .map(|(name, id)| format!("{name}: {}", self.tensor(*id)))
            .collect();
        let outputs = trace.outputs();
        let outputs: Vec<String> = outputs.iter().map(|id| self.tensor(*id)).collect();
        let _ = writeln!(
            self.text,
            "({}) -> {}",
            inputs.join(", "),
            outputs.join(", ")
        );
        start..end
    }

    /// `float32[1, 3, 224, 224]`
    fn tensor(&self, id: TensorId) -> String {
        let tensor = self.trace.tensor(id);
        let dtype = tensor.dtype.map_or("?".into(), |dtype| dtype.to_string());
        let sizes = tensor.shape.as_ref().map_or("…".into(), |shape| {
            let sizes: Vec<String> = shape.iter().map(|size| size.to_string()).collect();
            sizes.join(", ")
        });
        format!("{dtype}[{sizes}]")
    }

    /// The calls that a call makes, a line each.
    fn inside(&mut self, id: CallId, depth: usize) {
        let trace = self.trace;
        for (child, call) in trace.direct(id) {
            match &call.target {
                Target::Module(module) => self.module(child, call, *module, depth),
                Target::Function(name) | Target::Operator(name) => {
                    let text = format!("{name}({})", self.arguments(call));
                    let short = name.rsplit('.').next().unwrap_or(name).to_string();
                    self.line(child, call, depth, short, &text);
                }
            }
        }
    }

    fn module(&mut self, id: CallId, call: &Call, module: ModuleId, depth: usize) {
        let trace = self.trace;
        let name = self.own_names[module.index()]
            .unwrap_or("module")
            .to_string();
        let class = &trace.module(module).class;
        let mut text = format!("{name}: {}", class.short_name());
        let calls_modules = trace
            .inside(id)
            .any(|(_, inner)| matches!(inner.target, Target::Module(_)));
        let is_layer =
            modelcost_torch::class(&class.name).is_some_and(|known| known.name() == class.name);
        if is_layer && !calls_modules {
            let _ = write!(text, "({})", self.constructor(module));
            return self.line(id, call, depth, name, &text);
        }
        self.line(id, call, depth, name, &text);
        self.inside(id, depth + 1);
    }

    fn line(&mut self, id: CallId, call: &Call, depth: usize, name: String, text: &str) {
        for _ in 0..depth {
            self.text.push_str("  ");
        }
        let start = self.text.len();
        self.text.push_str(text);
        let tensors = call.output.tensors();
        let first = tensors.first().map(|id| self.trace.tensor(*id));
        self.places.push(Place {
            span: start..self.text.len(),
            depth: depth - 1,
            shapes: first
                .and_then(|tensor| tensor.shape.clone())
                .map(|shape| (shape.clone(), shape)),
            dtype: first.and_then(|tensor| tensor.dtype),
            times: 1,
            calls: std::iter::once(id..call.end).collect(),
            name: name.clone(),
        });
        self.text.push('\n');
        for tensor in tensors {
            self.names.insert(tensor, name.clone());
        }
    }

    /// The arguments that make a layer, without those that are their defaults.
    fn constructor(&self, module: ModuleId) -> String {
        let own = self.trace.module(module);
        let Some(known) = modelcost_torch::class(&own.class.name) else {
            return String::new();
        };
        let mut out = Vec::new();
        for parameter in &known.signature().parameters {
            let attribute = own
                .attributes
                .iter()
                .find(|(name, _)| *name == parameter.name);
            let value = match attribute {
                Some((_, value)) => value.clone(),
                // A layer keeps its bias and not whether it was asked for one.
                None if parameter.name == "bias" => {
                    let bias = own
                        .parameters
                        .iter()
                        .find(|(name, _)| name.contains("bias"));
                    Value::Bool(bias.is_some_and(|(_, id)| id.is_some()))
                }
                None => continue,
            };
            match &parameter.default {
                None => out.push(show::plain(&value)),
                Some(default) if same(default, &value) => {}
                Some(_) => out.push(format!("{}={}", parameter.name, show::plain(&value))),
            }
        }
        out.join(", ")
    }

    fn arguments(&self, call: &Call) -> String {
        let given = call
            .arguments
            .iter()
            .filter(|given| given.passed != Passed::Default);
        let shown = given.map(|given| match given.passed {
            Passed::Keyword => format!("{}={}", given.name, self.value(&given.value)),
            _ => self.value(&given.value),
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    fn value(&self, value: &Value) -> String {
        let list = |items: &[Value]| {
            let items: Vec<String> = items.iter().map(|item| self.value(item)).collect();
            items.join(", ")
        };
        match value {
            Value::Tensor(id) => match self.names.get(id) {
                Some(name) => name.clone(),
                None => {
                    let shape = self.trace.tensor(*id).shape.as_deref();
                    shape.map_or("tensor".into(), |shape| {
                        format!("tensor[{}]", format::shape(shape))
                    })
                }
            },
            Value::List(items) => format!("[{}]", list(items)),
            Value::Tuple(items) if items.len() == 1 => format!("({},)", list(items)),
            Value::Tuple(items) => format!("({})", list(items)),
            other => show::plain(other),
        }
    }
}

/// Whether an attribute is what a default becomes: torch keeps `1` as `(1, 1)` where it stands for every dimension.
fn same(default: &Value, value: &Value) -> bool {
    match value {
        Value::Tuple(items) if !matches!(default, Value::Tuple(_)) => {
            items.iter().all(|item| item == default)
        }
        _ => value == default,
    }
}
