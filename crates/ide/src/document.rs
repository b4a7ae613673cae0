//! One open document: its text, and what was worked out for it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use modelcost_core::convention::Convention;
use modelcost_spec::Memo;

use crate::analysis::{Analysis, Dims};
use crate::background::{Background, Reading};
use crate::config::{self, CONFIG_FILE, Directive, HintSettings};
use crate::content::Content;
use crate::excerpt;
use crate::good::{Edit, Good};
use crate::hints::Anchors;
use crate::program::{Program, VIEWED, View};
use crate::text::Buffer;

/// The longest text that is looked into. Longer ones are kept in step with the editor, and that is
/// all.
pub const MAX_TEXT: usize = 8 << 20;

/// A text that takes longer to read is read in the background, where someone would have to wait for it.
const HEAVY: Duration = Duration::from_millis(2);

/// How much may wait to be thrown away.
const MAX_DISCARDED: usize = 4;

/// What a document is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TOML file, which may be a spec.
    Toml,
    /// `modelcost.toml`
    Config,
    /// ONNX's textual syntax.
    OnnxText,
    /// A program file, shown as text and not to be edited.
    View,
    /// Anything else.
    Other,
}

/// An open document.
#[derive(Debug)]
pub struct Document {
    kind: Kind,
    path: Option<PathBuf>,
    buffer: Buffer,
    version: i32,
    state: Option<State>,
    good: Option<Good>,
    /// The reading of this text, where it was begun in the background.
    reading: Option<Reading>,
    /// How long it took to read the text the last time.
    took: Duration,
    /// What is known from the readings before.
    memo: Memo,
    /// Whether the text is known not to be that of the file it is shown for.
    is_other: bool,
    /// What was worked out for earlier texts: freeing a trace takes a while, which nobody should wait for.
    discarded: Vec<Content>,
}

/// What was worked out for a text.
#[derive(Debug)]
pub(crate) struct State {
    pub content: Content,
    pub anchors: Anchors,
    pub directive: Option<Directive>,
}

impl Document {
    /// A document with a text. `path` says what kind of file it is; without one it may be a spec.
    pub fn new(path: Option<PathBuf>, version: i32, text: String) -> Document {
        Document {
            kind: kind_of(path.as_deref()),
            path,
            buffer: Buffer::new(text),
            version,
            state: None,
            good: None,
            reading: None,
            took: Duration::ZERO,
            memo: Memo::default(),
            is_other: false,
            discarded: Vec::new(),
        }
    }

    /// The text.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The editor's number for the text.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// Whether it is a settings file.
    pub fn is_config(&self) -> bool {
        self.kind == Kind::Config
    }

    /// Where it is on disk, if it is.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The folder that it is in.
    pub fn folder(&self) -> Option<&Path> {
        self.path.as_deref()?.parent()
    }

    /// Replaces bytes of the text, or all of it.
    pub(crate) fn edit(&mut self, version: i32, range: Option<Range<usize>>, text: &str) {
        self.version = version;
        self.is_other = false;
        self.reading = None;
        if let Some(state) = self.state.take() {
            self.supersede(state);
        }
        let Some(range) = range else {
            self.buffer = Buffer::new(text);
            self.discarded
                .extend(self.good.take().map(|good| good.content));
            return;
        };
        let length = self.buffer.text().len();
        let start = range.start.min(length);
        let range = start..range.end.clamp(start, length);
        let edit = Edit::of(&self.buffer, range.clone(), text);
        self.buffer.replace(range, text);
        if let Some(good) = &mut self.good {
            good.follow(&edit, self.buffer.line_count());
        }
    }

    /// Keeps what was worked out for the text before an edit, if that meant a whole model.
    fn supersede(&mut self, state: State) {
        let old = if state.content.is_complete() {
            let good = Good::new(state.content, &state.anchors);
            self.good.replace(good).map(|good| good.content)
        } else {
            Some(state.content)
        };
        self.discarded.extend(old);
        self.discarded.truncate(MAX_DISCARDED);
    }

    /// Throws away what was worked out for earlier texts. What is small is freed here, where its memory is what the next
    /// reading is made of.
    pub(crate) fn tidy(&mut self, background: Option<&Background>) {
        let discarded = std::mem::take(&mut self.discarded);
        if let Some(background) = background.filter(|_| self.took >= HEAVY && !discarded.is_empty())
        {
            background.discard(discarded);
        }
    }

    /// Whether the text is yet to be read, and that takes long.
    fn is_long(&self, dims: &Dims) -> bool {
        let is_known = |state: &State| state.content.dims() == dims;
        let may_wait = self.kind != Kind::Toml || self.took < HEAVY || self.good.is_none();
        !may_wait && !self.state.as_ref().is_some_and(is_known)
    }

    /// Whether the text is not read yet, nor about to be.
    pub(crate) fn is_unread(&mut self, dims: &Dims) -> bool {
        if !self.is_long(dims) {
            return false;
        }
        let reading = self
            .reading
            .as_mut()
            .filter(|reading| reading.dims == *dims);
        !reading.is_some_and(|reading| reading.is_done(Instant::now()))
    }

