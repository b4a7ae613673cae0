//! Names: which are visible where, what is at an offset, and renaming.

use std::ops::Range;

use modelcost_core::SmolStr;
use modelcost_core::expr::{Argument, Expr, ExprKind, Ident};
use modelcost_spec::{
    Body, Content, DefinitionKind, Document, Key, Layer, LayerId, Parameter, Part,
};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SymbolKind {
    /// A layer, by its position in the document.
    Layer(usize),
    /// A block, by its position in the document.
    Block(usize),
    /// A variable of `[variables]`, by its position.
    Variable(usize),
    /// A parameter of a block's constructor.
    Argument(usize),
    /// A parameter of a `forward`.
    ForwardInput,
    /// An input of the model.
    Input(usize),
    /// A parameter or buffer that a body holds itself.
    Tensor,
}

/// A name that the document defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The name.
    pub name: SmolStr,
    /// Where it is defined.
    pub span: Range<usize>,
    /// What it is.
    pub kind: SymbolKind,
}

/// Where an expression stands: which names it sees.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// The block that it is in; `None` for the model and for what stands outside both.
    pub block: Option<usize>,
    /// The layer whose children it is among.
    pub parent: Option<LayerId>,
}

impl Place {
    fn of(layer: &Layer) -> Place {
        Place {
            block: layer.block,
            parent: layer.parent,
        }
    }
}

/// The place of an offset: that of the innermost layer there, or of the block around it.
pub fn place_at(document: &Document, offset: usize) -> Place {
    if let Some(layer) = document.layer_at(offset) {
        let inside = matches!(layer.content, Content::Body(_)) && layer.span.touches(offset);
        return match inside {
            true => Place {
                block: layer.block,
                parent: Some(layer.id),
            },
            false => Place::of(layer),
        };
    }
    // The block whose header was the last before the offset, unless the model's came after it.
    let header = |at: u32| (at as usize <= offset).then_some(at);
    let block = document
        .blocks
        .iter()
        .enumerate()
        .filter_map(|(index, block)| Some((header(block.name.span.start)?, index)))
        .max();
    let model = document
        .model
        .layers
        .ids()
        .iter()
        .filter_map(|id| header(document.layer(*id).full_span().start))
        .max();
    match block {
        Some((at, index)) if model.is_none_or(|model| model < at) => Place {
            block: Some(index),
            parent: None,
        },
        _ => Place::default(),
    }
}

/// The names that are visible at a place, the nearest first.
pub fn visible(document: &Document, place: Place) -> Vec<Symbol> {
    let mut out = Vec::new();
    let mut parent = place.parent;
    while let Some(layer) = parent.map(|id| document.layer(id)) {
        if let Content::Body(body) = &layer.content {
            body_symbols(document, body, &mut out);
        }
        parent = layer.parent;
    }
    match place
        .block
        .and_then(|index| Some((index, document.blocks.get(index)?)))
    {
        Some((index, block)) => {
            body_symbols(document, &block.body, &mut out);
            out.extend(
                block
                    .args
                    .iter()
                    .map(|argument| parameter(argument, SymbolKind::Argument(index))),
            );
        }
        None => {
            body_symbols(document, &document.model, &mut out);
            let inputs = document.inputs.iter().enumerate();
            out.extend(inputs.map(|(index, input)| symbol(&input.name, SymbolKind::Input(index))));
        }
    }
    let variables = document.variables.iter().enumerate();
    out.extend(
        variables.map(|(index, variable)| symbol(&variable.name, SymbolKind::Variable(index))),
    );
    let blocks = document.blocks.iter().enumerate();
    out.extend(blocks.map(|(index, block)| symbol(&block.name, SymbolKind::Block(index))));
    out
}

fn body_symbols(document: &Document, body: &Body, out: &mut Vec<Symbol>) {
    for id in body.modules.iter().chain(body.layers.ids()) {
        layer_symbols(document.layer(*id), out);
    }
    out.extend(
        body.tensors
            .iter()
            .map(|tensor| symbol(&tensor.name, SymbolKind::Tensor)),
    );
    let inputs = body.input.iter().flatten();
    out.extend(inputs.map(|input| parameter(input, SymbolKind::ForwardInput)));
}

