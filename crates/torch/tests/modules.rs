//! Modules: what they own and what calling them calls.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{Target, Trace};
use modelcost_core::value::Value;
use modelcost_torch::{Arguments, Tracer};

/// Values of positional arguments.
fn ints(values: &[i64]) -> Arguments {
    Arguments::of(values.iter().map(|value| Value::from(*value)))
}

fn shape(sizes: &[i64]) -> Vec<Dim> {
    sizes.iter().map(|size| Dim::from(*size)).collect()
}

/// One module, constructed and called on inputs of the given shapes.
fn run(class: &str, arguments: Arguments, inputs: &[&[i64]]) -> Trace {
    let mut tracer = Tracer::new("test", "test");
    let module = tracer
        .construct(class, &arguments, "")
        .expect("it can be made");
    let inputs: Vec<Value> = inputs
        .iter()
        .map(|sizes| tracer.input("x", shape(sizes), DType::Float32).into())
        .collect();
    tracer
        .call_module(module, &Arguments::of(inputs), None)
        .expect("it can be called");
    tracer.finish()
}

/// The calls of a trace, indented as they nest.
fn calls(trace: &Trace) -> Vec<String> {
    trace
        .calls
        .iter()
        .map(|call| {
            let mut depth = 0;
            let mut at = call.parent;
            while let Some(parent) = at {
                depth += 1;
                at = trace.call(parent).parent;
            }
            let name = match &call.target {
                Target::Module(module) => trace.module(*module).class.name.to_string(),
                Target::Function(name) | Target::Operator(name) => name.to_string(),
            };
            format!("{}{name}", "  ".repeat(depth))
        })
        .collect()
}

#[test]
fn a_relu_calls_the_function_that_calls_the_operator() {
    let trace = run(
        "nn.ReLU",
        Arguments::new().named("inplace", true),
        &[&[2, 3]],
    );
    assert_eq!(
        calls(&trace),
        [
            "torch.nn.ReLU",
            "  torch.nn.functional.relu",
            "    aten.relu_"
        ]
    );
}

#[test]
fn left_out_channels_are_inferred() {
    for (class, arguments) in [
        ("LazyConv2d", ints(&[64, 3])),
        (
            "Conv2d",
            Arguments::new()
                .named("out_channels", 64)
                .named("kernel_size", 3),
        ),
    ] {
        let trace = run(class, arguments, &[&[1, 3, 8, 8]]);
        assert_eq!(trace.module(Trace::ROOT).class.name, "torch.nn.Conv2d");
        assert_eq!(trace.parameter_count(Trace::ROOT).0, Dim::from(1792));
        assert_eq!(
            trace.attribute(Trace::ROOT, "in_channels"),
            Some(&Value::from(3))
        );
    }
}
