//! What a shape rule sees of the node it is applied to, and what it says.

use std::cell::Cell;
use std::sync::Arc;

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::fact::{Content, Fact, Scalar, SequenceFact, TensorFact};
use crate::model::{AttributeValue, ElemType, Node, Tensor};

/// A shape rule: reads the inputs of a node and sets its outputs. It returns early, with `None`,
/// where something that it needs is unknown; what it has set by then stays.
pub(crate) type Rule = fn(&mut Op<'_, '_>) -> Option<()>;

/// One node while its rule runs.
pub(crate) struct Op<'a, 'm> {
    pub node: &'m Node<'m>,
    /// The version of the operator set that the node's domain is imported with.
    pub version: i64,
    pub inputs: Vec<Option<&'a Fact>>,
    pub outputs: Vec<Fact>,
    /// Attributes of the function call around the node, which its own may refer to.
    pub call_attributes: &'a [CallAttribute<'m>],
    pub unknowns: &'a Cell<u32>,
}

impl<'a, 'm> Op<'a, 'm> {
    /// A size that nothing determines.
    pub fn fresh(&self) -> Dim {
        fresh(self.unknowns)
    }

    /// A shape of known rank and unknown sizes.
    pub fn fresh_shape(&self, rank: usize) -> Vec<Dim> {
        (0..rank.min(MAX_RANK)).map(|_| self.fresh()).collect()
    }

