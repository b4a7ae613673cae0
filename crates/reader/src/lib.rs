//! Opens any model file: finds out what it is and hands it to the reader of its format.

mod bind;
mod detect;
mod piped;
mod pytorch;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_core::dim::Dim;
use modelcost_core::trace::{Shape, Trace};
use smol_str::SmolStr;

pub use detect::{Kind, detect};
pub use modelcost_checkpoint as checkpoint;
pub use piped::{forget as forget_pipes, is_pipe};

/// What is said beside the file: sizes of its free dimensions and of its inputs.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Sizes of free dimensions by name.
    pub dims: BTreeMap<SmolStr, Dim>,
    /// Shapes of inputs; without a name, of the first one that has none yet.
    pub inputs: Vec<(Option<SmolStr>, Shape)>,
    /// The first dimension of every input.
    pub batch: Option<Dim>,
}

/// A model file that was read.
#[derive(Clone, Debug)]
pub struct Model {
    /// Where it is.
    pub path: PathBuf,
    /// What one forward pass calls.
    pub trace: Trace,
    /// The source, for files that people write.
    pub text: Option<String>,
    /// The limits that the file itself sets: the `[budget]` of a spec.
    pub budget: Vec<modelcost_spec::Budget>,
}

/// What a model file holds.
#[derive(Clone, Debug)]
pub enum Opened {
    /// A model with its computation.
    Model(Model),
    /// Parameters without one.
    Checkpoint(checkpoint::Checkpoint),
}

/// Why a file could not be read: one or more messages, with places where the file is text.
#[derive(Clone, Debug)]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// Its text, for the places.
    pub text: Option<String>,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<&str> = self
            .diagnostics
            .iter()
            .map(|diagnostic| diagnostic.message.as_str())
            .collect();
        write!(f, "{}: {}", self.path.display(), messages.join("; "))
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    fn new(path: &Path, diagnostic: Diagnostic) -> OpenError {
        OpenError {
            path: path.into(),
            text: None,
            diagnostics: vec![diagnostic],
        }
    }
}

impl Model {
    /// The same model with other sizes. This model must have been opened with none, so that its
    /// dimensions are still as the file has them; a file that is in memory is not read again unless
    /// its program has to be run at other shapes.
    pub fn resized(&self, options: &Options) -> Result<Model, OpenError> {
        match (&self.text, self.trace.format) {
            (Some(text), "toml") => trace_spec(&self.path, text.clone(), options),
            (None, "pt2") => {
                let binding = bind::bind(&self.trace, options)
                    .map_err(|diagnostic| OpenError::new(&self.path, *diagnostic))?;
                if !binding.shapes.is_empty() {
                    return open(&self.path, options);
                }
                let mut trace = self.trace.clone();
                binding.apply(&mut trace);
                Ok(Model {
                    path: self.path.clone(),
                    trace,
                    text: None,
                    budget: Vec::new(),
                })
            }
            _ => open(&self.path, options),
        }
    }

    /// The trace with further shapes of its inputs, in place of those that the options give. The
    /// error is the sentence that tells why the file does not allow them.
    pub fn at_shapes(
        &self,
        options: &Options,
        shapes: &[(SmolStr, Shape)],
    ) -> Result<Trace, String> {
        let mut options = options.clone();
        for (name, shape) in shapes {
            options
                .inputs
                .retain(|(given, _)| given.as_ref() != Some(name));
            options.inputs.push((Some(name.clone()), shape.clone()));
        }
        options.batch = None;
        match self.resized(&options) {
            Ok(model) => Ok(model.trace),
            Err(error) => Err(match error.diagnostics.first() {
                Some(first) => first.message.clone(),
                None => error.to_string(),
            }),
        }
    }
}

/// Reads a model file of any kind. A checkpoint is an error: it has nothing to count.
pub fn open(path: &Path, options: &Options) -> Result<Model, OpenError> {
    match open_any(path, options)? {
        Opened::Model(model) => Ok(model),
        Opened::Checkpoint(_) => Err(no_graph(path)),
    }
}

/// Reads a model file or a checkpoint; `-` is what comes through standard input.
pub fn open_any(path: &Path, options: &Options) -> Result<Opened, OpenError> {
    let file = file(path)?;
    // What came through a pipe goes by the name that it was asked for.
    match open_file(&file, options) {
        Ok(Opened::Model(mut model)) => {
            let copy = file.file_stem().map(|stem| stem.to_string_lossy());
            if *file != *path && copy.is_some_and(|copy| model.trace.name == copy) {
                model.trace.name = "model".into();
            }
            model.path = path.into();
            Ok(Opened::Model(model))
        }
        Ok(checkpoint) => Ok(checkpoint),
        Err(error) => Err(OpenError {
            path: path.into(),
            ..error
        }),
    }
}

/// The file that holds what is at a path: itself, or a copy of what comes through a pipe.
pub fn file(path: &Path) -> Result<Cow<'_, Path>, OpenError> {
    piped::file(path).map_err(|diagnostic| OpenError::new(path, *diagnostic))
}

