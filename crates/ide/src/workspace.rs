//! The open documents and what is chosen for them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use modelcost_core::convention::{self, Convention};
use modelcost_core::diagnostic::Diagnostic;

use crate::analysis::{Analysis, Dims};
use crate::answers::Status;
use crate::budget;
use crate::config::{self, CONFIG_FILE, DEFAULT_CONVENTION, Directive, Partial, Settings};
use crate::hints::{self, Anchors, Hint, Subject};
use crate::numbers::Numbers;
use crate::text::Buffer;

/// The longest text that is looked into. Longer ones are kept in step with the editor, and that is all.
pub const MAX_TEXT: usize = 8 << 20;

/// What a document is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TOML file, which may be a spec.
    Toml,
    /// `modelcost.toml`
    Config,
    /// Anything else.
    Other,
}

/// Where the choice of a convention came from, the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Nobody chose.
    Default,
    /// The editor's settings.
    Editor,
    /// `modelcost.toml`
    Config,
    /// A command.
    Command,
    /// A comment in the file.
    Directive,
}

impl Chosen {
    /// As a word.
    pub fn name(self) -> &'static str {
        match self {
            Chosen::Default => "default",
            Chosen::Editor => "settings",
            Chosen::Config => CONFIG_FILE,
            Chosen::Command => "command",
            Chosen::Directive => "comment",
        }
    }
}

/// An open document.
#[derive(Debug)]
pub struct Document {
    kind: Kind,
    path: Option<PathBuf>,
    buffer: Buffer,
    version: i32,
    state: Option<State>,
    /// Hints of the text as it was when it last meant a whole model, moved along with the lines.
    good: Vec<(usize, Hint)>,
    good_status: Option<Status>,
}

/// What was worked out for a text.
#[derive(Debug)]
struct State {
    analysis: Analysis,
    anchors: Anchors,
    directive: Option<Directive>,
}

impl Document {
    /// The text.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The editor's number for the text.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// What it is to us.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is a settings file.
    pub fn is_config(&self) -> bool {
        self.kind == Kind::Config
    }

    /// Where it is on disk, if it is.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    fn state(&mut self, dims: &Dims) -> Option<&State> {
        if self.kind != Kind::Toml
            || self.buffer.text().len() > MAX_TEXT
            || !might_be_spec(&self.path, self.buffer.text())
        {
            self.state = None;
            return None;
        }
        if self
            .state
            .as_ref()
            .is_none_or(|state| state.analysis.dims != *dims)
        {
            self.state = None;
            let analysis = Analysis::new(self.buffer.text(), dims);
            if analysis.document.is_spec() {
                let anchors = Anchors::new(&analysis, &self.buffer);
                let directive = config::directive(self.buffer.text());
                self.state = Some(State {
                    analysis,
                    anchors,
                    directive,
                });
            }
        }
        self.state.as_ref()
    }
}

/// Whether a TOML text can be a spec at all: told without parsing, so that other files cost nothing.
fn might_be_spec(path: &Option<PathBuf>, text: &str) -> bool {
    const OTHERS: [&str; 6] = [
        "Cargo.toml",
        "pyproject.toml",
        "rustfmt.toml",
        "clippy.toml",
        "Pipfile",
        "taplo.toml",
    ];
    let name = path
        .as_deref()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    !name.is_some_and(|name| OTHERS.contains(&name))
        && (text.contains("layers") || text.contains("model"))
}

/// The convention that counts for a document.
#[derive(Clone)]
pub struct Choice {
    /// The convention; the default one where the name that was chosen is no convention's.
    pub convention: &'static dyn Convention,
    /// Who chose it.
    pub chosen: Chosen,
    /// What was asked for, if there is no such convention.
    pub unknown: Option<String>,
}

/// The open documents and what is chosen for them.
#[derive(Debug, Default)]
pub struct Workspace {
    documents: HashMap<String, Document>,
    editor: Partial,
    command: Option<String>,
    configs: BTreeMap<PathBuf, (Partial, Vec<Diagnostic>)>,
}

impl Workspace {
    /// No documents, no choices.
    pub fn new() -> Workspace {
        modelcost_conventions::link();
        Workspace::default()
    }

    /// Opens a document. `uri` is only a key; `path` says what kind of file it is and which settings are its folder's.
    pub fn open(&mut self, uri: &str, path: Option<PathBuf>, version: i32, text: String) {
        let kind = kind_of(path.as_deref().or(Some(Path::new(uri))));
        let document = Document {
            kind,
            path,
            buffer: Buffer::new(text),
            version,
            state: None,
            good: Vec::new(),
            good_status: None,
        };
        if kind == Kind::Config
            && let Some(folder) = document
                .path
                .as_deref()
                .and_then(Path::parent)
                .map(Path::to_owned)
        {
            self.set_config(folder, Some(document.buffer.text()));
        }
        self.documents.insert(uri.into(), document);
    }

    /// Closes a document.
    pub fn close(&mut self, uri: &str) {
        self.documents.remove(uri);
    }

