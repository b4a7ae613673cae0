//! The server by itself: what `modelcost lsp` runs, for whoever wants nothing else.

fn main() -> std::io::Result<()> {
    modelcost_lsp::serve()
}
