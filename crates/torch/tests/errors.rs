//! What is said when a use is wrong: a sentence with the numbers, and the argument at fault.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::value::Value;
use modelcost_torch::{ArgumentRef, Arguments, TorchError, Tracer};

fn ints(values: &[i64]) -> Arguments {
    Arguments::of(values.iter().map(|value| Value::from(*value)))
}

fn construct(class: &str, arguments: Arguments) -> TorchError {
    Tracer::new("test", "test")
        .construct(class, &arguments, "m")
        .expect_err("it must be refused")
}

fn tensor(tracer: &mut Tracer, sizes: &[i64]) -> Value {
    let shape = sizes.iter().map(|size| Dim::from(*size)).collect();
    tracer.input("x", shape, DType::Float32).into()
}

fn call(class: &str, arguments: Arguments, sizes: &[i64]) -> String {
    let mut tracer = Tracer::new("test", "test");
    let module = tracer
        .construct(class, &arguments, "m")
        .expect("it can be made");
    let input = tensor(&mut tracer, sizes);
    let result = tracer.call_module(module, &Arguments::of([input]), None);
    result.expect_err("it must be refused").message
}

fn function(name: &str, shapes: &[&[i64]], rest: &[Value]) -> String {
    let mut tracer = Tracer::new("test", "test");
    let mut arguments = Arguments::new();
    for sizes in shapes {
        let input = tensor(&mut tracer, sizes);
        arguments = arguments.with(input);
    }
    arguments.positional.extend(rest.iter().cloned());
    let result = tracer.call_function(name, &arguments, None);
    result.expect_err("it must be refused").message
}

#[test]
fn unknown_names() {
    let error = construct("Cnv2d", ints(&[3, 64, 3]));
    assert_eq!(
        error.message,
        "there is no class 'Cnv2d'; did you mean 'Conv2d'?"
    );
    assert_eq!(error.suggestion.as_deref(), Some("Conv2d"));
    let error = construct("Conv2d", ints(&[3, 64, 3]).named("paddin", 1));
    assert_eq!(
        error.message,
        "Conv2d has no argument 'paddin'; did you mean 'padding'?"
    );
    assert_eq!(error.argument, Some(ArgumentRef::Name("paddin".into())));
    assert_eq!(
        function("F.rellu", &[&[1]], &[]),
        "there is no function 'F.rellu'; did you mean 'F.relu'?"
    );
    assert_eq!(
        function("torch.flattn", &[&[1]], &[]),
        "there is no function 'torch.flattn'; did you mean 'torch.flatten'?"
    );
    assert_eq!(
        function("torch.silu", &[&[1]], &[]),
        "there is no function 'torch.silu'; did you mean 'F.silu'?"
    );
    assert_eq!(
        function("Tensor.veiw", &[&[1]], &[]),
        "there is no function 'Tensor.veiw'; did you mean 'Tensor.view'?"
    );
}

#[test]
fn arguments_that_cannot_be() {
    let error = construct("Conv2d", ints(&[3, 64]));
    assert_eq!(
        error.message,
        "Conv2d is missing the argument 'kernel_size'; to have \
        'in_channels' inferred, give the others by name, or write LazyConv2d(…)"
    );
    let error = construct("Conv2d", ints(&[3, 64, 3]).named("groups", 2));
    assert_eq!(
        error.message,
        "Conv2d: in_channels (3) must be divisible by groups (2)"
    );
    assert_eq!(error.argument, Some(ArgumentRef::Name("groups".into())));
    let error = construct("Linear", ints(&[-3, 4]));
    assert_eq!(
        error.message,
        "Linear: 'in_features' must be at least 0, but it is -3"
    );
    assert_eq!(error.argument, Some(ArgumentRef::Position(0)));
    let error = construct("Conv2d", ints(&[3, 64, 3]).named("stride", "two"));
    assert_eq!(
        error.message,
        "Conv2d: 'stride' must be an integer or a list of integers, but it is 'two'"
    );
    let error = construct("Linear", ints(&[i64::MAX, i64::MAX]));
    assert_eq!(
        error.message,
        "Linear: 'weight' would be too large to exist"
    );
    let error = construct("LSTM", ints(&[8, 8, 1_000_000_000]));
    assert_eq!(
        error.message,
        "LSTM: 'num_layers' must be known and at most 10000"
    );
    let error = construct("Dropout", Arguments::new().named("p", 1.5));
    assert_eq!(
        error.message,
        "Dropout: 'p' is a probability between 0 and 1, not 1.5"
    );
}

#[test]
fn shapes_that_do_not_fit() {
    assert_eq!(
        call("Linear", ints(&[9216, 10]), &[1, 256, 7, 7]),
        "Linear expects 9216 features in the last dimension, but the input is 1×256×7×7"
    );
    assert_eq!(
        call("Conv2d", ints(&[3, 64, 3]), &[1, 4, 8, 8]),
        "Conv2d expects 3 channels, but the input is 1×4×8×8"
    );
    assert_eq!(
        call("Conv2d", ints(&[3, 64, 3]), &[1, 3]),
        "Conv2d expects an input of 4 dimensions, or 3 without a batch, but the input is 1×3"
    );
    assert_eq!(
        call("Conv2d", ints(&[3, 64, 11]), &[1, 3, 8, 8]),
        "Conv2d has a kernel of 11×11, larger than the padded input of 8×8"
    );
    assert_eq!(
        call("BatchNorm2d", ints(&[3]), &[1, 3, 8]),
        "BatchNorm2d expects an input of 4 dimensions, but it is 1×3×8"
    );
    assert_eq!(
        call("LSTM", ints(&[8, 8]), &[1, 3, 9]),
        "LSTM expects 8 features in the last dimension, but the input is 1×3×9"
    );
    assert_eq!(
        function("operator.add", &[&[1, 64, 56, 56], &[1, 128, 56, 56]], &[]),
        "+ cannot broadcast 1×64×56×56 with 1×128×56×56: 64 against 128"
    );
    assert_eq!(
        function("operator.matmul", &[&[2, 3], &[4, 5]], &[]),
        "@ cannot multiply 2×3 by 4×5"
    );
    assert_eq!(
        function("Tensor.view", &[&[2, 3]], &[4.into(), (-1).into()]),
        "view cannot make 4×-1 of 2×3"
    );
    assert_eq!(
        function("torch.flatten", &[&[2, 3]], &[2.into()]),
        "flatten is given dimension 2, but the input has 2 (from -2 to 1)"
    );
    assert_eq!(
        function("F.relu", &[], &[3.into()]),
        "relu: the input must be a tensor, but it is 3"
    );
}

#[test]
fn sizes_without_bound() {
    let huge = i64::MAX / 2;
    assert!(
        call("ZeroPad2d", ints(&[huge]), &[1, 3, 8, 8])
            .contains("more elements than 64 bits can count")
    );
    assert!(
        function("Tensor.repeat", &[&[2]], &[huge.into(), huge.into()])
            .contains("more elements than 64 bits can count")
    );
    assert!(
        function("torch.split", &[&[1_000_000_000]], &[1.into()])
            .contains("would make 1000000000 pieces")
    );
    assert!(
        function(
            "F.interpolate",
            &[&[1, 1, 2, 2]],
            &[Value::None, Value::Float(1e300)]
        )
        .starts_with("interpolate cannot scale")
    );
}