    /// An open document.
    pub fn document(&self, uri: &str) -> Option<&Document> {
        self.documents.get(uri)
    }

    /// The keys of the open documents.
    pub fn uris(&self) -> Vec<String> {
        let mut uris: Vec<String> = self.documents.keys().cloned().collect();
        uris.sort();
        uris
    }

    /// Replaces bytes of a document, or all of it.
    pub fn edit(&mut self, uri: &str, version: i32, range: Option<Range<usize>>, text: &str) {
        let Some(document) = self.documents.get_mut(uri) else {
            return;
        };
        document.version = version;
        document.state = None;
        match range {
            None => {
                document.buffer = Buffer::new(text);
                document.good.clear();
            }
            Some(range) => {
                let range = range.start..range.end.max(range.start);
                let first = document.buffer.line_of(range.start);
                let last = document.buffer.line_of(range.end);
                let before = document.buffer.line_count();
                document.buffer.replace(range, text);
                let after = document.buffer.line_count();
                if before != after {
                    // Lines that the edit swallowed have no numbers any more; those below move.
                    document
                        .good
                        .retain(|(line, _)| *line <= first || *line >= last);
                    for (line, _) in document
                        .good
                        .iter_mut()
                        .filter(|(line, _)| *line > first || *line >= last && last > first)
                    {
                        *line = (*line + after).saturating_sub(before);
                    }
                }
            }
        }
        if document.kind == Kind::Config
            && let Some(folder) = document
                .path
                .as_deref()
                .and_then(Path::parent)
                .map(Path::to_owned)
        {
            let text = document.buffer.text().to_string();
            self.set_config(folder, Some(&text));
        }
    }

    /// The editor's settings.
    pub fn set_editor_settings(&mut self, settings: Partial) {
        self.editor = settings;
    }

    /// The convention that a command chose; `None` to go back to what files and settings say.
    pub fn set_convention(&mut self, name: Option<String>) {
        self.command = name;
    }

    /// The text of a folder's `modelcost.toml`, or that there is none.
    pub fn set_config(&mut self, folder: PathBuf, text: Option<&str>) {
        match text {
            Some(text) => drop(self.configs.insert(folder, config::parse_config(text))),
            None => drop(self.configs.remove(&folder)),
        }
    }

    /// Whether a folder's `modelcost.toml` is known.
    pub fn has_config(&self, folder: &Path) -> bool {
        self.configs.contains_key(folder)
    }

    /// The settings in force for a document, apart from its own comment.
    pub fn settings(&self, uri: &str) -> (Settings, Chosen) {
        let mut settings = Settings::default();
        let mut chosen = Chosen::Default;
        settings.apply(&self.editor);
        if self
            .editor
            .convention
            .as_ref()
            .is_some_and(|name| !name.trim().is_empty())
        {
            chosen = Chosen::Editor;
        }
        let folder = self
            .documents
            .get(uri)
            .and_then(|document| document.path.as_deref()?.parent());
        if let Some((config, _)) = folder.and_then(|folder| self.config_of(folder)) {
            settings.apply(config);
            if config.convention.is_some() {
                chosen = Chosen::Config;
            }
        }
        if let Some(name) = &self.command {
            settings.convention = name.clone();
            chosen = Chosen::Command;
        }
        (settings, chosen)
    }

    fn config_of(&self, folder: &Path) -> Option<&(Partial, Vec<Diagnostic>)> {
        folder
            .ancestors()
            .find_map(|folder| self.configs.get(folder))
    }

    /// What is wrong with a `modelcost.toml`.
    pub(crate) fn config_diagnostics(&self, uri: &str) -> Vec<Diagnostic> {
        let folder = self
            .documents
            .get(uri)
            .and_then(|document| document.path.as_deref()?.parent());
        folder
            .and_then(|folder| self.configs.get(folder))
            .map_or(Vec::new(), |(_, diagnostics)| diagnostics.clone())
    }

    /// The convention that counts for a document.
    pub fn choice(&mut self, uri: &str) -> Option<Choice> {
        let (settings, chosen) = self.settings(uri);
        let document = self.documents.get_mut(uri)?;
        let directive = document
            .state(&settings.dims)
            .and_then(|state| state.directive.clone());
        let (name, chosen) = match directive {
            Some(directive) => (directive.convention, Chosen::Directive),
            None => (settings.convention, chosen),
        };
        match convention::find(&name) {
            Ok(convention) => Some(Choice {
                convention,
                chosen,
                unknown: None,
            }),
            Err(_) => {
                let convention = convention::find(DEFAULT_CONVENTION).ok()?;
                Some(Choice {
                    convention,
                    chosen,
                    unknown: Some(name),
                })
            }
        }
    }

    /// The analysis of a document, if it is a spec.
    pub fn analysis(&mut self, uri: &str) -> Option<&Analysis> {
        let (settings, _) = self.settings(uri);
        Some(&self.documents.get_mut(uri)?.state(&settings.dims)?.analysis)
    }