    /// Whether [`Document::state`] answers before a time. Where reading the text takes long, it is begun in the
    /// background.
    pub(crate) fn is_ready(
        &mut self,
        dims: &Dims,
        convention: &'static dyn Convention,
        background: &Background,
        until: Instant,
    ) -> bool {
        if !self.is_long(dims) {
            return true;
        }
        if self
            .reading
            .as_ref()
            .is_none_or(|reading| reading.dims != *dims)
        {
            self.reading = Some(background.read(self.buffer.text(), dims, convention));
        }
        let reading = self.reading.as_mut();
        reading.is_none_or(|reading| reading.is_done(until))
    }

    /// What was worked out for the text, if there is a model in it; worked out now if it was not.
    pub(crate) fn state(&mut self, dims: &Dims) -> Option<&State> {
        let current = |state: &State| state.content.dims() == dims;
        if !self.state.as_ref().is_some_and(current) {
            self.state = None;
            let reading = self.reading.take();
            let reading = reading.filter(|reading| reading.dims == *dims);
            let content = match reading.and_then(Reading::wait) {
                Some((analysis, took)) => {
                    self.took = took;
                    spec(analysis)
                }
                None => {
                    let start = Instant::now();
                    let content = self.read(dims);
                    self.took = start.elapsed();
                    content
                }
            };
            self.keep(content);
        }
        self.state.as_ref()
    }

    fn read(&mut self, dims: &Dims) -> Option<Content> {
        let text = self.buffer.text();
        match self.kind {
            Kind::View if !self.is_other => {
                let view = View::read(self.path.as_deref()?, dims).ok()?;
                self.viewed(view)
            }
            Kind::Toml if text.len() <= MAX_TEXT && self.might_be_spec() => {
                spec(Analysis::until(text, dims, &mut self.memo, None))
            }
            Kind::OnnxText if text.len() <= MAX_TEXT => {
                let name = self.path.as_deref().and_then(Path::file_stem);
                let name = name.map_or("model".into(), |name| name.to_string_lossy());
                let program = Program::of_onnx_text(text, &name, dims);
                Some(Content::Program(Box::new(program)))
            }
            _ => None,
        }
    }

    /// What is known of a file, if this is its text.
    fn viewed(&mut self, view: View) -> Option<Content> {
        // Editors add and take away the last line's end.
        self.is_other = view.text.trim_end() != self.buffer.text().trim_end();
        (!self.is_other).then(|| Content::Program(Box::new(view.program)))
    }

    /// Takes what was worked out for the file that is shown.
    pub(crate) fn take_view(&mut self, view: View) {
        let content = self.viewed(view);
        self.keep(content);
    }

    fn keep(&mut self, content: Option<Content>) {
        self.state = content.map(|content| State {
            anchors: content.anchors(&self.buffer),
            directive: config::directive(self.buffer.text()),
            content,
        });
    }

    /// What was worked out for the text, if it was.
    pub(crate) fn known(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// What was worked out before the text had an error.
    pub(crate) fn good(&self) -> Option<&Good> {
        self.good.as_ref()
    }

    /// What stands beside the layers in view, from the lines around them alone, if that can be told.
    pub(crate) fn excerpt(
        &mut self,
        settings: &HintSettings,
        convention: &dyn Convention,
        view: &Range<usize>,
    ) -> Option<excerpt::Seen> {
        let (good, memo) = (self.good.as_ref()?, &mut self.memo);
        excerpt::read(good, &self.buffer, settings, convention, view, memo)
    }

    /// Throws away what was worked out.
    pub(crate) fn forget(&mut self) {
        self.state = None;
        self.good = None;
        self.reading = None;
        self.memo = Memo::default();
        self.is_other = false;
        self.discarded.clear();
    }

    /// Whether the text can be a spec at all: told without parsing, so that other files cost nothing.
    fn might_be_spec(&self) -> bool {
        const OTHERS: [&str; 6] = [
            "Cargo.toml",
            "pyproject.toml",
            "rustfmt.toml",
            "clippy.toml",
            "taplo.toml",
            "Pipfile",
        ];
        let path = self.path.as_deref();
        let name = path
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        let text = self.buffer.text();
        !name.is_some_and(|name| OTHERS.contains(&name))
            && (text.contains("layers") || text.contains("model"))
    }
}

/// A spec, where the text is one, and not another TOML file with a table called `model`.
fn spec(analysis: Analysis) -> Option<Content> {
    let document = &analysis.document;
    let says_something = !document.layers.is_empty()
        || !document.inputs.is_empty()
        || analysis.diagnostics.is_empty();
    let is_spec = document.is_spec() && says_something;
    is_spec.then(|| Content::Spec(Box::new(analysis)))
}

fn kind_of(path: Option<&Path>) -> Kind {
    let name = path
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    match name {
        // An unsaved document has no name that tells.
        None => Kind::Toml,
        Some(CONFIG_FILE) => Kind::Config,
        Some(name) => match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("toml") => Kind::Toml,
            Some("onnxtxt" | "onnxtext") => Kind::OnnxText,
            Some(ending)
                if VIEWED
                    .iter()
                    .any(|viewed| ending.eq_ignore_ascii_case(viewed)) =>
            {
                Kind::View
            }
            _ => Kind::Other,
        },
    }
}
