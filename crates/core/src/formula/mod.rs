//! Formulas over the named quantities of a call.
//!
//! One formula gives the number, the symbolic polynomial, and the text with the values filled in
//! that `explain`, the hover and the docs show. It is written as Python:
//!
//! ```text
//! numel(out) * (in.shape[1] // groups) * prod(kernel_size)
//! ```
//!
//! Arithmetic on shapes is element by element, as in NumPy, except `+`, which joins two of them as
//! Python does with lists. `/` is what a tool does in float64; `int()` truncates. Where the
//! operands are symbolic, a quotient stays an exact fraction until `int()`, `floor()` or `ceil()`.

mod call_scope;
mod evaluate;
mod functions;
mod quantity;
mod text;

use std::collections::BTreeSet;

use smol_str::SmolStr;

use crate::dim::Dim;
use crate::expr::{self, Expr, ExprKind, SyntaxError};

pub use call_scope::CallScope;
pub use functions::broadcast;
pub use quantity::Quantity;

use evaluate::eval;
use quantity::{kind_of, truncate, truthy};
use text::write_with_values;

/// Why a formula has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum EvalError {
    #[error("'{0}' is not known for this call")]
    UnknownName(SmolStr),
    #[error("the shape of {0} is not known")]
    UnknownShape(SmolStr),
    #[error("{0}")]
    Type(String),
    #[error("index {index} is out of range for {length} elements")]
    Index { index: i64, length: usize },
    #[error("division by zero")]
    DivisionByZero,
    #[error("the result does not fit in 128 bits")]
    Overflow,
    #[error("{0}")]
    Raises(SmolStr),
}

fn type_error<T>(message: impl Into<String>) -> Result<T, EvalError> {
    Err(EvalError::Type(message.into()))
}

/// Where a formula's names get their values.
pub trait Scope {
    /// The value of a name; an error says why it has none.
    fn get(&self, name: &str) -> Result<Quantity, EvalError>;

    /// A function beyond the built-in ones; `None` if there is no such function.
    fn call(&self, name: &str, arguments: &[Quantity]) -> Option<Result<Quantity, EvalError>> {
        let _ = (name, arguments);
        None
    }
}

/// A parsed formula.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    text: SmolStr,
    expr: Expr,
}

impl Formula {
    /// Parses a formula.
    pub fn parse(text: &str) -> Result<Formula, SyntaxError> {
        Ok(Formula {
            text: text.into(),
            expr: expr::parse(text).ok()?,
        })
    }

    /// The formula as it was written.
    pub fn text(&self) -> &SmolStr {
        &self.text
    }

    /// The names it uses, functions left out.
    pub fn names(&self) -> BTreeSet<SmolStr> {
        let mut names = BTreeSet::new();
        let mut functions = BTreeSet::new();
        self.expr.walk(&mut |expr| match &expr.kind {
            ExprKind::Name(name) => {
                names.insert((name.clone(), expr.span));
            }
            ExprKind::Call(function, _) => {
                functions.insert(function.span);
            }
            _ => {}
        });
        names
            .into_iter()
            .filter(|(_, span)| !functions.contains(span))
            .map(|(name, _)| name)
            .collect()
    }

    /// The value.
    pub fn eval(&self, scope: &dyn Scope) -> Result<Quantity, EvalError> {
        eval(&self.expr, scope)
    }

    /// The value as a count: an integer, exact or symbolic.
    pub fn count(&self, scope: &dyn Scope) -> Result<Dim, EvalError> {
        match self.eval(scope)? {
            Quantity::Int(Dim::Overflow) => Err(EvalError::Overflow),
            Quantity::Int(dim) => Ok(dim),
            Quantity::Bool(value) => Ok(Dim::from(value as i32)),
            // Tools hold counts in floats and print them whole.
            Quantity::Float(value) => truncate(value),
            Quantity::Ratio(a, b) => Ok(a.floor_div(&b)),
            other => type_error(format!(
                "'{}' gives {}, not a number",
                self.text,
                kind_of(&other)
            )),
        }
    }

    /// Whether a condition holds.
    pub fn holds(&self, scope: &dyn Scope) -> Result<bool, EvalError> {
        truthy(&self.eval(scope)?)
    }

