//! What the worker owns: the documents, what is chosen, and what the client was told.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use modelcost_ide::config::Partial;
use modelcost_ide::hints::Hint;
use modelcost_ide::{Document, Encoding, Status, Wake, Workspace};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tower_lsp::ls_types::{self as lsp, Uri};

use crate::convert::Converter;
use crate::files;
use crate::transport::log;

/// What is sent to the client without being asked for.
#[derive(Debug)]
pub enum Outgoing {
    /// What is wrong with a document.
    Diagnostics(Uri, Vec<lsp::Diagnostic>, Option<i32>),
    /// Hints and lenses are to be asked for again.
    Refresh,
    /// The totals of a document, for a status bar.
    Status(Value),
    /// A message to the person.
    Show(lsp::MessageType, String),
}

/// How long an answer waits for what it is about, where it can be given again.
const PATIENCE: Duration = Duration::from_millis(1);

/// What the worker owns.
pub struct State {
    /// The documents and settings.
    pub workspace: Workspace,
    /// How positions are counted.
    pub encoding: Encoding,
    /// What the client can do.
    pub client: ClientAbilities,
    /// The documents that changed since the client was told about them.
    changed: BTreeSet<String>,
    /// The documents whose client has hints from before the last edit, and is to ask again.
    owed: HashSet<String>,
    told: HashMap<String, Status>,
    uris: HashMap<String, Uri>,
    out: UnboundedSender<Outgoing>,
}

/// What the client can do, as far as answers depend on it.
#[derive(Clone, Debug, Default)]
pub struct ClientAbilities {
    /// Whether it asks for hints again when told to.
    pub refresh_hints: bool,
    /// Whether it asks for lenses again when told to.
    pub refresh_lenses: bool,
    /// Whether it shows the answers of commands itself.
    pub shows_results: bool,
    /// Whether it wants the totals of documents as they change.
    pub wants_status: bool,
}

impl State {
    /// No documents. `wake` has [`State::spare_work`] called.
    pub fn new(out: UnboundedSender<Outgoing>, wake: Wake) -> State {
        let mut workspace = Workspace::new();
        workspace.set_wake(wake);
        State {
            workspace,
            encoding: Encoding::default(),
            client: ClientAbilities::default(),
            changed: BTreeSet::new(),
            owed: HashSet::new(),
            told: HashMap::new(),
            uris: HashMap::new(),
            out,
        }
    }

    /// Says something to the client.
    pub fn send(&self, message: Outgoing) {
        // A client that left is noticed where its messages are read.
        let _ = self.out.send(message);
    }

    /// Opens a document.
    pub fn open(&mut self, uri: Uri, version: i32, text: String) {
        let path = files::path_of(&uri);
        if let Some(path) = &path {
            self.find_config(path.clone());
        }
        let key = uri.as_str().to_string();
        self.workspace.open(&key, path, version, text);
        self.uris.insert(key.clone(), uri);
        self.document_changed(key);
    }

    /// A program file as text, and the name of its language.
    pub fn view(&mut self, path: PathBuf) -> Result<(String, &'static str), String> {
        self.find_config(path.clone());
        self.workspace.view(path)
    }

    /// Reads the settings file that a document is under, unless it is known.
    fn find_config(&mut self, path: PathBuf) {
        for folder in path.ancestors().skip(1) {
            if self.workspace.has_config(folder) {
                return;
            }
            if let Some(text) = files::read_config(folder) {
                self.workspace.set_config(folder.to_path_buf(), Some(&text));
                return;
            }
        }
    }

    /// Applies the changes of one notification in turn: the positions of each are those of the text before it.
    pub fn edit(
        &mut self,
        uri: &Uri,
        version: i32,
        changes: Vec<lsp::TextDocumentContentChangeEvent>,
    ) {
        let key = uri.as_str();
        for change in changes {
            let Some(document) = self.workspace.document(key) else {
                return log(format_args!(
                    "an edit of {key}, which is not open, is left out"
                ));
            };
            let range = change
                .range
                .map(|range| self.converter(document).bytes(range));
            self.workspace.edit(key, version, range, &change.text);
        }
        self.document_changed(key.to_string());
    }

    fn document_changed(&mut self, key: String) {
        if self
            .workspace
            .document(&key)
            .is_some_and(Document::is_config)
        {
            return self.settings_changed();
        }
        self.changed.insert(key);
    }

