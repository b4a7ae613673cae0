//! From a keystroke to the hints, over standard input and output: `cargo bench -p modelcost-lsp`.
//!
//! Each keystroke replaces the kernel size of a layer somewhere in the file, which changes that layer's numbers, the
//! totals and, every other time, every shape below it. Its time is from sending `didChange` to having read the answer
//! to `inlayHint` for the sixty lines around it. Keystrokes come a while after each other, as typing does; `fresh` is how
//! many of the answers were about the text with the keystroke in it, the others being what stood there before; `settled`
//! is when the client has everything: diagnostics, and hints again where they came from before.
//!
//! `there and back` is the time of an answer that takes no work, in the same run: what the machine takes for itself.
//!
//! `MODELCOST_ONNX` names an ONNX file to open in place of the one that is made here; `cargo bench -p modelcost-lsp -- 100`
//! measures keystrokes in a hundred layers alone.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::Client;
use modelcost_onnx::model::{
    Attribute, AttributeValue, Dimension, ElemType, Graph, Model, Node, Tensor, TensorData, Type,
    ValueInfo,
};
use serde_json::{Value, json};

const URI: &str = "file:///bench/deep.toml";
const KEYSTROKES: usize = 300;
/// Between two keystrokes.
const PAUSE: Duration = Duration::from_millis(5);

fn main() {
    println!(
        "{:<28}{:>10}{:>10}{:>10}{:>8}{:>10}{:>10}",
        "keystroke to hints", "median", "p99", "max", "fresh", "settled", "p99"
    );
    there_and_back();
    let given = std::env::args().filter_map(|argument| argument.parse().ok());
    let given: Vec<usize> = given.collect();
    if given.is_empty() {
        [100, 1_000, 10_000].into_iter().for_each(keystrokes);
        opening();
    }
    given.into_iter().for_each(keystrokes);
}

/// A deep network of so many layers, two lines of header and an entry for each.
fn spec(layers: usize) -> Vec<String> {
    let header = [
        "[model]",
        "name = \"deep\"",
        "input = [1, 64, 56, 56]",
        "",
        "[layers]",
    ];
    let mut lines: Vec<String> = header.map(String::from).into();
    for at in 0..layers {
        let number = at / 3;
        lines.push(match at % 3 {
            0 => format!("conv{number} = \"Conv2d(64, 64, 3, padding=1, bias=False)\""),
            1 => format!("bn{number} = \"BatchNorm2d(64)\""),
            _ => format!("relu{number} = \"ReLU()\""),
        });
    }
    lines
}

fn there_and_back() {
    let mut client = Typist::start();
    let mut times = Vec::new();
    for id in 2..KEYSTROKES + 2 {
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        client.request(id, "completionItem/resolve", json!({ "label": "" }));
        times.push(start.elapsed());
    }
    print("there and back", times, None);
}

fn keystrokes(layers: usize) {
    let mut lines = spec(layers);
    let mut client = Typist::start();
    client.open(&lines.join("\n"));
    let mut times = Vec::new();
    let mut settled = Vec::new();
    let mut fresh = 0;
    let mut random: u64 = 7;
    for version in 2..KEYSTROKES + 2 {
        random = random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let convolutions = layers.div_ceil(3);
        let line = 5 + 3 * ((random >> 33) as usize % convolutions);
        let column = lines[line].find("(64, 64, ").unwrap() + 9;
        let with = if &lines[line][column..column + 1] == "3" {
            "1"
        } else {
            "3"
        };
        lines[line].replace_range(column..column + 1, with);
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        let answer = client.keystroke(version, line, column, with);
        times.push(start.elapsed());
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let hints = answer["result"].as_array().unwrap();
        assert!(hints.len() > 20, "{} hints", hints.len());
        fresh += usize::from(hints.iter().all(is_fresh));
        client.settled(version);
        settled.push(start.elapsed());
    }
    let share = fresh as f64 / KEYSTROKES as f64;
    print(&format!("{layers} layers"), times, Some((share, settled)));
}

