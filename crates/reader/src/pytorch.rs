//! PyTorch's archives: one extension, several kinds of file.

use std::path::Path;

use modelcost_archive::{Archive, Contents};
use modelcost_core::diagnostic::Diagnostic;
use modelcost_core::trace::Shape;
use modelcost_export::ExportError;
use smol_str::SmolStr;

use crate::{EXPORT, Model, OpenError, Opened, Options, bind, without_file};

/// Opens an archive as what it holds.
pub fn open(path: &Path, options: &Options) -> Result<Opened, OpenError> {
    let fail = |diagnostic| OpenError::new(path, diagnostic);
    let file = path.display().to_string();
    let map = modelcost_archive::map(path).map_err(|error| {
        fail(Diagnostic::without_place(format!(
            "the file cannot be read: {error}"
        )))
    })?;
    let archive = Archive::open(&map, &file).map_err(|error| fail(without_file(&error, path)))?;
    match archive.contents() {
        Contents::Program(entry) => {
            let read = |shapes: &[(SmolStr, Shape)]| {
                modelcost_export::read_archive_at(&archive, &entry, &file, shapes)
                    .map_err(|error| fail(program_error(error, path)))
            };
            let mut trace = read(&[])?;
            let binding = bind::bind(&trace, options).map_err(|diagnostic| fail(*diagnostic))?;
            if !binding.shapes.is_empty() {
                trace = read(&binding.shapes)?;
            }
            binding.apply(&mut trace);
            Ok(Opened::Model(Model {
                path: path.into(),
                trace,
                text: None,
                budget: Vec::new(),
            }))
        }
        Contents::Pickle(entry) => {
            let read = modelcost_checkpoint::read_archive(&archive, &entry, &file);
            let checkpoint = read.map_err(|error| fail(without_file(&error, path)))?;
            Ok(Opened::Checkpoint(checkpoint))
        }
        Contents::TorchScript => Err(fail(
            Diagnostic::without_place(
                "this is a TorchScript archive (torch.jit.save); its code is compiled for \
                 PyTorch and not read here",
            )
            .with_help(format!(
                "write a program from the model's Python code: {EXPORT}; without that code, \
                 torch.onnx.export(torch.jit.load(\"{}\"), (x,), \"model.onnx\", dynamo=False) \
                 writes ONNX",
                path.file_name().unwrap_or_default().to_string_lossy()
            )),
        )),
        Contents::Compiled => Err(fail(
            Diagnostic::without_place(
                "this is a package of AOTInductor: it holds compiled code and no program",
            )
            .with_help(format!("write the program beside it: {EXPORT}")),
        )),
        Contents::Package => Err(fail(
            Diagnostic::without_place(
                "this is an archive of torch.package: it holds Python sources, which are never run \
                 here",
            )
            .with_help(format!("load the model and write a program: {EXPORT}")),
        )),
        Contents::Unknown => Err(fail(
            Diagnostic::without_place(
                "the archive holds neither a program of torch.export nor a checkpoint of torch.save",
            )
            .with_help(format!("write a program: {EXPORT}")),
        )),
    }
}

/// A program that cannot be run at other shapes says so with the mend apart.
fn program_error(error: ExportError, path: &Path) -> Diagnostic {
    match error {
        ExportError::Fixed { refusal, .. } => Diagnostic::without_place(format!(
            "the program was exported at other shapes and cannot be run at these: {refusal}"
        ))
        .with_help(
            "export it at these shapes or with dynamic_shapes, or write a TOML spec (modelcost \
             convert), to try other sizes",
        ),
        other => without_file(&other, path),
    }
}
