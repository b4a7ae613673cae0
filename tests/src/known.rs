//! Cases that are not equal, each with its reason: `tests/corpus/known.toml`.

use serde::Deserialize;

use crate::check::{Figure, Outcome};

/// The list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    #[serde(default)]
    case: Vec<Case>,
}

/// Cases with one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The extension of the files that it is about.
    file: String,
    /// The tools, as the corpus names them.
    tools: Vec<String>,
    /// The models.
    models: Vec<String>,
    /// Which figures: `count`, `params`, `other`, `layers`. All of them when left out.
    #[serde(default)]
    figures: Vec<String>,
    /// Why it cannot be equal.
    reason: String,
}

impl Known {
    /// The list of the repository.
    ///
    /// # Panics
    ///
    /// When it cannot be read, or a case has no reason.
    pub fn load() -> Known {
        let text = include_str!("../corpus/known.toml");
        let known: Known = match toml::from_str(text) {
            Ok(known) => known,
            Err(error) => panic!("tests/corpus/known.toml: {error}"),
        };
        for case in &known.case {
            assert!(
                !case.reason.trim().is_empty(),
                "a case without a reason: {case:?}"
            );
        }
        known
    }

    /// Why a miss is known, if it is.
    pub fn reason(&self, extension: &str, outcome: &Outcome) -> Option<&str> {
        let figure = match outcome.figure {
            Figure::Count => "count",
            Figure::Params => "params",
            Figure::Other => "other",
            Figure::Layers => "layers",
        };
        let matches = |names: &[String], name: &str| names.iter().any(|known| known == name);
        let case = self.case.iter().find(|case| {
            case.file == extension
                && matches(&case.tools, &outcome.tool)
                && matches(&case.models, &outcome.model)
                && (case.figures.is_empty() || matches(&case.figures, figure))
        });
        case.map(|case| case.reason.as_str())
    }
}
