//! The shape rules, one a operator, in files by family.

mod attention;
mod contrib;
mod conv;
mod elementwise;
mod index;
mod layout;
mod loss;
mod matmul;
mod ml;
mod normalize;
mod quantize;
mod recurrent;
mod reduce;
mod resize;
mod select;
mod sequence;
mod shape;
mod signal;
mod source;
mod text;
mod util;
mod vision;

use std::sync::OnceLock;

use rustc_hash::FxHashMap;

use super::op::Rule;

/// Domain, operator, rule. `ai.onnx` is the empty domain.
pub(super) type Row = (&'static str, &'static str, Rule);

const ML: &str = "ai.onnx.ml";
const MICROSOFT: &str = "com.microsoft";
const PREVIEW: &str = "ai.onnx.preview";
const TRAINING: &str = "ai.onnx.preview.training";

/// Every table. Where two have the same operator, the later one counts.
const TABLES: &[&[Row]] = &[
    elementwise::RULES,
    reduce::RULES,
    shape::RULES,
    layout::RULES,
    index::RULES,
    select::RULES,
    source::RULES,
    matmul::RULES,
    conv::RULES,
    resize::RULES,
    normalize::RULES,
    attention::RULES,
    recurrent::RULES,
    quantize::RULES,
    sequence::RULES,
    signal::RULES,
    text::RULES,
    loss::RULES,
    vision::RULES,
    ml::RULES,
    contrib::RULES,
];

/// Operators that run subgraphs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Control {
    If,
    Loop,
    Scan,
    SequenceMap,
}

/// How an operator's outputs are found.
#[derive(Clone, Copy)]
pub(crate) enum Entry {
    Rule(Rule),
    Control(Control),
}

/// The rule of an operator.
pub(crate) fn find(domain: &str, op_type: &str) -> Option<Entry> {
    static RULES: OnceLock<FxHashMap<(&str, &str), Entry>> = OnceLock::new();
    let rules: &FxHashMap<(&str, &str), Entry> = RULES.get_or_init(|| {
        let mut rules = FxHashMap::default();
        rules.reserve(TABLES.iter().map(|table| table.len()).sum::<usize>() + 4);
        for (domain, name, rule) in TABLES.iter().flat_map(|table| table.iter()) {
            rules.insert((*domain, *name), Entry::Rule(*rule));
        }
        for (name, control) in [
            ("If", Control::If),
            ("Loop", Control::Loop),
            ("Scan", Control::Scan),
            ("SequenceMap", Control::SequenceMap),
        ] {
            rules.insert(("", name), Entry::Control(control));
        }
        rules
    });
    rules.get(&(domain, op_type)).copied()
}
