//! The program as a user runs it, on the repository's examples.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

mod program;

use program::{json, root, run, stdout};
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
    let folder = std::env::temp_dir().join(format!("modelcost-table-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
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
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors.contains("mine.toml:9") && errors.contains("expected a value"),
        "{errors}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn names_are_suggested() {
    let output = run(&["-c", "ptflop", "examples/alexnet.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean ptflops?"));
}

/// Every kind of bad input: one clear message, the place, status 2.
#[test]
fn bad_input_is_one_clear_error() {
    let folder = std::env::temp_dir().join(format!("modelcost-bad-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = "[model]\ninput = [1, 3, 8, 8]\n[layers]\n";
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("empty.toml", Vec::new(), "the file is empty"),
        ("binary.toml", vec![0, 159, 146, 150], "not UTF-8"),
        (
            "noise.xyz",
            b"hello".to_vec(),
            "no model file of a known kind",
        ),
        ("syntax.toml", b"[model\n".to_vec(), "unclosed table"),
        (
            "class.toml",
            format!("{model}c = 'Cnv2d(3, 4, 3)'\n").into(),
            "did you mean 'Conv2d'?",
        ),
        (
            "argument.toml",
            format!("{model}c = 'Conv2d(3, 4, 3, paddng=1)'\n").into(),
            "did you mean 'padding'?",
        ),
        (
            "missing.toml",
            format!("{model}c = 'Conv2d(3, 4)'\n").into(),
            "missing the argument 'kernel_size'",
        ),
        (
            "shape.toml",
            format!("{model}c = 'Conv2d(4, 4, 3)'\n").into(),
            "1×3×8×8",
        ),
        (
            "twice.toml",
            format!("{model}c = 'ReLU()'\nc = 'ReLU()'\n").into(),
            "used twice",
        ),
        (
            "million.toml",
            format!("{model}c = '1000000000 * ReLU()'\n").into(),
            "too many",
        ),
        (
            "cycle.toml",
            format!("{model}c = 'B()'\n[block.B.layers]\nx = 'B()'\n").into(),
            "cycle.toml:6",
        ),
        (
            "overflow.toml",
            b"[model]\ninput = [999999999999, 999999999999, 99999999999]\n[layers]\nr = 'ReLU()'\n"
                .to_vec(),
            "more elements than 64 bits can count",
        ),
        ("truncated.pt2", b"PK\x03\x04".to_vec(), "archive"),
        (
            "truncated.onnx",
            vec![0x08, 0x0a, 0x3a, 0xff, 0xff, 0xff, 0xff, 0x7f],
            "truncated.onnx",
        ),
    ];
    for (name, content, expected) in cases {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        let output = run(&[path.to_str().unwrap()]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}: {errors}");
        assert!(errors.contains(expected), "{name}: {errors}");
        assert!(
            errors.contains(name) && !errors.contains("panicked"),
            "{name}: {errors}"
        );
    }
    for (path, expected) in [
        (folder.join("absent.toml"), "no such file"),
        (folder.clone(), "a folder"),
    ] {
        let output = run(&[path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected));
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_free_batch_stays_a_symbol() {
    let folder = std::env::temp_dir().join(format!("modelcost-free-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
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
    std::fs::remove_dir_all(&folder).unwrap();
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

#[test]
fn check_fails_over_budget() {
    let within = run(&[
        "check",
        "examples/alexnet.toml",
        "-c",
        "thop",
        "--max-count",
        "720M",
    ]);
    assert_eq!(within.status.code(), Some(0));
    let over = run(&[
        "check",
        "examples/alexnet.toml",
        "-c",
        "thop",
        "--max-count",
        "700M",
        "--format",
        "github",
    ]);
    assert_eq!(over.status.code(), Some(1));
    let text = String::from_utf8_lossy(&over.stdout).into_owned();
    assert!(
        text.starts_with("::error file=examples/alexnet.toml"),
        "{text}"
    );
}

/// One settings file says everything: what `check` does not need, editors do.
#[test]
fn check_reads_the_settings_that_editors_read() {
    let folder = std::env::temp_dir().join(format!("modelcost-check-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = folder.join("alexnet.toml");
    std::fs::copy(root().join("examples/alexnet.toml"), &model).unwrap();
    let settings = folder.join("modelcost.toml");
    let all = "convention = \"thop\"\ncode_lens = false\ncompare = [\"thop\"]\n[hints]\nunits = \"g\"\n[dims]\n\
               batch = 1\n[budget]\ncount = \"700M\"\nptflops.count = \"800M\"\n";
    std::fs::write(&settings, all).unwrap();
    let over = run(&["check", model.to_str().unwrap()]);
    assert_eq!(over.status.code(), Some(1));
    let text = String::from_utf8_lossy(&over.stdout).into_owned();
    // AlexNet: 714,206,912 for thop 0.1.1 and 716,441,128 for ptflops 0.7.5.
    assert!(
        text.contains("FAIL") && text.contains("714,206,912"),
        "{text}"
    );
    assert!(text.contains("716,441,128"), "{text}");

    std::fs::write(&settings, "convention = \"thopp\"\n").unwrap();
    let mistaken = run(&["check", model.to_str().unwrap()]);
    assert_eq!(mistaken.status.code(), Some(2));
    let text = String::from_utf8_lossy(&mistaken.stderr).into_owned();
    assert!(
        text.contains("did you mean thop") && text.contains("modelcost.toml"),
        "{text}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

/// A spec's own `[budget]` goes before the project's, and the command line before both.
#[test]
fn check_reads_the_budget_of_a_spec() {
    let folder = std::env::temp_dir().join(format!("modelcost-own-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = folder.join("alexnet.toml");
    let spec = std::fs::read_to_string(root().join("examples/alexnet.toml")).unwrap();
    let budgeted =
        |line: &str| std::fs::write(&model, format!("{spec}\n[budget]\n{line}\n")).unwrap();
    let check = |more: &[&str]| run(&[&["check", model.to_str().unwrap()], more].concat());
    let project = "convention = \"thop\"\n[budget]\ncount = \"1M\"\n";
    std::fs::write(folder.join("modelcost.toml"), project).unwrap();

    budgeted("count = \"720M\"");
    assert_eq!(check(&[]).status.code(), Some(0));
    assert_eq!(check(&["--max-count", "700M"]).status.code(), Some(1));
    budgeted("count = \"700M\"");
    assert_eq!(check(&[]).status.code(), Some(1));

    for (line, message) in [
        ("counts = \"700M\"", "'counts' is not a budget"),
        ("count = \"700Q\"", "700Q"),
    ] {
        budgeted(line);
        let mistaken = check(&[]);
        assert_eq!(mistaken.status.code(), Some(2), "{line}");
        let text = String::from_utf8_lossy(&mistaken.stderr).into_owned();
        assert!(
            text.contains(message) && text.contains("alexnet.toml:"),
            "{text}"
        );
    }
    std::fs::remove_dir_all(folder).unwrap();
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

/// What torch 2.15 counts of the same model is in tests/checkpoints/expected-2.15.json.
#[test]
fn a_checkpoint_lists_its_parameters() {
    let file = "tests/checkpoints/module-2.15.pt";
    let tree = stdout(&[file]);
    for text in [
        "├─ bn BatchNorm2d          8    2.192%        9     72 B  float32  weight 4, bias 4\n",
        "└─ head Linear                                            float32  weight = embed.weight\n",
        "Parameters     365\nTrainable      345\n",
        "Normalisation  8 running statistics of 1 layer, 1 counter\n",
    ] {
        assert!(tree.contains(text), "{text}\n{tree}");
    }
    let report = json(&[file]);
    assert_eq!(report["schema"], "modelcost-checkpoint/1");
    assert_eq!(report["model"]["totals"]["params"], 365);
    assert_eq!(report["model"]["totals"]["trainable_params"], 345);
    assert_eq!(report["model"]["class"], "mynet.models.Net");
    let tensors = report["model"]["tensors"].as_array().unwrap();
    let head = tensors
        .iter()
        .find(|tensor| tensor["name"] == "head.weight")
        .unwrap();
    assert_eq!(head["tied_to"], "embed.weight");
    assert_eq!(head["shape"], serde_json::json!([6, 4]));
    let csv = stdout(&[file, "-f", "csv"]);
    assert!(
        csv.contains("conv.weight,parameter,4x3x3x3,float32,108,432,\n"),
        "{csv}"
    );
    let shallow = stdout(&[file, "--depth", "1", "--verbose"]);
    assert!(!shallow.contains("10 Linear"), "{shallow}");
    assert!(
        shallow.contains("running_mean  4  float32  16 B  norm statistic"),
        "{shallow}"
    );
    // What lists parameters only does so for a checkpoint too.
    assert_eq!(stdout(&[file, "-c", "pytorch_model_summary"]), tree);
}

#[test]
fn a_checkpoint_cannot_be_counted() {
    let file = "tests/checkpoints/net.safetensors";
    for arguments in [
        &["-c", "ptflops", file] as &[_],
        &[file, "--batch", "2"],
        &["compare", file],
        &["memory", file],
        &["check", file, "--max-count", "1M"],
        &["reconcile", file, "--reported", "1G"],
    ] {
        let output = run(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            text.contains("holds parameters but no graph"),
            "{arguments:?}: {text}"
        );
        assert!(
            text.contains("torch.export.save(torch.export.export("),
            "{arguments:?}: {text}"
        );
    }
    assert!(stdout(&["check", file, "--max-params", "365"]).contains("within"));
    assert_eq!(
        run(&["check", file, "--max-params", "364"]).status.code(),
        Some(1)
    );
    let script = run(&["tests/checkpoints/torchscript-2.15.pt"]);
    let text = String::from_utf8_lossy(&script.stderr);
    assert_eq!(script.status.code(), Some(2));
    assert!(
        text.contains("TorchScript archive (torch.jit.save)"),
        "{text}"
    );
}

#[test]
fn convert_writes_a_spec_that_gives_the_same_numbers() {
    let program = "tests/corpus/small/tv__resnet18.pt2";
    let folder = std::env::temp_dir().join(format!("modelcost-convert-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let spec = folder.join("resnet18.toml");
    let spec = spec.to_str().unwrap();
    let output = run(&["convert", program, "-o", spec]);
    assert!(output.status.success() && output.stderr.is_empty());
    let count = |model: &str| json(&[model, "--convention", "thop"])["total"].clone();
    assert_eq!(count(program), count(spec));
    let text = std::fs::read_to_string(spec).unwrap();
    assert_eq!(stdout(&["convert", spec]), text);
    assert_eq!(stdout(&["convert", program, "--to", "toml"]), text);
    let output = run(&["convert", program, "-o", "model.onnx"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("only ONNX and its text"), "{errors}");
    std::fs::remove_dir_all(&folder).unwrap();
}
