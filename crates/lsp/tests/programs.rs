//! ONNX files, ONNX text and `.pt2` programs, over stdio.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{Client, find, label};
use serde_json::{Value, json};

const NET: &str = include_str!("fixtures/net.onnxtxt");
const URI: &str = "file:///models/net.onnxtxt";

fn uri_of(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    format!("file://{}", path.canonicalize().unwrap().display())
}

fn view(client: &mut Client, uri: &str) -> Value {
    client.request(
        "workspace/executeCommand",
        json!({ "command": "modelcost.view", "arguments": [uri] }),
    )
}

/// The lines of a text that have hints, with them.
fn with_hints(client: &mut Client, uri: &str, text: &str) -> String {
    let range = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 1_000_000, "character": 0 } });
    let hints = client.request(
        "textDocument/inlayHint",
        json!({ "textDocument": { "uri": uri }, "range": range }),
    );
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for hint in hints.as_array().unwrap() {
        let line = lines[hint["position"]["line"].as_u64().unwrap() as usize];
        let short: String = line.chars().take(60).collect();
        out.push_str(&format!("{short:<60} ‖ {}\n", label(hint)));
    }
    out
}

#[test]
fn an_onnx_file_is_shown_as_text() {
    let mut client = Client::start();
    let uri = uri_of("tests/editors/fixtures/alexnet.onnx");
    let shown = view(&mut client, &uri);
    assert_eq!(shown["languageId"], "onnxtxt");
    let text = shown["text"].as_str().unwrap().to_string();
    client.open(&uri, &text);
    insta::assert_snapshot!(with_hints(&mut client, &uri, &text));
    let (line, character) = find(&text, "= Con|v ");
    let hover = client.at("textDocument/hover", &uri, line, character);
    let hover = hover["contents"]["value"].as_str().unwrap();
    // torchinfo 1.8.0 prints 70,470,400 for AlexNet's first layer.
    assert!(hover.contains("70,470,400"), "{hover}");

    // As VS Code opens it, under a scheme of its own.
    let other = uri.replace("file:", "modelcost-view:");
    client.open(&other, &text);
    assert_eq!(client.hints(&other), client.hints(&uri));
    // A text that is not the file's gets nothing.
    client.close(&other);
    client.open(&other, &text.replacen("Conv", "Vonc", 1));
    assert_eq!(client.hints(&other), [""; 0]);
    client.finish();
}

#[test]
fn a_program_is_shown_as_a_tree() {
    let mut client = Client::start();
    let uri = uri_of("tests/corpus/small/tv__resnet18.pt2");
    let shown = view(&mut client, &uri);
    let text = shown["text"].as_str().unwrap().to_string();
    insta::assert_snapshot!("pt2_text", text);
    client.open(&uri, &text);
    insta::assert_snapshot!("pt2_hints", with_hints(&mut client, &uri, &text));
    let folds = client.request(
        "textDocument/foldingRange",
        json!({ "textDocument": { "uri": uri } }),
    );
    assert!(folds.as_array().unwrap().len() > 8, "{folds}");
    let symbols = client.request(
        "textDocument/documentSymbol",
        json!({ "textDocument": { "uri": uri } }),
    );
    assert_eq!(symbols[0]["children"][4]["name"], "layer1");
    assert_eq!(symbols[0]["children"][4]["children"][0]["name"], "0");
    client.finish();
}

#[test]
fn what_is_no_model_is_said() {
    let mut client = Client::start();
    for (uri, says) in [
        (
            uri_of("README.md").replace("README.md", "missing.onnx"),
            "cannot read",
        ),
        (uri_of("Cargo.lock"), "not a zip archive"),
        ("untitled:x".to_string(), "no file"),
    ] {
        let id = client.begin(
            "workspace/executeCommand",
            json!({ "command": "modelcost.view", "arguments": [uri] }),
        );
        let response = client.response(id);
        let message = response["error"]["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
    client.finish();
}

#[test]
fn onnx_text_is_edited_like_a_spec() {
    let mut client = Client::start();
    client.open(URI, NET);
    insta::assert_snapshot!("onnx_text", with_hints(&mut client, URI, NET));
    assert_eq!(client.diagnostics(URI, 1), json!([]));

    // Another stride: every number below changes.
    let (line, character) = find(NET, "strides = [|1, 1]");
    let range = |from: usize, to: usize| json!({ "start": { "line": line, "character": from }, "end": { "line": line, "character": to } });
    client.change(URI, 2, range(character, character + 4), "2, 2");
    let hints = client.hints(URI).join("\n");
    assert!(hints.contains("→ 8×16×16"), "{hints}");
    assert_eq!(client.diagnostics(URI, 2), json!([]));

    // Half a line: the message stands where it is wrong, and the numbers of the others stay.
    client.change(URI, 3, range(character + 4, character + 5), "");
    let diagnostics = client.diagnostics(URI, 3);
    assert_eq!(
        diagnostics[0]["range"]["start"]["line"], line,
        "{diagnostics}"
    );
    let hints = client.hints(URI).join("\n");
    assert!(hints.contains("→ 8×16×16"), "{hints}");
}

#[test]
fn a_value_that_nothing_makes() {
    let mut client = Client::start();
    let text = NET.replace("Relu (c1)", "Relu (c2)");
    client.open(URI, &text);
    let diagnostics = client.diagnostics(URI, 1);
    let (line, _) = find(&text, "Relu");
    assert_eq!(
        diagnostics[0]["range"]["start"]["line"], line,
        "{diagnostics}"
    );
    assert!(
        diagnostics[0]["message"].as_str().unwrap().contains("'c2'"),
        "{diagnostics}"
    );
}
