//! Expressions with what they need to know to be put into others: how tightly they bind.

use modelcost_core::SmolStr;
use modelcost_core::trace::TensorId;
use modelcost_core::value::Value;

use super::pieces::{Constant, Piece, Pieces, text};
use super::python;

/// How tightly an expression binds, from loose to tight, as in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Compare,
    Or,
    And,
    Sum,
    Product,
    Sign,
    Power,
    /// Names, calls, anything in brackets.
    Tight,
}

/// An expression.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub pieces: Pieces,
    pub level: Level,
}

impl Expression {
    pub fn tight(pieces: Pieces) -> Expression {
        Expression {
            pieces,
            level: Level::Tight,
        }
    }

    pub fn name(name: impl Into<String>) -> Expression {
        Expression::tight(text(name))
    }

    /// The expression where one of at least this level is needed.
    pub fn within(self, level: Level) -> Pieces {
        if self.level >= level {
            return self.pieces;
        }
        let mut out = text("(");
        out.extend(self.pieces);
        out.push(Piece::Text(")".into()));
        out
    }

    /// `self.name`, `self[0]` and the like.
    pub fn followed_by(self, rest: impl Into<String>) -> Expression {
        let mut pieces = self.within(Level::Tight);
        pieces.push(Piece::Text(rest.into()));
        Expression::tight(pieces)
    }

    /// `a + b` and the like.
    pub fn infix(symbol: &str, level: Level, a: Expression, b: Expression) -> Expression {
        // Everything but `**` groups from the left; comparisons not at all.
        let tighter = match level {
            Level::Compare => Level::Or,
            Level::Or => Level::And,
            Level::And => Level::Sum,
            Level::Sum => Level::Product,
            Level::Product => Level::Sign,
            Level::Sign => Level::Power,
            Level::Power | Level::Tight => Level::Tight,
        };
        let (left, right) = match level {
            Level::Power => (Level::Tight, Level::Sign),
            Level::Compare => (tighter, tighter),
            level => (level, tighter),
        };
        let mut pieces = a.within(left);
        pieces.push(Piece::Text(format!(" {symbol} ")));
        pieces.extend(b.within(right));
        Expression { pieces, level }
    }
}

/// What tensors are called where an expression is written.
pub(super) trait Tensors {
    /// The expression that stands for a tensor; nothing if there is none.
    fn tensor(&mut self, tensor: TensorId) -> Option<Expression>;
}

/// A constant.
pub(super) fn constant(value: &Value, role: &str) -> Expression {
    let level = match value {
        Value::Int(dim) => match dim.as_const() {
            Some(number) if number >= 0 => Level::Tight,
            Some(_) => Level::Sign,
            None if dim.to_string().contains(' ') => Level::Sum,
            None if dim.to_string().contains('*') => Level::Product,
            None => Level::Tight,
        },
        Value::Float(number) if *number < 0.0 => Level::Sign,
        _ => Level::Tight,
    };
    let piece = Piece::Constant(Constant {
        value: value.clone(),
        role: SmolStr::from(role),
        constructs: false,
        number: 0,
    });
    Expression {
        pieces: vec![piece],
        level,
    }
}

/// A value with its tensors by name. Sizes in lists are constants of their own.
pub(super) fn value(found: &Value, role: &str, tensors: &mut dyn Tensors) -> Option<Expression> {
    Some(match found {
        Value::Tensor(id) => tensors.tensor(*id)?,
        Value::Tuple(items) => {
            let close = if items.len() == 1 { ",)" } else { ")" };
            bracketed("(", items, close, role, tensors)?
        }
        Value::List(items) => bracketed("[", items, "]", role, tensors)?,
        Value::Dict(items) => {
            let (open, close) = python::dict(items.iter().map(|(name, _)| name));
            let mut pieces = text(open);
            for (index, (name, item)) in items.iter().enumerate() {
                let comma = if index > 0 { ", " } else { "" };
                let entry = python::entry(open, name);
                pieces.push(Piece::Text(format!("{comma}{entry}")));
                pieces.extend(value(item, name, tensors)?.pieces);
            }
            pieces.push(Piece::Text(close.into()));
            Expression::tight(pieces)
        }
        // A value that the file names and does not have.
        Value::Opaque(name) if python::is_identifier(name) && name != "int" => return None,
        other => constant(other, role),
    })
}

fn bracketed(
    open: &str,
    items: &[Value],
    close: &str,
    role: &str,
    tensors: &mut dyn Tensors,
) -> Option<Expression> {
    let mut pieces = text(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pieces.push(Piece::Text(", ".into()));
        }
        pieces.extend(value(item, role, tensors)?.pieces);
    }
    pieces.push(Piece::Text(close.into()));
    Some(Expression::tight(pieces))
}
