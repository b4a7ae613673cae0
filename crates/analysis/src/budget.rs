//! Budgets, and what changed since a baseline.

use modelcost_core::dim::Dim;
use modelcost_core::report::{Layer, Report};
use serde::{Deserialize, Serialize};

use crate::figure::Figure;

/// What a budget limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantity {
    /// The main count, in the convention's unit.
    Count,
    /// The parameters as the convention reports them.
    Params,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The convention that it is counted by; none for the one in use.
    pub convention: Option<String>,
    /// What is limited.
    pub quantity: Quantity,
    /// The most that is allowed.
    pub limit: Figure,
}

/// Why a line is not a budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// The key.
    #[error(
        "'{0}' is not a budget; write count, params, or with a convention before it: \"ptflops.count\""
    )]
    Key(String),
    /// The limit.
    #[error(transparent)]
    Limit(#[from] crate::figure::FigureError),
}

impl Budget {
    /// From a line of `[budget]`: `count = "600M"`, `"ptflops@0.6.9.params" = "5M"`.
    pub fn parse(key: &str, limit: &str) -> Result<Budget, BudgetError> {
        let (convention, quantity) = match key.rsplit_once('.') {
            Some((convention, quantity)) => (Some(convention.to_string()), quantity),
            None => (None, key),
        };
        let quantity = match quantity {
            "count" => Quantity::Count,
            "params" => Quantity::Params,
            _ => return Err(BudgetError::Key(key.to_string())),
        };
        Ok(Budget {
            convention,
            quantity,
            limit: limit.parse()?,
        })
    }

    /// What a report says about the limited quantity.
    pub fn value(&self, report: &Report) -> Option<Dim> {
        match self.quantity {
            Quantity::Count => report.count.as_ref().map(|cost| cost.count().clone()),
            Quantity::Params => report.params.clone(),
        }
    }

    /// Whether a value is within the limit; `None` when it is not a number.
    pub fn allows(&self, value: &Dim) -> Option<bool> {
        Some(u128::try_from(value.as_const()?).unwrap_or(0) <= self.limit.value())
    }
}

/// One layer of a baseline: what `--format json` printed for it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BaselineLayer {
    /// Its path.
    pub path: String,
    /// Its count then.
    pub count: Option<u64>,
    /// Its parameters then.
    pub params: Option<u64>,
}

/// A report that was printed as JSON earlier. Only what is compared is read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Baseline {
    /// Which convention it was counted by.
    pub convention: BaselineConvention,
    /// Its totals.
    pub total: BaselineTotal,
    /// Its rows.
    pub layers: Vec<BaselineLayer>,
}

/// The convention of a baseline.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BaselineConvention {
    /// The tool.
    pub id: String,
    /// Its release.
    pub version: String,
    /// Its variant.
    pub variant: Option<String>,
}

impl BaselineConvention {
    /// `tool@version/variant`.
    pub fn identity(&self) -> String {
        match &self.variant {
            Some(variant) => format!("{}@{}/{variant}", self.id, self.version),
            None => format!("{}@{}", self.id, self.version),
        }
    }
}

/// The totals of a baseline.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BaselineTotal {
    /// The count.
    pub count: Option<u64>,
    /// The parameters.
    pub params: Option<u64>,
}

/// What became of one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Its path.
    pub path: String,
    /// Its count then; none for a new layer.
    pub before: Option<u64>,
    /// Its count now; none for one that is gone.
    pub after: Option<u64>,
}

impl Change {
    /// After minus before.
    pub fn delta(&self) -> i128 {
        i128::from(self.after.unwrap_or(0)) - i128::from(self.before.unwrap_or(0))
    }
}

/// The layers without children whose count differs from the baseline's, the largest change first.
pub fn changes(baseline: &Baseline, report: &Report) -> Vec<Change> {
    let now = |layer: &Layer| {
        layer
            .count
            .as_ref()
            .and_then(Dim::as_const)
            .and_then(|count| u64::try_from(count).ok())
    };
    let mut out = Vec::new();
    let mut then: std::collections::HashMap<&str, Option<u64>> = baseline
        .layers
        .iter()
        .map(|layer| (layer.path.as_str(), layer.count))
        .collect();
    for layer in &report.layers {
        let before = then.remove(layer.path.as_str());
        let after = now(layer);
        let new_or_changed = before.is_none_or(|before| before != after);
        if !layer.is_container && new_or_changed {
            out.push(Change {
                path: layer.path.clone(),
                before: before.flatten(),
                after,
            });
        }
    }
    // What is left is gone; a container that is gone says the same as its children.
    let is_leaf = |path: &str| {
        !baseline
            .layers
            .iter()
            .any(|layer| layer.path.starts_with(&format!("{path}.")))
    };
    let mut gone: Vec<&str> = then
        .into_keys()
        .filter(|path| !path.is_empty() && is_leaf(path))
        .collect();
    gone.sort_unstable();
    for path in gone {
        let before = baseline
            .layers
            .iter()
            .find(|layer| layer.path == path)
            .and_then(|layer| layer.count);
        out.push(Change {
            path: path.to_string(),
            before,
            after: None,
        });
    }
    out.retain(|change| change.before.unwrap_or(0) != change.after.unwrap_or(0));
    out.sort_by_key(|change| std::cmp::Reverse(change.delta().unsigned_abs()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_budgets() {
        let count = Budget::parse("count", "600M").unwrap();
        let params = Budget::parse("ptflops@0.6.9.params", "5M").unwrap();
        assert_eq!(count.quantity, Quantity::Count);
        assert_eq!(params.convention.as_deref(), Some("ptflops@0.6.9"));
        assert_eq!(count.allows(&Dim::from(600_000_000)), Some(true));
        assert_eq!(count.allows(&Dim::from(600_000_001)), Some(false));
        assert!(Budget::parse("flops", "1G").is_err());
    }
}
