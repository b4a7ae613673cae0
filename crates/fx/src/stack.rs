//! `nn_module_stack`: which module calls a node was made inside of.

use foldhash::HashMap;
use std::borrow::Cow;

use smol_str::SmolStr;

/// A stack as it stands in a node's metadata.
pub type StackId = usize;

/// One module call on a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What tells calls apart: `L__self__layer1.0@1` for the second call. Programs traced through
    /// Dynamo have the identity of the module object before the `@`.
    pub key: &'a str,
    /// The module's path: `layer1.0`.
    pub path: SmolStr,
    /// The qualified name of its class.
    pub class: &'a str,
}

impl Entry<'_> {
    /// The identity of the module object, where the key holds it.
    pub fn identity(&self) -> Option<u64> {
        self.key.split('@').next()?.parse().ok()
    }
}

/// All stacks of a program, each read once.
#[derive(Default)]
pub struct Stacks<'a> {
    index: HashMap<&'a str, StackId>,
    stacks: Vec<Vec<Entry<'a>>>,
}

/// What Dynamo calls the stack of nodes that a pass inserted.
const EMPTY: &str = "_empty_nn_module_stack";

impl<'a> Stacks<'a> {
    /// The stack of a text; `None` if it says nothing.
    pub fn intern(&mut self, text: &'a str) -> Option<StackId> {
        if let Some(id) = self.index.get(text) {
            return Some(*id);
        }
        let mut stack = Vec::new();
        for entry in text.split(';') {
            let (key, rest) = entry.split_once(',')?;
            let (path, class) = rest.rsplit_once(',')?;
            if key.starts_with(EMPTY) {
                return None;
            }
            let path = normalise(path);
            // A branch of a higher-order operator begins again at the root.
            if path.is_empty() && !stack.is_empty() {
                continue;
            }
            stack.push(Entry { key, path, class });
        }
        self.stacks.push(stack);
        self.index.insert(text, self.stacks.len() - 1);
        Some(self.stacks.len() - 1)
    }

    /// Adds a stack that does not stand as text anywhere.
    pub fn push(&mut self, entries: Vec<Entry<'a>>) -> StackId {
        self.stacks.push(entries);
        self.stacks.len() - 1
    }

    /// The calls of a stack, outermost first.
    pub fn get(&self, id: StackId) -> &[Entry<'a>] {
        &self.stacks[id]
    }

    /// Every entry of every stack.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.stacks.iter().flatten()
    }
}

/// A module's path as `named_modules()` gives it. Some releases write the expression that reaches
/// the module instead: `getattr(L['self'].layer1, '0').conv`, `L['self'].blocks[0]`.
fn normalise(path: &str) -> SmolStr {
    let mut text = Cow::Borrowed(path);
    while let Some(start) = text.rfind("getattr(") {
        let inner = &text[start + "getattr(".len()..];
        let Some((owner, rest)) = inner.split_once(", ") else {
            break;
        };
        let Some((name, tail)) = rest.split_once(')') else {
            break;
        };
        let name = name.trim_matches(['\'', '"']);
        text = Cow::Owned(format!("{}{owner}.{name}{tail}", &text[..start]));
    }
    let text = text.replace("._modules[", "[");
    let rooted = text
        .strip_prefix("L[")
        .and_then(|rest| rest.split_once(']'));
    let text = rooted.map_or(text.as_str(), |(_, rest)| rest);
    let text = text.strip_prefix("_export_root").unwrap_or(text);
    let mut out = String::with_capacity(text.len());
    for segment in text.split(['.', '[']) {
        let name = segment.trim_end_matches(']').trim_matches(['\'', '"']);
        let name = match name.split_once('@') {
            Some((name, count)) if count.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => name,
        };
        if name.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(name);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_all_releases() {
        for (written, path) in [
            ("", ""),
            ("layer1.0.conv1", "layer1.0.conv1"),
            ("layer1.0@1", "layer1.0"),
            ("L['self']", ""),
            ("L['s'].blocks[0].conv", "blocks.0.conv"),
            ("getattr(L['s'].stem, '0')", "stem.0"),
            ("getattr(getattr(L['self'].a, '0').b, '1').c", "a.0.b.1.c"),
            ("L['self']._modules['a']._modules['0']", "a.0"),
            ("_export_root.a", "a"),
            ("_export_root", ""),
        ] {
            assert_eq!(normalise(written), path, "{written}");
        }
    }

    #[test]
    fn a_stack() {
        let mut stacks = Stacks::default();
        let id = stacks
            .intern("L__self__,,m.Net;L__self__l@1,getattr(L['s'].x, '0'),torch.nn.modules.linear.Linear")
            .unwrap();
        let entries = stacks.get(id);
        assert_eq!(entries[0].path, "");
        assert_eq!(entries[1].path, "x.0");
        assert_eq!(entries[1].class, "torch.nn.modules.linear.Linear");
        assert!(
            stacks
                .intern("_empty_nn_module_stack_from_metadata_hook,a,b")
                .is_none()
        );
    }
}
