//! `FlopCounterMode` of torch 2.15.0 on traces made by hand; the numbers are what it prints.

use modelcost_convention_torch as _;
use modelcost_core::convention::{Failure, Options, find};
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{
    Argument, Class, Module, ModuleId, Origin, ParameterId, Shape, Target, TensorId, Trace,
    TraceBuilder,
};
use modelcost_core::value::Value;

fn shape(sizes: &[usize]) -> Shape {
    sizes.iter().map(|size| Dim::from(*size)).collect()
}

/// Tensors by the parameters that they are given for.
type Shapes<'a> = [(&'a str, &'a [usize])];

struct Model(TraceBuilder);

impl Model {
    fn new(class: &str) -> Model {
        let mut model = Model(TraceBuilder::new("test", "test"));
        model.module(class);
        model
    }

    fn module(&mut self, class: &str) -> ModuleId {
        self.0.module(Module {
            class: Class::new(class),
            ..Module::default()
        })
    }

    fn input(&mut self, sizes: &[usize]) -> TensorId {
        self.0
            .tensor(Some(shape(sizes)), Some(DType::Float32), Origin::Input)
    }

    fn parameter(
        &mut self,
        module: ModuleId,
        name: &str,
        sizes: &[usize],
        trained: bool,
    ) -> TensorId {
        let path = format!("{}.{name}", module.index());
        let id: ParameterId = self
            .0
            .parameter(module, name, path, shape(sizes), DType::Float32);
        let parameter = &mut self.0.trace_mut().parameters[id.index()];
        parameter.requires_grad = trained;
        parameter.tensor
    }

    fn begin(&mut self, module: ModuleId, arguments: &[(&str, TensorId)]) {
        let arguments = arguments.iter().map(|(name, id)| Argument::new(*name, *id));
        let target = Target::Module(module);
        self.0.begin(target, arguments.collect(), None);
    }

