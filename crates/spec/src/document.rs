//! What a spec says, with spans: the model, its blocks, and their layers.

use modelcost_core::SmolStr;
use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_core::expr::{Argument, Expr, ExprKind, Ident, Span};
use modelcost_core::fidelity::Fidelity;

use crate::{read, tree};

/// A spec. Parsing never fails: what cannot be read is left out, and a diagnostic says so.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// The model's name.
    pub name: Option<Ident>,
    /// The model's inputs.
    pub inputs: Vec<Input>,
    /// What the model holds and does.
    pub model: Body,
    /// Where `[model]` stands.
    pub model_span: Option<Span>,
    /// The blocks in the order of the text.
    pub blocks: Vec<Block>,
    /// `[variables]`, visible everywhere.
    pub variables: Vec<Variable>,
    /// All layers, of the model and of the blocks, indexed by [`LayerId`].
    pub layers: Vec<Layer>,
    /// `[budget]`: `count = "600M"`, or `ptflops.count` for one convention.
    pub budget: Vec<Budget>,
    /// What the spec says about how much of the model it holds.
    pub fidelity: Fidelity,
    /// What is wrong with the text itself.
    pub(crate) errors: Vec<Diagnostic>,
    /// Whether the text is not even TOML.
    pub(crate) is_broken: bool,
    is_spec: bool,
    is_empty: bool,
}

/// A layer of the document: one entry of a table or an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerId(pub(crate) u32);

impl LayerId {
    /// The position in [`Document::layers`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An input of the model.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name; `input` where the spec gives none.
    pub name: Ident,
    /// Its sizes.
    pub shape: Vec<Size>,
    /// Where the shape stands.
    pub shape_span: Span,
    /// Its element type; float32 where the spec gives none.
    pub dtype: Option<Ident>,
}

/// The size of a parameter or buffer that the file from which a spec was written does not say.
pub const UNKNOWN: &str = "?";

impl Size {
    /// Whether nothing is known of it.
    pub fn is_unknown(&self) -> bool {
        matches!(&self.value.kind, ExprKind::Name(name) if name == UNKNOWN)
    }
}

/// One size of a shape.
#[derive(Clone, Debug)]
pub struct Size {
    /// `3`, `"batch"`, `"2*window - 1"`.
    pub value: Expr,
    /// The `1` of `"batch=1"`: what the symbol is unless it is bound.
    pub default: Option<Expr>,
}

/// A class of modules that the spec defines.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its name.
    pub name: Ident,
    /// The parameters of its constructor.
    pub args: Vec<Parameter>,
    /// What it holds and does.
    pub body: Body,
    /// From its header to its last line.
    pub span: Span,
}

/// A parameter of a constructor or of a `forward`.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: Ident,
    /// Its default.
    pub default: Option<Expr>,
}

/// `width = 64`.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: Ident,
    /// Its value.
    pub value: Expr,
}

/// A line of `[budget]`.
#[derive(Clone, Debug)]
pub struct Budget {
    /// `count`, `params`, or with a convention before it: `ptflops.count`.
    pub key: Ident,
    /// `600M`
    pub limit: Ident,
}

/// What a module holds and does.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// The class that tools are to see.
    pub class: Option<Ident>,
    /// The class it derives from.
    pub base: Option<Ident>,
    /// The parameters of its `forward`, where it names them.
    pub input: Option<Vec<Parameter>>,
    /// Modules that are made but not called in turn.
    pub modules: Vec<LayerId>,
    /// Layers that are made and called in turn.
    pub layers: Layers,
    /// Parameters and buffers it holds itself.
    pub tensors: Vec<TensorDecl>,
    /// What it returns, if not the value of its last layer.
    pub output: Option<Expr>,
    /// `head.weight = emb.weight`: the first becomes the second.
    pub ties: Vec<(Ident, Ident)>,
    /// Paths of parameters and modules that are not trained.
    pub freeze: Vec<Ident>,
    /// The layers that run without gradients, as under `torch.no_grad()`.
    pub no_grad: Vec<Ident>,
    /// What its `forward` computes with sizes, which some tools count: lines of Python. Left out, it is read off the
    /// layers.
    pub sizes: Option<Vec<Ident>>,
    /// Where it stands.
    pub span: Span,
}

/// How the layers of a body are named.
#[derive(Clone, Debug, PartialEq)]
pub enum Layers {
    /// One module, which the body stands for.
    Single(LayerId),
    /// An array: `0`, `1`, … as in `torch.nn.Sequential`.
    Sequence(Vec<LayerId>),
    /// A table.
    Named(Vec<LayerId>),
}

impl Default for Layers {
    fn default() -> Layers {
        Layers::Named(Vec::new())
    }
}

impl Layers {
    /// The layers in order.
    pub fn ids(&self) -> &[LayerId] {
        match self {
            Layers::Single(id) => std::slice::from_ref(id),
            Layers::Sequence(ids) | Layers::Named(ids) => ids,
        }
    }
}

/// A parameter or buffer that a body holds.
#[derive(Clone, Debug)]
pub struct TensorDecl {
    /// Its name.
    pub name: Ident,
    /// Its shape.
    pub shape: Vec<Size>,
    /// Its element type; float32 where the spec gives none.
    pub dtype: Option<Ident>,
    /// Whether it is a buffer.
    pub buffer: bool,
    /// `requires_grad`, for a parameter; `persistent`, for a buffer.
    pub flag: bool,
}

