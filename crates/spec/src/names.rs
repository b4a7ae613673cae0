//! What every name in a document refers to, for editors and for checks that need no run.

mod check;

use foldhash::{HashMap, HashMapExt};
use modelcost_core::SmolStr;
use modelcost_core::expr::{Argument, Expr, ExprKind, Ident, Span};

use crate::catalogue;
use crate::document::{
    Body, Content, Document, Key, Layer, LayerId, Layers, Parameter, Part, Piece,
};
use crate::run;

pub(crate) use check::check;

/// What the layer above gives, whatever it is called.
pub(crate) const ABOVE: &str = "_";

/// The names of a document.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Where names are defined.
    pub definitions: Vec<Definition>,
    /// Where they are used, in the order of the text.
    pub references: Vec<Reference>,
    /// Names that refer to nothing that is known before the model runs.
    pub(crate) unresolved: Vec<Ident>,
    /// Definitions of a name that has one in the same place: the second and the first.
    pub(crate) twice: Vec<(usize, usize)>,
    /// Definitions that hide another.
    pub(crate) hiding: Vec<(usize, usize)>,
}

/// The definition of a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The name.
    pub name: SmolStr,
    /// Where it stands.
    pub span: Span,
    /// What it names.
    pub kind: DefinitionKind,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionKind {
    /// A block.
    Block,
    /// A layer.
    Layer(LayerId),
    /// An argument of a block.
    Argument,
    /// An entry of `[variables]`.
    Variable,
    /// An input of the model or of a block.
    Input,
    /// A parameter or buffer that a body holds.
    Tensor,
    /// A symbol in an input's shape.
    Dimension,
}

/// A use of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it stands.
    pub span: Span,
    /// The position in [`Names::definitions`].
    pub definition: usize,
}

impl Names {
    /// The definition that a byte of the text belongs to, by name or by use.
    pub fn at(&self, offset: usize) -> Option<usize> {
        let used = self.references.iter().find(|r| r.span.touches(offset));
        used.map(|reference| reference.definition).or_else(|| {
            self.definitions
                .iter()
                .position(|definition| definition.span.touches(offset))
        })
    }

    /// The uses of a definition.
    pub fn uses(&self, definition: usize) -> impl Iterator<Item = Span> {
        self.references
            .iter()
            .filter(move |reference| reference.definition == definition)
            .map(|reference| reference.span)
    }
}

impl Document {
    /// What every name refers to.
    pub fn names(&self) -> Names {
        let mut walk = Walk {
            document: self,
            names: Names::default(),
            frames: vec![HashMap::new()],
            spare: Vec::new(),
        };
        walk.document();
        walk.names
            .references
            .sort_by_key(|reference| reference.span);
        walk.names
    }
}

struct Walk<'d> {
    document: &'d Document,
    names: Names,
    frames: Vec<HashMap<SmolStr, Option<usize>>>,
    /// Frames that were left, to be filled again: every layer has one.
    spare: Vec<HashMap<SmolStr, Option<usize>>>,
}

/// Modules of Python whose names stand before a dot.
const ROOTS: &[&str] = &[
    "torch",
    "nn",
    "F",
    "math",
    "operator",
    "torchvision",
    "ops",
    "einops",
    "parametrizations",
    "functional",
    "Tensor",
];

impl<'d> Walk<'d> {
    fn define(&mut self, name: &Ident, kind: DefinitionKind) {
        self.names.definitions.push(Definition {
            name: name.name.clone(),
            span: name.span,
            kind,
        });
        let index = self.names.definitions.len() - 1;
        let is_layer = |kind| matches!(kind, DefinitionKind::Layer(_) | DefinitionKind::Tensor);
        if name.name != "_" && is_layer(kind) {
            let here = self.frames.last().and_then(|frame| frame.get(&name.name));
            match (here.copied().flatten(), self.lookup(&name.name).flatten()) {
                (Some(first), _) => self.names.twice.push((index, first)),
                (None, Some(hidden)) => {
                    let kind = self.names.definitions[hidden].kind;
                    if matches!(kind, DefinitionKind::Argument | DefinitionKind::Variable) {
                        self.names.hiding.push((index, hidden));
                    }
                }
                _ => {}
            }
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.insert(name.name.clone(), Some(index));
        }
    }

    fn enter(&mut self) {
        let frame = self.spare.pop().unwrap_or_default();
        self.frames.push(frame);
    }

    fn leave(&mut self) {
        if let Some(mut frame) = self.frames.pop() {
            frame.clear();
            self.spare.push(frame);
        }
    }

    /// A name that exists without standing anywhere.
    fn predefine(&mut self, name: &'static str) {
        if let Some(frame) = self.frames.last_mut() {
            frame.entry(SmolStr::new_static(name)).or_insert(None);
        }
    }

    fn lookup(&self, name: &str) -> Option<Option<usize>> {
        self.frames
            .iter()
            .rev()
            .find_map(|frame| frame.get(name).copied())
    }

    fn document(&mut self) {
        let document = self.document;
        for block in &document.blocks {
            self.define(&block.name, DefinitionKind::Block);
        }
        for variable in &document.variables {
            self.define(&variable.name, DefinitionKind::Variable);
        }
        for variable in &document.variables {
            self.expr(&variable.value);
        }
        for size in document.inputs.iter().flat_map(|input| &input.shape) {
            self.dimensions(&size.value);
        }
        for block in &document.blocks {
            self.enter();
            for argument in &block.args {
                if let Some(default) = &argument.default {
                    self.expr(default);
                }
            }
            for argument in &block.args {
                self.define(&argument.name, DefinitionKind::Argument);
            }
            self.body(&block.body, true);
            self.leave();
        }
        self.enter();
        for input in &document.inputs {
            self.define(&input.name, DefinitionKind::Input);
        }
        self.body(&document.model, false);
        self.leave();
    }

