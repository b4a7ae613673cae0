//! The keys of the format, for reading, completion and the JSON Schema.

/// What a body may hold: the model, a block, a container.
pub const BODY: &[&str] = &[
    "class",
    "base",
    "input",
    "output",
    "modules",
    "layers",
    "parameters",
    "buffers",
    "tie",
    "freeze",
    "no_grad",
    "sizes",
];

/// The keys that tell a layer written as a table from the names of its children.
pub const MARKS_LAYER: &[&str] = &["layers", "module", "parameters"];

/// What such a layer may hold beside what a body has.
pub const LAYER: &[&str] = &["module", "from", "when", "repeat"];

/// What `[model]` may hold beside.
pub const MODEL: &[&str] = &["name", "reconstructed", "partial"];

/// What a block may hold beside.
pub const BLOCK: &[&str] = &["args"];

/// What may stand at the top of the file.
pub const TOP: &[&str] = &[
    "model",
    "variables",
    "block",
    "budget",
    "modules",
    "layers",
    "parameters",
    "buffers",
    "tie",
    "freeze",
];
