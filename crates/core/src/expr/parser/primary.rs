//! What binds tightest: names, literals, brackets, and what is written behind them.

use smol_str::SmolStr;

use super::{Parser, is_operator};
use crate::expr::lexer::Token;
use crate::expr::{Argument, Expr, ExprKind, Ident};

impl Parser {
    pub(super) fn postfix(&mut self) -> Expr {
        let mut expr = self.atom();
        loop {
            if self.eat(".") {
                let span = self.span();
                let name = match self.peek() {
                    Token::Name(name) => {
                        let name = name.clone();
                        self.bump();
                        name
                    }
                    _ => {
                        self.error("expected a name after '.'", span);
                        SmolStr::default()
                    }
                };
                let whole = expr.span.to(span);
                expr = Expr {
                    kind: ExprKind::Attribute(Box::new(expr), Ident { name, span }),
                    span: whole,
                };
            } else if self.eat("(") {
                let arguments = self.arguments();
                let span = expr.span.to(self.previous_end());
                expr = Expr {
                    kind: ExprKind::Call(Box::new(expr), arguments),
                    span,
                };
            } else if self.eat("[") {
                let indices = self.until_bracket(Parser::index);
                let span = expr.span.to(self.previous_end());
                expr = Expr {
                    kind: ExprKind::Subscript(Box::new(expr), indices),
                    span,
                };
            } else {
                return expr;
            }
        }
    }

    fn arguments(&mut self) -> Vec<Argument> {
        let mut arguments: Vec<Argument> = Vec::new();
        while !matches!(self.peek(), Token::Punct(")") | Token::End) {
            let starred = self.eat("*");
            let name = match (self.peek(), self.tokens.get(self.at + 1)) {
                (Token::Name(name), Some((Token::Punct("="), _))) if !starred => {
                    let (name, span) = (name.clone(), self.span());
                    self.bump();
                    self.bump();
                    Some(Ident { name, span })
                }
                _ => None,
            };
            let before = self.at;
            let value = self.test();
            if name.is_none()
                && !starred
                && arguments.iter().any(|argument| argument.name.is_some())
            {
                self.error(
                    "a positional argument cannot follow one given by name",
                    value.span,
                );
            }
            arguments.push(Argument {
                name,
                starred,
                value,
            });
            if !self.eat(",") {
                if !matches!(self.peek(), Token::Punct(")") | Token::End) {
                    let span = self.span();
                    self.error("expected ',' or ')'", span);
                    if self.at == before {
                        self.bump();
                    }
                    continue;
                }
                break;
            }
        }
        self.expect(")");
        arguments
    }

    fn index(&mut self) -> Expr {
        let start = self.span();
        let bound = |parser: &mut Parser| {
            let empty = matches!(parser.peek(), Token::Punct(":" | "," | "]") | Token::End);
            (!empty).then(|| Box::new(parser.test()))
        };
        let lower = bound(self);
        if !self.eat(":") {
            return match lower {
                Some(expr) => *expr,
                None => {
                    self.error("expected an index", start);
                    Expr {
                        kind: ExprKind::Error,
                        span: start,
                    }
                }
            };
        }
        let upper = bound(self);
        let step = if self.eat(":") { bound(self) } else { None };
        let span = start.to(self.previous_end());
        Expr {
            kind: ExprKind::Slice(lower, upper, step),
            span,
        }
    }

    pub(super) fn atom(&mut self) -> Expr {
        let span = self.span();
        let kind = match self.peek().clone() {
            Token::Int(value) => ExprKind::Int(value),
            Token::Float(value) => ExprKind::Float(value),
            Token::Str(value) => ExprKind::Str(value),
            Token::Name(name) => match name.as_str() {
                "None" => ExprKind::None,
                "True" => ExprKind::Bool(true),
                "False" => ExprKind::Bool(false),
                word if is_operator(word) => {
                    self.error("expected a value", span);
                    return Expr {
                        kind: ExprKind::Error,
                        span,
                    };
                }
                _ => ExprKind::Name(name),
            },
            Token::Punct("...") => ExprKind::Ellipsis,
            Token::Punct("(") => return self.parenthesized(),
            Token::Punct("[") => return self.list(),
            Token::Punct("{") => return self.dict(),
            Token::Bad => ExprKind::Error,
            Token::Punct(_) | Token::End => {
                self.error("expected a value", span);
                return Expr {
                    kind: ExprKind::Error,
                    span,
                };
            }
        };
        self.bump();
        Expr { kind, span }
    }

    fn parenthesized(&mut self) -> Expr {
        let start = self.span();
        self.bump();
        if self.eat(")") {
            return Expr {
                kind: ExprKind::Tuple(Vec::new()),
                span: start.to(self.previous_end()),
            };
        }
        let inner = self.tuple_or_test();
        self.expect(")");
        Expr {
            span: start.to(self.previous_end()),
            ..inner
        }
    }

    fn list(&mut self) -> Expr {
        let start = self.span();
        self.bump();
        let items = self.until_bracket(Parser::test);
        Expr {
            kind: ExprKind::List(items),
            span: start.to(self.previous_end()),
        }
    }

    /// Items with commas between them, and the `]` behind them.
    fn until_bracket(&mut self, item: impl Fn(&mut Parser) -> Expr) -> Vec<Expr> {
        let mut items = Vec::new();
        while !matches!(self.peek(), Token::Punct("]") | Token::End) {
            items.push(item(self));
            if !self.eat(",") {
                break;
            }
        }
        self.expect("]");
        items
    }

    /// `{'out': x}`, which is `dict` of its entries: keys are strings, of any characters.
    fn dict(&mut self) -> Expr {
        let start = self.span();
        self.bump();
        let callee = Expr {
            kind: ExprKind::Name(SmolStr::new_static("dict")),
            span: start,
        };
        let mut entries = Vec::new();
        while !matches!(self.peek(), Token::Punct("}") | Token::End) {
            let span = self.span();
            let Token::Str(name) = self.peek().clone() else {
                self.error("expected a string as the key, as in {'out': x}", span);
                self.at = self.tokens.len() - 1;
                return Expr {
                    kind: ExprKind::Error,
                    span: start.to(span),
                };
            };
            self.bump();
            self.expect(":");
            entries.push(Argument {
                name: Some(Ident { name, span }),
                starred: false,
                value: self.test(),
            });
            if !self.eat(",") {
                break;
            }
        }
        self.expect("}");
        Expr {
            kind: ExprKind::Call(Box::new(callee), entries),
            span: start.to(self.previous_end()),
        }
    }
}
