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

/// PyTorch 2.15.0, `sum(p.numel() for p in m.parameters())`.
#[test]
fn parameter_counts() {
    let grouped = ints(&[32, 64, 3]).named("groups", 2);
    for (class, arguments, count) in [
        ("Linear", ints(&[512, 1000]), 513_000),
        ("Conv2d", ints(&[3, 64, 3]), 1_792),
        ("Conv2d", grouped, 9_280),
        ("BatchNorm2d", ints(&[64]), 128),
        ("LayerNorm", ints(&[128]), 256),
        ("LSTM", ints(&[128, 256]), 395_264),
        ("GRU", ints(&[128, 256]), 296_448),
        ("MultiheadAttention", ints(&[512, 8]), 1_050_624),
        ("TransformerEncoderLayer", ints(&[512, 8, 2048]), 3_152_384),
        ("Transformer", Arguments::new(), 44_140_544),
    ] {
        let mut tracer = Tracer::new("test", "test");
        let module = tracer.construct(class, &arguments, "").unwrap();
        let found = tracer.builder.trace().parameter_count(module).0;
        assert_eq!(found, Dim::from(count), "{class}");
    }
}

#[test]
fn sizes_can_be_symbols() {
    let mut tracer = Tracer::new("test", "test");
    let size = [
        Dim::symbol("batch"),
        Dim::from(3),
        Dim::symbol("height"),
        Dim::from(32),
    ];
    let mut x: Value = tracer.input("x", size.to_vec(), DType::Float32).into();
    for (class, arguments) in [
        (
            "Conv2d",
            ints(&[3, 8, 3]).named("stride", 2).named("padding", 1),
        ),
        ("BatchNorm2d", ints(&[8])),
        ("MaxPool2d", ints(&[2])),
        ("AdaptiveAvgPool2d", ints(&[1])),
        ("Flatten", Arguments::new()),
        ("Linear", ints(&[8, 10])),
    ] {
        let module = tracer.construct(class, &arguments, "").unwrap();
        x = tracer
            .call_module(module, &Arguments::of([x]), None)
            .unwrap();
    }
    let trace = tracer.finish();
    let shapes: Vec<String> = trace
        .calls
        .iter()
        .filter(|call| matches!(call.target, Target::Module(_)))
        .map(|call| modelcost_torch::show::value(&trace, &call.output))
        .collect();
    assert_eq!(
        shapes,
        [
            "a tensor of batch×8×((height + 1)//2)×16",
            "a tensor of batch×8×((height + 1)//2)×16",
            "a tensor of batch×8×((height + 1)//4)×8",
            "a tensor of batch×8×1×1",
            "a tensor of batch×8",
            "a tensor of batch×10",
        ]
    );
}

#[test]
fn a_copy_shares_nothing() {
    let mut tracer = Tracer::new("test", "test");
    let layer = tracer
        .construct("TransformerEncoderLayer", &ints(&[8, 2, 16]), "first")
        .unwrap();
    let copy = tracer.copy_module(layer, "second.0").unwrap();
    let trace = tracer.builder.trace();
    let names = |module| {
        let parameters = trace.named_parameters(module);
        let full = parameters
            .iter()
            .map(|(_, id)| trace.parameter(*id).name.to_string());
        full.collect::<Vec<_>>()
    };
    assert_eq!(names(layer).len(), 12);
    assert_eq!(names(copy)[0], "second.0.self_attn.in_proj_weight");
    assert!(names(copy).iter().all(|name| !names(layer).contains(name)));
    let input: Value = tracer.input("x", shape(&[5, 2, 8]), DType::Float32).into();
    tracer
        .call_module(copy, &Arguments::of([input]), None)
        .unwrap();
}

#[test]
fn one_module_called_twice_is_two_calls() {
    let mut tracer = Tracer::new("test", "test");
    let linear = tracer.construct("LazyLinear", &ints(&[8]), "fc").unwrap();
    assert!(tracer.is_lazy(linear));
    let mut x: Value = tracer.input("x", shape(&[2, 8]), DType::Float32).into();
    for _ in 0..2 {
        x = tracer
            .call_module(linear, &Arguments::of([x]), None)
            .unwrap();
    }
    let trace = tracer.finish();
    assert_eq!(trace.calls_by_module()[linear.index()].len(), 2);
    assert_eq!(trace.parameter_count(linear).0, Dim::from(72));
}

#[test]
fn an_error_inside_leaves_no_call_open() {
    let mut tracer = Tracer::new("test", "test");
    let layer = tracer
        .construct("TransformerEncoderLayer", &ints(&[8, 2, 16]), "m")
        .unwrap();
    let input: Value = tracer.input("x", shape(&[5, 2, 7]), DType::Float32).into();
    let error = tracer
        .call_module(layer, &Arguments::of([input]), None)
        .unwrap_err();
    assert_eq!(
        error.message,
        "TransformerEncoderLayer expects 8 features in the last dimension, but 'src' is 5×2×7"
    );
    assert_eq!(tracer.builder.depth(), 0);
}

/// Every line of the tables can be read, and what it calls exists.
#[test]
fn tables_are_consistent() {
    for class in modelcost_torch::classes() {
        assert!(!class.doc().is_empty() && class.doc().ends_with('.'));
        assert_eq!(class.signature().name, class.short_name());
        for parameter in &class.signature().parameters {
            assert!(!parameter.name.is_empty(), "{}", class.signature_text());
        }
        let found = modelcost_torch::class(class.name()).expect("it is found by its name");
        assert_eq!(found.name(), class.name());
    }
    for function in modelcost_torch::functions() {
        assert!(!function.doc().is_empty() && function.doc().ends_with('.'));
        for parameter in &function.signature().parameters {
            assert!(!parameter.name.is_empty(), "{}", function.signature_text());
        }
        for name in function.names() {
            let found = modelcost_torch::function(&name).expect("it is found by its name");
            assert_eq!(found.signature_text(), function.signature_text(), "{name}");
        }
    }
}
