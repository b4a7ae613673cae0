//! Messages over a byte stream: the framing of the protocol, and the order in which messages are handled.
//!
//! `tower_lsp_server::Server` stops reading at the first byte that is not a message, and runs handlers concurrently
//! without saying which begins first. Here what is not a message is skipped and logged, and every handler runs up to its
//! first `await` before the next message is looked at. Handlers put their work into a queue before they await anything,
//! so work is done in the order in which it was asked for, while answers and cancellations stay concurrent.
//!
//! One thread reads and another writes, both without help from a pool: between a keystroke and its hints every hand-over
//! from thread to thread is felt.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::Service;
use tower_lsp::jsonrpc::{Request, Response};
use tower_lsp::{ClientSocket, LanguageServer, LspService};

/// The longest message that is read. A document of 50 MB, escaped, fits several times.
const MAX_MESSAGE: u64 = 1 << 30;
/// The longest line among the headers that is looked at as one.
const MAX_HEADER: u64 = 1 << 12;
/// How long a client that is gone may take to read the last answers.
const FAREWELL: Duration = Duration::from_millis(500);

/// Serves until the client says `exit` or closes the stream.
///
/// # Errors
/// When the system gives no thread.
pub fn serve<S: LanguageServer>(
    service: LspService<S>,
    socket: ClientSocket,
    input: impl Read,
    output: impl Write + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    let (out, messages) = mpsc::unbounded_channel::<Vec<u8>>();
    let (done, is_done) = channel();
    let writer = std::thread::Builder::new().name("modelcost-write".into());
    writer.spawn(move || {
        runtime.block_on(write_all(output, messages));
        // Nobody waits any more: the process is about to end.
        let _ = done.send(());
    })?;
    let inside = handle.enter();
    read_all(&handle, service, socket, input, out);
    drop(inside);
    // What was answered is written, unless nobody reads it any more.
    let _ = is_done.recv_timeout(FAREWELL);
    Ok(())
}

fn read_all<S: LanguageServer>(
    runtime: &tokio::runtime::Handle,
    mut service: LspService<S>,
    socket: ClientSocket,
    input: impl Read,
    out: mpsc::UnboundedSender<Vec<u8>>,
) {
    let (mut requests, mut responses) = socket.split();
    let to_client = out.clone();
    let forward = runtime.spawn(async move {
        while let Some(request) = requests.next().await {
            send(&to_client, &request);
        }
    });

    let mut input = BufReader::with_capacity(1 << 16, input);
    while let Some(body) = read_body(&mut input) {
        let message: Value = match serde_json::from_slice(&body) {
            Ok(message) => message,
            Err(error) => {
                log(format_args!("not a JSON message: {error}"));
                let error = json!({"code": -32700, "message": error.to_string()});
                send(&out, &json!({"jsonrpc": "2.0", "id": null, "error": error}));
                continue;
            }
        };
        drop(body);
        if message.get("method").is_none() {
            match serde_json::from_value::<Response>(message) {
                Ok(response) => drop(runtime.block_on(responses.send(response))),
                Err(error) => log(format_args!("neither a request nor a response: {error}")),
            }
            continue;
        }
        let id = message.get("id").cloned();
        let request = match serde_json::from_value::<Request>(message) {
            Ok(request) => request,
            Err(error) => {
                log(format_args!("not a request: {error}"));
                let error = json!({"code": -32600, "message": error.to_string()});
                send(&out, &json!({"jsonrpc": "2.0", "id": id, "error": error}));
                continue;
            }
        };
        let exit = request.method() == "exit";
        let mut handler = service.call(request);
        // Up to its first await, now and here. Whoever polls it next brings a waker of their own.
        match handler
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Ok(Some(response))) => send(&out, &response),
            Poll::Ready(_) => {}
            Poll::Pending => {
                let out = out.clone();
                runtime.spawn(async move {
                    if let Ok(Some(response)) = handler.await {
                        send(&out, &response);
                    }
                });
            }
        }
        if exit {
            break;
        }
    }
    forward.abort();
}

fn send(out: &mpsc::UnboundedSender<Vec<u8>>, message: &impl serde::Serialize) {
    match serde_json::to_vec(message) {
        // A closed channel means that the client is gone; the reader will see it too.
        Ok(body) => drop(out.send(body)),
        Err(error) => log(format_args!("an answer could not be written: {error}")),
    }
}

async fn write_all(mut output: impl Write, mut messages: mpsc::UnboundedReceiver<Vec<u8>>) {
    let mut buffer = Vec::new();
    while let Some(body) = messages.recv().await {
        buffer.clear();
        push_frame(&mut buffer, &body);
        while let Ok(body) = messages.try_recv() {
            push_frame(&mut buffer, &body);
        }
        if output.write_all(&buffer).is_err() || output.flush().is_err() {
            return;
        }
    }
}

fn push_frame(buffer: &mut Vec<u8>, body: &[u8]) {
    buffer.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    buffer.extend_from_slice(body);
}

/// The next message's bytes; `None` at the end of the stream. What is not a header is skipped.
fn read_body(input: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length: Option<u64> = None;
    let mut skipped: u64 = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut *input)
            .take(MAX_HEADER)
            .read_until(b'\n', &mut line)
            .ok()?;
        if read == 0 {
            report_skipped(skipped);
            return None;
        }
        let text = std::str::from_utf8(&line).unwrap_or_default().trim_end();
        let header = text
            .split_once(':')
            .filter(|(name, _)| name.eq_ignore_ascii_case("Content-Length"));
        if let Some((_, value)) = header {
            length = value
                .trim()
                .parse()
                .ok()
                .filter(|length| *length <= MAX_MESSAGE);
            if length.is_none() {
                log(format_args!(
                    "a message of {} bytes is not read",
                    value.trim()
                ));
            }
        } else if text.is_empty() && line.ends_with(b"\n") {
            match length {
                Some(_) => break,
                None => skipped += read as u64,
            }
        } else if !text.to_ascii_lowercase().starts_with("content-type:") {
            skipped += read as u64;
        }
    }
    report_skipped(skipped);
    let length = length?;
    let mut body = Vec::with_capacity(length.min(1 << 20) as usize);
    let read = (&mut *input).take(length).read_to_end(&mut body).ok()?;
    if (read as u64) < length {
        log(format_args!(
            "the stream ended inside a message of {length} bytes"
        ));
        return None;
    }
    Some(body)
}

fn report_skipped(bytes: u64) {
    if bytes > 0 {
        log(format_args!(
            "{bytes} bytes that are no message were skipped"
        ));
    }
}

/// Errors of the stream itself go to standard error, which editors show in their log of the server.
pub(crate) fn log(message: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    // Nobody may be reading that either.
    let _ = writeln!(std::io::stderr(), "modelcost lsp: {message}");
}