/// The names that a layer's key defines.
pub fn layer_symbols(layer: &Layer, out: &mut Vec<Symbol>) {
    let kind = SymbolKind::Layer(layer.id.index());
    match (&layer.key, layer.key_span) {
        (Key::Name(name), Some(span)) => out.push(Symbol {
            name: name.clone(),
            span: span.range(),
            kind,
        }),
        (Key::Pattern { stem, .. }, Some(span)) => out.push(Symbol {
            name: stem.clone(),
            span: span.range(),
            kind,
        }),
        (Key::Unpack(parts), _) => {
            let names = Part::names(parts).into_iter();
            out.extend(names.map(|name| symbol(name, kind)));
        }
        _ => {}
    }
}

fn symbol(ident: &Ident, kind: SymbolKind) -> Symbol {
    Symbol {
        name: ident.name.clone(),
        span: ident.span.range(),
        kind,
    }
}

fn parameter(parameter: &Parameter, kind: SymbolKind) -> Symbol {
    symbol(&parameter.name, kind)
}

/// What a name at a place stands for.
pub fn resolve(document: &Document, place: Place, name: &str) -> Option<Symbol> {
    visible(document, place)
        .into_iter()
        .find(|symbol| symbol.name == name)
}

/// Calls `visit` for each expression of a document, with its place.
pub fn each_expression<'d>(document: &'d Document, visit: &mut dyn FnMut(Place, &'d Expr)) {
    let top = Place::default();
    document
        .variables
        .iter()
        .for_each(|variable| visit(top, &variable.value));
    for size in document.inputs.iter().flat_map(|input| &input.shape) {
        visit(top, &size.value);
        size.default.iter().for_each(|default| visit(top, default));
    }
    body_expressions(&document.model, top, visit);
    for (index, block) in document.blocks.iter().enumerate() {
        let place = Place {
            block: Some(index),
            parent: None,
        };
        block
            .args
            .iter()
            .filter_map(|argument| argument.default.as_ref())
            .for_each(|default| visit(place, default));
        body_expressions(&block.body, place, visit);
    }
    for layer in &document.layers {
        let place = Place::of(layer);
        layer
            .when
            .iter()
            .chain(&layer.repeat)
            .for_each(|expr| visit(place, expr));
        for argument in layer.from.iter().flatten() {
            visit(place, &argument.value);
        }
        if let Key::Pattern { pieces, .. } = &layer.key {
            for piece in pieces {
                if let modelcost_spec::Piece::Expr(expr) = piece {
                    visit(place, expr);
                }
            }
        }
        match &layer.content {
            Content::Expr(expr) => visit(place, expr),
            Content::Body(body) => body_expressions(
                body,
                Place {
                    block: layer.block,
                    parent: Some(layer.id),
                },
                visit,
            ),
        }
    }
}

fn body_expressions<'d>(body: &'d Body, place: Place, visit: &mut dyn FnMut(Place, &'d Expr)) {
    body.output.iter().for_each(|output| visit(place, output));
    for size in body.tensors.iter().flat_map(|tensor| &tensor.shape) {
        visit(place, &size.value);
    }
    body.input
        .iter()
        .flatten()
        .filter_map(|input| input.default.as_ref())
        .for_each(|default| visit(place, default));
}

/// The innermost expression at an offset, with the calls around it, outermost first.
pub struct At<'d> {
    /// Which names it sees.
    pub place: Place,
    /// The innermost expression.
    pub expr: &'d Expr,
    /// The calls that it is inside of, itself included, outermost first.
    pub calls: Vec<&'d Expr>,
    /// The name of an argument, if the offset is on one.
    pub keyword: Option<&'d Ident>,
}

/// The expression at an offset.
pub fn expression_at(document: &Document, offset: usize) -> Option<At<'_>> {
    let mut found: Option<At<'_>> = None;
    each_expression(document, &mut |place, expr| {
        if expr.span.touches(offset) && found.is_none() {
            found = Some(innermost(place, expr, offset));
        }
    });
    found
}

