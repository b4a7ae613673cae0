//! Text in the making: expressions whose constants may still become parameters of a block.
//!
//! Two modules of one class are written as one block if their bodies are the same text but for
//! constants. So bodies are kept as pieces, with the constants apart, until all are known.

use modelcost_core::SmolStr;
use modelcost_core::trace::{Class, ModuleId};
use modelcost_core::value::Value;

use super::python;

/// A part of an expression.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// As it stands.
    Text(String),
    /// A constant, which may become a parameter of the block.
    Constant(Constant),
    /// The arguments of a call, without the parentheses.
    Arguments(Vec<Given>),
    /// The constructor of a module that is an instance of a block, without its arguments.
    Block(ModuleId),
}

/// A constant and what it is for.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub value: Value,
    /// What the value is called where it is given: `out_channels`.
    pub role: SmolStr,
    /// Whether a constructor is given it, and not a function.
    pub constructs: bool,
    /// Its place among the constants of a body, while bodies are compared.
    pub number: usize,
}

/// One argument of a call.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Its keyword, if it is given by name.
    pub keyword: Option<SmolStr>,
    /// It is not written where its value is this.
    pub default: Option<Value>,
    pub value: Pieces,
}

/// An expression.
pub(super) type Pieces = Vec<Piece>;

pub(super) fn text(text: impl Into<String>) -> Pieces {
    vec![Piece::Text(text.into())]
}

/// `callee(arguments)`.
pub(super) fn call(mut callee: Pieces, arguments: Vec<Given>) -> Pieces {
    callee.push(Piece::Text("(".into()));
    callee.push(Piece::Arguments(arguments));
    callee.push(Piece::Text(")".into()));
    callee
}

impl Given {
    /// An argument by position.
    pub fn position(value: Pieces) -> Given {
        Given {
            keyword: None,
            default: None,
            value,
        }
    }

    /// An argument by name.
    pub fn keyword(name: impl Into<SmolStr>, value: Pieces) -> Given {
        Given {
            keyword: Some(name.into()),
            default: None,
            value,
        }
    }
}

/// What a layer of a spec is: a line, or a container with layers of its own.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Line(Pieces),
    Container(Container),
}

/// A module whose layers are called in turn, or that is not called itself.
#[derive(Clone, Debug)]
pub(super) struct Container {
    /// The class that has to be said, and the one it derives from.
    pub class: Option<SmolStr>,
    pub base: Option<SmolStr>,
    /// What it is applied to, where that is not the layer above.
    pub from: Option<Vec<Given>>,
    /// The argument of the block around it that says whether it is there.
    pub when: Option<String>,
    pub children: Vec<(SmolStr, Node)>,
}

impl Container {
    /// Whether the children are called 0, 1, … as in an array.
    pub fn is_numbered(&self) -> bool {
        let mut names = self.children.iter().enumerate();
        names.all(|(index, (name, _))| *name == index.to_string())
    }
}

/// A parameter or buffer of a body.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub name: SmolStr,
    /// Its sizes, where the file says them.
    pub shape: Option<Vec<Constant>>,
    pub dtype: Option<SmolStr>,
    pub buffer: bool,
    pub persistent: bool,
}

/// What a module holds and does.
#[derive(Clone, Debug, Default)]
pub(super) struct Body {
    pub class: Class,
    /// Its inputs, where they have to be named; with whether each may be left out.
    pub inputs: Option<Vec<(SmolStr, bool)>>,
    pub held: Vec<Held>,
    pub modules: Vec<(SmolStr, Node)>,
    pub layers: Vec<(SmolStr, Node)>,
    pub output: Option<Pieces>,
    /// It is a subclass of this layer and does what that does.
    pub single: Option<Pieces>,
    /// The layers that run without gradients.
    pub no_grad: Vec<SmolStr>,
    /// What it computes with sizes, which some tools count.
    pub sizes: Vec<SmolStr>,
    /// What could not be written, said as comments.
    pub comments: Vec<String>,
}

/// Walks a body in the order of its text.
pub(super) trait Visitor {
    fn text(&mut self, _text: &str) {}
    fn block(&mut self, _module: ModuleId) {}
    fn constant(&mut self, _constant: &Constant) {}
}

impl Body {
    pub fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.text(&self.class.name);
        visitor.text(&format!("{:?}{:?}", self.class.bases, self.inputs));
        visitor.text(&format!("{:?}{:?}", self.no_grad, self.sizes));
        for held in &self.held {
            visitor.text(&format!(
                "\n{} {:?} {} {} {}",
                held.name,
                held.dtype,
                held.buffer,
                held.persistent,
                held.shape.as_ref().map_or(-1, |shape| shape.len() as i64)
            ));
            let sizes = held.shape.iter().flatten();
            sizes.for_each(|size| visitor.constant(size));
        }
        for (what, entries) in [("modules", &self.modules), ("layers", &self.layers)] {
            visitor.text(what);
            for (name, node) in entries {
                visitor.text(&format!("\n{name} = "));
                walk_node(node, visitor);
            }
        }
        for (what, pieces) in [("output", &self.output), ("single", &self.single)] {
            visitor.text(what);
            pieces.iter().for_each(|pieces| walk(pieces, visitor));
        }
    }
}

