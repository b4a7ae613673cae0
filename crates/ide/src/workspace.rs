//! The open documents and what is chosen for them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use modelcost_core::convention::{self, Convention};
use modelcost_core::diagnostic::Diagnostic;

use crate::analysis::Analysis;
use crate::background::{Background, Wake};
use crate::budget;
use crate::config::{self, CONFIG_FILE, DEFAULT_CONVENTION, Directive, Partial, Settings};
use crate::content::Content;
use crate::document::Document;
use crate::hints::{self, Hint};
use crate::numbers::Numbers;
use crate::program::View;

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
    /// Program files that were read to be shown and are not open yet.
    views: VecDeque<(PathBuf, View)>,
    background: Option<Background>,
    wake: Option<Awake>,
}

/// What is called when a reading in the background is there.
struct Awake(Wake);

impl std::fmt::Debug for Awake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Awake")
    }
}

/// An editor asks for a file's text and then opens it: more than a few at once are not on their way.
const MAX_VIEWS: usize = 4;

impl Workspace {
    /// No documents, no choices.
    pub fn new() -> Workspace {
        modelcost_conventions::link();
        Workspace::default()
    }

    /// Opens a document. `uri` is only a key; `path` says what kind of file it is and which settings are its folder's.
    pub fn open(&mut self, uri: &str, path: Option<PathBuf>, version: i32, text: String) {
        let path = path.or_else(|| uri.contains(['.', '/']).then(|| PathBuf::from(uri)));
        let mut document = Document::new(path, version, text);
        let view = self
            .views
            .iter()
            .position(|(path, _)| Some(path.as_path()) == document.path());
        if let Some((_, view)) = view.and_then(|at| self.views.remove(at)) {
            document.take_view(view);
        }
        if let Some(folder) = document.folder().filter(|_| document.is_config()) {
            self.set_config(folder.to_path_buf(), Some(document.buffer().text()));
        }
        self.documents.insert(uri.into(), document);
    }

    /// The text of a program file, and what its language is called.
    ///
    /// # Errors
    /// When the file cannot be read or is no program; the message is a sentence.
    pub fn view(&mut self, path: PathBuf) -> Result<(String, &'static str), String> {
        let view = View::read(&path, &self.settings_of(path.parent()).0.dims)?;
        let answer = (view.text.clone(), view.language);
        self.views.retain(|(other, _)| *other != path);
        self.views.push_back((path, view));
        if self.views.len() > MAX_VIEWS {
            self.views.pop_front();
        }
        Ok(answer)
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
        document.edit(version, range, text);
        if let Some(folder) = document.folder().filter(|_| document.is_config()) {
            let (folder, text) = (folder.to_path_buf(), document.buffer().text().to_string());
            self.set_config(folder, Some(&text));
        }
    }

    /// Throws away what is of no more use: to be called when nobody waits for an answer.
    pub fn tidy(&mut self) {
        for document in self.documents.values_mut() {
            document.tidy(self.background.as_ref());
        }
    }

    /// Has someone called, on another thread, whenever a reading in the background is there.
    pub fn set_wake(&mut self, wake: Wake) {
        self.wake = Some(Awake(wake));
    }

    fn background(&mut self) -> Option<&Background> {
        if self.background.is_none() {
            let wake = self.wake.as_ref().map(|wake| wake.0.clone());
            self.background = Background::start(wake);
        }
        self.background.as_ref()
    }

    /// Whether what is asked about a document is answered without much waiting: what takes long to read is read in the
    /// background, and is there once this says so.
    pub fn is_ready(&mut self, uri: &str, until: Instant) -> bool {
        self.background();
        let (settings, _) = self.settings(uri);
        let convention = self.convention_ahead(uri);
        let (Some(document), Some(background), Some(convention)) = (
            self.documents.get_mut(uri),
            self.background.as_ref(),
            convention,
        ) else {
            return true;
        };
        document.is_ready(&settings.dims, convention, background, until)
    }