fn is_fresh(hint: &Value) -> bool {
    hint["data"]
        .as_str()
        .is_some_and(|data| data.split(' ').nth(2) == Some("fresh"))
}

/// A client that reads frames and looks into none of them before the clock has stopped.
struct Typist {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The last version whose diagnostics came.
    told: usize,
}

/// What a message is about.
#[derive(serde::Deserialize)]
struct Head {
    id: Option<Value>,
    method: Option<String>,
    params: Option<Params>,
}

#[derive(serde::Deserialize)]
struct Params {
    version: Option<usize>,
}

impl Head {
    fn is_diagnostics(&self) -> bool {
        self.method.as_deref() == Some("textDocument/publishDiagnostics")
    }
}

impl Typist {
    fn start() -> Typist {
        let mut server = Command::new(env!("CARGO_BIN_EXE_modelcost-lsp"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = server.stdin.take().unwrap();
        let output = BufReader::new(server.stdout.take().unwrap());
        let mut client = Typist {
            server,
            input,
            output,
            told: 0,
        };
        let refresh = json!({ "workspace": { "inlayHint": { "refreshSupport": true } } });
        let hello = json!({ "processId": null, "rootUri": null, "capabilities": refresh });
        client
            .send(&[json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello })]);
        client.read(|head| head.method.is_none());
        client.send(&[json!({ "jsonrpc": "2.0", "method": "initialized", "params": {} })]);
        client
    }

    fn open(&mut self, text: &str) {
        let document = json!({ "uri": URI, "languageId": "toml", "version": 1, "text": text });
        let params = json!({ "textDocument": document });
        let open = json!({ "jsonrpc": "2.0", "method": "textDocument/didOpen", "params": params });
        self.send(&[open]);
        self.settled(1);
    }

    /// Replaces a character and asks for the hints around it; the answer as it was sent.
    fn keystroke(&mut self, version: usize, line: usize, column: usize, with: &str) -> Vec<u8> {
        let place = |line: usize, character: usize| json!({ "line": line, "character": character });
        let range = json!({ "start": place(line, column), "end": place(line, column + 1) });
        let seen =
            json!({ "start": place(line.saturating_sub(30), 0), "end": place(line + 30, 0) });
        let change = json!({
            "textDocument": { "uri": URI, "version": version },
            "contentChanges": [{ "range": range, "text": with }],
        });
        let hints = json!({ "textDocument": { "uri": URI }, "range": seen });
        self.send(&[
            json!({ "jsonrpc": "2.0", "method": "textDocument/didChange", "params": change }),
            json!({ "jsonrpc": "2.0", "id": version, "method": "textDocument/inlayHint", "params": hints }),
        ]);
        self.answer(version)
    }

