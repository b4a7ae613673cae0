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
pub fn serve() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run_stdio());
    // A read of standard input that nobody will end must not keep the process.
    runtime.shutdown_background();
    Ok(())
}

/// The same inside a runtime that exists.
pub async fn run_stdio() {
    let (service, socket) = LspService::new(server::Server::new);
    transport::serve(service, socket, tokio::io::stdin(), tokio::io::stdout()).await;
}
