//! What is known before anything runs: inputs, constants, and what the file declares.

use std::sync::Arc;

use modelcost_core::dim::Dim;

use super::engine::{Engine, Result, Scope};
use super::fact::{Content, Fact, Scalar, TensorFact};
use super::program::{Binding, Origin, ValueId};
use crate::dims;
use crate::error::OnnxError;
use crate::model::{Dimension, Graph, Model, SparseTensor, Tensor, Type, ValueInfo};

/// Constants of up to this many elements are read. Shapes and indices are integers; a float
/// constant that shapes depend on is a handful of scales, and every page of weights that is not
/// read is time and memory saved.
const MAX_CONSTANT_INTS: usize = 1024;
const MAX_CONSTANT_FLOATS: usize = 16;

impl<'m> Engine<'m, '_> {
    pub fn check_bindings(&self, model: &Model<'m>) -> Result<()> {
        let bound = self.options.inputs.iter().map(|(name, _)| name);
        let valued = self.options.values.iter().map(|(name, _)| name);
        for name in bound.chain(valued) {
            if !model.graph.inputs.iter().any(|input| input.name == name) {
                let names: Vec<_> = model.graph.inputs.iter().map(|i| i.name).collect();
                return Err(OnnxError::Binding(format!(
                    "the model has no input '{name}'; its inputs are {}",
                    names.join(", ")
                )));
            }
        }
        Ok(())
    }

    pub fn define_inputs(&mut self, graph: &'m Graph<'m>, scope: &mut Scope<'_, 'm>) -> Result<()> {
        for input in &graph.inputs {
            // Before IR version 4 initializers are listed as inputs too.
            let value = self.options.values.iter().find(|(n, _)| n == input.name);
            if scope.names.contains_key(input.name) && value.is_none() {
                continue;
            }
            let mut fact = input
                .ty
                .as_ref()
                .map_or(Fact::Unknown, |ty| self.declared(ty));
            if let Some((_, shape)) = self.options.inputs.iter().find(|(n, _)| n == input.name) {
                fact = bind_shape(fact, input.name, shape)?;
            }
            if let Some((_, Binding(content))) = value {
                fact = bind_value(fact, input.name, content)?;
            }
            let id = self.value(input.name, fact, Origin::Input);
            scope.names.insert(input.name, id);
            self.program.inputs.push((input.name, id));
        }
        Ok(())
    }

    pub fn define_constants(&mut self, graph: &'m Graph<'m>, scope: &mut Scope<'_, 'm>) {
        for tensor in &graph.initializers {
            let fact = constant(tensor);
            let id = self.value(tensor.name, fact, Origin::Initializer(tensor));
            scope.names.insert(tensor.name, id);
        }
        for sparse in &graph.sparse_initializers {
            let fact = sparse_constant(sparse);
            let name = sparse.values.name;
            let id = self.value(name, fact, Origin::SparseInitializer);
            scope.names.insert(name, id);
        }
    }

    /// What a declared type says, with the user's sizes for its symbols.
    pub fn declared(&self, ty: &Type<'m>) -> Fact {
        let dim = |dim: &Dimension<'_>| match dim {
            Dimension::Value(size) if *size >= 0 => Dim::from(*size),
            Dimension::Value(_) | Dimension::Unknown => self.fresh(),
            Dimension::Param(text) => match dims::parse(text) {
                Some(dim) => dim.substitute(&|name| {
                    let bound = self.options.dims.iter().find(|(key, _)| key == name)?;
                    Some(bound.1.clone())
                }),
                None => self.fresh(),
            },
        };
        match ty {
            Type::Tensor(elem, shape) => {
                let shape = shape.as_ref().map(|dims| dims.iter().map(dim).collect());
                Fact::tensor(elem.dtype(), shape)
            }
            Type::Sequence(element) => {
                Fact::list_of(element.as_ref().map_or(Fact::Unknown, |e| self.declared(e)))
            }
            Type::Optional(element) => Fact::Optional {
                element: Box::new(element.as_ref().map_or(Fact::Unknown, |e| self.declared(e))),
                present: None,
            },
            Type::Map(..) => Fact::Other("map"),
            Type::SparseTensor(..) => Fact::Other("sparse tensor"),
            Type::Opaque(..) => Fact::Other("opaque"),
        }
    }

    /// Takes from a declaration what inference did not find.
    pub fn refine_declared(&mut self, id: ValueId, info: &ValueInfo<'m>) {
        if self.fact(id).is_complete() {
            return;
        }
        if let Some(ty) = &info.ty {
            let declared = self.declared(ty);
            self.program.values[id.0 as usize].fact.refine(&declared);
        }
    }
}