    /// Closes a document; what was said about it is taken back.
    pub fn close(&mut self, uri: &Uri) {
        let key = uri.as_str();
        if self.workspace.document(key).is_none() {
            return log(format_args!("{key} is closed and was not open"));
        }
        let was_config = self
            .workspace
            .document(key)
            .filter(|document| document.is_config());
        let config = was_config
            .and_then(|document| document.path())
            .map(|path| path.to_path_buf());
        self.workspace.close(key);
        self.changed.remove(key);
        self.owed.remove(key);
        self.told.remove(key);
        self.uris.remove(key);
        self.send(Outgoing::Diagnostics(uri.clone(), Vec::new(), None));
        if let Some(path) = config {
            self.config_file_changed(path);
        }
    }

    /// A settings file changed on disk. While it is open in the editor, that text counts.
    pub fn config_file_changed(&mut self, path: PathBuf) {
        let open = self.workspace.uris().into_iter().any(|uri| {
            self.workspace
                .document(&uri)
                .is_some_and(|document| document.path() == Some(path.as_path()))
        });
        if open {
            return;
        }
        if let Some(folder) = path.parent() {
            let text = files::read_config(folder);
            self.workspace
                .set_config(folder.to_path_buf(), text.as_deref());
        }
        self.settings_changed();
    }

    /// Takes the editor's settings.
    pub fn editor_settings(&mut self, settings: Partial) {
        self.workspace.set_editor_settings(settings);
        self.settings_changed();
    }

    /// Everything that depends on settings is to be said again.
    pub fn settings_changed(&mut self) {
        self.changed.extend(self.workspace.uris());
        self.send(Outgoing::Refresh);
    }

    /// What stands beside the lines of a range. Where working that out takes longer than a person waits, a client that
    /// asks again when told to gets what stood there before, and is told once the rest is known.
    pub fn hints(&mut self, uri: &Uri, range: std::ops::Range<usize>) -> Vec<Hint> {
        let key = uri.as_str();
        if !self.client.refresh_hints {
            return self.workspace.hints(key, range);
        }
        let (hints, is_earlier) = self.workspace.hints_within(key, range, PATIENCE);
        if is_earlier {
            self.owed.insert(key.into());
        }
        hints
    }

    /// Does one thing that nobody asked for: tells the client about a document that changed. Says whether there was
    /// something to do; what is still being read in the background is not.
    pub fn spare_work(&mut self) -> bool {
        let now = Instant::now();
        let workspace = &mut self.workspace;
        let mut changed = self.changed.iter();
        let Some(key) = changed.find(|key| workspace.is_ready(key, now)).cloned() else {
            workspace.tidy();
            return false;
        };
        self.changed.remove(&key);
        self.tell(key.clone());
        if self.owed.remove(&key) {
            self.send(Outgoing::Refresh);
        }
        true
    }

    fn tell(&mut self, key: String) {
        let Some(uri) = self.uris.get(&key).cloned() else {
            return;
        };
        let found = self.workspace.diagnostics(&key);
        let Some(document) = self.workspace.document(&key) else {
            return;
        };
        let converter = self.converter(document);
        let diagnostics = found
            .iter()
            .map(|diagnostic| converter.diagnostic(&uri, diagnostic))
            .collect();
        let version = document.version();
        self.send(Outgoing::Diagnostics(uri, diagnostics, Some(version)));
        self.tell_status(&key);
    }

    fn tell_status(&mut self, key: &str) {
        if !self.client.wants_status {
            return;
        }
        let Some(status) = self.workspace.status(key) else {
            return;
        };
        if self.told.get(key) == Some(&status) {
            return;
        }
        let value = crate::commands::status_json(key, &status);
        self.told.insert(key.into(), status);
        self.send(Outgoing::Status(value));
    }

    /// Throws away what was worked out.
    pub fn forget_analyses(&mut self) {
        self.workspace.forget_analyses();
    }

    /// Positions of a document; nothing if it is not open.
    pub fn converter_of(&self, uri: &Uri) -> Option<Converter<'_>> {
        Some(self.converter(self.workspace.document(uri.as_str())?))
    }

    /// Positions in a document.
    fn converter<'d>(&self, document: &'d Document) -> Converter<'d> {
        Converter::new(document.buffer(), self.encoding)
    }
}
