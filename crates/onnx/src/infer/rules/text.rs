//! Strings.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::util::broadcast;
use super::{MICROSOFT, Row};
use crate::infer::fact::Scalar;
use crate::infer::op::Op;
use crate::model::AttributeValue;

pub(super) const RULES: &[Row] = &[
    ("", "StringConcat", string_concat),
    ("", "StringNormalizer", string_normalizer),
    ("", "StringSplit", string_split),
    ("", "RegexFullMatch", regex_full_match),
    ("", "TfIdfVectorizer", tf_idf),
    (MICROSOFT, "MurmurHash3", murmur_hash),
];

fn string_concat(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::String);
    let shape = broadcast(op, op.shape(0)?, op.shape(1)?);
    op.set_shape(0, shape);
    Some(())
}

/// Words without the stop words; at least one, empty, is left.
fn string_normalizer(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::String);
    let shape = op.shape(0)?.to_vec();
    let stop: Vec<String> = match op.attr("stopwords") {
        Some(AttributeValue::Strings(words)) => words
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
        _ => Vec::new(),
    };
    if stop.is_empty() {
        op.set_shape(0, shape);
        return Some(());
    }
    let leading = shape.get(..shape.len().checked_sub(1)?)?.to_vec();
    let with_last = |last: Dim| {
        let mut shape = leading.clone();
        shape.push(last);
        shape
    };
    op.set_shape(0, with_last(op.fresh()));
    let sensitive = op.attr_int_or("is_case_sensitive", 0) != 0;
    let fold = |word: &str| {
        if sensitive {
            word.to_owned()
        } else {
            word.to_lowercase()
        }
    };
    let stop: Vec<String> = stop.iter().map(|word| fold(word)).collect();
    let mut left = 0usize;
    for item in &op.content(0)?.items {
        let Scalar::Str(word) = item else {
            return None;
        };
        left += usize::from(!stop.contains(&fold(word)));
    }
    op.set_shape(0, with_last(Dim::from(left.max(1))));
    Some(())
}

/// Pieces of each string, and how many there are.
fn string_split(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::String);
    op.set_dtype(1, DType::Int64);
    let shape = op.shape(0)?.to_vec();
    op.set_shape(1, shape.clone());
    let mut pieces = shape;
    pieces.push(op.fresh());
    op.set_shape(0, pieces);
    Some(())
}

fn regex_full_match(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Bool);
    op.set_shape(0, op.shape(0)?.to_vec());
    Some(())
}

/// One column for each n-gram of the vocabulary.
fn tf_idf(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Float32);
    let columns = op
        .attr_ints("ngram_indexes")?
        .iter()
        .max()?
        .checked_add(1)?;
    let mut shape = op.shape(0)?.to_vec();
    shape.pop();
    shape.truncate(1);
    shape.push(Dim::from(columns));
    op.set_shape(0, shape);
    Some(())
}

fn murmur_hash(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = if op.attr_int_or("positive", 1) != 0 {
        DType::UInt32
    } else {
        DType::Int32
    };
    op.set_dtype(0, dtype);
    op.set_shape(0, op.shape(0)?.to_vec());
    Some(())
}
