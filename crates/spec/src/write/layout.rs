//! Bodies and blocks as TOML.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::fidelity::Layer;
use modelcost_core::trace::{Target, Trace};

use super::blocks::{Block, Library};
use super::names;
use super::pieces::{Body, Container, Node, Writer};
use super::table::{Table, array, escaped, key, quoted, quoted_as_is};
use super::{python, shared};
use crate::document::UNKNOWN;
use crate::keys;

/// A spec has notes for whoever counts.
const EVERY_LAYER: &[Layer] = &[
    Layer::Modules,
    Layer::Functions,
    Layer::Operators,
    Layer::Values,
    Layer::Traced,
    Layer::Gradients,
];

/// The whole spec.
pub(super) fn text(trace: &Trace, root: &Node, body: Option<&Body>, library: &Library) -> String {
    let mut model = Table::new("model");
    let name = match trace.name.is_empty() {
        true => "model",
        false => trace.name.as_str(),
    };
    model.line("name", quoted(name));
    let mut sections = String::new();
    match (root, body) {
        (_, Some(body)) => {
            let body = library.root(body);
            let parts = Parts::new(&body, library, &[]);
            if body.class.name != name {
                model.line("class", quoted(&body.class.name));
            }
            model.base(&body.class);
            inputs(trace, &mut model);
            parts.output(&mut model);
            model.no_grad(&body.no_grad);
            model.sizes(&body.sizes);
            if body.sizes.is_empty() && says_no_sizes(trace) {
                model.line("sizes", "[]".into());
            }
            model.freeze(trace);
            sections += &parts.comments();
            if let Some(array) = &parts.array {
                model.line("layers", array.clone());
            }
            if let Some(single) = &parts.single {
                model.line("layers", single.clone());
            }
            sections += &parts.sections("");
        }
        (Node::Line(pieces), None) => {
            inputs(trace, &mut model);
            model.freeze(trace);
            let mut writer = plain(library);
            model.line("layers", quoted(&writer.pieces(pieces)));
        }
        (Node::Container(container), None) => {
            inputs(trace, &mut model);
            model.freeze(trace);
            let mut writer = plain(library);
            if container.is_numbered() {
                model.line(
                    "layers",
                    value(&Node::Container(container.clone()), &mut writer),
                );
            } else {
                model.line("class", quoted("Sequential"));
                let mut layers = Table::new("layers");
                for (key, node) in &container.children {
                    layers.line(key, value(node, &mut writer));
                }
                sections += &layers.text();
            }
        }
    }
    model.notes(&trace.fidelity.seen_by(EVERY_LAYER));
    let mut out = model.text() + &named_inputs(trace) + &sections;
    let ties = shared::ties(trace);
    if !ties.is_empty() {
        let mut table = Table::new("tie");
        for (target, source) in ties {
            table.line(&target, quoted(&source));
        }
        out += &table.text();
    }
    for block in library.in_order(trace) {
        out += &block_text(block, library);
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

fn plain(library: &Library) -> Writer<'_> {
    Writer {
        blocks: library,
        names: &[],
        at: 0,
    }
}

fn block_text(block: &Block, library: &Library) -> String {
    let header = format!("block.{}", block.name);
    let parts = Parts::new(&block.body, library, &block.names);
    let mut table = Table::new(&header);
    if !block.parameters.is_empty() {
        let parameters = block
            .parameters
            .iter()
            .map(|parameter| match &parameter.default {
                Some(default) => format!("{}={}", parameter.name, python::value(default)),
                None => parameter.name.to_string(),
            });
        table.line("args", quoted(&parameters.collect::<Vec<_>>().join(", ")));
    }
    if block.body.class.name != block.name {
        table.line("class", quoted(&block.body.class.name));
    }
    if block.body.single.is_none() {
        table.base(&block.body.class);
    }
    if let Some(inputs) = &block.body.inputs {
        let inputs = inputs.iter().map(|(name, optional)| match optional {
            true => format!("{name}=None"),
            false => name.to_string(),
        });
        table.line("input", quoted(&inputs.collect::<Vec<_>>().join(", ")));
    }
    parts.output(&mut table);
    table.no_grad(&block.body.no_grad);
    table.sizes(&block.body.sizes);
    if let Some(array) = &parts.array {
        table.line("layers", array.clone());
    }
    if let Some(single) = &parts.single {
        table.line("layers", single.clone());
    }
    let sections = parts.sections(&format!("{header}."));
    match table.is_empty() && !sections.is_empty() {
        true => parts.comments() + &sections,
        false => parts.comments() + &table.text() + &sections,
    }
}

/// A body as text, part by part.
struct Parts {
    parameters: Vec<(String, String)>,
    buffers: Vec<(String, String)>,
    modules: Vec<(String, String)>,
    layers: Vec<(String, String)>,
    /// The layers as an array, where they are one.
    array: Option<String>,
    output: Option<String>,
    single: Option<String>,
    comments: Vec<String>,
}

impl Parts {
    /// The parts in the order of [`Body::walk`], which numbers the constants.
    fn new(body: &Body, library: &Library, names: &[Option<String>]) -> Parts {
        let mut writer = Writer {
            blocks: library,
            names,
            at: 0,
        };
        let mut parts = Parts {
            parameters: Vec::new(),
            buffers: Vec::new(),
            modules: Vec::new(),
            layers: Vec::new(),
            array: None,
            output: None,
            single: None,
            comments: body.comments.clone(),
        };
        for held in &body.held {
            let sizes: Vec<String> = held
                .shape
                .iter()
                .flatten()
                .map(|size| match writer.constant(size) {
                    (text, true) => quoted(&text),
                    (text, false) => size_text(&text),
                })
                .collect();
            let shape = match held.shape {
                Some(_) => format!("[{}]", sizes.join(", ")),
                None => format!("[{}]", quoted(UNKNOWN)),
            };
            let mut flags = String::new();
            if let Some(dtype) = &held.dtype {
                flags += &format!(", dtype = {}", quoted(dtype));
            }
            if !held.persistent {
                flags += ", persistent = false";
            }
            let text = match flags.is_empty() {
                true => shape,
                false => format!("{{ shape = {shape}{flags} }}"),
            };
            let list = if held.buffer {
                &mut parts.buffers
            } else {
                &mut parts.parameters
            };
            list.push((held.name.to_string(), text));
        }
        for (key, node) in &body.modules {
            let text = value(node, &mut writer);
            parts.modules.push((key.to_string(), text));
        }
        let lines: Vec<(String, String)> = body
            .layers
            .iter()
            .map(|(key, node)| (key.to_string(), value(node, &mut writer)))
            .collect();
        let numbered = lines
            .iter()
            .enumerate()
            .all(|(at, (key, _))| *key == at.to_string());
        let plain = body.modules.is_empty() && body.held.is_empty() && body.output.is_none();
        let plain = plain && body.inputs.is_none();
        if numbered && plain && !lines.is_empty() {
            let items = lines.into_iter().map(|(_, text)| text).collect();
            parts.array = Some(array(repeated(items)));
        } else {
            parts.layers = lines;
        }
        parts.output = body
            .output
            .as_ref()
            .map(|output| quoted(&writer.pieces(output)));
        parts.single = body
            .single
            .as_ref()
            .map(|single| quoted(&writer.pieces(single)));
        parts
    }

    fn output(&self, table: &mut Table) {
        if let Some(output) = &self.output {
            table.line("output", output.clone());
        }
    }

    fn comments(&self) -> String {
        self.comments
            .iter()
            .map(|comment| format!("# {comment}\n"))
            .collect()
    }

    fn sections(&self, prefix: &str) -> String {
        let mut out = String::new();
        let parts = [
            ("parameters", &self.parameters),
            ("buffers", &self.buffers),
            ("modules", &self.modules),
            ("layers", &self.layers),
        ];
        for (name, lines) in parts {
            if lines.is_empty() {
                continue;
            }
            let mut table = Table::new(&format!("{prefix}{name}"));
            for (key, text) in lines {
                table.line(key, text.clone());
            }
            out += &table.text();
        }
        out
    }
}

/// The text of a layer.
fn value(node: &Node, writer: &mut Writer<'_>) -> String {
    match node {
        Node::Line(pieces) => quoted(&writer.pieces(pieces)),
        Node::Container(container) => self::container(container, writer),
    }
}

fn container(container: &Container, writer: &mut Writer<'_>) -> String {
    let from = container.from.as_ref().map(|from| writer.arguments(from));
    let mut lines: Vec<(String, String)> = container
        .children
        .iter()
        .map(|(key, node)| (key.to_string(), value(node, writer)))
        .collect();
    let mut keys = String::new();
    if let Some(class) = &container.class {
        keys += &format!("class = {}, ", quoted(class));
    }
    if let Some(when) = &container.when {
        keys += &format!("when = {}, ", quoted(when));
    }
    if let Some(base) = &container.base {
        keys += &format!("base = {}, ", quoted(base));
    }
    if container.is_numbered() {
        let plain = matches!(container.children.first(), Some((_, Node::Line(_))))
            && !lines[0].1.ends_with(" else None\"");
        match from {
            Some(from) if plain && container.class.is_none() => {
                let first = lines[0].1.trim_matches('"').to_string();
                lines[0].1 = quoted_as_is(&format!("{first}({})", escaped(&from)));
            }
            Some(from) => keys += &format!("from = {}, ", quoted(&from)),
            None => {}
        }
        let items = repeated(lines.into_iter().map(|(_, text)| text).collect());
        if let ([single], Some(class), true) =
            (items.as_slice(), &container.class, !keys.contains("from"))
            && single.starts_with('"')
            && class != "ModuleDict"
        {
            let single = single.trim_matches('"');
            return quoted_as_is(&format!("{class}({single})"));
        }
        let text = array(items);
        return match keys.is_empty() {
            true => text,
            false => format!("{{ {keys}layers = {text} }}"),
        };
    }
    if let Some(from) = from {
        keys += &format!("from = {}, ", quoted(&from));
    }
    let entries: Vec<String> = patterns(lines)
        .into_iter()
        .map(|(key, text)| format!("{} = {text}", self::key(&key)))
        .collect();
    let ambiguous = container
        .children
        .iter()
        .any(|(name, _)| keys::MARKS_LAYER.contains(&name.as_str()));
    let table = format!("{{ {} }}", entries.join(", "));
    match keys.is_empty() && !ambiguous {
        true => table,
        false => format!("{{ {keys}layers = {table} }}"),
    }
}

/// Equal items in a row as one.
fn repeated(items: Vec<String>) -> Vec<String> {
    let mut out: Vec<(String, usize)> = Vec::new();
    for item in items {
        match out.last_mut() {
            Some((last, count)) if *last == item && item.starts_with('"') && item.contains('(') => {
                *count += 1;
            }
            _ => out.push((item, 1)),
        }
    }
    out.into_iter()
        .map(|(item, count)| match count {
            1 => item,
            count => format!("\"{count} * {}", &item[1..]),
        })
        .collect()
}

/// Equal entries whose names count on as one: `"layer{i}" = "12 * Layer()"`.
fn patterns(lines: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let (key, text) = &lines[at];
        let count = match names::numbered(key) {
            Some((stem, number)) if text.starts_with('"') => lines[at..]
                .iter()
                .enumerate()
                .take_while(|(index, (key, other))| {
                    *key == format!("{stem}{}", number + index) && other == text
                })
                .count(),
            _ => 1,
        };
        match names::numbered(key) {
            Some((stem, number)) if count > 1 => {
                let index = match number {
                    0 => "{i}".to_string(),
                    number => format!("{{i + {number}}}"),
                };
                out.push((
                    format!("{stem}{index}"),
                    format!("\"{count} * {}", &text[1..]),
                ));
            }
            _ => out.push((key.clone(), text.clone())),
        }
        at += count.max(1);
    }
    out
}

