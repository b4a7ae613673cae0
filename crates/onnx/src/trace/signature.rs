//! The signature of the exported program: which inputs of the graph were parameters and buffers.
//!
//! ```text
//! # inputs
//! p_conv1_weight: PARAMETER target='conv1.weight'
//! b_bn1_running_mean: BUFFER target='bn1.running_mean' persistent=True
//! x: USER_INPUT
//!
//! # outputs
//! linear: USER_OUTPUT
//! ```

/// What an input of the exported program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputKind {
    Parameter,
    Buffer { persistent: bool },
    Constant,
    User,
}

/// One input of the exported program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    /// The placeholder: `p_conv1_weight`.
    pub name: &'a str,
    pub kind: InputKind,
    /// The path of a parameter or buffer: `conv1.weight`.
    pub target: &'a str,
}

/// Reads the inputs.
pub(super) fn inputs(text: &str) -> Vec<Input<'_>> {
    let mut out = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("# outputs") {
            break;
        }
        let Some((name, rest)) = line.split_once(": ") else {
            continue;
        };
        let target = rest
            .split_once("target='")
            .and_then(|(_, rest)| rest.split_once('\''))
            .map_or("", |(target, _)| target);
        let kind = match rest.split(' ').next() {
            Some("PARAMETER") => InputKind::Parameter,
            Some("BUFFER") => InputKind::Buffer {
                persistent: !rest.contains("persistent=False"),
            },
            Some("USER_INPUT") => InputKind::User,
            _ => InputKind::Constant,
        };
        out.push(Input { name, kind, target });
    }
    out
}
