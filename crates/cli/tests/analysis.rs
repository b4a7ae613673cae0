//! What explains numbers: tables of figures, sweeps, comparisons, the report.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

mod program;

use std::process::Command;

use program::{Folder, errors, json, root, run, stdout};

/// `modelcost reconcile --table docs/papers.csv --format markdown > docs/papers.md` renews it.
#[test]
fn the_page_of_papers_is_current() {
    let written = std::fs::read_to_string(root().join("docs/papers.md")).unwrap();
    let current = stdout(&["reconcile", "--table", "docs/papers.csv", "-f", "markdown"]);
    assert!(
        written == current,
        "docs/papers.md is not what `modelcost reconcile --table docs/papers.csv` gives"
    );
}

/// README.md of ptflops prints what 0.7.5 counts with its two backends.
#[test]
fn a_table_is_explained_by_one_convention() {
    let folder = Folder::new("figures");
    let table = folder.join("table.csv");
    let examples = root().join("examples");
    let model = |name: &str| examples.join(name).display().to_string();
    let text = format!(
        "{},4.13G,MACs\n{},1.83G,MACs\n{},9.99G,MACs\n",
        model("resnet50.toml"),
        model("resnet18.toml"),
        model("alexnet.toml")
    );
    std::fs::write(&table, text).unwrap();
    let answer = json(&["reconcile", "--table", table.to_str().unwrap()]);
    assert_eq!(answer["convention"], "ptflops@0.7.5/pytorch");
    assert_eq!(answer["unit"], "MAC");
    assert_eq!(answer["explained"], serde_json::json!([0, 1]));
    assert_eq!(answer["unexplained"], serde_json::json!([2]));
    assert_eq!(answer["rows"][2]["answer"]["readings"][0]["fits"], false);

    std::fs::write(&table, "model,reported\nexamples/none.toml,four\n").unwrap();
    let output = run(&["reconcile", "--table", table.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
}

/// BERT-base: attention products cost 36864·seq² FLOPs, the MLP 113246208·seq.
#[test]
fn a_transformer_grows_with_the_square_of_its_length() {
    let sweep = json(&["sweep", "examples/bert_base.toml", "-d", "seq=128..512*2"]);
    assert_eq!(sweep["growth"][0]["order"], "Θ(seq²)");
    let crossings = sweep["crossings"].as_array().unwrap();
    let mlp = crossings.iter().find(|c| c["below"] == "the MLP").unwrap();
    assert_eq!(mlp["above"], "attention products");
    assert_eq!(mlp["from"], 3072);

    // Its table of positions has 512 rows: what is longer cannot run, and is not made up.
    let sweep = json(&["sweep", "examples/bert_base.toml", "-d", "seq=256..1024*2"]);
    assert_eq!(sweep["polynomial"], serde_json::Value::Null);
    let points = sweep["points"].as_array().unwrap();
    let failed: Vec<bool> = points.iter().map(|p| p["count"].is_null()).collect();
    assert_eq!(failed, [false, false, true]);
}

/// torch's own counter on torchvision's models at other sizes than they are exported for.
#[test]
fn images_of_other_sizes() {
    for (spec, counts) in [
        // The patches grow with the area, their products with its square.
        ("vit_b_16", [11_274_289_152u64, 46_394_769_408]),
        ("resnet50", [2_673_246_208, 10_680_696_832]),
    ] {
        let path = format!("examples/{spec}.toml");
        let sweep = json(&["sweep", &path, "--input-size", "128..256+128"]);
        for (point, count) in sweep["points"].as_array().unwrap().iter().zip(counts) {
            assert_eq!(point["count"], count, "{spec}");
        }
    }
    let sweep = json(&[
        "sweep",
        "examples/resnet50.toml",
        "--input-size",
        "128..512+64",
    ]);
    assert_eq!(sweep["growth"][0]["order"], "Θ(side²)");
}

#[test]
fn a_comparison_fits_a_screen() {
    let output = Command::new(env!("CARGO_BIN_EXE_modelcost"))
        .args(["compare", "examples/vit_b_16.toml"])
        .current_dir(root())
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().count() <= 40, "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    for count in [
        "173,232,616 MAC",
        "11,286,254,592 MAC",
        "16,864,992,232 MAC",
        "17,606,030,584 MAC",
        "35,127,656,448 FLOP",
    ] {
        assert!(text.contains(count), "{count} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours in a pipe");
}

/// The page needs nothing but itself, and its map shows all that is counted.
#[test]
fn the_report_is_one_page() {
    for spec in ["resnet50", "vit_b_16", "lstm_lm"] {
        let page = stdout(&["report", &format!("examples/{spec}.toml")]);
        for absent in ["<script", "http://", "https://", "<link", "@import"] {
            let outside = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!outside.contains(absent), "{spec} has {absent}");
        }
        assert!(page.matches("<svg").count() >= 3, "{spec} lacks a chart");
        assert!(page.contains("prefers-color-scheme:dark"));
    }
    // nn.MultiheadAttention counts its products itself, beside its child.
    let page = stdout(&["report", "examples/vit_b_16.toml"]);
    assert!(page.contains("encoder_layer_0.self_attention MultiheadAttention: "));
}

#[test]
fn tables_of_figures_say_which_line_is_wrong() {
    let folder = Folder::new("table");
    let model = root().join("examples/alexnet.toml").display().to_string();
    let table = |rows: &str| folder.write("t.csv", format!("model,reported,unit\n{rows}"));
    let wrong = table(&format!("{model},0.71G,MAC\n{model},many,FLOP\n"));
    let output = run(&["reconcile", "--table", &wrong]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("t.csv:3: 'many' is not a figure"), "{text}");
    for (row, expected) in [
        ("", "has no rows"),
        (
            model.as_str(),
            "t.csv:2: the model or its figure is missing",
        ),
        ("a,1G,MAC,more", "t.csv:2: too many columns"),
    ] {
        let text = errors(&run(&["reconcile", "--table", &table(row)]));
        assert!(text.contains(expected), "{row}: {text}");
    }
    // The guide's example: a row may end early.
    let short = folder.write(
        "s.csv",
        format!("# model, figure, unit\n{model}, 0.71G, MAC\n{model}, 714M\n"),
    );
    let answer = json(&["reconcile", "--table", &short]);
    assert_eq!(answer["explained"], serde_json::json!([0, 1]));
    let right = table(&format!("{model},0.71G,MAC\n"));
    let page = stdout(&["reconcile", "--table", &right, "-f", "markdown"]);
    assert!(page.starts_with("# Reported figures\n"), "{page}");
    assert!(!page.contains("##"), "{page}");
    let nothing = run(&["reconcile", "examples/alexnet.toml", "--reported", "0"]);
    assert_eq!(nothing.status.code(), Some(2));
}

/// A program that was exported at one size is asked about others; torch 2.15.0 counts 207,440 for
/// it at 1×3×20×24.
#[test]
fn programs_of_fixed_shapes_at_other_sizes() {
    let file = "tests/corpus/small/mod__functional.pt2";
    let report = json(&["-c", "torch", file, "--input", "x=1x3x20x24"]);
    assert_eq!(report["total"]["count"], 207_440);
    assert_eq!(report["fidelity"]["level"], "reconstructed");
    let sweep = json(&["sweep", file, "--input-size", "16..64*2"]);
    assert_eq!(sweep["growth"][0]["order"], "Θ(side²)");
    let fixed = "tests/corpus/small/mod__simple_model.pt2";
    let output = run(&[fixed, "--input", "x=1x3x32x32"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("linear in fc (Linear)"), "{text}");
}
