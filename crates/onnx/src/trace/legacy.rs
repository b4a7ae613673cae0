//! Models of the older exporter (`torch.onnx.export(dynamo=False)`), which names nodes after the
//! modules around them: `/layer1/layer1.0/conv1/Conv`.

use foldhash::{HashMap, HashMapExt, HashSet};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::TraceBuilder;
use modelcost_fx::{Entry, StackId};
use smol_str::SmolStr;

use super::Built;
use super::assemble::{Assembler, BatchNorm, Placed};
use super::folded::{self, Biases};
use super::graph::Graph;
use super::piece::{Operand, Piece};
use super::{attention, pieces, recurrent_cell, recurrent_layer};
use crate::infer::Program;
use crate::model::Model;
use crate::text::Arena;

/// The class of a module of which only the name is known.
const UNKNOWN: &str = "Module";
const SEQUENTIAL: &str = "torch.nn.modules.container.Sequential";

/// Builds the trace, unless nodes are not named this way.
pub(super) fn build<'a>(
    model: &'a Model<'a>,
    program: &'a Program<'a>,
    arena: &'a Arena,
    name: &str,
) -> Option<Built> {
    let named = model
        .graph
        .nodes
        .iter()
        .filter(|node| node.name.starts_with('/'))
        .count();
    if named == 0 || model.producer_name != "pytorch" {
        return None;
    }
    let graph = Graph::new(program);
    let scopes = Scopes::new(program);
    let mut pieces = pieces::pieces(&graph);
    pieces = recurrent_layer::gather(&graph, pieces, &|at| scopes.of_step(at));
    pieces = recurrent_cell::gather(&graph, pieces, &|at| scopes.of_step(at));
    pieces = attention::gather(&graph, pieces, &|at| scopes.of_step(at));
    let parameters = Parameters::new(&graph);
    pieces
        .iter_mut()
        .for_each(|piece| drop_constants(&graph, piece));
    let layout = Layout::new(&graph, &scopes, &pieces, &parameters);
    let mut stacks: HashMap<&str, StackId> = HashMap::default();
    let biases = folded::biases(model, &graph);
    let mut assembler = Assembler::new(&graph, arena, TraceBuilder::new(name, "onnx"));
    let shown = layout.scopes_by_path();
    let mut folded = 0;
    for piece in pieces {
        let scope = scopes.of_piece(&piece);
        let stack = *stacks
            .entry(scope)
            .or_insert_with(|| assembler.stacks.push(layout.stack(scope, arena)));
        let path = layout.paths.get(scope).cloned().unwrap_or_default();
        let batch_norm = (layout.leaves.contains_key(scope) && layout.is_folded(&graph, &piece))
            .then(|| layout.batch_norm(&path, &scopes))
            .map(|(path, guess)| {
                let path = arena.string(path);
                let biased = match biases {
                    Biases::None => false,
                    Biases::All => true,
                    Biases::Open => guess,
                };
                let stack = shown.get(path).map(|scope| {
                    let mut push = |scope| assembler.stacks.push(layout.stack(scope, arena));
                    *stacks
                        .entry(*scope)
                        .or_insert_with_key(|scope| push(*scope))
                });
                BatchNorm {
                    path,
                    biased,
                    stack,
                }
            });
        folded += usize::from(batch_norm.is_some());
        assembler.place(Placed {
            piece,
            stack,
            owner: path,
            batch_norm,
        });
    }
    let note = |builder: &mut TraceBuilder, text: String| {
        builder
            .trace_mut()
            .fidelity
            .note(Level::Reconstructed, text);
    };
    note(
        &mut assembler.builder,
        "the classes of modules were put back from the names and operators of nodes (older exporter)".into(),
    );
    if folded > 0 {
        note(
            &mut assembler.builder,
            format!(
                "{folded} BatchNorm layer{} that the exporter folded into convolutions {} put back; {}",
                if folded == 1 { "" } else { "s" },
                if folded == 1 { "was" } else { "were" },
                match biases {
                    Biases::Open => "the file no longer says whether those convolutions had a bias",
                    _ =>
                        "whether those convolutions had a bias was told from the numbers of values",
                },
            ),
        );
    }
    assembler.finish(model)
}

