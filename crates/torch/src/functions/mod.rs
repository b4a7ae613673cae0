//! The functions people write between layers: `F.…`, `torch.…`, tensor methods and operators.

mod activation;
mod arithmetic;
pub(crate) mod attention;
mod create;
mod einops;
pub(crate) mod index;
mod layer;
mod pool;
mod product;
mod recurrent;
mod reduce;
mod reshape;
mod spectral;
mod upsample;

use std::sync::OnceLock;

use foldhash::HashMap;
use modelcost_core::SmolStr;
use modelcost_core::convention::closest;
use modelcost_core::expr::{BinaryOp, Expr, parse};
use modelcost_core::value::Value;

use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::signature::{Lazy, Signature};
use crate::tracer::Tracer;

/// The function of Python's `operator` module that an infix operator is: `operator.add`.
pub fn operator_name(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "operator.add",
        BinaryOp::Sub => "operator.sub",
        BinaryOp::Mul => "operator.mul",
        BinaryOp::MatMul => "operator.matmul",
        BinaryOp::Div => "operator.truediv",
        BinaryOp::FloorDiv => "operator.floordiv",
        BinaryOp::Mod => "operator.mod",
        BinaryOp::Pow => "operator.pow",
        BinaryOp::BitAnd => "operator.and_",
        BinaryOp::BitOr => "operator.or_",
    }
}

/// Where a function is published; a row may be in several places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places(u16);

/// `torch.nn.functional.…`
pub(crate) const F: Places = Places(1);
/// `torch.…`
pub(crate) const TORCH: Places = Places(2);
/// `torch.Tensor.…`
pub(crate) const METHOD: Places = Places(4);
/// `torch.Tensor.…_`, which writes into its tensor.
pub(crate) const METHOD_: Places = Places(8);
/// `operator.…`, what `x + y` calls.
pub(crate) const OPERATOR: Places = Places(16);
/// `torchvision.ops.…`
pub(crate) const VISION: Places = Places(32);
/// `torch._VF.…`, what recurrent layers call.
pub(crate) const VF: Places = Places(64);
/// `einops.…`
pub(crate) const EINOPS: Places = Places(128);
/// `torch.fft.…`
pub(crate) const FFT: Places = Places(256);
/// `torch.linalg.…`
pub(crate) const LINALG: Places = Places(512);
/// `torch.…` and `torch.Tensor.…`
pub(crate) const BOTH: Places = Places(2 | 4);
/// `torch.…`, `torch.Tensor.…` and `torch.Tensor.…_`
pub(crate) const ALL: Places = Places(2 | 4 | 8);

const PREFIXES: [(Places, &str); 9] = [
    (F, "torch.nn.functional."),
    (METHOD, "torch.Tensor."),
    (VF, "torch._VF."),
    (FFT, "torch.fft."),
    (LINALG, "torch.linalg."),
    (TORCH, "torch."),
    (OPERATOR, "operator."),
    (VISION, "torchvision.ops."),
    (EINOPS, "einops."),
];

/// Shorter ways to write the prefixes.
const ALIASES: [(&str, &str); 5] = [
    ("F.", "torch.nn.functional."),
    ("nn.functional.", "torch.nn.functional."),
    ("Tensor.", "torch.Tensor."),
    ("ops.", "torchvision.ops."),
    ("_VF.", "torch._VF."),
];

impl Places {
    const fn and(self, other: Places) -> Places {
        Places(self.0 | other.0)
    }

    fn holds(self, other: Places) -> bool {
        self.0 & other.0 != 0
    }
}

/// What one function is: a row of a table.
#[derive(Debug)]
pub(crate) struct Entry {
    places: Places,
    signature: Lazy,
    body: BodyText,
    /// One line for hover and docs.
    doc: &'static str,
    parsed: OnceLock<Expr>,
}

#[derive(Clone, Copy, Debug)]
enum BodyText {
    Line(&'static str),
    Code(FunctionFn),
}

/// A function's body in Rust.
pub(crate) type FunctionFn = fn(&mut Tracer, &Bound) -> Result<Value>;

/// What a function does.
pub(crate) enum Body {
    /// One line of Python.
    Expr(&'static Expr),
    /// Rust, where a line is not enough.
    Code(FunctionFn),
}

impl Entry {
    /// A function whose body is one line of Python; `aten.x(…)` there calls an operator.
    const fn line(
        places: Places,
        signature: &'static str,
        line: &'static str,
        doc: &'static str,
    ) -> Entry {
        Entry {
            places,
            signature: Lazy::new(signature),
            body: BodyText::Line(line),
            doc,
            parsed: OnceLock::new(),
        }
    }

