//! Errors with what explains and mends them.

use modelcost_core::SmolStr;
use modelcost_core::convention::closest;
use modelcost_core::diagnostic::{Diagnostic, Suggestion};
use modelcost_core::expr::Span;
use modelcost_core::trace::{Origin, TensorId};
use modelcost_core::value::Value;
use modelcost_torch::{ArgumentRef, TorchError};

use super::call::Given;
use super::{Context, Fail, Run};
use crate::catalogue;

impl Run<'_> {
    /// An error of the vocabulary, at the argument that it is about.
    pub(super) fn torch_error(&self, torch: TorchError, given: &Given, span: Span) -> Fail {
        let place = match &torch.argument {
            Some(ArgumentRef::Position(at)) => given.positional.get(*at).map(|(_, span)| *span),
            Some(ArgumentRef::Name(name)) => given
                .keyword
                .iter()
                .find(|(keyword, ..)| keyword.name == *name)
                .map(|(keyword, value, span)| match torch.suggestion {
                    // A misspelt keyword is what is replaced; else its value is at fault.
                    Some(_) => keyword.span,
                    None if matches!(value, Value::Tensor(_)) => *span,
                    None => keyword.span.to(*span),
                }),
            None => None,
        };
        let place = place.unwrap_or(span);
        let mut diagnostic = Diagnostic::error(torch.message, place.range());
        if let (Some(suggestion), true) = (torch.suggestion, torch.argument.is_some()) {
            diagnostic.suggestion = Some(Suggestion {
                span: place.range(),
                replacement: suggestion,
            });
        }
        let mut tensors: Vec<TensorId> = given.values().flat_map(Value::tensors).collect();
        tensors.dedup();
        for tensor in tensors.into_iter().take(3) {
            if let Some((origin, what)) = self.origin(tensor)
                && origin != place
                && diagnostic
                    .related
                    .iter()
                    .all(|(span, _)| *span != origin.range())
            {
                diagnostic.related.push((origin.range(), what));
            }
        }
        let several = |value: &Value| value.items().is_some_and(|items| !items.is_empty());
        if diagnostic.message.contains("must be a tensor")
            && given.positional.iter().any(|(value, _)| several(value))
        {
            diagnostic.help = Some("take one of the values, as in Linear(8, 2)(lstm[0])".into());
        }
        Fail::Error(Box::new(diagnostic))
    }

    /// Where a tensor comes from, and its shape.
    fn origin(&self, tensor: TensorId) -> Option<(Span, String)> {
        let trace = self.trace();
        let found = trace.tensor(tensor);
        let shape = modelcost_torch::show::shape(found.shape.as_deref()?);
        match found.origin {
            Origin::Call(call) => {
                let mut at = Some(call);
                while let Some(id) = at {
                    let call = trace.call(id);
                    if let Some(span) = call.span {
                        return Some((span, format!("this gives {shape}")));
                    }
                    at = call.parent;
                }
                None
            }
            Origin::Input => {
                let index = trace.inputs.iter().position(|(_, id)| *id == tensor)?;
                let input = self.document.inputs.get(index)?;
                Some((input.shape_span, format!("the input is {shape}")))
            }
            _ => None,
        }
    }

    /// An error about a name that nothing has.
    pub(super) fn unknown_name(&self, name: &str, span: Span, context: &Context) -> Fail {
        // The search for a similar name takes longer than everything else.
        if self.reported.contains(&span.range()) {
            return Fail::Poisoned;
        }
        let block = self.block_at(span);
        let same = self.document.layers.iter().filter(|layer| {
            let same = matches!(&layer.key, crate::document::Key::Name(key) if key == name);
            same && layer.block == block
        });
        let later = same.max_by_key(|layer| layer.span.end);
        if let Some(later) = later.filter(|layer| layer.span.end >= span.end) {
            if later.span.touches(span.start as usize) {
                return Fail::Error(Box::new(
                    Diagnostic::error(format!("'{name}' needs itself"), span.range())
                        .with_help("apply it to the input, or to a layer above"),
                ));
            }
            let message =
                format!("'{name}' is used before it is made: layers run from top to bottom");
            let mut diagnostic = Diagnostic::error(message, span.range());
            let place = later.key_span.unwrap_or(later.span);
            diagnostic
                .related
                .push((place.range(), "it is made here".into()));
            diagnostic.help = Some(format!(
                "move '{name}' up, or declare it under 'modules' to call it from anywhere"
            ));
            return Fail::Error(Box::new(diagnostic));
        }
        for prefix in ["F.", "torch."] {
            let function = format!("{prefix}{name}");
            if catalogue::is_function(&function) {
                return suggesting(format!("there is no '{name}'"), span, Some(&function));
            }
        }
        let visible = context.scope.visible();
        let blocks = self
            .document
            .blocks
            .iter()
            .map(|block| block.name.name.as_str());
        let classes = modelcost_torch::classes().map(|class| class.short_name());
        let candidates = visible
            .iter()
            .map(SmolStr::as_str)
            .chain(blocks)
            .chain(classes);
        suggesting(
            format!("there is no '{name}'"),
            span,
            closest(name, candidates),
        )
    }

    fn block_at(&self, span: Span) -> Option<usize> {
        let inside = |block: &crate::document::Block| block.span.touches(span.start as usize);
        self.document.blocks.iter().position(inside)
    }

    /// An error about a dotted name that nothing has.
    pub(super) fn unknown_dotted(&self, dotted: &str, span: Span) -> Fail {
        if self.reported.contains(&span.range()) {
            return Fail::Poisoned;
        }
        let near = catalogue::near(dotted);
        suggesting(format!("there is no '{dotted}'"), span, near.as_deref())
    }
}

/// An error with the name that may have been meant.
pub(super) fn suggesting(message: String, span: Span, near: Option<&str>) -> Fail {
    let mut diagnostic = Diagnostic::error(message, span.range());
    if let Some(near) = near {
        diagnostic.help = Some(format!("did you mean '{near}'?"));
        diagnostic.suggestion = Some(Suggestion {
            span: span.range(),
            replacement: near.into(),
        });
    }
    Fail::Error(Box::new(diagnostic))
}