fn open_file(path: &Path, options: &Options) -> Result<Opened, OpenError> {
    let kind = detect(path).map_err(|diagnostic| OpenError::new(path, *diagnostic))?;
    let model = match kind {
        Kind::Spec => open_spec(path, options)?,
        Kind::Archive => return pytorch::open(path, options),
        Kind::Checkpoint => {
            let checkpoint = checkpoint::read_path(path);
            let checkpoint =
                checkpoint.map_err(|error| OpenError::new(path, without_file(&error, path)))?;
            return Ok(Opened::Checkpoint(checkpoint));
        }
        Kind::Onnx | Kind::OnnxText => open_onnx(path, options)?,
    };
    Ok(Opened::Model(model))
}

/// Says that a checkpoint cannot be counted, and what can.
pub fn no_graph(path: &Path) -> OpenError {
    let message = "this is a checkpoint: it holds parameters but no graph of calls, so there is \
                   nothing to count";
    let diagnostic = Diagnostic::without_place(message).with_help(format!(
        "where the model is built, write a program and count that: {EXPORT}; \
         modelcost {} alone lists the parameters",
        path.display()
    ));
    OpenError::new(path, diagnostic)
}

/// The line of Python that writes what can be counted.
const EXPORT: &str = "torch.export.save(torch.export.export(model.eval(), (x,)), \"model.pt2\"), or \
     torch.onnx.export(model.eval(), (x,), \"model.onnx\"), where x is an input";

fn open_spec(path: &Path, options: &Options) -> Result<Model, OpenError> {
    let bytes = std::fs::read(path).map_err(|error| {
        OpenError::new(
            path,
            Diagnostic::without_place(format!("the file cannot be read: {error}")),
        )
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        let message = format!("line {line} is not UTF-8, so this is no TOML file");
        OpenError::new(
            path,
            Diagnostic::without_place(message).with_help("save the file as UTF-8"),
        )
    })?;
    trace_spec(path, text, options)
}

fn trace_spec(path: &Path, text: String, options: &Options) -> Result<Model, OpenError> {
    let (document, _) = modelcost_spec::Document::parse(&text);
    let options = modelcost_spec::Options {
        dims: options.dims.clone(),
        inputs: options.inputs.clone(),
        batch: options.batch.clone(),
        superseded: None,
    };
    match document.trace(&options) {
        Ok(trace) => Ok(Model {
            path: path.into(),
            trace,
            text: Some(text),
            budget: document.budget,
        }),
        Err(diagnostics) => Err(OpenError {
            path: path.into(),
            text: Some(text),
            diagnostics,
        }),
    }
}

fn open_onnx(path: &Path, options: &Options) -> Result<Model, OpenError> {
    let bindings = onnx_bindings(path, options)?;
    let trace = modelcost_onnx::read_path(path, &bindings)
        .map_err(|error| OpenError::new(path, without_file(&error, path)))?;
    Ok(Model {
        path: path.into(),
        trace,
        text: None,
        budget: Vec::new(),
    })
}

/// What is said beside an ONNX file, as its reader takes it: every shape under its input's name.
pub fn onnx_bindings(
    path: &Path,
    options: &Options,
) -> Result<modelcost_onnx::infer::Options, OpenError> {
    let dims = options.dims.iter();
    let mut bindings = modelcost_onnx::infer::Options {
        dims: dims
            .map(|(name, size)| (name.clone(), size.clone()))
            .collect(),
        ..Default::default()
    };
    if options.inputs.is_empty() && options.batch.is_none() {
        return Ok(bindings);
    }
    let inputs = modelcost_onnx::shapes(path, &Default::default())
        .map_err(|error| OpenError::new(path, without_file(&error, path)))?
        .inputs;
    let mut names = inputs
        .iter()
        .map(|input| SmolStr::from(input.name.as_str()));
    for (name, shape) in &options.inputs {
        let Some(name) = name.clone().or_else(|| names.next()) else {
            let diagnostic =
                Diagnostic::without_place("more shapes are given than the model has inputs");
            return Err(OpenError::new(path, diagnostic));
        };
        // The last shape given for an input is meant.
        bindings.inputs.retain(|(other, _)| *other != name);
        bindings.inputs.push((name, shape.clone()));
    }
    let Some(batch) = &options.batch else {
        return Ok(bindings);
    };
    for input in &inputs {
        let given = bindings
            .inputs
            .iter()
            .any(|(name, _)| name == input.name.as_str());
        let own = input.shape.as_ref().filter(|shape| !shape.is_empty());
        if let Some(shape) = own.filter(|_| !given) {
            let mut shape = shape.clone();
            shape[0] = batch.clone();
            bindings.inputs.push((input.name.as_str().into(), shape));
        }
    }
    Ok(bindings)
}

/// A reader's message without the path, which is shown beside it.
fn without_file(error: &dyn fmt::Display, path: &Path) -> Diagnostic {
    let message = error.to_string();
    let prefix = format!("{}: ", path.display());
    Diagnostic::without_place(message.strip_prefix(&prefix).unwrap_or(&message))
}
