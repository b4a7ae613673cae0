//! Limits that a model is to keep.

use modelcost_core::convention::{Convention, lookup, find};
use modelcost_core::diagnostic::{Diagnostic, Severity, Suggestion};
use modelcost_core::dim::Dim;

use crate::analysis::Analysis;
use crate::config::{CONFIG_FILE, Units};
use crate::format;

/// Says which budgets a model exceeds: those of its own `[budget]`, and those of `modelcost.toml`.
pub fn check(analysis: &Analysis, convention: &dyn Convention, configured: &[(String, String)]) -> Vec<Diagnostic> {
    let document = &analysis.document;
    let mut out = Vec::new();
    for budget in &document.budget {
        let finding = examine(analysis, convention, &budget.key.name, &budget.limit.name);
        out.extend(finding.map(|finding| finding.at(budget.key.span.range(), budget.limit.span.range())));
    }
    // A budget from elsewhere has no place in this file but the model's name.
    let place = document.name.as_ref().map(|name| name.span).or(document.model_span).map_or(0..0, |span| span.range());
    for (key, limit) in configured {
        if document.budget.iter().any(|own| own.key.name == key) {
            continue;
        }
        let finding = examine(analysis, convention, key, limit);
        out.extend(finding.map(|finding| {
            let mut diagnostic = finding.at(place.clone(), place.clone());
            diagnostic.help = Some(format!("the budget is in {CONFIG_FILE}: {key} = \"{limit}\""));
            diagnostic.suggestion = None;
            diagnostic
        }));
    }
    out
}

enum Finding {
    /// A sentence about the key or the limit itself.
    Mistake(String),
    /// A sentence, what the model has, and the figure as it could be written.
    Exceeded(String, Option<String>),
}

impl Finding {
    fn at(self, key: std::ops::Range<usize>, limit: std::ops::Range<usize>) -> Diagnostic {
        match self {
            Finding::Mistake(message) => Diagnostic::error(message, key),
            Finding::Exceeded(message, figure) => {
                let mut diagnostic = Diagnostic::error(message, limit.clone());
                diagnostic.severity = Severity::Warning;
                diagnostic.suggestion = figure.map(|replacement| Suggestion { span: limit, replacement });
                diagnostic
            }
        }
    }
}

/// `count`, `params`, `ptflops.count`, `ptflops@0.6.9.count`; the last part says what is limited.
fn examine(analysis: &Analysis, convention: &dyn Convention, key: &str, limit: &str) -> Option<Finding> {
    let (name, what) = match key.rsplit_once('.') {
        Some((name, what)) => (Some(name), what),
        None => (None, key),
    };
    if what != "count" && what != "params" {
        return Some(Finding::Mistake(format!(
            "a budget limits 'count' or 'params', not '{what}'; for one convention: ptflops.count = \"600M\""
        )));
    }
    let Some(limit_value) = parse_figure(limit) else {
        return Some(Finding::Mistake(format!("'{limit}' is not a number: write it as 600M, 4.1G or 5000000")));
    };
    let numbers = match name {
        None => analysis.numbers(convention),
        Some(name) => match lookup(name).and_then(|_| find(name)) {
            Ok(named) => analysis.numbers(named),
            Err(error) => return Some(Finding::Mistake(error.to_string())),
        },
    };
    let (value, shown) = match what {
        "count" => {
            let value = numbers.total()?;
            (value, format::count(value, Units::Auto, numbers.unit))
        }
        _ => {
            let value = numbers.total_params()?;
            (value, format::params(value, Units::Auto))
        }
    };
    let number = value.as_const()?;
    if number <= limit_value {
        return None;
    }
    let over = (number - limit_value) as f64 / limit_value.max(1) as f64 * 100.0;
    let message = format!(
        "over budget: {shown} under {}, {over:.1} % more than {limit} ({} over)",
        numbers.identity,
        format::exact(&Dim::Const(number - limit_value)),
    );
    Some(Finding::Exceeded(message, None))
}

/// `600M`, `4.1 G`, `5_000_000`, exactly.
pub fn parse_figure(text: &str) -> Option<i128> {
    let text = text.trim().replace(['_', ','], "");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let suffix = text[digits.len()..].trim();
    let exponent: u32 = match suffix.chars().next().map(|c| c.to_ascii_lowercase()) {
        None => 0,
        Some('k') => 3,
        Some('m') => 6,
        Some('g' | 'b') => 9,
        Some('t') => 12,
        Some(_) => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !fraction.chars().all(|c| c.is_ascii_digit()) || fraction.len() > 30 || whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let scale = 10i128.checked_pow(exponent)?;
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction_value: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let fraction_scale = 10i128.checked_pow(fraction.len() as u32)?;
    let value = whole.checked_mul(scale)?.checked_add(fraction_value.checked_mul(scale)? / fraction_scale)?;
    (value >= 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(parse_figure("600M"), Some(600_000_000));
        assert_eq!(parse_figure("4.1 G"), Some(4_100_000_000));
        assert_eq!(parse_figure("5_000_000"), Some(5_000_000));
        assert_eq!(parse_figure("0.5k"), Some(500));
        assert_eq!(parse_figure("many"), None);
        assert_eq!(parse_figure("1x"), None);
    }
}