    /// The first use of a free name in a shape defines it.
    fn dimensions(&mut self, expr: &'d Expr) {
        let mut free = Vec::new();
        expr.walk(&mut |inner| {
            if let ExprKind::Name(name) = &inner.kind {
                free.push(Ident {
                    name: name.clone(),
                    span: inner.span,
                });
            }
        });
        for name in free {
            match self.lookup(&name.name) {
                Some(Some(definition)) => self.names.references.push(Reference {
                    span: name.span,
                    definition,
                }),
                Some(None) => {}
                None if run::is_builtin(&name.name) => {}
                None => self.define(&name, DefinitionKind::Dimension),
            }
        }
    }

    fn body(&mut self, body: &'d Body, own_input: bool) {
        self.enter();
        if own_input {
            self.predefine("input");
        }
        self.predefine(run::SELF);
        for Parameter { name, default } in body.input.iter().flatten() {
            if let Some(default) = default {
                self.expr(default);
            }
            self.define(name, DefinitionKind::Input);
        }
        for tensor in &body.tensors {
            for size in tensor.shape.iter().filter(|size| !size.is_unknown()) {
                self.expr(&size.value);
            }
            self.define(&tensor.name, DefinitionKind::Tensor);
        }
        let ids = || body.modules.iter().chain(body.layers.ids());
        for id in ids() {
            self.define_layer(self.document.layer(*id));
        }
        for id in ids() {
            self.layer(self.document.layer(*id));
        }
        if let Some(output) = &body.output {
            self.expr(output);
        }
        self.leave();
    }

    fn define_layer(&mut self, layer: &'d Layer) {
        let span = layer.key_span.unwrap_or(layer.span);
        let kind = DefinitionKind::Layer(layer.id);
        match &layer.key {
            Key::Name(name) => self.define(
                &Ident {
                    name: name.clone(),
                    span,
                },
                kind,
            ),
            Key::Unpack(parts) => {
                let names = Part::names(parts);
                names.into_iter().for_each(|name| self.define(name, kind));
            }
            Key::Pattern { stem, .. } => self.define(
                &Ident {
                    name: stem.clone(),
                    span,
                },
                kind,
            ),
            Key::Next => {}
        }
    }

    fn layer(&mut self, layer: &'d Layer) {
        self.enter();
        self.predefine("i");
        let exprs = [&layer.when, &layer.repeat];
        exprs.into_iter().flatten().for_each(|expr| self.expr(expr));
        layer
            .from
            .iter()
            .flatten()
            .for_each(|argument| self.expr(&argument.value));
        if let Key::Pattern { pieces, .. } = &layer.key {
            for piece in pieces {
                if let Piece::Expr(expr) = piece {
                    self.expr(expr);
                }
            }
        }
        match &layer.content {
            Content::Expr(expr) => self.expr(expr),
            Content::Body(body) => {
                // What stands in an array sees the input of the body around it.
                let own = matches!(body.layers, Layers::Named(_));
                self.body(body, own);
            }
        }
        self.leave();
    }

    fn expr(&mut self, expr: &'d Expr) {
        if let Some(dotted) = expr.dotted_name().filter(|dotted| dotted.contains('.')) {
            let root = dotted.split('.').next().unwrap_or_default();
            if root != ABOVE && self.lookup(root).is_none() {
                if !ROOTS.contains(&root) || !run::is_known_dotted(&dotted) {
                    self.names.unresolved.push(Ident {
                        name: dotted,
                        span: expr.span,
                    });
                }
                return;
            }
        }
        match &expr.kind {
            ExprKind::Name(name) => self.name(name, expr.span),
            ExprKind::Call(callee, arguments) => {
                // An operator that says what it returns need not be known.
                let says = |argument: &Argument| {
                    let name = argument.name.as_ref();
                    name.is_some_and(|name| name.name == run::RETURNS)
                };
                let operator = callee
                    .dotted_name()
                    .is_some_and(|name| catalogue::names_operator(&name));
                if !(operator && arguments.iter().any(says)) {
                    self.expr(callee);
                }
                for Argument { value, .. } in arguments {
                    self.expr(value);
                }
            }
            ExprKind::Attribute(base, _) => self.expr(base),
            ExprKind::Tuple(items) | ExprKind::List(items) => {
                items.iter().for_each(|item| self.expr(item));
            }
            ExprKind::Unary(_, operand) => self.expr(operand),
            ExprKind::Binary(_, a, b) | ExprKind::And(a, b) | ExprKind::Or(a, b) => {
                self.expr(a);
                self.expr(b);
            }
            ExprKind::Compare(first, rest) => {
                self.expr(first);
                rest.iter().for_each(|(_, operand)| self.expr(operand));
            }
            ExprKind::IfElse {
                test,
                then,
                otherwise,
            } => {
                self.expr(test);
                self.expr(then);
                self.expr(otherwise);
            }
            ExprKind::Subscript(base, indices) => {
                self.expr(base);
                indices.iter().for_each(|index| self.expr(index));
            }
            ExprKind::Slice(lower, upper, step) => {
                let bounds = [lower, upper, step].into_iter().flatten();
                bounds.for_each(|bound| self.expr(bound));
            }
            _ => {}
        }
    }

    fn name(&mut self, name: &SmolStr, span: Span) {
        match self.lookup(name) {
            Some(Some(definition)) => {
                self.names.references.push(Reference { span, definition });
            }
            Some(None) => {}
            None if name == ABOVE || catalogue::class(name).is_some() || run::is_builtin(name) => {}
            None => self.names.unresolved.push(Ident {
                name: name.clone(),
                span,
            }),
        }
    }
}
