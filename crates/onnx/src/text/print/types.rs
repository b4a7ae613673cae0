//! Types and declared values.

use super::words::{dotted, is_identifier, name, quoted, word};
use crate::model::*;

pub(super) fn value_info(info: &ValueInfo<'_>) -> String {
    match &info.ty {
        Some(ty) => format!("{} {}", type_proto(ty), name(info.name)),
        None => name(info.name),
    }
}

pub(super) fn shape(dims: Option<&Vec<Dimension<'_>>>) -> String {
    let Some(dims) = dims else {
        return "[]".into();
    };
    if dims.is_empty() {
        return String::new();
    }
    let dim = |dim: &Dimension<'_>| match dim {
        Dimension::Value(size) => size.to_string(),
        Dimension::Param(text) if is_identifier(text) => (*text).to_owned(),
        Dimension::Param(text) => quoted(text),
        Dimension::Unknown => "?".into(),
    };
    format!("[{}]", dims.iter().map(dim).collect::<Vec<_>>().join(","))
}

pub(super) fn type_proto(ty: &Type<'_>) -> String {
    let element = |inner: &Option<Box<Type<'_>>>| match inner {
        Some(inner) => type_proto(inner),
        None => "float[]".into(),
    };
    let elem = |elem: &ElemType| elem.name().unwrap_or("undefined");
    match ty {
        Type::Tensor(e, dims) => format!("{}{}", elem(e), shape(dims.as_ref())),
        Type::SparseTensor(e, dims) => {
            format!("sparse_tensor({}{})", elem(e), shape(dims.as_ref()))
        }
        Type::Sequence(inner) => format!("seq({})", element(inner)),
        Type::Optional(inner) => format!("optional({})", element(inner)),
        Type::Map(key, inner) => format!("map({}, {})", elem(key), element(inner)),
        Type::Opaque("", name) => format!("opaque({})", dotted(name)),
        Type::Opaque(domain, name) => format!("opaque({}, {})", dotted(domain), word(name)),
    }
}
