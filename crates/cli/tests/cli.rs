//! The program as a user runs it, on the repository's examples.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

mod program;

use program::{Folder, errors, json, root, run, stdout};
use serde_json::Value;

/// What the tools printed for torchvision's AlexNet at 1×3×224×224 (torchinfo 1.8.0, thop
/// 0.1.1.post2209072238 and 0.0.31.post2005241907, ptflops 0.7.5 and 0.6.9, fvcore
/// 0.1.5.post20221221, torch 2.15.0).
#[test]
fn alexnet_under_eight_conventions() {
    for (convention, count) in [
        ("torchinfo@1.8.0", 714_682_664),
        ("thop@0.1.1", 714_206_912),
        ("thop@0.0.31", 714_691_904),
        ("ptflops@0.7.5", 716_441_128),
        ("ptflops@0.7.5/aten", 714_682_664),
        ("ptflops@0.6.9", 715_561_896u64),
        ("fvcore", 714_197_696),
        ("torch", 1_428_376_960),
    ] {
        let report = json(&["--convention", convention, "examples/alexnet.toml"]);
        assert_eq!(report["total"]["count"], count, "{convention}");
        assert_eq!(report["fidelity"]["level"], "exact", "{convention}");
        if !report["total"]["params"].is_null() {
            assert_eq!(report["total"]["params"], 61_100_840, "{convention}");
        }
    }
}

/// thop 0.0.31 on AlexNet with other inputs.
#[test]
fn inputs_can_be_changed() {
    let report = json(&[
        "-c",
        "thop@0.0.31",
        "examples/alexnet.toml",
        "--input",
        "1x3x512x512",
    ]);
    assert_eq!(report["total"]["count"], 3_710_034_752u64);
    let report = json(&["-c", "thop@0.0.31", "examples/alexnet.toml", "--batch", "8"]);
    assert_eq!(report["total"]["count"], 5_717_535_232u64);
}

/// ptflops 0.6.9 prints 9.848 % for the first convolution and 0.027 % for its ReLU.
#[test]
fn layers_carry_counts_and_shapes() {
    let report = json(&["-c", "ptflops@0.6.9", "examples/alexnet.toml"]);
    let layers = report["layers"].as_array().unwrap();
    let layer = |path: &str| layers.iter().find(|layer| layer["path"] == path).unwrap();
    assert_eq!(
        *layer("features.0"),
        serde_json::json!({
            "path": "features.0", "class": "Conv2d", "calls": 1, "count": 70_470_400, "params": 23_296,
            "output_shape": [1, 64, 55, 55],
        })
    );
    assert_eq!(layer("features.1")["count"], 193_600);
    let tree = stdout(&["-c", "ptflops@0.6.9", "examples/alexnet.toml"]);
    assert!(tree.contains("9.848%") && tree.contains("0.027%"), "{tree}");
}

#[test]
fn the_json_has_the_documented_shape() {
    let report = json(&["-c", "ptflops", "examples/alexnet.toml"]);
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(report["schema"], "modelcost/1");
    assert_eq!(
        keys(&report)
            .into_iter()
            .filter(|key| key != "extras")
            .collect::<Vec<_>>(),
        [
            "schema",
            "model",
            "convention",
            "total",
            "fidelity",
            "layers"
        ]
    );
    assert_eq!(keys(&report["model"]), ["path", "format", "name", "inputs"]);
    assert_eq!(
        report["convention"],
        serde_json::json!({ "id": "ptflops", "version": "0.7.5", "variant": "pytorch", "unit": "MAC" })
    );
    assert_eq!(
        keys(&report["total"]),
        ["count", "params", "trainable_params"]
    );
    assert_eq!(
        report["model"]["inputs"][0]["shape"],
        serde_json::json!([1, 3, 224, 224])
    );
}

#[test]
fn other_formats_agree_with_the_json() {
    let csv = stdout(&["-c", "thop", "examples/alexnet.toml", "-f", "csv"]);
    assert!(
        csv.contains("features.0,Conv2d,1,70276800,23296,1x64x55x55\n"),
        "{csv}"
    );
    let markdown = stdout(&[
        "-c",
        "thop",
        "examples/alexnet.toml",
        "-f",
        "markdown",
        "--sort",
        "count",
    ]);
    assert!(markdown.starts_with("| Layer | Class |"), "{markdown}");
    let table = stdout(&[
        "-c",
        "thop",
        "examples/alexnet.toml",
        "-f",
        "table",
        "--depth",
        "1",
    ]);
    assert!(
        table.contains("classifier") && !table.contains("classifier.1"),
        "{table}"
    );
}

