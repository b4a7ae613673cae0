//! What the names of a document say without running the model: those that are unknown, given twice or never used.

use modelcost_core::SmolStr;
use modelcost_core::convention::closest;
use modelcost_core::diagnostic::{Diagnostic, Severity, Suggestion};
use modelcost_core::expr::{Expr, ExprKind, Ident};

use super::{DefinitionKind, Names};
use crate::catalogue;
use crate::document::{Content, Document, Key, Layer, Layers};
use crate::run;

/// Appends what is to be said.
pub(crate) fn check(document: &Document, diagnostics: &mut Vec<Diagnostic>) {
    let names = document.names();
    for name in &names.unresolved {
        diagnostics.push(unknown(document, &names, name));
    }
    for (second, first) in &names.twice {
        let (second, first) = (&names.definitions[*second], &names.definitions[*first]);
        let message = format!("the name {} is used twice", second.name);
        let mut diagnostic = Diagnostic::error(message, second.span.range());
        diagnostic
            .related
            .push((first.span.range(), "first here".into()));
        diagnostic.help = Some("give one of the two another name".into());
        diagnostics.push(diagnostic);
    }
    for (index, hidden) in &names.hiding {
        let (definition, hidden) = (&names.definitions[*index], &names.definitions[*hidden]);
        let what = match hidden.kind {
            DefinitionKind::Argument => "the argument",
            _ => "the variable",
        };
        let message = format!(
            "from here on '{}' is this layer, and {what} of that name is hidden",
            definition.name
        );
        diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            related: vec![(hidden.span.range(), "hidden".into())],
            ..Diagnostic::error(message, definition.span.range())
        });
    }
    unused(document, &names, diagnostics);
    uncalled(document, &names, diagnostics);
}

/// What stands for a class or function that nothing calls was meant to be called: `relu = "nn.ReLU"`.
fn uncalled(document: &Document, names: &Names, diagnostics: &mut Vec<Diagnostic>) {
    let mut used = vec![false; document.layers.len()];
    for reference in &names.references {
        if let DefinitionKind::Layer(id) = names.definitions[reference.definition].kind {
            used[id.index()] = true;
        }
    }
    for layer in document
        .layers
        .iter()
        .filter(|layer| !used[layer.id.index()])
    {
        let Content::Expr(expr) = &layer.content else {
            continue;
        };
        let named = layer.from.is_none() && matches!(layer.key, Key::Name(_));
        let Some(dotted) = expr.dotted_name().filter(|_| named) else {
            continue;
        };
        let hidden = names.definitions.iter().any(|definition| {
            definition.name == dotted && !matches!(definition.kind, DefinitionKind::Block)
        });
        let what = if catalogue::class(&dotted).is_some() && !hidden {
            "class"
        } else if document
            .blocks
            .iter()
            .any(|block| block.name.name == dotted)
        {
            "block"
        } else if catalogue::is_function(&dotted) {
            "function"
        } else {
            continue;
        };
        let message = format!("{dotted} is a {what} that nothing calls");
        let mut diagnostic = Diagnostic::error(message, expr.span.range());
        diagnostic.help = Some(format!("call it with its arguments: {dotted}(…)"));
        diagnostics.push(diagnostic);
    }
}

fn unknown(document: &Document, names: &Names, name: &Ident) -> Diagnostic {
    let message = format!("there is no '{}'", name.name);
    let mut diagnostic = Diagnostic::error(message, name.span.range());
    if let Some((_, python)) = [("false", "False"), ("true", "True"), ("null", "None")]
        .iter()
        .find(|(other, _)| *other == name.name)
    {
        diagnostic.help = Some(format!("did you mean '{python}'?"));
        diagnostic.suggestion = Some(Suggestion {
            span: name.span.range(),
            replacement: (*python).into(),
        });
        return diagnostic;
    }
    let last = name.name.rsplit('.').next().unwrap_or_default();
    if matches!(last, "weight_norm" | "spectral_norm") {
        let whole = format!("nn.utils.parametrizations.{last}");
        diagnostic.help = Some(format!("by its whole name: {whole}(Conv2d(3, 8, 3))"));
        return diagnostic;
    }
    let near = match name.name.contains('.') {
        true => catalogue::near(&name.name),
        false => near_name(document, names, name),
    };
    if let Some(near) = near {
        diagnostic.help = Some(format!("did you mean '{near}'?"));
        diagnostic.suggestion = Some(Suggestion {
            span: name.span.range(),
            replacement: near,
        });
    } else if name.name.contains("models.") {
        let help = "only layers are known: modelcost reads the network from a program that torch.export saved, or write its layers";
        diagnostic.help = Some(help.into());
    } else if name
        .name
        .starts_with(|first: char| first.is_ascii_uppercase())
    {
        let help = format!("a class of your own is a table [block.{}]", name.name);
        diagnostic.help = Some(help);
    }
    diagnostic
}

