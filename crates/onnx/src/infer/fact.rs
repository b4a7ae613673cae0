//! What is known about a value.

use std::sync::Arc;

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use crate::tensor::Elements;

/// What is known about a value of the graph.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Fact {
    /// Nothing.
    #[default]
    Unknown,
    /// A tensor.
    Tensor(TensorFact),
    /// A list.
    Sequence(SequenceFact),
    /// A value that may be absent.
    Optional {
        /// The value, if there is one.
        element: Box<Fact>,
        /// Whether there is one, if known.
        present: Option<bool>,
    },
    /// A map, an opaque value or a sparse tensor, which shapes do not depend on.
    Other(&'static str),
}

/// What is known about a tensor.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TensorFact {
    /// The element type.
    pub dtype: Option<DType>,
    /// The shape: absent when the rank is unknown; a dimension of unknown size is a symbol `?…`.
    pub shape: Option<Vec<Dim>>,
    /// The elements, when there are few and something is known about them.
    pub content: Option<Arc<Content>>,
}

/// What is known about a list.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceFact {
    /// What holds for every element.
    pub element: Box<Fact>,
    /// The elements one by one, when their number is known.
    pub items: Option<Vec<Fact>>,
}

/// The elements of a small tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its elements in row-major order.
    pub items: Vec<Scalar>,
}

/// One element.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Scalar {
    /// Not known.
    #[default]
    Unknown,
    /// An integer, possibly symbolic; a boolean as 0 or 1; also an integer that was cast to float.
    Int(Dim),
    /// A quotient of integers that is not known to be one, in a float tensor.
    Ratio(Dim, Dim),
    /// A float.
    Float(f64),
    /// A string.
    Str(SmolStr),
}

/// How many elements are kept of one tensor. Shapes have a few, position tables a few hundred.
pub(crate) const MAX_ITEMS: usize = 1024;

impl Fact {
    /// A tensor of known type and shape.
    pub fn tensor(dtype: Option<DType>, shape: Option<Vec<Dim>>) -> Fact {
        Fact::Tensor(TensorFact {
            dtype,
            shape,
            content: None,
        })
    }

    /// A list of unknown length.
    pub fn list_of(element: Fact) -> Fact {
        Fact::Sequence(SequenceFact {
            element: Box::new(element),
            items: None,
        })
    }

