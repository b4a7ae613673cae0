//! What could be typed next.

mod arguments;
mod keys;

use std::ops::Range;

use modelcost_core::convention;

use crate::analysis::Analysis;
use crate::hover::{argument_doc, callee_docs};
use crate::lexical::{self, InString};
use crate::names::{self, SymbolKind};

pub use arguments::callee_signature;
pub use keys::complete_config;

/// What kind of thing an item is, for its icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ItemKind {
    Class,
    Block,
    Function,
    Layer,
    Variable,
    Argument,
    Value,
    Key,
    Convention,
}

/// One proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What is shown.
    pub label: String,
    /// What kind of thing it is.
    pub kind: ItemKind,
    /// A few words beside the label.
    pub detail: String,
    /// What is put in place of the range.
    pub insert: String,
    /// The bytes that are replaced.
    pub range: Range<usize>,
    /// The smaller, the higher in the list.
    pub rank: u8,
    /// Who is asked for documentation when the item is looked at: a class, function, or `Class:argument`.
    pub docs: Option<String>,
}

/// The proposals at an offset of a spec.
pub fn complete(analysis: &Analysis, text: &str, offset: usize) -> Vec<Item> {
    if let Some(items) = directive_items(text, offset) {
        return items;
    }
    if lexical::in_comment(text, offset) {
        return Vec::new();
    }
    match lexical::string_at(text, offset) {
        Some(string) => in_string(analysis, text, offset, &string),
        None => keys::complete_spec(text, offset),
    }
}

fn values(values: &[&str], range: Range<usize>) -> Vec<Item> {
    values
        .iter()
        .map(|value| value_item(value, "", range.clone()))
        .collect()
}

fn value_item(value: &str, detail: &str, range: Range<usize>) -> Item {
    Item {
        label: value.into(),
        kind: ItemKind::Value,
        detail: detail.into(),
        insert: value.into(),
        range,
        rank: 0,
        docs: None,
    }
}

fn conventions(range: Range<usize>) -> Vec<Item> {
    let all = convention::all();
    let item = |(index, registration): (usize, &&convention::Registration)| {
        // The newest release under its default variant needs no more than the tool's name.
        let first = all[..index]
            .iter()
            .all(|earlier| earlier.id != registration.id);
        let label = if first {
            registration.id.to_string()
        } else {
            registration.identity()
        };
        Item {
            insert: label.clone(),
            label,
            kind: ItemKind::Convention,
            detail: registration.identity(),
            range: range.clone(),
            rank: index.min(250) as u8,
            docs: Some(format!("convention:{}", registration.identity())),
        }
    };
    all.iter().enumerate().map(item).collect()
}

/// In a comment that chooses a convention: their names.
fn directive_items(text: &str, offset: usize) -> Option<Vec<Item>> {
    let line_start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[line_start..offset];
    let comment = before.trim_start().strip_prefix('#')?.trim_start();
    let rest = comment.strip_prefix("modelcost:")?;
    let Some((_, value)) = rest.split_once('=') else {
        let word = lexical::word_before(before);
        let range = offset - word.len()..offset;
        return Some(vec![keys::item(
            "convention",
            "how this file is counted",
            "convention = \"".into(),
            range,
        )]);
    };
    let typed = value.trim_start().trim_start_matches(['"', '\'']);
    let start = offset - typed.len();
    let end = text[offset..]
        .find(['"', '\'', '\n', '\r'])
        .map_or(text.len(), |at| offset + at);
    Some(conventions(start..end))
}

