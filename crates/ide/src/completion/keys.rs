//! Keys of tables: of specs, and of `modelcost.toml`.

use std::ops::Range;

use super::{Item, ItemKind, conventions, values};
use crate::lexical;

/// The proposals at an offset of a `modelcost.toml`.
pub fn complete_config(text: &str, offset: usize) -> Vec<Item> {
    if lexical::in_comment(text, offset) {
        return Vec::new();
    }
    let line_start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let line = &text[line_start..offset];
    if let Some(string) = lexical::string_at(text, offset) {
        return match line.split('=').next().map(str::trim) {
            Some("convention" | "compare") => conventions(string.range.start..string.range.end),
            Some("units") => values(&["auto", "raw", "k", "m", "g"], string.range.clone()),
            _ => Vec::new(),
        };
    }
    let word = lexical::word_before(line);
    if word.len() != line.trim_start().len() {
        return Vec::new();
    }
    let range = offset - word.len()..offset;
    let section = section_of(&text[..line_start]);
    let names: &[(&str, &str)] = match section {
        "" => &CONFIG_KEYS,
        "hints" => &HINT_KEYS,
        "budget" => &BUDGET_KEYS,
        _ => &[],
    };
    names
        .iter()
        .map(|(name, detail)| item(name, detail, format!("{name} = "), range.clone()))
        .collect()
}

const CONFIG_KEYS: [(&str, &str); 3] = [
    (
        "convention",
        "how to count: tool, tool@version, tool/variant",
    ),
    ("code_lens", "whether the model's totals stand above it"),
    ("compare", "the conventions that hovers compare"),
];
const HINT_KEYS: [(&str, &str); 7] = [
    ("enabled", "whether there are hints"),
    ("shape", "show the output shape"),
    ("params", "show the parameters"),
    ("count", "show the count"),
    ("share", "show the share of the model's count"),
    ("batch", "show the batch dimension of shapes"),
    ("units", "auto, raw, k, m, g"),
];
const BUDGET_KEYS: [(&str, &str); 2] = [
    ("count", "the most the model may count"),
    ("params", "the most parameters it may have"),
];

/// The keys of the tables of a spec.
const SPEC_TABLES: [(&str, &str); 9] = [
    ("model", "the name and inputs of the model"),
    ("layers", "the model's layers, in turn"),
    ("modules", "modules that layers call by name"),
    ("parameters", "tensors of the model's own that are trained"),
    ("buffers", "tensors of the model's own that are not"),
    ("tie", "parameters that share storage"),
    ("variables", "names for numbers"),
    ("budget", "limits that the model is to keep"),
    ("block", "a module with parameters, used by name"),
];
const MODEL_KEYS: [(&str, &str); 11] = [
    ("name", "the model's name"),
    ("input", "the shape of the input, or a table of inputs"),
    ("output", "what the model returns, if not its last layer"),
    ("class", "the class that tools are to see"),
    ("base", "the class it derives from"),
    ("tie", "parameters that share storage"),
    ("freeze", "parameters that are not trained"),
    ("no_grad", "layers that run under torch.no_grad()"),
    ("sizes", "what its forward computes with sizes"),
    ("reconstructed", "what was put back, a sentence each"),
    ("partial", "what the spec does not say, a sentence each"),
];
const BLOCK_KEYS: [(&str, &str); 9] = [
    ("args", "the parameters of its constructor"),
    ("input", "the parameters of its forward"),
    ("output", "what it returns, if not its last layer"),
    ("class", "the class that tools are to see"),
    ("base", "the class it derives from"),
    ("tie", "parameters that share storage"),
    ("freeze", "parameters that are not trained"),
    ("no_grad", "layers that run under torch.no_grad()"),
    ("sizes", "what its forward computes with sizes"),
];

/// The table that the end of a text is in: `layers`, `block.Bottleneck`.
pub fn section_of(before: &str) -> &str {
    let header = before
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| line.starts_with('['));
    header.map_or("", |line| {
        let line = line.trim_start_matches('[');
        line.split(']').next().unwrap_or("").trim()
    })
}

/// The keys and headers that can stand at an offset of a spec.
pub fn complete_spec(text: &str, offset: usize) -> Vec<Item> {
    let line_start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let line = &text[line_start..offset];
    let trimmed = line.trim_start();
    let word = lexical::word_before(line);
    let range = offset - word.len()..offset;
    if let Some(header) = trimmed.strip_prefix('[') {
        if header.len() != word.len() {
            return Vec::new();
        }
        return SPEC_TABLES
            .iter()
            .map(|(name, detail)| {
                let insert = if *name == "block" {
                    "block.".into()
                } else {
                    name.to_string()
                };
                item(name, detail, insert, range.clone())
            })
            .collect();
    }
    if trimmed.len() != word.len() {
        return Vec::new();
    }
    let section = section_of(&text[..line_start]);
    let names: &[(&str, &str)] = match section {
        "model" => &MODEL_KEYS,
        "budget" => &BUDGET_KEYS,
        "" => {
            return SPEC_TABLES
                .iter()
                .map(|(name, detail)| item(name, detail, format!("[{name}"), range.clone()))
                .collect();
        }
        section if section.starts_with("block.") && section.matches('.').count() == 1 => {
            &BLOCK_KEYS
        }
        _ => &[],
    };
    names
        .iter()
        .map(|(name, detail)| item(name, detail, format!("{name} = "), range.clone()))
        .collect()
}

/// A key.
pub fn item(label: &str, detail: &str, insert: String, range: Range<usize>) -> Item {
    Item {
        label: label.into(),
        kind: ItemKind::Key,
        detail: detail.into(),
        insert,
        range,
        rank: 1,
        docs: None,
    }
}