    /// A function whose body is Rust.
    const fn code(
        places: Places,
        signature: &'static str,
        code: FunctionFn,
        doc: &'static str,
    ) -> Entry {
        Entry {
            places,
            signature: Lazy::new(signature),
            body: BodyText::Code(code),
            doc,
            parsed: OnceLock::new(),
        }
    }

    pub(crate) fn signature(&self) -> &Signature {
        self.signature.get()
    }

    pub(crate) fn body(&'static self) -> Body {
        match self.body {
            BodyText::Code(code) => Body::Code(code),
            BodyText::Line(line) => Body::Expr(self.parsed.get_or_init(|| parse(line).expr)),
        }
    }
}

static TABLES: [&[Entry]; 14] = [
    &layer::FUNCTIONS,
    &pool::FUNCTIONS,
    &activation::FUNCTIONS,
    &arithmetic::FUNCTIONS,
    &product::FUNCTIONS,
    &reshape::FUNCTIONS,
    &reduce::FUNCTIONS,
    &create::FUNCTIONS,
    &upsample::FUNCTIONS,
    &recurrent::FUNCTIONS,
    &attention::FUNCTIONS,
    &index::FUNCTIONS,
    &einops::FUNCTIONS,
    &spectral::FUNCTIONS,
];

fn entries() -> impl Iterator<Item = &'static Entry> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// A function under one of its names.
#[derive(Debug)]
pub(crate) struct Found {
    pub entry: &'static Entry,
    prefix: &'static str,
    /// The name behind the prefix: `relu`, `add_`, `iadd`.
    written: SmolStr,
    name: OnceLock<SmolStr>,
    is_method: bool,
    in_place: bool,
}

impl Found {
    /// The canonical name: `torch.nn.functional.relu`.
    pub(crate) fn name(&self) -> &SmolStr {
        self.name
            .get_or_init(|| format!("{}{}", self.prefix, self.written).into())
    }

    /// Whether the first argument is `self`.
    pub(crate) fn is_method(&self) -> bool {
        self.is_method
    }

    /// Whether it writes into its first argument.
    pub(crate) fn in_place(&self) -> bool {
        self.in_place
    }
}

/// The functions of one of [`PREFIXES`] by the name behind it.
type Index = HashMap<SmolStr, Found>;

/// The functions behind each of [`PREFIXES`]. An index is made when it is first asked for: most
/// models call functions of one or two.
fn indices() -> impl Iterator<Item = (Places, &'static str, &'static OnceLock<Index>)> {
    static INDICES: [OnceLock<Index>; PREFIXES.len()] = [const { OnceLock::new() }; PREFIXES.len()];
    let prefixes = PREFIXES.iter().zip(&INDICES);
    prefixes.map(|((place, prefix), index)| (*place, *prefix, index))
}

/// The index behind a prefix.
fn made(
    (place, prefix, index): (Places, &'static str, &'static OnceLock<Index>),
) -> &'static Index {
    index.get_or_init(|| make(place, prefix))
}

fn make(place: Places, prefix: &'static str) -> Index {
    let mut index = Index::default();
    let published = |entry: &&Entry| {
        entry.places.holds(place) || place == METHOD && entry.places.holds(METHOD_)
    };
    let names = |entry: &Entry| {
        usize::from(entry.places.holds(place))
            + usize::from(place == OPERATOR || entry.places.holds(METHOD_))
    };
    index.reserve(entries().filter(published).map(names).sum());
    for entry in entries().filter(published) {
        let name = entry.signature.name();
        let mut add = |written: SmolStr, in_place: bool| {
            let found = Found {
                entry,
                prefix,
                written: written.clone(),
                name: OnceLock::new(),
                is_method: place == METHOD,
                in_place,
            };
            index.insert(written, found);
        };
        if entry.places.holds(place) {
            add(SmolStr::new_static(name), false);
        }
        // `x.add_` and `torch.relu_` write into their tensor, and so does `x += y`.
        if entry.places.holds(METHOD_) {
            add(format!("{name}_").into(), true);
        }
        if place == OPERATOR {
            add(format!("i{}", name.trim_end_matches('_')).into(), true);
        }
    }
    index
}

/// Finds a function by any name that it is written under. Looking for the name that was meant is
/// the caller's: it costs more than all else where the answer is not shown.
fn look_up(name: &str) -> std::result::Result<&'static Found, &str> {
    let alias = ALIASES
        .iter()
        .find_map(|(short, full)| Some((*full, name.strip_prefix(short)?)));
    let behind = |prefix: &str| match alias {
        Some((full, rest)) => (full == prefix).then_some(rest),
        None => name.strip_prefix(prefix),
    };
    let found = indices().find_map(|place| Some((behind(place.1)?, place)));
    match found {
        Some((short, place)) => made(place).get(short).ok_or(short),
        None => Err(name),
    }
}