fn near_name(document: &Document, names: &Names, name: &Ident) -> Option<String> {
    for prefix in ["F.", "torch."] {
        let function = format!("{prefix}{}", name.name);
        if catalogue::is_function(&function) {
            return Some(function);
        }
    }
    // Names of the same block, or of the whole file.
    let block = document
        .blocks
        .iter()
        .find(|block| block.span.touches(name.span.start as usize));
    let local = names.definitions.iter().filter(|definition| {
        let inside = block.is_none_or(|block| block.span.touches(definition.span.start as usize));
        let global = matches!(
            definition.kind,
            DefinitionKind::Block | DefinitionKind::Variable | DefinitionKind::Dimension
        );
        inside || global
    });
    let local: Vec<SmolStr> = local.map(|definition| definition.name.clone()).collect();
    let classes = modelcost_torch::classes().map(|class| class.short_name());
    let candidates = local.iter().map(SmolStr::as_str).chain(classes);
    closest(&name.name, candidates).map(String::from)
}

/// Warns about layers whose result nothing takes.
fn unused(document: &Document, names: &Names, diagnostics: &mut Vec<Diagnostic>) {
    let mut used = vec![false; document.layers.len()];
    for reference in &names.references {
        if let DefinitionKind::Layer(id) = names.definitions[reference.definition].kind {
            used[id.index()] = true;
        }
    }
    for body in document.bodies() {
        let Layers::Named(ids) = &body.layers else {
            continue;
        };
        // From the end: whether what flows here is taken by a later layer, or is the result.
        let mut taken = body.output.is_none();
        for id in ids.iter().rev() {
            let layer = document.layer(*id);
            if !taken && !used[id.index()] && !matches!(layer.key, Key::Pattern { .. }) {
                let name = match &layer.key {
                    Key::Name(name) => format!("'{name}'"),
                    _ => "this layer".into(),
                };
                let span = layer.key_span.unwrap_or(layer.span);
                diagnostics.push(Diagnostic {
                    severity: Severity::Warning,
                    help: Some("name it where it is needed, or delete the line".into()),
                    ..Diagnostic::error(format!("nothing takes the result of {name}"), span.range())
                });
            }
            match flow(document, layer) {
                Flow::Takes => taken = true,
                Flow::Replaces if layer.when.is_none() => taken = false,
                Flow::Replaces | Flow::Unclear => {}
            }
        }
    }
}

/// What a layer does with what flows to it.
enum Flow {
    /// It is applied to it.
    Takes,
    /// It gives something else.
    Replaces,
    /// It may be a number, past which the tensor flows.
    Unclear,
}

fn flow(document: &Document, layer: &Layer) -> Flow {
    let mut above = false;
    let mut look = |expr: &Expr| {
        above |= matches!(&expr.kind, ExprKind::Name(name) if name == super::ABOVE);
    };
    if let Content::Expr(expr) = &layer.content {
        expr.walk(&mut look);
    }
    for argument in layer.from.iter().flatten() {
        argument.value.walk(&mut look);
    }
    if above {
        return Flow::Takes;
    }
    if layer.from.is_some() {
        return Flow::Replaces;
    }
    match &layer.content {
        Content::Expr(expr) => flow_of(expr),
        Content::Body(body) => match &body.layers {
            Layers::Sequence(ids) => match ids.first() {
                Some(first) => flow(document, document.layer(*first)),
                None => Flow::Takes,
            },
            _ => Flow::Takes,
        },
    }
}

fn flow_of(expr: &Expr) -> Flow {
    match &expr.kind {
        // A module, or a constructor that is not applied yet.
        ExprKind::Name(_) => Flow::Takes,
        ExprKind::Call(callee, _) => match &callee.kind {
            ExprKind::Call(..) => Flow::Replaces,
            ExprKind::Name(name) if name.starts_with(|c: char| c.is_lowercase()) => {
                match run::is_builtin(name) {
                    true => Flow::Unclear,
                    // A module by its name, or a class given as an argument.
                    false => Flow::Takes,
                }
            }
            ExprKind::Name(_) => Flow::Takes,
            _ => match callee.dotted_name() {
                Some(dotted) if catalogue::class(&dotted).is_some() => Flow::Takes,
                Some(dotted) if catalogue::is_function(&dotted) => Flow::Replaces,
                _ => Flow::Unclear,
            },
        },
        ExprKind::IfElse { .. } => Flow::Takes,
        ExprKind::Binary(_, _, what) => match flow_of(what) {
            Flow::Takes if matches!(what.kind, ExprKind::Call(..)) => Flow::Takes,
            _ => Flow::Unclear,
        },
        _ => Flow::Unclear,
    }
}
