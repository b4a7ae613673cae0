//! `modelcost shapes`: the inferred shape and type of every tensor.

use std::path::Path;

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use serde::Serialize;

use crate::error::OnnxError;
use crate::file::ModelFile;
use crate::infer::{Binding, Content, Fact, Options, Scalar, infer};
use crate::model::Model;

/// Every tensor of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Shapes {
    /// The inputs.
    pub inputs: Vec<ValueShape>,
    /// The outputs.
    pub outputs: Vec<ValueShape>,
    /// What is computed in between, in order; the values of the main graph.
    pub values: Vec<ValueShape>,
    /// Operators that there is no rule for, and how many calls of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<(String, usize)>,
}

/// A tensor, or another value.
#[derive(Clone, Debug, Serialize)]
pub struct ValueShape {
    /// Its name.
    pub name: String,
    /// Its sizes: a symbolic one is a string, an unknown one null. Null when the rank is unknown
    /// or the value is not a tensor.
    pub shape: Option<Vec<Dim>>,
    /// Its element type.
    pub dtype: Option<DType>,
    /// What it is if not a tensor: `sequence`, `optional`, `map` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// What is known about the elements of a sequence or of an optional value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<Box<ValueShape>>,
}

/// Infers the shapes of a model file.
///
/// # Errors
/// When the file cannot be read, is malformed, or a binding does not fit it.
pub fn shapes(path: impl AsRef<Path>, options: &Options) -> Result<Shapes, OnnxError> {
    let file = ModelFile::open(path)?;
    shapes_of(&file.model()?, options)
}

/// Infers the shapes of a model.
///
/// # Errors
/// When the model is malformed, or a binding does not fit it.
pub fn shapes_of(model: &Model<'_>, options: &Options) -> Result<Shapes, OnnxError> {
    let program = infer(model, options)?;
    let of = |(name, id): &(&str, _)| ValueShape::of(name, program.fact(*id));
    let mut listed: Vec<_> = program
        .inputs
        .iter()
        .chain(&program.outputs)
        .map(|(name, _)| *name)
        .collect();
    listed.sort_unstable();
    let values = model
        .graph
        .nodes
        .iter()
        .flat_map(|node| &node.outputs)
        .filter(|name| listed.binary_search(name).is_err())
        .filter_map(|name| Some((*name, *program.names.get(name)?)))
        .map(|value| of(&value))
        .collect();
    Ok(Shapes {
        inputs: program.inputs.iter().map(of).collect(),
        outputs: program.outputs.iter().map(of).collect(),
        values,
        unsupported: program
            .unsupported
            .iter()
            .map(|(name, count)| (name.clone(), *count))
            .collect(),
    })
}

impl ValueShape {
    fn of(name: &str, fact: &Fact) -> ValueShape {
        let (kind, element) = match fact {
            Fact::Tensor(_) | Fact::Unknown => (None, None),
            Fact::Sequence(sequence) => (Some("sequence"), Some(&sequence.element)),
            Fact::Optional { element, .. } => (Some("optional"), Some(element)),
            Fact::Other(kind) => (Some(*kind), None),
        };
        ValueShape {
            name: name.to_owned(),
            shape: fact.shape().map(<[Dim]>::to_vec),
            dtype: fact.dtype(),
            kind,
            element: element.map(|element| Box::new(ValueShape::of("", element))),
        }
    }
}

/// The value of an input as a user writes it: a number, `true`, a string, or nested lists of them,
/// `[[1, 2], [3, 4]]`.
///
/// # Errors
/// When the lists are ragged or hold something else.
pub fn parse_value(name: &str, value: &serde_json::Value) -> Result<(SmolStr, Binding), OnnxError> {
    let mut shape = Vec::new();
    let mut at = value;
    while let serde_json::Value::Array(items) = at {
        shape.push(items.len());
        match items.first() {
            Some(first) => at = first,
            None => break,
        }
    }
    let mut items = Vec::new();
    flatten(value, &shape, &mut items).ok_or_else(|| {
        OnnxError::Binding(format!(
            "the value of '{name}' must be a number, a boolean, a string or a list of equally long lists of them"
        ))
    })?;
    Ok((name.into(), Binding(Content { shape, items })))
}

fn flatten(value: &serde_json::Value, shape: &[usize], out: &mut Vec<Scalar>) -> Option<()> {
    use serde_json::Value as Json;
    match (value, shape) {
        (Json::Array(items), [length, rest @ ..]) if items.len() == *length => {
            items.iter().try_for_each(|item| flatten(item, rest, out))
        }
        (Json::Number(number), []) => {
            out.push(match (number.as_i64(), number.as_f64()) {
                (Some(int), _) => Scalar::Int(Dim::from(int)),
                (None, Some(float)) => Scalar::Float(float),
                _ => return None,
            });
            Some(())
        }
        (Json::Bool(value), []) => {
            out.push(Scalar::bool(*value));
            Some(())
        }
        (Json::String(text), []) => {
            // JSON has no infinities.
            out.push(match text.as_str() {
                "inf" | "Infinity" => Scalar::Float(f64::INFINITY),
                "-inf" | "-Infinity" => Scalar::Float(f64::NEG_INFINITY),
                "nan" | "NaN" => Scalar::Float(f64::NAN),
                text => Scalar::Str(text.into()),
            });
            Some(())
        }
        (Json::Null, []) => {
            out.push(Scalar::Unknown);
            Some(())
        }
        _ => None,
    }
}