/// Finds a function by any name that it is written under.
pub(crate) fn find(name: &str) -> Result<&'static Found> {
    look_up(name).map_err(|short| unknown(name, short))
}

/// Finds a method of tensors.
pub(crate) fn method(name: &str) -> Result<&'static Found> {
    indices()
        .find(|(place, ..)| *place == METHOD)
        .and_then(|place| made(place).get(name))
        .ok_or_else(|| unknown(&format!("Tensor.{name}"), name))
}

/// The nearest name where it was looked for, else the nearest anywhere.
fn unknown(name: &str, short: &str) -> TorchError {
    let places = || indices().map(|place| (place.1, made(place)));
    let nearest = |functions: &'static Index| {
        let mut names: Vec<&str> = functions.keys().map(SmolStr::as_str).collect();
        names.sort_unstable();
        closest(short, names)
    };
    let owner = name.strip_suffix(short).unwrap_or_default();
    let owner = ALIASES
        .iter()
        .find(|(alias, _)| *alias == owner)
        .map_or(owner, |(_, full)| *full);
    let asked = places().filter(|(prefix, _)| *prefix == owner);
    let exact = places().filter(|(_, functions)| functions.contains_key(short));
    let near = exact
        .chain(asked)
        .chain(places())
        .find_map(|(prefix, functions)| Some((prefix, nearest(functions)?)));
    let near = near.map(|(prefix, near)| {
        let written = ALIASES.iter().find(|(_, full)| *full == prefix);
        format!("{}{near}", written.map_or(prefix, |(alias, _)| *alias))
    });
    let mend = match &near {
        Some(near) => format!("; did you mean '{near}'?"),
        None => String::new(),
    };
    TorchError::new(format!("there is no function '{name}'{mend}")).suggest(near)
}

/// A function as a sentence names it.
pub(crate) fn spoken_name(name: &str) -> SmolStr {
    let symbol = match name.strip_prefix("operator.") {
        Some("add") => "+",
        Some("sub") => "-",
        Some("mul") => "*",
        Some("truediv") => "/",
        Some("matmul") => "@",
        Some("pow") => "**",
        Some("mod") => "%",
        Some("floordiv") => "//",
        Some("getitem") => "indexing",
        _ => name.rsplit('.').next().unwrap_or(name),
    };
    symbol.into()
}

/// What completion, hover and docs know about a function.
#[derive(Clone, Copy, Debug)]
pub struct FunctionInfo {
    entry: &'static Entry,
}

impl FunctionInfo {
    /// `relu`.
    pub fn short_name(&self) -> &'static str {
        self.entry.signature.name()
    }

    /// The names it is published under: `torch.nn.functional.relu`, `torch.relu` ….
    pub fn names(&self) -> Vec<String> {
        PREFIXES
            .iter()
            .filter(|(place, _)| self.entry.places.holds(*place))
            .map(|(_, prefix)| format!("{prefix}{}", self.short_name()))
            .collect()
    }

    /// Whether it is a method of tensors: `x.view(…)`.
    pub fn is_method(&self) -> bool {
        self.entry.places.holds(METHOD)
    }

    /// `relu(input, inplace=False)`.
    pub fn signature_text(&self) -> &'static str {
        self.entry.signature.text
    }

    /// The parsed signature.
    pub fn signature(&self) -> &'static Signature {
        self.entry.signature()
    }

    /// The line of Python that it is, where it is one; `aten.x` calls an operator.
    pub fn body_text(&self) -> Option<&'static str> {
        match self.entry.body {
            BodyText::Line(line) => Some(line),
            BodyText::Code(_) => None,
        }
    }

    /// What it does, in a line.
    pub fn doc(&self) -> &'static str {
        self.entry.doc
    }

    /// What an argument means, where there is more to say than its name does.
    pub fn argument_doc(&self, argument: &str) -> Option<&'static str> {
        crate::docs::argument(self.short_name(), argument)
    }
}

/// All functions.
pub fn functions() -> impl Iterator<Item = FunctionInfo> {
    entries().map(|entry| FunctionInfo { entry })
}

/// A function by any name that it is written under.
pub fn function(name: &str) -> Option<FunctionInfo> {
    let found = look_up(name).ok()?;
    Some(FunctionInfo { entry: found.entry })
}
