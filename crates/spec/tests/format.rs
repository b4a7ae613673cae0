//! What specs mean: `data/format.txt`, cases of a text and the modules and calls that come of it.
//!
//! `UPDATE_EXPECT=1 cargo test -p modelcost-spec --test format` writes down what comes of them now.

use std::collections::HashMap;
use std::fmt::Write as _;

use modelcost_core::trace::{ModuleId, Target, TensorId, Trace};
use modelcost_core::value::Value;
use modelcost_spec::{Document, Options};

const CASES: &str = include_str!("data/format.txt");

fn shape(trace: &Trace, tensor: TensorId) -> String {
    let shape = trace.tensor(tensor).shape.clone().unwrap_or_default();
    modelcost_torch::show::shape(&shape)
}

fn value(trace: &Trace, value: &Value) -> String {
    let tensors = value.tensors();
    let shapes: Vec<String> = tensors.iter().map(|id| shape(trace, *id)).collect();
    shapes.join(", ")
}

/// The modules with their own parameters, and the calls of modules and functions.
fn show(trace: &Trace) -> String {
    let mut out = String::new();
    let mut paths: HashMap<ModuleId, String> = HashMap::new();
    for (path, id) in trace.named_modules() {
        let module = trace.module(id);
        let name = if path.is_empty() { "(model)" } else { &path };
        let _ = write!(out, "{name}: {}", module.class.name);
        for base in &module.class.bases {
            let _ = write!(out, " < {base}");
        }
        for (name, parameter) in &module.parameters {
            let Some(id) = parameter else {
                let _ = write!(out, ", no {name}");
                continue;
            };
            let parameter = trace.parameter(*id);
            let own = match path.as_str() {
                "" => name.to_string(),
                path => format!("{path}.{name}"),
            };
            let _ = write!(
                out,
                ", {name} {}",
                modelcost_torch::show::shape(&parameter.shape)
            );
            if parameter.name != own {
                let _ = write!(out, " (is {})", parameter.name);
            }
            if !parameter.requires_grad {
                out.push_str(" (frozen)");
            }
        }
        for (name, buffer) in &module.buffers {
            let buffer = &trace.buffers[buffer.index()];
            let shape = modelcost_torch::show::shape(&buffer.shape);
            let _ = write!(out, ", {name} {shape} {} (buffer)", buffer.dtype);
        }
        out.push('\n');
        paths.insert(id, path);
    }
    for (id, call) in trace.calls() {
        let mut depth = 0;
        let mut parent = call.parent;
        let mut within_torch = false;
        while let Some(at) = parent {
            let outer = trace.call(at);
            depth += 1;
            within_torch |= match outer.target {
                Target::Module(module) => {
                    trace.module(module).class.name.starts_with("torch.nn.")
                        && trace.module(module).children.is_empty()
                }
                _ => true,
            };
            parent = outer.parent;
        }
        if within_torch || id.index() == 0 {
            continue;
        }
        let name = match &call.target {
            Target::Module(module) => paths.get(module).cloned().unwrap_or_default(),
            Target::Function(name) => name.to_string(),
            Target::Operator(_) => continue,
        };
        let made = call.output.tensors();
        let hidden = made.iter().any(|id| trace.tensor(*id).without_gradient);
        let inputs: Vec<String> = call
            .arguments
            .iter()
            .map(|argument| value(trace, &argument.value))
            .filter(|shown| !shown.is_empty())
            .collect();
        let _ = writeln!(
            out,
            "{}{name}({}) -> {}{}",
            "  ".repeat(depth),
            inputs.join("; "),
            value(trace, &call.output),
            if hidden { " without gradients" } else { "" }
        );
    }
    let _ = writeln!(out, "= {}", value(trace, &trace.output));
    out
}

#[test]
fn specs_mean_this() {
    let mut all = String::new();
    let mut wrong = Vec::new();
    for case in CASES.split("=== ").skip(1) {
        let (title, rest) = case.split_once('\n').expect("a title");
        let (text, expected) = rest.split_once("---\n").expect("a text and its meaning");
        let (document, diagnostics) = Document::parse(text);
        assert!(diagnostics.is_empty(), "{title}: {diagnostics:?}");
        let trace = document
            .trace(&Options::default())
            .unwrap_or_else(|diagnostics| panic!("{title}: {diagnostics:?}"));
        let found = show(&trace);
        if found.trim() != expected.trim() {
            wrong.push(format!("{title}\nexpected:\n{expected}\nfound:\n{found}"));
        }
        let _ = write!(all, "=== {title}\n{text}---\n{found}\n");
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/format.txt");
        let intro = CASES.split("=== ").next().unwrap_or_default();
        std::fs::write(path, format!("{intro}{}\n", all.trim_end())).expect("written");
    } else {
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
