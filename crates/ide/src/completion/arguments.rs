//! The arguments of calls.

use std::ops::Range;

use modelcost_torch::Kind;

use super::{Item, ItemKind, value_item, values};
use crate::analysis::Analysis;
use crate::hover::{positional, python, signature_of};
use crate::lexical;

/// The arguments that a call still lacks, and the values of the one that is being given.
pub fn complete(
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

/// The types of elements.
pub fn dtypes(range: Range<usize>) -> Vec<Item> {
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
