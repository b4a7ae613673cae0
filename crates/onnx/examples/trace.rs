//! Prints the trace of model files: `cargo run -p modelcost-onnx --example trace model.onnx`

use modelcost_core::trace::{CallId, Target, Trace};
use modelcost_core::value::Value;
use modelcost_onnx::infer::Options;

fn main() {
    for path in std::env::args().skip(1) {
        match modelcost_onnx::read_path(path.as_ref(), &Options::default()) {
            Ok(trace) => print!("{}", text(&trace)),
            Err(error) => println!("{path}: {error}"),
        }
    }
}

fn text(trace: &Trace) -> String {
    let mut out = format!("{} {:?}\n", trace.name, trace.fidelity);
    for (path, id) in trace.named_modules() {
        let module = trace.module(id);
        out += &format!("{path}: {} {:?}", module.class.name, module.class.bases);
        for (name, id) in &module.parameters {
            let shape = id.map(|id| format!("{:?}", trace.parameter(id).shape));
            out += &format!(" {name}={}", shape.unwrap_or("None".into()));
        }
        for (name, value) in &module.attributes {
            out += &format!(" .{name}={}", show(trace, value));
        }
        out += "\n";
    }
    for (id, call) in trace.calls() {
        let mut depth = 0;
        let mut at: Option<CallId> = call.parent;
        while let Some(parent) = at {
            depth += 1;
            at = trace.call(parent).parent;
        }
        let target = match &call.target {
            Target::Module(module) => format!("module {}", trace.module(*module).class.name),
            Target::Function(name) => format!("function {name}"),
            Target::Operator(name) => format!("operator {name}"),
        };
        let arguments: Vec<String> = call
            .arguments
            .iter()
            .map(|argument| format!("{}={}", argument.name, show(trace, &argument.value)))
            .collect();
        out += &format!(
            "{}{target}({}) -> {}\n",
            "  ".repeat(depth),
            arguments.join(", "),
            show(trace, &call.output)
        );
        let _ = id;
    }
    out
}

fn show(trace: &Trace, value: &Value) -> String {
    match value {
        Value::Tensor(id) => match &trace.tensor(*id).shape {
            Some(shape) => format!("{shape:?}"),
            None => "?".into(),
        },
        Value::Tuple(items) | Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| show(trace, item)).collect();
            format!("({})", items.join(", "))
        }
        Value::Int(dim) => dim.to_string(),
        other => format!("{other:?}"),
    }
}
