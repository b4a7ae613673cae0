//! Classical machine learning: the domain `ai.onnx.ml`.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::{ML, Row};
use crate::infer::fact::Fact;
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    (ML, "Binarizer", |op| op.same(0, 0)),
    (ML, "Imputer", |op| op.same(0, 0)),
    (ML, "Scaler", |op| like(op, DType::Float32)),
    (ML, "Normalizer", |op| like(op, DType::Float32)),
    (ML, "CastMap", cast_map),
    (ML, "CategoryMapper", category_mapper),
    (ML, "DictVectorizer", dict_vectorizer),
    (ML, "FeatureVectorizer", feature_vectorizer),
    (ML, "LabelEncoder", label_encoder),
    (ML, "LinearClassifier", linear_classifier),
    (ML, "LinearRegressor", linear_regressor),
    (ML, "OneHotEncoder", one_hot_encoder),
    (ML, "SVMClassifier", svm_classifier),
    (ML, "SVMRegressor", svm_regressor),
    (ML, "TreeEnsemble", tree_ensemble),
    (ML, "TreeEnsembleClassifier", tree_classifier),
    (ML, "TreeEnsembleRegressor", tree_ensemble),
    (ML, "ZipMap", zip_map),
];

/// The input's shape with another type.
fn like(op: &mut Op<'_, '_>, dtype: DType) -> Option<()> {
    op.set_dtype(0, dtype);
    op.set_shape(0, op.shape(0)?.to_vec());
    Some(())
}

/// The number of rows: a vector is one row.
fn rows(op: &Op<'_, '_>) -> Dim {
    match op.shape(0) {
        Some([_]) => Dim::ONE,
        Some([rows, ..]) => rows.clone(),
        _ => op.fresh(),
    }
}

fn cast_map(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = match op.attr_str("cast_to").unwrap_or("TO_FLOAT") {
        "TO_INT64" => DType::Int64,
        "TO_STRING" => DType::String,
        _ => DType::Float32,
    };
    op.set_dtype(0, dtype);
    let width = match op.attr_str("map_form") {
        Some("SPARSE") => Dim::from(op.attr_int_or("max_map", 1)),
        _ => op.fresh(),
    };
    op.set_shape(0, vec![Dim::ONE, width]);
    Some(())
}

/// Strings to integers, or back.
fn category_mapper(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = match op.dtype(0)? {
        DType::String => DType::Int64,
        _ => DType::String,
    };
    like(op, dtype)
}

/// A column for each word of the vocabulary.
fn dict_vectorizer(op: &mut Op<'_, '_>) -> Option<()> {
    op.set(0, Fact::tensor(None, None));
    let words = op
        .attr_len("string_vocabulary")
        .or_else(|| op.attr_len("int64_vocabulary"))?;
    op.set_shape(0, vec![Dim::ONE, Dim::from(words)]);
    Some(())
}

/// All inputs side by side.
fn feature_vectorizer(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Float32);
    let width = match op.attr_ints("inputdimensions") {
        Some(sizes) => sizes.iter().map(|size| Dim::from(*size)).sum(),
        None => (0..op.inputs.len())
            .map(|index| op.shape(index)?.last().cloned())
            .sum::<Option<Dim>>()
            .unwrap_or_else(|| op.fresh()),
    };
    let rows = rows(op);
    op.set_shape(0, vec![rows, width]);
    Some(())
}

/// One value for each key.
fn label_encoder(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = if let Some(tensor) = op.attr_tensor("values_tensor") {
        tensor.elem_type.dtype()
    } else if op.attr("values_strings").is_some() {
        Some(DType::String)
    } else if op.attr("values_int64s").is_some() {
        Some(DType::Int64)
    } else if op.attr("values_floats").is_some() {
        Some(DType::Float32)
    } else {
        // Version 1 maps between strings and integers.
        op.dtype(0).map(|dtype| match dtype {
            DType::String => DType::Int64,
            _ => DType::String,
        })
    };
    op.set_dtype(0, dtype);
    op.set_shape(0, op.shape(0)?.to_vec());
    Some(())
}

/// Labels, and a score for each class.
fn classifier(op: &mut Op<'_, '_>, integers: &str, classes: Option<usize>) -> Option<()> {
    let strings = op
        .attr_len("classlabels_strings")
        .filter(|count| *count > 0);
    let dtype = if strings.is_some() {
        DType::String
    } else {
        DType::Int64
    };
    op.set_dtype(0, dtype);
    op.set_dtype(1, DType::Float32);
    let rows = rows(op);
    op.set_shape(0, vec![rows.clone()]);
    let labels = strings.or_else(|| op.attr_len(integers).filter(|count| *count > 0));
    let columns = classes.or(labels).map(Dim::from);
    op.set_shape(1, vec![rows, columns.unwrap_or_else(|| op.fresh())]);
    Some(())
}

fn linear_classifier(op: &mut Op<'_, '_>) -> Option<()> {
    classifier(op, "classlabels_ints", None)
}

fn svm_classifier(op: &mut Op<'_, '_>) -> Option<()> {
    classifier(op, "classlabels_ints", None)
}

fn tree_classifier(op: &mut Op<'_, '_>) -> Option<()> {
    classifier(op, "classlabels_int64s", None)
}

fn linear_regressor(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Float32);
    let targets = Dim::from(op.attr_int_or("targets", 1));
    let rows = rows(op);
    op.set_shape(0, vec![rows, targets]);
    Some(())
}

fn svm_regressor(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Float32);
    let rows = rows(op);
    op.set_shape(0, vec![rows, Dim::ONE]);
    Some(())
}

/// One more dimension for the categories.
fn one_hot_encoder(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, DType::Float32);
    let categories = op
        .attr_len("cats_int64s")
        .unwrap_or(0)
        .max(op.attr_len("cats_strings").unwrap_or(0));
    let mut shape = op.shape(0)?.to_vec();
    shape.push(Dim::from(categories));
    op.set_shape(0, shape);
    Some(())
}

fn tree_ensemble(op: &mut Op<'_, '_>) -> Option<()> {
    let dtype = if op.node.op_type == "TreeEnsemble" {
        op.dtype(0)
    } else {
        Some(DType::Float32)
    };
    op.set_dtype(0, dtype);
    let targets = Dim::from(op.attr_int_or("n_targets", 1));
    let rows = rows(op);
    op.set_shape(0, vec![rows, targets]);
    Some(())
}

/// A list of maps from labels to scores.
fn zip_map(op: &mut Op<'_, '_>) -> Option<()> {
    op.set(0, Fact::list_of(Fact::Other("map")));
    Some(())
}
