//! Mends and other changes that are offered at a place.

use std::ops::Range;

use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_core::expr::{Argument, Expr, ExprKind};
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

/// The longest text that is traced once more to find a mend.
const MAX_TRIED: usize = 1 << 16;

/// A size that is given and does not fit what comes in: put the one that does in its place. Found
/// by leaving the size out and looking at what is inferred.
pub fn fix_size(
    analysis: &Analysis,
    diagnostics: &[Diagnostic],
    text: &str,
    range: &Range<usize>,
) -> Option<Action> {
    if text.len() > MAX_TRIED {
        return None;
    }
    let layer = analysis.document.layer_at(range.start)?;
    let own = layer.span.range();
    let diagnostic = diagnostics.iter().find(|diagnostic| {
        let inside = |span: &Range<usize>| own.start <= span.start && span.end <= own.end;
        diagnostic.span.as_ref().is_some_and(inside)
            && diagnostic.severity == Severity::Error
            && diagnostic.suggestion.is_none()
    })?;
    let (callee, arguments) = constructor(layer)?;
    let class = modelcost_torch::class(&callee.dotted_name()?)?;
    let inferred = class.inferred().next()?;
    let parameters = &class.signature().parameters;
    let name_of = |index: usize| match &arguments[index].name {
        Some(name) => Some(name.name.clone()),
        None => parameters
            .get(index)
            .map(|parameter| parameter.name.clone()),
    };
    let is_wrong = |index: &usize| name_of(*index).is_some_and(|name| name == inferred);
    let wrong = (0..arguments.len()).find(is_wrong)?;
    let mut rest = Vec::new();
    for (index, argument) in arguments.iter().enumerate() {
        if index != wrong {
            let value = text.get(argument.value.span.range())?;
            rest.push(format!("{}={value}", name_of(index)?));
        }
    }
    let first = arguments.first()?;
    let start = first
        .name
        .as_ref()
        .map_or(first.value.span, |name| name.span)
        .start as usize;
    let end = arguments.last()?.value.span.end as usize;
    let tried = format!("{}{}{}", &text[..start], rest.join(", "), &text[end..]);
    let other = Analysis::new(&tried, &analysis.dims);
    let same_layer = other.document.layers.get(layer.id.index())?;
    let made = other.made_by(same_layer.id);
    let mut values = made
        .iter()
        .filter_map(|made| attribute(other.trace(), made.module?, inferred));
    let value = values.next()?;
    let given = arguments[wrong].value.span.range();
    if values.any(|other| other != value) || text.get(given.clone())? == value {
        return None;
    }
    Some(Action {
        title: format!("Set {inferred} to {value}, which is what comes in"),
        kind: ActionKind::Fix(diagnostic.clone()),
        edits: vec![Edit {
            range: given,
            text: value,
        }],
        preferred: true,
    })
}

/// The class and the arguments of a layer's constructor: of `2 * Conv2d(…)` and `Conv2d(…)(x)` too.
fn constructor(layer: &Layer) -> Option<(&Expr, &[Argument])> {
    let Content::Expr(expr) = &layer.content else {
        return None;
    };
    let mut at = expr;
    loop {
        match &at.kind {
            ExprKind::Call(callee, arguments) => match &callee.kind {
                ExprKind::Call(..) => at = callee,
                _ => return Some((callee, arguments)),
            },
            ExprKind::Binary(_, _, right) => at = right,
            _ => return None,
        }
    }
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
    let (callee, arguments) = constructor(layer)?;
    let name = callee.dotted_name()?;
    let class = modelcost_torch::class(&name)?;
    let short = class.short_name();
    let made = analysis.made_by(layer.id);
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
