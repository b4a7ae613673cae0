//! The schema `modelcost/1`: integers are exact, never floats; symbolic counts are strings.

use modelcost_core::report::{Extra, Layer, Report};
use modelcost_core::trace::Shape;
use modelcost_core::{dim::Dim, fidelity::Fidelity};
use modelcost_reader::Model;
use serde::Serialize;

use super::Answer;

#[derive(Serialize)]
pub struct Document<'a> {
    schema: &'static str,
    model: ModelJson<'a>,
    convention: ConventionJson<'a>,
    total: Total<'a>,
    fidelity: &'a Fidelity,
    layers: &'a [Layer],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    extras: &'a [Extra],
}

#[derive(Serialize)]
struct ModelJson<'a> {
    path: String,
    format: &'a str,
    name: &'a str,
    inputs: Vec<InputJson<'a>>,
}

#[derive(Serialize)]
struct InputJson<'a> {
    name: &'a str,
    shape: &'a Option<Shape>,
    dtype: Option<modelcost_core::dtype::DType>,
}

#[derive(Serialize)]
struct ConventionJson<'a> {
    id: &'a str,
    version: &'a str,
    variant: Option<&'a str>,
    unit: modelcost_core::convention::Unit,
}

#[derive(Serialize)]
struct Total<'a> {
    count: Option<&'a Dim>,
    params: &'a Option<Dim>,
    trainable_params: &'a Option<Dim>,
}

/// A report as the schema has it.
pub fn report<'a>(model: &'a Model, report: &'a Report) -> Document<'a> {
    let info = &report.convention;
    let trace = &model.trace;
    let inputs = trace.inputs.iter().map(|(name, id)| {
        let tensor = trace.tensor(*id);
        InputJson {
            name,
            shape: &tensor.shape,
            dtype: tensor.dtype,
        }
    });
    Document {
        schema: "modelcost/1",
        model: ModelJson {
            path: model.path.display().to_string(),
            format: trace.format,
            name: &trace.name,
            inputs: inputs.collect(),
        },
        convention: ConventionJson {
            id: &info.id,
            version: &info.version,
            variant: (!info.variant.is_empty()).then_some(&info.variant),
            unit: info.unit,
        },
        total: Total {
            count: report.count.as_ref().map(|cost| cost.count()),
            params: &report.params,
            trainable_params: &report.trainable_params,
        },
        fidelity: &report.fidelity,
        layers: &report.layers,
        extras: &report.extras,
    }
}

pub(super) fn render(answer: &Answer) -> String {
    to_text(&report(answer.model, answer.report))
}

/// Pretty JSON. Serialising plain data into a string cannot fail.
pub fn to_text(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
