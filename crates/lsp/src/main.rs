//! The server by itself: what `modelcost lsp` runs, for whoever wants nothing else.

/// A trace is many small vectors, which this allocator makes and frees in half the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::io::Result<()> {
    modelcost_lsp::serve()
}
