//! Runs the program, for tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs `modelcost` in the root of the repository.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_modelcost"))
        .args(arguments)
        .current_dir(root())
        .env_remove("MODELCOST_CONVENTION")
        .env("COLUMNS", "150")
        .output()
        .unwrap()
}

/// What it prints, when it succeeds.
pub fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{arguments:?}: {errors}");
    text.into_owned()
}

/// What it prints as JSON.
pub fn json(arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.extend(["--format", "json"]);
    serde_json::from_str(&stdout(&all)).unwrap()
}