#[test]
fn verbose_shows_the_formula_its_numbers_and_its_source() {
    let text = stdout(&["-c", "thop", "examples/alexnet.toml", "--verbose"]);
    assert!(text.contains("193600 * (3 // 1) * 121"), "{text}");
    assert!(text.contains("calculate_conv2d_flops"), "{text}");
}

#[test]
fn a_users_table_needs_no_compiling() {
    let folder = Folder::new("table");
    let table = folder.join("mine.toml");
    let rules = "[convention]\nid = 'mine'\nversion = '1'\nunit = 'MAC'\nsummary = 's'\nsource = 's'\n\
                 [[rule]]\nmodules = ['Linear']\ncount = 'in_features * out_features'\n";
    std::fs::write(&table, rules).unwrap();
    let report = json(&["-c", table.to_str().unwrap(), "examples/alexnet.toml"]);
    assert_eq!(
        report["total"]["count"],
        9216 * 4096 + 4096 * 4096 + 4096 * 1000
    );
    std::fs::write(&table, rules.replace("in_features *", "in_features **")).unwrap();
    let output = run(&["-c", table.to_str().unwrap(), "examples/alexnet.toml"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "a formula that overflows is a note, not a crash"
    );
    std::fs::write(
        &table,
        rules.replace("in_features * out", "in_features * * out"),
    )
    .unwrap();
    let output = run(&["-c", table.to_str().unwrap(), "examples/alexnet.toml"]);
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors.contains("mine.toml:9") && errors.contains("expected a value"),
        "{errors}"
    );
}

