//! What could be typed next.

use std::ops::Range;

use modelcost_core::convention;
use modelcost_torch::Kind;

use crate::analysis::Analysis;
use crate::hover::{argument_doc, callee_docs, positional, python, signature_of};
use crate::lexical::{self, InString};
use crate::names::{self, SymbolKind};

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
        None => keys(text, offset),
    }
}

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
        .map(|(name, detail)| key_item(name, detail, format!("{name} = "), range.clone()))
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
const SPEC_TABLES: [(&str, &str); 6] = [
    ("model", "the name and inputs of the model"),
    ("layers", "the model's layers, in turn"),
    ("modules", "modules that layers call by name"),
    ("variables", "names for numbers"),
    ("budget", "limits that the model is to keep"),
    ("block", "a module with parameters, used by name"),
];
const MODEL_KEYS: [(&str, &str); 8] = [
    ("name", "the model's name"),
    ("input", "the shape of the input, or a table of inputs"),
    ("output", "what the model returns, if not its last layer"),
    ("class", "the class that tools are to see"),
    ("tie", "parameters that share storage"),
    ("freeze", "parameters that are not trained"),
    ("reconstructed", "what was put back, a sentence each"),
    ("partial", "what the spec does not say, a sentence each"),
];
const BLOCK_KEYS: [(&str, &str); 6] = [
    ("args", "the parameters of its constructor"),
    ("input", "the parameters of its forward"),
    ("output", "what it returns, if not its last layer"),
    ("class", "the class that tools are to see"),
    ("base", "the class it derives from"),
    ("freeze", "parameters that are not trained"),
];

/// The table that the end of a text is in: `layers`, `block.Bottleneck`.
fn section_of(before: &str) -> &str {
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

fn keys(text: &str, offset: usize) -> Vec<Item> {
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
                key_item(name, detail, insert, range.clone())
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
                .map(|(name, detail)| key_item(name, detail, format!("[{name}"), range.clone()))
                .collect();
        }
        section if section.starts_with("block.") && section.matches('.').count() == 1 => {
            &BLOCK_KEYS
        }
        _ => &[],
    };
    names
        .iter()
        .map(|(name, detail)| key_item(name, detail, format!("{name} = "), range.clone()))
        .collect()
}

fn key_item(label: &str, detail: &str, insert: String, range: Range<usize>) -> Item {
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
        return Some(vec![key_item(
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
    let section = section_of(&text[..line_start]);
    if section == "model" && key == "name" || section == "budget" {
        return Vec::new();
    }
    if key == "dtype" {
        return dtypes(range);
    }
    let mut out = Vec::new();
    if let Some(call) = lexical::open_call(string.before, string.after) {
        out.extend(arguments(analysis, &call, word, &range));
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

/// The arguments that a call still lacks, and the values of the one that is being given.
fn arguments(
    analysis: &Analysis,
    call: &lexical::OpenCall<'_>,
    word: &str,
    range: &Range<usize>,
) -> Vec<Item> {
    let Some(signature) = callee_signature(analysis, call.callee) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    if call.keyword.is_none() {
        let unset = signature
            .parameters
            .iter()
            .enumerate()
            .filter(|(index, parameter)| {
                let by_position = *index < call.index && parameter.kind == Kind::Normal;
                !by_position
                    && parameter.kind != Kind::Variadic
                    && !call.named.contains(&parameter.name.as_str())
            });
        for (_, parameter) in unset {
            if word.contains('.') {
                break;
            }
            let default = parameter
                .default
                .as_ref()
                .map_or(String::new(), |value| format!("={}", python(value)));
            out.push(Item {
                label: format!("{}=", parameter.name),
                kind: ItemKind::Argument,
                detail: format!("{}{default}", parameter.name),
                insert: format!("{}=", parameter.name),
                range: range.clone(),
                rank: 1,
                docs: Some(format!("{}:{}", call.callee, parameter.name)),
            });
        }
    }
    let current = match call.keyword {
        Some(name) => signature
            .parameters
            .iter()
            .find(|parameter| parameter.name == name),
        None => positional(&signature, call.index),
    };
    if let Some(parameter) = current {
        let choices: &[&str] = match parameter.name.as_str() {
            "padding_mode" => &["'zeros'", "'reflect'", "'replicate'", "'circular'"],
            "padding" => &["'same'", "'valid'"],
            "mode" => &[
                "'nearest'",
                "'linear'",
                "'bilinear'",
                "'bicubic'",
                "'trilinear'",
            ],
            "approximate" => &["'none'", "'tanh'"],
            "nonlinearity" => &["'tanh'", "'relu'"],
            "dtype" => return [out, dtypes(range.clone())].concat(),
            _ => match &parameter.default {
                Some(modelcost_core::value::Value::Bool(true)) => &["False", "True"],
                Some(modelcost_core::value::Value::Bool(false)) => &["True", "False"],
                _ => &[],
            },
        };
        for choice in choices {
            out.push(value_item(choice, &parameter.name, range.clone()));
        }
    }
    out
}

fn dtypes(range: Range<usize>) -> Vec<Item> {
    values(
        &[
            "float32", "float16", "bfloat16", "float64", "int64", "int32", "bool",
        ],
        range,
    )
}

/// The signature of what is called by a name as it is typed.
pub fn callee_signature(analysis: &Analysis, callee: &str) -> Option<modelcost_torch::Signature> {
    if let Some(signature) = signature_of(analysis, callee) {
        return Some(signature);
    }
    let method = callee.rsplit('.').next().filter(|_| callee.contains('.'))?;
    signature_of(analysis, &format!("Tensor.{method}"))
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