    /// The convention that will count for a document, told before its text is read.
    fn convention_ahead(&self, uri: &str) -> Option<&'static dyn Convention> {
        let (settings, _) = self.settings(uri);
        let directive = config::directive(self.documents.get(uri)?.buffer().text());
        let name = directive.map_or(settings.convention, |directive| directive.convention);
        let convention = convention::find(&name).or_else(|_| convention::find(DEFAULT_CONVENTION));
        convention.ok()
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
        self.settings_of(self.documents.get(uri).and_then(Document::folder))
    }

    fn settings_of(&self, folder: Option<&Path>) -> (Settings, Chosen) {
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
        let folder = self.documents.get(uri).and_then(Document::folder);
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

    /// What is in a document, if that is a model.
    pub(crate) fn content(&mut self, uri: &str) -> Option<&Content> {
        let (settings, _) = self.settings(uri);
        Some(&self.documents.get_mut(uri)?.state(&settings.dims)?.content)
    }

    /// The analysis of a document, if it is a spec.
    pub fn analysis(&mut self, uri: &str) -> Option<&Analysis> {
        self.content(uri)?.spec()
    }

    /// What is in a document, where that was worked out, with the text that it is of.
    pub(crate) fn known(&self, uri: &str) -> Option<(&Content, &str)> {
        let document = self.documents.get(uri)?;
        Some((&document.known()?.content, document.buffer().text()))
    }

    /// Throws away what was worked out for the documents' texts.
    pub fn forget_analyses(&mut self) {
        self.documents.values_mut().for_each(Document::forget);
    }

    /// The model of a document under the convention that counts for it.
    pub fn numbers(&mut self, uri: &str) -> Option<Arc<Numbers>> {
        let choice = self.choice(uri)?;
        let subjects = self.content(uri)?.subjects();
        Some(subjects.model().numbers(choice.convention))
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
        let Some(convention) = self.choice(uri).map(|choice| choice.convention) else {
            return Vec::new();
        };
        let Some(document) = self.documents.get(uri) else {
            return Vec::new();
        };
        hints::current(document, &settings.hints, convention, &range)
    }

    /// As [`Workspace::hints`], soon: where the text takes long to read, the layers in view by themselves, or what is known
    /// within `patience`; beside the other lines what stood there before the edit, and `true`.
    pub fn hints_within(
        &mut self,
        uri: &str,
        range: Range<usize>,
        patience: Duration,
    ) -> (Vec<Hint>, bool) {
        let (settings, _) = self.settings(uri);
        let convention = self.convention_ahead(uri);
        let (Some(document), Some(convention)) = (self.documents.get_mut(uri), convention) else {
            return (Vec::new(), false);
        };
        // Before the whole is begun, which takes a part of the machine.
        let seen = match document.is_unread(&settings.dims) {
            true => document.excerpt(&settings.hints, convention, &range),
            false => None,
        };
        if seen.is_none() && self.is_ready(uri, Instant::now() + patience) {
            return (self.hints(uri, range), false);
        }
        let early = |document| hints::early(document, seen, &settings.hints, convention, &range);
        (self.documents.get(uri).map_or(Vec::new(), early), true)
    }

    /// What totals are read from, and whether that is from before an error: the text's, or that of the last one without.
    pub(crate) fn whole(&mut self, uri: &str) -> Option<(&Content, bool)> {
        let (settings, _) = self.settings(uri);
        let document = self.documents.get_mut(uri)?;
        document.state(&settings.dims)?;
        let state = document.known()?;
        match document.good() {
            Some(good) if !state.content.is_complete() => Some((&good.content, true)),
            _ => Some((&state.content, false)),
        }
    }

    /// What is wrong with a document.
    pub fn diagnostics(&mut self, uri: &str) -> Vec<Diagnostic> {
        if self.document(uri).is_some_and(Document::is_config) {
            return self.config_diagnostics(uri);
        }
        let Some(choice) = self.choice(uri) else {
            return Vec::new();
        };
        let (settings, _) = self.settings(uri);
        let Some(content) = self.content(uri) else {
            return Vec::new();
        };
        let mut out = content.diagnostics().to_vec();
        if content.is_complete() {
            out.extend(budget::check(content, choice.convention, &settings.budgets));
        }
        let directive = self.directive(uri);
        if let Some((name, directive)) = choice.unknown.as_deref().zip(directive) {
            out.extend(config::unknown_convention(name, directive.span));
        }
        out
    }
}
