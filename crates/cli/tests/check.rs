//! Budgets and baselines, as CI runs them.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

mod program;

use program::{Folder, errors, root, run, stdout};

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
    let folder = Folder::new("check");
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
    let text = errors(&mistaken);
    assert!(
        text.contains("did you mean thop") && text.contains("modelcost.toml"),
        "{text}"
    );
    std::fs::write(&settings, "[budget]\ncount = \"many\"\n").unwrap();
    let text = errors(&run(&["check", model.to_str().unwrap()]));
    assert!(text.contains("modelcost.toml:2:10"), "{text}");
}

/// A spec's own `[budget]` goes before the project's, and the command line before both.
#[test]
fn check_reads_the_budget_of_a_spec() {
    let folder = Folder::new("own");
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
}

/// torchinfo 1.8.0 prints 714.68 M for AlexNet; one with wider layers has 18,106,544 more.
#[test]
fn a_baseline_shows_which_layers_changed() {
    let folder = Folder::new("baseline");
    let alexnet = std::fs::read_to_string(root().join("examples/alexnet.toml")).unwrap();
    let old = folder.write("old.toml", &alexnet);
    let wider = alexnet
        .replace("192", "200")
        .replace("4096, 1000", "4096, 2000");
    let new = folder.write("new.toml", &wider);
    let printed = stdout(&["-c", "torchinfo", &old, "--format", "json"]);
    let baseline = folder.write("old.json", &printed);

    let same = run(&["check", &old, "--baseline", &baseline]);
    assert_eq!(same.status.code(), Some(0));
    let more = run(&["check", &new, "--baseline", &baseline]);
    assert_eq!(more.status.code(), Some(1));
    let text = String::from_utf8(more.stdout).unwrap();
    assert!(text.contains("18,106,544 more than before"), "{text}");
    assert!(
        text.contains("features.3: 224,088,768 → 233,425,800"),
        "{text}"
    );
    let github = run(&["check", &new, "--baseline", &baseline, "-f", "github"]);
    let text = String::from_utf8(github.stdout).unwrap();
    assert!(text.contains("%0Afeatures.3: "), "{text}");
    let larger = run(&["check", &old, "--baseline", &baseline, "--batch", "2"]);
    let text = String::from_utf8(larger.stdout).unwrap();
    assert!(text.contains("(then at input 1×3×224×224)"), "{text}");

    // What does not compare is refused.
    let unlike = run(&["check", &new, "--baseline", &baseline, "-c", "thop"]);
    assert_eq!(unlike.status.code(), Some(2));
    let text = String::from_utf8(unlike.stderr).unwrap();
    assert!(text.contains("was counted under torchinfo@1.8.0"), "{text}");
    let both = run(&["check", &old, &new, "--baseline", &baseline]);
    assert_eq!(both.status.code(), Some(2));
    let symbolic = folder.write("s.json", printed.replace("714682664", "\"12*batch\""));
    let unbound = run(&["check", &old, "--baseline", &symbolic]);
    let text = String::from_utf8(unbound.stderr).unwrap();
    assert!(
        text.contains("12*batch") && text.contains("--dim"),
        "{text}"
    );
}

/// Shells that expand no patterns pass them on, and redirect as UTF-16 (PowerShell 5).
#[test]
fn other_shells_work_too() {
    let folder = Folder::new("shells");
    let alexnet = std::fs::read_to_string(root().join("examples/alexnet.toml")).unwrap();
    for name in ["a.toml", "b.toml"] {
        folder.write(name, &alexnet);
    }
    let pattern = folder.join("*.toml");
    let pattern = pattern.to_str().unwrap();
    let text = stdout(&["check", pattern, "--max-count", "1G"]);
    assert_eq!(text.matches("ok   ").count(), 2, "{text}");
    let none = run(&[
        "check",
        &pattern.replace("toml", "onnx"),
        "--max-count",
        "1G",
    ]);
    assert_eq!(none.status.code(), Some(2));
    assert!(errors(&none).contains("no file fits the pattern"));

    let model = folder.join("a.toml");
    let model = model.to_str().unwrap();
    let printed = stdout(&["-c", "thop", model, "--format", "json"]);
    let utf16 = [0xfeff].into_iter().chain(printed.encode_utf16());
    let baseline = folder.write(
        "b.json",
        utf16.flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
    );
    let text = stdout(&["check", model, "--baseline", &baseline]);
    assert!(text.contains("as many as before"), "{text}");
}
