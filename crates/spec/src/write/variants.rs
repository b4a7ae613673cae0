//! Modules of one class that differ in a part: with a downsampling branch and without, with a
//! residual and without. They are one block, and the part is there where an argument says so.

use modelcost_core::SmolStr;
use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;

use super::blocks::{all_constants, key};
use super::pieces::{Body, Container, Given, Node, Piece, Pieces};

/// Modules with the same body but for constants.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub body: Body,
    pub members: Vec<Member>,
    /// The parts that are not always there.
    pub flags: Vec<SmolStr>,
}

/// A module and what it has in place of the body's constants and flags.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub module: ModuleId,
    /// Nothing where the part that the constant is in is not there.
    pub constants: Vec<Option<Value>>,
    pub flags: Vec<bool>,
}

/// A part of a body that another body of the class may lack.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    /// A layer.
    Layer(usize),
    /// An item of a layer that is an array.
    Item(usize, usize),
}

/// More parts than this make a block that nobody understands.
const MAX_PARTS: usize = 3;

/// Makes one group of those that differ in parts only.
pub(super) fn merged(groups: Vec<Group>) -> Vec<Group> {
    let mut groups = groups;
    let size = |group: &Group| all_constants(&group.body).len() + group.body.layers.len();
    // The fullest first: the others are that without some parts.
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(size(&groups[*at])));
    let mut out: Vec<(usize, Group)> = Vec::new();
    let mut done = vec![false; groups.len()];
    for at in order.clone() {
        if std::mem::replace(&mut done[at], true) {
            continue;
        }
        let full = groups[at].clone();
        let mut found: Vec<(usize, Removal)> = Vec::new();
        let mut parts: Vec<(Part, Option<SmolStr>)> = Vec::new();
        for other in order.iter().copied().filter(|other| !done[*other]) {
            let Some(removal) = removal(&full.body, &groups[other].body) else {
                continue;
            };
            let fits = removal.parts.iter().all(|(part, stand_in)| {
                parts
                    .iter()
                    .all(|(own, own_stand_in)| own != part || own_stand_in == stand_in)
            });
            let new = removal
                .parts
                .iter()
                .filter(|part| !parts.contains(part))
                .count();
            if fits && parts.len() + new <= MAX_PARTS {
                for part in &removal.parts {
                    if !parts.contains(part) {
                        parts.push(part.clone());
                    }
                }
                found.push((other, removal));
            }
        }
        if found.is_empty() {
            out.push((at, full));
            continue;
        }
        let first = found.iter().map(|(other, _)| *other).fold(at, usize::min);
        let merged = with_parts(full, &parts, &found, &mut groups);
        found.iter().for_each(|(other, _)| done[*other] = true);
        out.push((first, merged));
    }
    out.sort_by_key(|(at, _)| *at);
    out.into_iter().map(|(_, group)| group).collect()
}

/// What one body lacks of another, and which of the other's constants it has.
struct Removal {
    parts: Vec<(Part, Option<SmolStr>)>,
    constants: Vec<usize>,
}

fn with_parts(
    full: Group,
    parts: &[(Part, Option<SmolStr>)],
    found: &[(usize, Removal)],
    groups: &mut [Group],
) -> Group {
    let mut taken: Vec<SmolStr> = full
        .body
        .layers
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    taken.extend(full.body.modules.iter().map(|(name, _)| name.clone()));
    let mut flags: Vec<SmolStr> = Vec::new();
    for (part, _) in parts {
        let base = flag_name(&full.body, *part);
        let mut name = base.clone();
        let mut number = 2;
        while taken.contains(&name) || flags.contains(&name) {
            name = format!("{base}{number}").into();
            number += 1;
        }
        flags.push(name);
    }
    let mut body = full.body.clone();
    for ((part, stand_in), flag) in parts.iter().zip(&flags) {
        mark(&mut body, *part, flag);
        if let (Part::Layer(at), Some(stand_in)) = (part, stand_in) {
            let name = full.body.layers[*at].0.clone();
            let text = format!("({name} if {flag} else {stand_in})");
            replace(&mut body, &name, &text);
        }
    }
    let mut members = full.members;
    for member in &mut members {
        member.flags = vec![true; parts.len()];
    }
    let count = all_constants(&full.body).len();
    for (other, removal) in found {
        for mut member in groups[*other].members.drain(..) {
            let mut constants = vec![None; count];
            for (own, at) in member.constants.into_iter().zip(&removal.constants) {
                constants[*at] = own;
            }
            member.constants = constants;
            let has = |part: &(Part, Option<SmolStr>)| !removal.parts.contains(part);
            member.flags = parts.iter().map(has).collect();
            members.push(member);
        }
    }
    Group {
        body,
        members,
        flags,
    }
}

