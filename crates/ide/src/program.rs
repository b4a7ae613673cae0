//! A model whose text is a program: lines that are each a call of it.
//!
//! ONNX text is one, edited or shown in place of a binary file; the tree of a `.pt2` file is another. Both come down to
//! a trace and to places in a text that stand for some calls of it.

mod onnx;
mod spans;
mod tree;
mod values;

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{CallId, ModuleId, Origin, ParameterId, Shape, Target, Trace};

use crate::analysis::Dims;
use crate::hints::{Anchors, Subject};
use crate::model::{Facts, Model, Subjects};
use crate::outline::{OutlineItem, OutlineKind};
use crate::text::Buffer;

/// A model whose text is a program.
#[derive(Debug, Default)]
pub struct Program {
    /// What is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
    /// The sizes of free dimensions that it was run with.
    pub dims: Dims,
    /// Whether its text is ONNX's syntax.
    is_onnx: bool,
    model: Model,
    /// The bytes of the model's name.
    head: Range<usize>,
    places: Vec<Place>,
    paths: OnceCell<Vec<Option<String>>>,
}

/// A part of the text that stands for calls.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its bytes.
    pub span: Range<usize>,
    /// What it is called in the text.
    pub name: String,
    /// How many places it is inside of.
    pub depth: usize,
    /// The shape of what it gives, the first and the last time.
    pub shapes: Option<(Shape, Shape)>,
    /// The type of its elements.
    pub dtype: Option<DType>,
    /// How often it runs.
    pub times: usize,
    /// The calls that are it alone.
    pub calls: Vec<Range<CallId>>,
}

/// A program file as text.
#[derive(Debug)]
pub struct View {
    /// The text.
    pub text: String,
    /// What editors call its language.
    pub language: &'static str,
    /// What stands in it.
    pub program: Program,
}

/// The endings of the files that are shown as text.
pub const VIEWED: [&str; 2] = ["onnx", "pt2"];

impl View {
    /// Reads a program file. Its weights are not read.
    ///
    /// # Errors
    /// When the file cannot be read or is no program; the message is a sentence.
    pub fn read(path: &Path, dims: &Dims) -> Result<View, String> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some(extension) if extension.eq_ignore_ascii_case("onnx") => onnx::view(path, dims),
            _ => tree::view(path, dims),
        }
    }
}

impl Program {
    /// Reads ONNX's textual syntax.
    pub fn of_onnx_text(text: &str, name: &str, dims: &Dims) -> Program {
        onnx::of_text(text, name, dims)
    }

    /// The places of the text.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The bytes of the model's name.
    pub fn head(&self) -> Range<usize> {
        self.head.clone()
    }

