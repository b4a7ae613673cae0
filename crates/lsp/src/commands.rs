//! What the client can have done by name.

use modelcost_core::convention;
use modelcost_ide::Status;
use serde_json::{Value, json};
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::MessageType;

use crate::files;
use crate::state::{Outgoing, State};

/// `[NAME]`: count every document so; `[]` or `[null]`: as files and settings say.
pub const SET_CONVENTION: &str = "modelcost.setConvention";
/// `[]`: the conventions there are.
pub const CONVENTIONS: &str = "modelcost.conventions";
/// `[URI]`: the totals of a document under every convention, as Markdown.
pub const COMPARE: &str = "modelcost.compare";
/// `[URI]`: what the tool prints for a document.
pub const REPORT: &str = "modelcost.report";
/// `[URI, FIGURE]`: which conventions give a figure, as Markdown.
pub const RECONCILE: &str = "modelcost.reconcile";
/// `[URI]`: convention and totals of a document.
pub const STATUS: &str = "modelcost.status";
/// `[URI]`: a program file as text: `{text, languageId}`.
pub const VIEW: &str = "modelcost.view";
/// `[URI]`: the text of a document as the server has it, for reports of bugs.
pub const TEXT: &str = "modelcost.text";

/// All of them.
pub const ALL: [&str; 8] = [
    SET_CONVENTION,
    CONVENTIONS,
    COMPARE,
    REPORT,
    RECONCILE,
    STATUS,
    VIEW,
    TEXT,
];

/// Runs a command.
pub fn run(state: &mut State, command: &str, arguments: &[Value]) -> Result<Option<Value>> {
    let text = |index: usize| arguments.get(index).and_then(Value::as_str);
    let uri = || {
        text(0).ok_or_else(|| Error::invalid_params(format!("{command} takes a document's URI")))
    };
    match command {
        SET_CONVENTION => set_convention(state, text(0)),
        CONVENTIONS => Ok(Some(conventions())),
        COMPARE => {
            let answer = state.workspace.compare(uri()?);
            shown(state, answer)
        }
        REPORT => {
            let answer = state.workspace.report(uri()?);
            shown(state, answer)
        }
        RECONCILE => {
            let figure = text(1).ok_or_else(|| {
                Error::invalid_params(format!("{RECONCILE} takes a figure such as 4.1G"))
            })?;
            let answer = state.workspace.reconcile(uri()?, figure).transpose();
            match answer {
                Ok(answer) => shown(state, answer),
                Err(message) => Err(Error::invalid_params(message)),
            }
        }
        STATUS => {
            let uri = uri()?;
            let status = state.workspace.status(uri);
            Ok(status.map(|status| status_json(uri, &status)))
        }
        VIEW => view(state, uri()?),
        TEXT => {
            let document = state.workspace.document(uri()?);
            Ok(document.map(|document| Value::from(document.buffer().text())))
        }
        _ => Err(Error::invalid_params(format!(
            "there is no command '{command}'"
        ))),
    }
}

fn set_convention(state: &mut State, name: Option<&str>) -> Result<Option<Value>> {
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    let found = match name.map(convention::lookup).transpose() {
        Ok(found) => found,
        Err(error) => return Err(Error::invalid_params(error.to_string())),
    };
    state.workspace.set_convention(name.map(String::from));
    state.settings_changed();
    Ok(Some(
        json!({ "convention": found.map(|registration| registration.identity()) }),
    ))
}

fn view(state: &mut State, uri: &str) -> Result<Option<Value>> {
    let path = uri.parse().ok().as_ref().and_then(files::path_of);
    let path = path.ok_or_else(|| Error::invalid_params(format!("{uri} is no file")))?;
    match state.view(path) {
        Ok((text, language)) => Ok(Some(json!({ "text": text, "languageId": language }))),
        Err(message) => Err(Error::invalid_params(message)),
    }
}

fn conventions() -> Value {
    let all = convention::all().into_iter().map(|registration| {
        let info = (registration.load)().info();
        json!({
            "identity": registration.identity(),
            "id": registration.id,
            "unit": if info.counts { info.unit.to_string() } else { String::new() },
            "summary": info.summary,
        })
    });
    Value::Array(all.collect())
}

/// Gives a text to the client; one that does nothing with it has it shown as a message.
fn shown(state: &State, text: Option<String>) -> Result<Option<Value>> {
    let Some(text) = text else {
        return Err(Error::invalid_params(
            "there is no model in this document".to_string(),
        ));
    };
    if !state.client.shows_results {
        state.send(Outgoing::Show(MessageType::INFO, text.clone()));
    }
    Ok(Some(Value::String(text)))
}

/// A status as the client gets it.
pub fn status_json(uri: &str, status: &Status) -> Value {
    json!({
        "uri": uri,
        "convention": status.convention,
        "chosenBy": status.chosen,
        "count": status.count,
        "params": status.params,
        "countExact": status.count_exact,
        "paramsExact": status.params_exact,
        "stale": status.stale,
    })
}