/// What the argument is called that says whether a part is there.
fn flag_name(body: &Body, part: Part) -> SmolStr {
    match part {
        Part::Layer(at) => {
            let (name, node) = &body.layers[at];
            let adds = match node {
                Node::Line(pieces) => super::blocks::plain(pieces).contains(" + "),
                Node::Container(_) => false,
            };
            match (adds, name.as_str()) {
                (true, _) => "residual".into(),
                (false, "downsample") => "down".into(),
                (false, names) => {
                    // Of several names, as in `"q, k, v"`, the first.
                    let name = names.split(',').next().unwrap_or(names);
                    format!("has_{name}").into()
                }
            }
        }
        Part::Item(_, 0) => "has_first".into(),
        Part::Item(layer, at) => match item_class(body, layer, at) {
            Some(class) => format!("has_{class}").into(),
            None => format!("has_item{at}").into(),
        },
    }
}

/// The class of an item as a word: `squeeze_excitation`.
fn item_class(body: &Body, layer: usize, at: usize) -> Option<String> {
    let Node::Container(container) = &body.layers[layer].1 else {
        return None;
    };
    let (_, Node::Line(pieces)) = container.children.get(at)? else {
        return None;
    };
    let text = super::blocks::plain(pieces);
    let class = text.split('(').next().filter(|class| class.len() < 24)?;
    let mut out = String::new();
    for c in class.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    super::python::is_identifier(&out).then_some(out)
}

/// Says of a part that it is there where a flag holds.
fn mark(body: &mut Body, part: Part, flag: &str) {
    let node = match part {
        Part::Layer(at) => Some(&mut body.layers[at].1),
        Part::Item(at, item) => match &mut body.layers[at].1 {
            Node::Container(container) => container.children.get_mut(item).map(|(_, node)| node),
            Node::Line(_) => None,
        },
    };
    match node {
        Some(Node::Line(pieces)) => pieces.push(Piece::Text(format!(" if {flag} else None"))),
        Some(Node::Container(container)) => container.when = Some(flag.into()),
        None => {}
    }
}

/// Writes a member's own constants into a body.
pub(super) fn settle(body: &mut Body, member: &Member) {
    let mut next = 0;
    each_pieces(body, &mut |pieces| number(pieces, &mut next));
    fn set(pieces: &mut Pieces, member: &Member) {
        for piece in pieces {
            match piece {
                Piece::Constant(constant) => {
                    if let Some(Some(value)) = member.constants.get(constant.number) {
                        constant.value = value.clone();
                    }
                }
                Piece::Arguments(arguments) => {
                    arguments
                        .iter_mut()
                        .for_each(|given| set(&mut given.value, member));
                }
                _ => {}
            }
        }
    }
    each_pieces(body, &mut |pieces| set(pieces, member));
}

/// What to take out of a body to get another.
fn removal(full: &Body, other: &Body) -> Option<Removal> {
    let wanted = key(other);
    let alike = full.class == other.class
        && full.inputs == other.inputs
        && full.modules.len() == other.modules.len()
        && full.held.len() == other.held.len();
    if !alike || full.layers.len() > 40 {
        return None;
    }
    // Constants numbered, to see which of them are left.
    let mut numbered = full.clone();
    let mut next = 0;
    each_pieces(&mut numbered, &mut |pieces| number(pieces, &mut next));
    // The layers that the other has no name for are gone; of arrays it is seen only how many items.
    let mut chosen: Vec<Part> = Vec::new();
    for (at, (name, _)) in full.layers.iter().enumerate() {
        if !other.layers.iter().any(|(own, _)| own == name) {
            chosen.push(Part::Layer(at));
        }
    }
    let candidates: Vec<Part> = items(full)
        .into_iter()
        .filter(|part| match part {
            Part::Item(at, _) => !chosen.contains(&Part::Layer(*at)),
            Part::Layer(_) => true,
        })
        .collect();
    let fewer = candidates.len().checked_sub(items(other).len());
    let missing = fewer.filter(|missing| chosen.len() + missing <= MAX_PARTS)?;
    if chosen.is_empty() && missing == 0 {
        return None;
    }
    search(&numbered, other, &wanted, &candidates, missing, &mut chosen)
}

/// Tries all ways to leave so many items out.
fn search(
    full: &Body,
    other: &Body,
    wanted: &str,
    candidates: &[Part],
    missing: usize,
    chosen: &mut Vec<Part>,
) -> Option<Removal> {
    if missing == 0 {
        return without(full, other, wanted, chosen);
    }
    for at in 0..candidates.len() {
        chosen.push(candidates[at]);
        let found = search(
            full,
            other,
            wanted,
            &candidates[at + 1..],
            missing - 1,
            chosen,
        );
        if found.is_some() {
            return found;
        }
        chosen.pop();
    }
    None
}