/// `input = [1, 3, 224, 224]`, for a model with one input.
fn inputs(trace: &Trace, model: &mut Table) {
    let names = names::inputs(trace);
    if let [name] = names.as_slice()
        && name == "input"
    {
        model.line("input", shape_of(trace, 0));
    }
}

fn named_inputs(trace: &Trace) -> String {
    let names = names::inputs(trace);
    if names.is_empty() || names.len() == 1 && names[0] == "input" {
        return String::new();
    }
    let mut table = Table::new("model.input");
    for (at, name) in names.iter().enumerate() {
        table.line(name, shape_of(trace, at));
    }
    table.text()
}

fn shape_of(trace: &Trace, at: usize) -> String {
    let tensor = trace.tensor(trace.inputs[at].1);
    let shape = tensor.shape.clone().unwrap_or_default();
    let sizes: Vec<String> = shape
        .iter()
        .map(|dim: &Dim| size_text(&dim.to_string()))
        .collect();
    let shape = format!("[{}]", sizes.join(", "));
    match tensor.dtype {
        None | Some(DType::Float32) => shape,
        Some(dtype) => format!("{{ shape = {shape}, dtype = {} }}", quoted(dtype.name())),
    }
}

/// A size: a number, or a name or expression in quotes.
fn size_text(text: &str) -> String {
    match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.into(),
        false => quoted(text),
    }
}

/// Whether what is written as numbers would be taken for products of sizes that the spec does not say: the blocks with
/// products list them, and the others have none.
fn says_no_sizes(trace: &Trace) -> bool {
    let shapes = |name: &str| {
        let method = name.strip_prefix("torch.Tensor.");
        method.is_some_and(|method| ["reshape", "view"].contains(&method))
            || name == "torch.reshape"
    };
    trace.products_unsaid.is_none()
        && trace.calls().any(|(id, call)| {
            let class = &trace.module(trace.enclosing_module(id)).class.name;
            let own = !class.starts_with("torch.");
            own && matches!(&call.target, Target::Function(name) if shapes(name))
        })
}
