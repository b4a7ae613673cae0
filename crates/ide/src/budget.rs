//! Limits that a model is to keep.

use modelcost_analysis::budget::{Budget, Quantity};
use modelcost_core::convention::{Convention, find};
use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_core::dim::Dim;

use crate::config::{CONFIG_FILE, Units};
use crate::content::Content;
use crate::model::Model;
use modelcost_analysis::format;

/// Says which budgets a model exceeds: those of its own `[budget]`, and those of `modelcost.toml`.
pub fn check(
    content: &Content,
    convention: &dyn Convention,
    configured: &[(String, String)],
) -> Vec<Diagnostic> {
    let own = content.spec().map_or(&[][..], |spec| &spec.document.budget);
    let model = content.subjects().model();
    let mut out = Vec::new();
    for budget in own {
        let finding = examine(model, convention, &budget.key.name, &budget.limit.name);
        out.extend(
            finding.map(|finding| finding.at(budget.key.span.range(), budget.limit.span.range())),
        );
    }
    // A budget from elsewhere has no place in this file but the model's name.
    let name = content.spec().and_then(|spec| spec.document.name.as_ref());
    let place = name
        .map(|name| name.span.range())
        .or(content.head())
        .unwrap_or(0..0);
    for (key, limit) in configured {
        if own.iter().any(|own| own.key.name == key) {
            continue;
        }
        let finding = examine(model, convention, key, limit);
        out.extend(finding.map(|finding| {
            let mut diagnostic = finding.at(place.clone(), place.clone());
            diagnostic.help = Some(format!(
                "the budget is in {CONFIG_FILE}: {key} = \"{limit}\""
            ));
            diagnostic
        }));
    }
    out
}

enum Finding {
    /// A sentence about the key or the limit itself.
    Mistake(String),
    /// A sentence about what the model has.
    Exceeded(String),
}

impl Finding {
    fn at(self, key: std::ops::Range<usize>, limit: std::ops::Range<usize>) -> Diagnostic {
        match self {
            Finding::Mistake(message) => Diagnostic::error(message, key),
            Finding::Exceeded(message) => Diagnostic {
                severity: Severity::Warning,
                ..Diagnostic::error(message, limit)
            },
        }
    }
}

/// Compares a model with one limit.
fn examine(model: &Model, convention: &dyn Convention, key: &str, limit: &str) -> Option<Finding> {
    let budget = match Budget::parse(key, limit) {
        Ok(budget) => budget,
        Err(error) => return Some(Finding::Mistake(error.to_string())),
    };
    let numbers = match &budget.convention {
        None => model.numbers(convention),
        Some(name) => match find(name) {
            Ok(named) => model.numbers(named),
            Err(error) => return Some(Finding::Mistake(error.to_string())),
        },
    };
    let value = budget.value(numbers.report.as_ref().ok()?)?;
    if budget.allows(&value)? {
        return None;
    }
    let shown = match budget.quantity {
        Quantity::Count => format::count(&value, Units::Auto, numbers.unit),
        Quantity::Params => format::params(&value, Units::Auto),
    };
    let limit_value = budget.limit.value();
    let over = u128::try_from(value.as_const()?).ok()? - limit_value;
    let share = over as f64 / limit_value.max(1) as f64 * 100.0;
    Some(Finding::Exceeded(format!(
        "over budget: {shown} under {}, {share:.1} % more than {limit} ({} over)",
        numbers.identity,
        format::exact(&Dim::from(over as i128)),
    )))
}
