//! Model files of every kind and none: what is read, and what is said of the rest.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

mod program;

use program::{Folder, errors, json, root, run, stdout};

/// Every kind of bad input: one clear message, the place, status 2.
#[test]
fn bad_input_is_one_clear_error() {
    let folder = Folder::new("bad");
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
        (folder.join(""), "a folder"),
    ] {
        let output = run(&[path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected));
    }
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
    let folder = Folder::new("convert");
    let spec = folder.join("resnet18.toml");
    let spec = spec.to_str().unwrap();
    let output = run(&["convert", program, "-o", spec]);
    assert!(output.status.success() && output.stderr.is_empty());
    let count = |model: &str| json(&[model, "--convention", "thop"])["total"].clone();
    assert_eq!(count(program), count(spec));
    let text = std::fs::read_to_string(spec).unwrap();
    assert_eq!(stdout(&["convert", spec]), text);
    assert_eq!(stdout(&["convert", program, "--to", "toml"]), text);
    // The page about specs shows it, of a file with a plain name.
    let named = folder.join("resnet18.pt2");
    std::fs::copy(root().join(program), &named).unwrap();
    let shown = stdout(&["convert", named.to_str().unwrap()]);
    let page = std::fs::read_to_string(root().join("docs/spec.md")).unwrap();
    assert!(page.contains(&format!("```toml\n{shown}```")), "{shown}");
    let output = run(&["convert", program, "-o", "model.onnx"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("only ONNX and its text"), "{errors}");
}

/// Readers go back and forth in a file, which a pipe does not allow.
#[test]
fn models_come_through_pipes() {
    let count = |input: &str, arguments: &[&str]| {
        let input = std::fs::File::open(root().join(input)).unwrap();
        let output = program::command(arguments).stdin(piped(input)).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", errors(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let json = |input, arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&count(input, &[arguments, &["-f", "json"]].concat())).unwrap()
    };
    // What thop 0.1.1 printed.
    for (input, total) in [
        ("examples/alexnet.toml", 714_206_912u64),
        ("tests/corpus/small/tv__resnet18.pt2", 1_824_033_792),
        ("tests/corpus/small/mod__bn2d.leg.onnx", 262_144),
    ] {
        let report = json(input, &["-", "-c", "thop"]);
        assert_eq!(report["total"]["count"], total, "{input}");
        assert_eq!(report["model"]["path"], "-");
        assert!(
            !report["model"]["name"]
                .as_str()
                .unwrap()
                .contains("modelcost-")
        );
    }
    // Run again at other shapes, it is read twice.
    let other = json(
        "tests/corpus/small/tv__resnet18.pt2",
        &["-", "-c", "thop", "-i", "1x3x112x112"],
    );
    assert_eq!(other["fidelity"]["level"], "reconstructed");
    let list = json("tests/checkpoints/module-2.15.pt", &["-"]);
    assert_eq!(list["model"]["totals"]["params"], 365);
    let onnx = "tests/corpus/small/mod__bn2d.leg.onnx";
    assert!(count(onnx, &["shapes", "-"]).contains("float32 [1, 64, 32, 32]"));
    assert!(count(onnx, &["convert", "-"]).contains("ir_version"));
    let verdicts = count(
        "examples/alexnet.toml",
        &["check", "-", "--max-count", "1G"],
    );
    assert!(
        verdicts.starts_with("ok   -: 714,682,664 MACs"),
        "{verdicts}"
    );
    let rows = json("examples/alexnet.toml", &["compare", "-", "-c", "thop"]);
    assert_eq!(rows["rows"][0]["count"], 714_206_912);
}

/// A pipe that a thread writes into.
fn piped(mut from: std::fs::File) -> std::process::Stdio {
    let (end, mut into) = std::io::pipe().unwrap();
    std::thread::spawn(move || std::io::copy(&mut from, &mut into));
    end.into()
}

/// The text has less than the file, and says what.
#[test]
fn converting_to_text_says_what_is_lost() {
    let dynamo = "tests/corpus/small/mod__acts.raw.onnx";
    let output = run(&["convert", dynamo]);
    let said = errors(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("note: the text has no place for"), "{said}");
    let legacy = run(&["convert", "tests/corpus/small/mod__bn2d.leg.onnx"]);
    let said = errors(&legacy);
    assert!(
        said.contains("weights stay in mod__bn2d.leg.onnx"),
        "{said}"
    );
    let input = std::fs::File::open(root().join("tests/corpus/small/mod__bn2d.leg.onnx"));
    let piped = program::command(&["convert", "-"])
        .stdin(piped(input.unwrap()))
        .output()
        .unwrap();
    assert!(errors(&piped).contains("weights are left out"));
    assert!(!String::from_utf8_lossy(&piped.stdout).contains("modelcost-"));
}

/// What is asked of `shapes` is what is asked of the count.
#[test]
fn shapes_of_onnx_take_inputs_and_batches() {
    let onnx = "tests/corpus/small/mod__bn2d.leg.onnx";
    assert!(stdout(&["shapes", onnx, "-b", "2"]).contains("float32 [2, 64, 32, 32]"));
    assert!(stdout(&["shapes", onnx, "-i", "3x64x8x8"]).contains("float32 [3, 64, 8, 8]"));
    for command in [&[] as &[&str], &["shapes"]] {
        let output = run(&[command, &[onnx, "-i", "foo=1x3x64x64"]].concat());
        assert_eq!(output.status.code(), Some(2));
        let text = errors(&output);
        assert!(
            text.contains("no input 'foo'") && text.contains(&format!("--> {onnx}")),
            "{text}"
        );
    }
}
