//! One model format into another.

use std::path::{Path, PathBuf};

use modelcost_onnx::{Converted, ModelFile, convert};
use modelcost_reader::{Kind, detect};

use crate::args::ConvertArgs;
use crate::errors::Failed;

pub fn run(args: &ConvertArgs) -> Result<String, Failed> {
    let kind = detect(&args.model).map_err(|diagnostic| Failed::about(&args.model, &diagnostic))?;
    let fail = |error: modelcost_onnx::OnnxError| {
        Failed::input(format!("{}: {error}", args.model.display()))
    };
    match (kind, extension(args.output.as_deref())) {
        (Kind::Onnx | Kind::OnnxText, None | Some("onnx" | "onnxtxt" | "onnxtext")) => {
            let file = ModelFile::open(&args.model).map_err(fail)?;
            match convert(&file).map_err(fail)? {
                Converted::Text(text) => {
                    write(args.output.as_deref(), text.as_bytes(), Some(&text))
                }
                Converted::Binary(bytes) => write(args.output.as_deref(), &bytes, None),
            }
        }
        (_, target) => Err(Failed::input(format!(
            "there is no conversion from {} to {}; ONNX converts to its text (.onnxtxt) and back",
            args.model.display(),
            target.map_or("text".into(), |target| format!(".{target}"))
        ))),
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
    let path: PathBuf = path.into();
    std::fs::write(&path, bytes)
        .map_err(|error| Failed::input(format!("cannot write {}: {error}", path.display())))?;
    Ok(format!("{} written\n", path.display()))
}
