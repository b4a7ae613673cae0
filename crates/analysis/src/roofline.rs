//! The roofline: the least time a chip's published rates allow. A bound, never a prediction.

use std::collections::{BTreeMap, HashMap, HashSet};

use modelcost_core::convention::Unit;
use modelcost_core::report::Report;
use modelcost_core::trace::{CallId, ModuleId, Trace};
use serde::{Deserialize, Serialize};

use crate::memory::{MemoryError, bytes_in, steps};
use crate::storage::Storage;

/// A chip's published figures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chip {
    /// Its name.
    pub name: String,
    /// Where the figures are published.
    pub source: String,
    /// Memory bandwidth in bytes a second.
    pub bandwidth: f64,
    /// FLOPs a second by element type.
    pub peak: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    chip: Vec<Chip>,
}

/// The chips that come with the program.
pub fn chips() -> Vec<Chip> {
    // The table is part of the program; a test reads it.
    parse_chips(include_str!("../chips.toml")).unwrap_or_default()
}

/// Reads a table of chips, for those of a user.
pub fn parse_chips(text: &str) -> Result<Vec<Chip>, String> {
    toml::from_str::<File>(text)
        .map(|file| file.chip)
        .map_err(|error| error.to_string())
}

/// What holds a layer back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Arithmetic.
    Compute,
    /// Memory traffic.
    Memory,
}

/// One module's place under the roof.
#[derive(Clone, Debug, Serialize)]
pub struct LayerBound {
    /// The module's path.
    pub path: String,
    /// Operations, in FLOPs.
    pub flops: f64,
    /// Bytes that its operators read and write, each tensor once an operator.
    pub bytes: f64,
    /// FLOPs a byte.
    pub intensity: f64,
    /// What bounds it.
    pub bound: Bound,
    /// The least time in seconds.
    pub seconds: f64,
}

/// A model under a chip's roof.
#[derive(Clone, Debug, Serialize)]
pub struct Roofline {
    /// The chip.
    pub chip: String,
    /// The element type whose peak rate is used.
    pub dtype: String,
    /// FLOPs a byte at which the roof bends.
    pub ridge: f64,
    /// The least time in seconds: the sum over the rows, each at its own bound.
    pub seconds: f64,
    /// One row for each module that runs operators itself, in order.
    pub layers: Vec<LayerBound>,
}

/// Puts a model under a chip's roof, with the operations that a report counted.
pub fn roofline(
    trace: &Trace,
    report: &Report,
    chip: &Chip,
    dtype: &str,
) -> Result<Roofline, RooflineError> {
    let peak = *chip.peak.get(dtype).ok_or_else(|| RooflineError::NoRate {
        chip: chip.name.clone(),
        dtype: dtype.into(),
        known: chip.peak.keys().cloned().collect::<Vec<_>>().join(", "),
    })?;
    let factor = if report.convention.work_unit() == Unit::Mac {
        2.0
    } else {
        1.0
    };
    // Counts stand at modules, functions or operators; a module is the finest place that all share.
    let mut by_module: HashMap<ModuleId, (f64, f64)> = HashMap::new();
    for entry in &report.entries {
        let count = entry.count.as_const().ok_or_else(|| {
            RooflineError::Memory(MemoryError::Symbolic(
                entry
                    .count
                    .symbols()
                    .into_iter()
                    .collect::<Vec<_>>()
                    .join(", "),
            ))
        })?;
        by_module.entry(entry.module).or_default().0 += count as f64 * factor;
    }
    let mut order: Vec<ModuleId> = Vec::new();
    let mut seen: HashSet<ModuleId> = HashSet::new();
    let (storage, bits) = (Storage::new(trace), float_bits(dtype));
    for step in steps(trace) {
        let module = trace.enclosing_module(step);
        if seen.insert(module) {
            order.push(module);
        }
        by_module.entry(module).or_default().1 += traffic(trace, &storage, step, bits)?;
    }
    let paths: HashMap<ModuleId, String> = trace
        .named_modules()
        .into_iter()
        .map(|(path, id)| (id, path))
        .collect();
    let mut layers = Vec::new();
    for module in order {
        let (flops, bytes) = by_module[&module];
        if bytes == 0.0 {
            continue;
        }
        let (compute, memory) = (flops / peak, bytes / chip.bandwidth);
        layers.push(LayerBound {
            path: paths.get(&module).cloned().unwrap_or_default(),
            flops,
            bytes,
            intensity: flops / bytes,
            bound: if compute > memory {
                Bound::Compute
            } else {
                Bound::Memory
            },
            seconds: compute.max(memory),
        });
    }
    Ok(Roofline {
        chip: chip.name.clone(),
        dtype: dtype.into(),
        ridge: peak / chip.bandwidth,
        seconds: layers.iter().map(|layer| layer.seconds).sum(),
        layers,
    })
}

/// Why there is no roofline.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RooflineError {
    /// The chip has no published rate for the type.
    #[error("{chip} has no published rate for {dtype}; there are {known}")]
    NoRate {
        /// The chip.
        chip: String,
        /// The type asked for.
        dtype: String,
        /// The types there are.
        known: String,
    },
    /// Sizes are not known.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// How wide the numbers of a rate are; `tf32` is computed in fewer bits but stored in 32.
fn float_bits(dtype: &str) -> u32 {
    match dtype {
        "float64" => 64,
        "float16" | "bfloat16" => 16,
        "float8" | "int8" => 8,
        "int4" | "float4" => 4,
        _ => 32,
    }
}

/// Bytes that a step reads and writes; a step that only makes a view moves none.
fn traffic(
    trace: &Trace,
    storage: &Storage,
    step: CallId,
    float_bits: u32,
) -> Result<f64, MemoryError> {
    let call = trace.call(step);
    if storage.moves_nothing(call) {
        return Ok(0.0);
    }
    let reads = call
        .arguments
        .iter()
        .flat_map(|argument| argument.value.tensors());
    let mut seen = Vec::new();
    let mut bytes = 0;
    for tensor in reads.chain(call.output.tensors()) {
        if !seen.contains(&tensor) {
            seen.push(tensor);
            bytes += bytes_in(trace, tensor, Some(float_bits))?;
        }
    }
    Ok(bytes as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_chips_is_sound() {
        let chips = parse_chips(include_str!("../chips.toml")).unwrap();
        for chip in &chips {
            assert!(
                chip.bandwidth > 1e11 && !chip.source.is_empty(),
                "{}",
                chip.name
            );
            assert!(chip.peak.values().all(|rate| *rate > 1e12), "{}", chip.name);
        }
        assert!(chips.iter().any(|chip| chip.name == "H100-SXM"));
    }
}
