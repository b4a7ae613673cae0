//! The elements of tensors.

use modelcost_core::dtype::DType;

use super::lexer::Literal;
use super::parser::Parser;
use crate::model::*;

impl<'a> Parser<'a> {
    /// The value of an initializer whose type is known.
    pub fn initializer(&mut self, info: &ValueInfo<'a>) -> Option<Tensor<'a>> {
        match &info.ty {
            Some(ty) => self.tensor(info.name, ty),
            None => self.cursor.error(format!(
                "the initializer '{}' needs a type, as in `float[2] {} = {{1, 2}}`",
                info.name, info.name
            )),
        }
    }

    /// `{elements}`, `["location": …]` for external data, or nothing.
    pub fn tensor(&mut self, name: &'a str, ty: &Type<'a>) -> Option<Tensor<'a>> {
        let Type::Tensor(elem_type, Some(shape)) = ty else {
            return self
                .cursor
                .error("a constant needs a tensor type with a known shape");
        };
        let mut dims = Vec::with_capacity(shape.len());
        for dim in shape {
            match dim {
                Dimension::Value(size) => dims.push(*size),
                _ => return self.cursor.error("the sizes of a constant must be numbers"),
            }
        }
        let data = if self.cursor.eat(b'{') {
            self.elements(elem_type.dtype()?)?
        } else if self.cursor.eat(b'[') {
            TensorData::External(self.entries())
        } else {
            TensorData::Absent
        };
        Some(Tensor {
            name,
            dims,
            elem_type: *elem_type,
            data,
            doc_string: "",
        })
    }

    fn elements(&mut self, dtype: DType) -> Option<TensorData<'a>> {
        if dtype == DType::String {
            let mut strings = Vec::new();
            self.list(b'}', "the elements", |parser| {
                strings.push(parser.cursor.quoted()?.as_bytes());
                Some(())
            });
            return Some(TensorData::Strings(strings));
        }
        let mut bytes: Vec<u8> = Vec::new();
        // Half precision and smaller are written as their bits; four and two bits as packed bytes.
        let width = (dtype.bits() as usize).div_ceil(8).min(8);
        self.list(b'}', "the elements", |parser| {
            let from = parser.cursor.at;
            let literal = parser.cursor.literal()?;
            let (Literal::Int(text) | Literal::Float(text)) = literal else {
                return parser.cursor.error_at("the elements must be numbers", from);
            };
            match dtype {
                DType::Float32 | DType::Complex64 => {
                    bytes.extend(text.parse().unwrap_or(f32::NAN).to_le_bytes());
                }
                DType::Float64 | DType::Complex128 => {
                    bytes.extend(text.parse().unwrap_or(f64::NAN).to_le_bytes());
                }
                _ => match text.parse::<i128>() {
                    Ok(value) => bytes.extend(&value.to_le_bytes()[..width]),
                    Err(_) => {
                        return parser
                            .cursor
                            .error_at("the elements must be integers", from);
                    }
                },
            }
            Some(())
        });
        Some(TensorData::Raw(self.cursor.arena.bytes(bytes).into()))
    }
}
