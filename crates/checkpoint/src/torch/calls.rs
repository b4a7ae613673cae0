//! What a pickle would do to the program that loads it.

use std::collections::BTreeSet;

use crate::pickle::{Heap, Value};

/// Modules and functions that no checkpoint needs and that run, open or fetch what an attacker
/// likes. `*` stands for all of a module.
const DANGERS: [(&str, &str); 44] = [
    ("os", "*"),
    ("posix", "*"),
    ("nt", "*"),
    ("sys", "*"),
    ("subprocess", "*"),
    ("commands", "*"),
    ("popen2", "*"),
    ("pty", "*"),
    ("shutil", "*"),
    ("socket", "*"),
    ("ctypes", "*"),
    ("runpy", "*"),
    ("importlib", "*"),
    ("imp", "*"),
    ("code", "*"),
    ("codeop", "*"),
    ("pdb", "*"),
    ("bdb", "*"),
    ("timeit", "*"),
    ("profile", "*"),
    ("cProfile", "*"),
    ("webbrowser", "*"),
    ("urllib", "*"),
    ("urllib2", "*"),
    ("http", "*"),
    ("httplib", "*"),
    ("requests", "*"),
    ("asyncio", "*"),
    ("multiprocessing", "*"),
    ("signal", "*"),
    ("pip", "*"),
    ("pydoc", "*"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "execfile"),
    ("builtins", "compile"),
    ("builtins", "open"),
    ("builtins", "__import__"),
    ("builtins", "breakpoint"),
    ("builtins", "globals"),
    ("torch.hub", "*"),
    ("torch.serialization", "load"),
    ("torch", "load"),
    ("numpy.testing._private.utils", "runstring"),
];

/// How many are named.
const SHOWN: usize = 8;

/// The functions that loading the pickle in Python would reach and that no checkpoint needs, with
/// their argument where it is a text.
pub fn dangers(heap: &Heap<'_>) -> Vec<String> {
    let mut called = BTreeSet::new();
    let mut named = BTreeSet::new();
    for value in heap.values() {
        if called.len() + named.len() >= SHOWN {
            break;
        }
        match value {
            Value::Object(object) => {
                let Some(name) = heap.global(object.callee).and_then(danger) else {
                    continue;
                };
                let arguments = heap.elements(object.arguments).unwrap_or_default();
                let text = arguments.first().and_then(|first| heap.text(*first));
                called.insert(match text {
                    Some(text) => format!("{name}({:?})", shortened(text)),
                    None => format!("{name}(…)"),
                });
            }
            Value::Global(global) => named.extend(danger((&global.0, &global.1))),
            _ => {}
        }
    }
    named.retain(|name| {
        !called
            .iter()
            .any(|call| call.starts_with(&format!("{name}(")))
    });
    called.into_iter().chain(named).collect()
}

/// Values that hold numbers and are not listed as tensors, and what they are.
const UNREAD: [(&str, &str, &str); 5] = [
    (
        "torch.nn.parameter",
        "UninitializedParameter",
        "parameters of lazy modules have no size yet",
    ),
    (
        "torch.nn.parameter",
        "UninitializedBuffer",
        "buffers of lazy modules have no size yet",
    ),
    (
        "torch._utils",
        "_rebuild_nested_tensor",
        "nested tensors are not counted",
    ),
    (
        "numpy.core.multiarray",
        "_reconstruct",
        "NumPy arrays are not counted",
    ),
    (
        "numpy._core.multiarray",
        "_reconstruct",
        "NumPy arrays are not counted",
    ),
];

/// Sentences about what the pickle holds and nothing here lists.
pub fn unread(heap: &Heap<'_>) -> Vec<String> {
    let mut counts = [0u64; UNREAD.len()];
    for value in heap.values() {
        let Value::Object(object) = value else {
            continue;
        };
        let Some(callee) = heap.global(object.callee) else {
            continue;
        };
        let known = UNREAD
            .iter()
            .position(|(module, name, _)| (*module, *name) == callee);
        if let Some(at) = known {
            counts[at] += 1;
        }
    }
    let found = UNREAD.iter().zip(counts).filter(|(_, count)| *count > 0);
    found
        .map(|((_, _, what), count)| format!("{count} {what}"))
        .collect()
}

fn danger((module, name): (&str, &str)) -> Option<String> {
    let module = if module == "__builtin__" {
        "builtins"
    } else {
        module
    };
    let is_in = |package: &str| {
        let rest = module.strip_prefix(package);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut table = DANGERS.iter();
    let found = table.any(|(known, function)| match *function {
        "*" => is_in(known),
        function => module == *known && name == function,
    });
    found.then(|| shortened(&format!("{module}.{name}")))
}

fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.into();
    }
    let mut out: String = text.chars().take(MOST).collect();
    out.push('…');
    out
}
