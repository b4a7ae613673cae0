//! Python expressions, the small part that layers and formulas are written in.
//!
//! One parser serves TOML specs (`"Conv2d(3, 64, 7, stride=2)(x)"`), formulas
//! (`"numel(out) * prod(kernel_size)"`) and the editor. Parsing never fails: what cannot be read
//! becomes [`ExprKind::Error`] in the tree and an entry in the list of errors, so that an editor
//! can go on with a half-typed line.

mod lexer;
mod parser;
mod statement;

use std::fmt;

use smol_str::SmolStr;

pub use parser::{Parsed, parse, parse_at};
pub use statement::assigned;

/// A half-open range of byte offsets in a source text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// From byte offsets.
    pub fn new(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Span {
        Span {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// As a range, for indexing into the text.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Whether the offset is inside or at either end.
    pub fn touches(self, offset: usize) -> bool {
        (self.start as usize..=self.end as usize).contains(&offset)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// A sentence that says what was expected.
    pub message: String,
    /// The offending text.
    pub span: Span,
}

/// An expression and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// The name.
    pub name: SmolStr,
    /// Where it stands.
    pub span: Span,
}

/// One argument of a call: `3`, `stride=2`, `*xs`.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The keyword, if given by name.
    pub name: Option<Ident>,
    /// Whether it is `*value`.
    pub starred: bool,
    /// The value.
    pub value: Expr,
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// `64`
    Int(i128),
    /// `0.1`
    Float(f64),
    /// `'same'`
    Str(SmolStr),
    /// `...`
    Ellipsis,
    /// `x`
    Name(SmolStr),
    /// `(3, 3)`
    Tuple(Vec<Expr>),
    /// `[64, 'M']`
    List(Vec<Expr>),
    /// `-x`, `not x`
    Unary(UnaryOp, Box<Expr>),
    /// `a * b`
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `a < b <= c`
    Compare(Box<Expr>, Vec<(CompareOp, Expr)>),
    /// `a and b`
    And(Box<Expr>, Box<Expr>),
    /// `a or b`
    Or(Box<Expr>, Box<Expr>),
    /// `then if test else otherwise`
    IfElse {
        /// The condition.
        test: Box<Expr>,
        /// The value when it holds.
        then: Box<Expr>,
        /// The value when it does not.
        otherwise: Box<Expr>,
    },
    /// `f(a, b=c)`
    Call(Box<Expr>, Vec<Argument>),
    /// `x.shape`
    Attribute(Box<Expr>, Ident),
    /// `x[0]`, `x[:, 1:]`: one entry per dimension.
    Subscript(Box<Expr>, Vec<Expr>),
    /// `lower:upper:step`, only inside a subscript.
    Slice(Option<Box<Expr>>, Option<Box<Expr>>, Option<Box<Expr>>),
    /// What could not be read.
    Error,
}

/// Prefix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum UnaryOp {
    Neg,
    Pos,
    Not,
    Invert,
}

/// Infix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    MatMul,
    Div,
    FloorDiv,
    Mod,
    Pow,
    BitAnd,
    BitOr,
}

impl BinaryOp {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::MatMul => "@",
            BinaryOp::Div => "/",
            BinaryOp::FloorDiv => "//",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "**",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitOr => "|",
        }
    }
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
    Is,
    IsNot,
}

impl CompareOp {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            CompareOp::Eq => "==",
            CompareOp::Ne => "!=",
            CompareOp::Lt => "<",
            CompareOp::Le => "<=",
            CompareOp::Gt => ">",
            CompareOp::Ge => ">=",
            CompareOp::In => "in",
            CompareOp::NotIn => "not in",
            CompareOp::Is => "is",
            CompareOp::IsNot => "is not",
        }
    }
}

impl Expr {
    /// `a.b.c` as one dotted name, if it is only names and dots.
    pub fn dotted_name(&self) -> Option<SmolStr> {
        match &self.kind {
            ExprKind::Name(name) => Some(name.clone()),
            ExprKind::Attribute(base, ident) => {
                Some(format!("{}.{}", base.dotted_name()?, ident.name).into())
            }
            _ => None,
        }
    }

    /// Calls `visit` on this expression and all inside it, outermost first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        match &self.kind {
            ExprKind::Tuple(items) | ExprKind::List(items) => {
                items.iter().for_each(|item| item.walk(visit))
            }
            ExprKind::Unary(_, operand) => operand.walk(visit),
            ExprKind::Binary(_, a, b) | ExprKind::And(a, b) | ExprKind::Or(a, b) => {
                a.walk(visit);
                b.walk(visit);
            }
            ExprKind::Compare(first, rest) => {
                first.walk(visit);
                rest.iter().for_each(|(_, operand)| operand.walk(visit));
            }
            ExprKind::IfElse {
                test,
                then,
                otherwise,
            } => {
                then.walk(visit);
                test.walk(visit);
                otherwise.walk(visit);
            }
            ExprKind::Call(function, arguments) => {
                function.walk(visit);
                arguments
                    .iter()
                    .for_each(|argument| argument.value.walk(visit));
            }
            ExprKind::Attribute(base, _) => base.walk(visit),
            ExprKind::Subscript(base, indices) => {
                base.walk(visit);
                indices.iter().for_each(|index| index.walk(visit));
            }
            ExprKind::Slice(lower, upper, step) => {
                [lower, upper, step]
                    .into_iter()
                    .flatten()
                    .for_each(|bound| bound.walk(visit));
            }
            _ => {}
        }
    }
}
