//! What a program's file does not always tell, on traces made by hand: modules that stand in several
//! places, outputs that are dicts, containers that are never called. The modules are those of
//! `corpus/zoo_edge.py`, and the numbers are what the tools printed for them.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

use modelcost_core::SmolStr;
use modelcost_core::convention::{Options, find};
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::report::Report;
use modelcost_core::trace::{Class, Module, ModuleId, Trace};
use modelcost_core::value::Value;
use modelcost_torch::{Arguments, Tracer};

/// A model under construction.
struct Model(Tracer);

impl Model {
    fn new(class: &str) -> Model {
        let mut model = Model(Tracer::new(class, "test"));
        model.block(class);
        model
    }

    fn block(&mut self, class: &str) -> ModuleId {
        self.0.builder.module(Module {
            class: Class::new(class),
            ..Module::default()
        })
    }

    fn layer(&mut self, class: &str, arguments: Arguments, path: &str) -> ModuleId {
        self.0.construct(class, &arguments, path).unwrap()
    }

    fn hold(&mut self, parent: ModuleId, name: &str, child: ModuleId) {
        self.0.builder.add_child(parent, name, child);
    }

    fn input(&mut self, shape: &[i64]) -> Value {
        let shape = shape.iter().copied().map(Dim::from).collect();
        Value::Tensor(self.0.input("x", shape, DType::Float32))
    }

    fn begin(&mut self, module: ModuleId, input: &Value) {
        let arguments = Arguments::of([input.clone()]);
        self.0.begin_module(module, &arguments, None);
    }

    fn call(&mut self, module: ModuleId, input: &Value) -> Value {
        let arguments = Arguments::of([input.clone()]);
        self.0.call_module(module, &arguments, None).unwrap()
    }

    fn function(&mut self, name: &str, arguments: Vec<Value>) -> Value {
        let arguments = Arguments::of(arguments);
        self.0.call_function(name, &arguments, None).unwrap()
    }

    fn finish(mut self, output: Value) -> Trace {
        self.0.end_module(output);
        self.0.finish()
    }
}

fn report(trace: &Trace, convention: &str) -> Report {
    modelcost_conventions::link();
    let convention = find(convention).unwrap();
    let report = convention.count(trace, &Options::default()).unwrap();
    if let Some(count) = &report.count {
        let sum: Dim = report.entries.iter().map(|entry| entry.count.clone()).sum();
        assert_eq!(sum + &report.rounding, *count.count());
    }
    report
}

fn expect(trace: &Trace, convention: &str, count: i64, params: i64) {
    let report = report(trace, convention);
    let got = report.count.map(|cost| cost.count().clone());
    assert_eq!(got, Some(Dim::from(count)), "{convention}");
    assert_eq!(report.params, Some(Dim::from(params)), "{convention}");
}

/// `edge/sharing`
fn sharing() -> Trace {
    let mut model = Model::new("Sharing");
    let conv = Arguments::of([4usize, 4, 3].map(Value::from)).named("padding", 1i64);
    let conv = model.layer("Conv2d", conv, "left.inner.inner");
    let norm = model.layer("BatchNorm2d", Arguments::of([Value::from(4i64)]), "list.1");
    let (shared, left, right) = (
        model.block("Pair"),
        model.block("Pair"),
        model.block("Pair"),
    );
    let list = model.block("torch.nn.ModuleList");
    model.hold(shared, "inner", conv);
    model.hold(left, "inner", shared);
    model.hold(right, "inner", shared);
    model.hold(list, "0", conv);
    model.hold(list, "1", norm);
    for (name, child) in [
        ("left", left),
        ("right", right),
        ("again", left),
        ("list", list),
    ] {
        model.hold(Trace::ROOT, name, child);
    }
    let mut x = model.input(&[2, 4, 6, 6]);
    model.begin(Trace::ROOT, &x);
    for side in [left, right] {
        model.begin(side, &x);
        model.begin(shared, &x);
        x = model.call(conv, &x);
        model.0.end_module(x.clone());
        model.0.end_module(x.clone());
    }
    x = model.call(conv, &x);
    x = model.call(norm, &x);
    model.finish(x)
}

