//! What is said about the thing under the cursor.

use std::fmt::Write as _;
use std::ops::Range;

use modelcost_core::convention::Convention;
use modelcost_core::expr::{Expr, ExprKind};
use modelcost_core::value::Value;
use modelcost_spec::Content;
use modelcost_torch::{Parameter, Signature};

use crate::analysis::Analysis;
use crate::card;
use crate::config::Settings;
use crate::hints::Subject;
use crate::model::Subjects;
use crate::names::{self, SymbolKind};

/// A text and the bytes that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hover {
    /// Markdown.
    pub markdown: String,
    /// The thing.
    pub span: Range<usize>,
}

/// The hover at an offset.
pub fn hover(
    analysis: &Analysis,
    convention: &dyn Convention,
    settings: &Settings,
    text: &str,
    offset: usize,
) -> Option<Hover> {
    let document = &analysis.document;
    let touches = |span: &modelcost_core::expr::Span| span.touches(offset);
    let card = |subject, span: Range<usize>| {
        let markdown = card::card(analysis, convention, settings, subject)?;
        Some(Hover { markdown, span })
    };
    let name = document.name.as_ref().map(|name| name.span);
    let mut heads = [document.model_span, name].into_iter().flatten();
    if let Some(span) = heads.find(touches) {
        return card(Subject::Model, span.range());
    }
    let mut blocks = document.blocks.iter();
    if let Some(index) = blocks.position(|block| touches(&block.name.span)) {
        let span = document.blocks[index].name.span;
        return card(Subject::Block(index), span.range());
    }
    let layer = document.layer_at(offset);
    if let Some(layer) = layer
        && let Some(span) = layer.key_span.filter(touches)
    {
        return card(Subject::Layer(layer.id.index()), span.range());
    }
    if let Some(at) = names::expression_at(document, offset)
        && let Some(found) = expression_hover(analysis, convention, settings, text, &at, offset)
    {
        return Some(found);
    }
    let layer = layer.filter(|layer| matches!(layer.content, Content::Expr(_)))?;
    card(Subject::Layer(layer.id.index()), layer.span.range())
}

fn expression_hover(
    analysis: &Analysis,
    convention: &dyn Convention,
    settings: &Settings,
    text: &str,
    at: &names::At<'_>,
    offset: usize,
) -> Option<Hover> {
    let document = &analysis.document;
    // The innermost call that the cursor is at: on its callee, or on one of its arguments.
    for call in at.calls.iter().rev() {
        let ExprKind::Call(callee, arguments) = &call.kind else {
            continue;
        };
        if callee.span.touches(offset) {
            let name = callee_name(callee)?;
            let docs = callee_docs(&name);
            // A class or function of PyTorch: what it is, and what this line of it costs.
            let Some(docs) = docs else { break };
            let mut markdown = docs;
            if let Some(layer) = document.layer_at(offset)
                && let Some(card) = card::card(
                    analysis,
                    convention,
                    settings,
                    Subject::Layer(layer.id.index()),
                )
            {
                markdown = format!("{markdown}\n---\n\n{card}");
            }
            return Some(Hover {
                markdown,
                span: callee.span.range(),
            });
        }
        let position = arguments.iter().position(|argument| {
            let on_name = argument
                .name
                .as_ref()
                .is_some_and(|name| name.span.touches(offset));
            on_name || argument.value.span.touches(offset)
        });
        if let Some(position) = position {
            let argument = &arguments[position];
            let on_name = argument
                .name
                .as_ref()
                .filter(|name| name.span.touches(offset));
            // A name in the value says more about itself than about the argument it is given for.
            let is_literal = !matches!(at.expr.kind, ExprKind::Name(_));
            if on_name.is_some() || is_literal {
                let name = callee_name(callee)?;
                let signature = signature_of(analysis, &name)?;
                let parameter = match &argument.name {
                    Some(name) => signature.parameters.iter().find(|p| p.name == name.name)?,
                    None => positional(&signature, position)?,
                };
                let span = on_name.map_or(argument.value.span, |name| {
                    name.span.to(argument.value.span)
                });
                let markdown =
                    argument_text(analysis, &name, &signature, parameter, argument, text);
                return Some(Hover {
                    markdown,
                    span: span.range(),
                });
            }
            break;
        }
    }
    let ExprKind::Name(name) = &at.expr.kind else {
        return None;
    };
    let symbol = names::resolve(document, at.place, name);
    let span = at.expr.span.range();
    let Some(symbol) = symbol else {
        return callee_docs(name).map(|markdown| Hover { markdown, span });
    };
    let markdown = match symbol.kind {
        SymbolKind::Layer(index) => {
            card::card(analysis, convention, settings, Subject::Layer(index))?
        }
        SymbolKind::Block(index) => {
            card::card(analysis, convention, settings, Subject::Block(index))?
        }
        SymbolKind::Variable(index) => {
            let value = document.variables.get(index)?.value.span.range();
            format!("**{name}** = `{}`", text.get(value)?)
        }
        SymbolKind::Argument(index) => {
            let block = document.blocks.get(index)?;
            let default = block
                .args
                .iter()
                .find(|argument| argument.name.name == *name)?
                .default
                .as_ref();
            let default = default.and_then(|expr| text.get(expr.span.range()));
            let default = default.map_or(", which must be given".into(), |text| {
                format!(", `{text}` by default")
            });
            format!(
                "**{name}**: an argument of the block `{}`{default}",
                block.name.name
            )
        }
        SymbolKind::ForwardInput => format!("**{name}**: what the block is applied to"),
        SymbolKind::Input(index) => {
            let trace = analysis.trace();
            let (_, id) = trace.inputs.get(index)?;
            let tensor = trace.tensor(*id);
            let shape = tensor
                .shape
                .as_deref()
                .map_or("?".into(), modelcost_analysis::format::shape);
            let dtype = tensor
                .dtype
                .map_or(String::new(), |dtype| format!(" {dtype}"));
            format!("**{name}**: the model's input, `{shape}`{dtype}")
        }
        SymbolKind::Tensor => format!("**{name}**: a parameter or buffer of this module"),
    };
    Some(Hover { markdown, span })
}

