//! Converts model files between the binary format and the textual syntax:
//! `cargo run -p modelcost-onnx --example convert model.onnx model.onnxtxt …`

use std::process::ExitCode;

use modelcost_onnx::{Converted, ModelFile, convert};

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let mut failed = false;
    for pair in paths.chunks_exact(2) {
        let converted = ModelFile::open(&pair[0]).and_then(|file| convert(&file));
        let written = match converted {
            Ok(Converted::Text(text)) => std::fs::write(&pair[1], text),
            Ok(Converted::Binary(bytes)) => std::fs::write(&pair[1], bytes),
            Err(error) => {
                eprintln!("{}: {error}", pair[0]);
                failed = true;
                continue;
            }
        };
        if let Err(error) = written {
            eprintln!("{}: {error}", pair[1]);
            failed = true;
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
