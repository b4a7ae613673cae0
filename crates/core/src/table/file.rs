//! What a rule file says, and how it becomes a table.

use serde::Deserialize;
use smol_str::SmolStr;

use super::{Classes, Inside, Params, Rule, RuleSet, Table};
use crate::convention::Info;
use crate::fidelity::Layer;
use crate::formula::Formula;

/// What a rule file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    convention: Header,
    #[serde(default)]
    rule: Vec<RuleText>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(flatten)]
    info: Info,
    #[serde(default)]
    params: Params,
    #[serde(default)]
    inside: Inside,
    #[serde(default)]
    classes: Classes,
    #[serde(default)]
    raises: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    #[serde(default)]
    modules: Vec<SmolStr>,
    #[serde(default)]
    functions: Vec<SmolStr>,
    #[serde(default)]
    operators: Vec<SmolStr>,
    when: Option<toml::Spanned<String>>,
    count: toml::Spanned<CountText>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    note: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CountText {
    Number(i64),
    One(String),
    Parts(toml::Table),
}

/// What is wrong with a rule file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TableError {
    /// What is wrong and the mend.
    pub message: String,
    /// Bytes of the text.
    pub span: std::ops::Range<usize>,
}

impl Table {
    /// Reads a table from TOML.
    pub fn parse(text: &str) -> Result<Table, TableError> {
        let file: File = toml::from_str(text).map_err(|error| TableError {
            message: error.message().to_string(),
            span: error.span().unwrap_or(0..0),
        })?;
        let mut rules = Vec::new();
        for rule in file.rule {
            let formula = |text: &str, span: std::ops::Range<usize>| {
                Formula::parse(text).map_err(|error| TableError {
                    message: format!("in the formula '{text}': {error}"),
                    span,
                })
            };
            let span = rule.count.span();
            let parts = match rule.count.into_inner() {
                CountText::Number(value) => {
                    vec![("count".into(), formula(&value.to_string(), span.clone())?)]
                }
                CountText::One(text) => vec![("count".into(), formula(&text, span.clone())?)],
                CountText::Parts(parts) => {
                    let parts = parts.into_iter().map(|(name, value)| match value {
                        toml::Value::String(text) => {
                            Ok((name.into(), formula(&text, span.clone())?))
                        }
                        toml::Value::Integer(value) => {
                            Ok((name.into(), formula(&value.to_string(), span.clone())?))
                        }
                        _ => Err(TableError {
                            message: format!("the part '{name}' must be a formula in quotes"),
                            span: span.clone(),
                        }),
                    });
                    parts.collect::<Result<_, _>>()?
                }
            };
            if rule.modules.is_empty() && rule.functions.is_empty() && rule.operators.is_empty() {
                return Err(TableError {
                    message:
                        "this rule applies to nothing: name some modules, functions or operators"
                            .into(),
                    span,
                });
            }
            let when = rule
                .when
                .map(|when| formula(when.get_ref(), when.span()))
                .transpose()?;
            rules.push(Rule {
                modules: rule.modules,
                functions: rule.functions,
                operators: rule.operators,
                when,
                parts,
                source: rule.source,
                note: rule.note,
            });
        }
        let Header {
            mut info,
            params,
            inside,
            classes,
            raises,
        } = file.convention;
        if info.sees.is_empty() {
            info.sees = layers(&rules);
        }
        Ok(Table {
            info,
            rules: RuleSet::new(rules).with_classes(classes),
            params,
            inside,
            raises,
        })
    }

    /// Reads a table that is part of the program.
    ///
    /// # Panics
    ///
    /// When the table is wrong; each convention's tests load it.
    pub fn built_in(text: &str) -> Table {
        match Table::parse(text) {
            Ok(table) => table,
            Err(error) => panic!("{error} (at byte {})", error.span.start),
        }
    }
}

/// The layers that rules apply to; all of them if there are none.
fn layers(rules: &[Rule]) -> Vec<Layer> {
    let named = [
        (
            Layer::Modules,
            rules.iter().any(|rule| !rule.modules.is_empty()),
        ),
        (
            Layer::Functions,
            rules.iter().any(|rule| !rule.functions.is_empty()),
        ),
        (
            Layer::Operators,
            rules.iter().any(|rule| !rule.operators.is_empty()),
        ),
    ];
    let all = rules.is_empty();
    let seen = named.into_iter().filter(|(_, seen)| all || *seen);
    seen.map(|(layer, _)| layer).collect()
}
