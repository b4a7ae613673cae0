//! Tokens to a tree, by precedence climbing.

mod primary;

use super::lexer::{Token, tokenize};
use super::{BinaryOp, CompareOp, Expr, ExprKind, Span, SyntaxError, UnaryOp};

/// A tree, complete or not, and what was wrong with the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The expression, with [`ExprKind::Error`] where the text could not be read.
    pub expr: Expr,
    /// What was wrong, in the order of the text.
    pub errors: Vec<SyntaxError>,
}

impl Parsed {
    /// The expression if the text was flawless, else the first error.
    pub fn ok(self) -> Result<Expr, SyntaxError> {
        match self.errors.into_iter().next() {
            None => Ok(self.expr),
            Some(error) => Err(error),
        }
    }
}

/// Parses a whole text as one expression.
pub fn parse(text: &str) -> Parsed {
    parse_at(text, 0)
}

/// Parses a text that starts at byte `base` of a larger one; spans count from there.
pub fn parse_at(text: &str, base: usize) -> Parsed {
    let mut errors = Vec::new();
    let mut tokens = tokenize(text, base, &mut errors);
    if tokens.len() > MAX_TOKENS {
        let span = tokens[MAX_TOKENS].1;
        errors.push(SyntaxError {
            message: format!("an expression of more than {MAX_TOKENS} tokens"),
            span,
        });
        tokens.truncate(MAX_TOKENS);
        tokens.push((Token::End, span));
    }
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        errors,
    };
    let expr = parser.tuple_or_test();
    if parser.peek() != &Token::End {
        let span = parser.span();
        parser.error("expected an operator, or the end of the expression", span);
    }
    let mut errors = parser.errors;
    errors.sort_by_key(|error| error.span);
    Parsed { expr, errors }
}

/// Deeper nesting than any person writes; keeps the stack bounded on hostile input.
const MAX_DEPTH: usize = 100;

/// Longer than any layer or formula. Chains such as `a + a + …` nest the tree by their length.
const MAX_TOKENS: usize = 1000;

/// The words that are no names.
fn is_operator(word: &str) -> bool {
    matches!(word, "if" | "else" | "and" | "or" | "not" | "is")
}

