//! What can be wrong with a use of PyTorch's vocabulary.

use modelcost_core::SmolStr;

/// Why a module cannot be made, or a call cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct TorchError {
    /// A sentence, with the numbers, in PyTorch's terms.
    pub message: String,
    /// The argument at fault, where it is one of the call that was asked for.
    pub argument: Option<ArgumentRef>,
    /// What may have been meant: a name, or a call.
    pub suggestion: Option<String>,
}

/// An argument of a call, as the caller wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentRef {
    /// The argument at a position, from zero.
    Position(usize),
    /// The argument given by name.
    Name(SmolStr),
}

impl TorchError {
    /// An error about the call as a whole.
    pub fn new(message: impl Into<String>) -> TorchError {
        TorchError {
            message: message.into(),
            argument: None,
            suggestion: None,
        }
    }

    /// Says which argument is at fault.
    pub fn at(mut self, argument: Option<ArgumentRef>) -> TorchError {
        self.argument = argument;
        self
    }

    /// Says what may have been meant.
    pub fn suggest(mut self, suggestion: Option<impl Into<String>>) -> TorchError {
        self.suggestion = suggestion.map(Into::into);
        self
    }

    /// As seen from a caller further out, whose arguments are others.
    pub(crate) fn seen_from_outside(mut self) -> TorchError {
        self.argument = None;
        self
    }
}

/// What everything in this crate that can fail returns.
pub type Result<T, E = TorchError> = std::result::Result<T, E>;