    /// Whether the text means a whole model.
    pub fn is_complete(&self) -> bool {
        !self
            .diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The lines that have a hint.
    pub fn anchors(&self, buffer: &Buffer) -> Anchors {
        let mut lines = Vec::with_capacity(self.places.len() + 1);
        if !self.model.trace.calls.is_empty() {
            lines.push((buffer.line_of(self.head.start), Subject::Model));
        }
        let node =
            |(at, place): (usize, &Place)| (buffer.line_of(place.span.start), Subject::Node(at));
        lines.extend(self.places.iter().enumerate().map(node));
        lines.sort_unstable();
        Anchors::of_lines(lines)
    }

    /// What stands at an offset: the innermost place, or the model.
    pub fn subject_at(&self, offset: usize) -> Option<(Subject, Range<usize>)> {
        let touches = |span: &Range<usize>| span.start <= offset && offset <= span.end;
        let places = self.places.iter().enumerate();
        let inner = places
            .filter(|(_, place)| touches(&place.span))
            .min_by_key(|(_, place)| place.span.len());
        if let Some((at, place)) = inner {
            return Some((Subject::Node(at), place.span.clone()));
        }
        touches(&self.head).then(|| (Subject::Model, self.head.clone()))
    }

    /// Where the value or function at an offset of its text is defined, and where it is used; the definition first.
    pub fn occurrences(&self, text: &str, offset: usize) -> Vec<Range<usize>> {
        match self.is_onnx {
            true => values::occurrences(text, offset),
            // The tree of a program names nothing twice.
            false => Vec::new(),
        }
    }

    /// How far into a line of its text the hint stands, where its end is too far to be seen: behind the operator.
    pub fn hint_column(&self, line: &str) -> Option<usize> {
        const SEEN: usize = 120;
        if !self.is_onnx || line.len() <= SEEN {
            return None;
        }
        let after = line.find(" = ")? + 3;
        let operator = line[after..].find(|c: char| !(c.is_alphanumeric() || "_.:".contains(c)))?;
        Some(after + operator)
    }

    /// The structure of the text.
    pub fn outline(&self) -> Vec<OutlineItem> {
        let item = |name: &str, detail: String, kind, span: &Range<usize>| OutlineItem {
            name: name.into(),
            detail,
            kind,
            span: span.clone(),
            name_span: span.clone(),
            children: Vec::new(),
        };
        if self.model.trace.calls.is_empty() {
            return Vec::new();
        }
        let mut open = vec![item(
            &self.model.trace.name,
            String::new(),
            OutlineKind::Model,
            &self.head,
        )];
        for (at, place) in self.places.iter().enumerate() {
            close(&mut open, place.depth + 1);
            let deeper = self
                .places
                .get(at + 1)
                .is_some_and(|next| next.depth > place.depth);
            let kind = if deeper {
                OutlineKind::Container
            } else {
                OutlineKind::Layer
            };
            open.push(item(&place.name, self.class(place), kind, &place.span));
        }
        close(&mut open, 1);
        open
    }

    /// The class of the module that a place is a call of.
    fn class(&self, place: &Place) -> String {
        let module = place
            .calls
            .first()
            .and_then(|calls| self.module_of(calls.start));
        module.map_or(String::new(), |module| {
            self.model.trace.module(module).class.short_name().into()
        })
    }

    fn module_of(&self, call: CallId) -> Option<ModuleId> {
        match self.model.trace.call(call).target {
            Target::Module(module) => Some(module),
            _ => None,
        }
    }

    /// The path of a module.
    fn path(&self, module: ModuleId) -> Option<&str> {
        let paths = self.paths.get_or_init(|| {
            let mut paths = vec![None; self.model.trace.modules.len()];
            for (path, module) in self.model.trace.named_modules() {
                paths[module.index()].get_or_insert(path);
            }
            paths
        });
        let path = paths.get(module.index())?.as_deref()?;
        (!path.is_empty()).then_some(path)
    }

    /// The parameters that some calls use or that their modules hold, each once.
    fn parameters(&self, calls: &[Range<CallId>]) -> Option<Dim> {
        let trace = &self.model.trace;
        let mut found: HashSet<ParameterId> = HashSet::new();
        let mut holds = false;
        for range in calls.iter().filter(|range| is_whole(trace, range)) {
            if let Some(module) = self.module_of(range.start) {
                holds = true;
                for module in trace.modules_inside(module) {
                    let own = &trace.module(module).parameters;
                    found.extend(own.iter().filter_map(|(_, id)| *id));
                }
                continue;
            }
            let inside = (range.start.index()..range.end.index()).map(CallId::new);
            let arguments = inside.flat_map(|call| &trace.call(call).arguments);
            for tensor in arguments.flat_map(|argument| argument.value.tensors()) {
                if let Origin::Parameter(id) = trace.tensor(tensor).origin {
                    found.insert(id);
                }
            }
        }
        let numel = |id: ParameterId| Dim::product(&trace.parameter(id).shape);
        (holds || !found.is_empty()).then(|| found.into_iter().map(numel).sum())
    }
}

/// Whether a range is a call with all that is inside it, and not what the call itself adds to that.
fn is_whole(trace: &Trace, range: &Range<CallId>) -> bool {
    trace.call(range.start).end <= range.end
}

/// Puts what is open at a depth or below it where it belongs.
fn close(open: &mut Vec<OutlineItem>, depth: usize) {
    while open.len() > depth {
        let Some(done) = open.pop() else { return };
        let Some(outer) = open.last_mut() else {
            open.push(done);
            return;
        };
        outer.span.end = outer.span.end.max(done.span.end);
        outer.children.push(done);
    }
}

impl Subjects for Program {
    fn model(&self) -> &Model {
        &self.model
    }

    fn facts(&self, subject: Subject) -> Facts {
        let Subject::Node(index) = subject else {
            return Facts::default();
        };
        let Some(place) = self.places.get(index) else {
            return Facts::default();
        };
        Facts {
            shapes: place.shapes.clone(),
            dtype: place.dtype,
            params: self.parameters(&place.calls),
            times: place.times,
            calls: place.calls.clone(),
        }
    }

    fn title(&self, subject: Subject) -> Option<String> {
        let Subject::Node(index) = subject else {
            return None;
        };
        let place = self.places.get(index)?;
        let mut out = format!("**{}**", place.name);
        if let Some(module) = place
            .calls
            .first()
            .and_then(|calls| self.module_of(calls.start))
        {
            if let Some(path) = self.path(module).filter(|path| *path != place.name) {
                out.push_str(&format!(" · `{path}`"));
            }
            out.push_str(&format!(" · `{}`", self.class(place)));
        }
        Some(out)
    }

    fn is_shared(&self, _: Subject) -> bool {
        // A node of a function runs as often as the function is called.
        true
    }
}