/// A normalisation without scale and shift has ones and zeros as constant nodes; parameters are
/// initializers.
fn drop_constants(graph: &Graph<'_, '_>, piece: &mut Piece) {
    if !piece.op.ends_with("_norm") {
        return;
    }
    for (name, operand) in &mut piece.operands {
        let Operand::Weight(id, _) = operand else {
            continue;
        };
        let maker = graph.maker(*id);
        if matches!(*name, "weight" | "bias") && maker.is_some_and(|at| graph.op(at) == "Constant")
        {
            *operand = Operand::None;
        }
    }
}

/// The scopes of nodes: everything before the last `/` of their names.
pub(super) struct Scopes<'a> {
    by_step: Vec<&'a str>,
    all: HashSet<&'a str>,
    /// All of them, outer ones before those inside.
    in_order: Vec<&'a str>,
    /// Those that have others inside; the root is the empty one.
    outer: HashSet<&'a str>,
}

impl<'a> Scopes<'a> {
    fn new(program: &'a Program<'a>) -> Scopes<'a> {
        let mut scopes = Scopes {
            by_step: Vec::with_capacity(program.steps.len()),
            all: HashSet::default(),
            in_order: Vec::new(),
            outer: HashSet::default(),
        };
        for step in &program.steps {
            let scope = match step.node.name.rsplit_once('/') {
                Some((scope, _)) if step.node.name.starts_with('/') => scope,
                _ => "",
            };
            let known = scopes.in_order.len();
            let mut inner = scope;
            while !inner.is_empty() && scopes.all.insert(inner) {
                scopes.in_order.push(inner);
                inner = inner.rsplit_once('/').map_or("", |(outer, _)| outer);
                scopes.outer.insert(inner);
            }
            scopes.in_order[known..].reverse();
            scopes.by_step.push(scope);
        }
        scopes
    }

    pub fn of_step(&self, at: usize) -> &'a str {
        self.by_step[at]
    }

    /// The scope of a piece: that of its first node that has one.
    fn of_piece(&self, piece: &Piece) -> &'a str {
        let mut scopes = piece.steps.iter().map(|step| self.by_step[*step]);
        scopes.find(|scope| !scope.is_empty()).unwrap_or("")
    }
}

/// Names of parameters that the file still has: `layer1.0.conv1.weight`.
struct Parameters<'a> {
    owners: HashSet<&'a str>,
}

impl<'a> Parameters<'a> {
    fn new(graph: &Graph<'_, 'a>) -> Parameters<'a> {
        let names = graph.program.values.iter().map(|value| value.name);
        let mut owners = HashSet::default();
        for name in names.filter(|name| !is_anonymous(name)) {
            let mut inner = name;
            while let Some((owner, _)) = inner.rsplit_once('.')
                && owners.insert(owner)
            {
                inner = owner;
            }
        }
        Parameters { owners }
    }
}

/// Whether the exporter made the name up.
pub(super) fn is_anonymous(name: &str) -> bool {
    name.is_empty()
        || name.starts_with("onnx::")
        || name.starts_with('/')
        || name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Which module each scope is a call of.
struct Layout<'a> {
    /// Module paths by scope.
    paths: HashMap<&'a str, SmolStr>,
    /// Classes of the scopes that are calls of layers.
    leaves: HashMap<&'a str, String>,
    sequential: HashSet<&'a str>,
    /// Scopes of convolutions with groups.
    grouped: HashSet<&'a str>,
}

