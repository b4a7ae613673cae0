//! Sharded checkpoints: `model.safetensors.index.json` and `pytorch_model.bin.index.json` say which
//! file beside them holds which tensor.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::assemble::Contained;
use crate::error::{CheckpointError, Result};
use crate::model::Checkpoint;
use crate::names::{join, natural};
use crate::torch::{Found, Group};

/// The most files. The largest models have some hundred.
const MAX_SHARDS: usize = 10_000;

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    metadata: Map<String, Value>,
    weight_map: Map<String, Value>,
}

/// Whether a file is an index, by its name and its first character.
pub fn is_index(path: &Path, bytes: &[u8]) -> bool {
    let is_json = path
        .extension()
        .is_some_and(|extension| extension == "json");
    is_json && bytes.trim_ascii_start().first() == Some(&b'{')
}

/// Reads an index and the files that it names.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Checkpoint> {
    let file = path.display().to_string();
    let damaged = |place: String, message: String| CheckpointError::Damaged {
        file: file.clone(),
        place,
        message,
    };
    let index: Index = serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        damaged(place, format!("this is no index of shards: {error}"))
    })?;
    // Which tensors are where, by file in the order of the index.
    let mut shards: Vec<(&str, HashSet<&str>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (name, shard) in &index.weight_map {
        let shard = shard
            .as_str()
            .filter(|shard| is_beside(shard))
            .ok_or_else(|| {
                damaged(
                    format!("weight_map, {name}"),
                    format!("{shard} is no name of a file beside the index"),
                )
            })?;
        let at = *places.entry(shard).or_insert_with(|| {
            shards.push((shard, HashSet::new()));
            shards.len() - 1
        });
        shards[at].1.insert(name);
    }
    if shards.len() > MAX_SHARDS {
        return Err(CheckpointError::TooLarge {
            file,
            what: format!("it names {} files", shards.len()),
        });
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let missing: Vec<&str> = shards
        .iter()
        .map(|(shard, _)| *shard)
        .filter(|shard| !folder.join(shard).is_file())
        .collect();
    if let Some(first) = missing.first() {
        return Err(CheckpointError::Unrecognised {
            file,
            found: format!(
                "{} of its {} files are missing, such as {first}; put them into the same folder",
                missing.len(),
                shards.len()
            ),
        });
    }
    let mut whole: Option<Contained> = None;
    for (at, (shard, names)) in shards.iter().enumerate() {
        let one = open(&folder.join(shard))?;
        whole = Some(add(whole, one, at, shard, names, &damaged)?);
    }
    let Some(mut whole) = whole else {
        return Err(CheckpointError::NoTensors {
            file,
            found: "its weight_map is empty".into(),
        });
    };
    for group in &mut whole.groups {
        group.tensors.sort_by(|(a, ..), (b, ..)| natural(a, b));
    }
    let text = |(key, value): (String, Value)| match value {
        Value::String(text) => (key, text),
        other => (key, other.to_string()),
    };
    whole.metadata = index.metadata.into_iter().map(text).collect();
    whole.shards = shards.iter().map(|(shard, _)| shard.to_string()).collect();
    Ok(whole.finish())
}

/// Whether a name is that of a file in the same folder, and of nothing else on the machine.
fn is_beside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    )
}

fn open(path: &Path) -> Result<Contained> {
    let file = path.display().to_string();
    let map = modelcost_archive::map(path).map_err(|source| CheckpointError::Io {
        file: file.clone(),
        source,
    })?;
    crate::contained(&map, &file)
}

/// Adds a shard's tensors to those before it.
fn add(
    whole: Option<Contained>,
    one: Contained,
    at: usize,
    shard: &str,
    names: &HashSet<&str>,
    damaged: &dyn Fn(String, String) -> CheckpointError,
) -> Result<Contained> {
    let mut whole = whole.unwrap_or_else(|| Contained {
        format: one.format,
        groups: vec![Group {
            path: Vec::new(),
            found: Found::Model,
            tensors: Vec::new(),
            modules: Vec::new(),
        }],
        notes: Vec::new(),
        dangers: Vec::new(),
        metadata: Vec::new(),
        shards: Vec::new(),
        shard_of: HashMap::new(),
        stored: None,
    });
    let mut found = 0;
    let mut extra = 0;
    let tensors = one.groups.into_iter().flat_map(|group| {
        let path = group.path.join(".");
        let tensors = group.tensors.into_iter();
        tensors.map(move |(name, raw, kind)| (join(&path, &name), raw, kind))
    });
    for (name, mut raw, kind) in tensors {
        if !names.contains(name.as_str()) {
            extra += 1;
            continue;
        }
        found += 1;
        // Storages are numbered file by file.
        if let Some(slice) = &mut raw.slice {
            slice.storage = slice.storage.saturating_mul(MAX_SHARDS).saturating_add(at);
        }
        whole.shard_of.insert(name.clone(), at);
        whole.groups[0].tensors.push((name, raw, kind));
    }
    if found < names.len() {
        let mut absent: Vec<&&str> = names
            .iter()
            .filter(|name| !whole.shard_of.contains_key(**name))
            .collect();
        absent.sort();
        let first = absent.first().map_or("", |name| **name);
        return Err(damaged(
            format!("weight_map, {first}"),
            format!("{shard} does not hold it"),
        ));
    }
    if extra > 0 {
        let note = format!("{shard} holds {extra} tensors that the index does not name");
        whole.notes.push(note);
    }
    whole.notes.extend(one.notes);
    whole.dangers.extend(one.dangers);
    Ok(whole)
}
