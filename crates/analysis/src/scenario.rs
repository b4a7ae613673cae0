//! The circumstances that a reported figure may have been measured under: another input size,
//! another batch.

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Shape, Trace};
use serde::Serialize;
use smol_str::SmolStr;

/// A model under circumstances that a paper may have had.
pub struct Scenario {
    /// What is assumed, in words; empty for the model as it is.
    pub changes: Vec<String>,
    /// How much that surprises.
    pub surprise: u32,
    /// The model.
    pub trace: Trace,
}

impl Scenario {
    /// The model as it is.
    pub fn unchanged(trace: Trace) -> Scenario {
        Scenario {
            changes: Vec::new(),
            surprise: 0,
            trace,
        }
    }
}

/// What is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Variation {
    /// The side of a square image.
    ImageSize,
    /// The number of tokens.
    SequenceLength,
    /// How many inputs run at once.
    Batch,
}

/// A variation that could not be tried on a file.
#[derive(Clone, Debug, Serialize)]
pub struct NotTried {
    /// What would have been varied.
    pub variation: Variation,
    /// In words: `input 256×256`.
    pub change: String,
    /// Why it was not.
    pub reason: String,
}

/// What could be tried, and what could not.
pub struct Scenarios {
    /// The model as it is, then its variations.
    pub tried: Vec<Scenario>,
    /// The rest.
    pub not_tried: Vec<NotTried>,
}

impl Scenarios {
    /// The kinds of variation of which not a single one could be tried, each with a reason.
    pub fn ruled_out(&self) -> Vec<&NotTried> {
        let was_tried = |variation: Variation| {
            let mut tried = self.tried.iter().flat_map(|scenario| &scenario.changes);
            tried.any(|change| variation.describes(change))
        };
        let mut out: Vec<&NotTried> = Vec::new();
        for missed in &self.not_tried {
            let is_new = out.iter().all(|other| other.variation != missed.variation);
            if is_new && !was_tried(missed.variation) {
                out.push(missed);
            }
        }
        out
    }
}

/// Sides of images in papers, the commonest first.
const USUAL_SIDES: &[u64] = &[
    224, 256, 384, 288, 299, 240, 260, 300, 320, 380, 448, 512, 600, 640, 32, 64, 128, 160, 192,
];

/// Lengths of texts in papers.
const USUAL_LENGTHS: &[u64] = &[128, 512, 256, 384, 1024, 2048, 4096, 64];

/// Batches that people leave in by mistake.
const USUAL_BATCHES: &[u64] = &[2, 4, 8, 16, 32, 64, 128];

impl Variation {
    /// What a change of this kind begins with.
    fn word(self) -> &'static str {
        match self {
            Variation::ImageSize => "input ",
            Variation::SequenceLength => "sequences of ",
            Variation::Batch => "batch of ",
        }
    }

    fn describes(self, change: &str) -> bool {
        change.starts_with(self.word())
    }

    fn change(self, size: u64) -> String {
        match self {
            Variation::ImageSize => format!("{}{size}×{size}", self.word()),
            Variation::SequenceLength | Variation::Batch => format!("{}{size}", self.word()),
        }
    }

    /// How much a size surprises, by its place in the list of usual ones.
    fn surprise(self, rank: usize) -> u32 {
        match self {
            Variation::Batch => 8,
            _ if rank < 3 => 6,
            _ => 7,
        }
    }

    /// The shapes of the inputs at a size; `None` where this model has nothing to vary.
    fn shapes(self, inputs: &[(SmolStr, Shape)], size: u64) -> Option<Vec<(SmolStr, Shape)>> {
        let (name, first) = inputs.first()?;
        let size = Dim::from(size);
        match self {
            Variation::ImageSize => {
                let [batch, channels, height, width] = &first[..] else {
                    return None;
                };
                let shape = vec![batch.clone(), channels.clone(), size.clone(), size.clone()];
                (height == width && *height != size).then(|| vec![(name.clone(), shape)])
            }
            // Masks and token types are as long as the text.
            Variation::SequenceLength => {
                let [_, length] = &first[..] else { return None };
                let resized = |(name, shape): &(SmolStr, Shape)| {
                    let dims = shape.iter().enumerate();
                    let dims = dims.map(|(at, dim)| {
                        if at > 0 && dim == length {
                            size.clone()
                        } else {
                            dim.clone()
                        }
                    });
                    (name.clone(), dims.collect())
                };
                (*length != size).then(|| inputs.iter().map(resized).collect())
            }
            Variation::Batch => {
                let own = first.first()?;
                let resized = |(name, shape): &(SmolStr, Shape)| {
                    let mut shape = shape.clone();
                    if let Some(batch) = shape.first_mut().filter(|batch| *batch == own) {
                        *batch = size.clone();
                    }
                    (name.clone(), shape)
                };
                (*own != size).then(|| inputs.iter().map(resized).collect())
            }
        }
    }
}

/// Reads a model at given shapes of its inputs, or says why its file does not allow them.
pub type Resize<'a> = dyn Fn(&[(SmolStr, Shape)]) -> Result<Trace, String> + 'a;

/// The model as it is, then at other input sizes (the given ones, or those usual in papers), then in
/// larger batches.
pub fn scenarios(model: Trace, sizes: &[u64], resize: &Resize<'_>) -> Scenarios {
    let inputs: Vec<(SmolStr, Shape)> = model
        .inputs
        .iter()
        .filter_map(|(name, id)| Some((name.clone(), model.tensor(*id).shape.clone()?)))
        .collect();
    let is_text = model
        .inputs
        .first()
        .and_then(|(_, id)| model.tensor(*id).dtype)
        .is_some_and(|dtype| !dtype.is_floating_point());
    let mut out = Scenarios {
        tried: vec![Scenario::unchanged(model)],
        not_tried: Vec::new(),
    };
    let given_or = |usual: &[u64]| {
        if sizes.is_empty() {
            usual.to_vec()
        } else {
            sizes.to_vec()
        }
    };
    let sized = if is_text {
        (Variation::SequenceLength, given_or(USUAL_LENGTHS))
    } else {
        (Variation::ImageSize, given_or(USUAL_SIDES))
    };
    for (variation, sizes) in [sized, (Variation::Batch, USUAL_BATCHES.to_vec())] {
        for (rank, size) in sizes.into_iter().enumerate() {
            let Some(shapes) = variation.shapes(&inputs, size) else {
                continue;
            };
            let change = variation.change(size);
            match resize(&shapes) {
                Ok(trace) => out.tried.push(Scenario {
                    changes: vec![change],
                    surprise: variation.surprise(rank),
                    trace,
                }),
                Err(reason) => out.not_tried.push(NotTried {
                    variation,
                    change,
                    reason,
                }),
            }
        }
    }
    out
}
