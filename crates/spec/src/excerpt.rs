//! Some layers of a model by themselves: an editor shows a screenful of a spec, and what stands there depends on what is
//! above it by no more than the tensors that come from there.

use foldhash::{HashSet, HashSetExt};
use modelcost_core::SmolStr;
use modelcost_core::diagnostic::Diagnostic;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::expr::{Ident, Span, parse};

use crate::document::{Document, Input, Size};

impl Input {
    /// A tensor of a known shape. The shape's symbols are free.
    pub fn of_shape(name: SmolStr, shape: &[Dim], dtype: DType) -> Input {
        let size = |dim: &Dim| Size {
            value: parse(&dim.to_string()).expr,
            default: None,
        };
        let span = Span::default();
        Input {
            name: Ident { name, span },
            shape: shape.iter().map(size).collect(),
            shape_span: span,
            dtype: Some(Ident {
                name: dtype.name().into(),
                span,
            }),
        }
    }
}

impl Document {
    /// Reads an excerpt: a spec without some of the first and some of the last layers of its model. Its first layer is
    /// applied to `first`, and `known` says what the names of layers and inputs that are left out stand for; what the
    /// model returns is what the excerpt's last layer gives.
    ///
    /// Without `first` the excerpt begins where the model does, and has the model's inputs.
    pub fn parse_excerpt(
        text: &str,
        first: Option<Input>,
        known: impl Fn(&str) -> Option<Input>,
    ) -> (Document, Vec<Diagnostic>) {
        Document::parse_with(text, |document| {
            document.model.output = None;
            let Some(first) = first else { return };
            let mut seen = HashSet::new();
            seen.insert(first.name.name.clone());
            document.inputs = vec![first];
            for name in document.names().unresolved {
                let root = name.name.split('.').next().unwrap_or_default();
                if seen.insert(root.into()) {
                    document.inputs.extend(known(root));
                }
            }
        })
    }
}