impl<'a> Layout<'a> {
    fn new(
        graph: &Graph<'_, 'a>,
        scopes: &Scopes<'a>,
        pieces: &[Piece],
        parameters: &Parameters<'a>,
    ) -> Layout<'a> {
        let mut layout = Layout {
            paths: HashMap::with_capacity(scopes.in_order.len()),
            leaves: HashMap::with_capacity(scopes.in_order.len()),
            sequential: HashSet::default(),
            grouped: HashSet::default(),
        };
        for scope in &scopes.in_order {
            let (outer, own) = scope.rsplit_once('/').unwrap_or(("", scope));
            let parent = layout.paths.get(outer).map_or("", SmolStr::as_str);
            let last = outer.rsplit('/').next().unwrap_or("");
            // `layer1/layer1.0`: the child of a Sequential repeats its parent's name.
            let relative = match own
                .strip_prefix(last)
                .and_then(|rest| rest.strip_prefix('.'))
            {
                Some(rest) if !last.is_empty() => {
                    if rest
                        .bytes()
                        .next()
                        .is_some_and(|byte| byte.is_ascii_digit())
                    {
                        layout.sequential.insert(outer);
                    }
                    rest
                }
                _ => own,
            };
            let relative = repeated(outer, own, relative, parent, scopes, parameters);
            let path = match parent {
                "" => relative.into(),
                parent => [parent, ".", relative].concat().into(),
            };
            layout.paths.insert(scope, path);
        }
        // A Sequential at the root has numbered children.
        let top = scopes
            .in_order
            .iter()
            .filter(|scope| scope.rfind('/') == Some(0));
        let mut numbered = top.map(|scope| scope[1..].bytes().all(|b| b.is_ascii_digit()));
        if scopes.outer.contains("") && numbered.all(|numbered| numbered) {
            layout.sequential.insert("");
        }
        layout.find_leaves(graph, scopes, pieces);
        layout
    }

    /// Scopes in which one layer alone computes.
    fn find_leaves(&mut self, graph: &Graph<'_, 'a>, scopes: &Scopes<'a>, pieces: &[Piece]) {
        let mut inside: HashMap<&str, Vec<&Piece>> = HashMap::with_capacity(scopes.in_order.len());
        for piece in pieces {
            inside
                .entry(scopes.of_piece(piece))
                .or_default()
                .push(piece);
        }
        for (scope, pieces) in inside {
            let nested = scopes.outer.contains(scope);
            let computing: Vec<&&Piece> = pieces.iter().filter(|piece| piece.computes()).collect();
            let class = match (computing.as_slice(), pieces.as_slice()) {
                ([one], _) => one.class.clone(),
                ([], [one]) => one.class.clone(),
                // Several pieces of one function call, such as attention.
                ([first, rest @ ..], _) => first.class.clone().filter(|_| {
                    first.group.is_some() && rest.iter().all(|p| p.group == first.group)
                }),
                _ => None,
            };
            let alone = computing.len() == pieces.len()
                || computing.is_empty()
                || pieces.iter().all(|piece| piece.group.is_some());
            let Some(class) = class.filter(|_| !nested && alone) else {
                continue;
            };
            // At the root a single operator may be a function of the model's own forward.
            let owns = computing.iter().any(|piece| {
                piece
                    .operands
                    .iter()
                    .any(|(_, operand)| matches!(operand, Operand::Weight(..)))
            });
            if scope.is_empty() && !owns && graph.program.steps.len() > 4 {
                continue;
            }
            let groups = pieces.iter().flat_map(|piece| &piece.operands);
            let mut groups = groups.filter(|(name, _)| *name == "groups");
            if groups.any(|(_, groups)| matches!(groups, Operand::Int(groups) if *groups > 1)) {
                self.grouped.insert(scope);
            }
            self.leaves.insert(scope, class);
        }
    }

    /// The module calls around a scope, the root's first.
    fn stack(&self, scope: &'a str, arena: &'a Arena) -> Vec<Entry<'a>> {
        let class = |inner: &str| match self.leaves.get(inner) {
            Some(class) if inner == scope => arena.string(class.clone()),
            _ if self.sequential.contains(inner) => SEQUENTIAL,
            _ => UNKNOWN,
        };
        let mut out = vec![Entry {
            key: "",
            path: SmolStr::default(),
            class: class(""),
        }];
        let ends = scope.match_indices('/').map(|(at, _)| at).skip(1);
        for end in ends.chain((!scope.is_empty()).then_some(scope.len())) {
            let inner = &scope[..end];
            let Some(path) = self.paths.get(inner) else {
                continue;
            };
            out.push(Entry {
                key: inner,
                path: path.clone(),
                class: class(inner),
            });
        }
        out
    }

    /// The first scope of each module.
    fn scopes_by_path(&self) -> HashMap<&str, &'a str> {
        let mut out: HashMap<&str, &'a str> = HashMap::default();
        for (scope, path) in &self.paths {
            let first = out.entry(path.as_str()).or_insert(*scope);
            *first = (*scope).min(*first);
        }
        out
    }

    /// Whether a convolution is the product of one and the BatchNorm after it: its weight lost
    /// its name.
    fn is_folded(&self, graph: &Graph<'_, 'a>, piece: &Piece) -> bool {
        piece.op.starts_with("conv")
            && piece.operands.iter().any(|(name, operand)| match operand {
                Operand::Weight(id, _) if *name == "weight" => {
                    is_anonymous(graph.program.value(*id).name)
                }
                _ => false,
            })
    }

    /// The name that the BatchNorm after a convolution most likely had, and whether the
    /// convolution most likely had a bias.
    fn batch_norm(&self, conv: &str, scopes: &Scopes<'a>) -> (String, bool) {
        let (parent, own) = conv.rsplit_once('.').unwrap_or(("", conv));
        let join = |name: String| match parent {
            "" => name,
            parent => format!("{parent}.{name}"),
        };
        let digits = own.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = &own[digits.len()..];
        if digits.is_empty()
            && let Ok(index) = own.parse::<usize>()
        {
            return (
                join((index + 1).to_string()),
                self.is_plain_stack(parent, scopes),
            );
        }
        let base = match digits {
            "conv" => format!("bn{number}"),
            other if other.contains("conv") => other.replace("conv", "bn") + number,
            other => format!("{other}_bn{number}"),
        };
        (join(base), false)
    }

    /// Whether a Sequential is a long list of plain layers, as in VGG, where people leave `bias` at
    /// its default; blocks of one convolution, and those of later days, whose convolutions have
    /// groups, say `bias=False`.
    fn is_plain_stack(&self, path: &str, scopes: &Scopes<'a>) -> bool {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}.")
        };
        let convolutions: Vec<&&str> = scopes
            .all
            .iter()
            .filter(|scope| {
                let child = &self.paths[**scope];
                let rest = child.strip_prefix(&prefix);
                let class = self.leaves.get(**scope);
                rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
                    && class.is_some_and(|class| class.contains(".conv.Conv"))
            })
            .collect();
        convolutions.len() > 2
            && !convolutions
                .iter()
                .any(|scope| self.grouped.contains(**scope))
    }
}