/// One entry of a table or an array of layers.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its id.
    pub id: LayerId,
    /// What it is called.
    pub key: Key,
    /// Where the name stands; nowhere in an array.
    pub key_span: Option<Span>,
    /// Where the value stands.
    pub span: Span,
    /// What it is.
    pub content: Content,
    /// It is there only when this holds.
    pub when: Option<Expr>,
    /// It is there so many times.
    pub repeat: Option<Expr>,
    /// What it is applied to, if not the layer before it.
    pub from: Option<Vec<Argument>>,
    /// Whether its parameters are not trained.
    pub freeze: bool,
    /// Whether it runs without gradients.
    pub no_grad: bool,
    /// The layer that it is a part of.
    pub parent: Option<LayerId>,
    /// The block that it is a part of; `None` for the model.
    pub block: Option<usize>,
}

impl Layer {
    /// Where it stands, name included.
    pub fn full_span(&self) -> Span {
        self.key_span.map_or(self.span, |key| key.to(self.span))
    }
}

/// What a layer is called.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// `conv1`
    Name(SmolStr),
    /// `"q, k, v"`, `"x, (h, c)"`: the parts of what it returns.
    Unpack(Vec<Part>),
    /// `"denselayer{i+1}"`: one name per repetition.
    Pattern {
        /// What stands between the braces and around them.
        pieces: Vec<Piece>,
        /// The name under which the list of all of them is known: `denselayer`.
        stem: SmolStr,
    },
    /// The next number, in an array.
    Next,
}

impl Key {
    /// Whether it is a name, or has one among several.
    pub fn gives(&self, name: &str) -> bool {
        match self {
            Key::Name(own) => own == name,
            Key::Unpack(parts) => Part::names(parts).iter().any(|own| own.name == name),
            Key::Pattern { stem, .. } => stem == name,
            Key::Next => false,
        }
    }
}

/// A name, or several, for a part of what a layer returns.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// `h`
    Name(Ident),
    /// `(h, c)`
    Parts(Vec<Part>),
}

impl Part {
    /// All names, in order.
    pub fn names(parts: &[Part]) -> Vec<&Ident> {
        let mut out = Vec::new();
        for part in parts {
            match part {
                Part::Name(name) => out.push(name),
                Part::Parts(parts) => out.extend(Part::names(parts)),
            }
        }
        out
    }

    /// As Python writes them: `x, (h, c)`.
    pub fn written(parts: &[Part]) -> String {
        let parts = parts.iter().map(|part| match part {
            Part::Name(name) => name.name.to_string(),
            Part::Parts(parts) => format!("({})", Part::written(parts)),
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// A part of a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// As it stands.
    Text(SmolStr),
    /// `{i+1}`
    Expr(Expr),
}

/// What a layer is.
#[derive(Clone, Debug)]
pub enum Content {
    /// `"Conv2d(3, 64, 7)"`, `"F.relu(x)"`, `64`.
    Expr(Expr),
    /// An array or a table: a module with children.
    Body(Box<Body>),
}

impl Document {
    /// Reads a text.
    pub fn parse(text: &str) -> (Document, Vec<Diagnostic>) {
        Document::parse_with(text, |_| {})
    }

    /// Reads a text that says something else than it would by itself.
    pub(crate) fn parse_with(
        text: &str,
        change: impl FnOnce(&mut Document),
    ) -> (Document, Vec<Diagnostic>) {
        let (entries, mut diagnostics) = tree::parse(text);
        let (mut document, more) = read::read(&entries);
        change(&mut document);
        document.is_broken = !diagnostics.is_empty();
        document.is_spec = entries
            .iter()
            .any(|entry| ["model", "layers"].contains(&entry.key.value.as_str()));
        document.is_empty = text.trim().is_empty();
        if document.is_spec && !document.is_broken {
            diagnostics.extend(more);
            if diagnostics.is_empty() {
                crate::names::check(&document, &mut diagnostics);
            }
        }
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| span.start));
        document.errors = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .cloned()
            .collect();
        (document, diagnostics)
    }

    /// Whether the text is a spec at all, and not some other TOML file.
    pub fn is_spec(&self) -> bool {
        self.is_spec
    }

    /// Whether there is nothing in the text.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// A layer.
    pub fn layer(&self, id: LayerId) -> &Layer {
        &self.layers[id.index()]
    }

    /// A block by its name.
    pub fn block(&self, name: &str) -> Option<(usize, &Block)> {
        self.blocks
            .iter()
            .enumerate()
            .find(|(_, block)| block.name.name == name)
    }

    /// The innermost layer at a byte of the text.
    pub fn layer_at(&self, offset: usize) -> Option<&Layer> {
        self.layers
            .iter()
            .filter(|layer| layer.full_span().touches(offset))
            .min_by_key(|layer| {
                let span = layer.full_span();
                span.end - span.start
            })
    }

    /// Every body: the blocks', the containers' and the model's.
    pub fn bodies(&self) -> impl Iterator<Item = &Body> {
        let blocks = self.blocks.iter().map(|block| &block.body);
        let containers = self.layers.iter().filter_map(|layer| match &layer.content {
            Content::Body(body) => Some(&**body),
            Content::Expr(_) => None,
        });
        blocks.chain(containers).chain([&self.model])
    }

    /// The body that holds a layer.
    pub fn body_of(&self, layer: &Layer) -> &Body {
        match layer.parent.map(|parent| &self.layer(parent).content) {
            Some(Content::Body(body)) => body,
            _ => layer
                .block
                .and_then(|index| self.blocks.get(index))
                .map_or(&self.model, |block| &block.body),
        }
    }
}
