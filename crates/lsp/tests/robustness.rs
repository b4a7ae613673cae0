//! A server that outlives any input.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, label};
use serde_json::{Value, json};

const URI: &str = "file:///models/net.toml";
const NET: &str =
    "[model]\ninput = [1, 3, 8, 8]\n[layers]\nconv = \"Conv2d(3, 4, 3)\"\nrelu = \"ReLU()\"\n";

/// That it still answers, and rightly.
fn answers(client: &mut Client) {
    client.open(URI, NET);
    let hints = client.hints(URI);
    assert!(
        hints
            .iter()
            .any(|hint| hint.contains("→ 4×6×6 · 112 params")),
        "{hints:?}"
    );
    client.close(URI);
}

#[test]
fn garbage_is_skipped_and_logged() {
    let mut client = Client::silent();
    let mut garbage: Vec<u8> = (0..20_000u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    garbage.extend(b"\r\n\r\n");
    client.write_raw(&garbage);
    client.write_raw(b"Content-Length: nonsense\r\n\r\n");
    client.write_raw(b"Content-Length: 7\r\n\r\n{\"a\": 1");
    client.write_raw(b"Content-Length: 2\r\n\r\n{}");
    client.write_raw(b"Content-Length: 4\r\nContent-Type: x\r\n\r\nnull");
    client.write_raw(b"Content-Length: 3\r\n\r\n\xff\xfe\xfd");
    client.request("initialize", json!({ "capabilities": {} }));
    client.notify("initialized", json!({}));
    // Messages that are JSON and nothing else of what they should be.
    client.send(&json!({ "jsonrpc": "2.0", "method": 7 }));
    client.send(&json!({ "jsonrpc": "2.0", "id": {}, "method": "textDocument/hover" }));
    client.notify("textDocument/didOpen", json!({ "textDocument": 3 }));
    client.notify("textDocument/didChange", json!({}));
    client.notify("nobody/knows", json!({}));
    answers(&mut client);
    let (status, log) = client.finish();
    assert!(status.success(), "{log}");
    assert!(log.contains("skipped"), "{log}");
    assert!(log.contains("not a JSON message"), "{log}");
}

#[test]
fn a_client_that_vanishes() {
    let client = Client::start();
    let (status, log) = client.vanish();
    assert!(status.success(), "{log}");

    let mut client = Client::start();
    client.open(URI, NET);
    client.write_raw(b"Content-Length: 1000\r\n\r\n{\"jsonrpc\": \"2.0\", \"id\": 1, \"meth");
    let (status, log) = client.vanish();
    assert!(status.success(), "{log}");
    assert!(log.contains("ended inside a message"), "{log}");
}

#[test]
fn a_document_of_fifty_megabytes() {
    let mut client = Client::start();
    let line = "# a line of a text that is far too long to be looked into\n";
    let mut text = String::from(NET);
    text.push_str(&line.repeat((50 << 20) / line.len()));
    client.open(URI, &text);
    assert_eq!(client.hints(URI), [""; 0]);
    assert!(client.at("textDocument/hover", URI, 3, 2).is_null());
    // It is kept in step all the same: cut to its first lines it is a model.
    let end = text.matches('\n').count();
    let range =
        json!({ "start": { "line": 5, "character": 0 }, "end": { "line": end, "character": 0 } });
    client.change(URI, 2, range, "");
    let hints = client.hints(URI);
    assert!(
        hints.iter().any(|hint| hint.contains("→ 4×6×6")),
        "{hints:?}"
    );
    client.close(URI);
    answers(&mut client);
    client.finish();
}

const ABOUT_A_DOCUMENT: [&str; 5] = [
    "textDocument/documentSymbol",
    "textDocument/foldingRange",
    "textDocument/codeLens",
    "textDocument/inlayHint",
    "textDocument/codeAction",
];

const ABOUT_A_PLACE: [&str; 7] = [
    "textDocument/hover",
    "textDocument/completion",
    "textDocument/signatureHelp",
    "textDocument/definition",
    "textDocument/documentHighlight",
    "textDocument/prepareRename",
    "textDocument/rename",
];

/// Every request about a place of a document; none of them may fail.
fn everything(client: &mut Client, uri: &str, line: u32, character: u32) {
    let place = json!({ "line": line, "character": character });
    let range = json!({ "start": place, "end": place });
    for method in ABOUT_A_DOCUMENT {
        let params = json!({ "textDocument": { "uri": uri }, "range": range, "context": { "diagnostics": [] } });
        client.request(method, params);
    }
    for method in ABOUT_A_PLACE {
        let id = client.begin(
            method,
            json!({ "textDocument": { "uri": uri }, "position": place, "newName": "other" }),
        );
        let response = client.response(id);
        // Only a rename says why it is not done.
        assert!(
            method.ends_with("rename") || response.get("error").is_none(),
            "{method}: {response}"
        );
    }
}

#[test]
fn documents_that_are_not_open() {
    let mut client = Client::start();
    client.open(URI, NET);
    client.close(URI);
    client.close(URI);
    for uri in [
        URI,
        "file:///nowhere.toml",
        "untitled:Untitled-1",
        "git:/models/net.toml?x",
    ] {
        everything(&mut client, uri, 0, 0);
        let range =
            json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 0 } });
        client.change(uri, 2, range, "x");
    }
    answers(&mut client);
    let (_, log) = client.finish();
    assert!(log.contains("not open"), "{log}");
}

