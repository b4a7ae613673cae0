//! Causes in words.

use modelcost_core::convention::Unit;

use crate::bridge::{Kind, WHOLE};
use crate::category::{Category, of_operator};

/// Parts of rules by the names that rule tables give them. A part that is not here is written as the
/// table has it.
const PARTS: &[(&str, &str)] = &[
    ("attention", "products of queries, keys and values"),
    ("projections", "input projections"),
    ("output", "output projection"),
    ("scores", "query-key products"),
    ("values", "products with the values"),
    ("input", "products with the input"),
    ("state", "products with the state"),
    ("elementwise", "gate arithmetic"),
    ("mul", "gate arithmetic"),
    ("linear", "products"),
];

/// The cause that no layer has.
pub const ROUNDING: &str =
    "what the tools do to the sum: averages over the batch, truncated fractions";

/// Whether a part says more than the kind of work it belongs to: a rule's only part does not, nor
/// does one that is named after the operator.
pub fn tells_more(part: &str, category: Category) -> bool {
    part != WHOLE && of_operator(part) != Some(category)
}

/// One cause: "bias of convolutions, counted only by thop@0.0.31".
pub fn title(
    category: Category,
    part: Option<&str>,
    kind: Kind,
    units: (Unit, Unit),
    (from, to): &(String, String),
) -> String {
    let what = match part {
        Some(part) => format!("{} of {category}", part_in_words(part)),
        None => category.to_string(),
    };
    match kind {
        Kind::Added => format!("{what}, counted only by {to}"),
        Kind::Dropped => format!("{what}, counted only by {from}"),
        Kind::Unit if units.0 == Unit::Flop => format!("{what}: one MAC for two FLOPs"),
        Kind::Unit => format!("{what}: two FLOPs for each MAC"),
        Kind::Changed => format!("{what}, counted by different rules"),
        Kind::Rounding => ROUNDING.into(),
    }
}

fn part_in_words(part: &str) -> String {
    let known = PARTS.iter().find(|(name, _)| *name == part);
    known.map_or_else(|| part.replace('_', " "), |(_, words)| words.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_as_words() {
        let names = ("a@1".to_string(), "b@2".to_string());
        let title =
            |category, part, kind| title(category, part, kind, (Unit::Mac, Unit::Flop), &names);
        assert_eq!(
            title(Category::Convolution, Some("bias"), Kind::Dropped),
            "bias of convolutions, counted only by a@1"
        );
        assert_eq!(
            title(Category::Attention, Some("attention"), Kind::Added),
            "products of queries, keys and values of attention layers, counted only by b@2"
        );
        assert_eq!(
            title(Category::Linear, Some("weight_gradient"), Kind::Unit),
            "weight gradient of linear layers: two FLOPs for each MAC"
        );
        assert!(!tells_more("batch_norm", Category::Normalization));
        assert!(tells_more("softmax", Category::Attention));
    }
}
