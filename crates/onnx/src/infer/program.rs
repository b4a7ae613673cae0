//! The result of inference: every operator call and every value.

use std::collections::BTreeMap;

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use rustc_hash::FxHashMap;

use super::fact::{Content, Fact};
use super::op::{CallAttribute, resolve};
use crate::model::{AttributeValue, Function, Graph, Node, Tensor};

/// What the user says about the inputs of a model.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Sizes of symbolic dimensions.
    pub dims: Vec<(SmolStr, Dim)>,
    /// Shapes of inputs.
    pub inputs: Vec<(SmolStr, Vec<Dim>)>,
    /// Values of inputs, which become constants.
    pub values: Vec<(SmolStr, Binding)>,
}

/// The value of an input. Booleans are 0 and 1; a scalar has no shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding(pub Content);

/// The position of a value in [`Program::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// The position of an operator call in [`Program::steps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(pub u32);

/// The position of a frame in [`Program::frames`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(pub u32);

/// A model that was run on what is known about its inputs.
#[derive(Debug, Default)]
pub struct Program<'m> {
    /// Every value.
    pub values: Vec<ValueData<'m>>,
    /// Every operator call in order, those of functions and subgraphs included.
    pub steps: Vec<Step<'m>>,
    /// Where operator calls stand: the main graph first.
    pub frames: Vec<Frame<'m>>,
    /// The inputs of the model that are not initializers.
    pub inputs: Vec<(&'m str, ValueId)>,
    /// The outputs of the model.
    pub outputs: Vec<(&'m str, ValueId)>,
    /// The values of the main graph by name.
    pub names: FxHashMap<&'m str, ValueId>,
    /// Operators that inference has no rule for, and how many calls of each there are.
    pub unsupported: BTreeMap<String, usize>,
}

/// A value.
#[derive(Clone, Debug)]
pub struct ValueData<'m> {
    /// Its name where it is defined.
    pub name: &'m str,
    /// What is known about it.
    pub fact: Fact,
    /// Where it comes from.
    pub origin: Origin<'m>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'m> {
    /// An input of the model.
    Input,
    /// An initializer.
    Initializer(&'m Tensor<'m>),
    /// A sparse initializer.
    SparseInitializer,
    /// An output of an operator call.
    Step(StepId, u32),
    /// An optional input that a function call leaves out.
    Absent,
    /// What a loop or an unresolved branch passes in or out.
    Block,
}

/// One operator call.
#[derive(Clone, Debug)]
pub struct Step<'m> {
    /// The node in the file.
    pub node: &'m Node<'m>,
    /// Where it stands.
    pub frame: FrameId,
    /// Its inputs; absent optional ones are `None`.
    pub inputs: Vec<Option<ValueId>>,
    /// Its outputs; those that nothing asks for are `None`.
    pub outputs: Vec<Option<ValueId>>,
}

/// A graph or a function body that operator calls stand in.
#[derive(Clone, Debug)]
pub struct Frame<'m> {
    /// What it is.
    pub kind: FrameKind<'m>,
    /// The frame around it.
    pub parent: Option<FrameId>,
    /// The node that calls it.
    pub node: Option<&'m Node<'m>>,
    /// Attributes of the function call, with the function's defaults.
    pub attributes: Vec<CallAttribute<'m>>,
    /// The operator sets in force.
    pub opset_import: &'m [(&'m str, i64)],
}

/// What a frame is.
#[derive(Clone, Debug)]
pub enum FrameKind<'m> {
    /// The main graph.
    Main(&'m Graph<'m>),
    /// The body of a function.
    Function(&'m Function<'m>),
    /// A branch of an `If`, and whether it is known to be taken.
    Branch(&'m Graph<'m>, bool),
    /// The body of a loop, and how often it runs.
    Loop(&'m Graph<'m>, Option<Dim>),
}

impl<'m> Program<'m> {
    /// A value.
    pub fn value(&self, id: ValueId) -> &ValueData<'m> {
        &self.values[id.0 as usize]
    }

    /// What is known about a value.
    pub fn fact(&self, id: ValueId) -> &Fact {
        &self.value(id).fact
    }

    /// A frame.
    pub fn frame(&self, id: FrameId) -> &Frame<'m> {
        &self.frames[id.0 as usize]
    }

    /// An attribute of an operator call, looked up through the function call around it.
    pub fn attribute(&self, step: &Step<'m>, name: &str) -> Option<&'m AttributeValue<'m>> {
        resolve(
            step.node.attribute(name)?,
            &self.frame(step.frame).attributes,
        )
    }

    /// How often an operator call runs: the product of the trip counts around it.
    pub fn repetitions(&self, frame: FrameId) -> Option<Dim> {
        let mut product = Dim::ONE;
        let mut at = Some(frame);
        while let Some(id) = at {
            let frame = self.frame(id);
            match &frame.kind {
                FrameKind::Loop(_, trips) => product *= trips.as_ref()?,
                FrameKind::Branch(_, false) => return None,
                _ => {}
            }
            at = frame.parent;
        }
        Some(product)
    }
}