    /// The tensor, if it is known to be one.
    pub fn as_tensor(&self) -> Option<&TensorFact> {
        match self {
            Fact::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The shape, if it is a tensor of known rank.
    pub fn shape(&self) -> Option<&[Dim]> {
        self.as_tensor()?.shape.as_deref()
    }

    /// The element type, if it is a tensor of known type.
    pub fn dtype(&self) -> Option<DType> {
        self.as_tensor()?.dtype
    }

    /// The elements, if it is a tensor and they are kept.
    pub fn content(&self) -> Option<&Content> {
        self.as_tensor()?.content.as_deref()
    }

    /// Whether nothing more can be learned about shape and type.
    pub fn is_complete(&self) -> bool {
        match self {
            Fact::Unknown => false,
            Fact::Tensor(tensor) => {
                tensor.dtype.is_some()
                    && tensor
                        .shape
                        .as_ref()
                        .is_some_and(|shape| shape.iter().all(|dim| !dim.has_unknown()))
            }
            Fact::Sequence(sequence) => sequence.element.is_complete(),
            Fact::Optional { element, .. } => element.is_complete(),
            Fact::Other(_) => true,
        }
    }

    /// Takes from `other` what this does not say: what the file declares, for example.
    pub fn refine(&mut self, other: &Fact) {
        match (&mut *self, other) {
            (Fact::Unknown, _) => *self = other.clone(),
            (Fact::Tensor(mine), Fact::Tensor(theirs)) => {
                mine.dtype = mine.dtype.or(theirs.dtype);
                match (&mut mine.shape, &theirs.shape) {
                    (None, shape) => mine.shape.clone_from(shape),
                    (Some(mine), Some(theirs)) if mine.len() == theirs.len() => {
                        for (mine, theirs) in mine.iter_mut().zip(theirs) {
                            if mine.has_unknown() && !theirs.has_unknown() {
                                *mine = theirs.clone();
                            }
                        }
                    }
                    _ => {}
                }
                if mine.content.is_none() {
                    mine.content.clone_from(&theirs.content);
                }
            }
            (Fact::Sequence(mine), Fact::Sequence(theirs)) => mine.element.refine(&theirs.element),
            (Fact::Optional { element, .. }, Fact::Optional { element: other, .. }) => {
                element.refine(other);
            }
            _ => {}
        }
    }

    /// What holds for both: the value is one or the other.
    pub fn join(&self, other: &Fact, fresh: &mut dyn FnMut() -> Dim) -> Fact {
        match (self, other) {
            (Fact::Tensor(a), Fact::Tensor(b)) => {
                let shape = match (&a.shape, &b.shape) {
                    (Some(a), Some(b)) if a.len() == b.len() => Some(
                        a.iter()
                            .zip(b)
                            .map(|(a, b)| if a == b { a.clone() } else { fresh() })
                            .collect::<Vec<_>>(),
                    ),
                    _ => None,
                };
                let content = match (&a.content, &b.content) {
                    (Some(a), Some(b)) if a.shape == b.shape => {
                        let items = a
                            .items
                            .iter()
                            .zip(&b.items)
                            .map(|(a, b)| if a == b { a.clone() } else { Scalar::Unknown })
                            .collect();
                        Some(Arc::new(Content {
                            shape: a.shape.clone(),
                            items,
                        }))
                    }
                    _ => None,
                };
                Fact::Tensor(TensorFact {
                    dtype: a.dtype.filter(|dtype| b.dtype == Some(*dtype)),
                    shape,
                    content,
                })
            }
            (Fact::Sequence(a), Fact::Sequence(b)) => {
                let items = match (&a.items, &b.items) {
                    (Some(a), Some(b)) if a.len() == b.len() => {
                        Some(a.iter().zip(b).map(|(a, b)| a.join(b, fresh)).collect())
                    }
                    _ => None,
                };
                Fact::Sequence(SequenceFact {
                    element: Box::new(a.element.join(&b.element, fresh)),
                    items,
                })
            }
            (
                Fact::Optional { element, present },
                Fact::Optional {
                    element: other,
                    present: other_present,
                },
            ) => Fact::Optional {
                element: Box::new(element.join(other, fresh)),
                present: present.filter(|_| present == other_present),
            },
            (Fact::Other(a), Fact::Other(b)) if a == b => Fact::Other(a),
            _ => Fact::Unknown,
        }
    }
}

impl SequenceFact {
    /// A list of known elements.
    pub fn of(items: Vec<Fact>, fresh: &mut dyn FnMut() -> Dim) -> SequenceFact {
        let element = items
            .iter()
            .cloned()
            .reduce(|a, b| a.join(&b, fresh))
            .unwrap_or_default();
        SequenceFact {
            element: Box::new(element),
            items: (items.len() <= MAX_ITEMS).then_some(items),
        }
    }
}

impl TensorFact {
    /// A tensor whose elements are known.
    pub fn of(dtype: DType, content: Content) -> TensorFact {
        TensorFact {
            dtype: Some(dtype),
            shape: Some(content.shape.iter().map(|size| Dim::from(*size)).collect()),
            content: (content.items.len() <= MAX_ITEMS).then(|| Arc::new(content)),
        }
    }
}

impl Content {
    /// A tensor without dimensions.
    pub fn scalar(item: Scalar) -> Content {
        Content {
            shape: Vec::new(),
            items: vec![item],
        }
    }

    /// A vector.
    pub fn vector(items: Vec<Scalar>) -> Content {
        Content {
            shape: vec![items.len()],
            items,
        }
    }

    /// A vector of integers.
    pub fn ints(items: impl IntoIterator<Item = Dim>) -> Content {
        Content::vector(items.into_iter().map(Scalar::Int).collect())
    }

    /// From the elements of a constant of a valid shape.
    pub fn from_elements(shape: Vec<usize>, elements: Elements) -> Option<Content> {
        let items: Vec<Scalar> = match elements {
            Elements::Ints(values) => values
                .into_iter()
                .map(|v| Scalar::Int(Dim::from(v)))
                .collect(),
            Elements::Floats(values) => values.into_iter().map(Scalar::Float).collect(),
            Elements::Strings(values) => values
                .into_iter()
                .map(|v| Scalar::Str(v.as_str().into()))
                .collect(),
        };
        (shape.iter().product::<usize>() == items.len()).then_some(Content { shape, items })
    }

    /// The elements as integers, if all are known.
    pub fn as_ints(&self) -> Option<Vec<Dim>> {
        self.items.iter().map(Scalar::int).collect()
    }

    /// The elements as floats, if all are known numbers.
    pub fn as_floats(&self) -> Option<Vec<f64>> {
        self.items.iter().map(Scalar::float).collect()
    }

    /// A tensor of another shape whose elements are taken from this one.
    pub fn pick(&self, shape: Vec<usize>, source: impl Fn(&[usize]) -> Option<usize>) -> Content {
        Content::fill(shape, |index| {
            source(index).and_then(|at| self.items.get(at).cloned())
        })
    }

    /// A tensor made element by element.
    pub fn fill(shape: Vec<usize>, item: impl Fn(&[usize]) -> Option<Scalar>) -> Content {
        let items = indices(&shape).map(|index| item(&index).unwrap_or_default());
        Content {
            items: items.collect(),
            shape,
        }
    }

    /// The element at an index, broadcast as NumPy does: aligned at the last dimension.
    pub fn broadcast_at(&self, index: &[usize]) -> Scalar {
        let skip = index.len().saturating_sub(self.shape.len());
        let at = self
            .shape
            .iter()
            .zip(&index[skip..])
            .fold(0, |at, (size, i)| {
                at * size + if *size == 1 { 0 } else { *i }
            });
        self.items.get(at).cloned().unwrap_or_default()
    }

    /// The position of an index.
    pub fn offset(&self, index: &[usize]) -> usize {
        self.shape
            .iter()
            .zip(index)
            .fold(0, |at, (size, i)| at * size + i)
    }
}

/// Every index of a shape in row-major order.
pub(crate) fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let shape = shape.to_vec();
    let count: usize = shape.iter().product();
    (0..count).map(move |mut at| {
        let mut index = vec![0; shape.len()];
        for (slot, size) in index.iter_mut().zip(&shape).rev() {
            *slot = at % size;
            at /= size;
        }
        index
    })
}

impl Scalar {
    /// A boolean, as ONNX keeps them among the integers.
    pub fn bool(value: bool) -> Scalar {
        Scalar::Int(Dim::from(i32::from(value)))
    }

    /// A boolean that may be unknown.
    pub fn maybe(value: Option<bool>) -> Scalar {
        value.map_or(Scalar::Unknown, Scalar::bool)
    }

    /// The integer, if it is one.
    pub fn int(&self) -> Option<Dim> {
        match self {
            Scalar::Int(value) => Some(value.clone()),
            Scalar::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
                Some(Dim::Const(*value as i128))
            }
            _ => None,
        }
    }

    /// The number, if it is a known one.
    pub fn float(&self) -> Option<f64> {
        match self {
            Scalar::Int(value) => value.as_const().map(|value| value as f64),
            Scalar::Float(value) => Some(*value),
            Scalar::Ratio(a, b) => Some(a.as_const()? as f64 / b.as_const()? as f64),
            _ => None,
        }
    }

    /// The truth value, if it is known.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Scalar::Int(value) => super::bounds::equal(value, &Dim::ZERO).map(|zero| !zero),
            Scalar::Float(value) => Some(*value != 0.0),
            _ => None,
        }
    }
}
