//! Whatever is asked of the vocabulary, it answers in bounded time and does not panic.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::value::Value;
use modelcost_torch::{Arguments, Tracer, classes, functions};
use proptest::prelude::*;

fn integer() -> impl Strategy<Value = Dim> {
    prop_oneof![
        8 => (0i64..9).prop_map(Dim::from),
        2 => (-3i64..0).prop_map(Dim::from),
        1 => prop_oneof![
            Just(i64::MAX), Just(i64::MIN), Just(1 << 40), Just(1 << 62), Just(65_537)
        ].prop_map(Dim::from),
        1 => Just(Dim::symbol("n")),
        1 => Just(Dim::symbol("n") * 2 + 1),
        1 => Just(Dim::Overflow),
        1 => Just(Dim::Const(i128::MAX)),
    ]
}

/// A value of any kind; a tensor by its place among the inputs.
#[derive(Clone, Debug)]
enum Any {
    Value(Value),
    Tensor(usize),
    Tensors(Vec<usize>),
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => integer().prop_map(Value::Int),
        1 => Just(Value::None),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => prop_oneof![
            Just(0.0), Just(0.5), Just(2.0), Just(-1.0), Just(f64::NAN), Just(f64::INFINITY),
            Just(1e300)
        ].prop_map(Value::Float),
        1 => prop_oneof![
            Just("same"), Just("zeros"), Just("ij,jk->ik"), Just("...i,i->..."), Just("mean"),
            Just("bilinear"), Just("")
        ].prop_map(Value::from),
        1 => Just(Value::DType(DType::Float16)),
        1 => Just(Value::Opaque("...".into())),
        1 => Just(Value::Opaque("LayerNorm".into())),
    ]
}

fn any_value() -> impl Strategy<Value = Any> {
    prop_oneof![
        6 => leaf().prop_map(Any::Value),
        3 => prop::collection::vec(leaf(), 0..4).prop_map(|v| Any::Value(Value::Tuple(v))),
        1 => prop::collection::vec(leaf(), 0..4).prop_map(|v| Any::Value(Value::List(v))),
        4 => (0usize..3).prop_map(Any::Tensor),
        1 => prop::collection::vec(0usize..3, 0..3).prop_map(Any::Tensors),
    ]
}

fn shapes() -> impl Strategy<Value = Vec<(Vec<Dim>, bool)>> {
    let shape = prop::collection::vec(
        prop_oneof![6 => (1i64..9).prop_map(Dim::from), 1 => integer()],
        0..6,
    );
    prop::collection::vec((shape, prop::bool::weighted(0.2)), 3)
}

fn inputs(tracer: &mut Tracer, shapes: Vec<(Vec<Dim>, bool)>) -> Vec<Value> {
    let tensors = shapes.into_iter().map(|(shape, integers)| {
        let dtype = if integers {
            DType::Int64
        } else {
            DType::Float32
        };
        tracer.input("x", shape, dtype).into()
    });
    tensors.collect()
}

fn resolve(any: Any, inputs: &[Value]) -> Value {
    match any {
        Any::Value(value) => value,
        Any::Tensor(index) => inputs[index].clone(),
        Any::Tensors(indices) => Value::List(indices.iter().map(|i| inputs[*i].clone()).collect()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn modules(
        index in 0usize..10_000,
        positional in prop::collection::vec(any_value(), 0..6),
        call in prop::collection::vec(any_value(), 0..3),
        shapes in shapes(),
    ) {
        let all: Vec<_> = classes().collect();
        let class = all[index % all.len()];
        let mut tracer = Tracer::new("hostile", "test");
        let inputs = inputs(&mut tracer, shapes);
        let arguments = Arguments::of(positional.into_iter().map(|a| resolve(a, &inputs)));
        let Ok(module) = tracer.construct(class.name(), &arguments, "m") else { return Ok(()) };
        let first = inputs[0].clone();
        let rest = call.into_iter().map(|a| resolve(a, &inputs));
        let _ = tracer.call_module(module, &Arguments::of([first].into_iter().chain(rest)), None);
        prop_assert_eq!(tracer.builder.depth(), 0);
    }

    #[test]
    fn sensible_modules(
        index in 0usize..10_000,
        sizes in prop::collection::vec(1i64..9, 0..6),
        shapes in shapes(),
    ) {
        let all: Vec<_> = classes().collect();
        let class = all[index % all.len()];
        let mut tracer = Tracer::new("hostile", "test");
        let inputs = inputs(&mut tracer, shapes);
        let arguments = Arguments::of(sizes.into_iter().map(Value::from));
        let Ok(module) = tracer.construct(class.name(), &arguments, "m") else { return Ok(()) };
        for count in 1..=3 {
            let arguments = Arguments::of(inputs[..count].iter().cloned());
            let _ = tracer.call_module(module, &arguments, None);
            prop_assert_eq!(tracer.builder.depth(), 0);
        }
    }

    #[test]
    fn calls_of_functions(
        index in 0usize..10_000,
        arguments in prop::collection::vec(any_value(), 0..6),
        first in prop::bool::weighted(0.8),
        shapes in shapes(),
    ) {
        let all: Vec<_> = functions().collect();
        let names = all[index % all.len()].names();
        let mut tracer = Tracer::new("hostile", "test");
        let inputs = inputs(&mut tracer, shapes);
        let mut given: Vec<Value> = arguments.into_iter().map(|a| resolve(a, &inputs)).collect();
        if first {
            given.insert(0, inputs[0].clone());
        }
        let name = &names[index % names.len()];
        let _ = tracer.call_function(name, &Arguments::of(given), None);
        prop_assert_eq!(tracer.builder.depth(), 0);
    }
}
