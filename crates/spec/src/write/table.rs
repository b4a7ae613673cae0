//! TOML as text: tables with their values in a column, keys, strings and arrays.

use modelcost_core::SmolStr;
use modelcost_core::fidelity::{Fidelity, Level};
use modelcost_core::trace::{Class, Trace};

use super::shared;

/// Longer arrays have an item on each line.
const WIDTH: usize = 112;

/// A table in the making.
pub(super) struct Table {
    header: String,
    lines: Vec<(String, String)>,
}

impl Table {
    pub fn new(header: &str) -> Table {
        Table {
            header: header.into(),
            lines: Vec::new(),
        }
    }

    pub fn line(&mut self, key: &str, value: String) {
        self.lines.push((self::key(key), value));
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// `base = "Sequential"`, where the class does not tell what it derives from.
    pub fn base(&mut self, class: &Class) {
        let known = modelcost_torch::class(&class.name).is_some_and(|c| c.name() == class.name);
        if let (Some(base), false) = (class.bases.first(), known) {
            let short = base.strip_prefix("torch.nn.").unwrap_or(base);
            self.line("base", quoted(short));
        }
    }

    /// What is computed with sizes.
    pub fn sizes(&mut self, lines: &[SmolStr]) {
        if !lines.is_empty() {
            self.line(
                "sizes",
                array(lines.iter().map(|line| quoted(line)).collect()),
            );
        }
    }

    pub fn no_grad(&mut self, layers: &[SmolStr]) {
        if !layers.is_empty() {
            self.line(
                "no_grad",
                array(layers.iter().map(|name| quoted(name)).collect()),
            );
        }
    }

    /// What the trace says it does not know.
    pub fn notes(&mut self, fidelity: &Fidelity) {
        let key = match fidelity.level {
            Level::Exact => return,
            Level::Reconstructed => "reconstructed",
            Level::Partial => "partial",
        };
        let notes = fidelity.notes.iter().map(|note| quoted(note)).collect();
        self.line(key, array(notes));
    }

    pub fn freeze(&mut self, trace: &Trace) {
        let frozen: Vec<String> = shared::frozen(trace)
            .iter()
            .map(|path| quoted(path))
            .collect();
        if !frozen.is_empty() {
            self.line("freeze", array(frozen));
        }
    }

    /// The table with its values in a column, and an empty line after it.
    pub fn text(&self) -> String {
        let short = |(key, _): &&(String, String)| key.len() <= 24;
        let width = self
            .lines
            .iter()
            .filter(short)
            .map(|(key, _)| key.len())
            .max();
        let width = width.unwrap_or(0);
        let mut out = format!("[{}]\n", self.header);
        for (key, value) in &self.lines {
            out += &format!("{key:width$} = {value}\n");
        }
        out + "\n"
    }
}

/// A key, in quotes where it needs them.
pub(super) fn key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !key.is_empty() && key.chars().all(bare) {
        true => key.into(),
        false => quoted(key),
    }
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    quoted_as_is(&escaped(text))
}

pub(super) fn quoted_as_is(text: &str) -> String {
    format!("\"{text}\"")
}

pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '\t' => out += "\\t",
            c if c.is_control() => out += &format!("\\u{:04X}", c as u32),
            c => out.push(c),
        }
    }
    out
}

/// A TOML array.
pub(super) fn array(items: Vec<String>) -> String {
    let line = format!("[{}]", items.join(", "));
    if line.len() <= WIDTH && !line.contains('\n') {
        return line;
    }
    let inner: Vec<String> = items
        .iter()
        .map(|item| format!("    {},\n", item.replace('\n', "\n    ")))
        .collect();
    format!("[\n{}]", inner.concat())
}
