//! What operators dispatch to, against what a TorchDispatchMode of torch 2.15.0 saw
//! (`tests/data/dispatch.txt`, recorded by `dispatch.py` next to it).

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{Argument, CallId, Module, Origin, Passed, Target, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_torch::dispatch::expand;

#[test]
fn as_recorded() {
    let mut wrong = Vec::new();
    let mut lines = 0;
    for line in include_str!("data/dispatch.txt").lines() {
        let (call, expected) = line
            .split_once(" : ")
            .unwrap_or((line.trim_end_matches(" :"), ""));
        let found = dispatched(call);
        if found != expected {
            wrong.push(format!("{call}\n  recorded {expected}\n  found    {found}"));
        }
        lines += 1;
    }
    assert!(lines > 150, "only {lines} calls recorded");
    assert!(
        wrong.is_empty(),
        "{} of {lines}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn dispatched(call: &str) -> String {
    let (call, output) = call.split_once(" -> ").expect("an output");
    let mut builder = TraceBuilder::new("test", "test");
    let root = builder.module(Module::default());
    let mut words = call.split(' ');
    let operator = format!("aten.{}", words.next().expect("an operator"));
    let arguments: Vec<Argument> = words
        .map(|word| {
            let (name, value) = word.split_once('=').expect("an argument");
            Argument {
                name: name.into(),
                value: value_of(&mut builder, root, value),
                passed: Passed::Position,
            }
        })
        .collect();
    builder.begin(
        Target::Operator(operator.as_str().into()),
        arguments.clone(),
        None,
    );
    let output = value_of(&mut builder, root, output);
    expand(&mut builder, &operator, &arguments, &output);
    builder.end(output);
    let trace = builder.finish();
    let inner = trace.inside(CallId::new(0)).map(|(_, call)| {
        let Target::Operator(name) = &call.target else {
            panic!("not an operator");
        };
        let name = name.strip_prefix("aten.").expect("of aten");
        let shown = if name == "mkldnn_rnn_layer" { 1 } else { 3 };
        let tensors = call
            .arguments
            .iter()
            .filter_map(|argument| argument.value.tensor());
        let shapes = tensors
            .take(shown)
            .map(|id| format!("{:?}", trace.tensor(id).shape.as_ref().expect("a shape")));
        format!("{name}({})", shapes.collect::<Vec<_>>().join(", "))
    });
    inner.collect::<Vec<_>>().join(" ")
}

fn value_of(
    builder: &mut TraceBuilder,
    root: modelcost_core::trace::ModuleId,
    text: &str,
) -> Value {
    let list = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'));
    if let Some(items) = list {
        let items = items.split(';').filter(|item| !item.is_empty());
        return Value::List(items.map(|item| value_of(builder, root, item)).collect());
    }
    if text.starts_with("t[") || text.starts_with("b[") {
        let (text, trains) = match text.strip_suffix('g') {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (shape, strides) = match text.split_once('/') {
            Some((shape, strides)) => (shape, Some(sizes(strides))),
            None => (text, None),
        };
        let shape = sizes(&shape[1..]);
        let dtype = if text.starts_with('b') {
            DType::Bool
        } else {
            DType::Float32
        };
        let id = match trains {
            true => {
                let id = builder.parameter(root, "p", "p", shape, dtype);
                builder.trace().parameter(id).tensor
            }
            false => builder.tensor(Some(shape), Some(dtype), Origin::Input),
        };
        builder.trace_mut().tensors[id.index()].strides = strides;
        return Value::Tensor(id);
    }
    match text {
        "None" => Value::None,
        "True" => Value::Bool(true),
        "False" => Value::Bool(false),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(int), _) => Value::from(int),
            (_, Ok(float)) => Value::Float(float),
            _ => Value::Str(text.into()),
        },
    }
}

fn sizes(text: &str) -> Vec<Dim> {
    let inner = text.trim_start_matches('[').trim_end_matches(']');
    let items = inner.split(',').filter(|item| !item.is_empty());
    items
        .map(|item| Dim::from(item.parse::<i64>().expect("a size")))
        .collect()
}