fn in_string(analysis: &Analysis, text: &str, offset: usize, string: &InString<'_>) -> Vec<Item> {
    let word = lexical::word_before(string.before);
    let range = offset - word.len()..offset;
    let line_start = text[..string.range.start]
        .rfind('\n')
        .map_or(0, |at| at + 1);
    let key = text[line_start..string.range.start]
        .split('=')
        .next()
        .unwrap_or("")
        .trim();
    let section = keys::section_of(&text[..line_start]);
    if section == "model" && key == "name" || section == "budget" {
        return Vec::new();
    }
    if key == "dtype" {
        return arguments::dtypes(range);
    }
    let mut out = Vec::new();
    if let Some(call) = lexical::open_call(string.before, string.after) {
        out.extend(arguments::complete(analysis, &call, word, &range));
    }
    if let Some((module, _)) = word.rsplit_once('.') {
        out.extend(functions_under(module, word, &range));
        return out;
    }
    let document = &analysis.document;
    for symbol in names::visible(document, names::place_at(document, offset)) {
        let (kind, detail) = match symbol.kind {
            SymbolKind::Layer(_) => (ItemKind::Layer, "layer"),
            SymbolKind::Block(_) => (ItemKind::Block, "block"),
            SymbolKind::Variable(_) => (ItemKind::Variable, "variable"),
            SymbolKind::Argument(_) => (ItemKind::Variable, "argument of the block"),
            SymbolKind::ForwardInput | SymbolKind::Input(_) => (ItemKind::Variable, "input"),
            SymbolKind::Tensor => (ItemKind::Variable, "parameter"),
        };
        let label = symbol.name.to_string();
        if out.iter().any(|item: &Item| item.label == label) {
            continue;
        }
        let rank = if kind == ItemKind::Block { 2 } else { 3 };
        out.push(Item {
            insert: label.clone(),
            label,
            kind,
            detail: detail.into(),
            range: range.clone(),
            rank,
            docs: None,
        });
    }
    for class in modelcost_torch::classes() {
        out.push(Item {
            label: class.short_name().into(),
            kind: ItemKind::Class,
            detail: class.doc().into(),
            insert: class.short_name().into(),
            range: range.clone(),
            rank: 4,
            docs: Some(class.short_name().into()),
        });
    }
    for (module, detail) in [("F", "torch.nn.functional"), ("torch", "torch")] {
        out.push(Item {
            label: module.into(),
            kind: ItemKind::Function,
            detail: detail.into(),
            insert: format!("{module}."),
            range: range.clone(),
            rank: 5,
            docs: None,
        });
    }
    out
}

/// The functions of `F.` or `torch.`; after any other name, the methods of tensors.
fn functions_under(module: &str, word: &str, range: &Range<usize>) -> Vec<Item> {
    let (prefix, shown) = match module {
        "F" | "nn.functional" | "torch.nn.functional" => ("torch.nn.functional.", "F."),
        "torch" => ("torch.", "torch."),
        "nn" | "torch.nn" => {
            return modelcost_torch::classes()
                .filter(|class| class.name().starts_with("torch.nn."))
                .map(|class| Item {
                    label: class.short_name().into(),
                    kind: ItemKind::Class,
                    detail: class.doc().into(),
                    insert: format!("{module}.{}", class.short_name()),
                    range: range.clone(),
                    rank: 1,
                    docs: Some(class.short_name().into()),
                })
                .collect();
        }
        _ => ("torch.Tensor.", ""),
    };
    let base = &word[..word.rfind('.').map_or(0, |dot| dot + 1)];
    let mut out: Vec<Item> = modelcost_torch::functions()
        .flat_map(|function| {
            function
                .names()
                .into_iter()
                .filter_map(move |name| Some((function, name.strip_prefix(prefix)?.to_string())))
        })
        .filter(|(_, name)| !name.contains('.'))
        .map(|(function, name)| Item {
            label: name.clone(),
            kind: ItemKind::Function,
            detail: function.doc().into(),
            insert: format!("{base}{name}"),
            range: range.clone(),
            rank: 1,
            docs: Some(format!(
                "{}{name}",
                if shown.is_empty() { "Tensor." } else { shown }
            )),
        })
        .collect();
    out.sort_by(|a, b| a.label.cmp(&b.label));
    out.dedup_by(|a, b| a.label == b.label);
    out
}

/// The documentation of an item, by what it says about itself in [`Item::docs`].
pub fn documentation(key: &str) -> Option<String> {
    if let Some(name) = key.strip_prefix("convention:") {
        let info = convention::find(name).ok()?.info();
        return Some(format!("{}\n\n`{}`", info.summary, info.source));
    }
    match key.split_once(':') {
        Some((callee, argument)) => argument_doc(callee, argument).map(str::to_string),
        None => callee_docs(key),
    }
}
