//! Ten thousand random edits, in every way of counting characters: the server's text stays the client's, and what it
//! answers is what it would have answered had it been given that text at once.
#![allow(clippy::unwrap_used)]

mod common;

use common::Client;
use serde_json::{Value, json};

const URI: &str = "file:///models/edited.toml";
const FRESH: &str = "file:///models/fresh.toml";
const NOTIFICATIONS: usize = 1_700;
const EDITS_EACH: usize = 2;

/// Layers that repeat, a block that is used several times, a module that is called twice, a variable and a free size that
/// later layers depend on: what is kept from one reading to the next must not be taken for something else.
const START: &str = "# Größe 𝒳: ein kleines Netz\r\n[model]\nname = \"kleiñ\"\ninput = [\"batch\", 3, 16, 16]\n\n\
[variables]\nwidth = 8\n\n[layers]\nconv = \"Conv2d(3, width, 3, padding=1)\" # ∂\nbn = \"BatchNorm2d(8)\"\nrelu = \"ReLU()\"\n\
body = [\"2 * B(width)\", \"B(8)\"]\nagain = \"relu(body)\"\nconv2 = \"Conv2d(8, 8, 3, padding=1)\"\nconv3 = \"Conv2d(8, 8, 3, padding=1)\"\n\
tall = \"conv3.transpose(2, 3)\"\nmix = \"Linear(16, 16)\"\nconv4 = \"Conv2d(8, 8, 3, padding=1)\"\n\
pool = \"AdaptiveAvgPool2d(1)\"\nflat = \"torch.flatten(pool, 1)\"\nfc = \"Linear(8, 10)\"\n\n\
[block.B]\nargs = \"w\"\n[block.B.layers]\nconv = \"Conv2d(w, w, 3, padding=1)\"\nbn = \"BatchNorm2d(w)\"\nact = \"ReLU()\"\n\
out = \"act + input\"\n";

/// What is typed: characters, half lines, lines, characters of two and four bytes, ends of lines of every kind.
const TYPED: [&str; 24] = [
    "3",
    "1",
    "\"",
    "(",
    ")",
    "[",
    "=",
    "é",
    "𝒳",
    "\n",
    "\r\n",
    "\r",
    "# ü\n",
    "act = \"ReLU()\"\n",
    "Conv2d(8, ",
    "drop = \"Dropo",
    "relu(conv)",
    ", bias=False",
    "[block.C]\nlayers = [\"ReLU()\"]\n",
    "width",
    "16",
    "deep = \"2 * B(8)\"\n",
    "same = \"conv2(bn)\"\n",
    "∑",
];

#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Utf16,
    Utf32,
}

/// A text as a client keeps it, with positions counted the plain way.
struct Text {
    text: String,
    encoding: Encoding,
}

impl Text {
    /// The bytes between which a cursor can stand: not inside a character, nor inside `\r\n`.
    fn floor(&self, mut at: usize) -> usize {
        at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let bytes = self.text.as_bytes();
        let inside = at > 0 && bytes[at - 1] == b'\r' && bytes.get(at) == Some(&b'\n');
        at - usize::from(inside)
    }

    fn position(&self, at: usize) -> Value {
        let (mut line, mut start) = (0, 0);
        let bytes = self.text.as_bytes();
        for (index, byte) in bytes[..at].iter().enumerate() {
            let ends = *byte == b'\n' || *byte == b'\r' && bytes.get(index + 1) != Some(&b'\n');
            if ends {
                line += 1;
                start = index + 1;
            }
        }
        let before = &self.text[start..at];
        let character = match self.encoding {
            Encoding::Utf8 => before.len(),
            Encoding::Utf16 => before.encode_utf16().count(),
            Encoding::Utf32 => before.chars().count(),
        };
        json!({ "line": line, "character": character })
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

fn edits(encoding: Encoding, name: &str, seed: u64) {
    let capabilities = json!({ "general": { "positionEncodings": [name] } });
    let mut client = Client::with(capabilities, json!({}));
    let mut text = Text {
        text: START.into(),
        encoding,
    };
    let mut random = Random(seed);
    client.open(URI, START);
    let mut compared = 0;
    for version in 2..NOTIFICATIONS + 2 {
        let mut changes = Vec::new();
        for _ in 0..EDITS_EACH {
            // Now and then the whole text, so that most of the time it is nearly a model.
            if random.below(12) == 0 {
                text.text = START.into();
                changes.push(json!({ "text": START }));
                continue;
            }
            let from = text.floor(random.below(text.text.len() + 1));
            let length = [0, 0, 1, 2, 5, 20][random.below(6)];
            let to = text.floor(from + length).max(from);
            let typed = if random.below(4) == 0 {
                ""
            } else {
                TYPED[random.below(TYPED.len())]
            };
            changes.push(json!({
                "range": { "start": text.position(from), "end": text.position(to) },
                "text": typed,
            }));
            text.text.replace_range(from..to, typed);
        }
        client.notify(
            "textDocument/didChange",
            json!({ "textDocument": { "uri": URI, "version": version }, "contentChanges": changes }),
        );
        if version % 25 == 0 {
            let known = command(&mut client, "modelcost.text", URI);
            assert_eq!(
                known,
                Value::String(text.text.clone()),
                "after {version} in {name}"
            );
        }
        if version % 50 == 0 {
            compared += usize::from(compare(&mut client, version, &text.text));
        }
    }
    assert!(compared > 0, "no text meant a model");
    let (status, log) = client.finish();
    assert!(status.success(), "{log}");
    assert!(!log.contains("failed"), "{log}");
}

fn command(client: &mut Client, command: &str, uri: &str) -> Value {
    client.request(
        "workspace/executeCommand",
        json!({ "command": command, "arguments": [uri] }),
    )
}

/// Whether the text means a model; then all answers are compared, else those that say nothing of before the error.
fn compare(client: &mut Client, version: usize, text: &str) -> bool {
    let edited = client.diagnostics(URI, version as i64);
    client.open(FRESH, text);
    let fresh = client.diagnostics(FRESH, 1);
    let plain = |value: &Value| value.to_string().replace(FRESH, URI);
    assert_eq!(plain(&edited), plain(&fresh), "in\n{text}");
    for method in ["textDocument/documentSymbol", "textDocument/foldingRange"] {
        let ask = |client: &mut Client, uri: &str| {
            client.request(method, json!({ "textDocument": { "uri": uri } }))
        };
        let (edited, fresh) = (ask(client, URI), ask(client, FRESH));
        assert_eq!(edited, fresh, "{method} in\n{text}");
    }
    let complete = fresh
        .as_array()
        .unwrap()
        .iter()
        .all(|diagnostic| diagnostic["severity"] != 1);
    if complete {
        assert_eq!(client.hints(URI), client.hints(FRESH), "in\n{text}");
        let lenses = |client: &mut Client, uri: &str| {
            let lenses = client.request(
                "textDocument/codeLens",
                json!({ "textDocument": { "uri": uri } }),
            );
            plain(&lenses)
        };
        assert_eq!(lenses(client, URI), lenses(client, FRESH), "in\n{text}");
    }
    client.close(FRESH);
    complete
}

#[test]
fn edits_in_bytes() {
    edits(Encoding::Utf8, "utf-8", 1);
}

#[test]
fn edits_in_utf_16() {
    edits(Encoding::Utf16, "utf-16", 2);
}

#[test]
fn edits_in_characters() {
    edits(Encoding::Utf32, "utf-32", 3);
}
