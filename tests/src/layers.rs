//! What tools give for every layer.

use std::collections::BTreeMap;

use modelcost_core::convention::Convention;
use modelcost_core::dim::Dim;
use modelcost_core::report::Report;
use modelcost_core::trace::Trace;
use serde_json::{Map, Value, json};

use crate::check::{Miss, miss};

/// Numbers by path: `[count, params]`, or the count alone. torch's counter puts the root's class in
/// front of each path, and calls the sum `Global`.
pub fn by_path(trace: &Trace, report: &Report, expected: &Map<String, Value>) -> Vec<Miss> {
    let root = trace.module(Trace::ROOT).class.short_name();
    let rows: BTreeMap<&str, _> = report
        .layers
        .iter()
        .map(|layer| (layer.path.as_str(), layer))
        .collect();
    let mut misses = Vec::new();
    let is_prefixed = expected.contains_key("Global");
    for (path, numbers) in expected {
        let path = match path.strip_prefix(root) {
            _ if !is_prefixed => path,
            Some(rest) => rest.trim_start_matches('.'),
            None if path == "Global" => "",
            None => path,
        };
        let Some(row) = rows.get(path) else {
            misses.push(miss(path, numbers, "no row"));
            continue;
        };
        let (count, params) = match numbers {
            Value::Array(numbers) => (numbers.first(), numbers.get(1)),
            single => (Some(single), None),
        };
        for (expected, got) in [(count, &row.count), (params, &row.params)] {
            let Some(expected) = expected.and_then(whole) else {
                continue;
            };
            if got.as_ref().and_then(Dim::as_const) != Some(expected) {
                let got = got.as_ref().map_or("nothing".into(), Dim::to_string);
                misses.push(miss(path, expected, got));
            }
        }
    }
    misses
}

/// Python's floats in JSON hold whole numbers.
fn whole(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| {
        let value = value.as_f64()?;
        (value.fract() == 0.0).then_some(value as i128)
    })
}

/// torchinfo's rows: `[depth, name, class, params, macs, output_size, is_recursive]`.
pub fn torchinfo(trace: &Trace, expected: &[Value]) -> Vec<Miss> {
    let (list, _) = match modelcost_convention_torchinfo::summary(trace) {
        Ok(summary) => summary,
        Err(failure) => return vec![miss("rows", expected.len(), failure)],
    };
    let number = |dim: &Dim| dim.as_const().and_then(|value| i64::try_from(value).ok());
    let rows: Vec<Value> = list
        .rows()
        .map(|row| {
            let sizes: Vec<_> = row.output_size.iter().map(number).collect();
            json!([
                row.depth,
                row.var_name,
                row.class_name,
                number(&row.parameters.count),
                number(&row.macs),
                sizes,
                row.is_recursive
            ])
        })
        .collect();
    let mut misses = Vec::new();
    for at in 0..rows.len().max(expected.len()) {
        let (expected, got) = (expected.get(at), rows.get(at));
        if expected != got {
            let show = |row: Option<&Value>| row.map_or("no row".into(), Value::to_string);
            misses.push(miss(&format!("row {at}"), show(expected), show(got)));
        }
    }
    misses
}

/// The text that a tool prints, line by line.
pub fn printed(convention: &dyn Convention, trace: &Trace, expected: &str) -> Vec<Miss> {
    let text = match convention.printed(trace) {
        Some(Ok(text)) => text,
        Some(Err(failure)) => return vec![miss("text", "a table", failure)],
        None => return vec![miss("text", "a table", "nothing")],
    };
    let (expected, got): (Vec<_>, Vec<_>) = (expected.lines().collect(), text.lines().collect());
    (0..expected.len().max(got.len()))
        .filter(|at| expected.get(*at) != got.get(*at))
        .map(|at| {
            let line = |lines: &[&str]| lines.get(at).copied().unwrap_or("no line").to_string();
            miss(&format!("line {at}"), line(&expected), line(&got))
        })
        .collect()
}