struct Parser {
    tokens: Vec<(Token, Span)>,
    at: usize,
    depth: usize,
    errors: Vec<SyntaxError>,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)].0
    }

    fn span(&self) -> Span {
        self.tokens[self.at.min(self.tokens.len() - 1)].1
    }

    fn previous_end(&self) -> Span {
        let span = self.tokens[self.at.saturating_sub(1)].1;
        Span {
            start: span.end,
            end: span.end,
        }
    }

    fn bump(&mut self) {
        self.at += 1;
    }

    fn eat(&mut self, punct: &str) -> bool {
        let found = matches!(self.peek(), Token::Punct(p) if *p == punct);
        if found {
            self.bump();
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(name) if name == word);
        if found {
            self.bump();
        }
        found
    }

    fn error(&mut self, message: impl Into<String>, span: Span) {
        // One mistake often upsets the parser twice; the first message at a place is the useful one.
        if self.errors.last().is_none_or(|last| last.span != span) {
            self.errors.push(SyntaxError {
                message: message.into(),
                span,
            });
        }
    }

    fn expect(&mut self, punct: &str) {
        if !self.eat(punct) {
            let span = self.span();
            let message = match self.peek() {
                Token::Name(word) if word == "for" => {
                    "a comprehension has no place here: a line is repeated as \"y{i}\" = \"3 * layers[i](x)\", and y is the list".into()
                }
                _ => format!("expected '{punct}'"),
            };
            self.error(message, span);
        }
    }

    /// `a, b` without parentheses is a tuple, as in Python.
    fn tuple_or_test(&mut self) -> Expr {
        let first = self.test();
        if !matches!(self.peek(), Token::Punct(",")) {
            return first;
        }
        let mut items = vec![first];
        while self.eat(",") {
            if matches!(self.peek(), Token::End | Token::Punct(")" | "]")) {
                break;
            }
            items.push(self.test());
        }
        let span = items[0].span.to(items[items.len() - 1].span);
        Expr {
            kind: ExprKind::Tuple(items),
            span,
        }
    }

    fn test(&mut self) -> Expr {
        if self.depth >= MAX_DEPTH {
            let span = self.span();
            self.error(format!("nested more than {MAX_DEPTH} deep"), span);
            self.at = self.tokens.len() - 1;
            return Expr {
                kind: ExprKind::Error,
                span,
            };
        }
        if self.is_lone_atom() {
            return self.atom();
        }
        self.depth += 1;
        let then = self.or_test();
        let expr = if self.eat_word("if") {
            let test = self.or_test();
            if !self.eat_word("else") {
                let span = self.span();
                self.error("expected 'else'", span);
            }
            let otherwise = self.test();
            let span = then.span.to(otherwise.span);
            let kind = ExprKind::IfElse {
                test: Box::new(test),
                then: Box::new(then),
                otherwise: Box::new(otherwise),
            };
            Expr { kind, span }
        } else {
            then
        };
        self.depth -= 1;
        expr
    }

    /// Whether a number, a string or a name stands by itself, as most arguments do.
    fn is_lone_atom(&self) -> bool {
        let is_atom = match self.peek() {
            Token::Int(_) | Token::Float(_) | Token::Str(_) => true,
            Token::Name(name) => !is_operator(name),
            _ => false,
        };
        let next = self.tokens.get(self.at + 1).map(|(token, _)| token);
        is_atom && matches!(next, Some(Token::Punct("," | ")" | "]" | "}") | Token::End))
    }

    fn or_test(&mut self) -> Expr {
        let mut left = self.and_test();
        while self.eat_word("or") {
            let right = self.and_test();
            let span = left.span.to(right.span);
            left = Expr {
                kind: ExprKind::Or(Box::new(left), Box::new(right)),
                span,
            };
        }
        left
    }

    fn and_test(&mut self) -> Expr {
        let mut left = self.not_test();
        while self.eat_word("and") {
            let right = self.not_test();
            let span = left.span.to(right.span);
            left = Expr {
                kind: ExprKind::And(Box::new(left), Box::new(right)),
                span,
            };
        }
        left
    }

    fn not_test(&mut self) -> Expr {
        let start = self.span();
        let mut nots = 0;
        while self.eat_word("not") {
            nots += 1;
        }
        let mut expr = self.comparison();
        for _ in 0..nots {
            let span = start.to(expr.span);
            expr = Expr {
                kind: ExprKind::Unary(UnaryOp::Not, Box::new(expr)),
                span,
            };
        }
        expr
    }

    fn comparison(&mut self) -> Expr {
        let first = self.binary(0);
        let mut rest = Vec::new();
        while let Some(op) = self.compare_op() {
            rest.push((op, self.binary(0)));
        }
        match rest.last() {
            None => first,
            Some((_, last)) => {
                let span = first.span.to(last.span);
                Expr {
                    kind: ExprKind::Compare(Box::new(first), rest),
                    span,
                }
            }
        }
    }

    fn compare_op(&mut self) -> Option<CompareOp> {
        let op = match self.peek() {
            Token::Punct("==") => CompareOp::Eq,
            Token::Punct("!=") => CompareOp::Ne,
            Token::Punct("<") => CompareOp::Lt,
            Token::Punct("<=") => CompareOp::Le,
            Token::Punct(">") => CompareOp::Gt,
            Token::Punct(">=") => CompareOp::Ge,
            Token::Name(name) if name == "in" => CompareOp::In,
            Token::Name(name) if name == "is" => {
                self.bump();
                return Some(if self.eat_word("not") {
                    CompareOp::IsNot
                } else {
                    CompareOp::Is
                });
            }
            Token::Name(name) if name == "not" => {
                self.bump();
                if !self.eat_word("in") {
                    let span = self.span();
                    self.error("expected 'in' after 'not'", span);
                }
                return Some(CompareOp::NotIn);
            }
            _ => return None,
        };
        self.bump();
        Some(op)
    }

    /// Infix operators by how tightly they bind.
    fn binary_op(&self) -> Option<(BinaryOp, u8)> {
        let Token::Punct(punct) = self.peek() else {
            return None;
        };
        Some(match *punct {
            "|" => (BinaryOp::BitOr, 1),
            "&" => (BinaryOp::BitAnd, 2),
            "+" => (BinaryOp::Add, 3),
            "-" => (BinaryOp::Sub, 3),
            "*" => (BinaryOp::Mul, 4),
            "@" => (BinaryOp::MatMul, 4),
            "/" => (BinaryOp::Div, 4),
            "//" => (BinaryOp::FloorDiv, 4),
            "%" => (BinaryOp::Mod, 4),
            _ => return None,
        })
    }

    fn binary(&mut self, min_power: u8) -> Expr {
        let mut left = self.unary();
        while let Some((op, power)) = self.binary_op() {
            if power < min_power {
                break;
            }
            self.bump();
            let right = self.binary(power + 1);
            let span = left.span.to(right.span);
            left = Expr {
                kind: ExprKind::Binary(op, Box::new(left), Box::new(right)),
                span,
            };
        }
        left
    }

    fn unary(&mut self) -> Expr {
        let start = self.span();
        let op = match self.peek() {
            Token::Punct("-") => UnaryOp::Neg,
            Token::Punct("+") => UnaryOp::Pos,
            Token::Punct("~") => UnaryOp::Invert,
            _ => return self.power(),
        };
        self.bump();
        if self.depth >= MAX_DEPTH {
            self.error(format!("nested more than {MAX_DEPTH} deep"), start);
            self.at = self.tokens.len() - 1;
            return Expr {
                kind: ExprKind::Error,
                span: start,
            };
        }
        self.depth += 1;
        let operand = self.unary();
        self.depth -= 1;
        let span = start.to(operand.span);
        Expr {
            kind: ExprKind::Unary(op, Box::new(operand)),
            span,
        }
    }

    fn power(&mut self) -> Expr {
        let base = self.postfix();
        if !self.eat("**") {
            return base;
        }
        self.depth += 1;
        let exponent = if self.depth > MAX_DEPTH {
            self.test()
        } else {
            self.unary()
        };
        self.depth -= 1;
        let span = base.span.to(exponent.span);
        Expr {
            kind: ExprKind::Binary(BinaryOp::Pow, Box::new(base), Box::new(exponent)),
            span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(text: &str) -> String {
        fn show(expr: &Expr) -> String {
            match &expr.kind {
                ExprKind::Name(name) => name.to_string(),
                ExprKind::Int(value) => value.to_string(),
                ExprKind::Binary(op, a, b) => format!("({} {} {})", show(a), op.symbol(), show(b)),
                ExprKind::Unary(UnaryOp::Neg, a) => format!("(-{})", show(a)),
                ExprKind::Call(f, args) => {
                    let args: Vec<_> = args.iter().map(|a| show(&a.value)).collect();
                    format!("{}[{}]", show(f), args.join(" "))
                }
                ExprKind::IfElse {
                    test,
                    then,
                    otherwise,
                } => {
                    format!("({} ? {} : {})", show(test), show(then), show(otherwise))
                }
                ExprKind::Attribute(base, name) => format!("{}.{}", show(base), name.name),
                other => format!("{other:?}"),
            }
        }
        show(&parse(text).ok().unwrap())
    }

    #[test]
    fn binds_as_python() {
        assert_eq!(shape("a + b * c ** 2 // d"), "(a + ((b * (c ** 2)) // d))");
        assert_eq!(shape("-x ** 2"), "(-(x ** 2))");
        assert_eq!(
            shape("relu(bn3 + (down if d else x))"),
            "relu[(bn3 + (d ? down : x))]"
        );
        assert_eq!(shape("Conv2d(3, 64)(x).shape"), "Conv2d[3 64][x].shape");
    }

    #[test]
    fn a_dictionary_is_a_call_of_dict() {
        assert_eq!(shape("{'out': x, '0': y + 1,}"), "dict[x (y + 1)]");
        assert_eq!(shape("{}"), "dict[]");
        let parsed = parse("{out: x}");
        assert!(parsed.errors[0].message.contains("{'out': x}"));
    }

    #[test]
    fn errors_point_at_the_text() {
        let parsed = parse("Conv2d(3, 64");
        assert_eq!(parsed.errors[0].span, Span::new(12, 12));
        assert_eq!(parsed.errors[0].message, "expected ')'");
        assert!(
            matches!(parsed.expr.kind, ExprKind::Call(..)),
            "the call is still there for the editor"
        );
        assert_eq!(parse("f(a b)").errors[0].message, "expected ',' or ')'");
    }

    #[test]
    fn depth_is_bounded() {
        for text in [
            "(".repeat(100_000),
            "-".repeat(100_000),
            "x.a".repeat(100_000),
            "f(".repeat(100_000),
            "a**".repeat(100_000),
        ] {
            assert!(!parse(&text).errors.is_empty());
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-z0-9_()\\[\\]{},.*/+='\" :<>-]{0,60}") {
            let parsed = parse(&text);
            for error in parsed.errors {
                prop_assert!(error.span.end as usize <= text.len());
            }
        }
    }
}