/// The dotted name of a callee; of a method, `Tensor.name`.
pub fn callee_name(callee: &Expr) -> Option<String> {
    let dotted = callee.dotted_name();
    if let Some(name) = &dotted
        && (modelcost_torch::class(name).is_some()
            || modelcost_torch::function(name).is_some()
            || !name.contains('.'))
    {
        return Some(name.to_string());
    }
    match &callee.kind {
        ExprKind::Attribute(_, method) => Some(format!("Tensor.{}", method.name)),
        _ => dotted.map(|name| name.to_string()),
    }
}

/// The signature of a class, function or block by the name that it is called by.
pub fn signature_of(analysis: &Analysis, name: &str) -> Option<Signature> {
    if let Some((_, block)) = analysis.document.block(name) {
        let value = |expr: &Expr| match &expr.kind {
            ExprKind::Int(value) => Value::Int((*value as i64).into()),
            ExprKind::Bool(value) => Value::Bool(*value),
            ExprKind::Float(value) => Value::Float(*value),
            ExprKind::Str(value) => Value::Str(value.clone()),
            ExprKind::None => Value::None,
            _ => Value::Opaque("…".into()),
        };
        let parameters = block.args.iter().map(|argument| Parameter {
            name: argument.name.name.clone(),
            default: argument.default.as_ref().map(value),
            kind: modelcost_torch::Kind::Normal,
        });
        return Some(Signature {
            name: name.into(),
            parameters: parameters.collect(),
        });
    }
    if let Some(class) = modelcost_torch::class(name) {
        return Some(class.signature().clone());
    }
    let function = modelcost_torch::function(name)?;
    let mut signature = function.signature().clone();
    if name.starts_with("Tensor.") && !signature.parameters.is_empty() {
        // `x.view(…)`: what stands before the dot is the first argument.
        signature.parameters.remove(0);
    }
    Some(signature)
}

/// The parameter at a position.
pub fn positional(signature: &Signature, index: usize) -> Option<&Parameter> {
    use modelcost_torch::Kind;
    let variadic = signature
        .parameters
        .iter()
        .position(|parameter| parameter.kind == Kind::Variadic);
    let index = variadic.map_or(index, |variadic| index.min(variadic));
    signature
        .parameters
        .get(index)
        .filter(|parameter| parameter.kind != Kind::KeywordOnly)
}

