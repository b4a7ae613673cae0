//! What is said beside the file: sizes of dimensions and of inputs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;

/// Sizes from the command line or from the editor's settings.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Symbols of the inputs' shapes by name: `--dim batch=8`. A symbol that is bound to itself
    /// stays free even where the spec gives it a default. An integer of `[variables]` can be set
    /// in the same way.
    pub dims: BTreeMap<SmolStr, Dim>,
    /// Shapes of inputs: `--input tokens=8x128`. Without a name it is the model's only input.
    pub inputs: Vec<(Option<SmolStr>, Vec<Dim>)>,
    /// The batch size: the symbol `batch` (or `n`, `N`, `batch_size`) where the shapes have one,
    /// else the first dimension of every input.
    pub batch: Option<Dim>,
    /// Ends the run when it is set, with an error that nobody is to see.
    pub superseded: Option<Arc<AtomicBool>>,
}

/// Symbols that mean the batch.
pub(crate) const BATCH_NAMES: [&str; 5] = ["batch", "batch_size", "n", "N", "b"];
