//! What client and server tell each other about themselves.

use modelcost_ide::Encoding;
use serde_json::Value;
use tower_lsp::ls_types::*;

use crate::commands;
use crate::state::ClientAbilities;

/// How positions are counted: bytes where the client can, which is what texts are kept in.
pub fn encoding(client: &ClientCapabilities) -> Encoding {
    let offered = client
        .general
        .as_ref()
        .and_then(|general| general.position_encodings.as_ref());
    let can = |kind: PositionEncodingKind| offered.is_some_and(|kinds| kinds.contains(&kind));
    match () {
        _ if can(PositionEncodingKind::UTF8) => Encoding::Utf8,
        // The one that must always be possible.
        _ if offered.is_none() || can(PositionEncodingKind::UTF16) => Encoding::Utf16,
        _ if can(PositionEncodingKind::UTF32) => Encoding::Utf32,
        _ => Encoding::Utf16,
    }
}

/// What the client can do, as far as answers depend on it.
pub fn abilities(client: &ClientCapabilities, options: Option<&Value>) -> ClientAbilities {
    let workspace = client.workspace.as_ref();
    let asked = |name: &str| {
        options
            .and_then(|options| options.get(name))
            .and_then(Value::as_bool)
            == Some(true)
    };
    ClientAbilities {
        refresh_hints: workspace.and_then(|w| w.inlay_hint.as_ref()?.refresh_support) == Some(true),
        refresh_lenses: workspace.and_then(|w| w.code_lens.as_ref()?.refresh_support) == Some(true),
        shows_results: asked("showsResults"),
        wants_status: asked("status"),
    }
}

/// What the server can do.
pub fn server(encoding: Encoding) -> ServerCapabilities {
    let encoding = match encoding {
        Encoding::Utf8 => PositionEncodingKind::UTF8,
        Encoding::Utf16 => PositionEncodingKind::UTF16,
        Encoding::Utf32 => PositionEncodingKind::UTF32,
    };
    let trigger = |characters: &[&str]| Some(characters.iter().map(|c| c.to_string()).collect());
    ServerCapabilities {
        position_encoding: Some(encoding),
        text_document_sync: Some(TextDocumentSyncCapability::Options(
            TextDocumentSyncOptions {
                open_close: Some(true),
                change: Some(TextDocumentSyncKind::INCREMENTAL),
                ..TextDocumentSyncOptions::default()
            },
        )),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: trigger(&["\"", "'", "(", ",", "=", ".", "[", " "]),
            resolve_provider: Some(true),
            ..CompletionOptions::default()
        }),
        signature_help_provider: Some(SignatureHelpOptions {
            trigger_characters: trigger(&["(", ","]),
            retrigger_characters: trigger(&["="]),
            ..SignatureHelpOptions::default()
        }),
        definition_provider: Some(OneOf::Left(true)),
        references_provider: Some(OneOf::Left(true)),
        document_highlight_provider: Some(OneOf::Left(true)),
        document_symbol_provider: Some(OneOf::Left(true)),
        folding_range_provider: Some(FoldingRangeProviderCapability::Simple(true)),
        rename_provider: Some(OneOf::Right(RenameOptions {
            prepare_provider: Some(true),
            work_done_progress_options: WorkDoneProgressOptions::default(),
        })),
        code_lens_provider: Some(CodeLensOptions {
            resolve_provider: Some(false),
        }),
        code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
            code_action_kinds: Some(vec![
                CodeActionKind::QUICKFIX,
                CodeActionKind::REFACTOR_REWRITE,
            ]),
            ..CodeActionOptions::default()
        })),
        inlay_hint_provider: Some(OneOf::Right(InlayHintServerCapabilities::Options(
            InlayHintOptions {
                resolve_provider: Some(true),
                work_done_progress_options: WorkDoneProgressOptions::default(),
            },
        ))),
        execute_command_provider: Some(ExecuteCommandOptions {
            commands: commands::ALL.iter().map(|name| name.to_string()).collect(),
            ..ExecuteCommandOptions::default()
        }),
        workspace: Some(WorkspaceServerCapabilities {
            workspace_folders: Some(WorkspaceFoldersServerCapabilities {
                supported: Some(true),
                change_notifications: Some(OneOf::Left(true)),
            }),
            ..WorkspaceServerCapabilities::default()
        }),
        ..ServerCapabilities::default()
    }
}