fn innermost<'d>(place: Place, root: &'d Expr, offset: usize) -> At<'d> {
    let mut at = At {
        place,
        expr: root,
        calls: Vec::new(),
        keyword: None,
    };
    root.walk(&mut |expr| {
        if !expr.span.touches(offset) {
            return;
        }
        // Visited outermost first: what fits later is further in. Neighbours that touch share an offset; the first,
        // which ends there, is what was meant by a cursor behind it only if nothing begins there.
        at.expr = expr;
        if let ExprKind::Call(_, arguments) = &expr.kind {
            at.calls.push(expr);
            let named = arguments
                .iter()
                .filter_map(|argument: &Argument| argument.name.as_ref());
            at.keyword = named
                .into_iter()
                .find(|name| name.span.touches(offset))
                .or(at.keyword);
        }
    });
    at
}

/// Why a name cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenameError {
    /// There is no name of the document here.
    #[error("there is nothing to rename here")]
    Nothing,
    /// The new name is not one.
    #[error("'{0}' is not a name: use letters, digits and '_', not starting with a digit")]
    NotAName(String),
    /// The new name is taken.
    #[error("the name '{0}' is taken")]
    Taken(String),
    /// The key makes several names.
    #[error("'{0}' stands for several names; change its pattern by hand")]
    Pattern(String),
}

/// Where a name is defined, and everywhere it is used; the first is the definition.
pub fn occurrences(
    document: &Document,
    text: &str,
    offset: usize,
) -> Option<(SmolStr, Vec<Range<usize>>)> {
    let names = document.names();
    // The first part of a path, as in `tie` and `freeze`, is a use too.
    let on_path = paths(document)
        .find(|path| path.span.touches(offset))
        .and_then(|path| {
            let first = path.name.split('.').next()?;
            names.definitions.iter().position(|definition| {
                definition.name == first
                    && matches!(
                        definition.kind,
                        DefinitionKind::Layer(_) | DefinitionKind::Tensor
                    )
            })
        });
    let index = names.at(offset).or(on_path)?;
    let definition = &names.definitions[index];
    let mut uses: Vec<Range<usize>> = names.uses(index).map(|span| span.range()).collect();
    if matches!(
        definition.kind,
        DefinitionKind::Layer(_) | DefinitionKind::Tensor
    ) {
        let first = |path: &&Ident| path.name.split('.').next() == Some(definition.name.as_str());
        uses.extend(paths(document).filter(first).map(|path| {
            let start = path.span.start as usize;
            start..start + definition.name.len()
        }));
    }
    uses.sort_by_key(|span| span.start);
    uses.dedup();
    let own = bare(text, &definition.span.range());
    uses.retain(|span| *span != own);
    uses.insert(0, own);
    Some((definition.name.clone(), uses))
}

/// The dotted paths of a document that begin with a layer's name: `head.weight` of a tie.
fn paths(document: &Document) -> impl Iterator<Item = &Ident> {
    document.bodies().flat_map(|body| {
        body.freeze
            .iter()
            .chain(body.ties.iter().flat_map(|(a, b)| [a, b]))
    })
}

/// The places where a name is to be replaced by a new one.
pub fn rename(
    document: &Document,
    text: &str,
    offset: usize,
    new: &str,
) -> Result<Vec<Range<usize>>, RenameError> {
    let (name, spans) = occurrences(document, text, offset).ok_or(RenameError::Nothing)?;
    let mut characters = new.chars();
    let starts_well = characters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(RenameError::NotAName(new.into()));
    }
    if text.get(spans[0].clone()) != Some(name.as_str()) {
        return Err(RenameError::Pattern(name.to_string()));
    }
    let taken = |span: &Range<usize>| {
        let seen = visible(document, place_at(document, span.start));
        seen.iter().any(|symbol| symbol.name == new)
    };
    if new != name && spans.iter().any(taken) {
        return Err(RenameError::Taken(new.into()));
    }
    Ok(spans
        .into_iter()
        .filter(|span| text.get(span.clone()) == Some(name.as_str()))
        .collect())
}

/// A key without its quotes.
pub fn bare(text: &str, span: &Range<usize>) -> Range<usize> {
    match text.get(span.clone()) {
        Some(raw) if raw.len() >= 2 && raw.starts_with(['"', '\'']) => span.start + 1..span.end - 1,
        _ => span.clone(),
    }
}
