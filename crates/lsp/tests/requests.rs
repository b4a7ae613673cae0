//! Every request, over stdio, on fixtures: what an editor is given.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, cursor, find};
use serde_json::{Value, json};

const URI: &str = "file:///models/resnet50.toml";
const RESNET: &str = include_str!("fixtures/resnet50.toml");

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn opened(text: &str) -> Client {
    let mut client = Client::start();
    client.open(URI, text);
    client
}

#[test]
fn capabilities() {
    let mut client = Client::silent();
    let result = client.request("initialize", json!({ "capabilities": {} }));
    insta::assert_snapshot!(pretty(&result["capabilities"]));
    for (offered, chosen) in [
        (json!(["utf-16", "utf-8"]), "utf-8"),
        (json!(["utf-32", "utf-16"]), "utf-16"),
        (json!(["utf-32"]), "utf-32"),
    ] {
        let mut client = Client::silent();
        let capabilities = json!({ "general": { "positionEncodings": offered } });
        let result = client.request("initialize", json!({ "capabilities": capabilities }));
        assert_eq!(result["capabilities"]["positionEncoding"], chosen);
    }
}

#[test]
fn hints() {
    let mut client = opened(RESNET);
    insta::assert_snapshot!(client.hints(URI).join("\n"));
}

#[test]
fn hints_of_the_visible_lines_only() {
    let mut client = opened(RESNET);
    let range =
        json!({ "start": { "line": 6, "character": 0 }, "end": { "line": 7, "character": 99 } });
    let hints = client.request(
        "textDocument/inlayHint",
        json!({ "textDocument": { "uri": URI }, "range": range }),
    );
    let lines: Vec<_> = hints
        .as_array()
        .unwrap()
        .iter()
        .map(|hint| hint["position"]["line"].clone())
        .collect();
    assert_eq!(lines, [6, 7]);
}

#[test]
fn a_hint_explains_itself() {
    let mut client = opened(RESNET);
    let range =
        json!({ "start": { "line": 6, "character": 0 }, "end": { "line": 6, "character": 99 } });
    let hints = client.request(
        "textDocument/inlayHint",
        json!({ "textDocument": { "uri": URI }, "range": range }),
    );
    let resolved = client.request("inlayHint/resolve", hints[0].clone());
    insta::assert_snapshot!(resolved["tooltip"]["value"].as_str().unwrap());
}

