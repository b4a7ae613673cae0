//! A trace as text.

use modelcost_core::fidelity::Layer;
use modelcost_core::trace::{CallId, Target, Trace};
use modelcost_core::value::Value;

const ALL: [Layer; 3] = [Layer::Modules, Layer::Functions, Layer::Operators];

/// The modules with what they own, then the calls: modules in brackets, operators in angles.
pub fn text(trace: &Trace) -> String {
    let fidelity = trace.fidelity.seen_by(&ALL);
    let mut out = format!("{} {:?} {:?}\n", trace.name, trace.inputs, fidelity.level);
    for note in &fidelity.notes {
        out += &format!("  {note}\n");
    }
    for (path, id) in trace.named_modules() {
        let module = trace.module(id);
        out += &format!("{path}: {} {:?}", module.class.name, module.class.bases);
        for (name, id) in &module.parameters {
            let shape = id.map(|id| {
                let p = trace.parameter(id);
                format!(
                    "{:?}{}{}",
                    p.shape,
                    p.dtype,
                    if p.requires_grad { "" } else { " frozen" }
                )
            });
            out += &format!(" {name}={}", shape.unwrap_or("None".into()));
        }
        for (name, id) in &module.buffers {
            out += &format!(" ({name}={:?})", trace.buffers[id.index()].shape);
        }
        for (name, value) in &module.attributes {
            out += &format!(" .{name}={}", show(trace, value));
        }
        out += "\n";
    }
    if !trace.calls.is_empty() {
        call(trace, CallId::new(0), 0, &mut out);
    }
    out
}

fn call(trace: &Trace, id: CallId, depth: usize, out: &mut String) {
    let c = trace.call(id);
    let what = match &c.target {
        Target::Module(module) => format!("[{}]", trace.module(*module).class.name),
        Target::Function(name) => name.to_string(),
        Target::Operator(name) => format!("<{name}>"),
    };
    let args: Vec<String> = c
        .arguments
        .iter()
        .map(|a| {
            format!(
                "{}{}{}",
                a.name,
                match a.passed {
                    modelcost_core::trace::Passed::Position => "=",
                    modelcost_core::trace::Passed::Keyword => "==",
                    modelcost_core::trace::Passed::Default => "~",
                },
                show(trace, &a.value)
            )
        })
        .collect();
    *out += &format!(
        "{}{what}({}) -> {}\n",
        "  ".repeat(depth),
        args.join(", "),
        show(trace, &c.output)
    );
    for (inner, _) in trace.direct(id) {
        call(trace, inner, depth + 1, out);
    }
}

fn show(trace: &Trace, value: &Value) -> String {
    match value {
        Value::Tensor(id) => format!(
            "%{}{:?}",
            id.index(),
            trace.tensor(*id).shape.as_deref().unwrap_or(&[])
        ),
        Value::Tuple(items) => format!(
            "({})",
            items
                .iter()
                .map(|i| show(trace, i))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Value::List(items) => format!(
            "[{}]",
            items
                .iter()
                .map(|i| show(trace, i))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Value::Dict(items) => format!(
            "{{{}}}",
            items
                .iter()
                .map(|(k, i)| format!("{k}: {}", show(trace, i)))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Value::Int(dim) => dim.to_string(),
        other => format!("{other:?}"),
    }
}
