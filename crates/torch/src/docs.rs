//! What arguments mean, for hover and completion.

/// What an argument of a class or function means, where there is more to say than its name does.
pub(crate) fn argument(_callee: &str, argument: &str) -> Option<&'static str> {
    let found = COMMON.iter().find(|(name, _)| *name == argument);
    found.map(|(_, doc)| *doc)
}

/// Arguments that mean the same wherever they appear.
const COMMON: [(&str, &str); 1] = [("bias", "whether a learned bias is added")];