/// The items of the layers that are arrays.
fn items(body: &Body) -> Vec<Part> {
    let mut out = Vec::new();
    for (at, (_, node)) in body.layers.iter().enumerate() {
        if let Node::Container(container) = node
            && container.is_numbered()
        {
            out.extend((0..container.children.len()).map(|item| Part::Item(at, item)));
        }
    }
    out
}

/// Takes parts out and compares; names of layers that are gone stand for one of the others.
fn without(full: &Body, other: &Body, wanted: &str, chosen: &[Part]) -> Option<Removal> {
    let layers = chosen
        .iter()
        .filter(|part| matches!(part, Part::Layer(_)))
        .count();
    if full.layers.len() - layers != other.layers.len() {
        return None;
    }
    let mut body = full.clone();
    let mut gone: Vec<(Part, SmolStr)> = Vec::new();
    for part in chosen.iter().rev() {
        match *part {
            Part::Layer(at) => gone.push((*part, body.layers[at].0.clone())),
            Part::Item(at, item) => {
                if let Node::Container(container) = &mut body.layers[at].1 {
                    container.children.remove(item);
                    renumber(container);
                }
            }
        }
    }
    for (part, _) in &gone {
        if let Part::Layer(at) = part {
            body.layers.remove(*at);
        }
    }
    let mut stand_ins: Vec<(Part, Option<SmolStr>)> = Vec::new();
    for (part, name) in gone {
        if !mentions(&body, &name) {
            stand_ins.push((part, None));
            continue;
        }
        let inputs = body.inputs.iter().flatten().map(|(name, _)| name.clone());
        let others = body.layers.iter().map(|(name, _)| name.clone());
        let all: Vec<SmolStr> = [SmolStr::new_static("input")]
            .into_iter()
            .chain(inputs)
            .chain(others)
            .collect();
        let fitting = all.into_iter().find(|stand_in| {
            let mut tried = body.clone();
            replace(&mut tried, &name, stand_in);
            key(&tried) == wanted
        })?;
        replace(&mut body, &name, &fitting);
        stand_ins.push((part, Some(fitting)));
    }
    for part in chosen.iter().filter(|part| matches!(part, Part::Item(..))) {
        stand_ins.push((*part, None));
    }
    if key(&body) != wanted {
        return None;
    }
    let constants = all_constants(&body);
    let constants = constants.iter().map(|constant| constant.number).collect();
    Some(Removal {
        parts: stand_ins,
        constants,
    })
}

fn renumber(container: &mut Container) {
    for (at, (name, _)) in container.children.iter_mut().enumerate() {
        *name = at.to_string().into();
    }
}

fn mentions(body: &Body, name: &str) -> bool {
    let mut found = false;
    let mut copy = body.clone();
    each_pieces(&mut copy, &mut |pieces| {
        each_text(pieces, &mut |text| found |= text == name);
    });
    found
}

fn replace(body: &mut Body, name: &str, with: &str) {
    each_pieces(body, &mut |pieces| {
        each_text(pieces, &mut |text| {
            if text == name {
                *text = with.into();
            }
        });
    });
}

fn each_text(pieces: &mut Pieces, change: &mut dyn FnMut(&mut String)) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => change(text),
            Piece::Arguments(arguments) => {
                for given in arguments {
                    each_text(&mut given.value, change);
                }
            }
            _ => {}
        }
    }
}

fn number(pieces: &mut Pieces, next: &mut usize) {
    for piece in pieces {
        match piece {
            Piece::Constant(constant) => {
                constant.number = *next;
                *next += 1;
            }
            Piece::Arguments(arguments) => {
                for given in arguments {
                    number(&mut given.value, next);
                }
            }
            _ => {}
        }
    }
}

/// All expressions of a body in the order of [`Body::walk`].
fn each_pieces(body: &mut Body, change: &mut dyn FnMut(&mut Pieces)) {
    for held in &mut body.held {
        for size in held.shape.iter_mut().flatten() {
            let mut pieces = vec![Piece::Constant(size.clone())];
            change(&mut pieces);
            if let Some(Piece::Constant(constant)) = pieces.pop() {
                *size = constant;
            }
        }
    }
    for (_, node) in body.modules.iter_mut().chain(&mut body.layers) {
        each_in_node(node, change);
    }
    for pieces in body.output.iter_mut().chain(&mut body.single) {
        change(pieces);
    }
}

fn each_in_node(node: &mut Node, change: &mut dyn FnMut(&mut Pieces)) {
    match node {
        Node::Line(pieces) => change(pieces),
        Node::Container(container) => {
            for Given { value, .. } in container.from.iter_mut().flatten() {
                change(value);
            }
            for (_, node) in &mut container.children {
                each_in_node(node, change);
            }
        }
    }
}
