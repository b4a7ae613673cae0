//! One model format into another.

use std::path::Path;

use modelcost_analysis::agreement::{Difference, differences};
use modelcost_core::fidelity::Level;
use modelcost_core::trace::Trace;
use modelcost_onnx::{Converted, ModelFile, convert};
use modelcost_reader::{Kind, is_pipe};
use modelcost_spec::{WriteOptions, Written};

use super::{all_conventions, kind_of, open, without_file};
use crate::args::{ConvertArgs, Target};
use crate::errors::{Failed, say};
use crate::files;

pub fn run(args: &ConvertArgs) -> Result<String, Failed> {
    let (kind, file) = kind_of(&args.model)?;
    let is_onnx = matches!(kind, Kind::Onnx | Kind::OnnxText);
    let target = match (args.to, extension(args.output.as_deref())) {
        (Some(target), _) => target,
        (None, Some("toml")) => Target::Toml,
        (None, Some("onnx")) => Target::Onnx,
        (None, Some("onnxtxt" | "onnxtext")) => Target::Onnxtxt,
        (None, Some(other)) => {
            return Err(Failed::input(format!(
                "there is no format with the extension .{other}; it can be .toml, .onnx or .onnxtxt, or say it with --to"
            )));
        }
        (None, None) if is_onnx => Target::Onnxtxt,
        (None, None) => Target::Toml,
    };
    match target {
        Target::Toml => spec(args),
        Target::Onnx | Target::Onnxtxt if is_onnx => onnx(args, &file),
        Target::Onnx | Target::Onnxtxt => Err(Failed::input(format!(
            "{} is not ONNX, and only ONNX and its text become each other; --to toml writes a spec",
            args.model.display()
        ))),
    }
}

fn onnx(args: &ConvertArgs, file: &Path) -> Result<String, Failed> {
    let fail =
        |error: modelcost_onnx::OnnxError| Failed::in_file(&args.model, without_file(&error, file));
    let file = ModelFile::open(file).map_err(fail)?;
    // What came through a pipe is in no file that a text could point into.
    let name = args.model.file_name().filter(|_| !is_pipe(&args.model));
    let name = name.map(|name| name.to_string_lossy());
    match convert(&file, name.as_deref()).map_err(fail)? {
        Converted::Text(text, notes) => {
            for note in notes {
                say(&format!("note: {note}"));
            }
            write(args.output.as_deref(), text.as_bytes(), Some(&text))
        }
        Converted::Binary(bytes) => write(args.output.as_deref(), &bytes, None),
    }
}

/// A spec of the model, with every convention's numbers checked against the model's.
fn spec(args: &ConvertArgs) -> Result<String, Failed> {
    let options = args.read.options().map_err(Failed::input)?;
    let mut trace = open(&args.model, &options)?.trace;
    let (written, found) = checked(&trace);
    for note in &written.notes {
        say(&format!("note: {note}"));
    }
    let output = args.output.as_deref();
    if let Err(diagnostics) = &written.read_back {
        let message = diagnostics
            .first()
            .map_or("", |first| first.message.as_str());
        say(&write(
            output,
            written.text.as_bytes(),
            Some(&written.text),
        )?);
        return Err(Failed::in_file(
            &args.model,
            format!("what was written is not a whole spec yet: {message}"),
        ));
    }
    for Difference { convention, what } in &found {
        say(&format!("warning: {convention}: {what}"));
    }
    if found.is_empty() {
        return write(output, written.text.as_bytes(), Some(&written.text));
    }
    let names: Vec<&str> = found
        .iter()
        .map(|found| found.convention.as_str())
        .collect();
    let note = format!(
        "the numbers of {} are not those of the file that this was written from",
        names.join(", ")
    );
    trace.fidelity.note(Level::Partial, note);
    let text = modelcost_spec::write(&trace, written.options).text;
    write(output, text.as_bytes(), Some(&text))
}

/// The spec that agrees best, and where it does not agree: without what nobody uses, unless some
/// tool counts that.
fn checked(trace: &Trace) -> (Written, Vec<Difference>) {
    let conventions = all_conventions();
    let attempt = |keep_unused: bool| {
        let written = modelcost_spec::write(trace, WriteOptions { keep_unused });
        let found = match &written.read_back {
            Ok(found) => differences(trace, found, &conventions),
            Err(_) => Vec::new(),
        };
        (written, found)
    };
    let (short, found) = attempt(false);
    if found.is_empty() && short.read_back.is_ok() {
        return (short, found);
    }
    let (whole, left) = attempt(true);
    match whole.read_back.is_ok() && (short.read_back.is_err() || left.len() < found.len()) {
        true => (whole, left),
        false => (short, found),
    }
}

fn extension(path: Option<&Path>) -> Option<&str> {
    path?.extension()?.to_str()
}

/// Writes to the output file, or gives text to standard output.
fn write(output: Option<&Path>, bytes: &[u8], text: Option<&str>) -> Result<String, Failed> {
    let Some(path) = output else {
        return text.map(str::to_string).ok_or_else(|| {
            Failed::input("the result is binary; give a file to write it to with -o")
        });
    };
    files::write(path, bytes)
}
