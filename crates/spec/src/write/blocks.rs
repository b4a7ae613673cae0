//! Modules that are the same but for constants become one block with parameters.

use std::collections::{HashMap, HashSet};

use modelcost_core::SmolStr;
use modelcost_core::trace::{Class, ModuleId, Trace};
use modelcost_core::value::Value;

use super::parameters::{Parameter, parameters};
use super::pieces::{Blocks, Body, Constant, Given, Piece, Pieces, Visitor, Writer};
use super::variants::{Group, Member};

/// A block of the spec.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub name: SmolStr,
    pub parameters: Vec<Parameter>,
    /// The body of its first instance, whose constants may be parameters.
    pub body: Body,
    /// What each constant of the body is written as, in the order of the walk.
    pub names: Vec<Option<String>>,
}

/// All blocks, and what each module that is an instance of one gives it.
#[derive(Default)]
pub(super) struct Library {
    pub blocks: Vec<Block>,
    instances: HashMap<ModuleId, (usize, Vec<Value>)>,
    taken: HashSet<SmolStr>,
}

impl Blocks for Library {
    fn constructor(&self, module: ModuleId) -> Option<(SmolStr, Vec<Given>)> {
        let (block, values) = self.instances.get(&module)?;
        let block = &self.blocks[*block];
        let mut by_position = true;
        let given = block
            .parameters
            .iter()
            .zip(values)
            .map(|(parameter, value)| {
                by_position &= parameter.default.is_none();
                Given {
                    keyword: (!by_position).then(|| parameter.name.clone()),
                    default: parameter.default.clone(),
                    value: vec![Piece::Constant(Constant {
                        value: value.clone(),
                        role: parameter.name.clone(),
                        constructs: parameter.constructs,
                        number: 0,
                    })],
                }
            });
        Some((block.name.clone(), given.collect()))
    }
}

impl Library {
    /// Makes the blocks of all bodies, those that hold no others first. `names` are names that no
    /// block may have.
    pub fn new(
        trace: &Trace,
        mut bodies: HashMap<ModuleId, Body>,
        names: HashSet<SmolStr>,
    ) -> Library {
        let mut library = Library {
            taken: names,
            ..Library::default()
        };
        let order: Vec<ModuleId> = trace
            .named_modules()
            .into_iter()
            .map(|(_, id)| id)
            .collect();
        let mut left: Vec<ModuleId> = order
            .into_iter()
            .filter(|id| bodies.contains_key(id))
            .collect();
        while !left.is_empty() {
            let ready = library.ready(&left, &bodies);
            if ready.is_empty() {
                break;
            }
            left.retain(|id| !ready.contains(id));
            let mut classes: Vec<(Class, Vec<Group>)> = Vec::new();
            let mut positions: HashMap<String, (usize, usize)> = HashMap::new();
            for id in ready {
                let body = library.expanded(&bodies.remove(&id).unwrap_or_default());
                let key = key(&body);
                let constants = all_constants(&body).into_iter();
                let member = Member {
                    module: id,
                    constants: constants.map(|constant| Some(constant.value)).collect(),
                    flags: Vec::new(),
                };
                if let Some((class, group)) = positions.get(&key) {
                    classes[*class].1[*group].members.push(member);
                    continue;
                }
                let class = match classes.iter().position(|(class, _)| *class == body.class) {
                    Some(class) => class,
                    None => {
                        classes.push((body.class.clone(), Vec::new()));
                        classes.len() - 1
                    }
                };
                positions.insert(key, (class, classes[class].1.len()));
                classes[class].1.push(Group {
                    body,
                    members: vec![member],
                    flags: Vec::new(),
                });
            }
            for (_, groups) in classes {
                for group in super::variants::merged(groups) {
                    library.add(group);
                }
            }
        }
        library
    }

    /// The modules whose blocks can be made: all that is inside them has its block, and that holds
    /// for all modules of the class, which may come to be one block.
    fn ready(&self, left: &[ModuleId], bodies: &HashMap<ModuleId, Body>) -> Vec<ModuleId> {
        let ready = |id: &ModuleId| {
            let mut nested = Nested(Vec::new());
            bodies[id].walk(&mut nested);
            nested
                .0
                .iter()
                .all(|inner| self.instances.contains_key(inner))
        };
        let (some, later): (Vec<ModuleId>, Vec<ModuleId>) = left.iter().partition(|id| ready(id));
        let waits = |id: &&ModuleId| {
            let class = &bodies[*id].class;
            later.iter().any(|other| bodies[other].class == *class)
        };
        let together: Vec<ModuleId> = some.iter().filter(|id| !waits(id)).copied().collect();
        // A class that holds itself is never complete.
        if together.is_empty() { some } else { together }
    }

    /// A body with the constructors of blocks as calls with arguments.
    fn expanded(&self, body: &Body) -> Body {
        let mut body = body.clone();
        let expand = |pieces: &mut Pieces| {
            let mut out = Pieces::new();
            for piece in pieces.drain(..) {
                match piece {
                    Piece::Block(module) => match self.constructor(module) {
                        Some((name, arguments)) => {
                            out.push(Piece::Text(format!("{name}(")));
                            out.push(Piece::Arguments(arguments));
                            out.push(Piece::Text(")".into()));
                        }
                        None => out.push(Piece::Block(module)),
                    },
                    piece => out.push(piece),
                }
            }
            *pieces = out;
        };
        for (_, node) in body.modules.iter_mut().chain(&mut body.layers) {
            each_line(node, &expand);
        }
        body
    }

