//! A client that speaks to the built server over its standard input and output.
#![allow(dead_code)] // each test file uses a part of it

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Client {
    pub child: Child,
    stdin: Option<ChildStdin>,
    messages: Receiver<Value>,
    pub notifications: VecDeque<Value>,
    /// Answers that came before they were waited for.
    early: Vec<Value>,
    next_id: i64,
}

impl Client {
    /// Starts a server and shakes hands, with UTF-16 positions as most editors have.
    pub fn start() -> Client {
        Client::with(json!({}), json!({}))
    }

    /// Starts a server for a client with these capabilities and initialization options.
    pub fn with(capabilities: Value, options: Value) -> Client {
        let mut client = Client::silent();
        let result = client.request(
            "initialize",
            json!({ "processId": null, "rootUri": null, "capabilities": capabilities, "initializationOptions": options }),
        );
        assert!(
            result["capabilities"]["inlayHintProvider"].is_object(),
            "{result}"
        );
        client.notify("initialized", json!({}));
        client
    }

    /// Starts a server and says nothing to it.
    pub fn silent() -> Client {
        let mut child = Command::new(env!("CARGO_BIN_EXE_modelcost-lsp"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, messages) = channel();
        std::thread::spawn(move || {
            while let Some(message) = read_message(&mut stdout) {
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        Client {
            stdin: child.stdin.take(),
            child,
            messages,
            notifications: VecDeque::new(),
            early: Vec::new(),
            next_id: 0,
        }
    }

    pub fn write_raw(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    pub fn send(&mut self, message: &Value) {
        let body = serde_json::to_vec(message).unwrap();
        let mut frame = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        frame.extend(body);
        self.write_raw(&frame);
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Sends a request without waiting; gives its id.
    pub fn begin(&mut self, method: &str, params: Value) -> i64 {
        self.next_id += 1;
        let id = self.next_id;
        let mut message = json!({ "jsonrpc": "2.0", "id": id, "method": method });
        if !params.is_null() {
            message["params"] = params;
        }
        self.send(&message);
        id
    }

    /// The whole response to a request. Responses come in any order.
    pub fn response(&mut self, id: i64) -> Value {
        if let Some(at) = self.early.iter().position(|message| message["id"] == id) {
            return self.early.swap_remove(at);
        }
        loop {
            let message = self.receive();
            if message.get("method").is_some() {
                continue;
            }
            if message["id"] == id {
                return message;
            }
            self.early.push(message);
        }
    }

    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        let response = self.response(id);
        assert!(response.get("error").is_none(), "{method}: {response}");
        response["result"].clone()
    }

    /// The next message; requests of the server are answered, notifications are kept.
    fn receive(&mut self) -> Value {
        match self.messages.recv_timeout(PATIENCE) {
            Ok(message) => {
                self.file(message.clone());
                message
            }
            Err(RecvTimeoutError::Timeout) => panic!("the server does not answer"),
            Err(RecvTimeoutError::Disconnected) => panic!("the server is gone"),
        }
    }

    fn file(&mut self, message: Value) {
        match (message.get("method"), message.get("id")) {
            (Some(_), Some(id)) => {
                let id = id.clone();
                self.notifications.push_back(message);
                self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": null }));
            }
            (Some(_), None) => self.notifications.push_back(message),
            _ => {}
        }
    }

    /// The next notification or request of the server with a method, from now or before.
    pub fn wait_for(&mut self, method: &str) -> Value {
        loop {
            if let Some(at) = self
                .notifications
                .iter()
                .position(|message| message["method"] == method)
            {
                return self.notifications.remove(at).unwrap()["params"].clone();
            }
            self.receive();
        }
    }

    /// The diagnostics of a document's version.
    pub fn diagnostics(&mut self, uri: &str, version: i64) -> Value {
        loop {
            let params = self.wait_for("textDocument/publishDiagnostics");
            if params["uri"] == uri && params["version"] == version {
                return params["diagnostics"].clone();
            }
        }
    }

    pub fn open(&mut self, uri: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": "toml", "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }

    pub fn close(&mut self, uri: &str) {
        self.notify(
            "textDocument/didClose",
            json!({ "textDocument": { "uri": uri } }),
        );
    }

    /// Replaces a range of a document.
    pub fn change(&mut self, uri: &str, version: i64, range: Value, text: &str) {
        let changes = json!([{ "range": range, "text": text }]);
        self.notify(
            "textDocument/didChange",
            json!({ "textDocument": { "uri": uri, "version": version }, "contentChanges": changes }),
        );
    }

    /// A request about a position.
    pub fn at(&mut self, method: &str, uri: &str, line: usize, character: usize) -> Value {
        self.request(
            method,
            json!({ "textDocument": { "uri": uri }, "position": { "line": line, "character": character } }),
        )
    }

    /// All hints of a document as `line: label`.
    pub fn hints(&mut self, uri: &str) -> Vec<String> {
        let range = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 1_000_000, "character": 0 } });
        let hints = self.request(
            "textDocument/inlayHint",
            json!({ "textDocument": { "uri": uri }, "range": range }),
        );
        let hints = hints.as_array().cloned().unwrap_or_default();
        hints
            .iter()
            .map(|hint| format!("{}: {}", hint["position"]["line"], label(hint)))
            .collect()
    }

    /// Says goodbye and waits for the server to end; gives its exit status and what it logged.
    pub fn finish(mut self) -> (std::process::ExitStatus, String) {
        self.request("shutdown", Value::Null);
        self.notify("exit", Value::Null);
        self.ended()
    }

    /// Closes the stream and waits for the server to end.
    pub fn vanish(mut self) -> (std::process::ExitStatus, String) {
        self.stdin = None;
        self.ended()
    }

    fn ended(&mut self) -> (std::process::ExitStatus, String) {
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        (self.child.wait().unwrap(), log)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Only if the test failed before the server ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_message(input: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            header => {
                if let Some(value) = header.strip_prefix("Content-Length: ") {
                    length = value.parse().ok()?;
                }
            }
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

/// The text of a hint.
pub fn label(hint: &Value) -> String {
    hint["label"].as_str().unwrap().to_owned()
}

/// Takes the cursor `|` out of a text: what is left, and where it was.
pub fn cursor(text: &str) -> (String, usize, usize) {
    let (before, after) = text.split_once('|').unwrap();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        format!("{before}{after}"),
        before.matches('\n').count(),
        before[line_start..].encode_utf16().count(),
    )
}

/// Where a needle stands in a text, as line and UTF-16 character; `|` in the needle marks the place in it.
pub fn find(text: &str, needle: &str) -> (usize, usize) {
    let cursor = needle.find('|').unwrap_or(0);
    let needle = needle.replacen('|', "", 1);
    let at = text.find(&needle).unwrap_or_else(|| panic!("no {needle}")) + cursor;
    let line_start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    (
        text[..at].matches('\n').count(),
        text[line_start..at].encode_utf16().count(),
    )
}