    /// The formula with every quantity replaced by its value: `193600 * (3 // 1) * 121`.
    pub fn with_values(&self, scope: &dyn Scope) -> String {
        let mut out = String::new();
        write_with_values(&self.expr, scope, 0, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use std::collections::HashMap;

    struct Names(HashMap<&'static str, Quantity>);

    impl Scope for Names {
        fn get(&self, name: &str) -> Result<Quantity, EvalError> {
            self.0
                .get(name)
                .cloned()
                .ok_or_else(|| EvalError::UnknownName(name.into()))
        }
    }

    fn tensor(dims: &[i64]) -> Quantity {
        Quantity::Tensor {
            shape: Some(dims.iter().map(|d| Dim::from(*d)).collect()),
            dtype: Some(DType::Float32),
        }
    }

    fn alexnet_first_conv() -> Names {
        let kernel = Quantity::Seq(vec![
            Quantity::Int(Dim::from(11)),
            Quantity::Int(Dim::from(11)),
        ]);
        Names(HashMap::from([
            ("in", tensor(&[1, 3, 224, 224])),
            ("out", tensor(&[1, 64, 55, 55])),
            ("kernel_size", kernel),
            ("groups", Quantity::Int(Dim::ONE)),
            ("bias", tensor(&[64])),
        ]))
    }

    #[test]
    fn counts_a_convolution() {
        // AlexNet's features.0: thop 0.1.1 prints 70276800.
        let formula =
            Formula::parse("numel(out) * (in.shape[1] // groups) * prod(kernel_size)").unwrap();
        let scope = alexnet_first_conv();
        assert_eq!(formula.count(&scope), Ok(Dim::from(70_276_800)));
        assert_eq!(formula.with_values(&scope), "193600 * (3 // 1) * 121");
        assert_eq!(
            formula.names().into_iter().collect::<Vec<_>>(),
            ["groups", "in", "kernel_size", "out"]
        );
    }

    #[test]
    fn stays_symbolic() {
        let mut scope = alexnet_first_conv();
        let batch = Dim::symbol("batch");
        let shape = vec![batch, Dim::from(64), Dim::from(55), Dim::from(55)];
        scope.0.insert(
            "out",
            Quantity::Tensor {
                shape: Some(shape),
                dtype: None,
            },
        );
        let formula =
            Formula::parse("numel(out) * 363 + (numel(out) if bias is not None else 0)").unwrap();
        assert_eq!(formula.count(&scope).unwrap().to_string(), "70470400*batch");
    }

    #[test]
    fn divides_as_the_tool_does() {
        // thop 0.1.1 prints 52479 for this pooling: float64 quotients, then truncated (exactly: 52480).
        let scope = Names(HashMap::from([
            ("in", tensor(&[1, 256, 13, 13])),
            ("out", tensor(&[1, 256, 6, 6])),
        ]));
        let formula =
            Formula::parse("int((prod(in.shape[2:] / out.shape[2:]) + 1) * numel(out))").unwrap();
        assert_eq!(formula.count(&scope), Ok(Dim::from(52_479)));
    }

    #[test]
    fn floats_meet_symbols() {
        let batch = Quantity::Int(Dim::symbol("batch"));
        let scope = Names(HashMap::from([("batch", batch)]));
        let count = |text: &str| Formula::parse(text).unwrap().count(&scope);
        let text = |text: &str| count(text).unwrap().to_string();
        assert_eq!(text("int((7 / 1 * 7 + 1) * batch)"), "50*batch");
        assert_eq!(text("int(batch * 4 * 2.25)"), "9*batch");
        assert!(count("int(batch * (13 / 6))").is_err());
    }

    #[test]
    fn shapes_of_one_broadcast() {
        let formula = Formula::parse("sum((7,) // (2, 3))").unwrap();
        assert_eq!(formula.count(&alexnet_first_conv()), Ok(Dim::from(5)));
    }

    #[test]
    fn errors_are_values() {
        let scope = alexnet_first_conv();
        let error = |text: &str| Formula::parse(text).unwrap().count(&scope).unwrap_err();
        assert_eq!(error("stride"), EvalError::UnknownName("stride".into()));
        assert_eq!(error("numel(out) // 0"), EvalError::DivisionByZero);
        assert_eq!(
            error("out.shape[7]"),
            EvalError::Index {
                index: 7,
                length: 4
            }
        );
        assert_eq!(error("numel(out) ** 40"), EvalError::Overflow);
    }
}