#[test]
fn names_are_suggested() {
    let output = run(&["-c", "ptflop", "examples/alexnet.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("did you mean ptflops?"));
}

#[test]
fn a_free_batch_stays_a_symbol() {
    let folder = Folder::new("free");
    let path = folder.join("net.toml");
    std::fs::write(
        &path,
        "[model]\ninput = ['batch', 10]\n[layers]\nfc = 'Linear(10, 4, bias=False)'\n",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(json(&["-c", "thop", path])["total"]["count"], "40*batch");
    assert_eq!(
        json(&["-c", "thop", path, "--dim", "batch=8"])["total"]["count"],
        320
    );
}

#[test]
fn compare_has_a_row_for_every_convention() {
    let rows = json(&["compare", "examples/alexnet.toml"]);
    let rows = rows["rows"].as_array().unwrap();
    assert!(rows.len() >= 19, "{}", rows.len());
    assert!(
        rows.iter()
            .all(|row| !row["why"].as_str().unwrap().is_empty())
    );
    let text = stdout(&[
        "compare",
        "examples/alexnet.toml",
        "--columns",
        "convention,count",
    ]);
    assert!(text.contains("714,206,912"), "{text}");
}

#[test]
fn the_bridge_from_thop_to_ptflops_names_its_causes() {
    let bridge = json(&[
        "explain",
        "examples/alexnet.toml",
        "--from",
        "thop",
        "--to",
        "ptflops",
    ]);
    let deltas: i64 = bridge["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["delta"].as_i64().unwrap())
        .sum();
    assert_eq!(deltas, 716_441_128 - 714_206_912);
    let titles: Vec<&str> = bridge["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["title"].as_str().unwrap())
        .collect();
    assert!(
        titles
            .iter()
            .any(|title| title.starts_with("bias of convolutions")),
        "{titles:?}"
    );
    assert!(
        titles.iter().any(|title| title.starts_with("activations")),
        "{titles:?}"
    );
}

/// The reference is generated; `modelcost conventions --format markdown > docs/conventions.md` renews it.
#[test]
fn the_reference_of_conventions_is_current() {
    let written = std::fs::read_to_string(root().join("docs/conventions.md")).unwrap();
    let current = stdout(&["conventions", "--format", "markdown"]);
    assert!(
        written == current,
        "docs/conventions.md is not what `modelcost conventions --format markdown` prints"
    );
}

#[test]
fn completions_and_the_manual_are_written() {
    assert!(stdout(&["completions", "bash"]).contains("modelcost"));
    assert!(stdout(&["man"]).contains(".TH modelcost"));
}

#[test]
fn the_readme_shows_real_output_and_a_real_spec() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let output = stdout(&["--convention", "ptflops", "examples/alexnet.toml"]);
    assert!(
        readme.contains(output.trim_end()),
        "README.md does not show this:\n{output}"
    );
    let spec = std::fs::read_to_string(root().join("examples/resnet50.toml")).unwrap();
    assert!(
        readme.contains(spec.trim_end()),
        "README.md does not show examples/resnet50.toml as it is"
    );
}

/// A misspelt command looks like a model to the parser of arguments.
#[test]
fn commands_are_suggested() {
    let model = "examples/alexnet.toml";
    for (arguments, expected) in [
        (&["comparee", model] as &[_], "did you mean 'compare'?"),
        (&["comparee"], "did you mean 'compare'?"),
        (&[model, model], "`modelcost compare` takes several"),
        (
            &["-c", "thop", "shapes", model],
            "the command comes first: modelcost shapes",
        ),
        (&["man", "comparee"], "there are compare, "),
        (&["memory", model, "--dtype", "int8"], "--chip <CHIP>"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let errors = errors(&output);
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let page = stdout(&["man"]);
    let commands = page.lines().filter_map(|line| {
        let name = line.strip_prefix("modelcost\\-")?;
        name.strip_suffix("(1)")
    });
    let commands: Vec<&str> = commands.collect();
    assert!(commands.contains(&"compare"), "{page}");
    for command in commands.into_iter().filter(|name| *name != "help") {
        let page = stdout(&["man", command]);
        let title = format!(".TH modelcost-{command} 1");
        assert!(page.contains(&title), "{command}: {page}");
    }
}

/// Wide characters take two columns of a terminal, so a column after them stands further left in
/// the text.
#[test]
fn columns_are_straight_under_wide_names() {
    let folder = Folder::new("wide");
    let spec = "[model]\nname = '模型'\ninput = [1, 3, 8, 8]\n[layers]\n\
                '卷积' = 'Conv2d(3, 8, 3)'\nrelu = 'ReLU()'\n";
    let model = folder.write("net.toml", spec);
    let tree = stdout(&["-c", "thop", &model]);
    for line in [
        "模型            1×8×6×6",
        "├─ 卷积 Conv2d  1×8×6×6",
        "└─ relu ReLU    1×8×6×6",
    ] {
        assert!(tree.contains(line), "{tree}");
    }
    let shapes = stdout(&["shapes", &model]);
    assert!(
        shapes.contains("\n  卷积                   float32"),
        "{shapes}"
    );
}

/// `modelcost check … > /dev/full`: a verdict that nobody gets is no success and no panic.
#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    for arguments in [
        &["examples/alexnet.toml"] as &[_],
        &["check", "examples/alexnet.toml", "--max-count", "1"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = program::command(arguments)
            .stdout(full.unwrap())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let errors = errors(&output);
        assert!(errors.contains("cannot write the answer"), "{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
}

/// A program that is run again at another shape is one whose answers are reconstructed.
#[test]
fn every_command_says_how_far_it_can_be_trusted() {
    let file = "tests/corpus/small/tv__resnet18.pt2";
    let read = |arguments: &[&str]| {
        let sized = ["--input", "x=1x3x64x64"];
        json(&[arguments, &[file], &sized].concat())
    };
    let swept = json(&["sweep", file, "--input-size", "64..96+32"]);
    assert_eq!(swept["fidelity"]["level"], "reconstructed");
    let bridge = read(&["explain", "--from", "thop", "--to", "torch"]);
    for side in ["from_fidelity", "to_fidelity"] {
        assert_eq!(bridge[side]["level"], "reconstructed", "{side}");
    }
    let readings = read(&["reconcile", "--reported", "148M"]);
    assert_eq!(readings["readings"][0]["fidelity"], "reconstructed");
    assert_eq!(read(&["memory"])["fidelity"]["level"], "reconstructed");
    let verdict = read(&["check", "--max-count", "1G"]);
    assert_eq!(verdict["checks"][0]["fidelity"], "reconstructed");

    let said = |arguments: &[&str]| stdout(&[arguments, &[file, "-i", "x=1x3x64x64"]].concat());
    for arguments in [
        &["explain", "--from", "thop", "--to", "torch"] as &[_],
        &["memory"],
    ] {
        let text = said(arguments);
        assert!(
            text.contains("Fidelity  reconstructed\n  · the program was run again"),
            "{text}"
        );
    }
    assert!(said(&["check", "--max-count", "1G"]).contains("(reconstructed), within"));
    let text = said(&["reconcile", "--reported", "148M"]);
    assert!(
        text.contains("MACs  ~  ") && text.contains("was put back"),
        "{text}"
    );
    // Nothing is said where there is nothing to say.
    let exact = stdout(&["memory", "examples/alexnet.toml"]);
    assert!(!exact.contains("Fidelity"), "{exact}");
}