    /// The analysis of a document with the text that it is of.
    pub(crate) fn analyzed(&self, uri: &str) -> Option<(&Analysis, &str)> {
        let document = self.documents.get(uri)?;
        Some((&document.state.as_ref()?.analysis, document.buffer.text()))
    }

    /// Throws away what was worked out for the documents' texts.
    pub fn forget_analyses(&mut self) {
        self.documents
            .values_mut()
            .for_each(|document| document.state = None);
    }

    /// A status as it is, or the last one of a text without errors.
    pub(crate) fn last_good_status(&mut self, uri: &str, complete: bool, status: Status) -> Status {
        let Some(document) = self.documents.get_mut(uri) else {
            return status;
        };
        if complete {
            document.good_status = Some(status.clone());
            return status;
        }
        match &document.good_status {
            Some(good) if good.convention == status.convention => Status {
                stale: true,
                ..good.clone()
            },
            _ => Status {
                count: None,
                params: None,
                count_exact: None,
                params_exact: None,
                stale: true,
                ..status
            },
        }
    }

    /// The model of a document under the convention that counts for it.
    pub fn numbers(&mut self, uri: &str) -> Option<Rc<Numbers>> {
        let choice = self.choice(uri)?;
        Some(self.analysis(uri)?.numbers(choice.convention))
    }

    /// The directive of a document.
    pub fn directive(&mut self, uri: &str) -> Option<Directive> {
        let (settings, _) = self.settings(uri);
        self.documents
            .get_mut(uri)?
            .state(&settings.dims)?
            .directive
            .clone()
    }

    /// What stands beside the lines of a range of a document.
    pub fn hints(&mut self, uri: &str, range: Range<usize>) -> Vec<Hint> {
        let (settings, _) = self.settings(uri);
        if !settings.hints.enabled {
            return Vec::new();
        }
        let Some(numbers) = self.numbers(uri) else {
            return Vec::new();
        };
        let Some(document) = self.documents.get_mut(uri) else {
            return Vec::new();
        };
        let Some(state) = document.state.as_ref() else {
            return Vec::new();
        };
        let complete = state.analysis.is_complete();
        let text =
            |subject| hints::label(&state.analysis, Some(&numbers), &settings.hints, subject);
        let mut out = Vec::new();
        for &(offset, subject) in state.anchors.inside(&range) {
            // Half a model has totals of its own, which nobody wants to see.
            if !complete && !matches!(subject, Subject::Layer(_)) {
                continue;
            }
            if let Some(label) = text(subject) {
                out.push(Hint {
                    offset,
                    label,
                    subject,
                    stale: false,
                });
            }
        }
        if complete {
            return out;
        }
        for (line, hint) in &document.good {
            let bytes = document.buffer.line(*line);
            let offset = bytes.start + document.buffer.text()[bytes.clone()].trim_end().len();
            let visible = range.start <= offset && offset <= range.end;
            let known = out
                .iter()
                .any(|fresh| document.buffer.line_of(fresh.offset) == *line && !fresh.stale);
            if visible && !known {
                out.push(Hint {
                    offset,
                    stale: true,
                    ..hint.clone()
                });
            }
        }
        out.sort_by_key(|hint| hint.offset);
        out
    }

    /// Keeps the hints of a document whose text means a whole model, for the time when it does not. Called between edits,
    /// so that typing does not wait for it.
    pub fn remember(&mut self, uri: &str) {
        let whole = self.analysis(uri).is_some_and(Analysis::is_complete);
        let Some(length) = self
            .document(uri)
            .map(|document| document.buffer.text().len())
        else {
            return;
        };
        if !whole {
            return;
        }
        let hints = self.hints(uri, 0..length);
        if let Some(document) = self.documents.get_mut(uri) {
            document.good = hints
                .into_iter()
                .map(|hint| (document.buffer.line_of(hint.offset), hint))
                .collect();
        }
    }

    /// What is wrong with a document.
    pub fn diagnostics(&mut self, uri: &str) -> Vec<Diagnostic> {
        if self
            .document(uri)
            .is_some_and(|document| document.kind == Kind::Config)
        {
            return self.config_diagnostics(uri);
        }
        let Some(choice) = self.choice(uri) else {
            return Vec::new();
        };
        let (settings, _) = self.settings(uri);
        let Some(analysis) = self.analysis(uri) else {
            return Vec::new();
        };
        let mut out = analysis.diagnostics.clone();
        if analysis.is_complete() {
            out.extend(budget::check(
                analysis,
                choice.convention,
                &settings.budgets,
            ));
        }
        let directive = self.directive(uri);
        if let Some((name, directive)) = choice.unknown.as_deref().zip(directive) {
            out.extend(config::unknown_convention(name, directive.span));
        }
        out
    }
}

fn kind_of(path: Option<&Path>) -> Kind {
    let name = path
        .and_then(Path::file_name)
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    match name.rsplit_once('.') {
        _ if name == CONFIG_FILE => Kind::Config,
        Some((_, "toml")) => Kind::Toml,
        // An unsaved document has no name that tells.
        None => Kind::Toml,
        _ => Kind::Other,
    }
}
