//! Traces drawn by hand: a convention tried on a call or two, without a file.

use crate::dim::Dim;
use crate::dtype::DType;
use crate::trace::{Argument, Class, Module, Origin, Shape, Target, TensorId, Trace, TraceBuilder};
use crate::value::Value;

/// A shape of known sizes.
pub fn shape(sizes: &[usize]) -> Shape {
    sizes.iter().map(|size| Dim::from(*size)).collect()
}

/// A model of class `test.Model`, whose call has begun.
pub fn model() -> TraceBuilder {
    let mut builder = TraceBuilder::new("test", "test");
    let root = builder.module(Module {
        class: Class::new("test.Model"),
        ..Module::default()
    });
    builder.begin(Target::Module(root), Vec::new(), None);
    builder
}

/// A `float32` tensor that comes from outside.
pub fn tensor(builder: &mut TraceBuilder, sizes: &[usize]) -> TensorId {
    builder.tensor(Some(shape(sizes)), Some(DType::Float32), Origin::Input)
}

/// A call of an operator, and the tensor that it returns.
pub fn operator(
    builder: &mut TraceBuilder,
    name: &str,
    arguments: &[(&str, Value)],
    out: &[usize],
) -> TensorId {
    let arguments = arguments
        .iter()
        .map(|(name, value)| Argument::new(*name, value.clone()));
    let target = Target::Operator(name.into());
    builder.leaf(target, arguments.collect(), shape(out), DType::Float32)
}

/// A call of a function on fresh tensors, given by position, and further arguments; and the tensor
/// that it returns.
pub fn function(
    builder: &mut TraceBuilder,
    name: &str,
    tensors: &[&[usize]],
    rest: Vec<Argument>,
    out: &[usize],
) -> TensorId {
    let tensors = tensors.iter();
    let mut arguments: Vec<_> = tensors
        .map(|sizes| Argument::new("", tensor(builder, sizes)))
        .collect();
    arguments.extend(rest);
    let target = Target::Function(name.into());
    builder.leaf(target, arguments, shape(out), DType::Float32)
}

/// The trace of a model that returns a tensor.
pub fn returning(mut builder: TraceBuilder, output: TensorId) -> Trace {
    builder.end(Value::Tensor(output));
    builder.finish()
}