    /// Asks for something and waits for the answer.
    fn request(&mut self, id: usize, method: &str, params: Value) -> Vec<u8> {
        self.send(&[json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })]);
        self.answer(id)
    }

    fn answer(&mut self, id: usize) -> Vec<u8> {
        self.read(|head| head.method.is_none() && head.id == Some(id.into()))
    }

    /// Waits for the diagnostics of a version.
    fn settled(&mut self, version: usize) {
        while self.told < version {
            self.read(Head::is_diagnostics);
        }
    }

    fn send(&mut self, messages: &[Value]) {
        let frame = |message: &Value| {
            let body = message.to_string();
            format!("Content-Length: {}\r\n\r\n{body}", body.len())
        };
        let frames: String = messages.iter().map(frame).collect();
        self.input.write_all(frames.as_bytes()).unwrap();
    }

    /// The next message that is wanted.
    fn read(&mut self, is_wanted: impl Fn(&Head) -> bool) -> Vec<u8> {
        loop {
            let mut length = 0;
            let mut line = String::new();
            while self.output.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.strip_prefix("Content-Length: ") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            self.output.read_exact(&mut body).unwrap();
            let head: Head = serde_json::from_slice(&body).unwrap();
            if head.is_diagnostics() {
                self.told = head.params.as_ref().unwrap().version.unwrap();
            }
            if is_wanted(&head) {
                return body;
            }
        }
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The hints around a line.
fn visible(client: &mut Client, uri: &str, line: usize) -> Vec<Value> {
    let range = json!({
        "start": { "line": line.saturating_sub(30), "character": 0 },
        "end": { "line": line + 30, "character": 0 },
    });
    let hints = client.request(
        "textDocument/inlayHint",
        json!({ "textDocument": { "uri": uri }, "range": range }),
    );
    hints.as_array().cloned().unwrap_or_default()
}

fn print(what: &str, mut times: Vec<Duration>, settled: Option<(f64, Vec<Duration>)>) {
    let at = |times: &[Duration], share: f64| {
        let index = ((times.len() - 1) as f64 * share).round() as usize;
        format!("{:.2} ms", times[index].as_secs_f64() * 1e3)
    };
    times.sort();
    let settled = settled.map_or(String::new(), |(fresh, mut settled)| {
        settled.sort();
        let (median, last) = (at(&settled, 0.5), at(&settled, 0.99));
        format!("{:>6.0} %{median:>10}{last:>10}", fresh * 100.0)
    });
    println!(
        "{what:<28}{:>10}{:>10}{:>10}{settled}",
        at(&times, 0.5),
        at(&times, 0.99),
        at(&times, 1.0)
    );
}

/// From asking for the text of an ONNX file to the first hints in it.
fn opening() {
    let made = std::env::temp_dir().join(format!("modelcost-bench-{}.onnx", std::process::id()));
    let given = std::env::var_os("MODELCOST_ONNX").map(PathBuf::from);
    let path = given.clone().unwrap_or_else(|| {
        std::fs::write(&made, large_onnx()).unwrap();
        made.clone()
    });
    let megabytes = std::fs::metadata(&path).unwrap().len() >> 20;
    let uri = format!("file://{}", path.display());
    let mut times = Vec::new();
    for _ in 0..20 {
        let mut client = Client::start();
        let start = Instant::now();
        let shown: Value = client.request(
            "workspace/executeCommand",
            json!({ "command": "modelcost.view", "arguments": [uri] }),
        );
        let text = shown["text"].as_str().unwrap();
        client.open(&uri, text);
        let line = text.lines().count().saturating_sub(30);
        assert!(!visible(&mut client, &uri, line).is_empty());
        times.push(start.elapsed());
    }
    print(&format!("open {megabytes} MB of ONNX"), times, None);
    if given.is_none() {
        let _ = std::fs::remove_file(made);
    }
}

/// Forty convolutions with a hundred megabytes of weights.
fn large_onnx() -> Vec<u8> {
    const LAYERS: usize = 44;
    let weights = vec![0u8; 256 * 256 * 9 * 4];
    let names: Vec<[String; 2]> = (0..=LAYERS)
        .map(|at| [format!("x{at}"), format!("conv{at}.weight")])
        .collect();
    let value = |name: &'static str| ValueInfo {
        name,
        ty: Some(Type::Tensor(
            ElemType(1),
            Some([1, 256, 28, 28].map(Dimension::Value).to_vec()),
        )),
        ..ValueInfo::default()
    };
    let mut graph = Graph {
        name: "large",
        inputs: vec![value("x0")],
        outputs: vec![value("x44")],
        ..Graph::default()
    };
    for at in 0..LAYERS {
        graph.initializers.push(Tensor {
            name: &names[at][1],
            dims: vec![256, 256, 3, 3],
            elem_type: ElemType(1),
            data: TensorData::Raw(weights.as_slice().into()),
            ..Tensor::default()
        });
        graph.nodes.push(Node {
            op_type: "Conv",
            inputs: vec![&names[at][0], &names[at][1]],
            outputs: vec![&names[at + 1][0]],
            attributes: vec![Attribute {
                name: "pads",
                value: AttributeValue::Ints(vec![1; 4]),
                doc_string: "",
            }],
            ..Node::default()
        });
    }
    let model = Model {
        ir_version: 8,
        opset_import: vec![("", 17)],
        graph,
        ..Model::default()
    };
    modelcost_onnx::encode(&model).expect("the weights are in memory")
}
