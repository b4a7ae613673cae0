//! Shapes, types and small values of everything in a model.
//!
//! Inference runs the model once on what is known about its inputs. Functions are expanded where
//! they are called, a branch on a known condition is followed, and a loop of known length is
//! unrolled, so that the result is a flat [`Program`] in which every value has one producer.
//! A size that nothing determines is a symbol `?…`: the rank is still there, and two values that
//! must have the same unknown size have the same symbol. Nothing is guessed.

mod arithmetic;
mod bounds;
mod control;
mod engine;
mod fact;
mod given;
mod op;
mod order;
mod program;
mod rules;
mod size;

pub use engine::infer;
pub use fact::{Content, Fact, Scalar, SequenceFact, TensorFact};
pub use program::{
    Binding, Frame, FrameId, FrameKind, Options, Origin, Program, Step, StepId, ValueData, ValueId,
};