#[test]
fn shared_modules_are_hooked_and_added_for_every_place() {
    let trace = sharing();
    expect(&trace, "thop@0.1.1", 281_088, 452);
    expect(&trace, "thop@0.0.31", 288_288, 452);
    expect(&trace, "thop@0.0.31.post2001170342", 96_480, 156);
    expect(&trace, "thop@0.0.30", 97_056, 156);
    expect(&trace, "ultralytics-thop@2.2.3", 32_256, 156);
    expect(&trace, "ptflops@0.7.5", 48_240, 156);
    expect(&trace, "ptflops@0.6.9", 96_480, 156);
    expect(&trace, "torchinfo@1.8.0", 31_984, 452);
}

#[test]
fn shared_modules_as_torchinfo_lists_them() {
    // [depth, name, class, params, macs, output_size, is_recursive]
    let rows = serde_json::json!([
        [0, "Sharing", "Sharing", 156, 1248, [2, 4, 6, 6], false],
        [1, "again", "Pair", 148, 1184, [2, 4, 6, 6], false],
        [2, "inner", "Pair", 148, 1184, [2, 4, 6, 6], false],
        [1, "list", "ModuleList", 156, 0, [], true],
        [2, "0", "Conv2d", 148, 10656, [2, 4, 6, 6], false],
        [1, "right", "Pair", 148, 1184, [2, 4, 6, 6], false],
        [1, "again", "Pair", 148, 0, [], true],
        [2, "inner", "Pair", 148, 1184, [2, 4, 6, 6], true],
        [1, "list", "ModuleList", 156, 0, [], true],
        [2, "0", "Conv2d", 148, 10656, [2, 4, 6, 6], true],
        [2, "0", "Conv2d", 148, 10656, [2, 4, 6, 6], true],
        [2, "1", "BatchNorm2d", 8, 16, [2, 4, 6, 6], false],
    ]);
    let misses = modelcost_tests::layers::torchinfo(&sharing(), rows.as_array().unwrap());
    assert!(misses.is_empty(), "{misses:#?}");
}

/// `edge/outputs`: a block that returns a dict.
fn outputs() -> Trace {
    let mut model = Model::new("Outputs");
    let linear = model.layer(
        "Linear",
        Arguments::of([8usize, 8].map(Value::from)),
        "dict.fc",
    );
    let dict = model.block("Dict");
    model.hold(dict, "fc", linear);
    model.hold(Trace::ROOT, "dict", dict);
    let x = model.input(&[3, 8]);
    model.begin(Trace::ROOT, &x);
    model.begin(dict, &x);
    let a = model.call(linear, &x);
    let b = model.function(
        "torch.narrow",
        vec![x.clone(), 1i64.into(), 0i64.into(), 4i64.into()],
    );
    let entry = |name: &str, value: Value| (SmolStr::new(name), value);
    let output = Value::Dict(vec![
        entry("a", a.clone()),
        entry("b", Value::List(vec![b, x])),
    ]);
    model.0.end_module(output);
    model.finish(a)
}

#[test]
fn a_dict_is_taken_or_not() {
    let trace = outputs();
    // torchinfo 1.8.0 takes the first tensor of the last value: [1, "dict", "Dict", 72, 864, [3, 4], false]
    let (list, _) = modelcost_convention_torchinfo::summary(&trace).unwrap();
    let row = list.row(1);
    assert_eq!(row.output_size, [3, 4].map(Dim::from));
    assert_eq!(row.macs, Dim::from(864));
    // pytorch_model_summary 0.1.2 raises "Object not supported".
    let failure = find("pytorch_model_summary").unwrap();
    let failure = failure.count(&trace, &Options::default()).unwrap_err();
    assert!(
        failure.to_string().contains("Object not supported"),
        "{failure}"
    );
}