#[test]
fn places_that_are_not_there() {
    let mut client = Client::start();
    client.open(URI, NET);
    for (line, character) in [
        (0, u32::MAX),
        (u32::MAX, 0),
        (u32::MAX, u32::MAX),
        (5, 3),
        (4, 1000),
    ] {
        everything(&mut client, URI, line, character);
    }
    let place = |line: u32, character: u32| json!({ "line": line, "character": character });
    // A range that ends before it starts, and edits beyond the end: what can be meant is done.
    let range = json!({ "start": place(3, 5), "end": place(1, 0) });
    client.request(
        "textDocument/inlayHint",
        json!({ "textDocument": { "uri": URI }, "range": range }),
    );
    let far = json!({ "start": place(900, 0), "end": place(u32::MAX, 7) });
    client.change(URI, 2, far, "# end\n");
    let text = client.request(
        "workspace/executeCommand",
        json!({ "command": "modelcost.text", "arguments": [URI] }),
    );
    assert_eq!(text, format!("{NET}# end\n"));
    client.close(URI);
    answers(&mut client);
    client.finish();
}

#[test]
fn a_request_that_is_cancelled_is_not_worked_on() {
    let mut client = Client::start();
    // Enough work that what follows has to wait.
    let mut text = String::from("[model]\ninput = [1, 8]\n[layers]\n");
    for at in 0..3_000 {
        text.push_str(&format!("fc{at} = \"Linear(8, 8)\"\n"));
    }
    client.open(URI, &text);
    let place =
        json!({ "textDocument": { "uri": URI }, "position": { "line": 3, "character": 1 } });
    let first = client.begin("textDocument/hover", place.clone());
    let second = client.begin("textDocument/hover", place);
    client.notify("$/cancelRequest", json!({ "id": second }));
    let cancelled = client.response(second);
    assert_eq!(cancelled["error"]["code"], -32800, "{cancelled}");
    let _ = first;
    answers(&mut client);
    client.finish();
}

#[test]
fn edits_are_applied_in_the_order_sent() {
    let mut client = Client::start();
    client.open(URI, NET);
    // Each says what the one before it left; requests in between must not overtake.
    let mut waiting = Vec::new();
    for version in 2..60 {
        let (old, new) = if version % 2 == 0 {
            ("4", "16")
        } else {
            ("16", "4")
        };
        let from = "conv = \"Conv2d(3, ".len();
        let range = json!({
            "start": { "line": 3, "character": from },
            "end": { "line": 3, "character": from + old.len() },
        });
        client.change(URI, version, range, new);
        let line = json!({ "start": { "line": 3, "character": 0 }, "end": { "line": 3, "character": 99 } });
        let id = client.begin(
            "textDocument/inlayHint",
            json!({ "textDocument": { "uri": URI }, "range": line }),
        );
        waiting.push((id, format!("→ {new}×6×6")));
    }
    let mut answers: std::collections::HashMap<i64, Value> = std::collections::HashMap::new();
    for (id, _) in &waiting {
        answers.insert(*id, client.response(*id));
    }
    for (id, expected) in waiting {
        let hint = label(&answers[&id]["result"][0]);
        assert!(hint.starts_with(&expected), "{hint} and not {expected}");
    }
    client.finish();
}

/// Documents that come and go leave nothing behind.
#[test]
#[cfg(target_os = "linux")]
fn nothing_leaks() {
    let mut client = Client::start();
    let mut text = String::from("[model]\ninput = [1, 8]\n[layers]\n");
    for at in 0..60 {
        text.push_str(&format!("fc{at} = \"Linear(8, 8)\"\n"));
    }
    let round = |client: &mut Client, rounds: usize| {
        for _ in 0..rounds {
            client.open(URI, &text);
            let range = json!({ "start": { "line": 3, "character": 0 }, "end": { "line": 3, "character": 0 } });
            client.change(URI, 2, range, "# x\n");
            client.hints(URI);
            client.close(URI);
        }
        resident(client.child.id())
    };
    let before = round(&mut client, 10);
    let after = round(&mut client, 60);
    assert!(
        after < before + (16 << 20),
        "{before} bytes, and {after} sixty documents later"
    );
    client.finish();
}

#[cfg(target_os = "linux")]
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}