/// The name of the module that a scope is a call of: the exporter counts further calls, `relu_1`,
/// where a module may itself be called so.
fn repeated<'n>(
    outer: &str,
    own: &str,
    relative: &'n str,
    parent: &str,
    scopes: &Scopes<'_>,
    parameters: &Parameters<'_>,
) -> &'n str {
    let Some((base, count)) = relative.rsplit_once('_') else {
        return relative;
    };
    let Ok(count) = count.parse::<usize>() else {
        return relative;
    };
    let path = |name: &str| match parent {
        "" => name.to_owned(),
        parent => format!("{parent}.{name}"),
    };
    if parameters.owners.contains(path(relative).as_str()) {
        return relative;
    }
    let first = &own[..own.len() - (relative.len() - base.len())];
    let sibling = |name: String| scopes.all.contains(format!("{outer}/{name}").as_str());
    let before = count
        .checked_sub(1)
        .is_some_and(|before| before == 0 || sibling(format!("{first}_{before}")));
    if sibling(first.to_owned()) && before {
        base
    } else {
        relative
    }
}

/// The sizes of a weight as PyTorch keeps it.
pub(super) fn weight_shape(graph: &Graph<'_, '_>, operand: &Operand) -> Option<Vec<Dim>> {
    match operand {
        Operand::Weight(id, turned) => {
            let mut shape = graph.shape(*id)?.to_vec();
            if *turned {
                shape.reverse();
            }
            Some(shape)
        }
        Operand::Named(_, shape) => Some(shape.clone()),
        _ => None,
    }
}
