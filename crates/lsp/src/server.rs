//! The handlers. Each puts its work into the queue before it awaits anything: see `transport`.

use std::sync::Mutex;

use modelcost_ide::config::Partial;
use serde_json::Value;
use tokio::sync::mpsc;
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::notification::Notification;
use tower_lsp::ls_types::*;
use tower_lsp::{Client, LanguageServer};

use crate::convert::{hinted, markdown};
use crate::state::{Outgoing, State};
use crate::worker::Queue;
use crate::{capabilities, commands, files};

/// The server as the protocol sees it.
pub struct Server {
    client: Client,
    queue: Queue,
    /// What the worker says on its own, until someone forwards it.
    outgoing: Mutex<Option<mpsc::UnboundedReceiver<Outgoing>>>,
}

/// The totals of a document, for a status bar.
enum StatusNotification {}

impl Notification for StatusNotification {
    type Params = Value;
    const METHOD: &'static str = "modelcost/status";
}

impl Server {
    /// A server for a client.
    pub fn new(client: Client) -> Server {
        let (out, outgoing) = mpsc::unbounded_channel();
        let queue = Queue::start(move |wake| State::new(out, wake));
        Server {
            client,
            queue,
            outgoing: Mutex::new(Some(outgoing)),
        }
    }

    /// Asks for something at a position of a document; nothing if the document is not open.
    fn at<T, Q>(
        &self,
        at: TextDocumentPositionParams,
        question: Q,
    ) -> impl Future<Output = Result<Option<T>>> + Send + use<T, Q>
    where
        T: Send + 'static,
        Q: FnOnce(&mut State, &Uri, usize) -> Option<T> + Send + 'static,
    {
        self.queue.ask(move |state| {
            let uri = at.text_document.uri;
            let offset = state.converter_of(&uri)?.byte(at.position);
            question(state, &uri, offset)
        })
    }

