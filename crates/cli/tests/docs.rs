//! What the documentation says is what the program does.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

mod program;

use std::collections::BTreeSet;
use std::path::PathBuf;

use program::{Folder, errors, json, root, run, stdout};
use serde_json::Value;

/// The pages that people read.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    for folder in ["docs", "editors/vscode", "editors/neovim"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        paths.extend(files.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn links_lead_somewhere() {
    for (page, text) in pages() {
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            // An index and a call in the text look like a link.
            if target.contains("://") || !target.contains(['.', '/', '#']) {
                continue;
            }
            let file = target.split('#').next().unwrap();
            let path = page.parent().unwrap().join(file);
            assert!(path.exists(), "{}: {target}", page.display());
        }
    }
}

/// Commands on the examples do what they are shown for; those on other models are at least commands.
#[test]
fn commands_are_as_the_program_takes_them() {
    let mut tried = 0;
    for (page, text) in pages() {
        let fences = text.split("```sh\n").skip(1);
        let lines = fences.flat_map(|fence| fence.split("```").next().unwrap().lines());
        for line in lines.filter_map(|line| line.strip_prefix("modelcost ")) {
            let line = line.split(" #").next().unwrap();
            let line = line.split(" >").next().unwrap();
            let arguments: Vec<&str> = line
                .split_whitespace()
                .map(|word| word.trim_matches('\''))
                .collect();
            if arguments.contains(&"convert") || arguments.contains(&"report") {
                // They write files; other tests run them.
                continue;
            }
            tried += 1;
            let output = run(&arguments);
            let errors = errors(&output);
            let place = format!("{}: modelcost {line}: {errors}", page.display());
            assert!(!errors.contains("Usage:"), "{place}");
            if line.contains("examples/") {
                // A check may fail: that is an answer too.
                assert!(matches!(output.status.code(), Some(0 | 1)), "{place}");
            }
        }
    }
    assert!(tried >= 15, "{tried}");
}

/// docs/ci.md shows what `check` says under the settings that it shows.
#[test]
fn the_page_about_ci_shows_what_check_says() {
    let page = std::fs::read_to_string(root().join("docs/ci.md")).unwrap();
    let block = |kind: &str| {
        let (_, rest) = page.split_once(&format!("```{kind}\n")).unwrap();
        rest.split("```").next().unwrap()
    };
    let folder = Folder::new("ci");
    folder.write("modelcost.toml", block("toml"));
    let example = std::fs::read(root().join("examples/mobilenet_v2.toml")).unwrap();
    std::fs::create_dir(folder.join("models")).unwrap();
    folder.write("models/mobilenet_v2.toml", example);
    let output = program::command(&["check", "models/mobilenet_v2.toml", "-f", "github"])
        .current_dir(folder.join(""))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), block("text"));
}

/// The keys of a document that hold no further ones, as docs/json.md writes them.
fn leaves(value: &Value, path: &str, out: &mut BTreeSet<String>, empty: &mut BTreeSet<String>) {
    match value {
        // What another section or another key describes.
        _ if ["others[]", "rows[].answer", "values[].element"].contains(&path) => {
            out.insert(path.into());
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                leaves(value, &path, out, empty);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                leaves(item, &format!("{path}[]"), out, empty);
            }
        }
        Value::Array(items) if items.is_empty() => {
            empty.insert(path.into());
        }
        _ => {
            out.insert(path.into());
        }
    }
}

/// Every key that the program prints is on the page, and every key on the page is printed.
#[test]
fn the_page_about_json_has_every_key() {
    let alexnet = "examples/alexnet.toml";
    let folder = Folder::new("json");
    let table = format!("{},714M\n", root().join(alexnet).display());
    let table = folder.write("table.csv", table);
    let spec = std::fs::read_to_string(root().join(alexnet)).unwrap();
    let wider = folder.write("wider.toml", spec.replace("4096, 1000", "4096, 2000"));
    let baseline = folder.write("old.json", stdout(&[alexnet, "-f", "json"]));
    let over = run(&["check", &wider, "--baseline", &baseline, "-f", "json"]);
    let sequence = "<ir_version: 8, opset_import: [\"\" : 17, \"custom\" : 1]>\n\
                    g (float[2,3] x) => (float[2,3] y) {\n\
                    s = SequenceConstruct(x, x)\n\
                    i = Constant <value_int = 0> ()\n\
                    z = custom.Mystery(x)\n\
                    y = SequenceAt(s, i)\n}\n";
    let sequence = folder.write("sequence.onnxtxt", sequence);
    let documents = [
        json(&[alexnet]),
        json(&["tests/checkpoints/module-2.15.pt"]),
        json(&["tests/checkpoints/training-2.15.pt"]),
        json(&["tests/checkpoints/net.safetensors.index.json"]),
        json(&["compare", "tests/specs/avgpool.toml"]),
        json(&["explain", alexnet, "--from", "thop", "--to", "ptflops"]),
        json(&["reconcile", alexnet, "--reported", "714M"]),
        json(&["reconcile", alexnet, "--reported", "7P"]),
        json(&["reconcile", "--table", &table]),
        json(&["sweep", "examples/bert_base.toml", "-d", "seq=64..128*2"]),
        json(&["sweep", "examples/bert_base.toml", "-d", "seq=256..1024*2"]),
        json(&["memory", alexnet, "--chip", "T4"]),
        serde_json::from_slice(&over.stdout).unwrap(),
        json(&["shapes", &sequence]),
        json(&["conventions"]),
    ];
    let page = std::fs::read_to_string(root().join("docs/json.md")).unwrap();
    for section in page.split("\n## ").skip(1) {
        let (schema, rest) = section.split_once('\n').unwrap();
        let rows = rest.lines().filter_map(|line| line.strip_prefix("| `"));
        let keys = rows.flat_map(|row| row.split(" |").next().unwrap().split("`, `"));
        let written: BTreeSet<String> = keys.map(|key| key.trim_end_matches('`').into()).collect();
        let (mut printed, mut empty) = (BTreeSet::new(), BTreeSet::new());
        for document in documents
            .iter()
            .filter(|document| document["schema"] == schema)
        {
            leaves(document, "", &mut printed, &mut empty);
        }
        // A list of nothing does not tell what it is a list of.
        printed.extend(empty.intersection(&written).cloned());
        let missing: Vec<_> = printed.difference(&written).collect();
        assert!(missing.is_empty(), "{schema}: not on the page: {missing:?}");
        let gone: Vec<_> = written.difference(&printed).collect();
        assert!(gone.is_empty(), "{schema}: never printed: {gone:?}");
    }
    for document in &documents {
        let schema = document["schema"].as_str().unwrap();
        assert!(page.contains(&format!("\n## {schema}\n")), "{schema}");
    }
}
