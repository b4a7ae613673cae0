//! The directions of dependencies that docs/architecture.md promises, against `cargo metadata`.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// For each package of the workspace, the packages of the workspace that it depends on (tests and
/// build scripts aside).
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    packages
        .iter()
        .map(|package| {
            let own = package["dependencies"].as_array().unwrap().iter();
            let own = own
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().unwrap())
                .filter(|name| names.contains(name))
                .map(String::from);
            (package["name"].as_str().unwrap().to_string(), own.collect())
        })
        .collect()
}

/// Everything that a package depends on, directly or not.
fn reach(dependencies: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut open = vec![from.to_string()];
    while let Some(name) = open.pop() {
        for next in &dependencies[&name] {
            if out.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    out
}

#[test]
fn core_knows_no_other_crate() {
    assert_eq!(dependencies()["modelcost-core"], BTreeSet::new());
}

#[test]
fn a_convention_knows_core_alone() {
    let dependencies = dependencies();
    let conventions: Vec<_> = dependencies
        .keys()
        .filter(|name| name.starts_with("modelcost-convention-"))
        .collect();
    assert!(conventions.len() >= 12, "{conventions:?}");
    for name in conventions {
        let others: Vec<_> = dependencies[name]
            .iter()
            .filter(|other| *other != "modelcost-core")
            .collect();
        assert!(others.is_empty(), "{name} depends on {others:?}");
    }
}

#[test]
fn readers_and_the_vocabulary_know_no_convention() {
    let dependencies = dependencies();
    for name in [
        "modelcost-torch",
        "modelcost-spec",
        "modelcost-archive",
        "modelcost-export",
        "modelcost-checkpoint",
        "modelcost-onnx",
        "modelcost-reader",
    ] {
        let reach = reach(&dependencies, name);
        assert!(
            !reach.iter().any(|other| other.contains("convention")),
            "{name} reaches {reach:?}"
        );
        assert!(
            !reach.iter().any(|other| other == "modelcost-analysis"),
            "{name} reaches {reach:?}"
        );
    }
}

/// A checkpoint has no calls, so its reader knows neither the vocabulary nor another format.
#[test]
fn checkpoints_know_archives_and_core_alone() {
    assert_eq!(
        dependencies()["modelcost-checkpoint"],
        BTreeSet::from(["modelcost-archive", "modelcost-core"].map(String::from))
    );
    assert_eq!(dependencies()["modelcost-archive"], BTreeSet::new());
}

#[test]
fn analysis_names_no_tool_and_opens_no_file() {
    assert_eq!(
        dependencies()["modelcost-analysis"],
        BTreeSet::from(["modelcost-core".to_string()])
    );
}

#[test]
fn the_editors_layer_knows_no_protocol() {
    let manifest =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../ide/Cargo.toml")).unwrap();
    assert!(
        !manifest.contains("lsp") && !manifest.contains("tokio"),
        "crates/ide/Cargo.toml:\n{manifest}"
    );
}

#[test]
fn core_names_no_tool() {
    // Words that would mean that counting leaked into the core. Comments explain by example, so
    // only code outside of them and outside of tests counts.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry
            .path()
            .extension()
            .is_none_or(|extension| extension != "rs")
        {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let code: String = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        for tool in [
            "thop",
            "ptflops",
            "torchinfo",
            "fvcore",
            "calflops",
            "deepspeed",
            "torchprofile",
        ] {
            assert!(
                !code.to_lowercase().contains(tool),
                "{} names {tool}",
                entry.path().display()
            );
        }
    }
}
