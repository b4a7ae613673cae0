//! What PyTorch 2.15 and 2.5.1 wrote (tests/checkpoints/make.py) is read as PyTorch counts it.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use modelcost_checkpoint::{Checkpoint, CheckpointError, Format, PartKind, Role, read_path, rows};
use serde::Deserialize;

const RELEASES: [&str; 2] = ["2.15", "2.5"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/checkpoints")
        .join(name)
}

fn read(name: &str) -> Checkpoint {
    read_path(&fixture(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn error(name: &str) -> String {
    match read_path(&fixture(name)) {
        Err(error) => error.to_string(),
        Ok(checkpoint) => panic!("{name} was read: {checkpoint:?}"),
    }
}

/// What torch counts of the model that was saved.
#[derive(Deserialize)]
struct Said {
    params: u128,
    trainable_params: u128,
    norm_layers: usize,
    norm_statistics: u128,
    norm_counters: u128,
    buffers: u128,
    bytes: u128,
}

/// Every fixture of the whole model, in whichever format: what `sum(p.numel() for p in
/// model.parameters())` and its relatives gave in the release that wrote it.
#[test]
fn counts_what_torch_counts() {
    for release in RELEASES {
        let text = std::fs::read_to_string(fixture(&format!("expected-{release}.json"))).unwrap();
        let expected: BTreeMap<String, Said> = serde_json::from_str(&text).unwrap();
        assert!(expected.len() >= 8, "{release}: {}", expected.len());
        for (name, said) in expected {
            let checkpoint = read(&name);
            let totals = &checkpoint.model.totals;
            assert_eq!(totals.params, said.params, "{name}");
            assert_eq!(totals.norm_layers, said.norm_layers, "{name}");
            assert_eq!(totals.norm_statistics, said.norm_statistics, "{name}");
            assert_eq!(totals.norm_counters, said.norm_counters, "{name}");
            // A pickled module has its non-persistent buffer, two float32, too.
            let cached = if name.starts_with("module") { 2 } else { 0 };
            assert_eq!(totals.buffers, said.buffers + cached, "{name}");
            assert_eq!(totals.bytes, said.bytes + 4 * cached, "{name}");
            let is_recorded = name.starts_with("module") || name.starts_with("keep_vars");
            assert_eq!(checkpoint.model.roles_recorded, is_recorded, "{name}");
            let trainable = is_recorded.then_some(said.trainable_params);
            assert_eq!(totals.trainable_params, trainable, "{name}");
            let rows = rows(&checkpoint.model);
            assert_eq!(rows[0].params, said.params, "{name}");
            assert_eq!(rows[0].bytes, totals.bytes, "{name}");
        }
    }
}

#[test]
fn formats_are_told_apart() {
    for release in RELEASES {
        let format = |name: &str| read(&format!("{name}-{release}.pt")).format;
        assert_eq!(format("state_dict"), Format::Torch);
        assert_eq!(format("state_dict_protocol4"), Format::Torch);
        assert_eq!(format("state_dict_legacy"), Format::TorchLegacy);
        assert_eq!(format("module_legacy"), Format::TorchLegacy);
        assert_eq!(read(&format!("plain-{release}.pkl")).format, Format::Pickle);
        let message = error(&format!("torchscript-{release}.pt"));
        assert!(
            message.contains("TorchScript archive (torch.jit.save)"),
            "{message}"
        );
    }
    assert_eq!(read("net.safetensors").format, Format::Safetensors);
}

#[test]
fn a_state_dict_has_names_shapes_types_and_ties() {
    for release in RELEASES {
        let model = read(&format!("state_dict-{release}.pt")).model;
        let names: Vec<&str> = model.tensors.iter().map(|tensor| &*tensor.name).collect();
        assert_eq!(names[..3], ["scale", "position_ids", "conv.weight"]);
        let tensor = |name: &str| {
            let mut tensors = model.tensors.iter();
            tensors.find(|tensor| tensor.name == name).unwrap()
        };
        assert_eq!(tensor("conv.weight").shape, [4, 3, 3, 3]);
        assert_eq!(tensor("conv.weight").dtype.name(), "float32");
        assert_eq!(tensor("conv.weight").bytes, 432);
        assert_eq!(tensor("scale").shape, [0; 0]);
        assert_eq!(tensor("bn.weight").role, Role::Parameter);
        assert_eq!(tensor("bn.running_var").role, Role::NormStatistic);
        assert_eq!(tensor("bn.num_batches_tracked").role, Role::NormCounter);
        assert_eq!(tensor("position_ids").role, Role::Buffer);
        assert_eq!(
            tensor("head.weight").tied_to.as_deref(),
            Some("embed.weight")
        );
        assert_eq!(tensor("embed.weight").tied_to, None);
        // state_dict() gives plain tensors: nobody knows what was trained.
        assert_eq!(tensor("conv.weight").requires_grad, None);
    }
}

#[test]
fn a_pickled_module_keeps_classes_and_what_is_trained() {
    for name in [
        "module-2.15.pt",
        "module-2.5.pt",
        "module_legacy-2.15.pt",
        "module_legacy-2.5.pt",
    ] {
        let model = read(name).model;
        assert_eq!(model.class.as_deref(), Some("mynet.models.Net"), "{name}");
        let rows = rows(&model);
        let row = |path: &str| rows.iter().find(|row| row.path == path).unwrap();
        assert_eq!(
            row("bn").class,
            Some("torch.nn.modules.batchnorm.BatchNorm2d")
        );
        assert_eq!((row("bn").params, row("bn").buffers), (8, 9));
        assert_eq!(
            row("blocks.10").class,
            Some("torch.nn.modules.linear.Linear")
        );
        assert_eq!((row("blocks").depth, row("blocks").params), (1, 220));
        let frozen = model
            .tensors
            .iter()
            .find(|t| t.name == "blocks.0.weight")
            .unwrap();
        assert_eq!(frozen.requires_grad, Some(false), "{name}");
    }
}

#[test]
fn wrappers_and_what_stands_beside_a_model_are_taken_apart() {
    for release in RELEASES {
        let checkpoint = read(&format!("training-{release}.pt"));
        assert_eq!(checkpoint.model.path, "state_dict");
        assert!(
            checkpoint
                .model
                .tensors
                .iter()
                .any(|t| t.name == "conv.weight")
        );
        assert!(
            checkpoint
                .notes
                .iter()
                .any(|note| note.contains("DataParallel"))
        );
        let others: Vec<(PartKind, &str, u128)> = checkpoint
            .others
            .iter()
            .map(|part| (part.kind, &*part.path, part.totals.bytes))
            .collect();
        // Adam keeps two moments of each of the 345 trained values that had a gradient, that is
        // of the 24 of the embedding, and one float32 counter.
        assert_eq!(
            others,
            [
                (PartKind::Other, "", 4 + 8),
                // The averaged weights were cloned one by one, so nothing in them is tied.
                (
                    PartKind::Average,
                    "state_dict_ema",
                    checkpoint.model.totals.bytes + 96
                ),
                (PartKind::Optimizer, "optimizer", 4 + 2 * 96),
            ]
        );
        let two = read(&format!("two_models-{release}.pt")).model;
        assert_eq!(two.path, "");
        let rows = rows(&two);
        let sums: Vec<_> = rows.iter().map(|row| (row.path, row.params)).collect();
        assert_eq!(sums, [("", 13), ("generator", 9), ("discriminator", 4)]);
    }
}

#[test]
fn every_element_type() {
    for release in RELEASES {
        let checkpoint = read(&format!("types-{release}.pt"));
        let types: BTreeMap<&str, (&str, u64)> = checkpoint
            .model
            .tensors
            .iter()
            .map(|tensor| (&*tensor.name, (tensor.dtype.name(), tensor.bytes)))
            .collect();
        assert_eq!(types["half.weight"], ("float16", 12));
        assert_eq!(types["brain.weight"], ("bfloat16", 12));
        assert_eq!(types["eight.weight"], ("float8_e4m3fn", 16));
        assert_eq!(types["wide.weight"], ("float64", 24));
        assert_eq!(types["waves.weight"], ("complex64", 24));
        assert_eq!(types["quant.weight"], ("qint8", 9));
        // Four indices of two int64, and four float32.
        assert_eq!(types["sparse.weight"], ("float32", 4 * 16 + 4 * 4));
        assert_eq!(checkpoint.notes, [""; 0], "{release}");
        let role = |name: &str| {
            let mut tensors = checkpoint.model.tensors.iter();
            tensors.find(|tensor| tensor.name == name).unwrap().role
        };
        assert_eq!(role("mask"), Role::Buffer);
        assert_eq!(role("table.index"), Role::Buffer);
        assert_eq!(role("quant.weight"), Role::Parameter);
    }
}

#[test]
fn views_of_one_storage() {
    let checkpoint = read("views-2.15.pt");
    let model = &checkpoint.model;
    assert_eq!(model.totals.params, 12);
    assert_eq!(model.tensors[2].tied_to.as_deref(), Some("q.weight"));
    // Of 24 float32, 12 belong to no tensor.
    assert!(checkpoint.notes[0].starts_with("48 bytes of the file belong to no tensor"));
}

#[test]
fn tensors_without_a_dictionary() {
    assert_eq!(read("tensor-2.15.pt").model.totals.params, 6);
    assert_eq!(read("list-2.15.pt").model.totals.params, 5);
    let message = error("nothing-2.15.pt");
    assert!(message.contains("holds no tensors"), "{message}");
    let plain = read("plain-2.15.pkl").model;
    assert_eq!(
        (plain.totals.params, plain.tensors[0].dtype.name()),
        (8, "float32")
    );
}

#[test]
fn shards_by_their_index() {
    for (index, shards) in [
        (
            "sharded-2.15.bin.index.json",
            "sharded-2.15-0000{}-of-00002.bin",
        ),
        (
            "net.safetensors.index.json",
            "net-0000{}-of-00002.safetensors",
        ),
    ] {
        let checkpoint = read(index);
        assert_eq!(
            checkpoint.shards,
            ["1", "2"].map(|n| shards.replace("{}", n))
        );
        let model = &checkpoint.model;
        assert!(model.tensors.iter().any(|tensor| tensor.shard == Some(1)));
        // In natural order, not in that of text.
        let place = |name: &str| model.tensors.iter().position(|t| t.name == name).unwrap();
        assert!(place("blocks.2.weight") < place("blocks.10.weight"));
        assert!(place("blocks.2.weight") < place("blocks.2.bias"));
    }
    let one = read("net-00002-of-00002.safetensors");
    assert!(one.notes[0].starts_with("this is one of 2 files of a model"));
}

#[test]
fn what_is_no_checkpoint_is_told() {
    let of = |bytes: &[u8], name: &str| match modelcost_checkpoint::read_bytes(bytes, name) {
        Err(CheckpointError::Unrecognised { found, .. }) => found,
        other => panic!("{other:?}"),
    };
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    assert!(of(pointer, "a.safetensors").contains("git lfs pull"));
    assert!(of(b"<!doctype html><title>404</title>", "a.pth").contains("web page"));
    assert!(of(b"hello, world", "a.bin").contains("neither a zip archive"));
}