/// What is known about a constant.
pub(crate) fn constant(tensor: &Tensor<'_>) -> Fact {
    let dtype = tensor.elem_type.dtype();
    let sizes: Option<Vec<usize>> = tensor
        .dims
        .iter()
        .map(|size| usize::try_from(*size).ok())
        .collect();
    let Some(sizes) = sizes.filter(|_| tensor.numel().is_some()) else {
        return Fact::tensor(dtype, None);
    };
    let limit = match dtype {
        Some(dtype) if dtype.is_floating_point() => MAX_CONSTANT_FLOATS,
        _ => MAX_CONSTANT_INTS,
    };
    let content = tensor
        .elements(limit)
        .and_then(|elements| Content::from_elements(sizes.clone(), elements));
    Fact::Tensor(TensorFact {
        dtype,
        shape: Some(sizes.into_iter().map(Dim::from).collect()),
        content: content.map(Arc::new),
    })
}

/// What is known about a sparse constant: the shape of the dense tensor.
pub(crate) fn sparse_constant(sparse: &SparseTensor<'_>) -> Fact {
    let shape = sparse
        .dims
        .iter()
        .map(|size| (*size >= 0).then(|| Dim::from(*size)))
        .collect();
    Fact::tensor(sparse.values.elem_type.dtype(), shape)
}

fn bind_shape(fact: Fact, name: &str, shape: &[Dim]) -> Result<Fact> {
    let Fact::Tensor(mut tensor) = fact else {
        return Err(OnnxError::Binding(format!(
            "the input '{name}' is not a tensor, so it has no shape to set"
        )));
    };
    if let Some(declared) = &tensor.shape
        && declared.len() != shape.len()
    {
        return Err(OnnxError::Binding(format!(
            "the input '{name}' has {} dimensions, not {}",
            declared.len(),
            shape.len()
        )));
    }
    tensor.shape = Some(shape.to_vec());
    Ok(Fact::Tensor(tensor))
}

fn bind_value(fact: Fact, name: &str, content: &Content) -> Result<Fact> {
    if let Fact::Optional { element, .. } = fact {
        // A value for an optional input says that it is there; null says that it is not.
        let null = content.shape.is_empty() && content.items == [Scalar::Unknown];
        let element = if null {
            element
        } else {
            Box::new(bind_value(*element, name, content)?)
        };
        return Ok(Fact::Optional {
            element,
            present: Some(!null),
        });
    }
    let Fact::Tensor(mut tensor) = fact else {
        return Err(OnnxError::Binding(format!(
            "the input '{name}' is not a tensor, so it has no value to set"
        )));
    };
    // A list stands for a tensor of any rank with as many elements: `[2]` for a declared scalar.
    let mut content = content.clone();
    let sizes: Option<Vec<usize>> = tensor
        .shape
        .as_ref()
        .and_then(|shape| shape.iter().map(Dim::as_usize).collect());
    if let Some(sizes) = sizes
        && sizes.iter().product::<usize>() == content.items.len()
    {
        content.shape = sizes;
    }
    tensor.shape = Some(content.shape.iter().map(|size| Dim::from(*size)).collect());
    tensor.content = Some(Arc::new(content));
    Ok(Fact::Tensor(tensor))
}
