//! The values of attributes.

use super::lexer::Literal;
use super::parser::Parser;
use crate::decode::kind;
use crate::model::*;

/// Names of the types of attributes, and whether a list.
const TYPES: &[(&str, i64)] = &[
    ("float", kind::FLOAT),
    ("int", kind::INT),
    ("string", kind::STRING),
    ("tensor", kind::TENSOR),
    ("graph", kind::GRAPH),
    ("sparse_tensor", kind::SPARSE_TENSOR),
    ("type_proto", kind::TYPE),
    ("floats", kind::FLOATS),
    ("ints", kind::INTS),
    ("strings", kind::STRINGS),
    ("tensors", kind::TENSORS),
    ("graphs", kind::GRAPHS),
    ("sparse_tensors", kind::SPARSE_TENSORS),
    ("type_protos", kind::TYPES),
];

/// The name of an attribute type.
pub(super) fn type_name(number: i64) -> &'static str {
    TYPES
        .iter()
        .find(|(_, other)| *other == number)
        .map_or("undefined", |(name, _)| name)
}

impl<'a> Parser<'a> {
    /// `: type = value` after the name.
    pub fn attribute(&mut self, name: &'a str) -> Option<Attribute<'a>> {
        let mut declared = 0;
        if self.cursor.eat(b':') {
            let word = self.cursor.identifier().unwrap_or_default();
            declared = match TYPES.iter().find(|(text, _)| *text == word) {
                Some((_, number)) => *number,
                None => {
                    let from = self.cursor.at - word.len();
                    let message = format!("'{word}' is not a type of attributes");
                    return self.cursor.error_at(message, from);
                }
            };
        }
        self.cursor.expect(b'=', "before the attribute's value")?;
        let value = if self.cursor.peek() == Some(b'[') {
            self.list_value(declared)?
        } else {
            self.single_value(declared)?
        };
        Some(Attribute {
            name,
            value,
            doc_string: "",
        })
    }

    fn list_value(&mut self, declared: i64) -> Option<AttributeValue<'a>> {
        self.cursor.expect(b'[', "before the values")?;
        let each = match declared {
            kind::FLOATS => kind::FLOAT,
            kind::INTS => kind::INT,
            kind::STRINGS => kind::STRING,
            _ => 0,
        };
        let mut values = Vec::new();
        self.list(b']', "the values", |parser| {
            values.push(parser.single_value(each)?);
            Some(())
        });
        let kind_of = match (declared, values.first()) {
            (0, None) => {
                let message = "an empty list needs a type, as in `axes: ints = []`";
                return self.cursor.error(message);
            }
            (0, Some(AttributeValue::Float(_))) => kind::FLOATS,
            (0, Some(AttributeValue::Int(_))) => kind::INTS,
            (0, Some(AttributeValue::String(_))) => kind::STRINGS,
            (0, Some(AttributeValue::Tensor(_))) => kind::TENSORS,
            (0, Some(AttributeValue::Graph(_))) => kind::GRAPHS,
            (0, Some(_)) => kind::TYPES,
            (declared, _) => declared,
        };
        macro_rules! gather {
            ($target:ident, $source:pat => $value:expr) => {{
                let mut out = Vec::with_capacity(values.len());
                for value in values {
                    match value {
                        $source => out.push($value),
                        _ => return self.cursor.error("the values of a list have one type"),
                    }
                }
                AttributeValue::$target(out)
            }};
        }
        Some(match kind_of {
            // An integer among floats is one of them.
            kind::FLOATS => {
                let mut out = Vec::with_capacity(values.len());
                for value in values {
                    match value {
                        AttributeValue::Float(value) => out.push(value),
                        AttributeValue::Int(value) => out.push(value as f32),
                        _ => return self.cursor.error("the values of a list have one type"),
                    }
                }
                AttributeValue::Floats(out)
            }
            kind::INTS => gather!(Ints, AttributeValue::Int(value) => value),
            kind::STRINGS => gather!(Strings, AttributeValue::String(value) => value),
            kind::TENSORS => gather!(Tensors, AttributeValue::Tensor(value) => *value),
            kind::GRAPHS => gather!(Graphs, AttributeValue::Graph(value) => *value),
            kind::TYPES => gather!(Types, AttributeValue::Type(value) => *value),
            _ => return self.cursor.error("this attribute is not a list"),
        })
    }

    fn single_value(&mut self, declared: i64) -> Option<AttributeValue<'a>> {
        self.cursor.skip_space();
        let from = self.cursor.at;
        let value = if self.cursor.eat(b'@') {
            let name = self.cursor.name("the name of the function's attribute")?;
            return Some(AttributeValue::Reference(name, declared));
        } else if self.cursor.peek_identifier().is_some() && !self.cursor.is_float_word() {
            if !self.is_type() {
                AttributeValue::Graph(Box::new(self.graph()?))
            } else {
                let ty = self.type_proto()?;
                let tensor = matches!(self.cursor.peek(), Some(b'{' | b'='))
                    || self.cursor.peek_identifier().is_some();
                if tensor {
                    let name = self.cursor.optional_name().unwrap_or_default();
                    self.cursor.eat(b'=');
                    AttributeValue::Tensor(Box::new(self.tensor(name, &ty)?))
                } else {
                    AttributeValue::Type(Box::new(ty))
                }
            }
        } else {
            let float = |text: &str| text.parse().unwrap_or(f32::NAN);
            match self.cursor.literal()? {
                Literal::Int(text) if declared == kind::FLOAT => AttributeValue::Float(float(text)),
                Literal::Int(text) => match text.parse() {
                    Ok(value) => AttributeValue::Int(value),
                    Err(_) => return self.cursor.error_at("an integer must fit 64 bits", from),
                },
                Literal::Float(text) => AttributeValue::Float(float(text)),
                Literal::Str(text) => AttributeValue::String(text.as_bytes()),
            }
        };
        let fits = match &value {
            AttributeValue::Float(_) => kind::FLOAT,
            AttributeValue::Int(_) => kind::INT,
            AttributeValue::String(_) => kind::STRING,
            AttributeValue::Tensor(_) => kind::TENSOR,
            AttributeValue::Graph(_) => kind::GRAPH,
            _ => kind::TYPE,
        };
        if declared != 0 && declared != fits {
            let message = format!(
                "this is of type {}, not {}",
                type_name(fits),
                type_name(declared)
            );
            return self.cursor.error_at(message, from);
        }
        Some(value)
    }
}