    /// An operator that dispatches to another one, which is given the tensors' shapes.
    fn operator(
        &mut self,
        outer: (&str, &[(&str, TensorId)]),
        inner: (&str, &Shapes<'_>, &[usize]),
        out: &[usize],
    ) -> TensorId {
        let arguments = outer.1.iter().map(|(name, id)| Argument::new(*name, *id));
        let target = Target::Operator(outer.0.into());
        self.0.begin(target, arguments.collect(), None);
        let mut arguments = Vec::new();
        for (name, sizes) in inner.1 {
            let tensor = self
                .0
                .output_tensor(Some(shape(sizes)), Some(DType::Float32));
            arguments.push(Argument::new(*name, tensor));
        }
        let target = Target::Operator(inner.0.into());
        self.0
            .leaf(target, arguments, shape(inner.2), DType::Float32);
        let output = self.0.output_tensor(Some(shape(out)), Some(DType::Float32));
        self.0.end(Value::Tensor(output));
        output
    }

    fn linear(&mut self, x: TensorId, weight: TensorId, sizes: [usize; 3]) -> TensorId {
        let [rows, inputs, outputs] = sizes;
        self.operator(
            ("aten.linear", &[("input", x), ("weight", weight)]),
            (
                "aten.mm",
                &[("self", &[rows, inputs]), ("mat2", &[inputs, outputs])],
                &[rows, outputs],
            ),
            &[rows, outputs],
        )
    }

    fn finish(mut self, output: TensorId) -> Trace {
        while self.0.depth() > 0 {
            self.0.end(Value::Tensor(output));
        }
        self.0.finish()
    }
}

fn count(trace: &Trace, name: &str) -> Result<Dim, Failure> {
    let report = find(name).expect(name).count(trace, &Options::default())?;
    let sum: Dim = report.entries.iter().map(|entry| entry.count.clone()).sum();
    let count = report.count.expect("it counts").count().clone();
    assert_eq!(count, sum + &report.rounding);
    Ok(count)
}

fn counts(trace: &Trace) -> [Result<Dim, Failure>; 2] {
    ["torch@2.15.0", "torch@2.15.0/train"].map(|name| count(trace, name))
}

#[test]
fn the_input_gets_no_gradient_and_a_shared_weight_does_each_time() {
    // One Linear(32, 32) called three times on 2×32: 12288 forward, 32768 with the backward pass.
    let mut model = Model::new("test.Shared");
    let layer = model.module("torch.nn.Linear");
    let weight = model.parameter(layer, "weight", &[32, 32], true);
    let mut x = model.input(&[2, 32]);
    model.begin(Trace::ROOT, &[("x", x)]);
    for _ in 0..3 {
        x = model.linear(x, weight, [2, 32, 32]);
    }
    let trace = model.finish(x);
    assert_eq!(
        counts(&trace),
        [Ok(Dim::from(12_288)), Ok(Dim::from(32_768))]
    );
}

#[test]
fn a_frozen_layer_passes_gradients_on() {
    // Linear(8, 16) trained, Linear(16, 16) frozen, on 4×8: the frozen one costs twice its product.
    let chain = |first: bool, second: bool| {
        let mut model = Model::new("test.Chain");
        let a = model.parameter(Trace::ROOT, "a", &[16, 8], first);
        let b = model.parameter(Trace::ROOT, "b", &[16, 16], second);
        let x = model.input(&[4, 8]);
        model.begin(Trace::ROOT, &[("x", x)]);
        let y = model.linear(x, a, [4, 8, 16]);
        let z = model.linear(y, b, [4, 16, 16]);
        counts(&model.finish(z))
    };
    let forward = || Ok(Dim::from(1024 + 2048));
    assert_eq!(
        chain(true, false),
        [forward(), Ok(Dim::from(2 * 1024 + 2 * 2048))]
    );
    assert_eq!(
        chain(false, true),
        [forward(), Ok(Dim::from(1024 + 2 * 2048))]
    );
    let [_, none] = chain(false, false);
    let error = none.expect_err("nothing requires a gradient").to_string();
    assert!(error.contains("no output requires a gradient"), "{error}");
}

#[test]
fn the_gradient_of_a_grouped_weight_is_counted_without_groups() {
    // nn.Conv2d(32, 64, 3, padding=1, groups=2) on 1×32×56×56: 57802752, 173408256.
    let mut model = Model::new("torch.nn.Conv2d");
    let weight = model.parameter(Trace::ROOT, "weight", &[64, 16, 3, 3], true);
    let x = model.input(&[1, 32, 56, 56]);
    model.begin(Trace::ROOT, &[("input", x)]);
    let out = model.operator(
        ("aten.conv2d", &[("input", x), ("weight", weight)]),
        (
            "aten.convolution",
            &[("input", &[1, 32, 56, 56]), ("weight", &[64, 16, 3, 3])],
            &[1, 64, 56, 56],
        ),
        &[1, 64, 56, 56],
    );
    let trace = model.finish(out);
    assert_eq!(
        counts(&trace),
        [Ok(Dim::from(57_802_752)), Ok(Dim::from(173_408_256))]
    );
}

/// nn.MultiheadAttention(32, 4) applied to one tensor as query, key and value, with a product
/// inside that stands for its work.
fn attention(batch_first: bool, heads: usize, bias: bool, trained: bool) -> Trace {
    let mut model = Model::new("torch.nn.MultiheadAttention");
    let attributes = [
        ("num_heads", Value::from(heads)),
        ("batch_first", Value::from(batch_first)),
    ];
    model.0.trace_mut().modules[0].attributes = attributes
        .map(|(name, value)| (name.into(), value))
        .to_vec();
    let weight = model.parameter(Trace::ROOT, "in_proj_weight", &[96, 32], trained);
    if bias {
        model.parameter(Trace::ROOT, "in_proj_bias", &[96], trained);
    }
    let x = model.input(&[2, 5, 32]);
    model.begin(Trace::ROOT, &[("query", x), ("key", x), ("value", x)]);
    let out = model.linear(x, weight, [10, 32, 96]);
    model.finish(out)
}

#[test]
fn attention_is_hidden_without_gradients() {
    let work = Ok(Dim::from(2 * 10 * 32 * 96));
    let hidden = Ok(Dim::ZERO);
    let fused = |trace: &Trace| count(trace, "torch@2.15.0/fused");
    assert_eq!(fused(&attention(true, 4, true, true)), hidden);
    // What keeps it from the fused path in torch/nn/modules/activation.py.
    for slow in [
        attention(false, 4, true, true),
        attention(true, 3, true, true),
        attention(true, 4, false, true),
    ] {
        assert_eq!(fused(&slow), work);
    }
    // With gradients enabled it is hidden only if nothing in it requires one.
    assert_eq!(count(&attention(true, 4, true, true), "torch@2.15.0"), work);
    assert_eq!(
        count(&attention(true, 4, true, false), "torch@2.15.0"),
        hidden
    );
}

#[test]
fn variants_are_found_by_name() {
    let identity = |name: &str| find(name).expect(name).info().identity();
    assert_eq!(identity("torch"), "torch@2.15.0");
    assert_eq!(identity("torch/train"), "torch@2.15.0/train");
    assert_eq!(identity("torch@2.15/fused"), "torch@2.15.0/fused");
}