    pub fn fact(&self, index: usize) -> Option<&'a Fact> {
        self.inputs.get(index).copied().flatten()
    }

    /// Whether an optional input is given.
    pub fn has(&self, index: usize) -> bool {
        self.fact(index).is_some()
    }

    pub fn shape(&self, index: usize) -> Option<&'a [Dim]> {
        self.fact(index)?.shape()
    }

    pub fn rank(&self, index: usize) -> Option<usize> {
        self.shape(index).map(<[Dim]>::len)
    }

    pub fn dtype(&self, index: usize) -> Option<DType> {
        self.fact(index)?.dtype()
    }

    pub fn content(&self, index: usize) -> Option<&'a Content> {
        self.fact(index)?.content()
    }

    /// The elements of an integer input, when all are known.
    pub fn ints(&self, index: usize) -> Option<Vec<Dim>> {
        self.content(index)?.as_ints()
    }

    /// The elements of an integer input, when all are known numbers.
    pub fn const_ints(&self, index: usize) -> Option<Vec<i64>> {
        self.ints(index)?.iter().map(Dim::as_i64).collect()
    }

    /// A scalar integer input.
    pub fn int(&self, index: usize) -> Option<Dim> {
        match self.content(index)?.items.as_slice() {
            [one] => one.int(),
            _ => None,
        }
    }

    /// The elements of a vector input one by one, unknown ones included: the content where it is
    /// kept, or as many unknowns as the shape says.
    pub fn items(&self, index: usize) -> Option<Vec<Scalar>> {
        if let Some(content) = self.content(index) {
            return Some(content.items.clone());
        }
        let [length] = self.shape(index)? else {
            return None;
        };
        let length = length.as_usize().filter(|length| *length <= MAX_RANK)?;
        Some(vec![Scalar::Unknown; length])
    }

    // Attributes.

    /// The attribute, looked up through the function call around the node.
    pub fn attr(&self, name: &str) -> Option<&'m AttributeValue<'m>> {
        resolve(self.node.attribute(name)?, self.call_attributes)
    }

    pub fn attr_int(&self, name: &str) -> Option<i64> {
        match self.attr(name)? {
            AttributeValue::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub fn attr_int_or(&self, name: &str, default: i64) -> i64 {
        self.attr_int(name).unwrap_or(default)
    }

    pub fn attr_ints(&self, name: &str) -> Option<&'m [i64]> {
        match self.attr(name)? {
            AttributeValue::Ints(values) => Some(values),
            _ => None,
        }
    }

    pub fn attr_floats(&self, name: &str) -> Option<&'m [f32]> {
        match self.attr(name)? {
            AttributeValue::Floats(values) => Some(values),
            _ => None,
        }
    }

    pub fn attr_str(&self, name: &str) -> Option<&'m str> {
        match self.attr(name)? {
            AttributeValue::String(value) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }

    pub fn attr_tensor(&self, name: &str) -> Option<&'m Tensor<'m>> {
        match self.attr(name)? {
            AttributeValue::Tensor(value) => Some(value),
            _ => None,
        }
    }

    /// The number of elements of a list attribute.
    pub fn attr_len(&self, name: &str) -> Option<usize> {
        match self.attr(name)? {
            AttributeValue::Ints(values) => Some(values.len()),
            AttributeValue::Floats(values) => Some(values.len()),
            AttributeValue::Strings(values) => Some(values.len()),
            AttributeValue::Tensor(tensor) => tensor.numel().map(|numel| numel as usize),
            _ => None,
        }
    }

    /// An attribute that holds an element type.
    pub fn attr_dtype(&self, name: &str) -> Option<DType> {
        ElemType(i32::try_from(self.attr_int(name)?).ok()?).dtype()
    }

    /// The same, or the default where it is not given. One that is given and no type is unknown.
    pub fn attr_dtype_or(&self, name: &str, default: impl Into<Option<DType>>) -> Option<DType> {
        match self.attr(name) {
            Some(_) => self.attr_dtype(name),
            None => default.into(),
        }
    }

    /// An axis attribute or value as an index below `rank`.
    pub fn axis(&self, axis: i64, rank: usize) -> Option<usize> {
        normalize_axis(axis, rank)
    }

    // Outputs.

    /// Whether an optional output is asked for.
    pub fn wants(&self, index: usize) -> bool {
        self.node
            .outputs
            .get(index)
            .is_some_and(|name| !name.is_empty())
    }

    fn tensor_mut(&mut self, index: usize) -> Option<&mut TensorFact> {
        let slot = self.outputs.get_mut(index)?;
        if !matches!(slot, Fact::Tensor(_)) {
            *slot = Fact::Tensor(TensorFact::default());
        }
        match slot {
            Fact::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    pub fn set(&mut self, index: usize, fact: Fact) {
        if let Some(slot) = self.outputs.get_mut(index) {
            *slot = fact;
        }
    }

    pub fn set_dtype(&mut self, index: usize, dtype: impl Into<Option<DType>>) {
        let dtype = dtype.into();
        if let Some(tensor) = self.tensor_mut(index) {
            tensor.dtype = dtype;
        }
    }

    pub fn set_shape(&mut self, index: usize, shape: Vec<Dim>) {
        if shape.len() > MAX_RANK {
            return;
        }
        if let Some(tensor) = self.tensor_mut(index) {
            tensor.shape = Some(shape);
        }
    }

    /// Sets the elements and the shape that they have.
    pub fn set_content(&mut self, index: usize, content: Content) {
        if let Some(tensor) = self.tensor_mut(index) {
            tensor.shape = Some(content.shape.iter().map(|size| Dim::from(*size)).collect());
            tensor.content = (content.items.len() <= super::fact::MAX_ITEMS
                && content.items.iter().any(|item| *item != Scalar::Unknown))
            .then(|| Arc::new(content));
        }
    }

    /// The output has the type and shape of an input.
    pub fn same(&mut self, output: usize, input: usize) -> Option<()> {
        self.set_dtype(output, self.dtype(input));
        let shape = self.shape(input)?.to_vec();
        self.set_shape(output, shape);
        Some(())
    }

    pub fn set_sequence(&mut self, index: usize, items: Vec<Fact>) {
        let unknowns = self.unknowns;
        let sequence = SequenceFact::of(items, &mut || fresh(unknowns));
        self.set(index, Fact::Sequence(sequence));
    }
}

/// No tensor has more dimensions; a file that says so is malformed.
pub(crate) const MAX_RANK: usize = 64;

pub(crate) fn fresh(unknowns: &Cell<u32>) -> Dim {
    let next = unknowns.get().wrapping_add(1);
    unknowns.set(next);
    Dim::unknown(next)
}

pub(crate) fn normalize_axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 {
        axis.checked_add(rank)?
    } else {
        axis
    };
    (0..rank).contains(&axis).then_some(axis as usize)
}

/// An attribute of a function call, which attributes in the function's body may refer to.
pub(crate) type CallAttribute<'m> = (&'m str, &'m AttributeValue<'m>);

/// Follows a reference to an attribute of the function call.
pub(crate) fn resolve<'m>(
    value: &'m AttributeValue<'m>,
    call_attributes: &[CallAttribute<'m>],
) -> Option<&'m AttributeValue<'m>> {
    match value {
        AttributeValue::Reference(name, _) => call_attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| *value),
        value => Some(value),
    }
}
