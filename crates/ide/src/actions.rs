//! Mends and other changes that are offered at a place.

use std::ops::Range;

use modelcost_core::diagnostic::Diagnostic;
use modelcost_core::expr::ExprKind;
use modelcost_core::trace::Trace;
use modelcost_core::value::Value;
use modelcost_spec::{Content, Layer};

use crate::analysis::Analysis;
use crate::config::Directive;

/// A replacement of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced.
    pub range: Range<usize>,
    /// By what.
    pub text: String,
}

/// Why an action is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// It mends a diagnostic: the one with this message at this place.
    Fix(Diagnostic),
    /// It rewrites what is right as it stands.
    Rewrite,
}

/// A change that is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it does, in a few words.
    pub title: String,
    /// Why it is offered.
    pub kind: ActionKind,
    /// What it changes.
    pub edits: Vec<Edit>,
    /// Whether it is the one to take when several mend the same.
    pub preferred: bool,
}

/// The mends of diagnostics that touch a range.
pub fn fixes(diagnostics: &[Diagnostic], text: &str, range: &Range<usize>) -> Vec<Action> {
    let touches = |span: &Range<usize>| span.start <= range.end && range.start <= span.end;
    diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.span.as_ref().is_some_and(touches))
        .filter_map(|diagnostic| {
            let suggestion = diagnostic.suggestion.as_ref()?;
            let replaced = text.get(suggestion.span.clone())?;
            let title = match (replaced.trim(), suggestion.replacement.trim()) {
                ("", new) => format!("Insert '{new}'"),
                (old, "") => format!("Remove '{old}'"),
                (old, new) => format!("Replace '{old}' by '{new}'"),
            };
            Some(Action {
                title,
                kind: ActionKind::Fix(diagnostic.clone()),
                edits: vec![Edit {
                    range: suggestion.span.clone(),
                    text: suggestion.replacement.clone(),
                }],
                preferred: true,
            })
        })
        .collect()
}

/// What can be rewritten at an offset.
pub fn rewrites(analysis: &Analysis, text: &str, offset: usize) -> Vec<Action> {
    let Some(layer) = analysis.document.layer_at(offset) else {
        return Vec::new();
    };
    insert_inferred(analysis, layer, text).into_iter().collect()
}

/// `LazyConv2d(64, 3)` and `Conv2d(out_channels=64, …)` know their input when they are called: write it down.
fn insert_inferred(analysis: &Analysis, layer: &Layer, text: &str) -> Option<Action> {
    let Content::Expr(expr) = &layer.content else {
        return None;
    };
    let mut call = expr;
    // `Conv2d(…)(x)`: the constructor is what is called.
    let (callee, arguments) = loop {
        match &call.kind {
            ExprKind::Call(callee, arguments) => match &callee.kind {
                ExprKind::Call(..) => call = callee,
                _ => break (callee, arguments),
            },
            ExprKind::Binary(_, _, right) => call = right,
            _ => return None,
        }
    };
    let name = callee.dotted_name()?;
    let class = modelcost_torch::class(&name)?;
    let short = class.short_name();
    let made = analysis.traced.made_by(layer.id);
    let trace = analysis.trace();
    let module = made.first()?.module?;
    let real_class = trace.module(module).class.short_name();
    let real = modelcost_torch::class(real_class)?;
    let inferred = real.inferred().next().map(str::to_string).or_else(|| {
        // A lazy class: what the real one takes first.
        let own = &class.signature().parameters;
        let first = &real.signature().parameters.first()?.name;
        own.iter()
            .all(|parameter| parameter.name != *first)
            .then(|| first.to_string())
    })?;
    let lazy = short.starts_with("Lazy");
    let given = arguments
        .iter()
        .enumerate()
        .any(|(index, argument)| match &argument.name {
            Some(argument) => argument.name == inferred,
            None => {
                !lazy
                    && real
                        .signature()
                        .parameters
                        .get(index)
                        .is_some_and(|parameter| parameter.name == inferred)
            }
        });
    if given {
        return None;
    }
    let mut values = made
        .iter()
        .filter_map(|made| attribute(trace, made.module?, &inferred));
    let value = values.next()?;
    // A layer of a block that is used with different sizes has no one value.
    if values.any(|other| other != value) {
        return None;
    }
    let mut edits = Vec::new();
    if lazy {
        edits.push(Edit {
            range: callee.span.range(),
            text: name.replace(short, real_class),
        });
    }
    let open = callee.span.end as usize + text.get(callee.span.end as usize..)?.find('(')? + 1;
    let by_position = arguments.first().is_none_or(|first| first.name.is_none());
    let separator = if arguments.is_empty() { "" } else { ", " };
    let insert = match lazy && by_position {
        true => format!("{value}{separator}"),
        false => format!("{inferred}={value}{separator}"),
    };
    edits.push(Edit {
        range: open..open,
        text: insert,
    });
    Some(Action {
        title: format!("Write down the inferred {inferred}: {value}"),
        kind: ActionKind::Rewrite,
        edits,
        preferred: false,
    })
}

fn attribute(trace: &Trace, module: modelcost_core::trace::ModuleId, name: &str) -> Option<String> {
    match trace.attribute(module, name)? {
        Value::Int(value) if value.is_const() => Some(value.to_string()),
        Value::Tuple(items) => match items.as_slice() {
            [Value::Int(value)] if value.is_const() => Some(value.to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Chooses a convention in the file: changes its comment, or writes one above everything.
pub fn choose_in_file(directive: Option<&Directive>, name: &str) -> Action {
    let edit = match directive {
        Some(directive) => Edit {
            range: directive.span.clone(),
            text: name.into(),
        },
        None => Edit {
            range: 0..0,
            text: format!("# modelcost: convention = \"{name}\"\n"),
        },
    };
    Action {
        title: format!("Count this file as {name} does"),
        kind: ActionKind::Rewrite,
        edits: vec![edit],
        preferred: false,
    }
}