    /// The blocks in the order in which a reader of the model meets them.
    pub fn in_order(&self, trace: &Trace) -> Vec<&Block> {
        let mut order: Vec<usize> = Vec::new();
        for (_, id) in trace.named_modules() {
            if let Some((block, _)) = self.instances.get(&id)
                && !order.contains(block)
            {
                order.push(*block);
            }
        }
        order.into_iter().map(|block| &self.blocks[block]).collect()
    }

    /// The root's own body, with the constructors of blocks as calls.
    pub fn root(&self, body: &Body) -> Body {
        self.expanded(body)
    }

    fn add(&mut self, group: Group) {
        let constants = all_constants(&group.body);
        let used = words(&group.body, &group.flags);
        let Some((mut parameters, names, columns)) = parameters(&constants, &group.members, &used)
        else {
            return self.add_apart(group);
        };
        let name = self.name(&group.body);
        let index = self.blocks.len();
        let mut values: Vec<Vec<Value>> = vec![columns; group.members.len()]
            .into_iter()
            .enumerate()
            .map(|(member, columns)| {
                columns
                    .into_iter()
                    .map(|column| column[member].clone())
                    .collect()
            })
            .collect();
        for (flag, name) in group.flags.iter().enumerate() {
            let there = group
                .members
                .iter()
                .filter(|member| member.flags[flag])
                .count();
            parameters.push(Parameter {
                name: name.clone(),
                default: Some(Value::Bool(2 * there > group.members.len())),
                constructs: true,
            });
            for (values, member) in values.iter_mut().zip(&group.members) {
                values.push(Value::Bool(member.flags[flag]));
            }
        }
        for (member, values) in group.members.iter().zip(values) {
            self.instances.insert(member.module, (index, values));
        }
        self.blocks.push(Block {
            name,
            parameters,
            body: group.body,
            names,
        });
    }

    /// Modules that are too different for one block: one for those that are the same throughout.
    fn add_apart(&mut self, group: Group) {
        let mut apart: Vec<(String, Group)> = Vec::new();
        for member in group.members {
            let key = format!("{:?}{:?}", member.constants, member.flags);
            match apart.iter_mut().find(|(own, _)| *own == key) {
                Some((_, same)) => same.members.push(member),
                None => {
                    let mut body = group.body.clone();
                    super::variants::settle(&mut body, &member);
                    let same = Group {
                        body,
                        members: vec![member],
                        flags: group.flags.clone(),
                    };
                    apart.push((key, same));
                }
            }
        }
        apart.into_iter().for_each(|(_, group)| self.add(group));
    }

    /// A name for a block: its class's, with a number if that is taken.
    fn name(&mut self, body: &Body) -> SmolStr {
        let short = body.class.short_name();
        let base: String = short
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || c == '_' {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let base = match super::python::is_identifier(&base) {
            true => base,
            false => "Block".into(),
        };
        let known = modelcost_torch::class(&base).is_some();
        let mut names = (1..).map(|number| match number {
            1 if known => SmolStr::from(format!("{base}Block")),
            1 => SmolStr::from(base.as_str()),
            number => SmolStr::from(format!("{base}{number}")),
        });
        let name = names
            .find(|name| !self.taken.contains(name))
            .unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }
}

fn each_line(node: &mut super::pieces::Node, change: &dyn Fn(&mut Pieces)) {
    match node {
        super::pieces::Node::Line(pieces) => change(pieces),
        super::pieces::Node::Container(container) => {
            for (_, node) in &mut container.children {
                each_line(node, change);
            }
        }
    }
}

/// The blocks inside a body.
struct Nested(Vec<ModuleId>);

impl Visitor for Nested {
    fn block(&mut self, module: ModuleId) {
        self.0.push(module);
    }
}

/// The text of a body without its constants: bodies with one text can be one block.
pub(super) fn key(body: &Body) -> String {
    struct Key(String);
    impl Visitor for Key {
        fn text(&mut self, text: &str) {
            self.0.push_str(text);
        }
        fn constant(&mut self, _: &Constant) {
            self.0.push('\u{0}');
        }
        fn block(&mut self, module: ModuleId) {
            self.0.push_str(&format!("{module:?}"));
        }
    }
    let mut key = Key(String::new());
    body.walk(&mut key);
    key.0
}

pub(super) fn all_constants(body: &Body) -> Vec<Constant> {
    struct All(Vec<Constant>);
    impl Visitor for All {
        fn constant(&mut self, constant: &Constant) {
            self.0.push(constant.clone());
        }
    }
    let mut all = All(Vec::new());
    body.walk(&mut all);
    all.0
}

/// All words of a body, which no parameter may be called.
fn words(body: &Body, flags: &[SmolStr]) -> HashSet<SmolStr> {
    let mut out: HashSet<SmolStr> = flags.iter().cloned().collect();
    let entries = body.modules.iter().chain(&body.layers);
    for (name, _) in entries {
        out.extend(name.split(", ").map(SmolStr::from));
    }
    for (name, _) in body.inputs.iter().flatten() {
        out.insert(name.clone());
    }
    out.extend(body.held.iter().map(|held| held.name.clone()));
    out.extend(["input", "i", "torch", "F", "nn", "math"].map(SmolStr::from));
    out
}

/// An expression as text, with its constants as they are.
pub(super) fn plain(pieces: &Pieces) -> String {
    struct Nothing;
    impl Blocks for Nothing {
        fn constructor(&self, _: ModuleId) -> Option<(SmolStr, Vec<Given>)> {
            None
        }
    }
    let mut writer = Writer {
        blocks: &Nothing,
        names: &[],
        at: 0,
    };
    writer.pieces(pieces)
}