    /// Asks for something about a range of a document; nothing if the document is not open.
    fn within<T, Q>(
        &self,
        document: TextDocumentIdentifier,
        range: Range,
        question: Q,
    ) -> impl Future<Output = Result<Option<T>>> + Send + use<T, Q>
    where
        T: Send + 'static,
        Q: FnOnce(&mut State, &Uri, std::ops::Range<usize>) -> Option<T> + Send + 'static,
    {
        self.queue.ask(move |state| {
            let uri = document.uri;
            let range = state.converter_of(&uri)?.bytes(range);
            question(state, &uri, range)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The settings in what a client sends: under `modelcost`, or by themselves.
fn settings_of(value: &Value) -> Option<Partial> {
    let section = value.get("modelcost").unwrap_or(value);
    serde_json::from_value(section.clone()).ok()
}

async fn forward(
    client: Client,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    hints: bool,
    lenses: bool,
) {
    while let Some(message) = outgoing.recv().await {
        match message {
            Outgoing::Diagnostics(uri, diagnostics, version) => {
                client.publish_diagnostics(uri, diagnostics, version).await;
            }
            Outgoing::Status(status) => {
                client.send_notification::<StatusNotification>(status).await
            }
            Outgoing::Show(kind, text) => client.show_message(kind, text).await,
            // The client's answer says nothing; what comes next must not wait for it.
            Outgoing::Refresh => {
                let client = client.clone();
                tokio::spawn(async move {
                    if hints {
                        let _ = client.inlay_hint_refresh().await;
                    }
                    if lenses {
                        let _ = client.code_lens_refresh().await;
                    }
                });
            }
        }
    }
}

impl LanguageServer for Server {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        let encoding = capabilities::encoding(&params.capabilities);
        let options = params.initialization_options;
        let abilities = capabilities::abilities(&params.capabilities, options.as_ref());
        let settings = options
            .as_ref()
            .and_then(|options| settings_of(options.get("settings")?));
        self.queue.tell(move |state| {
            state.encoding = encoding;
            state.client = abilities;
            if let Some(settings) = settings {
                state.workspace.set_editor_settings(settings);
            }
        });
        Ok(InitializeResult {
            capabilities: capabilities::server(encoding),
            server_info: Some(ServerInfo {
                name: "modelcost".into(),
                version: Some(env!("CARGO_PKG_VERSION").into()),
            }),
            offset_encoding: None,
        })
    }

    async fn initialized(&self, _: InitializedParams) {
        let outgoing = self
            .outgoing
            .lock()
            .ok()
            .and_then(|mut outgoing| outgoing.take());
        let client = self.client.clone();
        let abilities = self.queue.ask(|state| state.client.clone());
        tokio::spawn(async move {
            let Ok(abilities) = abilities.await else {
                return;
            };
            let watch = DidChangeWatchedFilesRegistrationOptions {
                watchers: vec![FileSystemWatcher {
                    glob_pattern: GlobPattern::String("**/modelcost.toml".into()),
                    kind: None,
                }],
            };
            let registration = Registration {
                id: "modelcost-config".into(),
                method: "workspace/didChangeWatchedFiles".into(),
                register_options: serde_json::to_value(watch).ok(),
            };
            let register = client.clone();
            tokio::spawn(async move {
                // A client that cannot watch files says so; settings are then read when documents are opened.
                let _ = register.register_capability(vec![registration]).await;
            });
            if let Some(outgoing) = outgoing {
                forward(
                    client,
                    outgoing,
                    abilities.refresh_hints,
                    abilities.refresh_lenses,
                )
                .await;
            }
        });
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    async fn did_open(&self, params: DidOpenTextDocumentParams) {
        let document = params.text_document;
        self.queue
            .tell(move |state| state.open(document.uri, document.version, document.text));
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        let document = params.text_document;
        self.queue
            .tell(move |state| state.edit(&document.uri, document.version, params.content_changes));
    }

    async fn did_close(&self, params: DidCloseTextDocumentParams) {
        self.queue
            .tell(move |state| state.close(&params.text_document.uri));
    }

    async fn did_change_configuration(&self, params: DidChangeConfigurationParams) {
        self.queue.tell(move |state| {
            if let Some(settings) = settings_of(&params.settings) {
                state.editor_settings(settings);
            }
        });
    }

    async fn did_change_watched_files(&self, params: DidChangeWatchedFilesParams) {
        self.queue.tell(move |state| {
            params
                .changes
                .iter()
                .filter_map(|change| files::path_of(&change.uri))
                .for_each(|path| {
                    state.config_file_changed(path);
                });
        });
    }

    async fn inlay_hint(&self, params: InlayHintParams) -> Result<Option<Vec<InlayHint>>> {
        self.within(params.text_document, params.range, |state, uri, range| {
            let hints = state.hints(uri, range);
            let converter = state.converter_of(uri)?;
            let hint = |hint| converter.hint(uri, hint);
            Some(hints.iter().map(hint).collect())
        })
        .await
    }

    async fn inlay_hint_resolve(&self, hint: InlayHint) -> Result<InlayHint> {
        self.queue
            .ask(move |state| {
                let mut hint = hint;
                let subject = hint.data.as_ref().and_then(hinted);
                let card = subject.and_then(|(uri, subject)| state.workspace.card(uri, subject));
                hint.tooltip = card.map(|card| InlayHintTooltip::MarkupContent(markdown(card)));
                hint
            })
            .await
    }

    async fn hover(&self, params: HoverParams) -> Result<Option<Hover>> {
        self.at(
            params.text_document_position_params,
            |state, uri, offset| {
                let hover = state.workspace.hover(uri.as_str(), offset)?;
                let range = state.converter_of(uri)?.range(&hover.span);
                Some(Hover {
                    contents: HoverContents::Markup(markdown(hover.markdown)),
                    range: Some(range),
                })
            },
        )
        .await
    }

    async fn completion(&self, params: CompletionParams) -> Result<Option<CompletionResponse>> {
        self.at(params.text_document_position, |state, uri, offset| {
            let items = state.workspace.completion(uri.as_str(), offset);
            let converter = state.converter_of(uri)?;
            let items: Vec<_> = items
                .iter()
                .enumerate()
                .map(|(before, item)| converter.item(item, before))
                .collect();
            (!items.is_empty()).then_some(CompletionResponse::Array(items))
        })
        .await
    }

    async fn completion_resolve(&self, item: CompletionItem) -> Result<CompletionItem> {
        let mut item = item;
        let docs = item
            .data
            .as_ref()
            .and_then(Value::as_str)
            .and_then(modelcost_ide::completion::documentation);
        item.documentation = docs.map(|docs| Documentation::MarkupContent(markdown(docs)));
        Ok(item)
    }

    async fn signature_help(&self, params: SignatureHelpParams) -> Result<Option<SignatureHelp>> {
        self.at(
            params.text_document_position_params,
            |state, uri, offset| {
                let help = state.workspace.signature_help(uri.as_str(), offset)?;
                Some(state.converter_of(uri)?.signature(&help))
            },
        )
        .await
    }

    async fn goto_definition(
        &self,
        params: GotoDefinitionParams,
    ) -> Result<Option<GotoDefinitionResponse>> {
        self.at(
            params.text_document_position_params,
            |state, uri, offset| {
                let spans = state.workspace.occurrences(uri.as_str(), offset);
                let range = state.converter_of(uri)?.range(spans.first()?);
                Some(GotoDefinitionResponse::Scalar(Location {
                    uri: uri.clone(),
                    range,
                }))
            },
        )
        .await
    }

    async fn references(&self, params: ReferenceParams) -> Result<Option<Vec<Location>>> {
        let skip = usize::from(!params.context.include_declaration);
        self.at(params.text_document_position, move |state, uri, offset| {
            let spans = state.workspace.occurrences(uri.as_str(), offset);
            let converter = state.converter_of(uri)?;
            let locations = spans.iter().skip(skip);
            Some(
                locations
                    .map(|span| Location {
                        uri: uri.clone(),
                        range: converter.range(span),
                    })
                    .collect(),
            )
        })
        .await
    }

    async fn document_highlight(
        &self,
        params: DocumentHighlightParams,
    ) -> Result<Option<Vec<DocumentHighlight>>> {
        self.at(
            params.text_document_position_params,
            |state, uri, offset| {
                let spans = state.workspace.occurrences(uri.as_str(), offset);
                let converter = state.converter_of(uri)?;
                let mark = |(index, span): (usize, &std::ops::Range<usize>)| DocumentHighlight {
                    range: converter.range(span),
                    kind: Some(if index == 0 {
                        DocumentHighlightKind::WRITE
                    } else {
                        DocumentHighlightKind::READ
                    }),
                };
                Some(spans.iter().enumerate().map(mark).collect())
            },
        )
        .await
    }

    async fn prepare_rename(
        &self,
        params: TextDocumentPositionParams,
    ) -> Result<Option<PrepareRenameResponse>> {
        self.at(params, |state, uri, offset| {
            let here = state.workspace.renamable(uri.as_str(), offset)?;
            let range = state.converter_of(uri)?.range(&here);
            Some(PrepareRenameResponse::Range(range))
        })
        .await
    }

    async fn rename(&self, params: RenameParams) -> Result<Option<WorkspaceEdit>> {
        let renamed = self.at(params.text_document_position, move |state, uri, offset| {
            let spans = match state
                .workspace
                .rename(uri.as_str(), offset, &params.new_name)?
            {
                Ok(spans) => spans,
                Err(error) => return Some(Err(Error::invalid_params(error.to_string()))),
            };
            let converter = state.converter_of(uri)?;
            let edit = |span| TextEdit {
                range: converter.range(span),
                new_text: params.new_name.clone(),
            };
            let changes = [(uri.clone(), spans.iter().map(edit).collect())].into();
            Some(Ok(WorkspaceEdit {
                changes: Some(changes),
                ..WorkspaceEdit::default()
            }))
        });
        renamed.await?.transpose()
    }

    async fn document_symbol(
        &self,
        params: DocumentSymbolParams,
    ) -> Result<Option<DocumentSymbolResponse>> {
        self.queue
            .ask(move |state| {
                let uri = params.text_document.uri;
                let items = state.workspace.outline(uri.as_str());
                let converter = state.converter_of(&uri)?;
                let symbols = items.iter().map(|item| converter.symbol(item)).collect();
                Some(DocumentSymbolResponse::Nested(symbols))
            })
            .await
    }

    async fn folding_range(&self, params: FoldingRangeParams) -> Result<Option<Vec<FoldingRange>>> {
        self.queue
            .ask(move |state| {
                let folds = state.workspace.folds(params.text_document.uri.as_str());
                let fold = |(first, last)| FoldingRange {
                    start_line: first as u32,
                    end_line: last as u32,
                    ..FoldingRange::default()
                };
                Some(folds.into_iter().map(fold).collect())
            })
            .await
    }

    async fn code_lens(&self, params: CodeLensParams) -> Result<Option<Vec<CodeLens>>> {
        self.queue
            .ask(move |state| {
                let uri = params.text_document.uri;
                let lenses = state.workspace.lenses(uri.as_str());
                let converter = state.converter_of(&uri)?;
                let lens = |lens: &modelcost_ide::Lens| CodeLens {
                    range: converter.range(&lens.span),
                    command: Some(Command {
                        title: lens.title.clone(),
                        command: lens.command.map_or(String::new(), String::from),
                        arguments: lens.command.map(|_| vec![Value::String(uri.to_string())]),
                    }),
                    data: None,
                };
                Some(lenses.iter().map(lens).collect())
            })
            .await
    }

    async fn code_action(&self, params: CodeActionParams) -> Result<Option<CodeActionResponse>> {
        let wanted = params.context.only;
        let is_wanted = move |action: &CodeAction| {
            // A client that asks for one kind means those under it too: `refactor` holds `refactor.rewrite`.
            let kind = action.kind.as_ref().map_or("", |kind| kind.as_str());
            let under = |only: &str| {
                let rest = kind.strip_prefix(only);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let mut wanted = wanted.iter();
            wanted.all(|wanted| wanted.iter().any(|only| under(only.as_str())))
        };
        self.within(
            params.text_document,
            params.range,
            move |state, uri, range| {
                let actions = state.workspace.actions(uri.as_str(), range);
                let converter = state.converter_of(uri)?;
                let actions = actions.iter().map(|action| converter.action(uri, action));
                let actions = actions.filter(is_wanted);
                Some(actions.map(CodeActionOrCommand::CodeAction).collect())
            },
        )
        .await
    }

    async fn execute_command(&self, params: ExecuteCommandParams) -> Result<Option<Value>> {
        self.queue
            .ask(move |state| commands::run(state, &params.command, &params.arguments))
            .await?
    }
}