#[test]
fn hovers() {
    let mut client = opened(RESNET);
    let mut out = String::new();
    for needle in [
        "name  = \"res|net50",
        "con|v1   =",
        "Con|v2d(3, 64",
        "str|ide=2, padding",
        "64, |7, stride",
        "[block.Bottle|neck]",
        "relu(b|n2)",
        "fc|      =",
        "width, 1|, bias=False)\"   ",
    ] {
        let (line, character) = find(RESNET, needle);
        let hover = client.at("textDocument/hover", URI, line, character);
        out.push_str(&format!(
            "---- {needle}\n{}\n",
            hover["contents"]["value"].as_str().unwrap_or("nothing")
        ));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn diagnostics_and_their_mends() {
    let text = RESNET
        .replace("BatchNorm2d(64)", "BatchNrom2d(64)")
        .replace("Linear(2048, 1000)", "Linear(1024, 1000)");
    let mut client = opened(&text);
    let diagnostics = client.diagnostics(URI, 1);
    insta::assert_snapshot!("unknown_class", pretty(&diagnostics));

    let (line, character) = find(&text, "Batch|Nrom2d");
    let range = json!({ "start": { "line": line, "character": character }, "end": { "line": line, "character": character } });
    let actions = client.request(
        "textDocument/codeAction",
        json!({ "textDocument": { "uri": URI }, "range": range, "context": { "diagnostics": diagnostics } }),
    );
    insta::assert_snapshot!("unknown_class_fix", pretty(&actions));

    let text = RESNET.replace("Linear(2048, 1000)", "Linear(1024, 1000)");
    let mut client = opened(&text);
    let diagnostics = client.diagnostics(URI, 1);
    insta::assert_snapshot!("mismatch", pretty(&diagnostics));
    let (line, character) = find(&text, "Linear(10|24");
    let range = json!({ "start": { "line": line, "character": character }, "end": { "line": line, "character": character } });
    let actions = client.request(
        "textDocument/codeAction",
        json!({ "textDocument": { "uri": URI }, "range": range, "context": { "diagnostics": diagnostics } }),
    );
    insta::assert_snapshot!("mismatch_fix", pretty(&actions));
}

#[test]
fn completions() {
    let mut out = String::new();
    for (replace, with, wanted) in [
        ("\"ReLU()\"", "\"RéLU|\"", 3),
        ("\"ReLU()\"", "\"Conv2d(|)\"", 12),
        ("\"ReLU()\"", "\"Conv2d(64, 64, 3, padding=|)\"", 6),
        ("\"ReLU()\"", "\"F.re|\"", 3),
        ("[layers]", "[|]", 9),
        ("input = [", "|\ninput = [", 9),
        ("# A residual", "# modelcost: convention = \"|\" #", 12),
    ] {
        let text = RESNET.replacen(replace, with, 1);
        let (text, line, character) = cursor(&text);
        let mut client = opened(&text);
        let items = client.at("textDocument/completion", URI, line, character);
        let items = items.as_array().cloned().unwrap_or_default();
        let mut shown: Vec<_> = items
            .iter()
            .map(|item| (item["sortText"].as_str().unwrap_or("").to_string(), item))
            .collect();
        shown.sort_by(|a, b| a.0.cmp(&b.0));
        out.push_str(&format!("---- {with}\n"));
        for (_, item) in shown.iter().take(wanted) {
            let (label, detail) = (
                item["label"].as_str().unwrap(),
                item["detail"].as_str().unwrap_or(""),
            );
            out.push_str(&format!(
                "{label:24} {detail:50} -> {}\n",
                item["textEdit"]["newText"].as_str().unwrap()
            ));
        }
        if let Some((_, first)) = shown.first() {
            let resolved = client.request("completionItem/resolve", (*first).clone());
            let docs = resolved["documentation"]["value"]
                .as_str()
                .unwrap_or("(no documentation)");
            out.push_str(&format!("{docs}\n"));
        }
    }
    insta::assert_snapshot!(out);
}

#[test]
fn signature_help() {
    let text = RESNET.replacen("\"ReLU()\"", "\"Conv2d(64, 64, |)\"", 1);
    let (text, line, character) = cursor(&text);
    let mut client = opened(&text);
    let help = client.at("textDocument/signatureHelp", URI, line, character);
    insta::assert_snapshot!(pretty(&help));
}

#[test]
fn names() {
    let mut client = opened(RESNET);
    let (line, character) = find(RESNET, "relu2 = \"re|lu(bn2)");
    let definition = client.at("textDocument/definition", URI, line, character);
    insta::assert_snapshot!("definition", pretty(&definition));
    let references = client.request(
        "textDocument/references",
        json!({ "textDocument": { "uri": URI }, "position": { "line": line, "character": character }, "context": { "includeDeclaration": true } }),
    );
    insta::assert_snapshot!("references", pretty(&references));
    let highlights = client.at("textDocument/documentHighlight", URI, line, character);
    assert_eq!(highlights.as_array().unwrap().len(), 3);
    let prepared = client.at("textDocument/prepareRename", URI, line, character);
    assert_eq!(prepared["start"]["line"], line);
    let rename = |client: &mut Client, name: &str| {
        let id = client.begin(
            "textDocument/rename",
            json!({ "textDocument": { "uri": URI }, "position": { "line": line, "character": character }, "newName": name }),
        );
        client.response(id)
    };
    let renamed = rename(&mut client, "activation");
    insta::assert_snapshot!("rename", pretty(&renamed["result"]));
    assert_eq!(
        rename(&mut client, "conv2")["error"]["message"],
        "the name 'conv2' is taken"
    );
    let message = rename(&mut client, "2x")["error"]["message"].clone();
    assert_eq!(
        message,
        "'2x' is not a name: use letters, digits and '_', not starting with a digit"
    );
}

#[test]
fn structure() {
    let mut client = opened(RESNET);
    let symbols = client.request(
        "textDocument/documentSymbol",
        json!({ "textDocument": { "uri": URI } }),
    );
    fn lines(symbols: &Value, depth: usize, out: &mut String) {
        for symbol in symbols.as_array().into_iter().flatten() {
            let range = &symbol["range"];
            out.push_str(&format!(
                "{:depth$}{} {} [{}..{}]\n",
                "",
                symbol["name"].as_str().unwrap(),
                symbol["detail"].as_str().unwrap_or(""),
                range["start"]["line"],
                range["end"]["line"],
            ));
            lines(&symbol["children"], depth + 2, out);
        }
    }
    let mut out = String::new();
    lines(&symbols, 0, &mut out);
    insta::assert_snapshot!("symbols", out);
    let folds = client.request(
        "textDocument/foldingRange",
        json!({ "textDocument": { "uri": URI } }),
    );
    let folds: Vec<_> = folds
        .as_array()
        .unwrap()
        .iter()
        .map(|f| format!("{}..{}", f["startLine"], f["endLine"]))
        .collect();
    insta::assert_snapshot!("folds", folds.join("\n"));
    let lenses = client.request(
        "textDocument/codeLens",
        json!({ "textDocument": { "uri": URI } }),
    );
    insta::assert_snapshot!("lenses", pretty(&lenses));
}

#[test]
fn what_is_inferred_can_be_written_down() {
    let text = "[model]\nname = \"m\"\ninput = [1, 3, 8, 8]\n[layers]\nconv = \"LazyConv2d(4, 3)\"\nhead = \"Conv2d(out_channels=2, kernel_size=1)\"\n";
    let mut client = opened(text);
    let mut edits = Vec::new();
    for line in [4, 5] {
        let range = json!({ "start": { "line": line, "character": 10 }, "end": { "line": line, "character": 10 } });
        let actions = client.request(
            "textDocument/codeAction",
            json!({ "textDocument": { "uri": URI }, "range": range, "context": { "diagnostics": [] } }),
        );
        let action = &actions[0];
        edits.push(format!(
            "{}: {}",
            action["title"], action["edit"]["changes"][URI]
        ));
    }
    insta::assert_snapshot!(edits.join("\n"));
}

#[test]
fn conventions_are_switched_at_once() {
    let capabilities = json!({ "workspace": { "inlayHint": { "refreshSupport": true }, "codeLens": { "refreshSupport": true } } });
    let mut client = Client::with(
        capabilities,
        json!({ "settings": { "convention": "thop" }, "showsResults": true, "status": true }),
    );
    client.open(URI, RESNET);
    let total = |client: &mut Client| client.hints(URI)[0].clone();
    assert!(
        total(&mut client).ends_with("thop@0.1.1"),
        "{}",
        total(&mut client)
    );
    let status = client.wait_for("modelcost/status");
    assert_eq!(
        (&status["convention"], &status["chosenBy"]),
        (&json!("thop@0.1.1"), &json!("settings"))
    );

    // By a command.
    let command = |name: &str, arguments: Value| json!({ "command": name, "arguments": arguments });
    client.request(
        "workspace/executeCommand",
        command("modelcost.setConvention", json!(["ptflops@0.6.9"])),
    );
    client.wait_for("workspace/inlayHint/refresh");
    client.wait_for("workspace/codeLens/refresh");
    assert!(total(&mut client).ends_with("ptflops@0.6.9"));
    let id = client.begin(
        "workspace/executeCommand",
        command("modelcost.setConvention", json!(["ptflopz"])),
    );
    assert_eq!(
        client.response(id)["error"]["message"],
        "there is no convention 'ptflopz'; did you mean ptflops?"
    );
    client.request(
        "workspace/executeCommand",
        command("modelcost.setConvention", json!([])),
    );

    // By the editor's settings.
    client.notify("workspace/didChangeConfiguration", json!({ "settings": { "modelcost": { "convention": "torch", "hints": { "units": "raw" } } } }));
    client.wait_for("workspace/inlayHint/refresh");
    assert!(
        total(&mut client).ends_with("torch@2.15.0"),
        "{}",
        total(&mut client)
    );

    // By a comment in the file, which is stronger than all of them.
    let zero =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 0 } });
    client.change(URI, 2, zero, "# modelcost: convention = \"hook\"\n");
    assert!(
        client.hints(URI)[0].contains("hook"),
        "{}",
        client.hints(URI)[0]
    );
}