/// What is known about a class or function by name.
pub fn callee_docs(name: &str) -> Option<String> {
    if let Some(class) = modelcost_torch::class(name) {
        let mut out = format!(
            "```python\n{}\n```\n{}\n",
            class.signature_text(),
            class.doc()
        );
        let inferred: Vec<&str> = class.inferred().collect();
        if !inferred.is_empty() {
            let _ = write!(
                out,
                "\n`{}` may be left out: the input tells it.\n",
                inferred.join("`, `")
            );
        }
        let _ = write!(out, "\n`{}`\n", class.name());
        return Some(out);
    }
    let function = modelcost_torch::function(name)?;
    let names = function.names().join("`, `");
    Some(format!(
        "```python\n{}\n```\n{}\n\n`{names}`\n",
        function.signature_text(),
        function.doc()
    ))
}

/// What an argument of a class or function means.
pub fn argument_doc(callee: &str, argument: &str) -> Option<&'static str> {
    modelcost_torch::class(callee)
        .and_then(|class| class.argument_doc(argument))
        .or_else(|| modelcost_torch::function(callee)?.argument_doc(argument))
}

/// A default as Python writes it.
pub fn python(value: &Value) -> String {
    match value {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Str(text) => format!("'{text}'"),
        Value::DType(dtype) => format!("torch.{dtype}"),
        Value::Tuple(items) => {
            let items: Vec<String> = items.iter().map(python).collect();
            match items.len() {
                1 => format!("({},)", items[0]),
                _ => format!("({})", items.join(", ")),
            }
        }
        Value::List(items) => format!(
            "[{}]",
            items.iter().map(python).collect::<Vec<_>>().join(", ")
        ),
        Value::Opaque(text) => text.to_string(),
        Value::Tensor(_) | Value::Dict(_) => "…".into(),
    }
}

fn argument_text(
    analysis: &Analysis,
    callee: &str,
    signature: &Signature,
    parameter: &Parameter,
    argument: &modelcost_core::expr::Argument,
    text: &str,
) -> String {
    let mut out = format!("**{}** of `{}`\n\n", parameter.name, signature.name);
    if let Some(doc) = argument_doc(callee, &parameter.name) {
        let _ = writeln!(out, "{doc}\n");
    }
    match &parameter.default {
        Some(default) => drop(writeln!(out, "default: `{}`\n", python(default))),
        None => out.push_str("no default\n\n"),
    }
    if let Some(effect) = effect(analysis, parameter, argument, text) {
        let _ = writeln!(out, "{effect}");
    }
    out
}

/// The longest text that is traced a second time to see what an argument does.
const MAX_TRIED: usize = 1 << 16;

/// What the argument does here: the model with the default in its place.
fn effect(
    analysis: &Analysis,
    parameter: &Parameter,
    argument: &modelcost_core::expr::Argument,
    text: &str,
) -> Option<String> {
    let default = python(parameter.default.as_ref()?);
    let span = argument.value.span.range();
    if text.len() > MAX_TRIED || !analysis.is_complete() || text.get(span.clone())? == default {
        return None;
    }
    let layer = analysis.document.layer_at(span.start)?;
    let index = layer.id.index();
    let tried = format!("{}{default}{}", &text[..span.start], &text[span.end..]);
    let other = Analysis::new(&tried, &analysis.dims);
    let here = analysis.facts(Subject::Layer(index));
    let there = other.facts(Subject::Layer(index));
    let mut changes = Vec::new();
    if let (Some((a, _)), Some((b, _))) = (&here.shapes, &there.shapes)
        && a != b
    {
        changes.push(format!(
            "`{}` instead of `{}`",
            modelcost_analysis::format::shape(b),
            modelcost_analysis::format::shape(a)
        ));
    }
    if let (Some(a), Some(b)) = (&here.params, &there.params)
        && a != b
    {
        changes.push(format!(
            "{} parameters instead of {}",
            modelcost_analysis::format::exact(b),
            modelcost_analysis::format::exact(a)
        ));
    }
    if !other.is_complete() {
        let error = other
            .diagnostics
            .first()
            .map_or(String::new(), |diagnostic| {
                format!(": {}", diagnostic.message)
            });
        changes.push(format!("the model does not fit together{error}"));
    }
    match changes.is_empty() {
        true => None,
        false => Some(format!("With `{default}` here: {}.", changes.join("; "))),
    }
}
