//! The language server: a thin layer over `modelcost-ide`.
//!
//! Messages come in through `transport`, which begins their handlers in the order of arrival. A handler puts its work
//! into the queue of one `worker` thread, which owns the documents, and waits for the answer. So edits are applied in the
//! order sent, an answer is about the text that its request was sent for, and a request that was cancelled while it
//! waited is not worked on.

mod capabilities;
mod commands;
mod convert;
mod files;
mod server;
mod state;
mod transport;
mod worker;

use tower_lsp::LspService;

/// Serves one client on standard input and output until it leaves.
///
/// # Errors
/// When the system gives no thread.
pub fn serve() -> std::io::Result<()> {
    let (service, socket) = LspService::new(server::Server::new);
    transport::serve(service, socket, std::io::stdin(), std::io::stdout())
}