#[test]
fn a_settings_file_in_the_workspace() {
    let folder = std::env::temp_dir().join(format!("modelcost-lsp-{}", std::process::id()));
    let nested = folder.join("models");
    std::fs::create_dir_all(&nested).unwrap();
    let config = folder.join("modelcost.toml");
    std::fs::write(&config, "convention = \"thop\"\n[budget]\ncount = \"1G\"\n").unwrap();
    let uri = format!("file://{}", nested.join("net.toml").display());
    let config_uri = format!("file://{}", config.display());
    let mut client = Client::start();
    client.open(&uri, RESNET);
    assert!(client.hints(&uri)[0].ends_with("thop@0.1.1"));
    let diagnostics = client.diagnostics(&uri, 1);
    assert!(
        diagnostics[0]["message"]
            .as_str()
            .unwrap()
            .starts_with("over budget: 4.1 GMac under thop@0.1.1"),
        "{diagnostics}"
    );
    assert_eq!(diagnostics[0]["severity"], 2);

    // It changes on disk.
    std::fs::write(&config, "convention = \"ptflops\"\n").unwrap();
    client.notify(
        "workspace/didChangeWatchedFiles",
        json!({ "changes": [{ "uri": config_uri, "type": 2 }] }),
    );
    assert!(client.hints(&uri)[0].contains("ptflops@"));
    assert_eq!(client.diagnostics(&uri, 1), json!([]));

    // While it is open in the editor, that text counts, with what is wrong in it.
    client.open(&config_uri, "convention = \"thopp\"\n");
    let diagnostics = client.diagnostics(&config_uri, 1);
    assert_eq!(
        diagnostics[0]["message"],
        "there is no convention 'thopp'; did you mean thop?"
    );
    client.close(&config_uri);
    assert!(client.hints(&uri)[0].contains("ptflops@"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn commands() {
    let mut client = Client::with(json!({}), json!({ "showsResults": true }));
    client.open(URI, RESNET);
    let run = |client: &mut Client, name: &str, arguments: Value| {
        client.request(
            "workspace/executeCommand",
            json!({ "command": name, "arguments": arguments }),
        )
    };
    let compare = run(&mut client, "modelcost.compare", json!([URI]));
    assert!(
        compare
            .as_str()
            .unwrap()
            .contains("| thop@0.1.1 | 4,133,742,592 |"),
        "{compare}"
    );
    let report = run(&mut client, "modelcost.report", json!([URI]));
    assert!(report.as_str().unwrap().contains("25,557,032"), "{report}");
    let reconciled = run(&mut client, "modelcost.reconcile", json!([URI, "4.13G"]));
    assert!(
        reconciled.as_str().unwrap().contains("thop@0.1.1"),
        "{reconciled}"
    );
    let all = run(&mut client, "modelcost.conventions", json!([]));
    assert!(all.as_array().unwrap().len() > 10);
    let status = run(&mut client, "modelcost.status", json!([URI]));
    assert_eq!(status["paramsExact"], "25,557,032");
}

#[test]
fn other_files_get_nothing() {
    let mut client = Client::start();
    for (uri, text) in [
        (
            "file:///a/Cargo.toml",
            "[package]\nname = \"layers\"\n[dependencies]\nmodel = \"1\"\n",
        ),
        (
            "file:///a/pyproject.toml",
            "[tool.x]\nmodel = { layers = 3 }\n",
        ),
        (
            "file:///a/config.toml",
            "[training]\nmodel = \"resnet50\"\nlayers = 3\n",
        ),
        ("file:///a/notes.txt", "[model]\ninput = [1]\n"),
    ] {
        client.open(uri, text);
        assert_eq!(client.hints(uri), Vec::<String>::new(), "{uri}");
        assert_eq!(client.diagnostics(uri, 1), json!([]), "{uri}");
        assert_eq!(client.at("textDocument/hover", uri, 1, 2), Value::Null);
        assert_eq!(client.at("textDocument/completion", uri, 1, 2), Value::Null);
        let symbols = client.request(
            "textDocument/documentSymbol",
            json!({ "textDocument": { "uri": uri } }),
        );
        assert!(symbols.as_array().is_none_or(Vec::is_empty));
    }
}

#[test]
fn the_last_good_numbers_stay_while_a_line_is_half_typed() {
    let mut client = opened(RESNET);
    let before = client.hints(URI);
    client.diagnostics(URI, 1);
    let (line, character) = find(RESNET, "\"Linear(2048, |1000)\"");
    let range = json!({ "start": { "line": line, "character": character }, "end": { "line": line, "character": character + 6 } });
    client.change(URI, 2, range, "");
    let during = client.hints(URI);
    let same = before.iter().filter(|hint| during.contains(hint)).count();
    assert!(same >= before.len() - 1, "{during:#?}");
    assert_ne!(client.diagnostics(URI, 2), json!([]));
    // A line above moves them along.
    let zero =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 0 } });
    client.change(URI, 3, zero, "\n");
    let moved = client.hints(URI);
    let shift = |hint: &String| {
        let (line, label) = hint.split_once(": ").unwrap();
        format!("{}: {label}", line.parse::<usize>().unwrap() + 1)
    };
    let same = before
        .iter()
        .map(shift)
        .filter(|hint| moved.contains(hint))
        .count();
    assert!(same >= before.len() - 1, "{moved:#?}");
}