fn walk_node(node: &Node, visitor: &mut dyn Visitor) {
    match node {
        Node::Line(pieces) => walk(pieces, visitor),
        Node::Container(container) => {
            visitor.text(&format!("[{:?} {:?}", container.class, container.base));
            for given in container.from.iter().flatten() {
                visitor.text("from");
                walk_given(given, visitor);
            }
            for (name, node) in &container.children {
                visitor.text(&format!(", {name} = "));
                walk_node(node, visitor);
            }
            visitor.text("]");
        }
    }
}

/// Walks an expression.
pub(super) fn walk(pieces: &[Piece], visitor: &mut dyn Visitor) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => visitor.text(text),
            Piece::Constant(constant) => visitor.constant(constant),
            Piece::Block(module) => visitor.block(*module),
            Piece::Arguments(arguments) => {
                for given in arguments {
                    visitor.text(",");
                    walk_given(given, visitor);
                }
            }
        }
    }
}

fn walk_given(given: &Given, visitor: &mut dyn Visitor) {
    if let Some(keyword) = &given.keyword {
        visitor.text(keyword);
        visitor.text("=");
    }
    walk(&given.value, visitor);
}

/// Blocks by their modules: what the constructor is written as.
pub(super) trait Blocks {
    /// `Bottleneck` and its arguments.
    fn constructor(&self, module: ModuleId) -> Option<(SmolStr, Vec<Given>)>;
}

/// Turns pieces into text, with the constants that became parameters written as expressions of them.
pub(super) struct Writer<'a> {
    pub blocks: &'a dyn Blocks,
    /// What each constant of the body is written as, in the order of the walk; nothing for itself.
    pub names: &'a [Option<String>],
    /// How many constants there were so far.
    pub at: usize,
}

impl Writer<'_> {
    pub fn pieces(&mut self, pieces: &[Piece]) -> String {
        let mut out = String::new();
        for (index, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Constant(constant) => {
                    let (value, named) = self.constant(constant);
                    let alone = pieces.len() == 1;
                    let compound = named && value.contains(' ') && !alone;
                    let between = |piece: Option<&Piece>| match piece {
                        Some(Piece::Text(text)) => {
                            let edge = text.trim();
                            !edge.is_empty() && edge.chars().all(|c| "+-*/@%<>=".contains(c))
                        }
                        _ => false,
                    };
                    let infix = between(pieces.get(index + 1))
                        || index.checked_sub(1).is_some_and(|i| between(pieces.get(i)))
                        || text_ends_with_operator(&out);
                    match compound && infix {
                        true => out.push_str(&format!("({value})")),
                        false => out.push_str(&value),
                    }
                }
                Piece::Arguments(arguments) => out.push_str(&self.arguments(arguments)),
                Piece::Block(module) => match self.blocks.constructor(*module) {
                    Some((name, arguments)) => {
                        out.push_str(&name);
                        out.push('(');
                        out.push_str(&self.arguments(&arguments));
                        out.push(')');
                    }
                    None => out.push_str("Identity()"),
                },
            }
        }
        out
    }

    /// What a constant is written as, and whether that is an expression of parameters.
    pub fn constant(&mut self, constant: &Constant) -> (String, bool) {
        let name = self.names.get(self.at).cloned().flatten();
        self.at += 1;
        match name {
            Some(name) => (name, true),
            None => (python::value(&constant.value), false),
        }
    }

    pub fn arguments(&mut self, arguments: &[Given]) -> String {
        let mut out = Vec::new();
        for given in arguments {
            let before = self.at;
            let value = self.pieces(&given.value);
            let named = self.names.get(before).is_some_and(Option::is_some);
            if let (Some(default), [Piece::Constant(constant)], false) =
                (&given.default, given.value.as_slice(), named)
                && same(default, &constant.value)
            {
                continue;
            }
            out.push(match &given.keyword {
                Some(keyword) => format!("{keyword}={value}"),
                None => value,
            });
        }
        out.join(", ")
    }
}

fn text_ends_with_operator(text: &str) -> bool {
    let text = text.trim_end();
    text.ends_with(['+', '-', '*', '/', '@', '%'])
}

/// Whether two values mean the same to Python: `0` and `0.0` do.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(x), Value::Int(y)) | (Value::Int(y), Value::Float(x)) => {
            y.as_const().is_some_and(|y| y as f64 == *x)
        }
        _ => a == b,
    }
}
