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

/// What a layer that is a table with `layers` or `module` may hold beside.
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
